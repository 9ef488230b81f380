"""Engine arguments are judged before anything starts, and each fault says where it is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.errors import BadInput
from sweep.plan.check import check_arguments
from sweep.plan.sweepfile import load
from sweep.plan.units import make_plan
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
    assert fault.startswith(f"{file}:{line}: speculative_num_draft_tokens: top-k 1 drafts a chain")
    assert fault.endswith("(variant topk1-plain, topk1-det)")


def test_a_fault_of_a_shared_argument_is_told_once(write_sweep: Callable[[str], Path]) -> None:
    file = write_sweep(SWEEP.replace("  engines: 2\n", "  engines: 2\n  arguments: {nose: 0.1}\n"))
    line = file.read_text().splitlines().index("  arguments: {nose: 0.1}") + 1
    assert faults(file) == [f"{file}:{line}: nose: unknown argument; did you mean noise? (variant baseline, mtp)"]
