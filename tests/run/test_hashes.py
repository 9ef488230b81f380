"""A run folder knows its secrets again without having them; and it is its user's alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.events import Event, Failed
from sweep.errors import BadInput, EngineStartFailed
from sweep.plan.sweepfile import load
from sweep.run.folder import open_run
from sweep.run.hashes import keep_hashes
from tests.conftest import SWEEP
from tests.fake_pool import FakePool
from tests.run.test_launch import Listener, launched, opens

Write = Callable[[str], Path]

SECRET = SWEEP.replace(
    "  engines: 2\n", '  engines: 2\n  environment: {HF_TOKEN: planted-1, DIR: "${DOORS_DIR}"}\n'
).replace("tracking: {uri: null}", 'tracking: {uri: "postgresql://me:planted-2@host/db"}')


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORS_DIR", "/planted-3")


def everything(folder: Path) -> bytes:
    return b"\n".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_the_same_secrets_resume_a_run_and_another_one_is_refused_without_telling_either(
    write_sweep: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = opens(FakePool(), monkeypatch)
    first = launched(str(write_sweep(SECRET)), tmp_path, Listener())
    assert b"planted" not in everything(first.run.folder)
    again = launched(str(write_sweep(SECRET)), tmp_path, Listener())
    assert again.run.folder == first.run.folder
    assert len(opened) == 1
    with pytest.raises(BadInput, match=r"another value of \(secret HF_TOKEN\)\. .*secrets\.json") as caught:
        launched(str(write_sweep(SECRET.replace("planted-1", "renewed-1"))), tmp_path, Listener())
    assert not any(value in caught.value.message for value in ("planted-", "renewed-"))
    monkeypatch.setenv("DOORS_DIR", "/elsewhere")
    with pytest.raises(BadInput, match=r"another value of \$\{DOORS_DIR\}"):
        launched(str(write_sweep(SECRET)), tmp_path, Listener())


class Telling(FakePool):
    """Its engines do not start, and what is read of their logs has their environment in it."""

    def wait(self, timeout: float) -> list[Event]:
        log = ("HF_TOKEN=planted-1", "DIR=/planted-3")
        events = super().wait(timeout)
        return [
            replace(event, error=EngineStartFailed(f"died: {log[0]}", log), log=log)
            if isinstance(event, Failed)
            else event
            for event in events
        ]


def test_what_is_read_of_a_dead_engines_log_is_kept_and_told_without_secrets(
    write_sweep: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens(Telling(fault=lambda engine, what, times: "error"), monkeypatch)
    audience = Listener()
    with pytest.raises(EngineStartFailed, match=r"HF_TOKEN=\(secret HF_TOKEN\)") as caught:
        launched(str(write_sweep(SECRET)), tmp_path, audience)
    assert caught.value.log_tail == ("HF_TOKEN=(secret HF_TOKEN)", "DIR=${DOORS_DIR}")
    kept = everything(tmp_path / "runs")
    assert b"(secret HF_TOKEN)" in kept
    assert b"planted-" not in kept
    assert "planted-" not in repr((audience.lines, audience.view.__dict__))


def test_a_secret_that_no_result_depends_on_may_be_another_and_is_not_kept_at_all(
    write_sweep: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens(FakePool(), monkeypatch)
    first = launched(str(write_sweep(SECRET)), tmp_path, Listener())
    kept = json.loads((first.run.folder / "secrets.json").read_text())
    assert set(kept["hashes"]) == {"(secret HF_TOKEN)", "${DOORS_DIR}"}
    launched(str(write_sweep(SECRET.replace("planted-2", "renewed-2"))), tmp_path, Listener())


def test_a_run_folder_is_read_where_its_secrets_and_variables_are_not(
    write_sweep: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens(FakePool(), monkeypatch)
    run = launched(str(write_sweep(SECRET)), tmp_path, Listener()).run
    monkeypatch.delenv("DOORS_DIR")
    read = open_run(run.folder)
    assert read.plan.sweep_id == run.plan.sweep_id
    assert read.provenance() == run.provenance()


def test_a_sweep_without_secrets_leaves_no_hashes(write_sweep: Write, tmp_path: Path) -> None:
    keep_hashes(tmp_path, load(write_sweep(SWEEP)))
    assert not (tmp_path / "secrets.json").exists()


def test_two_folders_have_two_salts_and_the_hashes_are_for_their_user_alone(
    write_sweep: Write, tmp_path: Path
) -> None:
    config = load(write_sweep(SECRET))
    kept = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        keep_hashes(tmp_path / name, config)
        file = tmp_path / name / "secrets.json"
        assert file.stat().st_mode & 0o777 == 0o600
        kept.append(json.loads(file.read_text()))
    assert kept[0]["salt"] != kept[1]["salt"]
    assert set(kept[0]["hashes"].values()).isdisjoint(kept[1]["hashes"].values())


@pytest.mark.parametrize("text", ["", "[]", "{", '{"salt": 1}', "\x00"])
def test_broken_hashes_are_a_fault_and_no_traceback(write_sweep: Write, tmp_path: Path, text: str) -> None:
    (tmp_path / "secrets.json").write_text(text)
    with pytest.raises(BadInput, match=r"secrets\.json: cannot be read"):
        keep_hashes(tmp_path, load(write_sweep(SECRET)))


@pytest.mark.parametrize(("shared", "mode"), [(False, 0o700), (True, 0o755)])
def test_a_run_folder_is_its_users_alone_unless_it_is_to_be_shared(
    write_sweep: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool, mode: int
) -> None:
    opens(FakePool(), monkeypatch)
    before = os.umask(0o022)
    try:
        run = launched(str(write_sweep(SWEEP)), tmp_path, Listener(), shared=shared).run
        assert run.folder.stat().st_mode & 0o777 == mode
        # One that is taken up again keeps the mode that it has.
        run.folder.chmod(0o750)
        launched(str(write_sweep(SWEEP)), tmp_path, Listener(), shared=shared)
        assert run.folder.stat().st_mode & 0o777 == 0o750
    finally:
        os.umask(before)
