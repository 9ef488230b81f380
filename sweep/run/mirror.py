"""A run folder that is kept at a URL of fsspec: fetched before a launch, and sent there as it grows and at the end.

The launch works in a folder of its machine. What is at the URL is a run folder at any moment, in whatever way the
launch ends: SHA256SUMS names what is about to come before it comes, and forgets what it replaces after that. A file
`.holder` says who is at it. No store of objects has a lock: of two launches that begin at the same moment both may
come in.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Event, Thread

from sweep.disk import DiskUnavailable
from sweep.errors import BadInput, first_line
from sweep.run.checksums import MANIFEST, State, sha256, state_of
from sweep.run.documents import HOLDER
from sweep.run.hashes import FILE as SECRETS
from sweep.run.lock import LOCK, STALE, FolderInUse
from sweep.run.processes import Process

KEPT_HERE = (LOCK, HOLDER, SECRETS)
"""Files that stay on the machine: the hashes of secrets, too, since others may read the URL."""
AT_IT = ".holder"
"""The file at the URL that says who is at it, and since when it was last heard of."""
EVERY = 2.0
"""Seconds between two looks at what is new."""


def is_url(runs: str) -> bool:
    """Whether run folders are kept at a URL."""
    return "://" in runs


class Mirror:
    """A folder, and its copy at a URL."""

    def __init__(self, folder: Path, url: str) -> None:
        """Raises BadInput for a URL that fsspec cannot use, or not without a package."""
        import fsspec

        self._folder, self._url = folder, url
        self._sent: dict[str, State | None] = {}
        """Name to the state of the file that was sent."""
        self._lines: dict[str, list[str]] = {}
        """Name of a SHA256SUMS to the lines that it has at the URL."""
        try:
            self._fs, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise BadInput(f"--runs {url}: cannot be used: {error}") from None
        self._root = root.rstrip("/")

    def fetch(self) -> None:
        """Bring what is at the URL. Raises FolderInUse while another launch is at it."""
        self._refuse_another()
        self._note_presence()
        for path in self._fs.find(self._root) if self._fs.exists(self._root) else ():
            name = path[len(self._root) :].lstrip("/")
            if name != AT_IT:
                file = self._folder / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(self._fs.cat_file(path))
                self._took(name, file.read_bytes())

    def send(self) -> None:
        """Send what is new or changed, and remove what is gone."""
        changed = {name: file for name, file in self._files() if state_of(file) != self._sent.get(name)}
        states = {name: state_of(file) for name, file in changed.items()}
        contents = {name: file.read_bytes() for name, file in changed.items() if not name.endswith(MANIFEST)}
        # Read last: what was read before it has its line there, unless it was replaced meanwhile.
        manifests = ((name, file) for name, file in self._files() if file.name == MANIFEST)
        sums = {name: file.read_text(encoding="utf-8").splitlines() for name, file in manifests}
        late = {name for name, content in contents.items() if not _named(name, content, sums)}
        for name, lines in sums.items():
            self._write_lines(name, [*dict.fromkeys([*self._lines.get(name, []), *lines])])
        for name in contents.keys() - late:
            self._write(name, contents[name])
            self._sent[name] = states[name]
        for name in self._sent.keys() - {name for name, _ in self._files()}:
            self._fs.rm_file(f"{self._root}/{name}")
            del self._sent[name]
        if not late:
            for name, lines in sums.items():
                self._write_lines(name, lines)

    def leave(self) -> None:
        """Nobody is at it any more."""
        self._fs.rm_file(f"{self._root}/{AT_IT}")

    def keep_up(self, ended: Event, tell: Callable[[str], None]) -> None:
        """Send what comes until it has `ended`; what cannot be sent is told once, and tried again."""
        told = False
        while not ended.wait(EVERY):
            try:
                self._note_presence()
                self.send()
                told = False
            except Exception as error:  # noqa: BLE001 - each file system has errors of its own
                if not told:
                    tell(f"{self._url} does not take the run folder: {first_line(error)}; it is tried again")
                told = True

    def _files(self) -> Iterator[tuple[str, Path]]:
        for file in sorted(self._folder.rglob("*")):
            if file.is_file() and file.name not in KEPT_HERE and file.suffix != ".tmp":
                yield file.relative_to(self._folder).as_posix(), file

    def _took(self, name: str, content: bytes) -> None:
        self._sent[name] = state_of(self._folder / name)
        if name.endswith(MANIFEST):
            self._lines[name] = content.decode().splitlines()

    def _write_lines(self, name: str, lines: list[str]) -> None:
        if self._lines.get(name) != lines:
            self._write(name, "".join(f"{line}\n" for line in lines).encode())
            self._lines[name] = lines
        self._sent[name] = None

    def _write(self, name: str, content: bytes) -> None:
        path = f"{self._root}/{name}"
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(path, content)

    def _refuse_another(self) -> None:
        path = f"{self._root}/{AT_IT}"
        if not self._fs.exists(path):
            return
        there = json.loads(self._fs.cat_file(path))
        process = Process.model_validate(there["process"])
        if process.alive is not False and abs(time.time() - there["heard"]) < STALE:
            raise FolderInUse(
                f"{self._url}: in use by another launch on host {there['host']}. Wait until it has "
                f"ended, or stop it; if it died there, the URL is free {STALE:.0f} s after its last sign of life"
            )

    def _note_presence(self) -> None:
        import socket

        now = {"process": Process.current().model_dump(), "host": socket.gethostname(), "heard": time.time()}
        self._write(AT_IT, json.dumps(now).encode())


@contextmanager
def working_folder(runs: str) -> Iterator[tuple[Path, str | None]]:
    """The folder with the run folders, and the URL at which they are kept, where `runs` is one.

    For a URL the folder is a new one, which is removed in the end, unless the URL did not take what is in it.
    """
    if not is_url(runs):
        yield Path(runs), None
        return
    folder = Path(mkdtemp(prefix="accuracy-sweep-run-"))
    try:
        yield folder, runs
    except DiskUnavailable:
        raise
    except BaseException:
        rmtree(folder, ignore_errors=True)
        raise
    rmtree(folder, ignore_errors=True)


@contextmanager
def mirrored(folder: Path, url: str | None, tell: Callable[[str], None]) -> Iterator[None]:
    """While the folder is worked in, it is kept at the URL; of None, nowhere.

    Raises BadInput, FolderInUse, and DiskUnavailable where the URL does not take it in the end.
    """
    if url is None:
        yield
        return
    mirror = Mirror(folder, url)
    with _reaching(folder, url):
        mirror.fetch()
    ended = Event()
    sender = Thread(target=mirror.keep_up, args=(ended, tell), daemon=True)
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()
        with _reaching(folder, url):
            mirror.send()
            mirror.leave()


@contextmanager
def _reaching(folder: Path, url: str) -> Iterator[None]:
    try:
        yield
    except (BadInput, FolderInUse):
        raise
    except Exception as error:  # noqa: BLE001 - each file system has errors of its own
        raise DiskUnavailable(f"{url}: cannot be used: {first_line(error)}; the run folder is {folder}") from None


def _named(name: str, content: bytes, sums: dict[str, list[str]]) -> bool:
    """Whether the SHA256SUMS that is to name the file names it as it was read, or does not name it at all."""
    folders = [key.removesuffix(MANIFEST) for key in sums]
    inside = max((folder for folder in folders if name.startswith(folder)), key=len, default=None)
    if inside is None:
        return True
    lines = [line for line in sums[f"{inside}{MANIFEST}"] if line[66:] == name.removeprefix(inside)]
    return not lines or any(line.startswith(sha256(content)) for line in lines)
