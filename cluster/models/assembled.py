"""Model folders that are made of the package's files, in the user's cache folder, once for each content."""

from __future__ import annotations

import hashlib
import inspect
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_path

from cluster.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a model folder is made of."""

    files: tuple[Path, ...]
    """Files that are in it as they are."""
    write: Callable[[Path, Sequence[Path]], None] = lambda folder, sources: None
    """Writes the others into the folder, made of `sources`; equal sources make equal bytes."""
    sources: tuple[Path, ...] = ()
    """What `write` reads, files or folders."""


@lru_cache
def assemble(name: str, recipe: Recipe) -> Path:
    """The model's folder `<name>-<digest>`, whole: another process sees it complete or not at all.

    Raises BadInput where the cache folder cannot be written.
    """
    models = user_cache_path("accuracy-sweep", appauthor=False) / "models"
    folder = models / f"{name}-{_digest(recipe)}"
    if folder.exists():
        return folder
    try:
        models.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=models) as scratch:
            aside = Path(scratch) / name
            aside.mkdir()
            for file in recipe.files:
                shutil.copyfile(file, aside / file.name)
            recipe.write(aside, recipe.sources)
            _put(aside, folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(
            f"embedded:{name}: it is made in {models}, which cannot be written: {reason}; make room there, or name "
            "another cache folder in XDG_CACHE_HOME"
        ) from None
    return folder


def _put(aside: Path, folder: Path) -> None:
    """Rename into place; nothing is to be done where another process was quicker, since its folder is the same."""
    try:
        aside.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def _digest(recipe: Recipe) -> str:
    """Of everything that the folder is made of, and of the code that makes it."""
    digest = hashlib.sha256(inspect.getsource(inspect.getmodule(recipe.write) or recipe.write).encode())
    for path in (*recipe.files, *recipe.sources):
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]
