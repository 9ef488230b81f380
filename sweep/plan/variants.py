"""Variants of a sweep: the ones written out and the ones its grid expands to, with what each claims. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product, starmap
from math import prod
from typing import Any

from cluster.backends import Backend, backend
from sweep.bounds import LONGEST_NAME, MOST_UNITS, MOST_VARIANTS
from sweep.plan.config import NAME, EngineConfig, SweepConfig, VariantConfig
from sweep.plan.document import KeyPath as KeyPath

CONDITIONS = ("concurrency", "shards", "question_order", "engine")
"""Factors that are no engine argument: a variant's own engines measure them, and a claim of determinism covers
them."""
BUILD = "build"
"""The factor whose levels are other runs."""
ENGINE = re.compile(r"engine-([1-9]\d*)")
"""What a pool calls its engines."""
Parts = Sequence[tuple[KeyPath, VariantConfig]]
"""What a variant is made of, and where each part is written; a later one wins."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One engine configuration, complete."""

    name: str
    """Unique in the sweep."""
    draft: bool
    """Decodes with the draft model."""
    speculates: bool
    """Decodes speculatively: with the draft model, or because its arguments say so (an n-gram search)."""
    deterministic: bool
    """Claims identical outputs over repetitions."""
    baseline: str | None
    """The variant whose outputs it must reproduce: the one written, or for a speculative variant the one that is
    the same without speculation; None where there is neither."""
    draft_depth: int | None
    """How many tokens deep its draft goes before it is verified; None without a draft, and where the arguments do
    not say."""
    arguments: Mapping[str, Any]
    """The backend's arguments: the common ones with the variant's own over them."""
    environment: Mapping[str, str]
    """The process environment, likewise."""
    perturbs: str | None = None
    """The variant that this is one under another condition; None for a variant of the sweep's own."""
    factor: str | None = None
    """Of a perturbed one, what was changed: one of CONDITIONS, an engine argument, or BUILD."""
    level: Any = None
    """Of a perturbed one, the factor's value."""

    @property
    def loads(self) -> str:
        """The variant that an engine must have loaded to measure it."""
        return self.perturbs if self.perturbs is not None and self.factor in CONDITIONS else self.name


Fault = tuple[KeyPath, str]
"""A key path, and what is wrong there and what to do."""


def fault_list(config: SweepConfig) -> list[Fault]:
    """What is wrong with the variants as a set. Nothing is expanded where that would be too much."""
    return list(_bulk_faults(config)) or [
        *_variant_faults(config),
        *_axis_conflicts(config),
        *_perturb_faults(config),
    ]


def _bulk_faults(config: SweepConfig) -> Iterator[Fault]:
    """More variants or units than a sweep may have, counted and not drawn."""
    drawn = len(config.variants) + (prod(map(len, config.grid.values())) if config.grid else 0)
    asked, factors = config.perturb, _factors(config)
    measured = drawn * (1 + sum(len(levels) for _, levels, _ in factors))
    if measured > MOST_VARIANTS:
        where = "perturb" if drawn <= MOST_VARIANTS else "grid" if config.grid else "variants"
        yield (
            (where,),
            f"makes {measured:,} variants, and a sweep has at most {MOST_VARIANTS:,}; take some out",
        )
    units = drawn * config.repetitions * config.shards
    for path, levels, _ in factors:
        shards = sum(levels) if path == ("shards",) else len(levels) * config.shards
        units += drawn * shards * (asked.repetitions if asked else 0)
    if units > MOST_UNITS:
        yield (
            ("repetitions",),
            f"with the variants and shards it makes {units:,} units, and a sweep has at most {MOST_UNITS:,}; "
            "take fewer of one of these",
        )


def _variant_faults(config: SweepConfig) -> Iterator[Fault]:
    drawn = [(path, name, _merged(config, parts)) for path, name, parts in _drawn(config)]
    names = [name for _, name, _ in drawn]
    for index, (path, name, variant) in enumerate(drawn):
        if not NAME.fullmatch(name):
            yield path, f"the level names make `{name}`, which cannot name a variant"
        if len(name) > LONGEST_NAME:
            yield path, f"the level names make `{name}`, which is longer than {LONGEST_NAME} characters"
        if name in names[:index]:
            yield path, f"duplicate variant `{name}`; rename one of them"
        if variant.draft and config.engine.draft_model is None:
            yield path, f"variant `{name}` says draft: true; name a model in engine.draft_model"
        if variant.baseline == name:
            yield (
                (*path, "baseline"),
                f"variant `{name}` is its own baseline; name another variant, or leave it out",
            )
        elif variant.baseline is not None and variant.baseline not in names:
            known = f"known: {', '.join(sorted(names))}"
            yield (*path, "baseline"), f"variant `{name}` has the unknown baseline `{variant.baseline}`; {known}"
    gold = config.protocol.gold
    if gold and gold.run is None and gold.variant is not None and gold.variant not in names:
        known = f"known: {', '.join(sorted(names))}; of another run, name its folder in run"
        yield ("protocol", "gold", "variant"), f"no variant of this sweep is called `{gold.variant}`; {known}"
    if not names:
        yield ("variants",), "no variants; write at least one under variants, or axes under grid"


def _axis_conflicts(config: SweepConfig) -> Iterator[Fault]:
    owners: dict[str, str] = {}
    for axis, levels in config.grid.items():
        keys = {key for _, _, level in _levels(axis, levels) for key in (*level.arguments, *level.environment)}
        for key in sorted(keys):
            if key in owners:
                yield ("grid", axis), f"sets `{key}`, which axis `{owners[key]}` sets too"
            owners[key] = axis


def variants(config: SweepConfig) -> tuple[Variant, ...]:
    """Every variant of a sweep whose `fault_list` is empty, in the order written, the grid's last."""
    chosen = backend(config.engine.backend)
    drawn = {name: _merged(config, parts) for _, name, parts in _drawn(config)}
    modes = {name: _mode(chosen, variant) for name, variant in drawn.items()}
    speculates = {name: v.draft or chosen.speculates(v.arguments) for name, v in drawn.items()}
    plain = {modes[name]: name for name in drawn if not speculates[name]}
    return tuple(
        Variant(
            name=name,
            draft=v.draft,
            speculates=speculates[name],
            deterministic=chosen.deterministic(v.arguments) if v.deterministic is None else v.deterministic,
            baseline=v.baseline or (plain.get(modes[name]) if speculates[name] else None),
            draft_depth=chosen.draft_depth(v.arguments) if v.draft else None,
            arguments=v.arguments,
            environment=v.environment,
        )
        for name, v in drawn.items()
    )


def perturbed(config: SweepConfig) -> tuple[Variant, ...]:
    """Every variant at every level of every factor under `perturb`."""
    return tuple(
        replace(
            variant,
            name=f"{variant.name}+{path[-1]}={level}",
            perturbs=variant.name,
            factor=path[-1],
            level=level,
            arguments={**variant.arguments, path[-1]: level} if path[0] == "arguments" else variant.arguments,
        )
        for variant in variants(config)
        for path, levels, _ in _factors(config)
        for level in levels
    )


def conditions(config: SweepConfig) -> dict[str, Any]:
    """The sweep's own setting of each of CONDITIONS; `engine` is None, any of them."""
    protocol = config.protocol
    return dict(zip(CONDITIONS, (protocol.concurrency, config.shards, protocol.question_order, None), strict=True))


def unchecked_claims(config: SweepConfig) -> tuple[str, ...]:
    """The variants that claim determinism where no two repetitions of the plan can show it.

    Above temperature 0 a repetition shares its sampling seed with those of its number under another of CONDITIONS
    alone.
    """
    planned = any(path[0] in CONDITIONS for path, _, _ in _factors(config))
    if config.protocol.temperature == 0 or planned:
        return ()
    return tuple(v.name for v in variants(config) if v.deterministic)


def two_level_factors(config: SweepConfig) -> tuple[str, ...]:
    """The perturbed factors of which the sweep has two levels, its own among them: next to no degrees of freedom.

    `question_order` has no third, and a build is a level that may come later.
    """
    listed = ((path[-1], levels) for path, levels, _ in _factors(config))
    return tuple(name for name, levels in listed if len(levels) == 1 and name != "question_order")


def _factors(config: SweepConfig) -> list[tuple[tuple[str, ...], tuple[Any, ...], Any]]:
    """(key path under `perturb` to the factor, levels, the sweep's own value) of each factor that has levels."""
    asked, common = config.perturb, config.engine.arguments
    if asked is None:
        return []
    factors = [((name,), getattr(asked, name), usual) for name, usual in conditions(config).items()]
    arguments = [(("arguments", name), levels, common.get(name)) for name, levels in asked.arguments.items()]
    return [factor for factor in (*factors, *arguments) if factor[1]]


