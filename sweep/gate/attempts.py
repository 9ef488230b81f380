"""Several attempts of CI at one build: what they say together, and the small file that keeps them between runs.

Scores are judged by the boundaries of `sweep.gate.sequential`. Answers are judged attempt by attempt, each by what
the contract allows one, and a build passes if any attempt does: the false alarm of this rule is the one that
tests/benchmarks/paired_gate.py measures. Boundaries know nothing of questions, so the two are never mixed.

`judge_attempts` is pure. `kept` reads and writes the file, alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, model_validator

from sweep.bounds import STATE_FILE
from sweep.disk import aside, fault
from sweep.errors import BadInput
from sweep.files import contents
from sweep.gate.contract import Contract
from sweep.gate.digits import beside, cut
from sweep.gate.measured import Measured
from sweep.gate.paired import OF_THE_CALIBRATION, Alone, Paired
from sweep.gate.paired_words import shown
from sweep.gate.rules import Count, Share
from sweep.gate.sequential import Decision, Stop, decide
from sweep.stats.scores import exact
from sweep.strict import Strict

SLACK = 1e-9


@dataclass(frozen=True, kw_only=True)
class Tested:
    """What the answers of attempts say, each by itself."""

    p_values: tuple[float | None, ...]
    """Of each attempt, by its score and questions; None where its score was judged alone."""
    alpha: float
    """What the contract allows one attempt: below it, the attempt fails."""

    def reason(self, count: int) -> str:
        """What the first `count` attempts rest on."""
        said = ["the score alone" if p is None else f"p = {shown(p, self.alpha)[0]}" for p in self.p_values[:count]]
        return f"score and questions: {', '.join(said)}, {self.alpha:.3g} is allowed,"


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """What the attempts at a build say together."""

    scores: tuple[float, ...]
    """Of all of them, in their order, 0..1."""
    decision: Decision
    """What they say."""
    count: int
    """Attempts that it took; those after them play no part."""
    most: int
    """Attempts that a build gets."""
    stop: Stop | None
    """The boundaries after `count` attempts; None for a contract that passes a build if any attempt passes."""
    threshold: float
    """Of one attempt."""
    tested: Tested | None = None
    """What each attempt's answers say; None where scores are judged."""
    higher_is_better: bool = True
    """Of the scores."""

    @property
    def mean(self) -> float:
        """Of the attempts that count."""
        return sum(self.scores[: self.count]) / self.count

    @property
    def reason(self) -> str:
        """What the decision rests on."""
        made = f"after {self.count} of at most {self.most} attempts"
        if self.tested is not None:
            return f"{self.tested.reason(self.count)} {made}"
        if self.stop is None:
            tried = self.scores[: self.count]
            best = max(tried) if self.higher_is_better else min(tried)
            best_shown, threshold = beside(best, self.threshold, higher_is_better=self.higher_is_better)
            return f"best score {best_shown} {made}, threshold {threshold}"
        fails, passes = self.stop.fails_under, self.stop.passes_from
        if self.decision is Decision.AGAIN:
            return f"mean {self.mean:.4f} {made}; a mean under {cut(fails)} fails, one from {cut(passes)} passes"
        failed = self.decision is Decision.FAIL
        mean, boundary = beside(self.mean, fails if failed else passes)
        return f"mean {mean} {made}, which {'fails under' if failed else 'passes from'} {boundary}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What becomes of attempts after the decision."""
        if self.count == len(self.scores):
            return ()
        return (f"attempt {self.count} decided this build: {self.decision}; what came after it counts for nothing",)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "decision": self.decision.value, "mean": self.mean}


def judge_attempts(contract: Contract, measured: Measured, paired: Paired | Alone | None) -> Attempts:
    """What the contract says of attempts at one build, given in their order; `paired` is of the last one's answers.

    Scores are judged by the variant's boundaries; a contract without them, and one that is asked of no variant,
    passes a build if any of its `retries` passes. So do answers. The scores are checked ones.
    """
    variant = measured.variant
    scores = [exact(score, measured.questions) for score in measured.attempts]
    terms = None if variant is None else contract.variants[variant]
    tested = _tested(contract, measured, paired)
    sequential = terms.attempts if terms and tested is None else None
    stops = [Stop(**vars(stop)) for stop in sequential.stops] if sequential else []
    threshold, retries = terms.value if terms else contract.threshold.value, contract.threshold.retries
    passes = _passing([contract.metric.passes(score, threshold) for score in scores], tested)
    decision, count = decide(stops, scores) if stops else _any_passes(passes, retries)
    return Attempts(
        scores=tuple(scores),
        decision=decision,
        count=count,
        most=len(stops) or retries,
        stop=stops[count - 1] if stops else None,
        threshold=threshold,
        tested=tested,
        higher_is_better=contract.metric.higher_is_better,
    )


