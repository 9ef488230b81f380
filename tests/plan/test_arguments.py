"""Engine arguments are judged before anything starts, and each fault says where it is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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
