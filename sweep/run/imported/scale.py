"""What the answers of results from elsewhere are worth: right or wrong, or numbers with a range and a better end.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from sweep.errors import BadInput
from sweep.run.imported.answers import Answer, Source, same
from sweep.stats.metric import ACCURACY, Metric
from sweep.words import cut

LESS = re.compile(
    r"(^|[^a-z])(wer|cer|ter|mer|ppl|perplexity|loss|nll|mae|mse|rmse|brier|errors?|distance)([^a-z]|$)"
)
"""Names of metrics of which less is better."""
Stated = TypeVar("Stated")


def metric_of(
    sources: Sequence[Source],
    ends: tuple[float, float] | None,
    higher_is_better: bool | None,
    note: Callable[[str], None],
) -> Metric:
    """What was measured of each answer.

    `ends`, `higher_is_better`: as the user gave them, None for not; what a source states counts where they are.
    `note` is told what was taken for granted. Raises BadInput for a value outside the range, and where only a guess
    could say which end is better. Answers of 1 and 0 alone are right and wrong, unless less may be the better: a
    word error rate of 1 is no right answer.
    """
    answers = [answer for source in sources for answer in source.answers if answer.worth is not None]
    name = sources[0].metric.partition(",")[0]
    better = _stated(higher_is_better, (source.higher_is_better for source in sources))
    guessed = better is None and LESS.search(name.lower()) is not None
    unsaid = ends is None and higher_is_better is None and better is not False and not guessed
    if unsaid and all(answer.value is None for answer in answers):
        return ACCURACY
    ends = _stated(ends, (source.ends for source in sources))
    if guessed:
        raise BadInput(
            f"{sources[0].path}: nothing says whether a lower {cut(name)} is better, as its name has it, or a "
            "higher one; give --lower-is-better or --higher-is-better"
        )
    try:
        metric = Metric.within(name, ends, higher_is_better=better is not False)
    except ValueError as error:
        raise BadInput(f"--range: {error}") from None
    for answer in answers:
        if fault := metric.fault_of(answer.worth):
            raise BadInput(f"{answer.place}: {fault}; --range says which values there are")
    if assumed := _unsaid(metric, better):
        note(f"{cut(name)} is a number, {_seen(answers)}: {assumed}")
    return metric


def _stated(given: Stated | None, sources: Iterable[Stated | None]) -> Stated | None:
    """What the user gave, or else what the sources say, where those agree that say it."""
    if given is not None:
        return given
    found: Stated | None = same([each for each in sources if each is not None] or [None])
    return found


def _seen(answers: Sequence[Answer]) -> str:
    values = [answer.worth for answer in answers if answer.worth is not None]
    return f"{min(values):g} to {max(values):g} here"


def _unsaid(metric: Metric, better: bool | None) -> str:
    """What nobody stated, and what follows."""
    direction = "more is taken as the better, since nothing says it (--lower-is-better)" if better is None else ""
    unknown = "its range is not known, and statements that need one are left out (--range LOW HIGH)"
    return "; ".join(filter(None, [direction, unknown if metric.low is None and metric.high is None else ""]))
