"""The ratio of two accept lengths."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sweep.stats.accept_length import accept_ratio


def test_the_ratio_is_of_sums_and_its_interval_is_worked_out_by_hand() -> None:
    """Both accept 20 tokens in 4 steps. The influences are -1/2 and 1/2: their std is sqrt(1/2), the standard error
    1/2. Student's t at 1 degree of freedom has its 97.5 % point at tan(0.475 pi)."""
    tokens = np.array([10.0, 10.0])
    ratio = accept_ratio(tokens, np.array([2.0, 2.0]), tokens, np.array([1.0, 3.0]), alpha=0.05)
    assert ratio.value == pytest.approx(1)
    assert ratio.high == pytest.approx(math.exp(math.tan(0.475 * math.pi) / 2))
    assert ratio.low == pytest.approx(1 / ratio.high)


def test_questions_that_all_need_a_fifth_more_steps_leave_no_doubt() -> None:
    tokens, steps = np.full(9, 60.0), np.arange(10.0, 19.0)
    ratio = accept_ratio(tokens, 1.2 * steps, tokens, steps, alpha=0.05)
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((1 / 1.2,) * 3)


def test_the_interval_holds_the_true_ratio_as_often_as_it_says() -> None:
    """Steps of both are drawn around a common difficulty, those of one a tenth more: 2,000 times of 30
    questions."""
    draws = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        difficulty = draws.uniform(8, 30, 30)
        steps = draws.normal(1.1 * difficulty, 1.0)
        others = draws.normal(difficulty, 1.0)
        ratio = accept_ratio(np.full(30, 80.0), steps, np.full(30, 80.0), others, alpha=0.05)
        held += ratio.low <= 1 / 1.1 <= ratio.high
    assert held / 2000 == pytest.approx(0.95, abs=0.015)


def test_one_question_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two questions"):
        accept_ratio(np.ones(1), np.ones(1), np.ones(1), np.ones(1), alpha=0.05)
