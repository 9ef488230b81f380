"""The locked environments hold what the project asks for, each file by its hash; workflows run pinned actions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PIN = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})*)$", re.MULTILINE)
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
EXTRAS = {"cpu": ("cpu", "test"), "gpu": ("sglang",)}


def pins(file: Path) -> dict[str, tuple[str, str]]:
    """Package to version and hashes."""
    return {canonicalize_name(name): (version, hashes) for name, version, hashes in PIN.findall(file.read_text())}


@pytest.mark.parametrize("lock", EXTRAS)
def test_a_lock_has_all_that_the_project_asks_for_in_versions_that_it_takes(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [text for extra in EXTRAS[lock] for text in project["optional-dependencies"][extra]]
    locked = pins(ROOT / "locks" / f"{lock}.txt")
    for wanted in map(Requirement, (*project["dependencies"], *extras)):
        version, _ = locked[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version, prereleases=True), f"{wanted}: {version}; run locks/make"


@pytest.mark.parametrize("lock", EXTRAS)
def test_every_line_of_a_lock_has_a_hash(lock: str) -> None:
    file = ROOT / "locks" / f"{lock}.txt"
    locked = pins(file)
    lines = [line for line in file.read_text().splitlines() if line[:1].isalnum()]
    assert len(locked) == len(lines) > 100
    assert [name for name, (_, hashes) in locked.items() if not hashes] == []


def test_the_gpu_lock_has_the_versions_that_are_known_to_run() -> None:
    known, locked = pins(ROOT / "constraints-gpu.txt"), pins(ROOT / "locks" / "gpu.txt")
    assert {name: version for name, (version, _) in locked.items()} == {
        name: version for name, (version, _) in known.items() if name in locked
    }


@pytest.mark.parametrize(
    "workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda file: file.name
)
def test_every_action_of_a_workflow_is_pinned_by_its_commit(workflow: Path) -> None:
    used = re.findall(r"uses: (\S+)", workflow.read_text())
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []
