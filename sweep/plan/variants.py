"""Variants of a sweep: the ones written out and the ones its grid expands to, with what each claims. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

from cluster.backends import Backend, backend
from sweep.plan.config import NAME, SweepConfig, VariantConfig

CONDITIONS = ("concurrency", "shards", "question_order", "engine")
"""Factors that are no engine argument: a variant's own engines measure them, and a claim of determinism covers
them."""
BUILD = "build"
"""The factor whose levels are other runs."""
ENGINE = re.compile(r"engine-[1-9]\d*")
"""What a pool calls its engines."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One engine configuration, complete."""

    name: str
    """Unique in the sweep."""
    draft: bool
    """Decodes with the draft model."""
    deterministic: bool
    """Claims identical outputs over repetitions."""
    baseline: str | None
    """The variant whose outputs it must reproduce: for speculative ones, the same without the draft."""
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


Fault = tuple[tuple[str, ...], str]
"""A key path, and what is wrong there and what to do."""


def fault_list(config: SweepConfig) -> list[Fault]:
    """What is wrong with the variants as a set."""
    faults: list[Fault] = []
    seen: dict[str, tuple[str, ...]] = {}
    for path, name, variant in _named(config):
        if not NAME.fullmatch(name):
            faults.append((path, f"the level names make `{name}`, which cannot name a variant"))
        if name in seen:
            faults.append((path, f"duplicate variant `{name}`; rename one of them"))
        seen[name] = path
        if variant.draft and config.engine.draft_model is None:
            faults.append((path, f"variant `{name}` says draft: true; name a model in engine.draft_model"))
    for path, name, variant in _named(config):
        if variant.baseline is not None and variant.baseline not in seen:
            known = ", ".join(sorted(seen))
            faults.append(
                (
                    (*path, "baseline"),
                    f"variant `{name}` has the unknown baseline `{variant.baseline}`; {known}",
                )
            )
    if not seen:
        faults.append((("variants",), "no variants; write at least one under variants, or axes under grid"))
    faults += _axis_conflicts(config)
    return faults + _perturb_faults(config)


def variants(config: SweepConfig) -> tuple[Variant, ...]:
    """Every variant of a sweep whose `fault_list` is empty, in the order written, the grid's last."""
    chosen = backend(config.engine.backend)
    drawn = [(name, variant, *_merged(config, variant)) for _, name, variant in _named(config)]
    modes = {name: _mode(chosen, arguments, environment) for name, _, arguments, environment in drawn}
    plain = {modes[name]: name for name, variant, _, _ in drawn if not variant.draft}
    return tuple(
        Variant(
            name=name,
            draft=variant.draft,
            deterministic=chosen.deterministic(arguments)
            if variant.deterministic is None
            else variant.deterministic,
            baseline=variant.baseline or (plain.get(modes[name]) if variant.draft else None),
            arguments=arguments,
            environment=environment,
        )
        for name, variant, arguments, environment in drawn
    )


def perturbed(config: SweepConfig) -> tuple[Variant, ...]:
    """Every variant at every level of every factor under `perturb`."""
    return tuple(
        replace(
            variant,
            name=f"{variant.name}+{factor}={level}",
            perturbs=variant.name,
            factor=factor,
            level=level,
            arguments=variant.arguments if path == (factor,) else {**variant.arguments, factor: level},
        )
        for variant in variants(config)
        for path, factor, levels, _ in _factors(config)
        for level in levels
    )


def _factors(config: SweepConfig) -> list[tuple[tuple[str, ...], str, tuple[Any, ...], Any]]:
    """(key path under `perturb`, factor, levels, the sweep's own value) of each factor that has levels."""
    asked = config.perturb
    if asked is None:
        return []
    found: list[tuple[tuple[str, ...], str, tuple[Any, ...], Any]] = [
        (("concurrency",), "concurrency", asked.concurrency, config.protocol.concurrency),
        (("shards",), "shards", asked.shards, config.shards),
        (("question_order",), "question_order", asked.question_order, config.protocol.question_order),
        (("engine",), "engine", asked.engine, None),
    ]
    found += [
        (("arguments", name), name, levels, config.engine.arguments.get(name))
        for name, levels in asked.arguments.items()
    ]
    return [factor for factor in found if factor[2]]


def _perturb_faults(config: SweepConfig) -> list[Fault]:
    factors = _factors(config)
    if config.perturb is None:
        return []
    if not factors and not config.perturb.build:
        return [(("perturb",), "no factor has levels; write some, such as concurrency: [32]")]
    faults = _absent_engines(config.engine.engines, config.perturb.engine)
    for path, factor, levels, own in factors:
        where = ("perturb", *path)
        if len(set(map(repr, levels))) < len(levels):
            faults.append((where, f"has a level twice in {list(levels)}; take one out"))
        if own in levels:
            faults.append((where, f"{own} is the sweep's own value, a level already; take it out"))
        faults += [
            (where, f"level {level!r} cannot be part of a name; use a number, a word or true")
            for level in levels
            if not NAME.fullmatch(f"v+{factor}={level}")
        ]
    return faults


def _absent_engines(count: int | Literal["auto"], asked: Sequence[str]) -> list[Fault]:
    """The engines that the sweep will not have; with `auto` only a launch can tell."""
    known = None if count == "auto" else {f"engine-{number}" for number in range(1, count + 1)}
    return [
        (("perturb", "engine"), f"no engine is called {name}; {_engines(count)}")
        for name in asked
        if (name not in known if known is not None else not ENGINE.fullmatch(name))
    ]


def _engines(count: int | Literal["auto"]) -> str:
    return "engine-1, engine-2..." if count == "auto" else f"engine.engines has engine-1 to engine-{count}"


def varying(chosen: Iterable[Variant]) -> dict[str, dict[str, Any]]:
    """Variant name to what sets it apart: the arguments that are not the same in all, and `draft`.

    A variant without an argument that others have shows None for it.
    """
    facts = {v.name: {**v.arguments, **v.environment, "draft": v.draft} for v in chosen}
    keys = dict.fromkeys(key for values in facts.values() for key in values)
    differing = [key for key in keys if len({repr(values.get(key)) for values in facts.values()}) > 1]
    return {name: {key: values.get(key) for key in differing} for name, values in facts.items()}


def _named(config: SweepConfig) -> list[tuple[tuple[str, ...], str, VariantConfig]]:
    """(key path, name, own settings) of each variant, the grid expanded."""
    written: list[tuple[tuple[str, ...], str, VariantConfig]] = [
        (("variants", name), name, variant) for name, variant in config.variants.items()
    ]
    if not config.grid:
        return written
    combinations = product(*(_levels(axis, levels) for axis, levels in config.grid.items()))
    return written + [
        (("grid",), "-".join(name for name, _ in levels if name), _combined([v for _, v in levels]))
        for levels in combinations
    ]


def _levels(axis: str, levels: Mapping[str, VariantConfig] | list[Any]) -> list[tuple[str, VariantConfig]]:
    if isinstance(levels, Mapping):
        return list(levels.items())
    return [(f"{axis}={value}", VariantConfig(arguments={axis: value})) for value in levels]


def argument_path(config: SweepConfig, variant: Variant, key: str) -> tuple[str | int, ...]:
    """The key path in the sweep file that gives a variant this engine argument; under `engine` where none does."""
    if variant.factor == key:
        return ("perturb", "arguments", key)
    written = [path for path, given in _written(config, variant.perturbs or variant.name) if key in given]
    return (*written[-1], key) if written else ("engine", key)


def _written(config: SweepConfig, name: str) -> list[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """(key path, engine arguments) of every place where a variant's are written; a later one wins."""
    shared: list[tuple[tuple[str | int, ...], Mapping[str, Any]]] = [
        (("engine", "arguments"), config.engine.arguments)
    ]
    if name in config.variants:
        return [*shared, (("variants", name, "arguments"), config.variants[name].arguments)]
    axes = [
        [
            (level, ("grid", axis, level, "arguments") if isinstance(levels, Mapping) else ("grid", axis, index), v)
            for index, (level, v) in enumerate(_levels(axis, levels))
        ]
        for axis, levels in config.grid.items()
    ]
    chosen = next(levels for levels in product(*axes) if "-".join(level for level, _, _ in levels if level) == name)
    return [*shared, *((path, v.arguments) for _, path, v in chosen)]


def _combined(levels: list[VariantConfig]) -> VariantConfig:
    claims = [level.deterministic for level in levels if level.deterministic is not None]
    baselines = [level.baseline for level in levels if level.baseline is not None]
    return VariantConfig(
        draft=any(level.draft for level in levels),
        deterministic=claims[-1] if claims else None,
        baseline=baselines[-1] if baselines else None,
        arguments={key: value for level in levels for key, value in level.arguments.items()},
        environment={key: value for level in levels for key, value in level.environment.items()},
    )


def _axis_conflicts(config: SweepConfig) -> list[Fault]:
    owners: dict[str, str] = {}
    faults: list[Fault] = []
    for axis, levels in config.grid.items():
        keys = {key for _, level in _levels(axis, levels) for key in (*level.arguments, *level.environment)}
        for key in sorted(keys):
            if key in owners:
                faults.append((("grid", axis), f"sets `{key}`, which axis `{owners[key]}` sets too"))
            owners[key] = axis
    return faults


def _merged(config: SweepConfig, variant: VariantConfig) -> tuple[dict[str, Any], dict[str, str]]:
    return (
        {**config.engine.arguments, **variant.arguments},
        {**config.engine.environment, **variant.environment},
    )


def _mode(chosen: Backend, arguments: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """What two variants share when they differ in nothing but speculation."""
    kept = [(name, arguments[name]) for name in sorted(arguments) if not chosen.speculative(name)]
    return repr((kept, sorted(environment.items())))
