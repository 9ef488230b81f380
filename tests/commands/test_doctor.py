"""What `sweep doctor` finds, where everything is well and where it is not."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cluster.nodes import GpuMemory, Node
from sweep.commands.doctor import command
from sweep.commands.health import inputs, machines, places
from sweep.commands.health.check import Check, State
from sweep.plan.config import SweepConfig
from sweep.plan.sweepfile import load
from tests.runs import SWEEP

MODELS = "model: somebody/a-model, draft_model: embedded:tiny-gemma4-assistant"
REAL = SWEEP.replace("simulated", "transformers").replace("model: none, draft_model: none", MODELS)


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(command, [*map(str, arguments)], standalone_mode=False, catch_exceptions=False)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a sweep file into an empty folder, with a hub that does not answer and an empty cache."""
    for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def written(text: str) -> Path:
        (tmp_path / "sweep.yaml").write_text(text)
        return tmp_path / "sweep.yaml"

    return written


def states(checks: Iterable[Check]) -> list[State]:
    return [check.state for check in checks]


def node(*, gpus: tuple[GpuMemory, ...] = (), ahead: float | None = None, asked_in: float = 0.0) -> Node:
    return Node(
        host="head",
        python="3.11.7",
        ray="2.60.0",
        gpus=gpus,
        scratch="/tmp",
        scratch_free=50 * 10**9,
        clock=time.time(),
        ahead=ahead,
        asked_in=asked_in,
    )


def of(config: SweepConfig, gpus: float, nodes: int = 1) -> SweepConfig:
    changes = {"gpus": gpus, "nodes": nodes}
    return config.model_copy(update={"engine": config.engine.model_copy(update=changes)})


def test_a_machine_where_all_is_well_exits_0_and_json_is_alone_on_stdout(write: Any, tmp_path: Path) -> None:
    text = SWEEP.replace("data.jsonl", "embedded:tiny-gemma4")
    result = doctor(write(text), "--runs", tmp_path / "runs", "--json")
    found = json.loads(result.stdout)
    assert (result.return_value, found["broken"]) == (0, False)
    assert {"Python", "ray", "Ray", "GPUs", "data set", "disk", "locks"} <= {c["name"] for c in found["checks"]}
    assert not (tmp_path / "runs").exists()


def test_something_broken_exits_4_and_every_broken_line_says_how_to_mend_it(write: Any) -> None:
    result = doctor(write(REAL), "--address", "127.0.0.1:1", "--json")
    checks = json.loads(result.stdout)["checks"]
    broken = [check for check in checks if check["state"] == "broken"]
    assert result.return_value == 4
    assert {"Ray", "model", "data set"} <= {check["name"] for check in broken}
    # What Ray's fault is says what to do already.
    assert all(check["remedy"] for check in broken if check["name"] != "Ray")
    assert [c["state"] for c in checks if c["name"] in ("GPUs", "clock")] == ["not checked"] * 2


def test_a_sweep_file_that_cannot_be_read_is_bad_input(tmp_path: Path) -> None:
    from sweep.errors import BadInput

    with pytest.raises(BadInput, match="no such sweep file"):
        doctor(tmp_path / "absent.yaml")


def test_a_model_in_the_cache_is_found_without_the_hub(write: Any, tmp_path: Path) -> None:
    snapshot = tmp_path / "hf" / "hub" / "models--somebody--a-model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    config = load(write(REAL))
    assert states(inputs.models(config, None)) == [State.BROKEN, State.OK]
    (snapshot / "config.json").touch()
    assert states(inputs.models(config, None)) == [State.OK, State.OK]


def test_a_folder_is_a_model_where_it_has_a_configuration(write: Any, tmp_path: Path) -> None:
    text = (
        REAL.replace("somebody/a-model", str(tmp_path))
        .replace("draft_model: none, ", "")
        .replace("draft: true", "")
    )
    config = load(write(text))
    assert states(inputs.models(config, None)) == [State.BROKEN, State.OK]
    assert states(inputs.models(config, "head:6379")) == [State.UNCHECKED, State.OK]
    (tmp_path / "config.json").touch()
    assert states(inputs.models(config, None)) == [State.OK, State.OK]


@pytest.mark.parametrize(("free", "state"), [(79_000, State.OK), (40_000, State.WARNING)])
def test_memory_that_something_else_holds_is_warned_of(free: int, state: State) -> None:
    gpu = GpuMemory(name="H100", total_mib=81_559, free_mib=free)
    assert states(machines.gpus(None, [node(gpus=(gpu,))])) == [state]