def _perturb_faults(config: SweepConfig) -> Iterator[Fault]:
    asked, factors = config.perturb, _factors(config)
    if asked is None:
        return
    if not factors and not asked.build:
        yield ("perturb",), "no factor has levels; write some, such as concurrency: [32]"
    count = config.engine.engines
    known = "engine-1, engine-2..." if count == "auto" else f"engine.engines has engine-1 to engine-{count}"
    for name in asked.engine:
        engine = ENGINE.fullmatch(name)
        # With `auto` only a launch can tell how many there are.
        if engine is None or (count != "auto" and int(engine[1]) > count):
            yield ("perturb", "engine"), f"no engine is called {name}; {known}"
    for path, levels, usual in factors:
        where = ("perturb", *path)
        if len(set(map(repr, levels))) < len(levels):
            yield where, f"has a level twice in {list(levels)}; take one out"
        if usual in levels:
            yield where, f"{usual} is the sweep's own value, a level already; take it out"
        for level in levels:
            if not NAME.fullmatch(f"v+{path[-1]}={level}"):
                yield where, f"level {level!r} cannot be part of a name; use a number, a word or true"
            longest = max((len(name) for _, name, _ in _drawn(config)), default=0)
            if longest + len(f"+{path[-1]}={level}") > LONGEST_NAME:
                yield where, f"level {level!r} makes a name that is longer than {LONGEST_NAME} characters"


def varying(chosen: Iterable[Variant]) -> dict[str, dict[str, Any]]:
    """Variant name to what sets it apart: the arguments that are not the same in all, and `draft`.

    A variant without an argument that others have shows None for it.
    """
    facts = {v.name: {**v.arguments, **v.environment, "draft": v.draft} for v in chosen}
    keys = dict.fromkeys(key for values in facts.values() for key in values)
    differing = [key for key in keys if len({repr(values.get(key)) for values in facts.values()}) > 1]
    return {name: {key: values.get(key) for key in differing} for name, values in facts.items()}


def argument_path(config: SweepConfig, variant: Variant, key: str) -> KeyPath:
    """The key path in the sweep file that gives a variant this engine argument; under `engine` where none does."""
    if variant.factor == key:
        return ("perturb", "arguments", key)
    wanted = variant.perturbs or variant.name
    parts = next(parts for _, name, parts in _drawn(config) if name == wanted)
    given: list[tuple[KeyPath, EngineConfig | VariantConfig]] = [(("engine",), config.engine), *parts]
    return next(
        ((*path, "arguments", key) for path, part in reversed(given) if key in part.arguments), ("engine", key)
    )


def _drawn(config: SweepConfig) -> Iterator[tuple[tuple[str, ...], str, Parts]]:
    """(key path, name, parts) of each variant, the grid expanded."""
    for name, variant in config.variants.items():
        yield ("variants", name), name, [(("variants", name), variant)]
    for levels in product(*starmap(_levels, config.grid.items())) if config.grid else ():
        yield ("grid",), "-".join(name for name, _, _ in levels if name), [(path, v) for _, path, v in levels]


def _levels(axis: str, levels: Mapping[str, VariantConfig] | list[Any]) -> list[tuple[str, KeyPath, VariantConfig]]:
    """(name, key path, settings) of each level."""
    if isinstance(levels, Mapping):
        return [(name, ("grid", axis, name), level) for name, level in levels.items()]
    return [
        (f"{axis}={value}", ("grid", axis, index), VariantConfig(arguments={axis: value}))
        for index, value in enumerate(levels)
    ]


def _merged(config: SweepConfig, parts: Parts) -> VariantConfig:
    """The engine's common settings with those of the parts over them."""
    merged = VariantConfig(arguments=config.engine.arguments, environment=config.engine.environment)
    for _, part in parts:
        merged = VariantConfig(
            draft=merged.draft or part.draft,
            deterministic=merged.deterministic if part.deterministic is None else part.deterministic,
            baseline=part.baseline or merged.baseline,
            arguments=merged.arguments | part.arguments,
            environment=merged.environment | part.environment,
        )
    return merged


def _mode(chosen: Backend, variant: VariantConfig) -> str:
    """What two variants share when they differ in nothing but speculation."""
    arguments = sorted(chosen.plain(variant.arguments).items())
    kept = [(name, value) for name, value in arguments if not chosen.speculative(name)]
    return repr((kept, sorted(variant.environment.items())))
