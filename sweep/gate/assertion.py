"""A gate in an engine's own tests: it reads the contract, and raises. Reading is the only effect here."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import SupportsFloat, SupportsIndex

from sweep.errors import BadInput, ExitCode, SweepError
from sweep.gate.contract import load
from sweep.gate.judge import Verdict, judge
from sweep.gate.measured import Measured
from sweep.stats.answered import Answered


class ContractDoesNotApply(SweepError):
    """The contract was made under other conditions, or has expired: it can say nothing about this score."""

    exit_code = ExitCode.NOT_APPLICABLE


def assert_gate(
    contract_path: str | Path,
    *,
    variant: str | None,
    score: SupportsFloat | Iterable[SupportsFloat] | None = None,
    questions: SupportsIndex | None = None,
    answers: Mapping[str, bool] | None = None,
    accept_length: float | None = None,
    output_match: float | None = None,
    gpu: str | None = None,
    protocol_hash: str | None = None,
    now: datetime | None = None,
    runs: SupportsIndex = 1,
) -> Verdict:
    """Assert in a test that a score passes a contract; `now` is the current time unless given.

    `score`: one score, which is judged by itself; or the scores of all attempts at this build so far, in their
    order, which are judged together. Then `again` of the verdict says whether to run once more and ask again.

    `answers`, in place of score and questions: question id to whether its answer is right, of one run. Then the
    questions are judged too: which of them were lost.

    `runs`: repetitions that each score is the mean of, as many as the contract's `runs_per_attempt`.

    Raises AssertionError when it is below, ContractDoesNotApply when the contract cannot judge it, and
    BadInput for what is no score, variant or contract. Returns the verdict otherwise.
    """
    given = Answered(right=_right(answers), runs=1) if answers else None
    if given is not None:
        if score is not None or questions is not None:
            raise BadInput("answers take the place of score and questions: leave them out")
        score, questions = given.score, len(given.right)
    if score is None or questions is None:
        raise BadInput("nothing to judge: give score and questions, or answers")
    attempts = _attempts(score)
    _refuse_others(contract_path, now, {"variant": variant, "gpu": gpu, "protocol_hash": protocol_hash})
    measured = Measured(
        score=attempts[-1] if attempts else _number("score", score),
        questions=_count("questions", questions),
        variant=variant,
        accept_length=None if accept_length is None else _number("accept_length", accept_length),
        output_match=None if output_match is None else _number("output_match", output_match),
        gpu=gpu,
        protocol_hash=protocol_hash,
        attempts=attempts,
        repetitions=_count("runs", runs),
        answers=given,
    )
    return _asserted(judge(load(contract_path), measured, now or datetime.now(UTC)), contract_path)


def _asserted(verdict: Verdict, contract_path: str | Path) -> Verdict:
    """The verdict. Raises as `assert_gate` does where it does not pass."""
    text = "\n".join([*verdict.lines(), f"  contract: {contract_path}"])
    if verdict.exit_code == ExitCode.NOT_APPLICABLE:
        raise ContractDoesNotApply(text)
    if verdict.exit_code == ExitCode.BELOW:
        raise AssertionError(text)
    return verdict


def _refuse_others(contract: object, now: object, names: Mapping[str, object]) -> None:
    """Raises BadInput for values of other types."""
    if not isinstance(contract, str | Path):
        raise BadInput(f"contract_path: {contract!r} is not a path; give the contract's, as text or a Path")
    for name, value in names.items():
        if not isinstance(value, str | None):
            raise BadInput(f"{name}: {value!r} is not text; give a name, or None")
    if now is not None and not (isinstance(now, datetime) and now.tzinfo):
        raise BadInput(f"now: {now!r} is not a time with a time zone; give a datetime that has one, or None")


def _right(answers: Mapping[str, bool]) -> dict[str, int]:
    """1 for a right answer, 0 for a wrong one. Raises BadInput for what is neither."""
    if not isinstance(answers, Mapping):
        raise BadInput(f"answers: give question ids to True or False, not a {type(answers).__name__}")
    for question, right in answers.items():
        if not isinstance(question, str):
            raise BadInput(
                f"answers: {question!r} is not a question id, which is text, as in the run's questions.jsonl"
            )
        if right not in (True, False):
            remedy = "a request that failed is not a wrong answer: ask it again"
            raise BadInput(f"answers: {question} has {right!r}, not True or False; {remedy}")
    return {question: int(right) for question, right in answers.items()}


def _attempts(score: object) -> tuple[float, ...]:
    """The scores of all attempts; empty for one score, which is judged by itself."""
    if isinstance(score, str) or not isinstance(score, Iterable):
        return ()
    attempts = tuple(_number("score", one) for one in score)
    if not attempts:
        raise BadInput("no attempt to judge: give the scores of all attempts so far")
    return attempts


def _number(name: str, value: object) -> float:
    if isinstance(value, (str, bool)):
        raise BadInput(f"{name}: {value!r} is not a number")
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise BadInput(f"{name}: {value!r} is not a number") from None
    except OverflowError:
        raise BadInput(f"{name}: larger than any number that can be judged") from None


def _count(name: str, count: SupportsIndex) -> int:
    try:
        return operator.index(count)
    except TypeError:
        raise BadInput(f"{name}: {count!r} is not a whole number") from None
