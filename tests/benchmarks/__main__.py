"""Every figure of speed, memory and growth in one Markdown table; for two quiet cores, less than ten minutes.

python -m tests.benchmarks                  everything
python -m tests.benchmarks driver reading   the rows of these alone
"""

from __future__ import annotations

import argparse
from importlib import import_module

from tests.benchmarks.rows import HEAD, line

MODULES = ("reading", "driver", "schedule", "pool")
"""Of this folder; each has `rows()`, which measures and gives Rows."""


def main() -> None:
    """Print the table, each row when it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"some of {', '.join(MODULES)}")
    chosen = parser.parse_args().modules or MODULES
    print(HEAD, flush=True)
    for name in chosen:
        for row in import_module(f"tests.benchmarks.{name}").rows():
            print(line(row, f"python -m tests.benchmarks {name}"), flush=True)


if __name__ == "__main__":
    main()
