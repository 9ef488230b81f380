"""The seam for engines: a stranger's backend is one module and one line, and nobody else is named."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import sweep
from cluster.actor import EngineActor
from cluster.backends import BACKENDS, check_installed, check_specs, runs_model
from cluster.errors import EngineStartFailed, RequestFailed
from cluster.spec import Batch, Completion, Device, EngineFacts, EngineSpec, Gpu, Request
from sweep.commands.plan import command
from sweep.errors import BadInput
from sweep.plan.sweepfile import check_arguments, load
from sweep.plan.units import make_plan
from sweep.report.conclude import conclude
from sweep.run.driver import Driver
from sweep.run.folder import Run, create_run
from sweep.tasks import dataset
from tests.cluster.toy_backend import ToyEngine
from tests.conftest import SWEEP
from tests.fake_pool import ActorPool, FakePool, Notes

Write = Callable[[str], Path]
TOY = SWEEP.replace("simulated", "toy").replace(
    "  baseline: {}\n  mtp: {draft: true}\n",
    "  baseline: {arguments: {exact: true}}\n"
    "  other: {arguments: {exact: false}}\n"
    "  mtp: {draft: true, arguments: {exact: true, toy_draft_depth: 2}}\n",
)


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "toy", "tests.cluster.toy_backend")


def drive(file: Path, pool: ActorPool | FakePool) -> Run:
    """A launch of the sweep on a pool in this process."""
    plan = make_plan(load(file))
    questionnaire = dataset.load(plan.config.protocol)
    run = create_run(file.parent / "runs", plan)
    run.pin(questionnaire)
    driver = Driver(run, questionnaire, pool, Notes())
    driver.drive({}, lambda: False)
    assert not run.void()
    assert sorted(run.done()[0]) == sorted(unit.id for unit in plan.units)
    return run


def test_a_sweep_runs_through_a_stranger_s_backend_to_its_report(write_sweep: Write) -> None:
    run = drive(write_sweep(TOY), ActorPool("engine-1"))
    summary = conclude(run)
    # It adds, and every question of the data set asks for a sum.
    assert [v.accuracy.per_repetition for v in summary.variants.values()] == [(1.0, 1.0)] * 3
    assert (summary.backend, summary.real_model, summary.complete) == ("toy", True, True)
    assert summary.variants["mtp"].baseline == "baseline"
    # Six words in three steps of two.
    assert summary.variants["mtp"].accept_length == pytest.approx(6 / 3)
    assert (run.folder / "report.md").is_file()


def test_what_arguments_claim_is_the_backend_s_to_say(write_sweep: Write) -> None:
    variants = {v.name: v for v in make_plan(load(write_sweep(TOY))).variants}
    assert {name: v.deterministic for name, v in variants.items()} == {
        "baseline": True,
        "other": False,
        "mtp": True,
    }
    # The one that differs only in the draft, though `other` is without one too.
    assert variants["mtp"].baseline == "baseline"


def test_its_arguments_gpus_and_command_line_reach_the_plan(write_sweep: Write) -> None:
    printed = CliRunner().invoke(command, [str(write_sweep(TOY)), "--argv"]).output
    assert printed.splitlines()[:2] == ["# baseline", "serve-toy none"]
    file = write_sweep(
        TOY.replace("model: none\n", "model: none\n  gpus: 2\n  arguments: {cards: 4, size: 3}\n", 1)
    )
    with pytest.raises(BadInput) as refused:
        check_arguments(make_plan(load(file)), str(file))
    assert "size: " in refused.value.message
    assert f"{file}:5: gpus: " in refused.value.message
    assert re.search(r":5: gpus: \D* 4 GPUs\D* 2\b", refused.value.message)


def test_a_backend_without_a_command_line_says_so(write_sweep: Write) -> None:
    result = CliRunner().invoke(command, [str(write_sweep(SWEEP)), "--argv"])
    assert isinstance(result.exception, BadInput)
    assert "simulated" in result.exception.message


def test_an_unknown_backend_is_a_fault_with_its_line_and_the_nearest_name(write_sweep: Write) -> None:
    file = write_sweep(SWEEP.replace("simulated", "tyo"))
    with pytest.raises(BadInput) as refused:
        load(file)
    assert f"{file}:3: engine.backend: " in refused.value.message
    assert "did you mean toy?" in refused.value.message


def test_answers_go_to_an_engine_without_a_model_and_to_no_other(write_sweep: Write) -> None:
    expected = {f"test-{n}": f" {n}+{n}={2 * n}\n#### {2 * n}" for n in range(2, 6)}
    for name in BACKENDS:
        folder = write_sweep(SWEEP.replace("simulated", name)).parent
        pool = FakePool()
        drive(folder / "sweep.yaml", pool)
        assert [spec.answers for spec in pool.specs] == [expected if name == "simulated" else None] * 2


def test_only_the_simulated_backend_runs_no_model() -> None:
    assert {name for name in BACKENDS if not runs_model(name)} == {"simulated"}
    assert runs_model("somebody else's")


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(BadInput, match=r"torch and transformers.*\[cpu\]"):
        check_installed("transformers")
    check_installed("toy")


@pytest.mark.parametrize(
    ("gpus", "arguments", "faults"),
    [
        (0.0, {"cards": 4}, 1),
        (2.0, {"cards": 4}, 1),
        (4.0, {"cards": 4}, 0),
        (8.0, {"cards": 4}, 1),
        (0.5, {"cards": 1}, 0),
        (0.5, {"cards": 2}, 1),
        # It does not say.
        (4.0, {}, 0),
    ],
)
def test_an_engine_owns_as_many_gpus_as_it_uses(gpus: float, arguments: dict[str, int], faults: int) -> None:
    spec = EngineSpec(label="v", backend="toy", model="m", gpus=gpus, arguments=arguments)
    assert [key for key, _ in check_specs("toy", [spec])[0]] == ["gpus"] * faults


@pytest.mark.parametrize(("gpus", "faults"), [(0.0, 0), (0.5, 0), (1.0, 0), (2.0, 1)])
def test_transformers_has_its_model_on_one_gpu(gpus: float, faults: int) -> None:
    spec = EngineSpec(label="v", backend="transformers", model="embedded:tiny-gemma4", gpus=gpus)
    assert [key for key, _ in check_specs("transformers", [spec])[0]] == ["gpus"] * faults


@pytest.mark.parametrize(
    ("backend", "gpus", "nodes", "keys"),
    [
        ("simulated", 16.0, 2, []),
        ("simulated", 2.0, 2, []),
        ("simulated", 15.0, 2, ["gpus"]),
        ("simulated", 0.5, 2, ["gpus"]),
        ("simulated", 0.0, 2, ["gpus"]),
        ("toy", 16.0, 2, ["nodes"]),
        ("toy", 16.0, 1, []),
    ],
)
def test_an_engine_on_several_machines_has_equal_parts_if_its_backend_can_have_parts(
    backend: str, gpus: float, nodes: int, keys: list[str]
) -> None:
    spec = EngineSpec(label="v", backend=backend, model="m", gpus=gpus, nodes=nodes)
    assert [key for key, _ in check_specs(backend, [spec])[0]] == keys


def test_the_machines_of_an_engine_are_in_the_plan_and_a_fault_of_them_has_its_line(write_sweep: Write) -> None:
    text = SWEEP.replace("engines: 2\n", "gpus: 16\n  nodes: 2\n")
    file = write_sweep(text)
    assert json.loads(CliRunner().invoke(command, [str(file), "--json"]).output)["nodes_per_engine"] == 2
    assert "16 GPUs each, 8 on each of 2 nodes" in CliRunner().invoke(command, [str(file)]).output
    file.write_text(text.replace("nodes: 2", "nodes: 3"))
    with pytest.raises(BadInput, match=rf"{file}:6: gpus: 16 GPUs"):
        check_arguments(make_plan(load(file)), str(file))


def test_a_sweep_keeps_its_id_where_an_engine_is_on_one_machine_and_no_other(write_sweep: Write) -> None:
    def id_of(nodes: int | None) -> str:
        setting = "" if nodes is None else f"nodes: {nodes}\n  "
        return make_plan(load(write_sweep(SWEEP.replace("engines: 2", f"{setting}gpus: 2")))).sweep_id

    assert id_of(None) == id_of(1) != id_of(2)


def test_an_engine_does_not_choose_its_own_gpus(write_sweep: Write) -> None:
    text = TOY.replace("model: none\n", "model: none\n  environment: {CUDA_VISIBLE_DEVICES: '3'}\n", 1)
    file = write_sweep(text)
    with pytest.raises(BadInput, match="CUDA_VISIBLE_DEVICES") as refused:
        check_arguments(make_plan(load(file)), str(file))
    assert f"{file}:5: environment: " in refused.value.message
    blind = EngineSpec(label="v", backend="toy", model="m", environment={"CUDA_VISIBLE_DEVICES": ""})
    assert check_specs("toy", [blind]) == [[]]


def test_models_that_are_not_there_are_faults_of_the_file(
    write_sweep: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    text = TOY.replace("model: none\n", "model: embedded:tiny-gema4\n", 1)
    file = write_sweep(text.replace("draft_model: none", "draft_model: ./no-such-folder"))
    with pytest.raises(BadInput) as refused:
        check_arguments(make_plan(load(file)), str(file))
    _, model, draft = refused.value.message.splitlines()
    assert model.startswith(f"{file}:4: model: ")
    assert "did you mean embedded:tiny-gemma4?" in model
    assert draft.startswith(f"{file}:5: draft_model: {file.parent / 'no-such-folder'}: ")
    assert draft.endswith("(variant mtp)")


def test_a_model_in_a_folder_may_be_on_the_cluster_s_machines_alone(
    write_sweep: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    file = write_sweep(TOY.replace("model: none\n", "model: /no/such/folder\n", 1))
    plan = make_plan(load(file))
    with pytest.raises(BadInput):
        check_arguments(plan, str(file))
    check_arguments(plan, str(file), "ray://head:10001")
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    check_arguments(plan, str(file))


def facts(*names: str) -> EngineFacts:
    device = Device(host="node", gpus=tuple(Gpu(name=name) for name in names))
    return EngineFacts(
        backend="toy", versions={}, device=device, fingerprint_of="text", start_seconds={}, arguments={}
    )


@pytest.mark.parametrize(
    ("gpus", "names", "starts"),
    [
        (0.0, [], True),
        (1.0, ["NVIDIA H100"], True),
        (0.5, ["NVIDIA H100"], True),
        (1.0, [], False),
        (1.0, [""], False),
        (2.0, ["NVIDIA H100"], False),
        (1.0, ["NVIDIA H100", "NVIDIA H100"], False),
    ],
)
def test_an_engine_starts_only_on_the_gpus_that_the_file_gives_it(
    gpus: float, names: list[str], starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr(ToyEngine, "describe", lambda engine: facts(*names))
    monkeypatch.setattr(ToyEngine, "stop", lambda engine: stopped.append(True))
    actor = EngineActor("engine-1")
    spec = EngineSpec(label="v", backend="toy", model="m", gpus=gpus)
    if starts:
        assert actor.load(spec, lambda phase, log: None) == facts(*names)
        return
    with pytest.raises(EngineStartFailed, match=f"engine.gpus is {gpus:g}, but on node") as refused:
        actor.load(spec, lambda phase, log: None)
    assert refused.value.exit_code == 4
    assert stopped == [True]


def test_a_part_of_an_engine_starts_on_its_share_of_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyEngine, "describe", lambda engine: facts("NVIDIA H100"))
    actor = EngineActor("engine-1/2")
    spec = EngineSpec(label="v", backend="toy", model="m", gpus=2.0, nodes=2, rank=1)
    assert actor.load(spec, lambda phase, log: None, "head:20000") == facts("NVIDIA H100")
    with pytest.raises(EngineStartFailed, match="2 on each of 2 machines"):
        actor.load(replace(spec, gpus=4.0), lambda phase, log: None, "head:20000")


@pytest.mark.parametrize(
    "answers",
    [lambda all: all[:-1], lambda all: [*all, all[0]], lambda all: [*all[1:], all[1]]],
    ids=["too few", "one twice", "one in place of another"],
)
def test_an_engine_s_answers_are_those_that_were_asked_for_or_the_unit_is_tried_again(
    answers: Callable[[list[Completion]], list[Completion]], monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = ToyEngine.generate
    monkeypatch.setattr(ToyEngine, "generate", lambda engine, batch: answers(generate(engine, batch)))
    actor = EngineActor("engine-1")
    actor.load(EngineSpec(label="v", backend="toy", model="m"), lambda phase, log: None)
    requests = tuple(Request(id=name, prompt="Question: 1 and 2") for name in "abc")
    batch = Batch(requests=requests, concurrency=1, max_tokens=9, temperature=0.0, stop=(), seed=0, attempt=1)
    with pytest.raises(RequestFailed, match="engine-1"):
        actor.run(batch)


def test_a_simulated_engine_s_gpus_are_logical() -> None:
    spec = EngineSpec(label="v", backend="simulated", model="m", gpus=2, arguments={"start_seconds": 0}, answers={})
    assert EngineActor("engine-1").load(spec, lambda phase, log: None).device.gpus == ()


def test_questions_about_arguments_import_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from cluster.backends import BACKENDS, backend\n"
        "from cluster.spec import EngineSpec\n"
        "for name in BACKENDS:\n"
        "    spec = EngineSpec(label='v', backend=name, model='m')\n"
        "    chosen = backend(name)\n"
        "    chosen.deterministic({}), chosen.speculative('a'), chosen.gpus(spec), chosen.command_line(spec)\n"
        "heavy = {'ray', 'torch', 'sglang', 'transformers', 'numpy', 'mlflow', 'datasets'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_no_backend_is_named_outside_of_cluster() -> None:
    # `sweep power` has results that are simulated, under that name, and MLflow is started as `mlflow server`;
    # an imported run knows the version of the package transformers.
    other = {("simulated", "power.py"), ("simulated", "rehearsal.py"), ("simulated", "planning.py")}
    other |= {("server", "mlflow_server.py"), ("transformers", "lm_eval.py")}
    named = [
        f"{file}:{node.lineno}: {node.value}"
        for file in Path(sweep.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value in BACKENDS
        if (node.value, file.name) not in other
    ]
    assert named == []


def test_no_backend_s_argument_is_named_outside_of_cluster() -> None:
    names = ("speculative_", "num_assistant_tokens", "enable_deterministic_inference", "tp_size")
    named = [
        f"{file}: {name}"
        for file in Path(sweep.__file__).parent.rglob("*.py")
        for name in names
        if name in file.read_text()
    ]
    assert named == []


def test_a_name_of_a_model_in_the_package_is_checked_for_every_backend() -> None:
    for name in BACKENDS:
        spec = EngineSpec(label="v", backend=name, model="embedded:tiny-gema4")
        assert "model" in {key for key, _ in check_specs(name, [spec])[0]}
