"""Paired statistics: two variants, or two runs of one, on the same questions. Pure.

Repetitions are not more questions: a deterministic variant gives the same answers every time, and even a
noisy one answers the same 200 questions. So everything here works on one number a question (its share of
right answers over the repetitions, or the majority), and the repetitions only make that number sharper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from sweep.stats.describe import sample_std

Shares = npt.NDArray[np.float64]
"""(Q,): each question's share of right answers over the repetitions."""
Labels = npt.NDArray[np.object_]
"""(R,) of str: a name for each run, alike where the runs have it in common; None where it is not known."""
SAME = 1e-9
"""Differences of shares closer than this are equal: shares are multiples of 1/R, and the rest is rounding."""
CONFIDENCE = 0.7
"""Of the bound on the flips that `detectable_loss` takes as given."""
FAR = 1e4
"""Standard errors from which on a difference is found for sure; scipy's non-central t ends somewhere beyond."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """B's mean accuracy less A's, and how well it is known: what a two-sided t-test reads."""

    mean: float
    """-1..1, below 0 when B is worse."""
    standard_error: float | None
    """Of the mean; 0 where every question differs by the same amount, None where it is not known."""
    dof: float
    """Degrees of freedom of the standard error."""

    @property
    def p_value(self) -> float | None:
        """Two-sided, of no difference; None without a positive standard error, like those below."""
        from scipy import special

        error = self.standard_error
        return 2 * float(special.stdtr(self.dof, -abs(self.mean) / error)) if error else None

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """Both ends of the two-sided interval."""
        from scipy import special

        if not self.standard_error:
            return None
        reach = float(special.stdtrit(self.dof, (1 + confidence) / 2)) * self.standard_error
        return self.mean - reach, self.mean + reach

    def missed(self, loss: float, alpha: float) -> float:
        """The chance that the test at `alpha` misses a true loss, were all of it done again; 1 without an error.

        The standard error is an estimate itself, and half of all estimates are too small; so this is the mean over
        what it may be. At a true loss of delta standard errors the test's statistic is non-central t with delta; k
        *estimated* standard errors are k times a chi over the root of its degrees of freedom. The statistic's other
        tail is negligible.
        """
        from scipy import special

        if not self.standard_error:
            return 1.0
        delta = np.minimum(loss / self.standard_error * _chi(round(self.dof, 2)), FAR)
        critical = special.stdtrit(self.dof, 1 - alpha / 2)
        return float(np.nan_to_num(special.nctdtr(self.dof, delta, critical)).mean())

    def missed_for_good(self, loss: float, alpha: float) -> float:
        """The same over the questions, of a loss that is all of a few questions, right before and wrong after.

        Such a loss spreads the questions' differences itself: where s is the standard error squared, in questions,
        the test finds m lost questions if m^2 > c^2 (s + m), and m varies by s and, as a Poisson number does, by
        its mean. A loss that all questions share is found more surely.
        """
        from scipy import special

        if not self.standard_error:
            return 1.0
        questions, critical = self.dof + 1, float(special.stdtrit(self.dof, 1 - alpha / 2))
        lost, noise = loss * questions, (questions * self.standard_error) ** 2
        needed = (critical**2 + math.sqrt(critical**4 + 4 * critical**2 * noise)) / 2
        return float(special.ndtr((needed - lost) / math.sqrt(noise + lost)))


@cache
def _chi(dof: float) -> npt.NDArray[np.float64]:
    """(32,): equally likely values of an estimated standard error over the true one."""
    from scipy import special

    return np.asarray(np.sqrt(special.chdtri(dof, (np.arange(32) + 0.5) / 32) / dof))


def mcnemar(lost: int, gained: int) -> float:
    """Exact two-sided McNemar test that a flip goes either way with equal chance.

    A binomial test of `lost` among the discordant questions (McNemar 1947); 1 when there are none.
    """
    from scipy import special

    return min(1.0, 2 * float(special.bdtr(min(lost, gained), lost + gained, 0.5)))


def needed_losses(gained: int, alpha: float) -> int:
    """The fewest lost questions that `mcnemar` calls a loss at `alpha`, beside `gained` gained ones."""
    return int(_needed(gained, gained, alpha)[0])


@cache
def _needed(fewest: int, most: int, alpha: float) -> npt.NDArray[np.int64]:
    """`needed_losses` beside `fewest` gained ones, and one more, up to `most`."""
    from scipy import special

    gained = np.arange(fewest, most + 1)
    lost = gained + 1
    while (few := 2 * special.bdtr(gained, lost + gained, 0.5) >= alpha).any():
        lost = lost + few
    return lost


def mcnemar_power(questions: int, loss: float, flips: float, alpha: float) -> float:
    """The chance that `mcnemar` calls a true loss of `loss`, in accuracy, a loss at `alpha`.

    Each question is gained with probability flips / questions, and lost with `loss` more than that: near-ties flip
    answers both ways, `flips` questions each way on average. Exact: lost and gained are multinomial.
    """
    from scipy import special

    by_chance = flips / questions
    reach = 8 * math.sqrt(flips) + 16
    fewest, most = max(0, int(flips - reach)), min(questions, int(flips + reach))
    gained, needed = np.arange(fewest, most + 1), _needed(fewest, most, alpha)
    rest = questions - gained
    lost = min(1.0, (by_chance + loss) / (1 - by_chance))
    found = special.bdtrc(np.minimum(needed - 1, rest), rest, lost)
    return float(_binomial(gained, questions, by_chance) @ np.where(needed > rest, 0.0, found))


def _binomial(successes: npt.NDArray[np.int64], tries: int, chance: float) -> npt.NDArray[np.float64]:
    """The probability of each number of successes. Not by scipy.stats, which takes half a second to import."""
    from scipy import special

    others = tries - successes
    ways = special.gammaln(tries + 1) - special.gammaln(successes + 1) - special.gammaln(others + 1)
    return np.asarray(np.exp(ways + special.xlogy(successes, chance) + special.xlog1py(others, -chance)))


def detectable_loss(questions: int, lost: int, gained: int, alpha: float, power: float) -> float | None:
    """The smallest true loss, in accuracy, that the exact test finds with probability `power`, flips as seen.

    How often near-ties flip an answer is known from the flips alone: no loss makes the fewer of `lost` and `gained`
    more. Taken is their upper bound of 70 % confidence (Poisson), with which the power is kept on average over what
    may be seen, whatever the true number of flips is. None when even losing every question could not be told.
    """
    from scipy import optimize, special

    flips = float(special.gammaincinv(min(lost, gained) + 1, CONFIDENCE))
    most = 1 - 2 * flips / questions
    if most <= 0 or mcnemar_power(questions, most, flips, alpha) < power:
        return None

    def excess(loss: float) -> float:
        return mcnemar_power(questions, loss, flips, alpha) - power

    return float(optimize.brentq(excess, 0, most, xtol=1e-6))


def difference(a: Shares, b: Shares) -> Difference:
    """B - A over the questions, with Miller's paired standard error: None with one question.

    Miller, "Adding Error Bars to Evals", arXiv 2411.00640, section 4.2.
    """
    d = b - a
    error = None if len(d) < 2 else 0.0 if np.ptp(d) < SAME else float(np.std(d, ddof=1)) / math.sqrt(len(d))
    return Difference(mean=float(d.mean()), standard_error=error, dof=len(d) - 1)


def between_runs(a: Shares, b: Shares) -> Difference:
    """B - A between two sets of run scores, (R_a,) and (R_b,), as Welch tests it.

    Unlike `difference` it sees whole runs that move together. The standard error is sqrt(s_a^2 / R_a + s_b^2 / R_b)
    with Welch and Satterthwaite's degrees of freedom, but no more than they are at equal spreads: few runs that lie
    close together by chance would count for too much beside many (20 and 3 runs of one spread: 7.5 % of the 95 %
    intervals would miss). None with fewer than two runs on a side, and where neither side varies at all.
    """
    mean, one, other = float(b.mean() - a.mean()), sample_std(a), sample_std(b)
    if one is None or other is None or not (one or other):
        return Difference(mean=mean, standard_error=None, dof=0)
    of_a, of_b = one**2 / len(a), other**2 / len(b)
    dofs = [_satterthwaite(*parts, len(a) - 1, len(b) - 1) for parts in ((of_a, of_b), (1 / len(a), 1 / len(b)))]
    return Difference(mean=mean, standard_error=math.sqrt(of_a + of_b), dof=min(dofs))


def _satterthwaite(one: float, other: float, dof_one: int, dof_other: int) -> float:
    """Degrees of freedom of the sum of two variances of the mean."""
    return (one + other) ** 2 / (one**2 / dof_one + other**2 / dof_other)


def between_starts(a: Shares, b: Shares, starts_a: Labels, starts_b: Labels) -> Difference | None:
    """B - A between two sets of run scores, as the means of the engine's starts tell it: Student's t.

    `starts_a`, `starts_b`: (R_a,) and (R_b,), which start measured each run. Unlike `between_runs` it sees starts
    that differ, of which the runs of one start are copies. The variance between the starts of a side is pooled over
    both sides: few starts leave few degrees of freedom, S_a + S_b - 2. A start counts by its runs: a side of
    R runs has R^2 / sum m^2 starts' worth. None where the starts are not known, and for less than two degrees of
    freedom. The standard error is None where no start differs from another of its side.
    """
    sides = [_by_start(a, starts_a), _by_start(b, starts_b)]
    if any(means is None for means, _ in sides):
        return None
    means = [m for m, _ in sides if m is not None]
    dof = sum(map(len, means)) - 2
    if dof < 2:
        return None
    squares = sum(float(((m - m.mean()) ** 2).sum()) for m in means)
    error = math.sqrt(squares / dof * sum(1 / worth for _, worth in sides))
    return Difference(mean=float(b.mean() - a.mean()), standard_error=error if error > SAME else None, dof=dof)


def _by_start(scores: Shares, starts: Labels) -> tuple[Shares | None, float]:
    """(S,) means of the starts, None where one is unknown; and how many equal starts the runs are worth."""
    if any(start is None for start in starts):
        return None, 1.0
    _, place = np.unique(starts.astype(str), return_inverse=True)
    runs = np.bincount(place)
    return np.bincount(place, weights=scores) / runs, len(scores) ** 2 / float((runs**2).sum())


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm, Scand. J. Statist. 6, 1979).

    By hand, because statsmodels' multipletests collects garbage on each call: 0.1 s, most of a report's time.
    """
    values = np.asarray(p_values, dtype=float)
    order, adjusted = np.argsort(values), np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1.0)
    return [float(p) for p in adjusted]
