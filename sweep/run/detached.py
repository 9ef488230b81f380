"""A sweep that goes on without its terminal, as a Ray job: what travels to the cluster, and where it settles there.

The job runs this program's own `sweep launch` on the cluster's head, in FOLDER of whoever runs Ray there. What is
sent is the resolved sweep file without any secret, the data set's files, and the program itself.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cluster
import sweep
from cluster.errors import ClusterUnavailable
from cluster.jobs import Jobs
from cluster.secrets import MARK, REFERENCE
from sweep.bounds import SWEEP_FILE
from sweep.errors import BadInput
from sweep.files import text
from sweep.plan.config import SweepConfig, is_local
from sweep.plan.document import parse
from sweep.plan.secrets import secrets_in
from sweep.plan.sweepfile import LOCAL_MODELS, LOCAL_PATHS, check_arguments, dump, line_of, load, refusal
from sweep.plan.units import Plan, make_plan
from sweep.plan.variants import Fault, KeyPath
from sweep.run.checksums import sha256
from sweep.run.jobs import remember, sweep_of
from sweep.run.provenance import COMMIT, git_commit
from sweep.tasks import dataset

FOLDER = "~/accuracy-sweep"
"""Where a detached sweep works, on the head: relative run folders and MLflow's file are below it."""
DATA = "data"
"""The folder below FOLDER for the data sets that were sent."""
SENT = "sweep.yaml"
"""The sweep file's name where it is sent."""
LARGEST = 100 << 20
"""Bytes of a data set that travels; Ray keeps what it is sent in the head's memory."""
SHOWN = 500
"""Characters of a job's metadata that list the variants."""
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A sweep that can be sent."""

    plan: Plan
    """Of the sweep file as it is sent."""
    data: dict[str, Path]
    """Name in DATA to the file here."""


def parcel(file: str, overrides: Sequence[str], address: str) -> Parcel:
    """Read, check and resolve a sweep file for the cluster at the address; nothing is sent.

    `${NAME}` is left for the head's environment. Raises BadInput with every fault, one per line.
    """
    config = load(file, overrides, _dataset_faults, recorded=True)
    if faults := [*_secret_faults(config), *_path_faults(file, overrides), *_size_faults(config)]:
        places = ((f"{file}:{line_of(file, keys)}", ".".join(map(str, keys)), said) for keys, said in faults)
        raise refusal(file, map(": ".join, places))
    sent, data = _with_data_sent(config)
    plan = make_plan(sent)
    check_arguments(plan, file, address)
    return Parcel(plan=plan, data=data)


def submit(jobs: Jobs, sent: Parcel, arguments: Sequence[str], *, installed: bool) -> str:
    """Send the sweep; the id of its job.

    `arguments`: further ones of `sweep launch` on the head. `installed`: the program that the head has
    runs, and none is sent. Raises ClusterUnavailable, also while the sweep runs there already.
    """
    sweep_id = sent.plan.sweep_id
    before = [job for job in jobs.all() if sweep_of(job) == sweep_id]
    if running := [job for job in before if not job.over]:
        raise ClusterUnavailable(
            f"{sweep_id}: runs on {jobs.address} already, as the job {running[0].id}; `sweep logs {sweep_id} -f` "
            f"follows it, and `sweep stop {sweep_id}` stops it"
        )
    job = f"{sweep_id}.{len(before) + 1}"
    words = ["launch", SENT, "--job", job, *arguments]
    metadata = {
        "sweep": sweep_id,
        "variants": ", ".join(variant.name for variant in sent.plan.measured)[:SHOWN],
        "units": str(len(sent.plan.units)),
    }
    with packed(sent, installed=installed) as folder:
        jobs.submit(job, f"exec python -m sweep.cli {shlex.join(words)}", folder, metadata)
    remember(jobs.address)
    return job


def check_runs(runs: str) -> None:
    """Raises BadInput for an URL with a secret in it, which would stand in the job's command."""
    if secrets_in(runs).values:
        raise BadInput(
            "--runs: has a secret in it, which Ray would show to everybody; leave it out, and set it up on "
            "the head as the file system's own library wants it"
        )


def settle(file: str) -> str:
    """On the head: work in FOLDER, with the data that came along; the sweep file's path from there."""
    came, home = Path(file).resolve(), Path(FOLDER).expanduser()
    (home / DATA).mkdir(0o700, parents=True, exist_ok=True)
    for source in (came.parent / DATA).glob("*"):
        there = home / DATA / source.name
        # Its name has its digest.
        if not there.exists():
            aside = there.with_name(f"{there.name}.{os.getpid()}.tmp")
            shutil.copyfile(source, aside)
            aside.replace(there)
    os.chdir(home)
    return str(came)


def _dataset_faults(config: SweepConfig) -> Iterator[Fault]:
    """What can be known here: nothing of a path that the head's environment decides."""
    named = (config.protocol.dataset.path, config.protocol.dataset.train_path or "")
    return iter(()) if any(map(REFERENCE.search, named)) else dataset.sweep_faults(config)


def _secret_faults(config: SweepConfig) -> Iterator[Fault]:
    """Secrets that the file writes out: Ray keeps what it is sent, and its pages show it."""
    for path, value in _texts(config.model_dump(mode="json"), ()):
        if any(found[1] is None and found[0] != "$${" for found in MARK.finditer(value)):
            yield (
                path,
                (
                    "a secret that is written out would be kept by Ray; write ${NAME}, and set NAME in the "
                    "environment in which Ray is started on the head"
                ),
            )


def _texts(node: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every text in a JSON value, and where it is."""
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict | list):
        for key, part in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _texts(part, (*path, key))


def _path_faults(file: str, overrides: Sequence[str]) -> Iterator[Fault]:
    """Folders that are named from a folder of this machine."""
    written = dict(_texts(parse(text(file, SWEEP_FILE), lambda line: f"{file}:{line}").value, ()))
    for override in overrides:
        path, _, value = override.partition("=")
        written |= dict(_texts(parse(value, str).value, tuple(path.split("."))))
    for keys, value in written.items():
        if (keys in LOCAL_MODELS and value.startswith(("./", "../"))) or (
            (keys[:2] == ("perturb", "build") or keys == ("protocol", "gold", "run"))
            and not Path(value).is_absolute()
        ):
            yield (
                keys,
                (
                    f"{value} is a folder of this machine, and a detached sweep runs on others; name a folder that "
                    "they have, from / on, or a model of the hub"
                ),
            )


def _size_faults(config: SweepConfig) -> Iterator[Fault]:
    for keys, file in _data_files(config):
        if file.stat().st_size > LARGEST:
            yield (
                keys,
                (
                    f"{file} has more than the {LARGEST >> 20} MiB that are sent with a detached sweep; put the "
                    "data set on the hub"
                ),
            )


def _data_files(config: SweepConfig) -> Iterator[tuple[KeyPath, Path]]:
    """The data sets in files here, by their keys."""
    for keys in LOCAL_PATHS:
        value = getattr(config.protocol.dataset, str(keys[-1]))
        if value is not None and is_local(value) and not MARK.search(value):
            yield keys, Path(value).expanduser()


def _with_data_sent(config: SweepConfig) -> tuple[SweepConfig, dict[str, Path]]:
    """The sweep with the places where its data sets will be on the head: by their content, so that the sweep's id
    does not depend on whose machine sent them."""
    data, places = {}, {}
    for keys, file in _data_files(config):
        name = f"{sha256(file.read_bytes())[:16]}-{file.name}"
        data[name], places[str(keys[-1])] = file, f"{FOLDER}/{DATA}/{name}"
    moved = config.protocol.dataset.model_copy(update=places)
    protocol = config.protocol.model_copy(update={"dataset": moved})
    return config.model_copy(update={"protocol": protocol}), data


@contextmanager
def packed(sent: Parcel, *, installed: bool) -> Iterator[Path]:
    """A folder with all that is sent."""
    with TemporaryDirectory(prefix="accuracy-sweep-") as name:
        folder = Path(name)
        (folder / SENT).write_text(dump(sent.plan.config), encoding="utf-8")
        for file, source in sent.data.items():
            (folder / DATA).mkdir(exist_ok=True)
            shutil.copyfile(source, folder / DATA / file)
        if not installed:
            for package in (sweep, cluster):
                code = Path(str(package.__file__)).parent
                shutil.copytree(code, folder / code.name, ignore=IGNORED)
            (folder / sweep.__name__ / COMMIT).write_text(git_commit() or "", encoding="utf-8")
        yield folder
