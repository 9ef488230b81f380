"""A sweep file from a few answers is one that `sweep plan` accepts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from cluster.backends import BACKENDS
from sweep.commands.answers import answered
from sweep.commands.init import command
from sweep.commands.plan import command as plan
from sweep.errors import BadInput
from tests.conftest import write_jsonl

KEYS = ("backend", "model", "draft", "gpus", "task", "dataset", "questions", "repetitions", "mlflow")


def init(*arguments: object) -> None:
    CliRunner().invoke(command, [*map(str, arguments)], catch_exceptions=False)


@pytest.mark.parametrize("draft", [(), ("--draft", "none")])
@pytest.mark.parametrize("gpus", [(), ("--gpus", 1), ("--gpus", 2)])
@pytest.mark.parametrize("name", BACKENDS)
def test_what_init_writes_can_be_planned(
    name: str, gpus: tuple[object, ...], draft: tuple[object, ...], tmp_path: Path
) -> None:
    if name == "transformers" and gpus == ("--gpus", 2):
        pytest.skip("that backend uses one GPU")
    if name == "openai" and gpus:
        pytest.skip("its servers have GPUs of their own")
    file = tmp_path / "a sweep.yaml"
    init(file, "--backend", name, *gpus, *draft)
    planned = CliRunner().invoke(plan, [str(file), "--json"], catch_exceptions=False)
    described = json.loads(planned.stdout)
    assert described["backend"] == name
    assert described["sweep_id"].startswith("a-sweep-")
    assert ("draft" in described["variants"]) == (not draft and name in ("transformers", "sglang"))


def test_a_sweep_without_answers_is_held_to_its_baseline_and_the_plan_says_that_it_comes_first(
    tmp_path: Path,
) -> None:
    file, prompts = (
        tmp_path / "mine.yaml",
        write_jsonl(tmp_path / "p.jsonl", [{"prompt": f"{n}?"} for n in range(40)]),
    )
    init(file, "--backend", "simulated", "--task", "match", "--dataset", prompts)
    protocol = YAML(typ="safe").load(file)["protocol"]
    assert (protocol["gold"], protocol["shots"]) == ({"variant": "baseline"}, 0)
    planned = CliRunner().invoke(plan, [str(file)], catch_exceptions=False).stdout
    assert "one more repetition of baseline" in planned


def test_options_are_what_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    options = {"--backend": "simulated", "--questions": 33, "--repetitions": 7, "--mlflow": "none", "--gpus": 0.5}
    init(file, *(word for pair in options.items() for word in pair))
    written = YAML(typ="safe").load(file)
    assert (written["protocol"]["questions"], written["repetitions"]) == (33, 7)
    assert (written["tracking"]["uri"], written["engine"]["gpus"]) == (None, 0.5)
    assert "#" in file.read_text()


@pytest.mark.parametrize("text", ["null", "yes", "a: b", 'quo"te', "# no comment", "{x}"])
def test_an_answer_is_read_back_as_it_was_given(text: str) -> None:
    given = dict.fromkeys(KEYS) | {"backend": "simulated", "mlflow": text}
    document = YAML(typ="safe").load(answered(given, None).text("name"))
    assert document["tracking"]["uri"] == text


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("mine")
    with pytest.raises(BadInput, match="not overwritten"):
        init(file)
    assert file.read_text() == "mine"


def test_nothing_is_left_of_a_file_that_plan_would_refuse(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    with pytest.raises(BadInput, match=r"protocol\.questions"):
        init(file, "--questions", 0)
    assert not file.exists()


def test_records_of_another_benchmark_are_refused_at_once(tmp_path: Path) -> None:
    records = write_jsonl(tmp_path / "data.jsonl", [{"question": "1 + 1?", "answer": "#### 2"}] * 60)
    with pytest.raises(BadInput, match=r"data\.jsonl"):
        init(tmp_path / "sweep.yaml", "--task", "multiple_choice", "--dataset", records)
    assert not (tmp_path / "sweep.yaml").exists()


def test_only_what_no_option_says_is_asked() -> None:
    asked: list[str] = []

    def ask(question: str, default: str) -> str:
        asked.append(question)
        return default

    given = dict.fromkeys(KEYS) | {"backend": "simulated", "questions": 50}
    answers = answered(given, ask)
    assert len(asked) == len(KEYS) - 2
    assert answers.questions == 50


@pytest.mark.parametrize(("key", "value"), [("backend", "sglan"), ("task", "gsm"), ("gpus", "two")])
def test_an_answer_that_cannot_be_is_refused_by_its_option(key: str, value: str) -> None:
    with pytest.raises(BadInput, match=f"--{key} {value}"):
        answered(dict.fromkeys(KEYS) | {key: value}, None)
