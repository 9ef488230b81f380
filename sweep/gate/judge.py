"""The gate: does a score pass a threshold contract, and may the contract be applied to it at all?

Pure. `sweep.gate.assertion` is for tests of engines.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cluster.backends import answers_mean_nothing
from sweep.errors import BadInput, ExitCode, find
from sweep.gate.attempts import Attempts, judge_attempts
from sweep.gate.conditions import Check, checks
from sweep.gate.contract import Contract
from sweep.gate.digits import beside
from sweep.gate.held import Held, held
from sweep.gate.limits import Quantity
from sweep.gate.measured import Measured
from sweep.gate.paired import Alone, Paired, judge_answers
from sweep.gate.paired_words import alone, fault, lost_lines, passing, to_json
from sweep.gate.sequential import Decision
from sweep.stats.metric import ACCURACY, Metric
from sweep.stats.scores import fault_of, fault_of_questions, fault_on_grid, possible
from sweep.words import Outcome, joined

SLACK = 1e-9
"""Scores are shares of whole questions; a threshold of 0.41 must not fail 82 of 200 in floating point."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the contract says of a score."""

    measured: Measured
    """What is judged."""
    threshold: float
    """The contract's."""
    held: tuple[Held, ...]
    """What the attempt is held to beside the score."""
    checks: tuple[Check, ...]
    """Every condition."""
    notes: tuple[str, ...]
    """What is odd about the measurement."""
    attempts: Attempts | None = None
    """What the attempts say together; None for a score that is judged by itself."""
    paired: Paired | Alone | None = None
    """What score and questions say together, or why the score is judged alone; None where only a score is known."""
    metric: Metric = ACCURACY
    """What the score is of."""
    retries: int = 1
    """Attempts that the contract gives a build, which fails when all of them do."""

    @property
    def faults(self) -> tuple[str, ...]:
        """What is below its threshold; empty when nothing is."""
        return tuple(fault for fault in (self.score_fault, *(h.fault for h in self.held)) if fault is not None)

    @property
    def score_fault(self) -> str | None:
        """What score, questions or attempts fail by; None where they do not."""
        if self.attempts is None:
            return self._below
        return self.attempts.reason if self.attempts.decision is Decision.FAIL else None

    @property
    def accept_floor(self) -> float | None:
        """Of the accept length; None for no such gate."""
        return next((held.limit for held in self.held if held.quantity is Quantity.ACCEPT_LENGTH), None)

    @property
    def _below(self) -> str | None:
        """How a score that is judged by itself lies below the threshold, or what score and questions fail by; None
        where they do not."""
        if isinstance(self.paired, Paired):
            return fault(self.measured.score, self.paired) if self.paired.fails else None
        score, questions, right = self.measured.score, self.measured.questions, self.measured.right
        exact, count = score, ""  # what the score was before it was rounded
        if self.metric.counts and right is not None and questions is not None:
            needed = math.ceil(self.threshold * questions - SLACK)
            exact, count = right / questions, f": {right} of {questions} right, {needed} needed"
        if self.metric.passes(exact, self.threshold):
            return None
        below, threshold = self._beside(exact)
        beyond = "below" if self.metric.higher_is_better else "above"
        return f"{self._score} {below} is {beyond} the threshold {threshold}{count}"

    @property
    def _score(self) -> str:
        """What it is called: of right answers the score."""
        return "score" if self.metric.counts else self.metric.name

    def _beside(self, score: float) -> tuple[str, str]:
        return beside(score, self.threshold, higher_is_better=self.metric.higher_is_better)

    @property
    def again(self) -> bool:
        """The contract applies, and the attempts so far decide nothing: run once more."""
        undecided = self.attempts is not None and self.attempts.decision is Decision.AGAIN
        return undecided and not self.mismatches and not self.faults

    @property
    def mismatches(self) -> tuple[Check, ...]:
        """The conditions that keep the contract from applying."""
        return self._that("mismatch")

    def _that(self, state: str) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.state == state)

    @property
    def exit_code(self) -> ExitCode:
        """OK, BELOW, NOT_APPLICABLE or AGAIN."""
        if self.mismatches:
            return ExitCode.NOT_APPLICABLE
        if self.faults:
            return ExitCode.BELOW
        return ExitCode.AGAIN if self.again else ExitCode.OK

    @property
    def outcome(self) -> Outcome:
        """WORSE, CANNOT_TELL where the contract does not apply or the attempts do not decide, or SAME."""
        if self.mismatches or self.again:
            return Outcome.CANNOT_TELL
        return Outcome.WORSE if self.faults else Outcome.SAME

    @property
    def name(self) -> str:
        """Of what is judged."""
        return self.measured.variant or "the score"

    @property
    def reason(self) -> str:
        """What the outcome rests on."""
        if self.mismatches:
            return f"the contract does not apply: {', '.join(check.what for check in self.mismatches)}"
        if self.faults:
            return "; ".join((*self.faults, *self._one_of_several))
        return f"{'run again: ' if self.again else ''}{self._passing}"

    @property
    def _one_of_several(self) -> tuple[str, ...]:
        """What a failing attempt is worth by itself, where the contract gives a build several; else nothing."""
        if self.retries == 1 or self.attempts is not None or self.measured.repetitions > 1:
            return ()
        odds = (
            f", which a healthy build does with {self.paired.alpha:.0%}" if isinstance(self.paired, Paired) else ""
        )
        return (f"this is 1 of {self.retries} attempts{odds}: the build fails when all do",)

    @property
    def _passing(self) -> str:
        if self.attempts is not None:
            return self.attempts.reason
        if isinstance(self.paired, Paired):
            return passing(self.measured.score, self.paired)
        return "{} {}, threshold {}".format(self._score, *self._beside(self.measured.score))

    def lines(self, *, reason: bool = True) -> Iterator[str]:
        """The verdict in words: the outcome, then every mismatch, then what was not checked.

        Without `reason` the outcome stands alone, for where the answer has said why.
        """
        of = f"{self.measured.variant}: " if self.measured.variant else ""
        if self.mismatches:
            yield f"{of}the contract does not apply:"
            yield from (f"  {check.what}: {check.detail}" for check in self.mismatches)
        elif self.faults:
            why = "; ".join((*self.faults, *self._one_of_several))
            yield f"{of}FAIL{f': {why}' if reason else ''}"
        else:
            yield f"{of}{'RUN AGAIN' if self.again else 'PASS'}{f': {self._passing}' if reason else ''}"
        if isinstance(self.paired, Paired) and self.paired.fails and self.measured.answers:
            yield from lost_lines(self.paired, self.measured.answers, self.measured.before)
        differing = [f"{check.what}: {check.detail}" for check in self._that("differs")]
        yield from (f"  note: {note}" for note in (*differing, *self.notes))
        if unchecked := self._that("unchecked"):
            yield f"  not checked: {', '.join(check.what for check in unchecked)}"

    @property
    def _paired_json(self) -> dict[str, Any] | None:
        answers = self.measured.answers
        return to_json(self.paired, answers, self.measured.before) if self.paired and answers else None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "variant": self.measured.variant,
            "exit_code": self.exit_code,
            "score": self.measured.score,
            "threshold": self.threshold,
            "accept_length": self.measured.accept_length,
            "accept_floor": self.accept_floor,
            "held": [{"what": h.quantity, "limit": h.limit, "upper": h.upper, "value": h.value} for h in self.held],
            "faults": list(self.faults),
            "mismatches": [{"what": c.what, "detail": c.detail} for c in self.mismatches],
            "differs": [{"what": c.what, "detail": c.detail} for c in self._that("differs")],
            "unchecked": [c.what for c in self._that("unchecked")],
            "notes": list(self.notes),
            "attempts": self.attempts and self.attempts.to_json(),
            "paired": self._paired_json,
        }


