"""The command line as a user meets it: messages, exit codes, quick help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import SWEEP, write_jsonl
from tests.processes import sweep

Write = Callable[[str], Path]


def in_a_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`sweep ARGUMENTS` without a hub."""
    command = [sys.executable, "-m", "sweep.cli", *map(str, arguments)]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=offline)


def refused(done: subprocess.CompletedProcess[str], code: int = 2) -> str:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


HEAVY = {"datasets", "matplotlib", "mlflow", "pyarrow", "ray", "sglang", "statsmodels", "torch", "transformers"}


CLI = "from sweep.commands.group import cli"


def imported(code: str) -> tuple[set[str], str]:
    """The packages that a fresh interpreter imports for the code, and what the code prints before."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    printed, _, modules = done.stdout.rstrip("\n").rpartition("\n")
    return {name.partition(".")[0] for name in modules.split()}, printed


def test_help_imports_nothing_heavy() -> None:
    packages, printed = imported(f"{CLI}; cli.main(['--help'], standalone_mode=False)")
    assert "sweep" in packages
    assert not packages & (HEAVY | {"numpy", "pydantic"})
    assert "Exit codes: 0 ok; 1 a bug; 2 usage" in printed


def test_an_engine_s_own_test_imports_nothing_heavy_for_its_gate() -> None:
    packages, _ = imported("from sweep.gate import assert_gate")
    assert "sweep" in packages
    assert not packages & HEAVY


def test_plan_imports_no_engine_and_no_cluster(write_sweep: Write) -> None:
    file = str(write_sweep(SWEEP))
    packages, printed = imported(f"{CLI}; cli.main(['plan', {file!r}], standalone_mode=False)")
    assert not packages & HEAVY
    assert "2 variants x 2 repetitions of 4 questions = 4 units" in printed


def test_an_unknown_command_names_the_nearest() -> None:
    assert "did you mean launch?" in refused(sweep("lunch"))


def test_plan_as_json_is_json_alone_with_the_units(write_sweep: Write) -> None:
    plan = json.loads(sweep("plan", write_sweep(SWEEP), "--json").stdout)
    assert plan["units"] == ["baseline-r01", "baseline-r02", "mtp-r01", "mtp-r02"]
    assert plan["variants"]["mtp"]["baseline"] == "baseline"


def test_plan_refuses_more_questions_than_the_data_hold(write_sweep: Write) -> None:
    # Of 10 records 2 are shots.
    file = write_sweep(SWEEP)
    assert sweep("plan", file, "--set", "protocol.questions=8").returncode == 0
    assert "leave 8" in refused(sweep("plan", file, "--set", "protocol.questions=9"))


def test_a_missing_sweep_file_exits_2(tmp_path: Path) -> None:
    assert "no such sweep file" in refused(in_a_process("launch", tmp_path / "none.yaml"))


def test_an_unknown_engine_argument_names_the_nearest(write_sweep: Write) -> None:
    file = write_sweep(SWEEP.replace("baseline: {}", "baseline: {arguments: {acuracy: 0.5}}"))
    assert "did you mean accuracy?" in refused(sweep("launch", file))


def test_a_missing_backend_package_says_what_to_install(write_sweep: Write) -> None:
    pytest.importorskip("transformers")  # so that the message is about sglang, which this environment lacks
    if find_spec("sglang") is not None:
        pytest.skip("sglang is installed here")
    file = write_sweep(SWEEP.replace("backend: simulated", "backend: sglang"))
    message = refused(sweep("launch", file))
    assert "needs sglang, not installed here; pip install 'accuracy-sweep[sglang]'" in message


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], "empty; a data set has records"),
        ([{"question": "q", "reply": "1"}], "data.jsonl:1: no text in `answer`, it has question, reply"),
        ([{"question": "q", "answer": "5"}], "data.jsonl:1: the answer has no number after `####`"),
        (
            [{"question": "q", "answer": "#### 5"}] * 3,
            "4 questions wanted, but 3 records less 2 shots leave 1",
        ),
    ],
)
def test_unusable_records_exit_2_with_their_place(
    write_sweep: Write, tmp_path: Path, rows: list[dict[str, str]], expected: str
) -> None:
    file = write_sweep(SWEEP)
    write_jsonl(tmp_path / "data.jsonl", rows)
    assert expected in refused_after_start(sweep("launch", file, "--runs", tmp_path / "runs"))


def refused_after_start(done: subprocess.CompletedProcess[str], code: int = 2) -> str:
    """As `refused`, for faults that are found once something was said."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_dataset_that_is_not_json_names_the_line(write_sweep: Write, tmp_path: Path) -> None:
    file = write_sweep(SWEEP)
    (tmp_path / "data.jsonl").write_text('{"question": "q", "answer": "#### 1"}\nnot json\n')
    assert "data.jsonl:2: " in refused_after_start(sweep("launch", file))


def test_a_missing_dataset_file_is_named(write_sweep: Write, tmp_path: Path) -> None:
    file = write_sweep(SWEEP)
    (tmp_path / "data.jsonl").unlink()
    assert f"{tmp_path / 'data.jsonl'}: " in refused_after_start(sweep("launch", file))


def test_an_offline_hub_names_the_local_way(write_sweep: Write) -> None:
    file = write_sweep(SWEEP.replace("data.jsonl", "openai/gsm8k"))
    message = refused_after_start(in_a_process("launch", file))
    assert "openai/gsm8k (offline mode" in message
    assert "protocol.dataset.path" in message


def test_a_run_folder_that_cannot_be_made_exits_2(write_sweep: Write, tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("a file")
    message = refused_after_start(sweep("launch", write_sweep(SWEEP), "--runs", tmp_path / "occupied"))
    assert str(tmp_path / "occupied") in message
    assert "--runs" in message


def test_more_gpus_than_the_cluster_has_exit_4_with_what_it_has(write_sweep: Write) -> None:
    from cluster.connection import PoolSpec
    from cluster.errors import ClusterUnavailable
    from cluster.pool import RayPool

    spec = PoolSpec(engines=2, gpus=2, needs_real_gpus=True, address=None, deadline=5, sweep="s")
    with pytest.raises(ClusterUnavailable, match=r"need 4 GPUs") as caught:
        RayPool(spec, print)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("engines", ["1", "auto"])
def test_a_real_model_on_a_gpu_that_the_machine_lacks_exits_4(
    write_sweep: Write, monkeypatch: pytest.MonkeyPatch, engines: str, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    text = SWEEP.replace(
        "backend: simulated\n  model: none", "backend: transformers\n  model: embedded:tiny-gemma4"
    )
    file = write_sweep(
        text.replace("engines: 2", f"engines: {engines}\n  gpus: 1").replace("  mtp: {draft: true}\n", "")
    )
    done = sweep("launch", file, "--runs", tmp_path / "runs")
    message = refused_after_start(done, code=4)
    assert "0 of 0 GPUs" in message
    assert "engine.gpus" in message
    assert not list((tmp_path / "runs").rglob("contract.json"))


def test_list_of_nothing_says_how_to_make_a_run(tmp_path: Path) -> None:
    done = sweep("list", "--runs", tmp_path)
    assert done.returncode == 0
    assert "`sweep launch FILE`" in done.stdout


def test_report_of_what_is_no_run_folder_exits_2(tmp_path: Path) -> None:
    assert f"{tmp_path}: not a run folder" in refused(sweep("report", tmp_path))
