"""The gate: does a score pass a threshold contract, and may the contract be applied to it at all?

`judge` is pure. `assert_gate` is for tests of engines: it reads the contract and raises.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from cluster.backends import runs_model
from sweep.errors import BadInput, ExitCode, SweepError
from sweep.gate.contract import Contract, load
from sweep.gate.identity import EngineIdentity, changes
from sweep.gate.measured import Measured
from sweep.stats.scores import fault_of, possible

SLACK = 1e-9
"""Scores are shares of whole questions; a threshold of 0.41 must not fail 82 of 200 in floating point."""


class ContractDoesNotApply(SweepError):
    """The contract was made under other conditions, or has expired: it can say nothing about this score."""

    exit_code = ExitCode.NOT_APPLICABLE


@dataclass(frozen=True, kw_only=True)
class Check:
    """One condition of the contract."""

    what: str
    """The condition, in words."""
    state: Literal["match", "mismatch", "differs", "unchecked"]
    """`mismatch` keeps the contract from applying; `differs` does not, but is worth knowing."""
    detail: str
    """Both sides; empty for a match."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the contract says of a score."""

    variant: str | None
    """As measured."""
    score: float
    """As measured."""
    threshold: float
    """The contract's."""
    accept_length: float | None
    """As measured."""
    accept_floor: float | None
    """The contract's; None for no such gate."""
    checks: tuple[Check, ...]
    """Every condition."""
    notes: tuple[str, ...]
    """What is odd about the measurement."""
    right: int | None
    """Questions right, where the score is one repetition's."""
    questions: int | None
    """Questions asked."""

    @property
    def faults(self) -> tuple[str, ...]:
        """What is below its threshold; empty when nothing is."""
        found = []
        score, count = self.score, ""
        if self.right is not None and self.questions is not None:
            score = self.right / self.questions
            count = f" ({self.right} of {self.questions} right, {self.needed} needed)"
        if score < self.threshold - SLACK:
            found.append(f"score {self.score:.4f} is below the threshold {self.threshold:.4f}{count}")
        floor, length = self.accept_floor, self.accept_length
        if floor is not None and length is not None and length < floor - SLACK:
            found.append(f"accept length {length:.3f} is below {floor:.3f}")
        return tuple(found)

    @property
    def needed(self) -> int | None:
        """Questions that must be right; None where it is not known how many were asked."""
        return None if self.questions is None else math.ceil(self.threshold * self.questions - SLACK)

    @property
    def mismatches(self) -> tuple[Check, ...]:
        """The conditions that keep the contract from applying."""
        return tuple(check for check in self.checks if check.state == "mismatch")

    @property
    def exit_code(self) -> ExitCode:
        """OK, BELOW or NOT_APPLICABLE."""
        if self.mismatches:
            return ExitCode.NOT_APPLICABLE
        return ExitCode.BELOW if self.faults else ExitCode.OK

    def lines(self) -> Iterator[str]:
        """The verdict in words: the outcome, then every mismatch, then what was not checked."""
        of = f"{self.variant}: " if self.variant else ""
        if self.mismatches:
            yield f"{of}the contract does not apply:"
            yield from (f"  {check.what}: {check.detail}" for check in self.mismatches)
        elif self.faults:
            yield f"{of}FAIL: {'; '.join(self.faults)}"
        else:
            yield f"{of}pass: score {self.score:.4f}, threshold {self.threshold:.4f}"
        yield from (f"  note: {c.what}: {c.detail}" for c in self.checks if c.state == "differs")
        yield from (f"  note: {note}" for note in self.notes)
        unchecked = [check.what for check in self.checks if check.state == "unchecked"]
        if unchecked:
            yield f"  not checked: {', '.join(unchecked)}"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "variant": self.variant,
            "exit_code": self.exit_code,
            "score": self.score,
            "threshold": self.threshold,
            "accept_length": self.accept_length,
            "accept_floor": self.accept_floor,
            "faults": list(self.faults),
            "mismatches": [{"what": c.what, "detail": c.detail} for c in self.mismatches],
            "differs": [{"what": c.what, "detail": c.detail} for c in self.checks if c.state == "differs"],
            "unchecked": [c.what for c in self.checks if c.state == "unchecked"],
            "notes": list(self.notes),
        }


def judge(contract: Contract, measured: Measured, now: datetime) -> Verdict:
    """What the contract says of a score at the time `now`.

    Raises BadInput for a score or accept length that is none, and for an unknown variant.
    """
    _refuse_nonsense(measured)
    own = None
    if measured.variant is not None:
        if measured.variant not in contract.variants:
            raise BadInput(_unknown(measured.variant, contract))
        own = contract.variants[measured.variant]
    floor = own.accept_length if own else _least_floor(contract, measured)
    questions = own.questions if own else contract.protocol.questions
    checks = [
        _expiry(contract, now),
        _check("questions", questions, measured.questions),
        _check("protocol hash", contract.protocol.hash, measured.protocol_hash),
        _check("data set SHA-256", contract.dataset.sha256, measured.dataset_sha256),
        _gpu(contract.gpu.name, measured),
        _check("GPUs an engine", contract.gpu.count, measured.gpu_count),
        *(_engine(own.engine, measured.engine) if own else ()),
        _versions(contract.versions, measured.versions),
    ]
    if floor is not None and measured.accept_length is None:
        checks.append(Check(what=f"accept length of at least {floor:g}", state="unchecked", detail=""))
    return Verdict(
        variant=measured.variant,
        score=measured.score,
        threshold=own.value if own else contract.threshold.value,
        accept_length=measured.accept_length,
        accept_floor=floor,
        checks=tuple(checks),
        notes=tuple(_notes(contract, measured)),
        right=measured.right,
        questions=measured.questions,
    )


