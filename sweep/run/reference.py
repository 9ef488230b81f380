"""The run folder of a sweep's reference: below the sweep's own, and like any other."""

from __future__ import annotations

from sweep.plan.reference import reference_plan
from sweep.run.folder import Run


def reference_run(run: Run) -> Run | None:
    """Where the reference's samples are, there or not; None where the sweep file names no reference."""
    plan = reference_plan(run.plan.config)
    return None if plan is None else Run(folder=run.folder / plan.sweep_id, plan=plan)
