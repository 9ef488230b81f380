"""What can be checked of a plan before anything starts: the backend's package and the engines' arguments."""

from __future__ import annotations

from cluster.backends import check_installed, check_specs
from sweep.errors import BadInput
from sweep.plan.sweepfile import argument_line
from sweep.plan.units import Plan

__all__ = ["check_arguments", "check_installed"]


def check_arguments(plan: Plan, file: str) -> None:
    """Raises BadInput with every argument that the backend does not know or that cannot mean what it says."""
    judged = check_specs(plan.config.engine.backend, [plan.spec(v.name) for v in plan.measured])
    of_variant: dict[tuple[str, str], list[str]] = {}
    for variant, problems in zip(plan.measured, judged, strict=True):
        for problem in problems:
            of_variant.setdefault(problem, []).append(variant.name)
    if of_variant:
        faults = [
            f"{file}:{argument_line(file, names[0], key)}: {key}: {text} (variant {', '.join(names)})"
            for (key, text), names in of_variant.items()
        ]
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise BadInput("\n".join([f"{file}: {count} in engine arguments, nothing was started", *faults]))
