"""The pages for users: their commands run, and print what the pages say.

A block of bash behind `<!-- runs -->` is run, one behind `<!-- runs: 7 -->` has to end in 7. What a block behind
`<!-- prints -->` says must be in what the command before it printed, in that order, however the lines are folded;
`...` stands for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from tests.head import ray_head
from tests.runs import finished

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"<!-- (runs|prints)(?:: (\d+))? -->\n\n```\w*\n(.*?)```", re.DOTALL)


class Step(NamedTuple):
    """A command of a page, the code that it ends in, and what it prints, in parts."""

    script: str
    code: int
    parts: list[str]


def words(text: str) -> str:
    """Without the spaces that a terminal's width decides, and Markdown's marks."""
    return " ".join(re.sub(r"[`*]", "", text).split())


def steps(page: str) -> Iterator[Step]:
    step: Step | None = None
    for kind, code, text in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if kind == "prints":
            assert step is not None
            step.parts.extend(
                filter(None, map(words, re.split(r"(?<!\S)\.\.\.(?!\S)|^$", text, flags=re.MULTILINE)))
            )
            continue
        if step is not None:
            yield step
        step = Step(text, int(code or 0), [])
    assert step is not None
    yield step


MARKS = ("<<<<<<< ", "=======\n", ">>>>>>> ")
"""What git leaves around the two sides of a merge that nobody has settled."""


def test_no_page_has_two_sides_of_a_merge() -> None:
    for page in (*DOCS.glob("*.md"), *ROOT.glob("*.md")):
        with page.open(encoding="utf-8") as lines:
            assert not [number for number, line in enumerate(lines, start=1) if line.startswith(MARKS)], page


def follow(page: str, folder: Path, **environment: str) -> None:
    """Run a page's commands in the folder, one after the other."""
    for step in steps(page):
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", step.script],
            cwd=folder,
            env={
                **os.environ,
                "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "COLUMNS": "80",
                # Not a sweep that somebody has sent to a cluster from here.
                "XDG_STATE_HOME": str(folder / "state"),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == step.code, f"{step.script}\n{printed}"
        rest = words(printed)
        for part in step.parts:
            found, rest = part in rest, rest.partition(part)[2]
            assert found, f"{step.script}\n{printed}\nnot printed: {part}"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder with a contract of three attempts, and a build whose third attempt passes."""
    run = finished(
        tmp_path / "made", {"baseline": 4, "mtp": 5}, "threshold={rule: margin, margin: 0.05, retries: 3}"
    )
    (tmp_path / "thresholds.json").write_bytes((run.folder / "thresholds.json").read_bytes())
    (tmp_path / "bin").mkdir()
    evaluate = tmp_path / "bin" / "evaluate"
    count = "n=$(cat n 2>/dev/null || echo 0); echo $((n + 1)) > n"
    evaluate.write_text(f'#!/bin/bash\n{count}\nscores=(0.8 0.7 0.875); echo "${{scores[$n]}}"\n')
    evaluate.chmod(0o755)
    return tmp_path


def test_the_page_on_ci_does_what_it_says(built: Path) -> None:
    follow("in-ci.md", built, BUILD="abc")
    assert (built / "gate.xml").exists()


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of somebody who has followed the first page."""
    folder = tmp_path_factory.mktemp("sweep")
    follow("first-sweep.md", folder)
    return folder


def test_the_first_sweep_does_what_its_page_says(measured: Path) -> None:
    assert (measured / "runs" / "first-da610271" / "report.html").exists()


@pytest.mark.parametrize("page", ["calibrating.md", "audits.md"])
def test_the_pages_after_it_go_on_from_there(measured: Path, page: str) -> None:
    follow(page, measured)


def test_the_page_on_importing_does_what_it_says(tmp_path: Path) -> None:
    follow("importing.md", tmp_path)


def test_the_page_on_clusters_does_what_it_says(tmp_path: Path) -> None:
    first = next(steps("first-sweep.md")).script
    subprocess.run(["bash", "-c", first], cwd=tmp_path, check=True)
    # Short, since the paths of Ray's sockets begin with it.
    with TemporaryDirectory(dir="/tmp") as home, ray_head(Path(home), {"RAY_AUTH_MODE": "disabled"}) as head:
        follow(
            "on-a-cluster.md",
            tmp_path,
            HEAD=head.address,
            RAY_AUTH_MODE="disabled",
            RAY_ADDRESS="",
        )


def test_links_and_pictures_of_the_docs_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in [ROOT / "README.md", *DOCS.glob("*.md")]
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken
