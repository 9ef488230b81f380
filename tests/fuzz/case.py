"""One input, and what must hold of the program when it gets it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from click.testing import CliRunner

from cluster.errors import ClusterUnavailable
from sweep import clean, files
from sweep.commands.group import run
from sweep.errors import ExitCode
from sweep.run import launch
from tests.fuzz.seeds import RUN, Made

SECONDS = 30.0
"""What one input may take."""
DOCUMENTED = {int(code) for code in ExitCode} - {ExitCode.BUG, ExitCode.INTERRUPTED}
WRITES = ("--figure", "--state", "track", "report", "show")
"""Words of a command line that may leave files."""
FIFO, FOLDER, HUGE = "(fifo)", "(folder)", "(huge)"
"""Stand for what is no file with contents."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A call of the program in a folder of its own."""

    arguments: tuple[str, ...]
    """Without the program's name."""
    files: dict[str, bytes | str] = field(default_factory=dict)
    """Name to contents, or to one of FIFO, FOLDER and HUGE. A name may lie in the folder RUN, which is a good run
    folder otherwise."""
    stdin: bytes = b""

    def to_json(self) -> str:
        """As it lies in the corpus."""
        listed = {name: _kept(content) for name, content in self.files.items()}
        whole = {"arguments": list(self.arguments), "files": listed, "stdin": _kept(self.stdin)}
        return json.dumps(whole, indent=1) + "\n"

    @classmethod
    def of_json(cls, text: str) -> Case:
        """One of the corpus."""
        whole = json.loads(text)
        return cls(
            arguments=tuple(whole["arguments"]),
            files={name: _loaded(kept) for name, kept in whole["files"].items()},
            stdin=_bytes(whole["stdin"]),
        )


def _kept(content: bytes | str) -> dict[str, str]:
    if isinstance(content, str):
        return {"kind": content}
    with suppress(UnicodeDecodeError):
        return {"text": content.decode()}
    return {"base64": base64.b64encode(content).decode()}


def _loaded(kept: dict[str, str]) -> bytes | str:
    return kept["kind"] if "kind" in kept else _bytes(kept)


def _bytes(kept: dict[str, str]) -> bytes:
    return kept["text"].encode() if "text" in kept else base64.b64decode(kept["base64"])


class Hang(BaseException):
    """The time of an input is over."""


def faults(case: Case, made: Made) -> list[str]:
    """What the program did that it must not do; empty for a good end."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        _write(case, folder, made)
        before = _listed(folder)
        with _inside(folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said, code = _called(case)
        return list(judged(case, said, code, _listed(folder) - before))
    finally:
        shutil.rmtree(folder)


def judged(case: Case, said: str, code: int | None, left: set[str]) -> Iterator[str]:
    if code is None:
        yield f"took longer than {SECONDS:g} s"
        return
    if "Traceback" in said or code == ExitCode.BUG:
        yield f"a traceback: {said[-600:]}"
    elif code not in DOCUMENTED:
        yield f"exit code {code}"
    if clean.text(said) != said:
        yield f"a control character in {said!r}"
    if code == ExitCode.BAD_INPUT and not said.strip():
        yield "refused without a word"
    if left and not (set(case.arguments) & set(WRITES)) and ("launch" not in case.arguments or code == 2):
        yield f"left {sorted(left)}"


def _called(case: Case) -> tuple[str, int | None]:
    """All that the program said, and its exit code; None for a hang."""
    away = patch.object(launch, "_drive", side_effect=ClusterUnavailable("there is no cluster"))
    with (
        away,
        patch.object(files, "SILENT_SECONDS", 0.01),
        CliRunner().isolation(input=case.stdin) as (_, _, both),
        patch.dict(os.environ, {"HF_HUB_OFFLINE": "1", "COLUMNS": "100"}),
    ):
        try:
            with _limited():
                code: int | None = int(run(case.arguments))
        except Hang:
            code = None
    return both.getvalue().decode(errors="surrogateescape"), code


@contextmanager
def _limited() -> Iterator[None]:
    def over(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, over)
    # The timer may be in use for the time of the whole test.
    remaining, _ = signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, remaining)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


def _write(case: Case, folder: Path, made: Made) -> None:
    if any(RUN in word for word in (*case.arguments, *case.files)):
        shutil.copytree(made.run, folder / RUN)
    (folder / "data.jsonl").write_bytes(made.data)
    for name, content in case.files.items():
        path = folder / name
        if path.is_file():
            path.unlink()
        if content == FIFO:
            os.mkfifo(path)
        elif content == FOLDER:
            path.mkdir(exist_ok=True)
        elif content == HUGE:
            with path.open("wb") as sparse:
                sparse.truncate(10**11)
        elif isinstance(content, bytes):
            path.write_bytes(content)


def _listed(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
