"""Draws cases: good input in which a few things are wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz.case import FIFO, FOLDER, HUGE, Case
from tests.fuzz.seeds import NIGHTS, RUN, SCORES, SWEEP, Made
from tests.fuzz.values import JSONS, KEYS, NUMBERS, OPTIONS, WORDS


def draw(random: Random, made: Made) -> Case:
    """One case."""
    kinds: dict[Callable[[Random, Made], Case], int] = {
        _sweep_file: 10,
        _override: 8,
        _data: 5,
        _scores: 8,
        _contract: 6,
        _score: 5,
        _folder: 5,
        _power: 1,
        _anything: 5,
    }
    return random.choices(list(kinds), list(kinds.values()))[0](random, made)


def _sweep_file(random: Random, made: Made) -> Case:
    content = _changed(random, SWEEP.encode(), _broken_yaml)
    return Case(arguments=(*_reads_sweep(random), *_options(random, "plan", 0.1)), files={"sweep.yaml": content})


def _reads_sweep(random: Random) -> tuple[str, ...]:
    commands = [("plan",), ("plan", "--json"), ("plan", "--argv"), ("launch", "--runs", "out", "--no-track")]
    return (*random.choice(commands), "sweep.yaml")


def _override(random: Random, made: Made) -> Case:
    sets = [f"{random.choice(KEYS)}={random.choice(WORDS)}" for _ in range(random.choice((1, 1, 2, 3)))]
    words = [word for each in sets for word in ("--set", each)]
    return Case(arguments=(*_reads_sweep(random), *words), files={"sweep.yaml": SWEEP.encode()})


def _data(random: Random, made: Made) -> Case:
    name = random.choice(("x.jsonl", "x.json", "x.parquet"))
    good = made.parquet if name == "x.parquet" else made.data
    content = _changed(random, good, _broken_lines if name != "x.parquet" else _flipped)
    words = ("--set", f"protocol.dataset.path={name}", "--set", "protocol.questions=all")
    return Case(arguments=(*_reads_sweep(random), *words), files={"sweep.yaml": SWEEP.encode(), name: content})


def _scores(random: Random, made: Made) -> Case:
    as_json = random.random() < 0.4
    good = SCORES if as_json else NIGHTS
    content = _changed(random, good.encode(), _broken_json if as_json else _broken_lines)
    command = random.choice(("stats", "history"))
    options = _options(random, command, 0.3)
    rest = () if random.random() < 0.2 else ("--questions", "200")
    if isinstance(content, bytes) and random.random() < 0.2:
        return Case(arguments=(command, "-", *rest, *options), stdin=content)
    return Case(arguments=(command, "scores", *rest, *options), files={"scores": content})


def _contract(random: Random, made: Made) -> Case:
    content = _changed(random, made.contract, _broken_json)
    asked = ("--score", "0.9", "--questions", "40", *random.choice(((), ("--variant", "mtp"), ("--json",))))
    return Case(arguments=("gate", "c.json", *asked, *_options(random, "gate", 0.1)), files={"c.json": content})


def _score(random: Random, made: Made) -> Case:
    words = [word for name in random.sample(OPTIONS["gate"], 3) for word in (name, random.choice(WORDS))]
    score = (str(random.random())[: random.randint(2, 12)], str(random.choice((1, 7, 40, 200, 1319))))
    asked = ("--score", score[0], "--questions", score[1]) if random.random() < 0.7 else ()
    return Case(arguments=("gate", "c.json", *asked, *words), files={"c.json": made.contract})


def _folder(random: Random, made: Made) -> Case:
    files = sorted(str(file.relative_to(made.run)) for file in made.run.rglob("*") if file.is_file())
    name = random.choice(files)
    breaks = _broken_json if name.endswith(".json") else _broken_yaml if name.endswith(".yaml") else _flipped
    content = _changed(random, (made.run / name).read_bytes(), breaks)
    commands: list[tuple[str, ...]] = [
        ("report", RUN),
        ("report", RUN, "--json"),
        ("show", RUN),
        ("compare", f"{RUN}:baseline", f"{RUN}:mtp"),
        ("gate", "c.json", "--run", RUN),
        ("list",),
        ("track", RUN),
    ]
    return Case(arguments=random.choice(commands), files={f"{RUN}/{name}": content, "c.json": made.contract})


def _power(random: Random, made: Made) -> Case:
    asked = {"--accuracy": "0.4", "--flip": "0.2", "--drop": "0.1", "--questions": "100"}
    for name in random.sample([*asked, *OPTIONS["power"]], random.choice((1, 2))):
        asked[name] = random.choice(WORDS)
    return Case(arguments=("power", *(word for pair in asked.items() for word in pair)))


def _anything(random: Random, made: Made) -> Case:
    command = random.choice([*OPTIONS, random.choice(WORDS)])
    places = ["sweep.yaml", "c.json", "scores", RUN, *random.sample(WORDS, 3)]
    arguments = [random.choice(places) for _ in range(random.choice((0, 1, 1, 2)))]
    words = (*arguments, *_options(random, command, 0.8))
    good: dict[str, bytes | str] = {
        "sweep.yaml": SWEEP.encode(),
        "c.json": made.contract,
        "scores": SCORES.encode(),
    }
    return Case(arguments=tuple(word for word in (command, *words) if "\0" not in word), files=good)


def _options(random: Random, command: str, share: float) -> tuple[str, ...]:
    names = OPTIONS.get(command, ())
    if not names or random.random() > share:
        return ()
    value = random.choice(WORDS)
    if random.choice(names) == "--set":
        value = f"{random.choice(KEYS)}={value}"
    return (random.choice(names), value, *random.choice(((), (), ("--json",))))


def _changed(random: Random, good: bytes, breaks: Callable[[Random, bytes], bytes]) -> bytes | str:
    """The contents with something wrong: in their own form, in their bytes, or in being a file at all."""
    kind = random.random()
    if kind < 0.06:
        return random.choice((FIFO, FOLDER, HUGE))
    content = good
    if kind < 0.8:
        for _ in range(random.choice((1, 1, 2, 4))):
            content = breaks(random, content)
    elif kind < 0.9:
        content = _flipped(random, content)
    else:
        content = _encoded(random, content)
    return content


def _flipped(random: Random, content: bytes) -> bytes:
    """Bytes changed, cut, doubled or put in."""
    whole = bytearray(content)
    at, to = sorted(random.randrange(len(whole) + 1) for _ in range(2))
    match random.randrange(5):
        case 0 if whole:
            for _ in range(random.choice((1, 3, 20))):
                whole[random.randrange(len(whole))] ^= 1 << random.randrange(8)
        case 1:
            del whole[at:]
        case 2:
            whole[at:at] = whole[at:to]
        case 3:
            whole[at:at] = random.randbytes(random.choice((1, 4, 100)))
        case _:
            del whole[at : min(to, at + 40)]
    return bytes(whole)


def _encoded(random: Random, content: bytes) -> bytes:
    text = content.decode(errors="replace") + "é"
    match random.randrange(4):
        case 0:
            return text.encode("utf-16")
        case 1:
            return text.encode("latin-1", errors="replace")
        case 2:
            return b"\xef\xbb\xbf" + content
    return b"" if random.random() < 0.5 else content + b"\0"


def _broken_lines(random: Random, content: bytes) -> bytes:
    """A line or one of its parts changed, doubled or taken out."""
    lines = content.decode(errors="replace").split("\n")
    at = random.randrange(len(lines))
    match random.randrange(5):
        case 0:
            lines.insert(at, random.choice(lines))
        case 1:
            del lines[at]
        case 2:
            lines[at] = random.choice((*WORDS, *NUMBERS))
        case 3:
            lines[at] = _part(random, lines[at], r"[^,]+")
        case _:
            lines[at] = _part(random, lines[at], r"[\w.]+")
    return "\n".join(lines).encode(errors="replace")


def _broken_yaml(random: Random, content: bytes) -> bytes:
    """A value, a key or the indentation changed."""
    lines = content.decode(errors="replace").split("\n")
    at = random.randrange(len(lines))
    match random.randrange(4):
        case 0:
            lines[at] = " " * random.randrange(8) + lines[at].lstrip()
        case 1:
            lines[at] = _part(random, lines[at], r"[\w.-]+(?=:)")
        case 2:
            lines[at] = _part(random, lines[at], r"(?<=: )[^,{}\[\]]+|\{.*\}|\[.*\]")
        case _:
            return _broken_lines(random, content)
    return "\n".join(lines).encode(errors="replace")


def _part(random: Random, line: str, pattern: str) -> str:
    """The line with one part of this form exchanged."""
    found = list(re.finditer(pattern, line))
    if not found:
        return line + random.choice(WORDS)
    part = random.choice(found)
    return line[: part.start()] + random.choice((*WORDS, *NUMBERS)) + line[part.end() :]


def _broken_json(random: Random, content: bytes) -> bytes:
    """A value anywhere in the document exchanged, renamed, taken out, or nested."""
    try:
        return _other_json(random, json.loads(content))
    except (ValueError, RecursionError):
        return _broken_lines(random, content)


def _other_json(random: Random, document: Any) -> bytes:
    place, key = _somewhere(random, document)
    if place is None:
        return json.dumps(random.choice(JSONS)).encode()
    number = ""
    match random.randrange(5):
        case 0:
            del place[key]
        case 1 if isinstance(place, dict):
            place[random.choice(WORDS)] = place[key]
        case 2:
            for _ in range(random.choice((1, 50, 500))):
                place[key] = [place[key]]
        case 3:
            place[key], number = "(number)", random.choice(NUMBERS)
        case _:
            place[key] = random.choice(JSONS)
    return json.dumps(document).replace('"(number)"', number).encode()


def _somewhere(random: Random, document: Any) -> tuple[Any, Any]:
    """A mapping or list of the document, and one of its keys; None where there is none."""
    places: list[tuple[Any, Any]] = []
    waiting: list[Any] = [document]
    while waiting:
        place = waiting.pop()
        keys = list(place) if isinstance(place, dict) else range(len(place)) if isinstance(place, list) else []
        places += [(place, key) for key in keys]
        waiting += [place[key] for key in keys]
    return random.choice(places) if places else (None, None)
