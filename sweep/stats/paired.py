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

    def detectable(self, alpha: float, power: float) -> float | None:
        """The smallest true difference that the test finds at `alpha` with `power`, at this standard error.

        At a true difference of delta standard errors the test's statistic is non-central t with delta (its other
        tail is negligible at a useful power). scipy's inverse is right to 3 % at one degree of freedom and small
        levels, and to six digits from four degrees on.
        """
        from scipy import special

        if not self.standard_error:
            return None
        critical = special.stdtrit(self.dof, 1 - alpha / 2)
        return float(special.nctdtrinc(self.dof, 1 - power, critical)) * self.standard_error


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


def difference(a: Shares, b: Shares) -> Difference:
    """B - A over the questions, with Miller's paired standard error: None with one question.

    Miller, "Adding Error Bars to Evals", arXiv 2411.00640, section 4.2.
    """
    from scipy.stats import sem

    d = b - a
    error = None if len(d) < 2 else 0.0 if np.ptp(d) < SAME else float(sem(d))
    return Difference(mean=float(d.mean()), standard_error=error, dof=len(d) - 1)


def between_runs(a: Shares, b: Shares) -> Difference:
    """B - A between two sets of run scores, (R_a,) and (R_b,), as Welch tests it.

    Unlike `difference` it sees whole runs that move together. The standard error is sqrt(s_a^2 / R_a + s_b^2 / R_b)
    with Welch and Satterthwaite's degrees of freedom; None with fewer than two runs on a side, and where neither
    side varies at all: no variance was seen to test against.
    """
    mean, one, other = float(b.mean() - a.mean()), sample_std(a), sample_std(b)
    if one is None or other is None or not (one or other):
        return Difference(mean=mean, standard_error=None, dof=0)
    of_a, of_b = one**2 / len(a), other**2 / len(b)
    dof = (of_a + of_b) ** 2 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
    return Difference(mean=mean, standard_error=math.sqrt(of_a + of_b), dof=dof)


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm, Scand. J. Statist. 6, 1979).

    By hand, because statsmodels' multipletests collects garbage on each call: 0.1 s, most of a report's time.
    """
    values = np.asarray(p_values, dtype=float)
    order, adjusted = np.argsort(values), np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1.0)
    return [float(p) for p in adjusted]
