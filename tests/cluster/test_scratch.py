"""The folder for engine logs, locks and Ray's sessions lies where everybody may write."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from cluster.engines.sglang.host import shared_gpu_turn
from cluster.errors import EngineStartFailed
from cluster.scratch import scratch_folder

ANOTHER_USER = os.geteuid() + 1


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def mine(temporary: Path) -> Path:
    return temporary / f"accuracy-sweep-{os.geteuid()}"


def test_the_folder_is_made_for_its_user_alone_whatever_the_umask(temporary: Path) -> None:
    before = os.umask(0)
    try:
        folder = scratch_folder()
    finally:
        os.umask(before)
    assert folder == mine(temporary)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert scratch_folder() == folder


def test_a_planted_link_is_not_followed(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    mine(temporary).symlink_to(elsewhere)
    with pytest.raises(EngineStartFailed, match=r"accuracy-sweep-\d+: is a link"):
        scratch_folder()
    mine(temporary).unlink()
    mine(temporary).symlink_to(temporary / "nowhere")
    with pytest.raises(EngineStartFailed, match="is a link"):
        scratch_folder()
    assert not (temporary / "nowhere").exists()


def test_another_users_folder_is_refused(temporary: Path) -> None:
    (temporary / f"accuracy-sweep-{ANOTHER_USER}").mkdir(mode=0o700)
    with pytest.raises(EngineStartFailed, match=f"belongs to the user with the id {os.geteuid()}"):
        scratch_folder(ANOTHER_USER)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o750, 0o705])
def test_a_folder_that_others_may_enter_is_refused(temporary: Path, mode: int) -> None:
    mine(temporary).mkdir()
    mine(temporary).chmod(mode)
    with pytest.raises(EngineStartFailed, match=f"{mode:04o}"):
        scratch_folder()


def test_a_file_in_its_place_is_refused_and_left_as_it_is(temporary: Path) -> None:
    mine(temporary).write_text("kept")
    with pytest.raises(EngineStartFailed, match="is not a folder"):
        scratch_folder()
    assert mine(temporary).read_text() == "kept"


def test_a_lock_file_that_is_a_link_empties_nothing(temporary: Path) -> None:
    victim, lock = temporary / "victim", scratch_folder() / "start-0.lock"
    victim.write_text("precious")
    lock.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"), shared_gpu_turn("0", time.monotonic(), lambda: None):
        pass
    assert victim.read_text() == "precious"
