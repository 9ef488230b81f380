"""The command line. A command's module is imported only when it is called, so `--help` is quick."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence

import click

from sweep import __version__, clean
from sweep.errors import DISK_FAILED, NO_PLACE, EngineStartFailed, ExitCode, SweepError, suggestion
from sweep.interrupts import heard
from sweep.out import note, say
from sweep.words import cut

COMMANDS = {
    "init": "Write a sweep file from a few answers or options.",
    "doctor": "Check what a sweep needs, and say what mends it.",
    "launch": "Run a sweep, or the rest of one.",
    "plan": "Show what a sweep file will run; starts nothing.",
    "report": "Show or write again a run's numbers and report.",
    "show": "Write a run as one HTML file, with a viewer of its questions.",
    "compare": "Compare two runs or two variants, paired per question.",
    "gate": "Judge a run or a score by a threshold contract.",
    "history": "The scores of many nights, and whether they drift.",
    "import": "Make a run folder out of results that exist already.",
    "stats": "Numbers and thresholds from a plain list of scores.",
    "power": "How many repetitions a threshold needs.",
    "list": "List the runs here and the sweeps of a cluster.",
    "status": "How far a sweep is, once or until it ends.",
    "logs": "What a detached sweep prints.",
    "stop": "Stop a detached sweep; what is measured is kept.",
    "ui": "Serve MLflow on what a sweep logged, and print the addresses of its pages.",
    "track": "Log a run to MLflow, now or again.",
}
"""Command to its line in `--help`; its click command is `sweep.commands.<name>.command`."""


class _Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        # A module cannot be called as the word of the language is.
        module = "import_run" if name == "import" else name
        command: click.Command = importlib.import_module(f"sweep.commands.{module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            raise click.UsageError(f"no command `{args[0]}`; {suggestion(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=ExitCode.sentence(),
)
@click.version_option(__version__, prog_name="sweep")
def cli() -> None:
    """Trustworthy accuracy gates for LLM inference engines.

    A sweep runs one protocol many times on every engine configuration you name, on Ray, and derives
    thresholds with known error rates; MLflow keeps the runs.

    \b
    Examples:
      sweep launch configs/laptop.yaml                   a real sweep on a laptop's CPU
      sweep plan configs/gemma4.yaml                     what would run, and for how long
      sweep launch configs/gemma4.yaml --address auto    on the Ray cluster of this machine
      sweep report runs/laptop-1a2b3c4d                  the numbers again
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name, the process's own where none are given; every fault of the user's or
    the cluster's is a message and a code."""
    try:
        code = cli.main(arguments, standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the outermost frame: whatever is left is told here
        # What a signal broke is no fault.
        return ExitCode.INTERRUPTED if heard() else _explain(error)
    return code if isinstance(code, int) else ExitCode.OK


def _explain(error: Exception) -> ExitCode:
    """Say on stderr what went wrong: in words where it is known, else whole, since it is a bug."""
    match error:
        case SweepError():
            note(error.message)
            if isinstance(error, EngineStartFailed) and error.log_tail:
                say("The engine's last log lines:", err=True)
                for line in error.log_tail:
                    say(f"  {clean.line(line)}", err=True)
            return error.exit_code
        case click.ClickException():
            said = io.StringIO()
            error.show(said)
            say(said.getvalue(), err=True)
            return ExitCode.BAD_INPUT
        case OSError() if error.errno in DISK_FAILED:
            return _explain_disk(error)
        case MemoryError():
            note("the memory of this machine is full; try it with less, or on a larger one")
            return ExitCode.UNAVAILABLE
        case OSError() if error.errno in NO_PLACE and error.filename is not None:
            note(f"{cut(str(error.filename))}: cannot be used: {error.strerror}; name another place")
            return ExitCode.BAD_INPUT
    say("".join(traceback.format_exception(error)), err=True)
    note("this is a bug; please report it with the traceback above")
    return ExitCode.BUG


def _explain_disk(error: OSError) -> ExitCode:
    """A disk that is full or fails where the program writes beside its run folders: its own output, or /tmp."""
    note(f"{error.filename or 'the output'} cannot be written: {error.strerror}")
    try:
        sys.stdout.flush()
    except OSError:
        # Python would try it again when it exits, and exit with 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.UNAVAILABLE
