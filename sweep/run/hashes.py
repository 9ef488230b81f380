"""secrets.json of a run folder: whether a launch has the secrets that the run began with, and not what they are.

Each is kept as a salted hash by scrypt, which takes a tenth of a second and 32 MiB for every guess. It is never in
what is made to be passed on: the contract, the summary, the report or MLflow.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from pathlib import Path

from pydantic import ValidationError

from sweep.disk import aside
from sweep.errors import BadInput
from sweep.plan.config import SweepConfig
from sweep.plan.units import result_settings
from sweep.strict import Strict

FILE = "secrets.json"


class Kept(Strict):
    """secrets.json."""

    salt: str
    """Of every hash in it, in hexadecimal digits."""
    hashes: dict[str, str] = {}
    """Mark to the hash of its value, in hexadecimal digits."""


def keep_hashes(folder: Path, config: SweepConfig) -> None:
    """Note in a run folder the secrets of a launch, but those that the results cannot depend on.

    Raises BadInput for one that is another than the run began with, and when secrets.json cannot be read.
    """
    decisive = json.dumps(result_settings(config), ensure_ascii=False)
    values = {mark: value for mark, value in config.secrets.values.items() if mark in decisive}
    if not values:
        return
    file = folder / FILE
    kept = _read(file) or Kept(salt=os.urandom(16).hex())
    now = {mark: _hash(value, kept.salt) for mark, value in values.items()}
    if others := [mark for mark in now if not hmac.compare_digest(now[mark], kept.hashes.get(mark, now[mark]))]:
        raise BadInput(
            f"{folder}: the run was begun with another value of {', '.join(others)}. Give another --runs; or, if "
            f"the outputs cannot depend on it, as on a token that was renewed, remove {file} and launch again"
        )
    if now.keys() - kept.hashes.keys():
        text = kept.model_copy(update={"hashes": kept.hashes | now}).model_dump_json(indent=2)
        with aside(file) as there:
            there.touch(0o600)
            there.write_text(text + "\n", encoding="utf-8")


def _read(file: Path) -> Kept | None:
    try:
        return Kept.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        why = "not of its form" if isinstance(error, ValidationError) else str(error)
        raise BadInput(
            f"{file}: cannot be read: {why}; remove it, if the secrets are those that the run began with"
        ) from None


def _hash(value: object, salt: str) -> str:
    return hashlib.scrypt(
        json.dumps(value).encode(), salt=salt.encode(), n=2**15, r=8, p=1, maxmem=2**26, dklen=32
    ).hex()
