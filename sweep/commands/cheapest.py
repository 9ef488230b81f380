"""`sweep power --cheapest`: the plan that finds a loss for the least engine time."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sweep.errors import BadInput

if TYPE_CHECKING:
    from sweep.gate.budget import Costs, Spent
    from sweep.gate.model import Model
    from sweep.gate.planning import Goal
    from sweep.gate.rules import FalseAlarmRule
    from sweep.plan.config import SweepConfig

GSM8K = 1319
"""Questions that there are, where no file says it: GSM8K's."""
IDENTICAL = 3
"""Repetitions of a deterministic variant: they show whether it is."""


def for_a_gate(
    model: Model, goal: Goal, rule: FalseAlarmRule, options: dict[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """What the cheapest plan of a noisy variant is, for people and as JSON; it was simulated once more."""
    from dataclasses import replace

    from sweep.gate.budget import cheapest_gate
    from sweep.gate.planning import rehearse
    from sweep.report.plans import cheapest_gate_lines

    costs, most, gpus = _costs(options)
    found = cheapest_gate(model, goal, rule, costs, most)
    tried = None
    if found is not None:
        tried = rehearse(replace(model, questions=found.questions), goal, rule, found.repetitions, 0)
    lines = list(cheapest_gate_lines(goal, found, tried, costs, most, gpus))
    return lines, _as_json(found, costs, most, gpus) | {"goal": asdict(goal), "rehearsal": tried and asdict(tried)}


def for_a_deterministic_variant(options: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The same of a variant that repeats itself, which is held to its baseline."""
    from sweep.gate.budget import cheapest_lossless
    from sweep.gate.planning import Goal
    from sweep.plan.sweepfile import load
    from sweep.report.plans import cheapest_lossless_lines

    costs, most, gpus = _costs(options)
    goal = Goal(alpha=0.01, drop=options["drop"], power=options["power"])
    held = held_to_a_baseline(load(options["file"])) if options["file"] else 1
    found = cheapest_lossless(goal, costs, most, IDENTICAL, held)
    lines = list(cheapest_lossless_lines(goal, found, most, gpus, held))
    return lines, _as_json(found, costs, most, gpus) | {"drop": goal.drop, "power": goal.power, "variants": held}


def held_to_a_baseline(config: SweepConfig) -> int:
    """How many variants share the level of the lossless audit; 1 at least."""
    from sweep.plan.variants import variants

    return max(1, sum(v.baseline is not None for v in variants(config)))


def _costs(options: dict[str, Any]) -> tuple[Costs, int, float]:
    """What a start and a question cost, how many questions there are, and the GPUs of an engine.

    FILE's, over which the measured ones of `--start` and `--repetition` go.
    """
    from sweep.gate.budget import Costs
    from sweep.plan.config import Expected
    from sweep.plan.sweepfile import load
    from sweep.run.forecast import USUAL_QUESTIONS, USUAL_SECONDS, repetition_seconds

    config = load(options["file"]) if options["file"] else None
    asked = config and config.protocol.questions
    questions = (
        asked if isinstance(asked, int) else (options["questions"] or (GSM8K if config else USUAL_QUESTIONS))
    )
    usual = repetition_seconds(config, questions) if config else USUAL_SECONDS * questions / USUAL_QUESTIONS
    start = (config.engine.expected if config else Expected()).start
    given = {name: options[name] for name in ("start", "repetition") if options[name] is not None}
    if any(seconds < 0 or not seconds < float("inf") for seconds in given.values()):
        raise BadInput("--start and --repetition are seconds, 0 or more")
    repetition = given.get("repetition", usual)
    costs = Costs(start=given.get("start", start), question=repetition / questions)
    return costs, options["most_questions"] or GSM8K, config.engine.owned if config else 0


def _as_json(found: Spent | None, costs: Costs, most: int, gpus: float) -> dict[str, Any]:
    return {
        "cheapest": found and {**asdict(found), "gpu_minutes": found.seconds * gpus / 60},
        "costs": asdict(costs),
        "most_questions": most,
        "gpus": gpus,
    }