def answer(verdicts: Sequence[Verdict], missing: Sequence[str] = ()) -> str:
    """What a gate says, in one line. `missing`: variants of the contract that were not measured."""
    brief = named_alone(verdicts)
    judged = [(v.outcome, v.name if v in brief else f"{v.name} ({v.reason})") for v in verdicts]
    return joined([*judged, *((Outcome.CANNOT_TELL, f"{name} (not measured)") for name in missing)])


def named_alone(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those whose reason the answer leaves out: of several that pass, so that what matters does not drown."""
    passed = [verdict for verdict in verdicts if verdict.outcome is Outcome.SAME]
    return passed if len(passed) > 1 else []


def judge(contract: Contract, measured: Measured, now: datetime) -> Verdict:
    """What the contract says of a score at the time `now`.

    Raises BadInput for a score or accept length that is none, and for an unknown variant.
    """
    _refuse_nonsense(measured, contract.metric)
    variants, name = contract.variants, measured.variant
    terms = None if name is None else find(variants, name, f"the contract of {contract.sweep_id}")
    limits = held(contract, terms, measured)
    paired = judge_answers(contract.answers, name, measured.answers) if measured.answers else None
    attempts = judge_attempts(contract, measured, paired) if measured.attempts else None
    verdict = Verdict(
        measured=measured,
        threshold=terms.value if terms else contract.threshold.value,
        held=limits,
        checks=tuple(checks(contract, terms, measured, now, limits)),
        notes=(
            *_made_in_the_future(contract, now),
            *_notes(contract, measured),
            *(attempts.notes if attempts else ()),
            *((alone(paired),) if isinstance(paired, Alone) else ()),
        ),
        attempts=attempts,
        paired=paired,
        metric=contract.metric,
        retries=contract.threshold.retries,
    )
    # A failing attempt says by itself what it is worth.
    return (
        verdict if verdict.faults else replace(verdict, notes=(*_one_attempt(contract, measured), *verdict.notes))
    )


def _refuse_nonsense(measured: Measured, metric: Metric) -> None:
    if measured.questions is not None and (wrong := fault_of_questions(measured.questions)):
        raise BadInput(wrong)
    # The mean of several repetitions lies between the scores that one may have.
    asked = measured.questions if measured.repetitions == 1 and metric.counts else None
    attempts = {f"attempt {number}": score for number, score in enumerate(measured.attempts, start=1)}
    for name, score in (attempts or {"score": measured.score}).items():
        if wrong := fault_of(score, metric) or (fault_on_grid(score, asked) if asked else None):
            raise BadInput(f"{name}: {wrong}")
    length = measured.accept_length
    if length is not None and not (math.isfinite(length) and length >= 1):
        raise BadInput(
            f"accept length is tokens per verification step, a number of at least 1, got {length:.12g}; "
            "leave it out for a variant without speculation"
        )
    match = measured.output_match
    if match is not None and not 0 <= match <= 1:
        raise BadInput(f"output match is a share of outputs, 0 to 1, got {match:.12g}")


def _made_in_the_future(contract: Contract, now: datetime) -> Iterator[str]:
    if contract.created > now:
        yield (
            f"the contract says that it was made at {_utc(contract.created)}, and here it is {_utc(now)}: one of "
            "the two clocks is wrong, so when the contract expires is not known"
        )


def _utc(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _one_attempt(contract: Contract, measured: Measured) -> Iterator[str]:
    """What a single attempt is worth where the contract gives a build several."""
    retries = contract.threshold.retries
    if retries > 1 and measured.repetitions == 1 and not measured.attempts:
        yield (
            f"this is one of {retries} attempts: the contract's probabilities hold only where CI tries a build up "
            f"to {retries} times and fails it when all {retries} attempts fail; --attempt or --state judges them "
            "together"
        )


def _notes(contract: Contract, measured: Measured) -> Iterator[str]:
    score, questions = measured.score, measured.questions
    rounded = questions is not None and measured.repetitions == 1 and contract.metric.counts
    counts = possible(score, questions) if rounded and questions is not None else range(1)
    if questions and len(counts) > 1 and abs(score * questions - round(score * questions)) > SLACK * questions:
        yield (
            f"{score:.12g} is rounded, and may stand for {counts[0]} to {counts[-1]} of {questions} right; taken "
            f"for {round(score * questions)}. Give more digits"
        )
    if measured.repetitions > (needed := contract.threshold.runs_per_attempt):
        of = "one" if needed == 1 else f"the mean of {needed}"
        yield f"the score is the mean of {measured.repetitions} repetitions; the threshold is for {of}"
    if measured.void:
        yield f"{measured.void} repetitions are void and left out"
    engines = [variant.engine for variant in contract.variants.values()]
    if all(engine and answers_mean_nothing(engine.backend, engine.arguments) for engine in engines):
        yield "the contract comes from an engine without a trained model: it says nothing about one"
    if contract.override is not None:
        yield (
            f"the contract was made although audits failed ({', '.join(contract.override.failed)}): "
            f"{contract.override.reason}"
        )