def _tested(contract: Contract, measured: Measured, paired: Paired | Alone | None) -> Tested | None:
    """None where no answers are given, and where the calibration allows no attempt's to be judged."""
    if paired is None or paired in OF_THE_CALIBRATION or contract.answers is None or measured.variant is None:
        return None
    now = paired.p_value if isinstance(paired, Paired) else None
    alpha = contract.answers.variants[measured.variant].alpha
    return Tested(p_values=(*measured.p_values, now), alpha=alpha)


def _passing(by_score: list[bool], tested: Tested | None) -> list[bool]:
    """Which attempts pass by themselves."""
    if tested is None:
        return by_score
    both = zip(by_score, tested.p_values, strict=True)
    return [passed if p is None else p >= tested.alpha for passed, p in both]


def _any_passes(passes: Sequence[bool], retries: int) -> tuple[Decision, int]:
    if True in passes[:retries]:
        return Decision.PASS, passes.index(True) + 1
    return (Decision.FAIL, retries) if len(passes) >= retries else (Decision.AGAIN, len(passes))


class State(Strict):
    """What the file keeps of the attempts at one build."""

    schema_version: Literal[1] = 1
    """The form of this file."""
    contract: str
    """SHA-256 of the contract."""
    variant: str | None
    """The contract's variant."""
    build: str
    """What CI calls the build, such as a commit."""
    questions: Count
    """Questions that a score is over."""
    kind: Literal["scores", "answers"] = "scores"
    """What each attempt is judged by."""
    scores: tuple[Share, ...] = ()
    """Of the attempts so far, in their order."""
    p_values: tuple[Share | None, ...] = ()
    """Of answers: what each attempt's say, by its score and questions; null where its score was judged alone."""

    @model_validator(mode="after")
    def _of_every_attempt(self) -> State:
        if len(self.p_values) != (len(self.scores) if self.kind == "answers" else 0):
            raise ValueError(f"{len(self.scores)} scores and {len(self.p_values)} p-values")
        return self

    def after(self, score: float, paired: Paired | Alone | None) -> State:
        """With another attempt."""
        p_value = paired.p_value if isinstance(paired, Paired) else None
        p_values = () if self.kind == "scores" else (*self.p_values, p_value)
        return self.model_copy(update={"scores": (*self.scores, score), "p_values": p_values})


def begun(contract: Contract, build: str, measured: Measured) -> State:
    """The state before the first attempt at a build, of which `measured` is one."""
    text = json.dumps(contract.to_json(), sort_keys=True)
    if measured.questions is None:
        raise BadInput("attempts: over how many questions is a score?")
    return State(
        contract=hashlib.sha256(text.encode()).hexdigest(),
        variant=measured.variant,
        build=build,
        questions=measured.questions,
        kind="scores" if measured.answers is None else "answers",
    )


Save = Callable[[State], None]
"""Keeps the attempts so far."""


@contextmanager
def kept(path: str | Path, fresh: State) -> Iterator[tuple[State, Save]]:
    """The attempts before this one, and what keeps them with this one, while nobody else does.

    `fresh`: the state before the first attempt. Raises BadInput for a file that is broken, is of another contract,
    variant, build, number of questions or kind, or is held by another gate, and for a place that may not be written
    to; DiskUnavailable for a disk that is full or fails, which keeps the attempts that it had.
    """
    from filelock import FileLock, Timeout

    file = Path(path)
    try:
        with FileLock(f"{file}.lock", timeout=0):
            yield _read(file, fresh), lambda state: _write(file, state)
    except Timeout:
        raise BadInput(f"{file}: another gate is using it; give each build and variant a file of its own") from None
    except OSError as error:
        raise fault(file, error) from None


def _read(file: Path, fresh: State) -> State:
    remedy = "remove it, or name another file, to begin with the first attempt"
    if not file.exists():
        return fresh
    try:
        state = State.model_validate_json(contents(file, STATE_FILE))
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{file}: not the state of attempts: {first['msg']}; {remedy}") from None
    for what in ("contract", "variant", "build", "questions", "kind"):
        there, here = getattr(state, what), getattr(fresh, what)
        if there != here:
            named = "" if what == "contract" else f" ({there or 'none'}, not {here or 'none'})"
            raise BadInput(f"{file}: the attempts in it are of another {what}{named}; {remedy}")
    return state


def _write(file: Path, state: State) -> None:
    with aside(file) as there:
        there.write_text(state.model_dump_json(indent=2) + "\n", encoding="utf-8")
