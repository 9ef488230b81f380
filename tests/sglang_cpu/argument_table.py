"""Makes the table of SGLang's arguments that ships, from the supported versions.

Run it once for each, oldest first, in an environment of that version, or with an unpacked wheel of it in front:
    rm cluster/engines/sglang/arguments.json
    PYTHONPATH=WHEEL:. python -m tests.sglang_cpu.argument_table
"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import sglang
from sglang.srt.server_args import ServerArgs

from cluster.engines.sglang.table import FILE, Argument, Table
from cluster.engines.sglang.validation import describe


def merged(table: Table, version: str, arguments: dict[str, Argument]) -> Table:
    """The table with a further version in it."""
    versions = (*(v for v in table.versions if v != version), version)
    names = sorted({*table.arguments, *arguments})
    return Table(
        versions=versions,
        arguments={name: _either(name, table, version, arguments.get(name)) for name in names},
    )


def _either(name: str, table: Table, version: str, new: Argument | None) -> Argument:
    """What an argument takes in any of the versions."""
    old = table.arguments.get(name)
    others = [v for v in table.versions if v != version]
    having = [v for v in others if old and v in (old.only or others)] + ([version] if new else [])
    only = having if set(having) != {*others, version} else []
    both = [one for one in (old, new) if one]
    choices = {choice for one in both for choice in one.choices}
    limited = all(one.choices for one in both)
    return both[-1].model_copy(
        update={
            "kinds": tuple(sorted({kind for one in both for kind in one.kinds})),
            "choices": tuple(sorted(choices, key=_nothing_last)) if limited else (),
            "also": tuple(sorted({other for one in both for other in one.also})),
            "only": tuple(only),
        }
    )


def _nothing_last(choice: object) -> tuple[bool, str]:
    return choice is None, str(choice)


def written(table: Table) -> str:
    """The table as JSON, one line for each argument."""
    dumped = table.model_dump(mode="json", exclude_defaults=True)
    lines = (f"  {json.dumps(name)}: {json.dumps(one)}" for name, one in dumped["arguments"].items())
    return f'{{"versions": {json.dumps(dumped["versions"])}, "arguments": {{\n' + ",\n".join(lines) + "\n}}\n"


def version() -> str:
    """Of the SGLang that is imported, which may be an unpacked wheel."""
    here = Path(sglang.__file__).parents[1]
    return next(d.version for d in metadata.distributions(path=[str(here)]) if d.name == "sglang")


def main() -> None:
    """Put the imported version into the file."""
    table = Table.model_validate_json(FILE.read_text()) if FILE.exists() else Table(versions=(), arguments={})
    FILE.write_text(written(merged(table, version(), describe(ServerArgs))))


if __name__ == "__main__":
    main()
