"""What is wrong with a sweep file's threshold beside the rest of the file. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.gate.rules import ShareOfReference
from sweep.plan.config import SweepConfig
from sweep.plan.variants import Fault


def threshold_faults(config: SweepConfig) -> Iterator[Fault]:
    """A floor that follows from what nobody measures."""
    rule = config.threshold
    if rule is None:
        return
    if isinstance(rule.accept_length, ShareOfReference) and config.reference is None:
        yield (
            ("threshold", "accept_length", "share_of_reference"),
            "is a share of what another engine reaches, and the sweep file names none; name it under reference, or "
            "write a number or a rule",
        )
