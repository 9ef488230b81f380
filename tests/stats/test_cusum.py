"""The CUSUM of nightly scores: its run lengths are the published ones, and what it says of a change is right."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from scipy import stats

from sweep.errors import BadInput
from sweep.stats.cusum import gains, given_reference, limit_for, losses, reference, run_length, surprises
from sweep.stats.history import Chart, Given, History, Night, Side, follow


# Montgomery, "Introduction to Statistical Quality Control", table 9.3: two-sided, k = 1/2. In control a CUSUM of
# one side runs twice as long; far out of control the other side plays no part.
@pytest.mark.parametrize(
    ("limit", "shift", "published"),
    [
        (4, 0.0, 2 * 168), (5, 0.0, 2 * 465),
        (4, 0.5, 26.6), (4, 1.0, 8.38), (4, 2.0, 3.34), (4, 3.0, 2.19),
        (5, 0.5, 38.0), (5, 1.0, 10.4), (5, 2.0, 4.01), (5, 3.0, 2.57),
    ],
)  # fmt: skip
def test_run_lengths_are_the_published_ones(limit: float, shift: float, published: float) -> None:
    assert run_length(limit, shift) == pytest.approx(published, rel=0.005)


def test_the_limit_of_370_nights_on_two_sides_is_the_published_one() -> None:
    # Hawkins, "Cumulative sum control charting: an underutilized SPC tool" (1993): k = .5, h = 4.77 for 370.
    assert limit_for(2 * 370) == pytest.approx(4.77, abs=0.01)


def test_the_first_night_after_a_reference_is_student_s_t() -> None:
    before, night = np.array([[0.40, 0.42, 0.38, 0.41]]), np.array([[0.36]])
    known = reference(before, np.ones(4), 200)[0]
    t = (0.36 - before.mean()) / (before.std(ddof=1) * np.sqrt(1 + 1 / 4))
    assert surprises(known, night, np.ones(1)).item() == pytest.approx(stats.norm.ppf(stats.t.cdf(t, 3)))


def test_a_night_is_held_against_the_nights_before_it_too() -> None:
    scores = np.array([[0.40, 0.42, 0.38, 0.41, 0.39, 0.43]])
    stepwise = surprises(reference(scores[:, :3], np.ones(3), 200)[0], scores[:, 3:], np.ones(3))
    at_once = surprises(reference(scores[:, :5], np.ones(5), 200)[0], scores[:, 5:], np.ones(1))
    assert stepwise[0, -1] == pytest.approx(at_once.item())


def test_several_runs_a_night_count_as_a_better_known_night() -> None:
    known = given_reference(0.4, 0.02, 20, 200)[0]
    t = -0.01 / (0.02 * np.sqrt(1 / 4 + 1 / 20))
    found = surprises(known, np.array([[0.39]]), np.array([4.0])).item()
    assert found == pytest.approx(stats.norm.ppf(stats.t.cdf(t, 19)))


def test_the_cusum_adds_up_what_exceeds_half_a_standard_deviation() -> None:
    known = given_reference(0.4, 0.02, 20, 200)
    nights = np.array([[0.37, 0.38, 0.44]])
    worse = [-surprises(normal, nights, np.ones(3))[0] for normal in known]
    by_hand = [[max(0, u[0] - 0.5), 0.0, 0.0] for u in worse]
    for sums, u in zip(by_hand, worse, strict=True):
        sums[1] = max(0, sums[0] + u[1] - 0.5)
        sums[2] = max(0, sums[1] + u[2] - 0.5)
    assert losses(known, nights, np.ones(3))[0] == pytest.approx(np.min(by_hand, axis=0))
    assert gains(known, nights, np.ones(3))[0, 0] == 0


@pytest.mark.parametrize("nights", [5, 20])
def test_an_estimated_reference_keeps_the_run_length(nights: int) -> None:
    rng = np.random.default_rng(7)
    scores = np.rint(rng.normal(0.4, 0.025, (2000, nights + 100)) * 200) / 200
    path = losses(reference(scores[:, :nights], np.ones(nights), 200), scores[:, nights:], np.ones(100))
    # By the chain itself, from 0: 100 nights of 200 to a false alarm, three standard errors allowed.
    alarmed = float((path > limit_for(200)).any(axis=1).mean())
    assert alarmed == pytest.approx(1 - np.exp(-95 / 200), abs=0.04)


def nights(*scores: float | None) -> tuple[Night, ...]:
    first = date(2026, 3, 1)
    return tuple(
        Night(number=n, date=first + timedelta(n - 1), scores=() if score is None else (score,))
        for n, score in enumerate(scores, start=1)
    )


CALM = (0.40, 0.41, 0.39, 0.40, 0.405, 0.395, 0.41, 0.39, 0.40, 0.40)


def chart(*scores: float | None, **options: object) -> Chart:
    return follow(History(variant="mtp", questions=200, nights=nights(*scores)), 1000, **options)  # type: ignore[arg-type]


def test_a_loss_is_dated_and_measured() -> None:
    lower = [0.37, 0.375, 0.365, 0.37, 0.37, 0.37]
    change = chart(*CALM, 0.405, 0.40, *lower, nights=10).change
    assert change is not None
    assert (change.side, change.since) == (Side.LOWER, 12)
    assert change.size == pytest.approx(0.37 - np.mean([*CALM, 0.405, 0.40]))
    low, high = change.interval
    by_scipy = stats.ttest_ind(lower, [*CALM, 0.405, 0.40]).confidence_interval(0.95)
    assert low <= by_scipy.low + 1e-12
    assert high >= by_scipy.high - 1e-12


def test_calm_nights_give_no_alarm() -> None:
    assert chart(*CALM, *CALM).change is None


def test_a_gain_is_found_only_where_it_is_watched_for() -> None:
    risen = (*CALM, *[0.44] * 6)
    assert chart(*risen, nights=10).change is None
    change = chart(*risen, nights=10, sides=tuple(Side)).change
    assert change is not None
    assert change.side is Side.HIGHER


def test_two_sides_share_the_false_alarms() -> None:
    assert chart(*CALM, sides=tuple(Side)).limit == pytest.approx(limit_for(2000))


def test_a_failed_night_is_no_night() -> None:
    found = chart(*CALM, None, *[0.37] * 6, nights=10)
    assert len(found.history.measured) - found.used == 6
    assert found.change is not None
    assert found.history.measured[found.change.since].date == date(2026, 3, 12)


def test_a_contracts_spread_is_a_reference_for_the_very_first_night() -> None:
    change = chart(0.37, 0.36, 0.365, 0.36, given=Given(mean=0.41, std=0.02, runs=20)).change
    assert change is not None
    assert change.since == 0
    assert change.size == pytest.approx(0.36375 - 0.41)


def test_equal_scores_take_one_question_for_their_spread() -> None:
    still = [0.47] * 20
    assert chart(*still).change is None
    # Six questions of 200 lower: 6 / sqrt(1 + 1/20) = 5.86 of them, less 0.5, is over the limit of 5.07.
    assert chart(*still, 0.44).change is not None
    assert chart(*still, 0.465).change is None


@pytest.mark.parametrize("scores", [(0.4,), (0.4, 0.41, 0.39), (None, None, 0.4)])
def test_too_few_nights_are_refused(scores: tuple[float | None, ...]) -> None:
    with pytest.raises(BadInput, match="wait for more nights"):
        chart(*scores)
