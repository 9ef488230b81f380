"""Paired statistics: two variants, or two runs of one, on the same questions. Pure.

Repetitions are not more questions: a deterministic variant gives the same answers every time, and even a
noisy one answers the same 200 questions. So everything here works on one number a question (its share of
right answers over the repetitions, or the majority), and the repetitions only make that number sharper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweep.stats.describe import sample_std

Shares = npt.NDArray[np.float64]
"""(Q,): each question's share of right answers over the repetitions."""
SAME = 1e-9
"""Differences of shares closer than this are equal: shares are multiples of 1/R, and the rest is rounding."""


@dataclass(frozen=True, kw_only=True)
class Flips:
    """Questions that change side between A and B, by the majority of each one's repetitions."""

    lost: npt.NDArray[np.intp]
    """Columns right in A and wrong in B, ascending."""
    gained: npt.NDArray[np.intp]
    """Columns wrong in A and right in B, ascending."""
    tied: int
    """Questions without a majority in A or in B; they count for neither side."""

    @property
    def p_value(self) -> float:
        """Exact two-sided McNemar."""
        return mcnemar(len(self.lost), len(self.gained))


@dataclass(frozen=True, kw_only=True)
class Difference:
    """B's mean accuracy less A's, with what the choice of questions adds to it."""

    mean: float
    """Mean over the questions of B's share less A's: -1..1, below 0 when B is worse."""
    standard_error: float | None
    """Miller's paired standard error; None with one question."""
    low: float | None
    """Lower end of the two-sided interval; None where every question differs by the same amount."""
    high: float | None
    """Upper end, likewise."""
    p_value: float | None
    """Two-sided t-test of no difference, Q - 1 degrees of freedom; None like the interval."""


def shares(correct: npt.NDArray[np.bool_]) -> Shares:
    """(R, Q) right answers to each question's share, (Q,)."""
    result: Shares = correct.mean(axis=0, dtype=np.float64)
    return result


def flips(a: Shares, b: Shares) -> Flips:
    """The questions that change side, each counted once however many repetitions there are."""
    right_a, right_b = a > 0.5, b > 0.5
    decided = (a != 0.5) & (b != 0.5)
    return Flips(
        lost=np.flatnonzero(decided & right_a & ~right_b),
        gained=np.flatnonzero(decided & ~right_a & right_b),
        tied=int((~decided).sum()),
    )


def mcnemar(lost: int, gained: int) -> float:
    """Exact two-sided McNemar test that a flip goes either way with equal chance.

    A binomial test of `lost` among the discordant questions (McNemar 1947); 1 when there are none.
    """
    from scipy.stats import binomtest

    if lost + gained == 0:
        return 1.0
    return float(binomtest(lost, lost + gained, 0.5).pvalue)


def needed_losses(gained: int, alpha: float) -> int:
    """The fewest lost questions that `mcnemar` calls a loss at `alpha`, beside `gained` gained ones."""
    lost = gained + 1
    while mcnemar(lost, gained) >= alpha:
        lost += 1
    return lost


def detectable_loss(questions: int, alpha: float, power: float) -> float | None:
    """The smallest true loss, in accuracy, that the exact test finds with probability `power`.

    For a change that loses questions and gains none: the chance of at least `needed_losses` losses among the
    questions is a binomial tail, inverted by the beta quantile (Clopper-Pearson). None when even losing
    every question could not be told.
    """
    from scipy.stats import beta

    needed = needed_losses(0, alpha)
    if needed > questions:
        return None
    return float(beta.ppf(power, needed, questions - needed + 1))


def difference(a: Shares, b: Shares, confidence: float = 0.95) -> Difference:
    """B - A with Miller's paired standard error, the interval and the p-value of the paired t-test.

    Miller, "Adding Error Bars to Evals", arXiv 2411.00640, section 4.2.
    """
    from scipy.stats import sem, ttest_rel

    d = b - a
    mean = float(d.mean())
    if len(d) < 2 or np.ptp(d) < SAME:
        error = None if len(d) < 2 else 0.0
        return Difference(mean=mean, standard_error=error, low=None, high=None, p_value=None)
    test = ttest_rel(b, a)
    low, high = test.confidence_interval(confidence)
    return Difference(
        mean=mean, standard_error=float(sem(d)), low=float(low), high=float(high), p_value=float(test.pvalue)
    )


def runs_differ(a: Shares, b: Shares) -> float | None:
    """Two-sided p-value of Welch's t-test between two sets of run scores, (R_a,) and (R_b,).

    Unlike the tests over questions it sees whole runs that move together. None with fewer than two runs on a
    side, or where neither side varies at all: no variance was seen to test against.
    """
    from scipy.stats import ttest_ind_from_stats

    stds = _run_stds(a, b)
    if stds is None:
        return None
    stated = [(float(s.mean()), std, len(s)) for s, std in zip((a, b), stds, strict=True)]
    return float(ttest_ind_from_stats(*stated[0], *stated[1], equal_var=False).pvalue)


def detectable_between_runs(a: Shares, b: Shares, alpha: float, power: float) -> float | None:
    """The smallest true difference that `runs_differ` finds at `alpha` with `power`, at the spreads observed.

    In standard errors, sqrt(s_a^2 / R_a + s_b^2 / R_b), with Welch and Satterthwaite's degrees of freedom. None
    where `runs_differ` is.
    """
    stds = _run_stds(a, b)
    if stds is None:
        return None
    parts = [std**2 / len(s) for s, std in zip((a, b), stds, strict=True)]
    total = sum(parts)
    dof = total**2 / sum(part**2 / (len(s) - 1) for part, s in zip(parts, (a, b), strict=True))
    return _detectable(math.sqrt(total), dof, alpha, power)


def _run_stds(a: Shares, b: Shares) -> tuple[float, float] | None:
    """Both sides' standard deviations; None with fewer than two runs on one, and where neither side varies."""
    one, other = sample_std(a), sample_std(b)
    return None if one is None or other is None or not (one or other) else (one, other)


def detectable_difference(observed: Difference, questions: int, alpha: float, power: float) -> float | None:
    """The smallest true difference that the t-test of `difference` finds, likewise; None without a spread."""
    error = observed.standard_error
    return _detectable(error, questions - 1, alpha, power) if error else None


def _detectable(error: float, dof: float, alpha: float, power: float) -> float:
    """The smallest true difference that a two-sided t-test at `alpha` finds with `power`.

    `error`: its standard error, of `dof` degrees of freedom. At a true difference of delta standard errors the
    test's statistic is non-central t with delta (its other tail is negligible at a useful power). scipy's inverse
    is right to 3 % at one degree of freedom and small levels, and to six digits from four degrees on.
    """
    from scipy import special

    return float(special.nctdtrinc(dof, 1 - power, special.stdtrit(dof, 1 - alpha / 2))) * error


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm, Scand. J. Statist. 6, 1979).

    By hand, because statsmodels' multipletests collects garbage on each call: 0.1 s, most of a report's time.
    """
    values = np.asarray(p_values, dtype=float)
    order, adjusted = np.argsort(values), np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1.0)
    return [float(p) for p in adjusted]
