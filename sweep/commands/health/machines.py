"""The machines: versions, Ray, GPUs, clocks, and what the backends import."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

from cluster.backends import BACKENDS, backend
from cluster.nodes import Node, here, look
from cluster.reach import check_reachable
from sweep.commands.health.check import Check, State
from sweep.errors import SweepError
from sweep.plan.config import SweepConfig
from sweep.words import counted

DISTRIBUTION = "accuracy-sweep"
ALWAYS = ("ray", "mlflow", "datasets")
"""The packages whose versions decide what any sweep can do; those of the backends come besides."""
IMPORT = 120.0
"""Seconds for a package to be imported: SGLang takes 25 where nothing of it is in memory yet."""
FREE = 0.9
"""Of a GPU's memory: with less, something else is on it."""
APART = 5.0
"""Seconds between two clocks from which on logs and MLflow's times are hard to read."""
HEARTBEAT = 60.0
"""Seconds between two clocks from which on a lock may be taken for stale."""


def packages(config: SweepConfig | None) -> Iterator[Check]:
    """Python and what is installed, against what this package asks for."""
    from packaging.requirements import Requirement

    yield _python(platform.python_version())
    extra = config and backend(config.engine.backend).extra
    try:
        asked = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        text = f"{DISTRIBUTION} itself is not installed, so nothing says which versions go together"
        yield Check(name="packages", state=State.UNCHECKED, text=text, remedy="pip install -e .")
        return
    shown = {*ALWAYS, *(package for name in BACKENDS for package in backend(name).packages)}
    for requirement in asked:
        needed = requirement.marker is None or requirement.marker.evaluate({"extra": extra or ""})
        if requirement.name in shown and (needed or _version(requirement.name)):
            yield _package(requirement.name, str(requirement.specifier), needed)


def _python(version: str) -> Check:
    good = version.startswith(("3.11.", "3.12."))
    remedy = None if good else "make an environment of Python 3.11 or 3.12"
    return Check(name="Python", state=State.OK if good else State.BROKEN, text=version, remedy=remedy)


def _package(name: str, specifier: str, needed: bool) -> Check:
    """A package of the chosen backend must be of the range; another one that is there should be."""
    from packaging.specifiers import SpecifierSet

    version, remedy = _version(name), f"pip install '{name}{specifier}'"
    if version is None:
        return Check(name=name, state=State.BROKEN, text=f"not installed; wanted: {specifier}", remedy=remedy)
    if SpecifierSet(specifier).contains(version, prereleases=True):
        return Check(name=name, state=State.OK, text=version)
    state = State.BROKEN if needed else State.WARNING
    return Check(name=name, state=state, text=f"{version}, wanted: {specifier}", remedy=remedy)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def ray(address: str | None, nodes: list[Node]) -> Iterator[Check]:
    """The cluster, its token and its nodes' versions; fills `nodes`, with this machine where there is none."""
    if address is None:
        nodes.append(here())
        yield Check(name="Ray", state=State.OK, text="no address is given, so a launch starts Ray here")
        return
    try:
        check_reachable(address)
        nodes += look(address)
    except SweepError as error:
        # The fault says what to do already.
        yield Check(name="Ray", state=State.BROKEN, text=error.message)
        return
    yield Check(name="Ray", state=State.OK, text=f"{address} answers, with {counted(len(nodes), 'node')}")
    ours = here()
    for node in nodes:
        theirs = (node.python.rpartition(".")[0], node.ray)
        if theirs != (ours.python.rpartition(".")[0], ours.ray):
            text = f"{node.host} has Python {node.python} and Ray {node.ray}, here: {ours.python} and {ours.ray}"
            remedy = "install the same versions on every machine"
            yield Check(name="versions", state=State.BROKEN, text=text, remedy=remedy)


