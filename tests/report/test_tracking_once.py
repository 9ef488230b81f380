"""One MLflow run for each repetition, however many programs log it, and whenever they die."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.report.conclude import conclude
from sweep.report.export import Exported
from sweep.report.export import mlflow_log as exporter
from sweep.report.export import mlflow_single as single
from sweep.report.export.mlflow import MlflowExporter
from sweep.report.export.mlflow_single import ABANDONED, SWEEP, UNIT, WRITER, Found, Writer, look
from sweep.report.export.mlflow_store import Store
from sweep.run.folder import Run, open_run
from sweep.run.processes import Process
from tests.processes import free_port, listens, until
from tests.runs import finished, measured, samples_of

UNITS = [*(f"{variant}-r0{repetition}" for variant in ("baseline", "mtp") for repetition in (1, 2, 3)), "sweep"]


def made(folder: Path, uri: str, experiment: str) -> Run:
    return finished(folder, lambda variant, repetition: [], f"tracking={{uri: '{uri}', experiment: {experiment}}}")


class Place:
    """An MLflow store of the tests, with an experiment for each of them."""

    def __init__(self, uri: str) -> None:
        import mlflow

        self.uri, self.client = uri, mlflow.MlflowClient(uri)

    def runs(self, experiment: str) -> list[Any]:
        there = self.client.get_experiment_by_name(experiment)
        return list(self.client.search_runs([there.experiment_id])) if there else []

    def units(self, experiment: str) -> list[tuple[str, str]]:
        """The key and the status of every run that is not deleted, in order."""
        return sorted((run.data.tags[UNIT], run.info.status) for run in self.runs(experiment))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(f"sqlite:///{tmp_path_factory.mktemp('place') / 'mlflow.db'}")


def log(run: Run) -> Exported:
    return MlflowExporter().sync(run, conclude(run))


def log_as_if_first(run: Run, monkeypatch: pytest.MonkeyPatch) -> Exported:
    """As a program does that has looked before another one wrote."""
    looks = iter([lambda *arguments: Found(whole={}, deleted=0, different={}, busy=0), look])
    with monkeypatch.context() as patch:
        patch.setattr(exporter, "look", lambda *arguments: next(looks)(*arguments))
        return log(run)


ALL = [(unit, "FINISHED") for unit in UNITS]


def test_what_two_have_logged_at_once_stays_once_and_the_first_stays(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(tmp_path, place.uri, "twice")
    assert log(run).added == 7
    first = {logged.info.run_id for logged in place.runs("twice")}
    exported = log_as_if_first(run, monkeypatch)
    assert exported.added == 0
    assert "7 runs" in exported.lines[0]
    assert {logged.info.run_id for logged in place.runs("twice")} == first
    assert place.units("twice") == ALL
    assert log(run).lines[0].startswith("MLflow")


def test_a_sweeps_own_run_that_another_deletes_meanwhile_is_logged_all_the_same(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(tmp_path, place.uri, "meanwhile")
    log(run)

    def delete_after(*arguments: Any) -> Found:
        """What is found, of which another program then deletes the sweep's own run."""
        monkeypatch.setattr(exporter, "look", look)
        found = look(*arguments)
        place.client.delete_run(found.whole["sweep"])
        # It has not all of the run folder yet, as while a sweep grows.
        return replace(found, tags={})

    monkeypatch.setattr(exporter, "look", delete_after)
    log(run)
    assert place.units("meanwhile") == ALL


@pytest.mark.parametrize(
    ("call", "single"),
    [
        ("log_inputs", "datasets.experiment_id, datasets.name, datasets.digest"),
        ("set_experiment_tag", "experiment_tags.key, experiment_tags.experiment_id"),
    ],
)
def test_what_another_makes_at_the_same_moment_is_logged_again(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, single: str
) -> None:
    from mlflow import MlflowClient

    really, asked = getattr(MlflowClient, call), []

    def first_fails(*arguments: Any, **options: Any) -> None:
        asked.append(options)
        if len(asked) == 1:
            raise RuntimeError(f"UNIQUE constraint failed: {single}")
        really(*arguments, **options)

    monkeypatch.setattr(MlflowClient, call, first_fails)
    assert log(made(tmp_path, place.uri, "same")).added == 7
    assert len(asked) == 2


