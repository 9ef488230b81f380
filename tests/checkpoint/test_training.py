"""The script that makes the shipped checkpoint again, at a size that a CPU finishes in seconds."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from cluster.engines.transformers import TransformersEngine
from cluster.models import resolve
from cluster.spec import Batch, EngineSpec, Request
from sweep.tasks.dataset import EMBEDDED
from tests.checkpoint import assistant, corpus, problems, provenance, schedule, tokenizer
from tests.checkpoint.__main__ import main
from tests.checkpoint.recipe import SMOKE, Made
from tests.checkpoint.run import make

SHIPPED = Path(resolve("embedded:tiny-gemma4")).parent
PROBLEMS = EMBEDDED["embedded:tiny-gemma4"].parent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Path]:
    out = tmp_path_factory.mktemp("made") / "checkpoint"
    recipe = replace(SMOKE, seconds_target=600, seconds_assistant=600, steps=6, exam=2, max_tokens=8, hard=True)
    return make(recipe, out, "cpu", lambda line: None), out


def sentence_form(text: str) -> set[str]:
    """A record's text without its names, things and numbers."""
    for words, mark in ((problems.NAMES, "N"), (problems.THINGS, "T")):
        text = re.sub(rf"\b({'|'.join(words)})\b", mark, text)
    return set(re.split(r"(?<=[.?])\s|\n", re.sub(r"\d+", "#", text)))


def test_generated_problems_have_the_sentences_of_the_shipped_test_file_and_no_others() -> None:
    shipped = [json.loads(line) for line in (PROBLEMS / "test.jsonl").read_text().splitlines()]
    generated = problems.held_out_problems("any", 1000)
    for field in ("question", "answer"):
        ours = set().union(*(sentence_form(getattr(p, field)) for p in generated))
        theirs = set().union(*(sentence_form(record[field]) for record in shipped))
        assert ours == theirs


@pytest.mark.parametrize("family", [problems.EASY, problems.HARD])
def test_every_step_of_an_answer_is_right_and_the_last_one_is_the_answer(family: problems.Family) -> None:
    for problem in problems.held_out_problems("steps", 200, family):
        *lines, last = problem.answer.split("\n")
        for line in lines:
            step = re.search(r"<<(\d+)([-+*/])(\d+)=(\d+)>>", line)
            assert step, line
            left, sign, right, value = step.groups()
            a, b, c = int(left), int(right), int(value)
            assert {"+": a + b == c, "-": a - b == c, "*": a * b == c, "/": b * c == a}[sign]
        assert last == f"#### {value}"


def test_no_training_question_is_a_test_question() -> None:
    training = {p.question for p in problems.training_problems("a", 5000)}
    assert training.isdisjoint(p.question for p in problems.held_out_problems("a", 500))
    assert not any(map(problems.held_out, training))


def test_a_seed_always_gives_the_same_problems_and_another_seed_others() -> None:
    first, again, other = (list(problems.training_problems(seed, 20)) for seed in ("a", "a", "b"))
    assert first == again
    assert first != other


def test_the_shipped_hard_file_is_what_the_generator_makes_after_the_shots_of_the_easy_one() -> None:
    easy, hard = (
        [problems.Problem(**json.loads(line)) for line in EMBEDDED[f"embedded:{name}"].read_text().splitlines()]
        for name in ("tiny-gemma4", "tiny-gemma4-hard")
    )
    assert hard == problems.hard_problems("0:hard", 1319, easy[:5])
    assert len({problem.question for problem in hard}) == 1319


def test_prompts_and_the_corpus_are_cut_into_the_same_tokens() -> None:
    texts = [problem.text for problem in problems.training_problems("0:train:0", 3)]
    words = tokenizer.train(texts)
    stream = corpus.build(words.to_str(), seed=0, problems=3, processes=1)
    whole = words.encode(tokenizer.SEPARATOR.join(texts))
    assert whole.ids[0] == 2  # <bos>
    assert stream.ids[: len(whole.ids) - 1].tolist() == whole.ids[1:]


def test_the_corpus_does_not_depend_on_the_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "CHUNK", 40)
    words = tokenizer.train(p.text for p in problems.training_problems("v", 200)).to_str()
    alone, shared = (corpus.build(words, seed=0, problems=100, processes=count) for count in (1, 2))
    assert alone.ids.tolist() == shared.ids.tolist()
    assert alone.starts.tolist() == shared.starts.tolist()


