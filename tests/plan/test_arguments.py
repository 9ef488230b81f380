"""Engine arguments are judged before anything starts, and each fault says where it is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sweep.commands.plan import command
from sweep.errors import BadInput
from sweep.plan.sweepfile import check_arguments, line_of, load
from sweep.plan.units import make_plan
from sweep.plan.variants import argument_path
from tests.conftest import SWEEP

ROOT = Path(__file__).parents[2]


def faults(file: Path) -> list[str]:
    with pytest.raises(BadInput) as refused:
        check_arguments(make_plan(load(file)), str(file))
    return refused.value.message.splitlines()[1:]


def test_a_fault_names_the_line_of_the_level_that_has_it_and_the_variants_it_makes(tmp_path: Path) -> None:
    text = (ROOT / "configs" / "gemma4.yaml").read_text()
    # Six draft tokens are written once, for top-k 1; both modes of it get them.
    line = text.splitlines().index("        speculative_num_draft_tokens: 6") + 1
    file = tmp_path / "gemma4.yaml"
    file.write_text(text.replace("speculative_num_draft_tokens: 6", "speculative_num_draft_tokens: 5"))
    (fault,) = faults(file)
    assert fault.startswith(f"{file}:{line}: speculative_num_draft_tokens: ")
    assert fault.endswith("(variant topk1-plain, topk1-det)")


def test_a_fault_of_a_shared_argument_is_told_once(write_sweep: Callable[[str], Path]) -> None:
    file = write_sweep(SWEEP.replace("  engines: 2\n", "  engines: 2\n  arguments: {nose: 0.1}\n"))
    line = file.read_text().splitlines().index("  arguments: {nose: 0.1}") + 1
    (fault,) = faults(file)
    assert fault.startswith(f"{file}:{line}: nose: ")
    assert fault.endswith("did you mean noise? (variant baseline, mtp)")


def test_a_fault_of_the_reference_names_its_line_there(write_sweep: Callable[[str], Path]) -> None:
    file = write_sweep(f"{SWEEP}reference:\n  backend: simulated\n  arguments: {{nose: 0.1}}\n")
    (fault,) = faults(file)
    assert fault.startswith(f"{file}:{len(file.read_text().splitlines())}: nose: ")
    assert fault.endswith("(variant reference)")


GRID = """\
grid:
  kind: {one: {}, two: {arguments: {nose: 2}}}
  mouth:
  - 1
  - 2
"""


def test_a_fault_names_exactly_the_place_that_gives_the_variant_its_argument(
    write_sweep: Callable[[str], Path],
) -> None:
    # `one` and `nose` are parts of other names too; each line is the one that counts for its variant.
    text = SWEEP.replace("  engines: 2\n", "  engines: 2\n  arguments: {ear: 1}\n")
    text = text.replace("  mtp: {draft: true}\n", "  mtp: {draft: true}\n  one: {arguments: {ear: 2, nose: 3}}\n")
    file = write_sweep(text + GRID + "perturb: {arguments: {eye: [1]}}\n")
    lines = file.read_text().splitlines()
    at = {line.strip(): number for number, line in enumerate(lines, start=1)}
    engine, one = at["arguments: {ear: 1}"], at["one: {arguments: {ear: 2, nose: 3}}"]
    kind, eye = at["kind: {one: {}, two: {arguments: {nose: 2}}}"], at["perturb: {arguments: {eye: [1]}}"]
    plan = make_plan(load(file))
    places = {
        (v.name, key): line_of(file, argument_path(plan.config, v, key))
        for v in plan.measured
        for key in v.arguments
    }
    assert places["mtp", "ear"] == places["two-mouth=1", "ear"] == engine
    assert places["one", "ear"] == places["one", "nose"] == one
    assert places["two-mouth=1", "nose"] == kind
    assert (places["one-mouth=1", "mouth"], places["one-mouth=2", "mouth"]) == (at["- 1"], at["- 2"])
    assert places["one+eye=1", "eye"] == eye
    assert places["one+eye=1", "nose"] == one


SGLANG = """\
name: v
engine: {{backend: sglang, model: Qwen/Qwen3-8B, gpus: {gpus}, arguments: {arguments}}}
variants: {{a: {{}}}}
protocol: {{dataset: {{path: openai/gsm8k, config: main}}, shots: 5, questions: 200}}
repetitions: 3
"""


def plan_argv(tmp_path: Path, gpus: float, arguments: str) -> Result:
    """`sweep plan --argv` of an SGLang variant, where SGLang is not installed."""
    file = tmp_path / "sweep.yaml"
    file.write_text(SGLANG.format(gpus=gpus, arguments=arguments))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cluster.engines.sglang.arguments.find_spec", lambda name: None)
        return CliRunner().invoke(command, [str(file), "--argv"])


def refused_lines(result: Result) -> list[str]:
    assert isinstance(result.exception, BadInput)
    assert result.exception.exit_code == 2
    assert result.stdout == ""
    return result.exception.message.splitlines()[1:]


@pytest.mark.parametrize(
    ("gpus", "arguments", "flags"),
    [
        # Data parallelism without tp: one GPU for each replica.
        (8, "{dp_size: 8}", "--tp-size 1 --dp-size 8"),
        (4, "{tp_size: 1, pp_size: 4}", "--tp-size 1 --pp-size 4"),
        (8, "{tp_size: 8, dp_size: 8, enable_dp_attention: true}", "--tp-size 8 --dp-size 8 --enable-dp-attention"),
        (1, "{speculative_algorithm: NGRAM}", "--tp-size 1 --speculative-algorithm NGRAM"),
    ],
)
def test_a_layout_that_fits_its_gpus_is_planned(tmp_path: Path, gpus: int, arguments: str, flags: str) -> None:
    result = plan_argv(tmp_path, gpus, arguments)
    assert result.exit_code == 0
    expected = f"python -m sglang.launch_server --model-path Qwen/Qwen3-8B {flags}"
    assert result.stdout.splitlines() == ["# a", expected]


@pytest.mark.parametrize(
    ("gpus", "arguments", "arithmetic"),
    [
        (2, "{tp_size: 2, dp_size: 4}", "tp_size 2 x dp_size 4 x pp_size 1 = 8 GPUs, but an engine owns 2"),
        (8, "{tp_size: 8, dp_size: 8}", "tp_size 8 x dp_size 8 x pp_size 1 = 64 GPUs, but an engine owns 8"),
        (8, "{tp_size: 2}", "tp_size 2 x dp_size 1 x pp_size 1 = 2 GPUs, but an engine owns 8"),
        (0, "{}", "tp_size 1 x dp_size 1 x pp_size 1 = 1 GPU, but an engine owns 0"),
    ],
)
def test_a_layout_that_does_not_fit_its_gpus_is_refused_with_the_arithmetic(
    tmp_path: Path, gpus: int, arguments: str, arithmetic: str
) -> None:
    (fault,) = refused_lines(plan_argv(tmp_path, gpus, arguments))
    assert fault.startswith(f"{tmp_path / 'sweep.yaml'}:2: gpus: {arithmetic}")


def test_dashes_and_aliases_are_refused_by_name_before_a_command_line_is_printed(tmp_path: Path) -> None:
    faults = refused_lines(plan_argv(tmp_path, 2, "{--tp-size: 2, mem-fraction-static: 0.8, tp: 2}"))
    names = ["--tp-size", "mem-fraction-static", "tp"]
    assert [fault.removeprefix(f"{tmp_path / 'sweep.yaml'}:2: ").partition(":")[0] for fault in faults] == names
    assert ["tp_size?" in fault for fault in faults] == [True, False, True]


def test_a_server_that_only_prefills_is_refused(tmp_path: Path) -> None:
    (fault,) = refused_lines(plan_argv(tmp_path, 4, "{tp_size: 4, disaggregation_mode: prefill}"))
    assert ":2: disaggregation_mode: " in fault


def test_a_fault_of_an_override_is_told_of_it_and_not_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP)
    overrides = ("engine.arguments.noize=1",)
    with pytest.raises(BadInput, match=r"--set engine\.arguments\.noize=1: noize"):
        check_arguments(make_plan(load(file, overrides)), str(file), overrides=overrides)


def test_faults_stand_in_the_order_of_the_lines_and_those_of_overrides_last(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "repetitions: -1\nname: '!'\nengine: {backend: simulated, model: none}\nvariants: {a: {}}\n"
        "protocol: {dataset: {path: embedded:tiny-gemma4}}\n"
    )
    with pytest.raises(BadInput) as refused:
        load(file, ["engine.starts=0"])
    places = [line.split(": ")[0] for line in refused.value.message.splitlines()[1:]]
    assert places == [f"{file}:1", f"{file}:2", "--set engine.starts=0"]