def test_two_measurements_with_one_name_both_stay_and_that_is_told(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made(tmp_path, place.uri, "measured")
    other = open_run(shutil.copytree(one.folder, tmp_path / one.folder.name))
    (unit,) = (unit for unit in other.plan.units if unit.id.startswith("mtp-r02"))
    took_longer = replace(measured(unit), ended=1_000_900.0)
    other.save(unit, samples_of(other, unit), took_longer)
    assert log(one).added == 7
    exported = log_as_if_first(other, monkeypatch)
    assert place.units("measured") == sorted([*ALL, ("mtp-r02", "FINISHED")])
    assert exported.added == 1
    both = {run.info.run_id for run in place.runs("measured") if run.data.tags[UNIT] == "mtp-r02"}
    (told,) = (line for line in exported.lines if "mtp-r02" in line)
    assert all(run_id in told for run_id in both)


def writer(process: Process, since: datetime) -> str:
    return Writer(**process.model_dump(), since=since).model_dump_json()


def left(place: Place, experiment: str, tag: str) -> str:
    """Make the logged mtp-r01 one that `tag` is writing; its run id."""
    (run_id,) = (run.info.run_id for run in place.runs(experiment) if run.data.tags[UNIT] == "mtp-r01")
    place.client.set_tag(run_id, WRITER, tag)
    place.client.update_run(run_id, status="RUNNING")
    return str(run_id)


def stage(place: Place, run_id: str) -> str:
    return str(place.client.get_run(run_id).info.lifecycle_stage)


def test_what_a_living_program_is_writing_is_let_alone_until_it_dies(place: Place, tmp_path: Path) -> None:
    run = made(tmp_path, place.uri, "alive")
    log(run)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        started = Process.current().model_copy(update={"pid": other.pid, "started": starts(other.pid)})
        run_id = left(place, "alive", writer(started, datetime.now(UTC)))
        exported = log(run)
        assert stage(place, run_id) == "active"
        assert place.units("alive") == sorted([*ALL, ("mtp-r01", "RUNNING")])
        assert exported.added == 1
        assert "1 run let alone" in exported.lines[0]
        other.kill()
    log(run)
    assert stage(place, run_id) == "deleted"
    assert place.units("alive") == ALL


def starts(pid: int) -> int:
    """As ps(1) knows it: the 22nd field of the process's line in /proc."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


@pytest.mark.parametrize(
    ("age", "alive"),
    [(timedelta(minutes=1), True), (2 * ABANDONED, False), (-2 * ABANDONED, False)],
    ids=["now", "long ago", "in the future"],
)
def test_a_program_on_another_machine_is_known_by_when_it_began(
    place: Place, tmp_path: Path, age: timedelta, alive: bool
) -> None:
    experiment = f"far-{age.total_seconds():.0f}"
    run = made(tmp_path, place.uri, experiment)
    log(run)
    far = Process(machine="another", pid=1, started=1)
    run_id = left(place, experiment, writer(far, datetime.now(UTC) - age))
    log(run)
    assert (stage(place, run_id) == "active") == alive
    assert [key for key, status in place.units(experiment) if status == "FINISHED"] == UNITS


class Memory:
    """As much of a store as looking needs."""

    def __init__(self) -> None:
        self.there: dict[str, Any] = {}
        self.alive: set[str] = set()

    def search_runs(self, experiments: list[str], query: str, max_results: int) -> list[Any]:
        return list(self.there.values())

    def delete_run(self, run_id: str) -> None:
        # Another one may have been quicker; a store says nothing then.
        self.there.pop(run_id, None)

    def begin(self, run_id: str, since: datetime, key: str = "mtp-r01") -> Any:
        """Begin a run; what MLflow knows of it beside its data."""
        info = SimpleNamespace(run_id=run_id, status="RUNNING")
        tags = {UNIT: key, WRITER: writer(Process(machine="any", pid=1, started=1), since)}
        self.there[run_id] = SimpleNamespace(info=info, data=SimpleNamespace(tags=tags, metrics={}, params={}))
        return info

    def program(self, run_id: str, since: datetime) -> Iterator[None]:
        """A program that logs one repetition, a step at a time."""
        self.alive.add(run_id)
        store = cast(Store, self)
        if "mtp-r01" not in look(store, "1", "a").whole:
            yield
            info = self.begin(run_id, since)
            yield
            assert run_id in self.there, "it was deleted while it was being written"
            info.status = "FINISHED"
            yield
            look(store, "1", "a")

    def whole(self) -> int:
        return sum(run.info.status == "FINISHED" for run in self.there.values())


Steps = st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=40)


@settings(max_examples=300, deadline=None)
@given(steps=Steps, clocks=st.lists(st.integers(-9, 9), min_size=6, max_size=6), ids=st.permutations("abcdef"))
def test_in_every_order_of_steps_and_deaths_the_next_program_finds_or_leaves_exactly_one(
    steps: list[tuple[int, bool]], clocks: list[int], ids: list[str]
) -> None:
    """Five programs take steps in any order, or die, with clocks that are hours off; a sixth comes at the end."""
    store, now = Memory(), datetime(2026, 1, 1, tzinfo=UTC)
    programs = {n: store.program(ids[n], now + timedelta(hours=clocks[n])) for n in range(6)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single, "_writer_lives", lambda run: run.info.run_id in store.alive)
        last = programs.pop(5)
        dead = False
        for number, dies in steps:
            if number not in programs:
                continue
            before = store.whole()
            if dies:
                del programs[number]
                store.alive.discard(ids[number])
                dead = True
            else:
                with suppress(StopIteration):
                    next(programs[number])
            assert store.whole() >= min(before, 1)
        for number, program in programs.items():
            list(program)
            store.alive.discard(ids[number])
        if programs and not dead:
            assert store.whole() == 1
        list(last)
        assert [run.info.status for run in store.there.values()] == ["FINISHED"]


@given(order=st.permutations(range(6)), clocks=st.lists(st.integers(0, 1), min_size=6, max_size=6))
def test_everybody_keeps_the_same_run_in_whichever_order_a_store_names_them(
    order: list[int], clocks: list[int]
) -> None:
    def kept(numbers: Iterable[int]) -> list[str]:
        store = Memory()
        for number in numbers:
            store.begin("abcdef"[number], datetime(2026, 1, 1, clocks[number], tzinfo=UTC)).status = "FINISHED"
        look(cast(Store, store), "1", "a")
        return list(store.there)

    first = min(range(6), key=lambda number: (clocks[number], number))
    assert kept(order) == kept(range(6)) == ["abcdef"[first]]


@given(
    order=st.permutations(range(4)),
    statuses=st.lists(st.sampled_from(["FINISHED", "FAILED", "KILLED", "RUNNING"]), min_size=4, max_size=4),
    alive=st.sets(st.integers(0, 3)),
)
def test_of_the_sweeps_own_runs_one_that_ended_stays_or_else_one_that_a_dead_program_left(
    order: list[int], statuses: list[str], alive: set[int]
) -> None:
    store, day = Memory(), datetime(2026, 1, 1, tzinfo=UTC)
    for number in order:
        store.begin("abcd"[number], day + timedelta(hours=number), SWEEP).status = statuses[number]
    living = {"abcd"[n] for n in alive if statuses[n] == "RUNNING"}
    ended = [run_id for run_id, status in zip("abcd", statuses, strict=True) if status != "RUNNING"]
    dead = [run_id for run_id in "abcd" if run_id not in living and run_id not in ended]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single, "_writer_lives", lambda run: run.info.run_id in living)
        found = look(cast(Store, store), "1", "a")
    first = (ended + dead)[:1]
    assert [*found.whole.values()] == first
    assert {*store.there} == {*first, *living}
    assert found.busy == len(living)


def copies(folder: Path, uri: str, count: int) -> list[Path]:
    """The same run in so many folders, as on so many machines."""
    run = made(folder / "0", uri, "race")
    there = [folder / str(number) / run.folder.name for number in range(1, count)]
    for copy in there:
        shutil.copytree(run.folder, copy)
    return [run.folder, *there]


LOG = """\
import json, os, sys
import mlflow
from sweep.report.export import Exported, export
from sweep.report.summary import read_summary
from sweep.run.folder import open_run
for folders in map(json.loads, sys.stdin):
    runs = [open_run(folder) for folder in folders]
    logging = [(run, read_summary(run)) for run in runs]
    children = []
    for run, summary in logging:
        if (child := os.fork()) == 0:
            outcome = export(run, summary)["MLflow"]
            print(outcome, file=sys.stderr, flush=True)
            os._exit(0 if isinstance(outcome, Exported) else 4)
        children.append(child)
    print(*children, flush=True)
    print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children), flush=True)
