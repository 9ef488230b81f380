"""What a plan says that it will find."""

from __future__ import annotations

from sweep.plan.sweepfile import load
from sweep.plan.units import make_plan
from sweep.report.plans import findable_lines


def test_two_repetitions_find_no_drop_and_none_is_named_that_is_larger_than_any_accuracy() -> None:
    # Student's t of one degree of freedom at 1 % is 31.8, so a drop of 80 % power is over 1 at a std of 0.022.
    [_, noisy] = findable_lines(make_plan(load("configs/gemma4-shape.yaml", ["repetitions=2"])), 200)
    assert "no drop of any size" in noisy
    [_, known] = findable_lines(make_plan(load("configs/gemma4-shape.yaml", ["repetitions=20"])), 200)
    assert "a drop of 0.0" in known
