"""What a paired verdict says, in words. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sweep.gate.paired import FEWEST, MOST_RUNS, Alone, LostQuestion, Paired
from sweep.stats.answered import Answered
from sweep.words import apart

SHOWN = 10
"""Lost questions that are listed; JSON has all."""
EXCERPT = 160
"""Characters of an output that are shown, its last ones: there the answer is."""

WHY = {
    Alone.NO_VARIANT: "no variant is named, and answers are kept by variant",
    Alone.OLDER_CONTRACT: (
        "the contract keeps no answers; `sweep report` of the run that it comes from writes one that does"
    ),
    Alone.NEWER_CONTRACT: "the contract keeps its answers in a newer form; update accuracy-sweep",
    Alone.NO_NOISE: "the calibration's scores show no noise",
    Alone.OTHER_QUESTIONS: "these are not the questions of the calibration",
    Alone.FEW_REPETITIONS: f"the calibration has fewer than {FEWEST} repetitions",
    Alone.MANY_RUNS: f"the run has more than {MOST_RUNS} repetitions",
    Alone.FEW_FLIPS: "too few questions flip between runs of this score",
    Alone.TOGETHER: (
        "in the calibration, questions were right and wrong together, so that they do not count one by one"
    ),
}


def alone(why: Alone) -> str:
    """Why the questions had no say."""
    return f"judged by the score alone: {WHY[why]}"


def fault(score: float, paired: Paired) -> str:
    """What a build fails by."""
    probability, allowed = shown(paired.p_value, paired.alpha)
    found = f"p = {probability}, {allowed} is allowed"
    if paired.by_questions:
        by_score = shown(paired.p_score, paired.alpha)[0]
        return f"answers are lost that used to be right ({found}; score {score:.4f}, by itself p = {by_score})"
    return f"score {score:.4f} is too low ({found})"


def passing(score: float, paired: Paired) -> str:
    """What a build passes by."""
    probability, allowed = shown(paired.p_value, paired.alpha)
    return f"score {score:.4f} and its questions, p = {probability}, {allowed} is allowed"


def shown(probability: float, alpha: float) -> tuple[str, str]:
    """Both with the digits that tell them apart."""
    if probability < 1e-4:
        return f"{probability:.1g}", f"{alpha:.3g}"
    one, other = apart(probability, alpha, 4)
    return one, other.rstrip("0").rstrip(".")


def lost_lines(paired: Paired, now: Answered, before: Answered | None) -> Iterator[str]:
    """The lost questions, each with the output that was right and the one that is wrong, where they are at hand."""
    for question in paired.lost[:SHOWN]:
        yield f"  lost: {question.id}, {_times(question, paired)}"
        for when, output in _outputs(question, now, before).items():
            yield f"    {when}: {json.dumps(_excerpt(output), ensure_ascii=False)}"
    if len(paired.lost) > SHOWN:
        yield f"  and {len(paired.lost) - SHOWN} more"


def _times(question: LostQuestion, paired: Paired) -> str:
    right = f"right in {question.before} of {paired.repetitions} repetitions of the calibration"
    return f"{right}, now {'wrong' if paired.runs == 1 else f'in {question.now} of {paired.runs}'}"


def _outputs(question: LostQuestion, now: Answered, before: Answered | None) -> dict[str, str]:
    right = before.outputs.get((question.id, True)) if before else None
    wrong = now.outputs.get((question.id, False))
    return {when: output for when, output in (("before", right), ("now", wrong)) if output is not None}


def _excerpt(output: str) -> str:
    text = output.strip()
    return text if len(text) <= EXCERPT else f"...{text[-EXCERPT:]}"


def to_json(paired: Paired | Alone, now: Answered, before: Answered | None) -> dict[str, Any]:
    """As JSON values."""
    if isinstance(paired, Alone):
        return {"score_alone": paired.value}
    return {
        "score_alone": None,
        "p_value": paired.p_value,
        "alpha": paired.alpha,
        "p_score": paired.p_score,
        "p_questions": paired.p_questions,
        "decided_by": "questions" if paired.by_questions else "score",
        "repetitions": paired.repetitions,
        "lost": [
            {"question": one.id, "before": one.before, "now": one.now, "outputs": _outputs(one, now, before)}
            for one in paired.lost
        ],
    }
