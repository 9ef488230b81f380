"""Every deadline of a sweep, in seconds, but for those that the sweep file sets. None is infinite.

docs/reliability.md has the table of what happens at each.
"""

from __future__ import annotations

SIGN_OF_LIFE = 15.0
"""For an engine to give one token, after a request that is past `engine.request_deadline`, or it hangs."""
START_GRACE = 150.0
"""Past `engine.start_deadline`, for an engine to say why it is late, and to take its workers down."""
UNIT_GRACE = 30.0
"""Past the requests' own deadlines (`engine.request_deadline`), for a unit."""
STOP = 30.0
"""For an idle engine to stop at the end of a launch, before its process is killed."""
EVIDENCE = 10.0
"""For the log of a dead engine to be read where it ran."""
JOB_STOP = 180.0
"""For a detached sweep that is stopped to end its engines and report, before Ray kills it."""
DASHBOARD = 2.0
"""For Ray's dashboard to answer, or it is taken for gone."""
INTERRUPT = 15.0
"""From a signal until the process is ended where it stands, but while units are measured or reported."""


def unit_deadline(requests: int, concurrency: int, request_deadline: float) -> float:
    """Seconds for a unit of so many requests: they come in waves, and each wave has a request's deadline."""
    return -(-requests // concurrency) * request_deadline + UNIT_GRACE
