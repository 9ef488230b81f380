"""The `sweep` program in this process, and sweeps that run in a process of their own, watched from a test."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sweep.cli import main


def sweep(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`sweep ARGUMENTS`, whole but for the start of a process: its exit code, stdout and stderr."""
    words = ["sweep", *map(str, arguments)]
    out, err, code = io.StringIO(), io.StringIO(), None
    with patch.object(sys, "argv", words), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def launch(file: Path, runs: Path, *changes: str) -> subprocess.Popen[str]:
    """`sweep launch FILE --json` with `--set` for each change, into the folder `runs`."""
    words = [word for change in changes for word in ("--set", change)]
    return subprocess.Popen(
        [sys.executable, "-m", "sweep.cli", "launch", str(file), *words, "--runs", str(runs), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> Any:
    """The summary that the sweep prints when it ends, with this exit code."""
    out, err = process.communicate(timeout=200)
    assert process.returncode == code, err
    return json.loads(out)


def until(
    process: subprocess.Popen[Any], happened: Callable[[], bool], why: Callable[[], str] = lambda: ""
) -> None:
    """Wait until it `happened`; fails when the sweep ends before, and tells `why`."""
    while not happened():
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
        assert process.poll() is None or happened(), f"the sweep ended too early {why()}"


def unscheduled(summary: Any) -> Any:
    """The summary without what depends on which start of which engine measured what, which each launch draws
    anew."""
    by_place = ("common cause: engine", "common cause: start")
    findings = [f for f in summary["audits"] if f["audit"] not in by_place]
    # How much a difference between starts could explain is part of what the audit of the baseline says.
    told = [f for f in findings if f["audit"] != "lossless"]
    verdicts = [(f["variant"], f["verdict"]) for f in findings if f["audit"] == "lossless"]
    return {**summary, "audits": told, "lossless": verdicts, "tried_twice": {}}


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody answers on it."""
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0