def test_an_engine_needs_its_gpus_on_one_machine(write: Any) -> None:
    gpu = GpuMemory(name="H100", total_mib=81_559, free_mib=81_000)
    config = load(write(REAL))
    nodes = [node(gpus=(gpu,)), node(gpus=(gpu,))]
    assert states(machines.gpus(of(config, 1), nodes)) == [State.OK] * 2
    assert states(machines.gpus(of(config, 2), nodes)) == [State.OK] * 2 + [State.BROKEN]
    assert states(machines.gpus(of(config, 2, nodes=2), nodes)) == [State.OK] * 2
    *_, last = machines.gpus(of(config, 4, nodes=2), [node(gpus=(gpu, gpu)), node(gpus=(gpu,))])
    assert last.state is State.BROKEN
    assert "2 on each of 2 machines, and 1 have" in last.text


def test_gpus_of_amds_are_warned_of() -> None:
    (warned, _) = machines.gpus(None, [replace(node(), amd=True)])
    assert warned.state is State.WARNING


@pytest.mark.parametrize(
    ("ahead", "asked_in", "state"),
    [(0.4, 0.1, State.OK), (-30, 0.1, State.WARNING), (300, 0.1, State.BROKEN), (6, 8, State.OK)],
)
def test_a_clock_is_judged_as_exactly_as_it_was_compared(ahead: float, asked_in: float, state: State) -> None:
    assert states(machines.clocks("head:6379", [node(ahead=ahead, asked_in=asked_in)])) == [state]


def test_other_versions_on_a_node_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "check_reachable", lambda address: None)
    monkeypatch.setattr(machines, "look", lambda address: (node(),))
    monkeypatch.setattr(machines, "here", node)
    assert states(machines.ray("head:6379", [])) == [State.OK]
    other = Node(**{**vars(node()), "ray": "2.59.0"})
    monkeypatch.setattr(machines, "here", lambda: other)
    assert states(machines.ray("head:6379", [])) == [State.OK, State.BROKEN]


@pytest.mark.parametrize(
    ("version", "needed", "state"),
    [("2.60.0", True, State.OK), ("2.40.0", True, State.BROKEN), ("2.40.0", False, State.WARNING)],
)
def test_a_version_out_of_range_is_broken_where_it_is_needed(
    version: str, needed: bool, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "_version", lambda name: version)
    assert machines._package("ray", ">=2.50,<3", needed).state is state


@pytest.mark.parametrize(
    ("options", "state"),
    [("rw,vers=4.2", State.OK), ("rw,nolock", State.WARNING), ("rw,local_lock=all", State.WARNING)],
)
def test_nfs_that_keeps_its_locks_to_itself_is_warned_of(
    options: str, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounts").write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 {options} 0 0\n")
    monkeypatch.setattr(places, "MOUNTS", tmp_path / "mounts")
    [check] = places.locks(tmp_path / "runs")
    assert check.state is state
    assert "nfs4" in check.text


@pytest.mark.parametrize(("gb", "state"), [(100, State.OK), (5, State.WARNING), (0.1, State.BROKEN)])
def test_a_disk_is_judged_by_what_is_free(gb: float, state: State) -> None:
    assert places._room("runs", int(gb * 10**9), writable=True).state is state


def test_a_store_is_looked_at_and_left_as_it_is(write: Any, tmp_path: Path) -> None:
    store = tmp_path / "mlflow.db"
    config = load(write(SWEEP.replace("uri: null", f"uri: sqlite:///{store}")))
    assert states(places.mlflow(config)) == [State.OK]
    assert not store.exists()
    store.write_text("no database, and longer than the head of one: " + "x" * 100)
    assert states(places.mlflow(config)) == [State.BROKEN]
    store.unlink()
    sqlite3.connect(store).execute("CREATE TABLE runs (id)").connection.close()
    before = store.read_bytes()
    assert states(places.mlflow(config)) == [State.OK]
    assert store.read_bytes() == before


def test_a_server_that_is_away_is_named_without_its_password(write: Any) -> None:
    config = load(write(SWEEP.replace("uri: null", "uri: http://me:hunter2@127.0.0.1:1")))
    [check] = places.mlflow(config)
    assert check.state is State.BROKEN
    assert "127.0.0.1:1" in check.text
    assert "hunter2" not in check.text
