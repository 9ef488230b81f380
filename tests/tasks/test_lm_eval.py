"""What lm-eval's own runner asks and holds right is what is asked and held right here."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sweep.errors import BadInput
from sweep.plan.config import ProtocolConfig
from sweep.report.conclude import conclude
from sweep.run.folder import open_run
from sweep.stats.metric import ACCURACY, Metric
from sweep.tasks import dataset
from sweep.tasks.questionnaire import Questionnaire
from tests.conftest import write_jsonl
from tests.runs import finished
from tests.tasks.library_runs import lm_eval_run

pytest.importorskip("lm_eval")
SUMS = [{"question": f"What is {n} + {n}?", "answer": f"{n}+{n}={2 * n}\n#### {2 * n}"} for n in range(6)]
OTHERS = [{"question": f"What is {n} - 1?", "answer": f"{n}-1={n - 1}\n#### {n - 1}"} for n in range(9)]
OUTPUTS = ["0+0=0\n#### 0", "The answer is 2.", "#### $4", "#### 5", "It is 8", "ten"]
"""To SUMS, in their order."""


def asked(task: str, folder: Path, **changes: object) -> Questionnaire:
    write_jsonl(folder / "test.jsonl", SUMS)
    write_jsonl(folder / "train.jsonl", OTHERS)
    data = {"path": str(folder / "test.jsonl"), "train_path": str(folder / "train.jsonl")}
    settings = {"task": f"lm_eval:{task}", "dataset": data, "shots": 0, "questions": "all"}
    return dataset.load(ProtocolConfig.model_validate(settings | changes))


@pytest.mark.parametrize(("task", "shots"), [("gsm8k", 0), ("gsm8k", 3), ("gsm8k_cot", 2)])
def test_its_runner_sends_the_same_prompts_and_gives_the_same_scores_and_answers(
    task: str, shots: int, tmp_path: Path
) -> None:
    drawn = {"shots": shots, "shots_from": "library"}
    filters = {
        each: asked(f"{task}:exact_match,{each}", tmp_path, **drawn)
        for each in ("strict-match", "flexible-extract")
    }
    questionnaire = filters["strict-match"]
    prompts = [str(request.prompt) for request in questionnaire._requests]
    theirs = lm_eval_run(task, tmp_path, shots, dict(zip(prompts, OUTPUTS, strict=True)).__getitem__)
    assert len(theirs) == 2 * len(SUMS)
    for sample in theirs:
        ours = filters[sample["filter"]]
        record = ours.questions[sample["doc_id"]]
        score = ours.task.score(record, sample["resps"][0][0])
        (filtered,) = sample["filtered_resps"]
        assert (score.answer or "[invalid]", float(score.correct)) == (filtered, sample["exact_match"])
        assert record.gold == sample["target"]
    assert {sample["exact_match"] for sample in theirs} == {0.0, 1.0}


def test_choices_that_a_task_shuffles_stand_as_in_its_own_runner(tmp_path: Path) -> None:
    wrong = {f"Incorrect Answer {n}": f"wrong {n}" for n in (1, 2, 3)}
    rows = [{"Question": f"Question {n}?", "Correct Answer": "right", **wrong} for n in range(16)]
    file = write_jsonl(tmp_path / "gpqa.jsonl", rows)
    questionnaire = asked("gpqa_main_cot_zeroshot", tmp_path, dataset={"path": str(file)})
    for split in ("test", "train"):
        write_jsonl(tmp_path / f"{split}.jsonl", rows)
    theirs = lm_eval_run("gpqa_main_cot_zeroshot", tmp_path, 0, lambda prompt: "The answer is (B).")
    prompts = {sample["doc_id"]: sample["arguments"][0][0] for sample in theirs}
    assert [request.prompt for request in questionnaire._requests] == [prompts[n] for n in range(16)]
    strict = {s["doc_id"]: s["exact_match"] for s in theirs if s["filter"] == "strict-match"}
    scores = [questionnaire.task.score(question, "The answer is (B).") for question in questionnaire.questions]
    assert [float(score.correct) for score in scores] == [strict[n] for n in range(16)]
    assert set(strict.values()) == {0.0, 1.0}


CONVERSATIONS = [
    {
        "story": f"A cat sat on mat {n}.",
        "questions": {"input_text": ["Who?", "Where?"]},
        "answers": {"input_text": ["a cat", f"on the mat {n}"]},
    }
    for n in range(3)
]


def test_values_are_those_of_its_own_runner_and_have_its_direction_and_no_range(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    for split in ("test", "train"):
        write_jsonl(tmp_path / f"{split}.jsonl", CONVERSATIONS)
    data = {"path": str(tmp_path / "test.jsonl"), "train_path": str(tmp_path / "train.jsonl")}
    settings = {"task": "lm_eval:coqa:f1,none", "dataset": data, "shots": 0, "questions": "all"}
    questionnaire = dataset.load(ProtocolConfig.model_validate(settings))
    outputs = ["on the mat 0", "the mat 1 there", "nowhere"]
    prompts = [str(request.prompt) for request in questionnaire._requests]
    theirs = lm_eval_run("coqa", tmp_path, 0, dict(zip(prompts, outputs, strict=True)).__getitem__)
    scores = [questionnaire.task.score(q, text) for q, text in zip(questionnaire.questions, outputs, strict=True)]
    assert [score.value for score in scores] == [sample["f1"] for sample in theirs]
    # Without the article: mat, 1 of three words each, on and there besides. Precision and recall are 2/3.
    assert [score.value for score in scores] == pytest.approx([1, 2 / 3, 0])
    assert questionnaire.task.metric == Metric(name="f1", low=None, high=None)
    assert not any(score.correct for score in scores)


def test_what_a_task_is_scored_by_is_known_before_its_data_are_read() -> None:
    from sweep.tasks import task

    assert task("lm_eval:gsm8k").metric == ACCURACY
    assert task("lm_eval:coqa:f1,none").metric == Metric(name="f1", low=None, high=None)
    assert task("lm_eval:coqa").metric.name == "em"
    assert not task("lm_eval:coqa").metric.counts  # a mean over several right answers
    assert task("lm_eval:qasper_freeform").metric.name == "f1_abstractive"


def test_the_first_filter_scores_where_none_is_named(tmp_path: Path) -> None:
    strict = asked("gsm8k", tmp_path)
    assert [strict.task.score(strict.questions[0], text).answer for text in ("#### 0", "It is 0")] == ["0", None]


def test_its_draws_are_of_the_train_file_and_leave_the_caller_s_random_numbers_alone(tmp_path: Path) -> None:
    random.seed(7)
    expected = random.random()
    random.seed(7)
    prompt = str(asked("gsm8k", tmp_path, shots=3, shots_from="library")._requests[0].prompt)
    assert random.random() == expected
    assert prompt.count("Question:") == 4
    assert prompt.count(" - 1?") == 3


def test_other_worked_examples_are_another_protocol_of_the_same_data(tmp_path: Path) -> None:
    before = asked("gsm8k", tmp_path, shots=3, shots_from="library")
    write_jsonl(tmp_path / "other.jsonl", [{"question": "What is 9 * 9?", "answer": "#### 81"}] * 9)
    data = {"path": str(tmp_path / "test.jsonl"), "train_path": str(tmp_path / "other.jsonl")}
    after = asked("gsm8k", tmp_path, shots=3, shots_from="library", dataset=data)
    assert after.hash != before.hash
    assert after.dataset_sha256 == before.dataset_sha256


def test_the_stop_strings_and_the_versions_are_the_task_s(tmp_path: Path) -> None:
    from importlib.metadata import version

    questionnaire = asked("gsm8k", tmp_path)
    assert questionnaire.stop == ("Question:", "</s>", "<|im_end|>")
    assert questionnaire.task.version == f"lm-eval {version('lm-eval')}, task version 3.0"


def faults(task: str, **changes: object) -> list[tuple[tuple[object, ...], str]]:
    settings: dict[str, object] = {"task": f"lm_eval:{task}", "shots": 0}
    return list(dataset.faults(ProtocolConfig.model_validate(settings | changes)))


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("humaneval", "runs the code"),
        ("mbpp", "runs the code"),
        ("hellaswag", "multiple_choice"),
        ("wikitext", "loglikelihood_rolling"),
        ("squadv2", "YAML"),
        ("gsm8k_cot_self_consistency", "64 outputs"),
        ("wmt16-en-de", "bleu"),
        ("gsm8k:exact_match,strict", "exact_match,flexible-extract"),
        ("gsm8k:bleu,strict-match", "exact_match,strict-match"),
        ("noticia", "rouge1, average_len of all outputs"),
        ("coqa:bleu,none", "em,none or f1,none"),
    ],
)
def test_what_cannot_be_asked_or_scored_is_refused_with_the_reason(task: str, why: str) -> None:
    ((where, reason),) = faults(task)
    assert where == ("protocol", "task")
    assert why in reason


def test_an_unknown_task_is_refused_with_the_nearest_and_a_group_with_its_tasks() -> None:
    assert "did you mean gsm8k?" in faults("gsm8")[0][1]
    assert "group" in faults("mmlu_pro")[0][1]


def test_worked_examples_need_the_library_s_rule_and_a_source(tmp_path: Path) -> None:
    assert faults("gsm8k", shots=5)[0][0] == ("protocol", "shots_from")
    assert faults("aime24", shots=5)[0][0] == ("protocol", "shots")
    local = {"dataset": {"path": "embedded:tiny-gemma4"}, "shots_from": "library", "shots": 5}
    assert faults("gsm8k", **local)[0][0] == ("protocol", "dataset")
    assert faults("gsm8k_cot", **local) == []


def test_without_the_hub_a_local_file_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*names: object, **settings: object) -> None:
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr("datasets.load_dataset", away)
    with pytest.raises(BadInput, match=r"reach the Hub\n.*protocol\.dataset\.path"):
        dataset.load(ProtocolConfig(task="lm_eval:gsm8k", shots=0))


def test_a_record_without_a_right_answer_and_records_of_another_form_are_refused(tmp_path: Path) -> None:
    for rows, told in (
        ([*SUMS, {"question": "What is 9?"}], "record 6: the task makes no right answer"),
        ([{"prompt": "What is 9?", "answer": "#### 9"}], "'question' is undefined"),
        ([SUMS[0], {"question": 7, "answer": "#### 7"}], "differ in form"),
    ):
        file = write_jsonl(tmp_path / "data.jsonl", rows)
        with pytest.raises(BadInput, match=told):
            asked("gsm8k", tmp_path, dataset={"path": str(file)})


def test_an_answer_that_the_task_looks_for_is_found_for_the_simulated_engine(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "data.jsonl", [{"input": "not True is", "target": "False"}])
    questionnaire = asked("bbh_cot_fewshot_boolean_expressions", tmp_path, dataset={"path": str(file)})
    assert questionnaire.answers() == {"test-0": "So the answer is False."}


def test_a_run_of_values_is_read_and_judged_where_the_library_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    file = write_jsonl(tmp_path / "coqa.jsonl", CONVERSATIONS)
    changes = (
        "protocol.task=lm_eval:coqa:f1,none",
        "protocol.shots=0",
        "protocol.questions=all",
        f"protocol.dataset={{path: {file}, train_path: {file}}}",
        "threshold={rule: margin, margin: 10%}",
    )
    run = finished(tmp_path, {"baseline": 1, "mtp": 0}, *changes)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    summary = conclude(open_run(run.folder))
    assert summary.metric == Metric(name="f1", low=None, high=None)
    # One answer of three is wrong in every repetition; the others are the target itself.
    assert summary.variants["baseline"].accuracy.mean == pytest.approx(2 / 3)
    assert summary.threshold.value == pytest.approx(0.9 * 2 / 3)
