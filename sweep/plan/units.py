"""From a sweep file to units: what will run, under which ids. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from cluster.backends import answers_mean_nothing, backend
from cluster.spec import EngineSpec
from sweep.plan.config import SweepConfig
from sweep.plan.variants import Variant, conditions, perturbed, variants

RESULT_FREE: Any = {
    "tracking": True,
    "engine": dict.fromkeys(
        ("engines", "secrets", "start_deadline", "request_deadline", "straggler", "expected", "schedule"), True
    ),
    "perturb": {"build": True},
    "reference": True,
    "imported": {"files": {"__all__": {"path"}}},
}
"""What changes how a sweep runs but not what it measures, and so not the sweep's id."""


class Load(NamedTuple):
    """What an engine has loaded: a variant, by one of the starts that its repetitions are spread over."""

    variant: str
    """The variant's name."""
    start: int = 1
    """From 1 to `engine.starts`; another one is loaded anew, though the variant is the same."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How a unit is run, resolved: the protocol's settings, or the level of a perturbed one."""

    loads: str
    """The variant that an engine must have loaded."""
    concurrency: int | None
    """Requests in flight at once; None where it is not known, as of imported results."""
    question_order: Literal["shuffled", "fixed"] | None
    """`shuffled` by the unit's seed, or `fixed` as in the data set; None likewise."""
    engine: str | None = None
    """The only engine that may run it; None where any may."""
    start: int = 1
    """Which of the starts that the variant's repetitions are spread over, from 1."""

    @property
    def load(self) -> Load:
        """What an engine must have loaded."""
        return Load(self.loads, self.start)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What an engine runs in one call: a shard of a repetition of a variant."""

    variant: str
    """The variant's name."""
    repetition: int
    """From 1."""
    shard: int
    """From 1."""
    shards: int
    """How many the repetition has."""
    seed: int | None
    """The repetition's: orders the questions, and samples above temperature 0. None where it is not known."""
    condition: Condition
    """How it is run."""

    @property
    def id(self) -> str:
        """Stable, and fit for a file name: `topk1-det-r07`, or `topk1-det-r07-s2of4` when sharded."""
        shard = f"-s{self.shard}of{self.shards}" if self.shards > 1 else ""
        return f"{self.variant}-r{self.repetition:02d}{shard}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything a sweep will run."""

    sweep_id: str
    """Name and a hash of what determines the results."""
    config: SweepConfig
    """The sweep file, resolved."""
    variants: tuple[Variant, ...]
    """In the order written."""
    perturbed: tuple[Variant, ...]
    """The same under other conditions: measured, and reported beside them."""
    units: tuple[Unit, ...]
    """By variant, then repetition, then shard; the perturbed variants' last."""

    @property
    def measured(self) -> tuple[Variant, ...]:
        """All that an engine is started with."""
        return (*self.variants, *self.perturbed)

    @property
    def real_model(self) -> bool:
        """False where a variant has no model, or one with random weights, so that its scores mean nothing."""
        return not any(answers_mean_nothing(self.config.engine.backend, v.arguments) for v in self.measured)

    @property
    def engines(self) -> int | None:
        """How many engines the sweep has; None for as many as the cluster has room for."""
        asked = self.config.engine.engines
        return self.most_engines if asked == "auto" else asked

    @property
    def most_engines(self) -> int | None:
        """How many engines there can be, such as one for each server that runs; None where nothing bounds them."""
        of = backend(self.config.engine.backend).most_engines
        bounds = [most for variant in self.measured if (most := of(variant.arguments)) is not None]
        return min(bounds, default=None)

    def repetitions(self, variant: Variant) -> int:
        """How many are planned of it."""
        asked, imported = self.config.perturb, self.config.imported
        if imported:
            return imported.repetitions[variant.name]
        return asked.repetitions if variant.perturbs and asked else self.config.repetitions

    def spec(self, variant: str) -> EngineSpec:
        """How to start an engine with this variant, which is not of an imported run. Raises KeyError for an unknown
        name."""
        chosen = {v.name: v for v in self.measured}[variant]
        engine = self.config.engine
        assert engine.model is not None
        return EngineSpec(
            label=chosen.name,
            backend=engine.backend,
            model=engine.model,
            draft_model=engine.draft_model if chosen.draft else None,
            gpus=engine.owned,
            nodes=engine.spanned,
            arguments=chosen.arguments,
            environment=chosen.environment,
            start_deadline=engine.start_deadline,
            request_deadline=engine.request_deadline,
            secrets=self.config.secrets,
        )


def make_plan(config: SweepConfig) -> Plan:
    """The plan of a validated sweep file."""
    drawn = Plan(
        sweep_id=f"{config.name}-{content_hash(config)[:8]}",
        config=config,
        variants=variants(config),
        perturbed=perturbed(config),
        units=(),
    )
    return replace(drawn, units=tuple(unit for v in drawn.measured for unit in _units(drawn, v)))


def _units(plan: Plan, variant: Variant) -> Iterator[Unit]:
    settings = conditions(plan.config)
    if variant.factor in settings:
        settings[variant.factor] = variant.level
    shards = settings.pop("shards")
    # In turn, so that the first repetitions, which a stop rule looks at, have different starts.
    starts = 1 if variant.perturbs else plan.config.engine.starts or 1
    for repetition in range(1, plan.repetitions(variant) + 1):
        for shard in range(1, shards + 1):
            yield Unit(
                variant=variant.name,
                repetition=repetition,
                shard=shard,
                shards=shards,
                seed=None if plan.config.seed is None else plan.config.seed + repetition - 1,
                condition=Condition(loads=variant.loads, start=1 + (repetition - 1) % starts, **settings),
            )


def content_hash(config: SweepConfig) -> str:
    """SHA-256 over what the sweep file says about its results."""
    return digest(result_settings(config))


def result_settings(config: SweepConfig) -> dict[str, Any]:
    """What the sweep file says about its results, as JSON values.

    Factors without levels are left out, and so are a single start, a single node (or an unknown number of either)
    and what a protocol leaves unset: a sweep keeps its id, and its run folder, when it names a build, and when this
    program learns of another factor.
    """
    settings = config.model_dump(mode="json", exclude=RESULT_FREE)
    for name in ("starts", "nodes"):
        if settings["engine"][name] in (1, None):
            del settings["engine"][name]
    if config.imported is None:
        del settings["imported"]
    for name in config.protocol.unset:
        del settings["protocol"][name]
    asked = settings.pop("perturb") or {}
    levels = {factor: listed for factor, listed in asked.items() if listed and factor != "repetitions"}
    return settings | ({"perturb": {**levels, "repetitions": asked["repetitions"]}} if levels else {})


def digest(value: Any) -> str:
    """SHA-256 over a JSON value, keys sorted."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
