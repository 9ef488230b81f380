"""The GitHub Action of the gate and the example workflows: valid by their schemas, and their steps run in bash."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from sweep.run.folder import Run
from tests.runs import finished

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github" / "actions" / "gate"
EXAMPLES = sorted((ROOT / ".github" / "examples").glob("*.yml"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps(document: dict[str, Any]) -> list[dict[str, Any]]:
    if "runs" in document:
        return list(document["runs"]["steps"])
    return [step for job in document["jobs"].values() for step in job["steps"]]


def read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(file)
    return document


@pytest.mark.parametrize(
    ("schema", "files"),
    [("vendor.github-actions", [ACTION / "action.yml"]), ("vendor.github-workflows", [*EXAMPLES, *WORKFLOWS])],
)
def test_actions_and_workflows_are_valid_by_github_s_schemas(schema: str, files: list[Path]) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("file", [ACTION / "action.yml", *EXAMPLES], ids=lambda file: file.name)
def test_nothing_that_is_given_is_put_into_a_script(file: Path) -> None:
    scripts = [step["run"] for step in steps(read(file)) if "run" in step]
    assert scripts or file.name == "gate.yml"
    assert not [script for script in scripts if "${{" in script]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_other_peoples_actions_are_named_by_commit(file: Path) -> None:
    used = [step["uses"] for step in steps(read(file)) if "uses" in step]
    ours = "accuracy-sweep/accuracy-sweep/.github/actions/gate@main"
    assert not [name for name in used if name != ours and not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)]


def test_the_action_takes_every_option_of_the_gate_that_decides() -> None:
    [judging] = [step for step in steps(read(ACTION / "action.yml")) if step.get("id") == "gate"]
    script = (ACTION / "gate.sh").read_text()
    assert set(judging["env"]) == set(re.findall(r"\$\{?(GATE_[A-Z_]+)", script))
    assert {f"GATE_{name.upper().replace('-', '_')}" for name in read(ACTION / "action.yml")["inputs"]} == set(
        judging["env"]
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of 40 questions; the threshold of mtp is 33 right, and a build has three attempts."""
    folder = tmp_path_factory.mktemp("action") / "made"
    return finished(folder, {"baseline": 4, "mtp": 5}, "threshold={rule: margin, margin: 0.05, retries: 3}")


