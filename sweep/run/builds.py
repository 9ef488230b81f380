"""Runs of other builds as levels of the factor `build`: a variant's scores with other packages, driver or GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sweep.errors import BadInput
from sweep.plan.units import Plan
from sweep.plan.variants import BUILD, Variant
from sweep.run.earlier import arguments_elsewhere, refuse_other_protocol, versions_elsewhere
from sweep.run.folder import Run, open_run
from sweep.stats.samples import VariantSamples


@dataclass(frozen=True, kw_only=True)
class Build:
    """One variant as another build of the engine measured it."""

    variant: Variant
    """The sweep's own, as a perturbed one: `level` is the other run's folder."""
    samples: VariantSamples
    """At least one complete repetition."""
    differs: tuple[str, ...]
    """Versions and GPUs that are others there; empty where nothing that is known differs."""


def other_builds(run: Run) -> tuple[Build, ...]:
    """The variants of the runs that `perturb.build` names, as far as this run has them, in the order named.

    Raises BadInput as `named` does, for the run itself, and for a run that shares no variant with a complete
    repetition.
    """
    others = named(run.plan, run.provenance().protocol.hash)
    return tuple(build for other in others for build in _of(run, other))


def named(plan: Plan, protocol: str) -> list[Run]:
    """The runs that `perturb.build` names.

    Raises BadInput for a folder that is no run, one of another protocol hash, and one of other engine arguments.
    """
    runs = [_opened(folder) for folder in (plan.config.perturb.build if plan.config.perturb else ())]
    for other in runs:
        refuse_other_protocol(other, protocol, _where(other))
        changed = arguments_elsewhere(plan, other)
        if changed:
            raise BadInput(
                f"{_where(other)}: other engine arguments, so not only another build: {'; '.join(changed)}"
            )
    return runs


def _opened(folder: str) -> Run:
    try:
        return open_run(folder)
    except BadInput as fault:
        raise BadInput(f"perturb.build: {fault.message}") from None


def _where(other: Run) -> str:
    return f"perturb.build: {other.folder}"


def _of(run: Run, other: Run) -> Iterator[Build]:
    where = _where(other)
    if other.folder.resolve() == run.folder.resolve():
        raise BadInput(f"{where}: the run itself; name one that another build measured")
    tables = other.variant_samples()
    shared = [v for v in run.plan.variants if v.name in tables and len(tables[v.name].repetitions)]
    if not shared:
        raise BadInput(f"{where}: no complete repetition of any variant of this run")
    differs = tuple(versions_elsewhere(run, other))
    level = str(other.folder)
    for variant in shared:
        name = f"{variant.name}+{BUILD}={level}"
        yield Build(
            variant=replace(variant, name=name, perturbs=variant.name, factor=BUILD, level=level),
            samples=replace(tables[variant.name], variant=name),
            differs=differs,
        )
