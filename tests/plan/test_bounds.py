"""Sweep files that would take all memory or all day, and values that no number can be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.errors import BadInput
from sweep.plan.document import parse
from sweep.plan.sweepfile import load
from tests.conftest import SWEEP

Write = Callable[[str], Path]


def refusal(text: str) -> str:
    with pytest.raises(BadInput) as raised:
        parse(text, lambda line: f"f:{line}")
    return raised.value.message


def nested(first: str, link: Callable[[str], str], levels: int) -> str:
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{level}: &a{level} {link(f'*a{level - 1}')}" for level in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "bomb",
    [
        nested("[x, x]", lambda alias: f"[{', '.join([alias] * 9)}]", 12),
        nested("{x: 1}", lambda alias: f"{{<<: [{alias}, {alias}]}}", 40),
        nested("{x: 1}", lambda alias: f"{{p: {alias}, q: {alias}}}", 40),
        "a: &a " + "x" * 10_000 + "\nb: [" + "*a, " * 200 + "*a]",
    ],
)
def test_an_alias_is_counted_as_often_as_it_stands_there(bomb: str) -> None:
    assert "larger than the 500,000 characters" in refusal(bomb)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{a: " * 200 + "1" + "}" * 200, nested("[x]", lambda alias: f"[{alias}]", 60)]
)
def test_what_is_nested_too_deep_is_refused(text: str) -> None:
    assert "50 levels" in refusal(text)


@pytest.mark.parametrize(
    ("text", "line", "fact"),
    [
        ("a: 1\nb: " + "x" * 20_001, 2, "20,000 characters"),
        ("a: 1\nb: !!int x", 2, "int"),
        ("a: 1\nb: " + "[" * 3000, 2, "50 levels"),
        ("a: " + "1" * 5000, 1, "int"),
        ("a: 1\nb: 1e400", 2, "finite"),
        ("a: .inf", 1, "finite"),
        ("a: !!omap [b: 1]", 1, "omap"),
        ("a: !!python/object/apply:os.system [ls]", 1, "python"),
        ("a: &a [*a]", 1, "alias"),
        ('a: "\\0"', 1, "NUL"),
        ('"\\ud800": 1', 1, "half"),
        ("a: 1\na: 2", 2, "duplicate key a"),
        ("? [a]\n: 1", 1, "a key must be a word"),
        ("a: 1\n<<: [x]", 2, "merges"),
        ("a: 1\nb: *c", 2, "alias"),
        ("a: b\x01", 1, "special characters"),
    ],
)
def test_values_that_cannot_be_are_refused_with_their_line(text: str, line: int, fact: str) -> None:
    message = refusal(text)
    assert message.startswith(f"f:{line}: ")
    assert fact in message


def test_merged_keys_lie_under_a_mappings_own_and_have_their_lines() -> None:
    document = parse("base: &b {x: 1, y: 2}\nother: &o {x: 5, z: 6}\nm:\n  y: 3\n  <<: [*b, *o]\n", str)
    assert document.value["m"] == {"x": 1, "y": 3, "z": 6}
    assert document.lines["m", "y"] == 4


def test_scalars_are_those_of_yaml_and_a_date_is_text() -> None:
    text = "{a: 0x1f, b: 1.5e3, c: ~, d: true, e: 'true', f: 2024-01-01, g: !!str 5, h: '', 1: x}"
    assert parse(text, str).value == {
        "a": 31,
        "b": 1500.0,
        "c": None,
        "d": True,
        "e": "true",
        "f": "2024-01-01",
        "g": "5",
        "h": "",
        "1": "x",
    }


AXES = "{" + ", ".join(f"a{axis}: [{', '.join(map(str, range(40)))}]" for axis in range(8)) + "}"


@pytest.mark.parametrize(
    ("override", "fact"),
    [
        ("repetitions=10000000", "100,000"),
        (f"repetitions={10**26}", "1000000000"),
        ("shards=100000", "100,000"),
        (f"shards={10**26}", "1000000000"),
        (f"grid={AXES}", "6,553,600,000,002 variants"),
        (f"seed={10**30}", "at most 9007199254740992"),
        (f"variants={{{'v' * 250}: {{}}}}", "200"),
        (f"name={'n' * 250}", "200"),
        (f"grid={{a: {{{'x' * 150}: {{}}}}, b: {{{'y' * 150}: {{}}}}}}", "longer than 200"),
        (f"perturb={{arguments: {{a: [{'w' * 250}]}}}}", "longer than 200"),
        ("perturb={shards: [100000]}", "100,000"),
        ("engine.start_deadline=1e300", "1000000000"),
        ("engine.engines=" + "x" * 100_000, "20,000 characters"),
        ("seed=&a [*a]", "--set seed=&a [*a]: "),
        ("a" + ".a" * 1000 + "=1", "50 levels"),
    ],
)
def test_too_much_is_refused_before_it_is_drawn(write_sweep: Write, override: str, fact: str) -> None:
    with pytest.raises(BadInput) as raised:
        load(write_sweep(SWEEP), [override])
    assert fact in raised.value.message


def test_a_hundred_faults_are_listed_and_the_others_counted(write_sweep: Write) -> None:
    with pytest.raises(BadInput) as raised:
        load(write_sweep(SWEEP + "".join(f"k{key}: 1\n" for key in range(150))))
    first, *listed, last = raised.value.message.split("\n")
    assert ("150 faults" in first, len(listed), last) == (True, 100, "and 50 more")


def test_a_key_with_a_newline_forges_no_line(write_sweep: Write) -> None:
    with pytest.raises(BadInput) as raised:
        load(write_sweep(SWEEP + '"a\\nsweep: ok": 1\n'))
    assert len(raised.value.message.split("\n")) == 2
