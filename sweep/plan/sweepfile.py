"""Reading a sweep file: YAML with positions, overrides, and every fault at once as file:line."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML

from cluster.backends import check_specs
from cluster.secrets import REFERENCE
from sweep import clean, files
from sweep.bounds import DEEPEST, LONGEST_TEXT, MOST_FAULTS, SWEEP_FILE
from sweep.errors import BadInput, suggestion
from sweep.plan.config import SweepConfig, is_local
from sweep.plan.detail import at, fault
from sweep.plan.document import parse
from sweep.plan.reference import reference_plan
from sweep.plan.secrets import Keeper, on_command_line
from sweep.plan.threshold import threshold_faults
from sweep.plan.units import Plan
from sweep.plan.unknown import unknown_faults
from sweep.plan.variants import Fault, KeyPath, Variant, argument_path, fault_list
from sweep.words import counted, cut

LOCAL_PATHS: tuple[KeyPath, ...] = (("protocol", "dataset", "path"), ("protocol", "dataset", "train_path"))
"""Keys whose value, when it names a local file, is relative to the sweep file."""
LOCAL_MODELS: tuple[KeyPath, ...] = (("engine", "model"), ("engine", "draft_model"))
"""Keys whose value is a folder when it begins with `.` or `/`, relative to the sweep file."""


def load(
    file: str | Path,
    overrides: Sequence[str] = (),
    further: Callable[[SweepConfig], Iterable[Fault]] = lambda _: (),
    *,
    recorded: bool = False,
) -> SweepConfig:
    """Read and validate a sweep file with `key.path=value` overrides over it.

    Its secrets and references are marks in the configuration, whose `secrets` have the values. `recorded`: the file
    is a run folder's, in which marks need none. Relative paths in the file are taken from the file's folder, those
    of overrides and of the environment from the working folder. `further` finds faults that are not this
    package's to know: those of the task and its data.
    Raises BadInput with every fault, one per line.
    """
    path = Path(file)
    document, lines = _read(path)
    keeper = Keeper(os.environ, recorded=recorded)
    keeper.take(document)
    _make_absolute(document, path.parent.resolve())
    changed = {_override(document, text, keeper): f"--set {text}" for text in overrides}
    for taken in keeper.take(document):
        raise on_command_line(".".join(map(str, taken)))
    _make_absolute(document, Path.cwd())
    try:
        config = SweepConfig.model_validate(document)
    except ValidationError as error:
        details = error.errors()
        faults = [fault(each, document) for each in details if not _of_other_kind(each, details)]
    else:
        config = config.keeping(keeper.secrets)
        if config.imported and not recorded:
            raise BadInput(
                f"{file}: its results were imported, so no engine can measure more of them; `sweep import` takes "
                "further files, and `sweep init` begins a sweep"
            )
        faults = [*fault_list(config), *_stop_faults(config), *_start_faults(config), *_sampling_faults(config)]
        faults += unknown_faults(config)
        faults += threshold_faults(config)
        # Nothing is known of a file whose name is not.
        faults += () if keeper.faults else config.secrets.hide(list(further(config.revealed())))
        if not faults and not keeper.faults:
            return config
    faults = [*keeper.faults, *faults]
    places = _places(path, lines, changed)
    named = [
        (_place(keys, places), f"{clean.line('.'.join(map(str, keys))) or 'the file'}: {text}")
        for keys, text in faults
    ]
    raise refusal(path, _in_order(named, places))


def _places(
    file: str | Path, lines: Mapping[KeyPath, int], changed: Mapping[KeyPath, str]
) -> Mapping[KeyPath, str]:
    """`file:line` of every key that the file writes, in the order of lines; then each `--set` of those changed."""
    ordered = sorted(lines.items(), key=lambda item: item[1])
    kept = {keys: f"{file}:{line}" for keys, line in ordered if keys not in changed}
    return {(): f"{file}:1", **kept, **changed}


def _place(keys: KeyPath, places: Mapping[KeyPath, str]) -> str:
    """`file:line` of the key, or of the nearest key around it; the `--set` when that wrote it or a key in it."""
    inside = (there for there in places if there[: len(keys)] == keys and places[there].startswith("--set "))
    return next(places[there] for there in (*inside, *_around(keys)) if there in places)


def _in_order(faults: Iterable[tuple[str, str]], places: Mapping[KeyPath, str]) -> Iterator[str]:
    """Faults, each with its place, in the order of the file's lines; those of a `--set` come last."""
    order = {place: number for number, place in enumerate(places.values())}
    return (f"{place}: {text}" for place, text in sorted(faults, key=lambda fault: order[fault[0]]))


