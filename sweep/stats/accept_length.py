"""Accept lengths of two engines that answered the same questions with the same draft. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AcceptRatio:
    """One engine's accept length over another's."""

    value: float
    """1 where both accept as much; below 1 where the first accepts less."""
    low: float
    """The ends of its confidence interval."""
    high: float
    """Likewise."""


def accept_ratio(
    tokens: Floats, steps: Floats, other_tokens: Floats, other_steps: Floats, alpha: float
) -> AcceptRatio:
    """The ratio of two accept lengths, each the sum of tokens over the sum of verify steps, with its interval.

    All four are (Q,): of each question, generated tokens and verify steps, positive, means where there are several
    repetitions. `alpha`: two-sided, of the interval. The interval is that of a ratio estimator (Cochran 1977,
    Sampling Techniques, chapter 6) on the log scale, paired by question, with Student's t at Q - 1. Raises
    ValueError for fewer than two questions."""
    from scipy import special

    count = len(tokens)
    if count < 2:
        raise ValueError("an interval wants two questions or more")
    log_ratio = math.log(tokens.sum() / steps.sum()) - math.log(other_tokens.sum() / other_steps.sum())
    influence = (
        tokens / tokens.mean()
        - steps / steps.mean()
        - other_tokens / other_tokens.mean()
        + other_steps / other_steps.mean()
    )
    half = float(special.stdtrit(count - 1, 1 - alpha / 2)) * float(influence.std(ddof=1)) / math.sqrt(count)
    return AcceptRatio(value=math.exp(log_ratio), low=math.exp(log_ratio - half), high=math.exp(log_ratio + half))
