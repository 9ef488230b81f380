"""What is sent with a detached sweep, what is refused before anything is, and where it settles on the head."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.jobs import Job, Jobs, JobState
from sweep.errors import BadInput
from sweep.plan.sweepfile import load
from sweep.plan.units import make_plan
from sweep.report.sweeps import State, jobs_of
from sweep.run.detached import SENT, packed, parcel, settle
from tests.conftest import SWEEP, small_sweep
from tests.processes import sweep

# A port that nothing listens on.
NOWHERE = "http://127.0.0.1:1"


def test_a_sweep_has_one_id_whoever_sends_it_and_on_the_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        sent.append(parcel(str(small_sweep(tmp_path / name)), (), NOWHERE))
    assert sent[0].plan.sweep_id == sent[1].plan.sweep_id
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    with packed(sent[0], installed=False) as folder:
        there = settle(str(folder / SENT))
        assert Path.cwd() == home / "accuracy-sweep"
        config = load(there)
    assert make_plan(config).sweep_id == sent[0].plan.sweep_id
    (data,) = (home / "accuracy-sweep" / "data").iterdir()
    assert data.read_bytes() == (tmp_path / "one" / "data.jsonl").read_bytes()


def test_other_data_under_the_same_name_are_another_sweep(tmp_path: Path) -> None:
    first = parcel(str(small_sweep(tmp_path)), (), NOWHERE).plan.sweep_id
    assert parcel(str(small_sweep(tmp_path, records=11)), (), NOWHERE).plan.sweep_id != first


def test_a_secret_that_is_written_out_is_not_sent(tmp_path: Path) -> None:
    text = SWEEP.replace("  engines: 2\n", "  engines: 2\n  environment: {HF_TOKEN: hf_planted}\n")
    file = small_sweep(tmp_path, text)
    with pytest.raises(BadInput) as refused:
        parcel(str(file), (), NOWHERE)
    assert f"{file}:7: engine.environment.HF_TOKEN" in refused.value.message
    assert "planted" not in refused.value.message


def test_what_the_environment_has_stays_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SWEEP.replace("  engines: 2\n", "  engines: 2\n  environment: {HF_TOKEN: '${ONE}', OTHER: '${TWO}'}\n")
    monkeypatch.setenv("ONE", "planted-here")
    monkeypatch.delenv("TWO", raising=False)
    with packed(parcel(str(small_sweep(tmp_path, text)), (), NOWHERE), installed=True) as folder:
        sent = (folder / SENT).read_text()
        assert {"${ONE}", "${TWO}"} <= set(sent.replace("'", "").split())
        assert "planted-here" not in sent


@pytest.mark.parametrize(
    ("where", "changes"),
    [
        ("engine.model", ("engine.model=./mine",)),
        ("perturb.build", ("perturb.build=[runs/other]",)),
        ("protocol.gold.run", ("protocol.task=match", "protocol.shots=0", "protocol.gold={run: runs/other}")),
    ],
)
def test_a_folder_of_this_machine_is_refused(tmp_path: Path, where: str, changes: tuple[str, ...]) -> None:
    file = small_sweep(tmp_path)
    with pytest.raises(BadInput) as refused:
        parcel(str(file), changes, NOWHERE)
    assert f": {where}" in refused.value.message


def test_a_fault_in_the_file_is_told_before_any_cluster_is_asked(tmp_path: Path) -> None:
    file = small_sweep(tmp_path, SWEEP.replace("repetitions: 2", "repetitions: none"))
    done = sweep("launch", file, "--detach", "--address", NOWHERE)
    assert done.returncode == 2
    assert f"{file}:17: repetitions" in done.stderr
    assert NOWHERE not in done.stderr


@pytest.mark.parametrize(
    "words", [("launch", "FILE", "--detach"), ("status",), ("list",), ("logs", "a"), ("stop", "a")]
)
def test_a_cluster_that_does_not_answer_is_one_line_and_4(tmp_path: Path, words: tuple[str, ...]) -> None:
    file = small_sweep(tmp_path)
    done = sweep(*(file if word == "FILE" else word for word in words), "--address", NOWHERE)
    assert done.returncode == 4
    first, *rest = done.stderr.splitlines()
    assert NOWHERE in first
    assert len(rest) == 1
    assert "unavailable" in rest[0]


def test_without_an_address_a_detached_launch_asks_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    done = sweep("launch", small_sweep(tmp_path), "--detach")
    assert done.returncode == 2
    assert "--address" in done.stderr


def test_a_secret_in_the_place_of_the_runs_is_refused(tmp_path: Path) -> None:
    url = "s3://me:planted-word@bucket/runs"
    done = sweep("launch", small_sweep(tmp_path), "--detach", "--address", NOWHERE, "--runs", url)
    assert done.returncode == 2
    assert "planted" not in done.stderr


class Listed(Jobs):
    """The jobs of a cluster that is not there."""

    def __init__(self, *jobs: Job) -> None:
        self._jobs = jobs

    def all(self) -> list[Job]:
        return list(self._jobs)

    def beside_log(self, job: Job, name: str) -> None:
        return None


def job(number: int, state: JobState, code: int | None = None) -> Job:
    return Job(
        id=f"small-1.{number}",
        state=state,
        metadata={"sweep": "small-1"},
        submitted=datetime(2026, 1, number, tzinfo=UTC),
        ended=None,
        exit_code=code,
        message="Job entrypoint command failed\nsweep: the model is not there" if code else "",
        node=None,
    )


@pytest.mark.parametrize(
    ("state", "code", "wanted"),
    [
        (JobState.PENDING, None, State.WAITING),
        (JobState.RUNNING, None, State.RUNNING),
        (JobState.STOPPED, None, State.INCOMPLETE),
        (JobState.SUCCEEDED, 0, State.FINISHED),
        # A sweep that came to its end without a contract, or with void units, has not failed.
        (JobState.FAILED, 7, State.FINISHED),
        (JobState.FAILED, 3, State.FINISHED),
        (JobState.FAILED, 130, State.INCOMPLETE),
        (JobState.FAILED, 4, State.FAILED),
        (JobState.FAILED, None, State.FAILED),
    ],
)
def test_a_jobs_state_says_what_its_sweep_is_at(state: JobState, code: int | None, wanted: State) -> None:
    (found,) = jobs_of(Listed(job(1, state, code)))
    assert found.state is wanted
    if wanted is State.FAILED and code:
        assert found.fault == "the model is not there"


def test_of_several_jobs_of_a_sweep_the_newest_counts() -> None:
    (found,) = jobs_of(Listed(job(2, JobState.RUNNING), job(1, JobState.STOPPED)))
    assert (found.job and found.job.id, found.state) == ("small-1.2", State.RUNNING)