def _around(path: KeyPath) -> Iterator[KeyPath]:
    """The path, and then that of each key around it."""
    return (path[:length] for length in range(len(path), -1, -1))


def written(file: Path) -> Mapping[KeyPath, int]:
    """Every key that a sweep file writes, and its line. Raises BadInput when it is not YAML."""
    return _read(file)[1]


def line_of(file: str | Path, path: KeyPath) -> int:
    """The line of a sweep file where a key is written, or the nearest key around it; 1 where none is."""
    lines = written(Path(file))
    return next((lines[head] for head in _around(path) if head in lines), 1)


def check_arguments(plan: Plan, file: str, address: str | None = None, overrides: Sequence[str] = ()) -> None:
    """Raises BadInput with every engine setting that the backend does not know or that cannot mean what it says.

    `address`: of the Ray cluster whose machines the engines run on, else RAY_ADDRESS, else this machine.
    `overrides`: over the file, so that a fault in what one says is told of it.
    """
    here = not (address or os.environ.get("RAY_ADDRESS"))
    changed: dict[KeyPath, str] = {tuple(text.partition("=")[0].split(".")): f"--set {text}" for text in overrides}
    places = _places(file, written(Path(file)), changed)
    faults = _argument_faults(plan, places, "engine", here=here)
    faults += _count_faults(plan, places)
    if reference := reference_plan(plan.config):
        faults += _argument_faults(reference, places, "reference", here=here)
    if faults:
        raise refusal(file, _in_order(faults, places), " in the engine's settings")


def _count_faults(plan: Plan, places: Mapping[KeyPath, str]) -> Iterator[tuple[str, str]]:
    """More engines than there can be with the arguments."""
    if plan.most_engines and (plan.engines or 0) > plan.most_engines:
        yield (
            _place(("engine", "engines"), places),
            f"engine.engines: is {plan.engines}, but the arguments have room for "
            f"{counted(plan.most_engines, 'engine')}; lower it, or name a server for each",
        )


def _argument_faults(
    plan: Plan, places: Mapping[KeyPath, str], key_of_engine: str, *, here: bool
) -> list[tuple[str, str]]:
    """`key_of_engine`: where the sweep file has what the plan has under `engine`."""
    secrets = plan.config.secrets
    specs = [plan.spec(variant.name).revealed() for variant in plan.measured]
    with secrets.hidden_in_errors():
        judged = secrets.hide(check_specs(plan.config.engine.backend, specs, here=here))
    having: dict[tuple[str, str], list[Variant]] = {}
    for variant, problems in zip(plan.measured, judged, strict=True):
        for problem in problems:
            having.setdefault(problem, []).append(variant)
    faults = []
    for (key, text), chosen in having.items():
        root, *below = argument_path(plan.config, chosen[0], key)
        where = _place((key_of_engine if root == "engine" else root, *below), places)
        faults.append((where, f"{key}: {text} (variant {', '.join(v.name for v in chosen)})"))
    return faults


def dump(config: SweepConfig) -> str:
    """The resolved sweep file as YAML, every default written out."""
    out = io.StringIO()
    yaml = YAML()
    yaml.width = 110
    yaml.dump(config.model_dump(mode="json"), out)
    return out.getvalue()


def _stop_faults(config: SweepConfig) -> Iterator[Fault]:
    rule = config.stop
    if rule and rule.identical is None and rule.width is None:
        yield ("stop",), "says nothing to stop on; write identical or width, or leave stop out"
    if rule and rule.identical is not None and config.protocol.question_order == "fixed":
        yield (
            ("stop", "identical"),
            "with protocol.question_order: fixed every repetition is batched alike, so identical ones prove "
            "nothing; shuffle the questions, or leave it out",
        )


def _start_faults(config: SweepConfig) -> Iterator[Fault]:
    starts, repetitions = config.engine.starts, config.repetitions
    if starts and starts > repetitions:
        yield (
            ("engine", "starts"),
            f"is {starts}, but a repetition has one start and there are {repetitions} of each variant; lower it, "
            "or raise repetitions",
        )


