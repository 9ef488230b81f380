"""Where numbers come from: versions, host, commit, seeds, protocol and data set. Gathered once a launch."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from sweep import __version__
from sweep.plan.units import Plan, content_hash
from sweep.tasks.gsm8k import Questionnaire

PACKAGES = ("ray", "mlflow", "datasets", "numpy", "torch", "transformers", "sglang", "scipy")


def gather(plan: Plan, questionnaire: Questionnaire) -> dict[str, Any]:
    """The provenance of a run, but for what its engines will say of themselves."""
    config = plan.config
    return {
        "sweep_id": plan.sweep_id,
        "config_sha256": content_hash(config),
        "backend": config.engine.backend,
        "versions": {"sweep": __version__, "python": platform.python_version(), **_versions()},
        "host": {"name": platform.node(), "system": platform.platform(), "machine": platform.machine()},
        "git_commit": _git_commit(),
        "seeds": [config.seed + r for r in range(config.repetitions)],
        "protocol": {
            "hash": questionnaire.hash,
            "shot_ids": [record.id for record in questionnaire.shots],
            "question_ids": list(questionnaire.question_ids),
        },
        "dataset": {
            "path": config.protocol.dataset.path,
            "revision": config.protocol.dataset.revision,
            "sha256": questionnaire.dataset_sha256,
        },
        "engines": {},
        "places": {},
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """The commit of this program's checkout, `+` when it has changes; None outside of one."""
    folder = Path(__file__).parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()
