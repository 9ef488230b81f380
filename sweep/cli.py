"""The program `sweep`. It answers signals from its first moment on, so the command line is imported after that."""

from __future__ import annotations

from sweep.interrupts import answered


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    with answered():
        from sweep.commands.group import run
        from sweep.streams import outlive_readers

        outlive_readers()
        code = run()
    raise SystemExit(code)


if __name__ == "__main__":
    main()