"""
"""Logs the runs of a line's folders, each in a process of its own, all at once: their ids are the first line of its
answer, how they ended the second."""


class Logger:
    """A program that has imported what logs, of which those that log are forked."""

    def __init__(self, said: Path) -> None:
        """`said` is the file for what each of them says."""
        self._said = said
        with said.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LOG], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True
            )

    def begin(self, folders: list[Path]) -> list[int]:
        """Log all of these at once; the process of each."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([*map(str, folders)]) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def ended(self) -> list[int]:
        """The exit code of each."""
        codes = self._answer()
        # What each said is shown with a test that fails.
        print(self._said.read_text())
        return codes

    def _answer(self) -> list[int]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self._said.read_text()
        return [int(word) for word in line.split()]


@pytest.fixture(scope="module")
def logger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logger]:
    logger = Logger(tmp_path_factory.mktemp("logger") / "said")
    with logger.process as process:
        yield logger
        process.kill()


def test_all_that_log_first_to_one_new_file_succeed(logger: Logger, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    logger.begin(copies(tmp_path, uri, 4))
    assert logger.ended() == [0] * 4
    assert Place(uri).units("race") == ALL


def test_all_that_log_to_one_file_succeed(logger: Logger, place: Place, tmp_path: Path) -> None:
    logger.begin(copies(tmp_path, place.uri, 4))
    assert logger.ended() == [0] * 4
    assert place.units("race") == ALL


def test_a_program_that_dies_while_it_makes_a_new_file_ruins_nothing(logger: Logger, tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    folders = copies(tmp_path, f"sqlite:///{file}", 1)
    (first,) = logger.begin(folders)
    until(logger.process, lambda: any(part.stat().st_size > 0 for part in tmp_path.glob("mlflow.db*")))
    os.kill(first, signal.SIGKILL)
    assert logger.ended() == [-signal.SIGKILL]
    logger.begin(folders)
    assert logger.ended() == [0]
    assert Place(f"sqlite:///{file}").units("race") == ALL


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Place]:
    """An `mlflow server` of one worker, in a folder of its own."""
    port = free_port()
    command = "--host 127.0.0.1 --workers 1 --backend-store-uri sqlite:///s.db --artifacts-destination a --port"
    (tmp_path / "server").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *command.split(), str(port)],
        cwd=tmp_path / "server",
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until(process, lambda: listens(port))
        yield Place(f"http://127.0.0.1:{port}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_four_that_log_to_one_server_leave_each_run_once_although_one_is_killed(
    logger: Logger, server: Place, tmp_path: Path
) -> None:
    folders = copies(tmp_path, server.uri, 4)
    first, *_ = logger.begin(folders)
    until(logger.process, lambda: len(server.runs("race")) > 2)
    os.kill(first, signal.SIGKILL)
    assert logger.ended() == [-signal.SIGKILL, 0, 0, 0]
    logger.begin(folders[:1])
    assert logger.ended() == [0]
    assert server.units("race") == ALL
