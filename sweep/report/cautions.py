"""Why a threshold's figures promise less than they say, and what more repetitions would give. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.gate.threshold import Caution, VariantThreshold
from sweep.words import counted


def caution_sentences(v: VariantThreshold) -> Iterator[str]:
    """Why the figures of one variant promise less than they say."""
    for caution in v.cautions:
        if v.value is None and caution is not Caution.FEW_LEVELS:
            continue  # No figure rests on it.
        yield _CAUTIONS[caution].format(n=counted(v.n, "repetition"), mean=v.mean, std=v.std)


_CAUTIONS = {
    Caution.FEW_REPETITIONS: (
        "With {n} these figures hold on average over many such sweeps, and say little of this one: its false "
        "alarm may be several times the stated one, and a drop that is stated with 80 % may be caught with 55 %."
    ),
    Caution.FEW_LEVELS: (
        "A factor of two levels shows next to nothing of a standard deviation, so what the rule gives lies far "
        "lower than it had to. List at least two levels under `perturb`, beside the sweep's own, for each factor."
    ),
    Caution.TIED: (
        "Equal scores cannot show whether something moves whole runs. If it does, the false alarm may be several "
        "times the stated one."
    ),
    Caution.LARGE_DROP: (
        "The drop that is caught is more than half the mean. Had the spread looked larger, there would be no such "
        "figure: a drop that is stated with 80 % may be caught with 65 %."
    ),
    Caution.CROWDED: (
        "The mean of {mean:.3f} is so near to 1, for a standard deviation of {std:.3f}, that the scores cannot be "
        "normal: the false alarm may be several times the stated one. Find what moves whole runs first."
    ),
}
"""Why the figures promise less than they say. docs/statistics.md has the measured figures."""


def foreseen_sentence(v: VariantThreshold) -> Iterator[str]:
    """What more repetitions would give, where there are too few for a useful threshold."""
    if not v.foreseen or v.value is None:
        return
    more = " and ".join(f"{abs(v.mean - value):.3f} with {n}" for n, value in v.foreseen.items())
    side = "over" if v.value > v.mean else "under"
    yield (
        f"{counted(v.n, 'repetition')} {'is' if v.n == 1 else 'are'} too few for a useful threshold: it lies "
        f"{abs(v.mean - v.value):.3f} {side} the mean. If the noise stays as it is, it would lie {more} "
        "repetitions."
    )
