"""Where numbers come from: versions, host, commit, seeds, protocol and data set. Gathered once a launch."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from cluster.backends import backend
from cluster.spec import Device, EngineFacts
from sweep import __version__
from sweep.gate.identity import EngineIdentity
from sweep.plan.config import SweepConfig
from sweep.plan.units import Plan, content_hash, digest, result_settings
from sweep.run.questions import sha256, to_text
from sweep.stats.metric import ACCURACY, Metric
from sweep.strict import Grown, Strict
from sweep.tasks import task
from sweep.tasks.questionnaire import Questionnaire

COMMIT = "COMMIT"
"""The file in the package that says the commit of a copy which was sent to a cluster."""
PACKAGES = ("ray", "mlflow", "datasets", "numpy", "scipy")


class AskedProtocol(Grown):
    """What was asked, by ids."""

    newer: ClassVar[frozenset[str]] = frozenset({"metric"})

    hash: str
    """Of everything that decides a score."""
    shot_ids: tuple[str, ...]
    """Records before every question."""
    question_ids: tuple[str, ...]
    """In data set order."""
    questions_sha256: str
    """Of questions.jsonl."""
    stop: tuple[str, ...] | None = None
    """An output ends before the first of these; None in a run that an earlier version began."""
    metric: Metric | None = None
    """What was measured of each answer; None for what the task measures."""


class DatasetFacts(Strict):
    """The records that were asked."""

    path: str
    """As the sweep file names them."""
    revision: str | None
    """The hub commit, where it pins one."""
    sha256: str
    """Of the canonical test records."""


class Place(Strict):
    """An engine and host that measured something."""

    versions: dict[str, str]
    """Package to version."""
    device: Device
    """Host, GPUs and driver."""

    @property
    def environment(self) -> dict[str, str]:
        """What may move the scores measured here: package to version, `GPU` and `driver`."""
        device = self.device
        return self.versions | {"GPU": gpu_names(device) or "none", "driver": device.driver or "none"}


class TwoTries(Strict):
    """A unit that was late on one engine and therefore tried on a second one, too."""

    first: str
    """The engine on which it was late."""
    second: str
    """The engine that tried it as well."""
    won: str
    """Whichever of them had a result first, which is the one that counts."""


class Provenance(Strict):
    """provenance.json."""

    sweep_id: str
    """The sweep's."""
    config_sha256: str
    """Of what the sweep file says about its results."""
    settings_sha256: dict[str, str] = {}
    """The same by key, such as `protocol.shots`, to name what was changed; empty in an older run."""
    backend: str
    """The engines'."""
    versions: dict[str, str]
    """Package to version, where the driver ran."""
    host: dict[str, str]
    """The driver's machine: its network `name`, its `system` and kernel, and its `machine`, the architecture."""
    git_commit: str | None
    """Of this program's checkout; null outside of one."""
    seeds: tuple[int, ...]
    """Repetition to seed; empty where seeds are not known."""
    protocol: AskedProtocol
    """What was asked."""
    dataset: DatasetFacts
    """The records that were asked."""
    engines: dict[str, EngineFacts] = {}
    """Variant to what its engine last said of itself."""
    places: dict[str, Place] = {}
    """`engine-1@host` to what ran there; `engine-1/2@host` is the part on its second machine."""
    tried_twice: dict[str, TwoTries] = {}
    """Unit to the engines that measured it at the same time; one that had failed before is none of these."""

    @property
    def gpu(self) -> str | None:
        """The name of the GPUs that were used, joined where there are several kinds; None without."""
        return gpu_names(*(place.device for place in self.places.values()))

    def changed_settings(self, config: SweepConfig) -> list[str]:
        """The keys in which the sweep file says something else about its results now."""
        if content_hash(config) == self.config_sha256:
            return []
        now = _settings_sha256(config) if self.settings_sha256 else {}
        keys = self.settings_sha256.keys() | now.keys()
        differing = [key for key in keys if now.get(key) != self.settings_sha256.get(key)]
        return sorted(differing) or ["its settings"]

    @property
    def all_versions(self) -> dict[str, str]:
        """Package to version: what the driver noted, and over it what the engines said of themselves."""
        by_package: dict[str, set[str]] = {}
        for place in self.places.values():
            for package, version in place.versions.items():
                by_package.setdefault(package, set()).add(version)
        return self.versions | {package: ", ".join(sorted(seen)) for package, seen in by_package.items()}


def _settings_sha256(config: SweepConfig) -> dict[str, str]:
    """Key to the SHA-256 of its value, for the keys that stand at the top of the file and one below."""
    digests: dict[str, str] = {}
    for key, value in result_settings(config).items():
        inner = {f"{key}.{name}": inside for name, inside in value.items()} if isinstance(value, dict) else {}
        digests |= {name: digest(inside) for name, inside in (inner or {key: value}).items()}
    return digests


def gpu_names(*devices: Device) -> str | None:
    """The names of all the devices' GPUs, each once, joined; None without any."""
    return ", ".join(sorted({gpu.name for device in devices for gpu in device.gpus})) or None


def identity(plan: Plan, variant: str) -> EngineIdentity:
    """What decides a variant's outputs, as the sweep file resolved it. Raises KeyError for an unknown name."""
    return EngineIdentity.model_validate(plan.spec(variant), from_attributes=True)


def known_identity(plan: Plan, variant: str) -> EngineIdentity | None:
    """The same; None for imported results, of which it is not known."""
    return None if plan.config.imported else identity(plan, variant)


def gather(plan: Plan, questionnaire: Questionnaire) -> Provenance:
    """The provenance of a run, but for what its engines will say of themselves."""
    config, seed = plan.config, plan.config.seed
    assert seed is not None  # As of all that engines measure.
    return Provenance(
        sweep_id=plan.sweep_id,
        config_sha256=content_hash(config),
        settings_sha256=_settings_sha256(config),
        backend=config.engine.backend,
        versions={
            "sweep": __version__,
            "python": platform.python_version(),
            **_versions(backend(config.engine.backend).packages),
        },
        host={"name": platform.node(), "system": platform.platform(), "machine": platform.machine()},
        git_commit=git_commit(),
        seeds=tuple(seed + r for r in range(config.repetitions)),
        protocol=AskedProtocol(
            hash=questionnaire.hash,
            shot_ids=tuple(record.id for record in questionnaire.shots),
            question_ids=questionnaire.question_ids,
            questions_sha256=sha256(to_text(questionnaire)),
            stop=questionnaire.stop,
            metric=None if questionnaire.task.metric == ACCURACY else questionnaire.task.metric,
        ),
        dataset=DatasetFacts(
            path=config.protocol.dataset.path,
            revision=config.protocol.dataset.revision,
            sha256=questionnaire.dataset_sha256,
        ),
    )


def metric_of(provenance: Provenance, config: SweepConfig) -> Metric:
    """What a run measures of each answer."""
    return provenance.protocol.metric or task(config.protocol.task).metric


def _versions(packages: Sequence[str]) -> dict[str, str]:
    """Of this program's own packages and these, as far as they are installed."""
    versions = {}
    for package in (*PACKAGES, *packages):
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def git_commit() -> str | None:
    """The commit of this program's checkout, `+` when it has changes; None outside of one."""
    package = Path(__file__).parents[1]
    with suppress(OSError):
        return (package / COMMIT).read_text(encoding="utf-8").strip() or None
    # With no tag to describe it by, the commit is its whole hash.
    command = ["git", "describe", "--always", "--exclude=*", "--abbrev=40", "--dirty=+"]
    try:
        done = subprocess.run(command, cwd=package, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