def gpus(config: SweepConfig | None, nodes: list[Node]) -> Iterator[Check]:
    """Each GPU's free memory, and whether there are as many as an engine owns."""
    if not nodes:
        yield _after_ray("GPUs")
        return
    for node in nodes:
        yield from _memory(node)
        if node.amd:
            text = f"{node.host} has GPUs of AMD's, which are not supported"
            yield Check(name="GPUs", state=State.WARNING, text=text, remedy="run engines on machines with NVIDIA's")
    found = [len(node.gpus) for node in nodes]
    engine = config.engine if config and backend(config.engine.backend).real_model else None
    wanted = engine.owned / engine.spanned if engine else 0
    having = sum(count >= wanted for count in found)
    if engine and having < engine.spanned:
        text = f"an engine wants {wanted:g}, and no machine has more than {max(found)}"
        if engine.spanned > 1:
            text = f"an engine wants {wanted:g} on each of {engine.nodes} machines, and {having} have as many"
        remedy = "lower engine.gpus, name a cluster with --address, or see whether `nvidia-smi` works there"
        yield Check(name="GPUs", state=State.BROKEN, text=text, remedy=remedy)
    elif not any(found):
        why = "and the sweep file asks for none" if config else "so engines run on CPUs"
        yield Check(name="GPUs", state=State.OK, text=f"there is none, {why}")


def _memory(node: Node) -> Iterator[Check]:
    for number, gpu in enumerate(node.gpus):
        free = gpu.free_mib >= FREE * gpu.total_mib
        text = f"{node.host} GPU {number}, {gpu.name}: {gpu.free_mib:,} of {gpu.total_mib:,} MiB are free"
        remedy = None if free else "see with `nvidia-smi` there what else is on it, and end that"
        yield Check(name="GPUs", state=State.OK if free else State.WARNING, text=text, remedy=remedy)


def clocks(address: str | None, nodes: list[Node]) -> Iterator[Check]:
    """Each node's clock against ours, as exactly as the answer was quick."""
    if address is None:
        yield Check(name="clock", state=State.OK, text="there is one machine, so one clock")
    elif not nodes:
        yield _after_ray("clock")
    for node in nodes:
        if node.ahead is not None:
            yield _clock(node.host, max(0.0, abs(node.ahead) - node.asked_in / 2), node.ahead)


def _clock(host: str, apart: float, ahead: float) -> Check:
    text = f"{host} is {abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'}"
    state = State.BROKEN if apart >= HEARTBEAT else State.WARNING if apart >= APART else State.OK
    remedy = None if state is State.OK else "set its clock by NTP, as with `chronyc makestep`"
    return Check(name="clock", state=state, text=text, remedy=remedy)


def _after_ray(name: str) -> Check:
    return Check(name=name, state=State.UNCHECKED, text="the cluster did not answer")


def imports(config: SweepConfig | None) -> Iterator[Check]:
    """Whether the backend's packages, or all backends' that are installed, can be imported: by another process."""
    chosen = [config.engine.backend] if config else list(BACKENDS)
    wanted = dict.fromkeys(package for name in chosen for package in backend(name).packages)
    if not wanted:
        yield Check(name="import", state=State.UNCHECKED, text="the backend has no packages of its own")
    for package in wanted:
        if importlib.util.find_spec(package) is None:
            yield Check(name="import", state=State.UNCHECKED, text=f"{package} is not installed")
        else:
            yield _import(package)


def _import(package: str) -> Check:
    try:
        command = [sys.executable, "-c", f"import {package}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT, check=False)
    except subprocess.TimeoutExpired:
        text, remedy = (
            f"{package}: not over after {IMPORT:.0f} s",
            "see what the disk and the machine are busy with",
        )
        return Check(name="import", state=State.WARNING, text=text, remedy=remedy)
    if done.returncode == 0:
        return Check(name="import", state=State.OK, text=package)
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    remedy = f"install {package} again, in an environment of its own"
    return Check(name="import", state=State.BROKEN, text=f"{package}: {last}", remedy=remedy)