def test_too_few_problems_for_one_window_are_refused() -> None:
    words = tokenizer.train(p.text for p in problems.training_problems("v", 200)).to_str()
    with pytest.raises(ValueError, match="768"):
        corpus.build(words, seed=0, problems=2, processes=1).usable_starts(768)


def test_the_rate_rises_to_its_peak_and_ends_at_two_percent_of_it() -> None:
    # Half a cosine between 1 and .02 is .51 in the middle of what follows the warm-up of 2 %.
    assert [schedule.rate(used, 1.0) for used in (0.02, 0.51, 1.0)] == pytest.approx([1.0, 0.51, 0.02])
    assert schedule.rate(0.0, 1.0) < schedule.rate(0.01, 1.0) < 1.0


def test_a_query_of_the_assistant_sees_the_keys_before_it_and_in_sliding_layers_only_the_last_ones() -> None:
    masks = assistant.visible(torch.tensor([1, 4]), length=6, window=3)
    assert masks["full_attention"][0, 0].int().tolist() == [[1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]]
    assert masks["sliding_attention"][0, 0].int().tolist() == [[1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]]


def test_both_losses_fall(made: tuple[Made, Path]) -> None:
    happened, _ = made
    for trained in (happened.target, happened.assistant):
        assert trained.steps == 6
        assert trained.last_loss < trained.first_loss - 0.3


@pytest.mark.parametrize("name", ["target", "assistant"])
def test_a_made_checkpoint_has_the_shipped_ones_configs_and_weights(made: tuple[Made, Path], name: str) -> None:
    from safetensors import safe_open

    def settings(folder: Path, file: str) -> Any:
        return json.loads((folder / name / file).read_text())

    def weights(folder: Path) -> dict[str, Any]:
        with safe_open(folder / name / "model.safetensors", "pt") as file:
            return {k: (file.get_slice(k).get_shape(), file.get_slice(k).get_dtype()) for k in file.keys()}  # noqa: SIM118

    out = made[1]
    for file in ("config.json", "generation_config.json", "tokenizer_config.json"):
        assert settings(out, file) == settings(SHIPPED, file)
    assert weights(out) == weights(SHIPPED)
    ours, theirs = (settings(folder, "tokenizer.json") for folder in (out, SHIPPED))
    for part in ("added_tokens", "pre_tokenizer", "decoder"):
        assert ours[part] == theirs[part]


def test_a_made_checkpoint_runs_in_the_engine_with_its_draft(made: tuple[Made, Path]) -> None:
    out = made[1]
    engine = TransformersEngine()
    spec = EngineSpec(
        label="made",
        backend="transformers",
        model=resolve(str(out / "target")),
        draft_model=str(out / "assistant"),
    )
    engine.start(spec, lambda phase, log: None)
    batch = Batch(
        requests=(Request(id="a", prompt="Question: Ava has 3 eggs.\nAnswer:"),),
        concurrency=1,
        max_tokens=8,
        temperature=0,
        stop=(),
        seed=0,
    )
    (completion,) = engine.generate(batch)
    engine.stop()
    assert completion.starts_with_bos
    assert 1 <= completion.completion_tokens <= 8


def test_the_provenance_names_every_file_with_its_hash(made: tuple[Made, Path]) -> None:
    happened, out = made
    text = (out / "PROVENANCE.md").read_text()
    assert "\n".join(provenance.table(out)) in text
    assert {"test.jsonl", "test-hard.jsonl"} <= {path.name for path in out.iterdir()}
    assert f"{happened.target.steps} steps" in text
    assert "--hard --smoke" in text


def test_the_shipped_provenance_names_every_shipped_file_with_its_hash() -> None:
    text = (SHIPPED / "PROVENANCE.md").read_text()
    weights, problem_files = provenance.table(SHIPPED), provenance.table(PROBLEMS)
    assert len(problem_files) == 4
    assert "\n".join([*weights, *problem_files[2:]]) in text


def test_a_folder_that_holds_something_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    result = CliRunner().invoke(main, [str(tmp_path), "--smoke"])
    assert result.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
