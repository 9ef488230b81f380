"""A detached sweep on a Ray head that wants a token: it outlives its terminal, is followed, stopped and resumed."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import psutil
import pytest

from tests.conftest import SWEEP, small_sweep
from tests.head import Head, ray_head
from tests.processes import unscheduled, until

# 12 units of a second on two engines, or of a hundredth. How long an answer takes changes nothing in it.
UNITS = 12
CHANGES = ("repetitions=6", "engine.gpus=1")
# Three drivers and a head are started for all tests together.
pytestmark = pytest.mark.timeout(600)
GREETING = "planted-on-the-head"
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5" * 32}


def paced(seconds: float) -> tuple[str, ...]:
    """The changes, and `--set` for how long a token takes."""
    noise = f"accuracy: 0.9, noise: 0.5, seconds_per_token: {seconds}, start_seconds: 0.1"
    return tuple(word for change in (*CHANGES, f"engine.arguments={{{noise}}}") for word in ("--set", change))


@dataclass(frozen=True, kw_only=True)
class User:
    """Somebody on another machine than the head, as far as folders and variables go."""

    folder: Path
    environment: Mapping[str, str]

    def start(self, *words: str, out: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "sweep.cli", *words],
            cwd=self.folder,
            env={**os.environ, **self.environment, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        )

    def sweep(self, *words: str, code: int = 0) -> str:
        process = self.start(*words)
        out, err = process.communicate(timeout=200)
        assert process.returncode == code, out + err
        return out if code == 0 else err

    def asks(self, *words: str) -> Any:
        return json.loads(self.sweep(*words, "--json"))


@dataclass(frozen=True, kw_only=True)
class Lived:
    """What a user saw of a sweep that was stopped in the middle and launched again."""

    sent: Any
    again: str
    listed: Any
    log: str
    stopped: Any
    resumed: Any
    ended: Any
    job: Any
    undisturbed: Any
    mlflow: tuple[dict[str, str], dict[str, str], dict[str, str]]
    """Key to status while it ran, when it was stopped, and at the end."""
    head: Head

    def summary(self, runs: str, sweep_id: str) -> Any:
        return json.loads((self.head.home / "accuracy-sweep" / runs / sweep_id / "summary.json").read_text())


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    # Short, since the paths of Ray's sockets begin with it.
    with (
        TemporaryDirectory(dir="/tmp") as home,
        ray_head(Path(home), {**TOKEN, "GREETING": GREETING}) as there,
    ):
        yield there


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> User:
    folder = tmp_path_factory.mktemp("laptop")
    # Which the user's own environment has not.
    referring = SWEEP.replace("  engines: 2\n", "  engines: 2\n  environment: {GREETING: '${GREETING}'}\n")
    small_sweep(folder, referring + "threshold: {rule: margin}\n")
    return User(folder=folder, environment={**TOKEN, "XDG_STATE_HOME": str(folder / "state"), "RAY_ADDRESS": ""})


@pytest.fixture(scope="module")
def lived(head: Head, user: User) -> Lived:
    detach = ("launch", "sweep.yaml", "--detach")
    fast = user.asks(*detach, *paced(0.0001), "--address", head.address)
    undisturbed = json.loads(user.sweep("status", fast["sweep_id"], "--watch", "--json"))
    store = user.folder / "mlflow.db"
    tracked = (*paced(0.02), "--set", f"tracking.uri=sqlite:///{store}")
    sent = user.asks(*detach, *tracked)
    log = user.folder / "log"
    with log.open("w") as out:
        follower = user.start("logs", sent["sweep_id"], "-f", out=out)
    samples = head.home / "accuracy-sweep" / "runs" / sent["sweep_id"] / "samples"
    until(follower, lambda: len([*samples.glob("*.parquet")]) >= 2, lambda: log.read_text())
    # So that the sweep does not end before it is stopped, however long that takes here.
    engines = [
        p
        for p in psutil.Process(head.process).children(recursive=True)
        if p.name().lower().startswith("ray::engine")
    ]
    assert len(engines) == 2
    for engine in engines:
        engine.suspend()
    until(follower, lambda: len(in_mlflow(store, sent["sweep_id"])) >= 3, lambda: log.read_text())
    watched = in_mlflow(store, sent["sweep_id"])
    again = user.sweep(*detach, *tracked, code=4)
    listed = user.asks("list")
    stop = user.start("stop", sent["sweep_id"])
    # It may have ended before what it wrote has come.
    until(follower, lambda: "stopping the engines" in log.read_text(), lambda: log.read_text())
    for engine in engines:
        engine.resume()
    for process in (stop, follower):
        process.communicate(timeout=200)
        assert process.returncode == 0
    stopped = user.asks("status", sent["sweep_id"])
    stopped_in_mlflow = in_mlflow(store, sent["sweep_id"])
    resumed = user.asks(*detach, *tracked)
    user.sweep("status", sent["sweep_id"], "--watch")
    return Lived(
        sent=sent,
        again=again,
        listed=listed,
        log=log.read_text(),
        stopped=stopped,
        resumed=resumed,
        ended=user.asks("status", sent["sweep_id"]),
        job=details(head, sent["job"]),
        undisturbed=undisturbed,
        mlflow=(watched, stopped_in_mlflow, in_mlflow(store, sent["sweep_id"])),
        head=head,
    )


def in_mlflow(store: Path, sweep_id: str) -> dict[str, str]:
    """The keys of the sweep's runs in a SQLite store, and the status of each; empty before there are any."""
    asked = (
        "select unit.value, runs.status from runs join tags unit using (run_uuid) join tags sweep using (run_uuid) "
        "where unit.key = 'sweep.unit' and sweep.key = 'sweep.id' and sweep.value = ? "
        "and runs.lifecycle_stage = 'active'"
    )
    if not store.exists():
        return {}
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=60)) as there:
        return dict(there.execute(asked, [sweep_id]))


