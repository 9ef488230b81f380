"""What is wrong with a sweep file's threshold beside the rest of the file. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.gate.rules import MarginRule, Rule, ShareOfReference
from sweep.plan.config import SweepConfig
from sweep.plan.variants import Fault, KeyPath
from sweep.stats.metric import ACCURACY, OUTPUT_MATCH, Metric


def threshold_faults(config: SweepConfig) -> Iterator[Fault]:
    """A floor that follows from what nobody measures."""
    rule = config.threshold
    if rule is None:
        return
    yield from _margin_faults(rule.output_match, OUTPUT_MATCH, ("threshold", "output_match"))
    # What a library scores by is for the library to say.
    if ":" not in config.protocol.task and not (config.imported and config.imported.values):
        yield from metric_faults(config, ACCURACY)
    if isinstance(rule.accept_length, ShareOfReference) and config.reference is None:
        yield (
            ("threshold", "accept_length", "share_of_reference"),
            "is a share of what another engine reaches, and the sweep file names none; name it under reference, or "
            "write a number or a rule",
        )


def metric_faults(config: SweepConfig, metric: Metric) -> Iterator[Fault]:
    """What is wrong with the threshold of scores of that metric."""
    yield from _margin_faults(config.threshold, metric, ("threshold",))


def _margin_faults(rule: Rule | float | None, metric: Metric, where: KeyPath) -> Iterator[Fault]:
    """A margin that is more than the whole range."""
    span = metric.span
    if isinstance(rule, MarginRule) and span and isinstance(rule.margin, float) and rule.margin > span:
        limit = f"input should be less than or equal to {span:g}, got {rule.margin:g}"
        yield (*where, "margin"), f"{limit}; write a value of at least 0 and of at most {span:g}"
