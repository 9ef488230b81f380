"""What measures the reference of a task without answers: a sweep of one repetition of one of a sweep's variants."""

from __future__ import annotations

from sweep.plan.config import AuditConfig, SweepConfig, TrackingConfig, VariantConfig
from sweep.plan.units import Plan, make_plan
from sweep.plan.variants import variants

NAME = "gold"
"""Of the sweep, whose folder lies below that of the one that asks for it."""


def gold_plan(config: SweepConfig) -> Plan | None:
    """None where the sweep file names no variant of its own as the reference.

    The repetition is one more, with a seed that none of the sweep's has: that of a variant which is held to its own
    outputs agrees with it no more often than the others.
    """
    gold = config.protocol.gold
    if gold is None or gold.run is not None:
        return None
    chosen = next(variant for variant in variants(config) if variant.name == gold.variant)
    loaded = VariantConfig(
        draft=chosen.draft,
        deterministic=chosen.deterministic,
        arguments=dict(chosen.arguments),
        environment=dict(chosen.environment),
    )
    update = {
        "name": NAME,
        "engine": config.engine.model_copy(update={"engines": 1, "starts": 1, "arguments": {}, "environment": {}}),
        "variants": {chosen.name: loaded},
        "grid": {},
        "protocol": config.protocol.model_copy(update={"gold": None}),
        "repetitions": 1,
        "seed": config.seed - 1 if config.seed else config.repetitions,
        "tracking": TrackingConfig(uri=None),
        "audits": AuditConfig(),
        **dict.fromkeys(("threshold", "stop", "perturb", "reference")),
    }
    return make_plan(config.model_copy(update=update))
