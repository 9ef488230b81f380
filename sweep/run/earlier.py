"""The earlier run that a run is held against for drift: which one, and what else is another in it."""

from __future__ import annotations

from pydantic import ValidationError

from sweep.errors import BadInput
from sweep.gate.identity import ABSENT, changes
from sweep.gate.rules import Strict
from sweep.plan.units import Plan
from sweep.run.folder import REMEDIES, Run, open_run
from sweep.run.provenance import identity


class Against(Strict):
    """The earlier run that a run is held against, as its summary names it."""

    sweep_id: str
    """The earlier run's."""
    folder: str
    """Where it was, as an absolute path."""
    differs: tuple[str, ...]
    """What else is another there: versions, GPUs, engine arguments."""


def refuse_other_protocol(against: Run, protocol: str, where: str | None = None) -> None:
    """Raises BadInput when an earlier run asked something else; `where` it was named, `--against` unless given."""
    theirs = against.provenance().protocol.hash
    if theirs != protocol:
        raise BadInput(
            f"{where or f'--against {against.folder}'}: its protocol hash is {theirs[:12]}, this run's is "
            f"{protocol[:12]}; scores of other questions, shots or settings do not compare. Name a run of the same "
            "protocol"
        )


def earlier(run: Run, named: Run | None) -> Run | None:
    """The run to hold `run` against: the one named, else the one of its last report; None for neither.

    A failed drift audit keeps a contract from being made; it shall not come about by leaving the run out the next
    time. Raises BadInput when the run is held against itself, against another protocol, or when the folder of the
    last report's is gone.
    """
    against = named or _remembered(run)
    if against is None:
        return None
    if against.folder.resolve() == run.folder.resolve():
        raise BadInput(f"--against {against.folder}: the run itself; name an earlier one")
    refuse_other_protocol(against, run.provenance().protocol.hash)
    return against


def described(run: Run, against: Run) -> Against:
    """Which run it is, and how it differs from this one: for the summary."""
    return Against(
        sweep_id=against.plan.sweep_id,
        folder=str(against.folder.resolve()),
        differs=(*versions_elsewhere(run, against), *arguments_elsewhere(run.plan, against)),
    )


def _remembered(run: Run) -> Run | None:
    if not (run.folder / "summary.json").exists():
        return None
    document = run.summary().get("against")
    if document is None:
        return None
    try:
        before = Against.model_validate(document)
    except ValidationError:
        raise BadInput(
            f"{run.folder / 'summary.json'}: `against` does not name an earlier run; {REMEDIES['summary.json']}"
        ) from None
    try:
        return open_run(before.folder)
    except BadInput as gone:
        raise BadInput(
            f"{run.folder}: was held against {before.sweep_id} for drift, and that run cannot be read any more "
            f"({gone.message.splitlines()[0]}). Name it, or another one, with --against"
        ) from None


def versions_elsewhere(run: Run, against: Run) -> list[str]:
    """Versions and GPUs that are others there, a line each."""
    then, now = against.provenance(), run.provenance()
    before, after = ({"GPU": side.gpu or ABSENT, **side.all_versions} for side in (then, now))
    return [f"{change.what} {change.before}, now {change.after}" for change in changes(before, after)]


def arguments_elsewhere(plan: Plan, against: Run) -> list[str]:
    """Engine arguments that are others there, of the variants that both have, a line each."""
    shared = [v.name for v in plan.variants if v.name in {other.name for other in against.plan.variants}]
    return [
        f"{name}: {change.what} {change.before}, now {change.after}"
        for name in shared
        for change in identity(against.plan, name).differences(identity(plan, name))
    ]
