"""Values, numbers, keys and options that programs trip over."""

from __future__ import annotations

from typing import Any

LONG = "1" * 5000
WORDS = (
    *("", "0", "-1", "1", "0.5", "1e400", "-1e400", "nan", ".nan", ".inf", "inf", "1e-400", "1e308", "1_0", "0x1F"),
    *(
        LONG,
        "9" * 30,
        str(2**63),
        str(2**31),
        str(10**9),
        "10000000",
        "1" + "0" * 26,
        "0.1234567890123456789",
        "1/2",
    ),
    *(
        "null",
        "~",
        "true",
        "no",
        "[]",
        "{}",
        "[[]]",
        "{a: 1}",
        "[1, 2]",
        "&a [*a]",
        "*a",
        "<<",
        "!!int x",
        "!!omap [a: 1]",
    ),
    *(
        "!!python/object/apply:os.system [ls]",
        "!!binary aGk=",
        "!!set {a}",
        "!x y",
        "'",
        '"',
        "|",
        ">",
        "%",
        "@",
        "`",
        "- -",
    ),
    *(
        "\x1b[31mred",
        "a\u202eb",
        "\u2028",
        "\u200b",
        "\x85",
        "\ufeff",
        "[red]x[/red]",
        "<script>x</script>",
        "a|b",
        "🦀",
    ),
    *(
        "a" * 250,
        "x" * 100_000,
        "../../etc/passwd",
        "/dev/zero",
        "/dev/null",
        "/proc/self/mem",
        ".",
        "~",
        "/",
        "a/b/c/d",
    ),
    *("none.jsonl", "[ab].jsonl", "*.jsonl", "2026-02-30", "0001-01-01T00:00:00+14:00", "embedded:x", "engine-99"),
    *('"\\0"', '"\\ud800"', '"\\U0010ffff"', "caf\u00e9", "${HOME}", "${}", "$${", "${nothing_so}", "(secret x)"),
    *("[" * 3000, "{a: " * 300, "=", ":", "#", "--", "-", "1,2", "'a': b", "postgresql://a:b@c/d", "file:///x"),
)
"""Texts that programs trip over, as values, names, paths and numbers."""
JSONS: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2, 0.5, 1e308, 10**30, 2**63, [], {}, [[]], "", "x", "\x1b[31m", "\ud800", "a" * 300),
    *("2026-02-30", "0001-01-01T00:00:00+14:00", {"a": {"b": []}}, [1, "x", None], "<script>", "\u202e", 1.5, -0.0),
)
NUMBERS = ("NaN", "Infinity", "1e999", "-1e999", LONG, "0.1" + "0" * 400, "1E5", "00", "+1", "0x1")
KEYS = (
    *("name", "seed", "shards", "repetitions", "grid", "variants", "variants.mtp.arguments", "engine.gpus", "stop"),
    *(
        "engine.arguments",
        "engine.environment.X",
        "engine.start_deadline",
        "engine.expected.start",
        "engine.backend",
    ),
    *("engine.engines", "engine.starts", "engine.model", "protocol.shots", "protocol.questions", "protocol.stop"),
    *("protocol.dataset.path", "protocol.dataset", "protocol.temperature", "protocol.max_tokens", "protocol.task"),
    *(
        "protocol.concurrency",
        "protocol.shots_from",
        "threshold",
        "threshold.alpha",
        "threshold.retries",
        "perturb",
    ),
    *(
        "perturb.shards",
        "perturb.arguments.a",
        "tracking.uri",
        "audits.accept_failures",
        "no.such.key",
        "..",
        "a" * 99,
    ),
)
OPTIONS = {
    "gate": (
        "--score",
        "--questions",
        "--variant",
        "--accept-length",
        "--gpu",
        "--protocol-hash",
        "--attempt",
        "--run",
    ),
    "stats": ("--questions", "--retries"),
    "history": ("--questions", "--variant", "--since", "--contract", "--reference", "--run-length"),
    "power": ("--questions", "--repetitions", "--retries", "--common-cause", "--alpha", "--power"),
    "compare": ("--variant", "--alpha"),
    "report": ("--format", "--against"),
    "plan": ("--set",),
    "launch": ("--set", "--wait", "--against"),
    "list": ("--runs",),
    "track": (),
}
