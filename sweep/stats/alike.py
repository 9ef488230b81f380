"""How many of a run's outputs another run gives too. Pure."""

from __future__ import annotations

from sweep.stats.metric import OUTPUT_MATCH
from sweep.stats.samples import VariantSamples
from sweep.stats.scores import Scores


def alike(samples: VariantSamples, baseline: VariantSamples | None) -> tuple[float, ...]:
    """The share of outputs that are alike, of each pair of runs, 0..1; none where outputs are not known.

    A pair is a repetition and the baseline's of the same place, or without a baseline two repetitions of the
    variant's own, the first and the second, the third and the fourth. So each run is in one pair alone, and the
    shares are as independent of one another as the runs. Both must have been asked the same questions.
    """
    own, other = samples.fingerprint, (samples if baseline is None else baseline).fingerprint
    if not samples.has_outputs or not (baseline is None or baseline.has_outputs):
        return ()
    if baseline is None:
        own, other = own[0::2], own[1::2]
    return tuple(float((one == two).mean()) for one, two in zip(own, other, strict=False))


def match_scores(samples: VariantSamples, baseline: VariantSamples | None, looks: int = 1) -> Scores:
    """The same, as scores that a rule can make a floor of."""
    return Scores(
        variant=samples.variant,
        values=alike(samples, baseline),
        questions=len(samples.question_ids),
        looks=looks,
        metric=OUTPUT_MATCH,
    )
