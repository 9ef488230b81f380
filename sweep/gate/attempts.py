"""Several attempts of CI at one build: what they say together, and the small file that keeps them between runs.

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

from pydantic import ValidationError

from sweep.bounds import STATE_FILE
from sweep.disk import aside, fault
from sweep.errors import BadInput
from sweep.files import contents
from sweep.gate.contract import Contract
from sweep.gate.rules import Count, Share, Strict
from sweep.gate.sequential import Decision, Stop, decide
from sweep.stats.scores import possible
from sweep.words import apart

SLACK = 1e-9
DIGITS = 4


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

    @property
    def mean(self) -> float:
        """Of the attempts that count."""
        return sum(self.scores[: self.count]) / self.count

    @property
    def reason(self) -> str:
        """What the decision rests on."""
        made = f"after {self.count} of at most {self.most} attempts"
        if self.stop is None:
            best, threshold = apart(max(self.scores[: self.count]), self.threshold, DIGITS)
            return f"best score {best} {made}, threshold {threshold}"
        fails, passes = self.stop.fails_under, self.stop.passes_from
        if self.decision is Decision.AGAIN:
            return f"mean {self.mean:.4f} {made}; a mean under {fails:.4f} fails, one from {passes:.4f} passes"
        failed = self.decision is Decision.FAIL
        mean, boundary = apart(self.mean, fails if failed else passes, DIGITS)
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


def judge_attempts(
    contract: Contract, variant: str | None, scores: Sequence[float], questions: int | None
) -> Attempts:
    """What the contract says of attempts at one build, given in their order.

    By the variant's boundaries; a contract without them, and one that is asked of no variant, passes a build if any
    of its `retries` passes. The scores are checked ones.
    """
    exact = [_exact(score, questions) for score in scores]
    terms = None if variant is None else contract.variants[variant]
    stops = [Stop(**vars(stop)) for stop in terms.attempts.stops] if terms and terms.attempts else []
    threshold, retries = terms.value if terms else contract.threshold.value, contract.threshold.retries
    decision, count = decide(stops, exact) if stops else _any_passes(exact, threshold, retries)
    return Attempts(
        scores=tuple(exact),
        decision=decision,
        count=count,
        most=len(stops) or retries,
        stop=stops[count - 1] if stops else None,
        threshold=threshold,
    )


def _exact(score: float, questions: int | None) -> float:
    """What a score was before it was rounded, where that is a share of the questions."""
    whole = questions is not None and len(possible(score, questions)) > 0
    return round(score * questions) / questions if whole and questions else score


def _any_passes(scores: Sequence[float], threshold: float, retries: int) -> tuple[Decision, int]:
    for count, score in enumerate(scores[:retries], start=1):
        if score >= threshold - SLACK:
            return Decision.PASS, count
    return (Decision.FAIL, retries) if len(scores) >= retries else (Decision.AGAIN, len(scores))


class State(Strict):
    """What the file keeps of the attempts at one build."""

    schema_version: Literal[1] = 1
    """The form of this file."""
    contract: str
    """SHA-256 of the contract."""
    variant: str | None
    """The contract's variant."""
    build: str | None
    """What CI calls the build, such as a commit."""
    questions: Count
    """Questions that a score is over."""
    scores: tuple[Share, ...] = ()
    """Of the attempts so far, in their order."""


def begun(contract: Contract, variant: str | None, build: str | None, questions: int) -> State:
    """The state before the first attempt."""
    text = json.dumps(contract.to_json(), sort_keys=True)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return State(contract=sha256, variant=variant, build=build, questions=questions)


Save = Callable[[Sequence[float]], None]
"""Keeps the scores of all attempts so far."""


@contextmanager
def kept(path: str | Path, fresh: State) -> Iterator[tuple[tuple[float, ...], Save]]:
    """The scores of the attempts before this one, and what keeps them with this one's, while nobody else does.

    `fresh`: the state before the first attempt. Raises BadInput for a file that is broken, is of another contract,
    variant, build or number of questions, or is held by another gate, and for a place that may not be written to;
    DiskUnavailable for a disk that is full or fails, which keeps the scores that it had.
    """
    from filelock import FileLock, Timeout

    file = Path(path)
    try:
        with FileLock(f"{file}.lock", timeout=0):
            before = _read(file, fresh)
            yield before, lambda scores: _write(file, fresh.model_copy(update={"scores": tuple(scores)}))
    except Timeout:
        raise BadInput(f"{file}: another gate is using it; give each build and variant a file of its own") from None
    except OSError as error:
        raise fault(file, error) from None


def _read(file: Path, fresh: State) -> tuple[float, ...]:
    remedy = "remove it, or name another file, to begin with the first attempt"
    if not file.exists():
        return ()
    try:
        state = State.model_validate_json(contents(file, STATE_FILE))
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{file}: not the state of attempts: {first['msg']}; {remedy}") from None
    for what in ("contract", "variant", "build", "questions"):
        there, here = getattr(state, what), getattr(fresh, what)
        if there != here:
            named = "" if what == "contract" else f" ({there or 'none'}, not {here or 'none'})"
            raise BadInput(f"{file}: the attempts in it are of another {what}{named}; {remedy}")
    return state.scores


def _write(file: Path, state: State) -> None:
    with aside(file) as there:
        there.write_text(state.model_dump_json(indent=2) + "\n", encoding="utf-8")