def _least_floor(contract: Contract, measured: Measured) -> float | None:
    """Of an accept length that was given without a variant: the least floor, as the threshold is the least one."""
    if measured.accept_length is None:
        return None
    return min((v.accept_length for v in contract.variants.values() if v.accept_length is not None), default=None)


def assert_gate(
    contract_path: str | Path,
    *,
    variant: str | None,
    score: float,
    questions: int,
    accept_length: float | None = None,
    gpu: str | None = None,
    protocol_hash: str | None = None,
    now: datetime | None = None,
) -> Verdict:
    """Assert in a test that a score passes a contract; `now` is the current time unless given.

    Raises AssertionError when it is below, ContractDoesNotApply when the contract cannot judge it, and
    BadInput for what is no score, variant or contract. Returns the verdict otherwise.
    """
    measured = Measured(
        score=score,
        questions=questions,
        variant=variant,
        accept_length=accept_length,
        gpu=gpu,
        protocol_hash=protocol_hash,
    )
    verdict = judge(load(contract_path), measured, now or datetime.now(UTC))
    text = "\n".join([*verdict.lines(), f"  contract: {contract_path}"])
    if verdict.exit_code == ExitCode.NOT_APPLICABLE:
        raise ContractDoesNotApply(text)
    if verdict.exit_code == ExitCode.BELOW:
        raise AssertionError(text)
    return verdict


def _refuse_nonsense(measured: Measured) -> None:
    fault = fault_of(measured.score)
    if fault:
        raise BadInput(f"score: {fault}")
    if measured.questions is not None and measured.questions < 1:
        raise BadInput(f"questions must be at least 1, got {measured.questions}")
    length = measured.accept_length
    if length is not None and not (math.isfinite(length) and length >= 1):
        raise BadInput(
            f"accept length is tokens per verification step, a number of at least 1, got {length:g}; "
            "leave it out for a variant without speculation"
        )


def _unknown(variant: str, contract: Contract) -> str:
    near = difflib.get_close_matches(variant, contract.variants, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(contract.variants)}"
    return f"the contract of {contract.sweep_id} has no variant {variant}; {hint}"


def _expiry(contract: Contract, now: datetime) -> Check:
    if now < contract.expires:
        return Check(what="expiry", state="match", detail="")
    ended, today = (time.astimezone(UTC).date().isoformat() for time in (contract.expires, now))
    return Check(
        what="expired",
        state="mismatch",
        detail=f"on {ended}, and today is {today}; launch the sweep again for a new contract",
    )


def _check(what: str, contract: Any, measured: Any) -> Check:
    if measured is None:
        return Check(what=what, state="unchecked", detail="")
    if measured == contract:
        return Check(what=what, state="match", detail="")
    ours, theirs = (f"{side:g}" if isinstance(side, float) else side for side in (contract, measured))
    return Check(what=what, state="mismatch", detail=f"contract {ours}, measured {theirs}")


def _gpu(contract: str | None, measured: Measured) -> Check:
    """Names compare without case and maker: `h200` is the driver's `NVIDIA H200`."""
    plain, given = (name and name.casefold().removeprefix("nvidia ").strip() for name in (contract, measured.gpu))
    if measured.gpu is None and measured.engine is not None:
        # A whole run without a GPU's name ran without a GPU.
        given = "none"
    return _check("GPU", plain or "none", given)


def _engine(contract: EngineIdentity, measured: EngineIdentity | None) -> Iterator[Check]:
    """One check for each argument that differs; one for all of them otherwise."""
    if measured is None:
        yield Check(what="engine arguments", state="unchecked", detail="")
        return
    differing = contract.differences(measured)
    for change in differing:
        detail = f"contract {change.before}, measured {change.after}"
        yield Check(what=f"engine {change.what}", state="mismatch", detail=detail)
    if not differing:
        yield Check(what="engine arguments", state="match", detail="")


def _versions(contract: Mapping[str, str], measured: Mapping[str, str]) -> Check:
    """Other versions are what a gate is there to judge: worth knowing, no reason not to apply."""
    if not measured:
        return Check(what="versions", state="unchecked", detail="")
    differing = [str(change) for change in changes(contract, measured)]
    return Check(what="versions", state="differs" if differing else "match", detail="; ".join(differing))


def _notes(contract: Contract, measured: Measured) -> Iterator[str]:
    if measured.repetitions == 1 and measured.questions is not None:
        yield from _of_rounding(measured.score, measured.questions)
    retries = contract.threshold.retries
    if retries > 1 and measured.repetitions == 1:
        yield (
            f"this is one of {retries} attempts: the contract's probabilities hold only where CI tries a build up "
            f"to {retries} times and fails it when all {retries} attempts fail"
        )
    if measured.repetitions > 1:
        yield f"the score is the mean of {measured.repetitions} repetitions; the threshold is for one"
    if measured.void:
        yield f"{measured.void} repetitions are void and left out"
    if not any(runs_model(v.engine.backend) for v in contract.variants.values()):
        yield "the contract comes from an engine without a model: it says nothing about one"
    if contract.override is not None:
        yield (
            f"the contract was made although audits failed ({', '.join(contract.override.failed)}): "
            f"{contract.override.reason}"
        )


def _of_rounding(score: float, questions: int) -> Iterator[str]:
    counts = possible(score, questions)
    if not counts:
        yield f"{score:g} is no multiple of 1/{questions}; are the questions right?"
    elif len(counts) > 1 and abs(score * questions - round(score * questions)) > SLACK * questions:
        yield (
            f"{score:g} is rounded, and may stand for {counts[0]} to {counts[-1]} of {questions} right; taken for "
            f"{round(score * questions)}. Give more digits"
        )
