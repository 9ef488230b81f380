"""What stands under the figures, and what they show for whoever does not see them. Pure."""

from __future__ import annotations

from sweep.stats.metric import Metric


def captions(metric: Metric) -> dict[str, str]:
    """Figure to what stands under it."""
    lower = "lower" if metric.higher_is_better else "higher"
    return {
        "repetitions": "The score of every repetition, by variant.",
        "unstable": (
            "The questions that are right in some repetitions and wrong in others."
            if metric.counts
            else f"The questions whose {metric.name} is not the same in all repetitions; the lighter, the better."
        ),
        "power": (
            "How often a build fails the gate, by the gate's threshold: the measured build, and builds of a "
            f"{lower} mean {metric.name}."
        ),
    }


def alternatives(metric: Metric) -> dict[str, str]:
    """Figure to what it shows, for whoever does not see it."""
    shade = (
        "the lighter, the more often the question was right. The list of questions below has the counts."
        if metric.counts
        else f"the lighter, the better is the question's mean {metric.name}. The list of questions below has them."
    )
    lower = "lower" if metric.higher_is_better else "higher"
    return {
        "repetitions": (
            "Box plot of the scores, one row for each variant, with a point for every repetition. The table before "
            "it has the mean, the standard deviation, the least and the greatest of each."
        ),
        "unstable": f"Heat map with a row for each unstable question and a column for each variant: {shade}",
        "power": (
            f"The probability of failing the gate, for the measured build and for each {lower} mean: curves "
            "against the gate's threshold in a panel for each variant, or, of many variants, marks at its own "
            "threshold and at the sweep's in a row for each. The text before it has the figures at the thresholds."
        ),
    }
