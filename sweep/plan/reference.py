"""The reference of a sweep as a sweep of its own: one variant of another backend, one repetition."""

from __future__ import annotations

from sweep.plan.config import EngineConfig, SweepConfig, TrackingConfig, VariantConfig
from sweep.plan.units import Plan, make_plan

NAME = "reference"
"""The sweep's, whose folder lies below that of the one that asks for it, and its variant's."""


def reference_plan(config: SweepConfig) -> Plan | None:
    """What measures the reference that the sweep file asks for; None where it asks for none.

    It decodes with the draft where the sweep file names one. Its questions are the first of the sweep's.
    """
    asked, engine, protocol = config.reference, config.engine, config.protocol
    if asked is None:
        return None
    of_sweep = protocol.questions
    questions = asked.questions if of_sweep == "all" else min(asked.questions, of_sweep)
    return make_plan(
        SweepConfig(
            name=NAME,
            engine=EngineConfig(
                backend=asked.backend,
                model=engine.model,
                draft_model=engine.draft_model,
                gpus=asked.gpus,
                engines=1,
                arguments=asked.arguments,
                environment=asked.environment,
                secrets=engine.secrets,
                start_deadline=engine.start_deadline,
                request_deadline=engine.request_deadline,
            ),
            variants={NAME: VariantConfig(draft=engine.draft_model is not None)},
            protocol=protocol.model_copy(update={"questions": questions, "gold": None}),
            repetitions=1,
            seed=config.seed,
            tracking=TrackingConfig(uri=None),
        ).keeping(config.secrets)
    )