class Step:
    """The action's judging step, as GitHub runs it."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.folder = folder
        shutil.copy(run.folder / "thresholds.json", folder / "thresholds.json")
        self.inputs = {
            name: str(value.get("default", "")) for name, value in read(ACTION / "action.yml")["inputs"].items()
        }
        self.inputs |= {"contract": "thresholds.json", "build": "abc", "variant": "mtp", "questions": "40"}

    def run(self, name: str = "gate", path: str | None = None, **given: str) -> subprocess.CompletedProcess[str]:
        inputs = self.inputs | {key.replace("_", "-"): value for key, value in given.items()}
        [step] = [each for each in steps(read(ACTION / "action.yml")) if each.get("id") == name]
        environment = {
            key: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: inputs[found[1]], value)
            for key, value in step["env"].items()
        }
        for file in ("output", "summary"):
            (self.folder / file).write_text("")
        return subprocess.run(
            # How GitHub runs `shell: bash`.
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": path or f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "GITHUB_ACTION_PATH": str(ACTION),
                "GITHUB_OUTPUT": str(self.folder / "output"),
                "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in (self.folder / "output").read_text().splitlines())

    @property
    def summary(self) -> str:
        return (self.folder / "summary").read_text()


def commands(shown: str) -> list[str]:
    """What GitHub acts on: lines that begin with ::, but for those between stop-commands and its token."""
    found: list[str] = []
    token = None
    for line in map(str.strip, shown.splitlines()):
        if token is not None:
            token = None if line == f"::{token}::" else token
        elif stopped := re.fullmatch(r"::stop-commands::(\S+)", line):
            token = stopped[1]
        elif line.startswith("::"):
            found.append(line)
    assert token is None
    return found


@pytest.fixture
def step(tmp_path: Path, run: Run) -> Step:
    return Step(tmp_path, run)


@pytest.mark.parametrize(
    ("given", "code", "verdict", "level"),
    [
        ({"score": "0.875"}, 0, "pass", "notice"),
        ({"score": "0.8"}, 5, "fail", "error"),
        ({"score": "0.8", "gpu": "H100"}, 6, "not-applicable", "error"),
        ({"score": "38"}, 2, "bad-input", "error"),
        ({"score": "many"}, 2, "bad-input", "error"),
        ({"score": "0.8", "contract": "missing.json"}, 2, "bad-input", "error"),
    ],
)
def test_the_step_ends_as_the_gate_does_and_says_so_everywhere(
    step: Step, given: dict[str, str], code: int, verdict: str, level: str
) -> None:
    done = step.run(**given)
    assert done.returncode == code, done.stdout + done.stderr
    assert (step.outputs["verdict"], step.outputs["exit-code"]) == (verdict, str(code))
    [annotation] = commands(done.stdout)
    assert annotation.startswith(f"::{level} ")
    assert step.summary.startswith("## Accuracy gate: ")
    if code in (0, 5):
        assert (step.outputs["score"], step.outputs["threshold"]) == (given["score"], "0.825")
        assert (step.folder / "accuracy-gate.xml").exists()


def test_the_next_attempt_is_measured_while_the_contract_asks_for_one(step: Step) -> None:
    measure = 'n=$(cat n 2>/dev/null || echo 0); echo $((n + 1)) > n; scores=(0.8 0.7 0.875); echo "${scores[$n]}"'
    done = step.run(measure=measure)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (step.folder / "n").read_text().strip() == "3"
    assert [line.split(" ")[0] for line in commands(done.stdout)] == ["::notice"] * 3
    assert step.summary.count("## Accuracy gate: run again") == 2
    assert step.outputs == {"verdict": "pass", "exit-code": "0", "score": "0.875", "threshold": "0.825"}


def test_attempts_of_several_jobs_are_kept_in_a_state(step: Step) -> None:
    kept = step.folder / "attempts.json"
    assert (step.run(score="0.8", state="attempts.json").returncode, step.outputs["verdict"]) == (8, "again")
    state = json.loads(kept.read_text())
    assert (state["build"], state["scores"]) == ("abc", [0.8])
    kept.write_text(json.dumps(state | {"scores": [0.8, 0.8]}))
    assert (step.run(score="0.8", state="attempts.json").returncode, step.outputs["verdict"]) == (5, "fail")


def test_a_build_that_cannot_be_measured_is_no_failing_build(step: Step) -> None:
    done = step.run(measure="echo 100% broken; false; echo 0.9")
    assert (done.returncode, step.outputs["verdict"]) == (4, "unavailable")
    [error] = commands(done.stdout)
    assert "100%25 broken" in error


def test_a_gate_that_is_not_installed_is_said_to_be_missing(step: Step, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("bash", "cat", "mktemp", "od", "rm", "tail", "tr", "tee"):
        (bare / tool).symlink_to(str(shutil.which(tool)))
    done = step.run(path=str(bare), score="0.875")
    assert (done.returncode, step.outputs["verdict"]) == (127, "unavailable")
    assert "sweep: command not found" in commands(done.stdout)[0]


HOSTILE = "$(touch owned)`touch owned`\"; touch owned; '\n::error::x\n--junit=owned"


@pytest.mark.parametrize("name", ["variant", "gpu", "contract", "score"])
def test_hostile_input_is_data(step: Step, name: str) -> None:
    done = step.run(**{"score": "0.875", name: HOSTILE})
    assert done.returncode in (2, 6)
    assert len(commands(done.stdout)) == 1
    assert not (step.folder / "owned").exists()
    assert set(step.outputs) == {"verdict", "exit-code", "score", "threshold"}


def test_what_an_engine_wrote_is_no_command_when_it_is_shown(step: Step, run: Run) -> None:
    document = json.loads((step.folder / "thresholds.json").read_text())
    document["override"] = {"reason": "\n::set-env name=PATH::/owned", "failed": ["lossless of mtp"]}
    (step.folder / "thresholds.json").write_text(json.dumps(document))
    done = step.run(score="0.875")
    assert [line.split(" ")[0] for line in commands(done.stdout)] == ["::notice"]


def test_the_installing_step_leaves_a_sweep_that_is_there(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = steps(read(ACTION / "action.yml"))[0]["run"]
    environment = {"PATH": path, "GITHUB_ACTION_PATH": str(ACTION), "RUNNER_TEMP": str(tmp_path)}
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], env=environment, check=True)
    assert not list(tmp_path.iterdir())


def test_the_nightly_sweep_proposes_its_contract_in_a_pull_request(tmp_path: Path, run: Run) -> None:
    """Real git, against a repository beside it; `gh` only writes down what it is called with."""
    [step] = [
        s
        for s in steps(read(ROOT / ".github" / "examples" / "nightly-sweep.yml"))
        if s.get("env", {}).get("BRANCH")
    ]
    work, origin, tools = (tmp_path / name for name in ("work", "origin.git", "tools"))
    tools.mkdir()
    (tools / "gh").write_text('#!/bin/bash\nprintf "%s\\n" "$@" > "$CALLS"\n')
    (tools / "gh").chmod(0o755)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(origin)], check=True)
    subprocess.run(["git", "clone", "-q", str(origin), str(work)], check=True, capture_output=True)
    (work / "ci").mkdir()
    (work / "ci" / "thresholds.json").write_text("{}")
    subprocess.run(["git", "-C", str(work), "add", "."], check=True)
    subprocess.run(["git", "-C", str(work), *identity, "commit", "-qm", "begun"], check=True)
    subprocess.run(["git", "-C", str(work), "push", "-q", "origin", "HEAD"], check=True, capture_output=True)
    (work / "summary.json").write_text(json.dumps({"sweep_id": run.plan.sweep_id}))
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=work,
        env={
            **os.environ,
            "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "CALLS": str(tmp_path / "calls"),
            "RUNS": str(run.folder.parent),
            "CONTRACT": "ci/thresholds.json",
            "BASE": "main",
            "BRANCH": "nightly-sweep-1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pushed = subprocess.run(
        ["git", "-C", str(origin), "show", "nightly-sweep-1:ci/thresholds.json"], check=True, capture_output=True
    )
    assert pushed.stdout == (run.folder / "thresholds.json").read_bytes()
    called = (tmp_path / "calls").read_text().splitlines()
    assert called[:2] == ["pr", "create"]
    assert called[called.index("--body-file") + 1] == "body.md"
    assert "|" in (work / "body.md").read_text()
