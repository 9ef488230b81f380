"""Other runs that a run is held against: an earlier one, for drift; of other builds, as levels of a factor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sweep.errors import BadInput
from sweep.gate.identity import ABSENT, Change, changes
from sweep.plan.units import Plan
from sweep.plan.variants import BUILD, Variant
from sweep.run.documents import REMEDIES, SUMMARY
from sweep.run.folder import Run, open_run
from sweep.run.provenance import identity
from sweep.stats.samples import VariantSamples
from sweep.strict import Strict


class Against(Strict):
    """The earlier run that drift is judged against."""

    sweep_id: str
    """Its sweep's."""
    folder: str
    """Its run folder, absolute."""
    differs: tuple[Change, ...]
    """Versions and GPUs that are others now, and engine arguments, as `mtp: arguments.page_size`."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """One variant as another build of the engine measured it."""

    variant: Variant
    """The sweep's own, as a perturbed one: `level` is the other run's folder."""
    samples: VariantSamples
    """At least one complete repetition."""
    differs: tuple[Change, ...]
    """Versions and GPUs that are others now; empty where nothing that is known differs."""


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
    """Which run it is, and how it differs from this one."""
    return Against(
        sweep_id=against.plan.sweep_id,
        folder=str(against.folder.resolve()),
        differs=(*_versions_elsewhere(run, against), *_arguments_elsewhere(run.plan, against)),
    )


def other_builds(run: Run) -> tuple[Build, ...]:
    """The variants of the runs that `perturb.build` names, as far as this run has them, in the order named.

    Raises BadInput as `named_builds` does, for the run itself, and for a run that shares no variant with a complete
    repetition.
    """
    others = named_builds(run.plan, run.provenance().protocol.hash)
    return tuple(build for other in others for build in _of(run, other))


def named_builds(plan: Plan, protocol: str) -> list[Run]:
    """The runs that `perturb.build` names.

    Raises BadInput for a folder that is no run, one of another protocol hash, and one of other engine arguments.
    """
    folders = plan.config.perturb.build if plan.config.perturb else ()
    return [_named_build(plan, protocol, folder) for folder in folders]


def _named_build(plan: Plan, protocol: str, folder: str) -> Run:
    try:
        other = open_run(folder)
    except BadInput as fault:
        raise BadInput(f"perturb.build: {fault.message}") from None
    refuse_other_protocol(other, protocol, "perturb.build:")
    if changed := _arguments_elsewhere(plan, other):
        raise BadInput(
            f"perturb.build: {folder}: other engine arguments, so not only another build: "
            f"{'; '.join(map(str, changed))}"
        )
    return other


def refuse_other_protocol(against: Run, protocol: str, named: str = "--against") -> None:
    """Raises BadInput when an earlier run asked something else; `named`: what names its folder."""
    theirs = against.provenance().protocol.hash
    if theirs != protocol:
        raise BadInput(
            f"{named} {against.folder}: its protocol hash is {theirs[:12]}, this run's is {protocol[:12]}; scores "
            "of other questions, shots or settings do not compare. Name a run of the same protocol"
        )


def _remembered(run: Run) -> Run | None:
    if not (run.folder / SUMMARY).exists():
        return None
    # Of any schema: a summary of an older one is about to be written again.
    match run.summary().get("against"):
        case None:
            return None
        case {"sweep_id": str(sweep_id), "folder": str(folder)}:
            try:
                return open_run(folder)
            except BadInput as gone:
                raise BadInput(
                    f"{run.folder}: was held against {sweep_id} for drift, and that run cannot be read any more "
                    f"({gone.message.splitlines()[0]}). Name it, or another one, with --against"
                ) from None
    raise BadInput(f"{run.folder / SUMMARY}: `against` does not name an earlier run; {REMEDIES[SUMMARY]}")


def _of(run: Run, other: Run) -> Iterator[Build]:
    level = str(other.folder)
    if other.folder.resolve() == run.folder.resolve():
        raise BadInput(f"perturb.build: {level}: the run itself; name one that another build measured")
    tables = other.variant_samples()
    shared = [v for v in run.plan.variants if v.name in tables and len(tables[v.name].repetitions)]
    if not shared:
        raise BadInput(f"perturb.build: {level}: no complete repetition of any variant of this run")
    differs = _versions_elsewhere(run, other)
    for variant in shared:
        name = f"{variant.name}+{BUILD}={level}"
        yield Build(
            variant=replace(variant, name=name, perturbs=variant.name, factor=BUILD, level=level),
            samples=replace(tables[variant.name], variant=name),
            differs=differs,
        )


def _versions_elsewhere(run: Run, against: Run) -> tuple[Change, ...]:
    """Versions and GPUs that are others there."""
    sides = (against.provenance(), run.provenance())
    return changes(*({"GPU": side.gpu or ABSENT, **side.all_versions} for side in sides))


def _arguments_elsewhere(plan: Plan, against: Run) -> tuple[Change, ...]:
    """Engine arguments that are others there, of the variants that both have; of imported results none is known."""
    if plan.config.imported or against.plan.config.imported:
        return ()
    theirs = {v.name for v in against.plan.variants}
    return tuple(
        replace(change, what=f"{v.name}: {change.what}")
        for v in plan.variants
        if v.name in theirs
        for change in identity(against.plan, v.name).differences(identity(plan, v.name))
    )
