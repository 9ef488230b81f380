"""A run folder that is kept at a URL: what another head finds there, and after a launch that ended anywhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

import fsspec
import pytest

from sweep.errors import BadInput
from sweep.report.conclude import conclude
from sweep.run.folder import Run, open_run
from sweep.run.lock import FolderInUse
from sweep.run.mirror import AT_IT, Mirror
from tests.conftest import small_sweep
from tests.faults.bed import without_ray
from tests.processes import sweep
from tests.runs import finished

MOMENTS = 12
"""More than there are writes in the test that ends at each of them."""


class Ended(Exception):
    """The launch has."""


def ending(last: int) -> Callable[[object, str, bytes], None]:
    """A store that is written to so often, and then no more."""
    pipe, left = type(fsspec.filesystem("memory")).pipe_file, [None] * last

    def write(self: object, path: str, content: bytes) -> None:
        if not left:
            raise Ended
        left.pop()
        pipe(self, path, content)

    return write


@pytest.fixture
def url() -> Iterator[str]:
    place = f"memory://{uuid4().hex}"
    yield place
    files = fsspec.filesystem("memory")
    if files.exists(place):
        files.rm(place, recursive=True)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = finished(tmp_path / "made", {"baseline": 8, "mtp": 9})
    conclude(made)
    (made.folder / "secrets.json").write_text("{}")
    return made


def fetched(folder: Path, url: str) -> Path:
    mirror = Mirror(folder, url)
    mirror.fetch()
    mirror.leave()
    return folder


def test_another_machine_finds_the_whole_run_and_no_hash_of_a_secret(run: Run, tmp_path: Path, url: str) -> None:
    Mirror(run.folder, url).send()
    there = open_run(fetched(tmp_path / "there" / run.folder.name, url))
    there.check()
    assert len(there.done()[0]) == len(run.plan.units)
    assert there.summary() == run.summary()
    assert not (there.folder / "secrets.json").exists()


def test_what_is_gone_here_goes_there(run: Run, tmp_path: Path, url: str) -> None:
    mirror = Mirror(run.folder, url)
    mirror.send()
    run.remove("thresholds.json")
    mirror.send()
    there = fetched(tmp_path / "there" / run.folder.name, url)
    assert not (there / "thresholds.json").exists()
    open_run(there).check()


def test_a_launch_that_ends_at_any_moment_of_sending_leaves_a_run_that_can_go_on(
    run: Run, tmp_path: Path, url: str
) -> None:
    mirrors = [Mirror(run.folder, f"{url}/{moment}") for moment in range(MOMENTS)]
    for mirror in mirrors:
        mirror.send()
    # Everything that has a digest is written anew, with another one.
    run.write_provenance(run.provenance().model_copy(update={"git_commit": "another"}))
    run.unit_file(run.plan.units[0]).unlink()
    conclude(run)
    ends = []
    for moment, mirror in enumerate(mirrors):
        with patch.object(type(fsspec.filesystem("memory")), "pipe_file", ending(moment)):
            try:
                mirror.send()
                ends.append("whole")
            except Ended:
                ends.append("ended")
        there = open_run(fetched(tmp_path / f"there-{moment}" / run.folder.name, f"{url}/{moment}"))
        there.check()
        there.done()
    assert ends.index("whole") >= 4
    assert there.provenance().git_commit == "another"


def test_a_place_that_another_launch_is_at_is_refused_until_it_is_silent(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Mirror(tmp_path / "one", url).fetch()
    with pytest.raises(FolderInUse):
        Mirror(tmp_path / "two", url).fetch()
    # As another machine's.
    files, now = fsspec.filesystem("memory"), time.time()
    said = json.loads(files.cat_file(f"{url}/{AT_IT}"))
    said["process"]["machine"] = "another"
    files.pipe_file(f"{url}/{AT_IT}", json.dumps(said).encode())
    with pytest.raises(FolderInUse):
        Mirror(tmp_path / "two", url).fetch()
    monkeypatch.setattr(time, "time", lambda: now + 1000)
    Mirror(tmp_path / "two", url).fetch()


def test_a_url_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        Mirror(tmp_path, "nosuch://bucket/runs")


def test_a_sweep_that_is_launched_again_elsewhere_measures_nothing_twice(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    file = small_sweep(tmp_path)
    with without_ray():
        first = sweep("launch", file, "--runs", url, "--json")
    assert first.returncode == 7, first.stderr
    with patch("cluster.pool.RayPool", side_effect=AssertionError("nothing is left to be measured")):
        again = sweep("launch", file, "--runs", url, "--json")
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert url in first.stderr