def details(head: Head, job: str) -> Any:
    """What the dashboard says of a job."""
    from urllib.request import Request, urlopen

    asked = Request(
        f"{head.address}/api/jobs/{job}", headers={"Authorization": f"Bearer {TOKEN['RAY_AUTH_TOKEN']}"}
    )
    with urlopen(asked, timeout=60) as answer:
        return json.load(answer)


def test_a_detached_sweep_runs_after_its_launch_has_ended_and_is_followed_until_it_is_stopped(lived: Lived) -> None:
    row = next(each for each in lived.listed if each["sweep_id"] == lived.sent["sweep_id"])
    assert (row["state"], row["job"], row["units"]) == ("running", lived.sent["job"], UNITS)
    assert 2 <= row["measured"] < UNITS
    assert row["contract"] is None
    # A line for each repetition, and then the table of what there was when it was stopped.
    assert len(re.findall(r"^(?:baseline|mtp) r0\d: ", lived.log, re.MULTILINE)) == lived.stopped["measured"]
    assert re.search(r"^mtp +\d/6 ", lived.log, re.MULTILINE)


def test_mlflow_shows_a_detached_sweep_while_it_runs_when_it_is_stopped_and_when_it_is_done(lived: Lived) -> None:
    running, stopped, ended = lived.mlflow
    assert running.pop("sweep") == "RUNNING"
    assert "FINISHED" in running.values()
    assert stopped["sweep"] == "KILLED"
    assert len(stopped) == 1 + lived.stopped["measured"]
    assert set(ended.values()) == {"FINISHED"}
    assert len(ended) == 1 + UNITS


def test_a_sweep_that_runs_is_not_sent_a_second_time(lived: Lived) -> None:
    assert lived.sent["job"] in lived.again


def test_stopping_keeps_what_is_measured_and_launching_again_goes_on_from_there(lived: Lived) -> None:
    assert lived.stopped["state"] == "incomplete"
    assert 2 <= lived.stopped["measured"] < UNITS
    assert lived.resumed["sweep_id"] == lived.sent["sweep_id"]
    assert lived.resumed["job"] != lived.sent["job"]
    assert (lived.ended["state"], lived.ended["measured"], lived.ended["contract"]) == ("finished", UNITS, True)


def test_a_sweep_that_was_stopped_and_resumed_has_an_undisturbed_ones_summary(lived: Lived) -> None:
    apart = {"sweep_id": None}
    whole = lived.summary("runs", lived.undisturbed["sweep_id"])
    resumed = lived.summary("runs", lived.sent["sweep_id"])
    assert whole["complete"]
    assert unscheduled(resumed) | apart == unscheduled(whole) | apart


def test_a_job_has_the_sweeps_name_variants_and_units(lived: Lived) -> None:
    told = lived.job["metadata"]
    assert told["sweep"] == lived.sent["sweep_id"]
    assert told["job_name"] == lived.sent["job"]
    assert (told["variants"], told["units"]) == ("baseline, mtp", str(UNITS))
    assert lived.job["status"] == "STOPPED"


def test_a_variable_is_read_on_the_head_and_its_value_is_nowhere_in_the_job(lived: Lived) -> None:
    run = lived.head.home / "accuracy-sweep" / "runs" / lived.sent["sweep_id"]
    # The hash of what it was.
    assert "${GREETING}" in json.loads((run / "secrets.json").read_text())["hashes"]
    assert GREETING not in json.dumps(lived.job)
