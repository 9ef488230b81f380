"""What can be checked of a plan before anything starts: the backend's package and the engines' arguments."""

from __future__ import annotations

from cluster.backends import check_arguments as backend_faults
from cluster.backends import check_installed
from sweep.errors import BadInput
from sweep.plan import Plan

__all__ = ["check_arguments", "check_installed"]


def check_arguments(plan: Plan, file: str) -> None:
    """Raises BadInput with every argument that the backend does not know or that cannot mean what it says."""
    faults = [
        f"{file}: variant {v.name}: {key}: {problem}"
        for v in plan.variants
        for key, problem in backend_faults(plan.config.engine.backend, v.arguments, v.draft)
    ]
    if faults:
        raise BadInput("\n".join([f"{file}: {len(faults)} faults in engine arguments", *faults]))
