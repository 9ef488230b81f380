"""A folder of this user's own on this host: for what others must neither read nor plant."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from cluster.errors import EngineStartFailed


def scratch_folder(user: int | None = None) -> Path:
    """The folder for engine logs, lock files and Ray's sessions, made where it is missing; `user` is for tests.

    It lies in the folder for temporary files, and not in $XDG_RUNTIME_DIR: that one goes when its user logs out,
    and a sweep goes on. Everybody may write there, so what is found under its name is looked at first.
    Raises EngineStartFailed where it is a link, or somebody else's, or somebody else may write in it.
    """
    owner = os.geteuid() if user is None else user
    folder = Path(tempfile.gettempdir()) / f"accuracy-sweep-{owner}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    there = folder.lstat()
    if not stat.S_ISDIR(there.st_mode):
        wrong = "is a link" if stat.S_ISLNK(there.st_mode) else "is not a folder"
    elif there.st_uid != owner:
        wrong = f"belongs to the user with the id {there.st_uid}"
    elif there.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        wrong = f"is open to other users (mode {stat.S_IMODE(there.st_mode):04o})"
    else:
        return folder
    remedy = "remove it, or set TMPDIR to a folder of your own"
    raise EngineStartFailed(f"{folder}: {wrong}, so nothing private can be kept there; {remedy}", ())
