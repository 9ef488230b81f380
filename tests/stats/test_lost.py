"""Which questions were lost, given how many: held against counting all cases, and against simulated engines."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import special

from sweep.stats.lost import evidence, scatter, tally, which

SWEEPS, RUNS, QUESTIONS = 1_500, 20, 200


def drawn(chances: np.ndarray, rng: np.random.Generator, shift: float = 0.0, runs: int = RUNS) -> np.ndarray:
    """(SWEEPS, runs, QUESTIONS) answers; whole runs are moved on the log odds with this standard deviation."""
    of_run = shift * rng.standard_normal((SWEEPS, runs, 1))
    odds = special.logit(chances)[:, None] + of_run
    return rng.random((SWEEPS, runs, QUESTIONS)) < special.expit(odds)


def difficulties(rng: np.random.Generator) -> np.ndarray:
    """(SWEEPS, QUESTIONS): most questions are nearly always right or nearly always wrong."""
    return rng.beta(0.18, 0.12, (SWEEPS, QUESTIONS))


def test_questions_are_counted_by_how_often_they_were_right_in_all_runs_and_in_the_judged_ones() -> None:
    counted = tally(np.array([[2, 2, 0, 1]]), np.array([[1, 0, 0, 1]]), 2, 1)
    # Right in all runs: 3, 2, 0 and 2 times; two of them judged right, two wrong.
    assert counted.tolist() == [[[1, 0], [0, 0], [1, 1], [0, 1]]]


def test_the_probability_is_that_of_counting_all_ways_to_have_as_many_right() -> None:
    before, runs = np.repeat([9, 8, 6, 5, 3, 1], 3), 10
    now = np.array([0, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 0, 1, 0])
    totals = before + now
    counted = tally(before[None], now[None], runs, 1)
    says = np.diff(evidence(counted)[0])[totals, 0]
    below = tied = every = 0.0
    for case in product((0, 1), repeat=len(now)):
        if sum(case) == now.sum():
            # Without a change, a question that was right t of 11 times is right in this run with t / 11.
            chance = np.prod(np.where(case, totals / 11, 1 - totals / 11))
            every += chance
            gap = float(says @ (np.array(case) - now))
            below, tied = below + chance * (gap < -1e-9), tied + chance * (abs(gap) <= 1e-9)
    exact = (below + tied / 2) / every
    assert float(special.ndtr(which(counted).z.item())) == pytest.approx(exact, rel=0.2)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_a_cause_that_moves_whole_runs_is_not_taken_for_lost_questions(shift: float) -> None:
    rng = np.random.default_rng(1)
    runs = drawn(difficulties(rng), rng, shift, RUNS + 1)
    z = which(tally(runs[:, :RUNS].sum(axis=1), runs[:, RUNS].astype(int), RUNS, 1)).z
    # Three standard errors of 1,500 sweeps at 5 % are 1.7 %.
    assert (z < special.ndtri(0.05)).mean() < 0.067
    assert z.mean() > -0.1


def test_several_judged_runs_count_together() -> None:
    rng = np.random.default_rng(2)
    runs = drawn(difficulties(rng), rng, 0.0, RUNS + 4)
    z = which(tally(runs[:, :RUNS].sum(axis=1), runs[:, RUNS:].sum(axis=1), RUNS, 4)).z
    assert (z < special.ndtri(0.05)).mean() == pytest.approx(0.05, abs=0.017)
    assert z.std() == pytest.approx(1, abs=0.06)


def test_several_judged_runs_find_questions_that_are_lost_in_all_of_them_better_than_one_does() -> None:
    rng = np.random.default_rng(5)
    chances = difficulties(rng)
    before = drawn(chances, rng).sum(axis=1)
    known = (chances > 0.8) & (rng.random(chances.shape) < 0.05)
    runs = drawn(np.where(known, 1e-9, chances), rng, runs=5)
    found = [(which(tally(before, runs[:, :m].sum(axis=1), RUNS, m)).z < -3).mean() for m in (1, 2, 5)]
    assert found[0] < found[1] < found[2]
    assert found[2] > 0.8


def test_what_a_question_says_is_a_mixture_of_both_losses_worked_out_by_hand() -> None:
    # Ten questions right in 3 of 3 runs, ten in none: mean 1/2, and flips kept at a thousandth of their most, 1/4.
    counted = tally(np.array([[2, 0] * 10]), np.array([[2, 0] * 10]), 2, 2)
    a = b = 0.5 * 0.001 / 0.999
    lost = 0.03 / 0.5
    # Right twice before, then wrong twice: by an urn of 2 + a right and b wrong.
    urn = b / (2 + a + b) * (1 + b) / (3 + a + b)
    answers = (1 + lost * (2 + a) / b) ** 2
    questions = 1 - lost + lost / urn
    assert evidence(counted)[0, 2, 0] == pytest.approx(-np.log((answers + questions) / 2), rel=1e-4)
    kept = (1 - lost) ** 2
    assert evidence(counted)[0, 4, 2] == pytest.approx(-np.log((kept + 1 - lost) / 2), rel=1e-4)


def test_lost_answers_are_found_and_a_shift_of_every_question_is_not() -> None:
    rng = np.random.default_rng(3)
    chances = difficulties(rng)
    before = drawn(chances, rng).sum(axis=1)
    kept = rng.random((SWEEPS, QUESTIONS)) < 0.95
    lossy = (rng.random((SWEEPS, QUESTIONS)) < chances) & kept
    moved = rng.random((SWEEPS, QUESTIONS)) < special.expit(special.logit(chances) - 0.6)
    lost, shifted = (which(tally(before, now.astype(int), RUNS, 1)).z for now in (lossy, moved))
    assert (lost < special.ndtri(0.01)).mean() > 0.5
    assert (shifted < special.ndtri(0.01)).mean() < 0.03


def test_what_never_flips_says_nothing() -> None:
    found = which(tally(np.array([[20, 20, 0]]), np.array([[1, 1, 0]]), 20, 1))
    assert (found.z.item(), found.variance.item(), found.information.item()) == (0, 0, 0)


@pytest.mark.parametrize(("copies", "expected"), [(1, 1.0), (2, 2.0)])
def test_questions_that_come_twice_make_runs_agree_twice_as_far(copies: int, expected: float) -> None:
    rng = np.random.default_rng(4)
    dice = rng.random((200, RUNS, QUESTIONS // copies)).repeat(copies, axis=2)
    chances = rng.beta(0.6, 0.6, (200, 1, QUESTIONS // copies)).repeat(copies, axis=2)
    assert scatter(dice < chances).mean() == pytest.approx(expected, rel=0.05)


def test_runs_that_are_all_alike_have_no_scatter_to_speak_of() -> None:
    assert np.isnan(scatter(np.ones((1, 5, 40), dtype=bool))).all()