def _of_other_kind(detail: ErrorDetails, others: Sequence[ErrorDetails]) -> bool:
    """Whether it is a fault of the kind that was not written, which is no fault.

    A grid axis may be a mapping or a list, and a number of questions may be `all`.
    """
    wrote = detail["input"]
    # Pydantic calls so the kind of a union, in the place of a key.
    if (
        detail["type"] == "literal_error"
        and isinstance(wrote, int)
        and str(detail["loc"][-1]).startswith("literal[")
    ):
        return any(other is not detail and other["loc"][:-1] == detail["loc"][:-1] for other in others)
    kinds = {"list_type": dict, "dict_type": list}
    return detail["loc"][0] == "grid" and isinstance(wrote, kinds.get(detail["type"], ()))


def _sampling_faults(config: SweepConfig) -> Iterator[Fault]:
    """What cuts a distribution that nothing is drawn from."""
    if config.protocol.temperature == 0:
        for name in config.protocol.sampling:
            text = (
                "changes nothing at temperature 0, where no token is drawn; take it out, or raise the temperature"
            )
            yield ("protocol", name), text


def refusal(file: str | Path, faults: Iterable[str], where: str = "") -> BadInput:
    """The refusal of a sweep file with its first MOST_FAULTS faults, one per line; `where` they are, or nothing."""
    distinct = list(dict.fromkeys(faults))
    more = [f"and {len(distinct) - MOST_FAULTS:,} more"] if len(distinct) > MOST_FAULTS else []
    head = f"{file}: {counted(len(distinct), 'fault')}{where}, nothing was started"
    return BadInput("\n".join([head, *distinct[:MOST_FAULTS], *more]))


def _read(file: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    if not file.exists():
        others = sorted(str(other) for other in file.parent.glob("*.y*ml"))
        hint = suggestion(str(file), others) if others else f"{file.parent} holds no YAML files"
        raise BadInput(f"{file}: no such sweep file; {hint}")
    document, lines = parse(files.text(file, SWEEP_FILE), lambda line: f"{file}:{line}")
    if not isinstance(document, dict):
        kind = "empty" if document is None else f"a {type(document).__name__}"
        raise BadInput(f"{file}:1: a sweep file is a mapping with name, engine, variants...; this one is {kind}")
    return document, lines


def _override(document: dict[str, Any], text: str, keeper: Keeper) -> KeyPath:
    """Write what a `--set` says into the document; the path of the key that it names."""
    if len(text) > LONGEST_TEXT:
        # Without its value, which may be a secret.
        raise BadInput(
            f"--set {cut(text.partition('=')[0])}: longer than the {LONGEST_TEXT:,} characters that are allowed"
        )
    keeper.refuse(text)
    named = f"--set {cut(text)}"
    path, equals, value = text.partition("=")
    *around, last = path.split(".")
    if not equals or not all((*around, last)):
        raise BadInput(f"{named}: wants key.path=value, for example repetitions=5")
    if len(around) >= DEEPEST:
        raise BadInput(f"{named}: nested deeper than the {DEEPEST} levels that are allowed")
    place: Any = document
    for key in around:
        if place.get(key) is None:
            place[key] = {}
        place = place[key]
        if not isinstance(place, dict):
            raise BadInput(f"{named}: {key} holds no mapping and has no keys below it")
    place[last] = parse(value, lambda _: named).value
    return (*around, last)


def _make_absolute(document: dict[str, Any], folder: Path) -> None:
    """Write the document's local files and folders as absolute paths."""
    for keys in (*LOCAL_PATHS, *LOCAL_MODELS):
        value = at(document, keys)
        # Somebody's home folder is where the file is read.
        if not isinstance(value, str) or REFERENCE.match(value) or value.startswith("~"):
            continue
        if is_local(value) if keys in LOCAL_PATHS else value.startswith(("./", "../")):
            at(document, keys[:-1])[keys[-1]] = str(folder / value)
    builds = at(document, ("perturb", "build"))
    if isinstance(builds, list):
        builds[:] = [str(folder / run) if isinstance(run, str) else run for run in builds]
    gold = at(document, ("protocol", "gold"))
    if isinstance(gold, dict) and isinstance(run := gold.get("run"), str):
        gold["run"] = str(folder / run)
