"""A launch through Ray and MLflow with secrets planted wherever a sweep file takes one: no byte of them is left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import SWEEP, small_sweep
from tests.processes import sweep

PLANTED = [f"pl4nted-{number}-secret" for number in range(1, 7)]
SECRETS = f"""\
  secrets: [MARKED]
  environment:
    HF_TOKEN: {PLANTED[0]}
    MARKED: {PLANTED[1]}
    REFERRED: ${{DOORS_SECRET}}
    PROXY: http://me:{PLANTED[3]}@proxy:8080
  arguments: {{accuracy: 0.9, noise: 0.5, seconds_per_token: 0.0003, start_seconds: 0.1, error_rate: 0.3}}
"""
SWEEP_FILE = (
    SWEEP.replace("  engines: 2\n", f"  engines: 2\n{SECRETS}")
    .replace("model: none", f"model: none?token={PLANTED[4]}", 1)
    .replace("mtp: {draft: true}", f"mtp: {{draft: true, environment: {{WANDB_KEY: {PLANTED[5]}}}}}")
    .replace("uri: null", 'uri: "sqlite:///mlflow.db"')
)


Launched = tuple[Path, "subprocess.CompletedProcess[bytes]", Path]
"""The folder, the launch, and its folder for temporary files, in which Ray's sessions are."""


def files(*folders: Path) -> Iterator[Path]:
    return (file for folder in folders for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def leaks(text: bytes) -> list[str]:
    return [secret for secret in PLANTED if secret.encode() in text]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("planted")
    (folder / "in").mkdir()
    file = small_sweep(folder / "in", SWEEP_FILE)
    # Short, since the paths of Ray's sockets begin with it.
    with TemporaryDirectory(dir="/tmp") as temporary:
        done = subprocess.run(
            [sys.executable, "-m", "sweep.cli", "launch", str(file), "--json"],
            cwd=folder,
            env={**os.environ, "DOORS_SECRET": PLANTED[2], "TMPDIR": temporary},
            capture_output=True,
            timeout=200,
            check=False,
        )
        yield folder, done, Path(temporary)


def test_no_secret_reaches_the_run_folder_mlflow_the_terminal_or_rays_logs(
    launched: Launched,
) -> None:
    folder, done, temporary = launched
    # The sweep ran, with failures whose evidence is kept; it has too few repetitions for a contract.
    assert done.returncode == 7, done.stderr.decode()
    assert list(folder.glob("runs/*/failures/*.jsonl"))
    assert (folder / "mlflow.db").exists()
    assert list(folder.glob("mlartifacts/**/sweep.yaml"))
    assert list(temporary.glob("accuracy-sweep-*/ray/session_*/logs/raylet.out"))
    assert leaks(done.stdout + done.stderr) == []
    looked_at = [file for file in files(folder, temporary) if file.parent != folder / "in"]
    assert len(looked_at) > 50
    assert [(str(file), found) for file in looked_at if (found := leaks(file.read_bytes()))] == []


def test_no_command_tells_a_secret(launched: Launched, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, _ = launched
    (run,) = folder.glob("runs/*")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DOORS_SECRET", raising=False)
    told = [sweep("report", run), sweep("report", run, "--json"), sweep("track", run), sweep("list", "--json")]
    assert [done.returncode for done in told] == [7, 7, 0, 0], [done.stderr for done in told]
    monkeypatch.setenv("DOORS_SECRET", PLANTED[2])
    file = folder / "in" / "sweep.yaml"
    told += [sweep("plan", file), sweep("plan", file, "--json")]
    sglang = file.with_name("sglang.yaml")
    sglang.write_text(file.read_text().replace("simulated", "sglang").replace("accuracy: 0.9, noise: 0.5, ", ""))
    told += [sweep("plan", sglang), sweep("plan", sglang, "--argv")]
    assert [leaks((done.stdout + done.stderr).encode()) for done in told] == [[] for _ in told]
