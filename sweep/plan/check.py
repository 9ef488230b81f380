"""What can be checked of a plan before anything starts: the backend's package and the engines' arguments."""

from __future__ import annotations

from cluster.backends import check_specs
from sweep.plan.sweepfile import line_of, refusal
from sweep.plan.units import Plan
from sweep.plan.variants import Variant, argument_path


def check_arguments(plan: Plan, file: str) -> None:
    """Raises BadInput with every argument that the backend does not know or that cannot mean what it says."""
    judged = check_specs(plan.config.engine.backend, [plan.spec(v.name) for v in plan.measured])
    having: dict[tuple[str, str], list[Variant]] = {}
    for variant, problems in zip(plan.measured, judged, strict=True):
        for problem in problems:
            having.setdefault(problem, []).append(variant)
    if having:
        faults = [
            f"{file}:{line_of(file, argument_path(plan.config, chosen[0], key))}: {key}: {text} "
            f"(variant {', '.join(v.name for v in chosen)})"
            for (key, text), chosen in having.items()
        ]
        raise refusal(file, faults, " in engine arguments")
