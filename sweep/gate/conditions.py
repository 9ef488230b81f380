"""The conditions of a contract: what must match before it may be applied. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sweep.gate.contract import Contract, VariantContract
from sweep.gate.held import Held
from sweep.gate.identity import EngineIdentity, changes
from sweep.gate.measured import Measured


@dataclass(frozen=True, kw_only=True)
class Check:
    """One condition of the contract."""

    what: str
    """The condition, in words."""
    state: Literal["match", "mismatch", "differs", "unchecked"]
    """`mismatch` keeps the contract from applying; `differs` does not, but is worth knowing."""
    detail: str = ""
    """Both sides, where they are not the same."""


def checks(
    contract: Contract, terms: VariantContract | None, measured: Measured, now: datetime, limits: Sequence[Held]
) -> Iterator[Check]:
    """Every condition that there is; `terms` are the variant's own."""
    if now >= contract.expires:
        ended, today = (time.astimezone(UTC).date().isoformat() for time in (contract.expires, now))
        detail = f"on {ended}, and today is {today}; launch the sweep again for a new contract"
        yield Check(what="expired", state="mismatch", detail=detail)
    yield _check("questions", (terms or contract.protocol).questions, measured.questions)
    yield from _runs(contract.threshold.runs_per_attempt, measured.repetitions)
    yield _check("protocol hash", contract.protocol.hash, measured.protocol_hash)
    yield _check("data set SHA-256", contract.dataset.sha256, measured.dataset_sha256)
    # A whole run without a GPU's name ran without a GPU.
    gpu = "none" if measured.gpu is None and measured.engine is not None else measured.gpu
    if contract.gpu:
        yield _check("GPU", _plain(contract.gpu.name or "none"), gpu and _plain(gpu))
        yield _check("GPUs per engine", contract.gpu.count, measured.gpu_count)
    if terms and terms.engine:
        yield from _engine(terms.engine, measured.engine)
    # Other versions are what a gate is there to judge: worth knowing, no reason not to apply.
    differing = [str(change) for change in changes(contract.versions, measured.versions)]
    state: Literal["match", "differs"] = "differs" if differing else "match"
    yield Check(
        what="versions",
        state=state if measured.versions and contract.versions else "unchecked",
        detail="; ".join(differing),
    )
    yield from (Check(what=held.condition, state="unchecked") for held in limits if held.value is None)


def _runs(needed: int, repetitions: int) -> Iterator[Check]:
    """The mean of fewer runs than the threshold is for varies more than that allows for."""
    if repetitions < needed:
        remedy = "measure more, or say of how many the score is the mean"
        detail = f"the threshold is for the mean of {needed}, measured {repetitions}; {remedy}"
        yield Check(what="runs", state="mismatch", detail=detail)


def _check(what: str, contract: Any, measured: Any) -> Check:
    if measured is None:
        return Check(what=what, state="unchecked")
    if measured == contract:
        return Check(what=what, state="match")
    ours, theirs = (f"{side:g}" if isinstance(side, float) else side for side in (contract, measured))
    return Check(what=what, state="mismatch", detail=f"contract {ours}, measured {theirs}")


def _plain(gpu: str) -> str:
    """Names compare without case and maker: `h200` is the driver's `NVIDIA H200`."""
    return gpu.casefold().removeprefix("nvidia ").strip()


def _engine(contract: EngineIdentity, measured: EngineIdentity | None) -> Iterator[Check]:
    """One check for each argument that differs; one for all of them otherwise."""
    differing = () if measured is None else contract.differences(measured)
    for change in differing:
        detail = f"contract {change.before}, measured {change.after}"
        yield Check(what=f"engine {change.what}", state="mismatch", detail=detail)
    if not differing:
        yield Check(what="engine arguments", state="unchecked" if measured is None else "match")
