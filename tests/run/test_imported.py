"""Results from elsewhere: each program's files, what they say and what they leave open."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from sweep.errors import BadInput
from sweep.run.imported.answers import Answer, Source
from sweep.run.imported.reading import found, read
from sweep.run.imported.runs import Told, tell_apart
from sweep.run.imported.scale import metric_of
from sweep.stats.metric import ACCURACY, Metric
from tests.run.elsewhere import eval_zip, inspect_log, inspect_sample, jsonl, lm_eval, nemo, sgl_eval

JANUARY = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""


def told(*paths: Path, names: tuple[str, ...] = (), notes: list[str] | None = None) -> Told:
    files = [(number, file) for number, path in enumerate(paths) for file in found(str(path))]
    sources = [read(file, None) for _, file in files]
    kept: list[str] = [] if notes is None else notes
    return tell_apart(sources, [number for number, _ in files], names, kept.append)


def values(source: Source) -> dict[str, bool | None]:
    return {answer.question: answer.correct for answer in source.answers}


def test_lm_eval_s_samples_are_taken_by_one_filter(tmp_path: Path) -> None:
    records = [lm_eval(d, by, float(d == 0 or by == "flexible-extract")) for by in FILTERS for d in (0, 1)]
    file = jsonl(tmp_path / "samples_gsm8k_2026-01-01T00-00-00.000000.jsonl", records)
    strict = read(str(file), "strict-match")
    assert values(strict) == {"0": True, "1": False}
    assert values(read(str(file), "exact_match,flexible-extract")) == {"0": True, "1": True}
    assert (strict.task, strict.metric, strict.ended) == ("gsm8k", "exact_match,strict-match", JANUARY)
    assert (strict.max_tokens, strict.temperature, strict.shots, strict.model) == (256, 0.0, None, None)
    right, wrong = strict.answers
    assert (right.asked, right.gold, right.text) == ("What is 0?", "#### 0", "It is 0. #### 0")
    assert (right.extracted, right.invalid, wrong.extracted, wrong.invalid) == ("0", False, None, True)
    assert (right.completion_tokens, right.seconds, right.finish_reason) == (None, None, None)


FILTERS = ("strict-match", "flexible-extract")


def test_a_file_with_two_scores_of_an_answer_asks_which_counts(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "s.jsonl", [lm_eval(0, by, 1.0) for by in FILTERS])
    with pytest.raises(BadInput, match=r"exact_match,strict-match.*exact_match,flexible-extract.*--metric"):
        read(str(file), None)
    with pytest.raises(BadInput, match=r"--metric f1: .*exact_match,strict-match"):
        read(str(file), "f1")


def test_an_lm_eval_that_does_not_sample_is_greedy(tmp_path: Path) -> None:
    greedy = {"gen_args_0": {"arg_0": "Q", "arg_1": {"do_sample": False}}}
    assert (
        read(str(jsonl(tmp_path / "s.jsonl", [lm_eval(0, "none", 1.0, arguments=greedy)])), None).temperature == 0.0
    )
    assert read(str(jsonl(tmp_path / "t.jsonl", [lm_eval(0, "none", 1.0, arguments={})])), None).temperature is None


def test_the_samples_of_an_older_lm_eval_name_no_metrics(tmp_path: Path) -> None:
    old = lm_eval(7, "none", 1.0)
    del old["metrics"], old["filter"]
    source = read(str(jsonl(tmp_path / "s.jsonl", [old])), None)
    assert (source.metric, values(source)) == ("exact_match,none", {"7": True})


def test_lm_eval_s_choices_have_no_output(tmp_path: Path) -> None:
    record = lm_eval(
        0, "none", 1.0, resps=[[[-1.5, False]], [[-0.5, True]]], filtered_resps=[[-1.5, False], [-0.5, True]]
    )
    [answer] = read(str(jsonl(tmp_path / "s.jsonl", [record])), None).answers
    assert (answer.correct, answer.text, answer.extracted, answer.invalid) == (True, None, None, None)


TIME = "2026-01-01T00-00-00.123456"
RESULTS = {
    "n-shot": {"gsm8k": 0, "arc": 25},
    "config": {"model": "vllm", "model_args": "pretrained=google/gemma-3,dtype=auto"},
    "model_name": "google/gemma-3",
    "lm_eval_version": "0.4.13",
    "transformers_version": "4.57.1",
}


@pytest.mark.parametrize("name", [f"results_{TIME}.json", f"nightly_{TIME}.json"])
def test_lm_eval_s_results_of_the_same_time_tell_of_model_shots_and_versions(tmp_path: Path, name: str) -> None:
    file = jsonl(tmp_path / f"samples_gsm8k_{TIME}.jsonl", [lm_eval(0, "none", 1.0)])
    (tmp_path / name).write_text(json.dumps(RESULTS))
    source = read(str(file), None)
    assert (source.model, source.shots) == ("google/gemma-3", 0)
    assert source.versions == {"lm-eval": "0.4.13", "transformers": "4.57.1"}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        json.dumps({"n-shot": {"arc": 25}, "model_name": None, "lm_eval_version": "no package", "config": None}),
        # Without a model in its arguments lm-eval gives the run a name of two words.
        json.dumps({"n-shot": 5, "model_name": "lucid-hopper", "config": {"model_args": "base_url=x"}}),
    ],
)
def test_what_lm_eval_s_results_do_not_say_is_not_known(tmp_path: Path, text: str) -> None:
    file = jsonl(tmp_path / f"samples_gsm8k_{TIME}.jsonl", [lm_eval(0, "none", 1.0)])
    (tmp_path / f"results_{TIME}.json").write_text(text)
    source = read(str(file), None)
    assert (source.model, source.shots, source.versions) == (None, None, {})


def test_a_name_with_a_day_that_no_calendar_has_says_nothing_of_the_time(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "samples_gsm8k_2026-02-30T00-00-00.jsonl", [lm_eval(0, "none", 1.0)])
    assert read(str(file), None).ended is None


def test_the_results_of_another_run_of_lm_eval_say_nothing_of_this_one(tmp_path: Path) -> None:
    file = jsonl(tmp_path / f"samples_gsm8k_{TIME}.jsonl", [lm_eval(0, "none", 1.0)])
    (tmp_path / "results_2026-01-02T00-00-00.000000.json").write_text(json.dumps(RESULTS))
    assert read(str(file), None).model is None


def test_sgl_eval_s_predictions_are_a_repetition_a_file_with_its_settings(tmp_path: Path) -> None:
    unknown = sgl_eval(3, False, predicted_answer=None, num_generated_tokens=0, finish_reason="length")
    file = jsonl(tmp_path / "output-rs0.jsonl", [sgl_eval(2, True), unknown])
    meta = {
        "name": "aime25",
        "model": "m",
        "gen": {"temperature": 0.6, "max_tokens": 64},
        "sgl_eval_version": "0.1.3",
    }
    (tmp_path / "metrics.json").write_text(json.dumps(meta))
    source = read(str(file), None)
    assert (source.task, source.model, source.temperature, source.max_tokens) == ("aime25", "m", 0.6, 64)
    assert (source.versions, source.ended) == ({"sgl-eval": "0.1.3"}, JANUARY + 2.5)
    first, second = source.answers
    assert (first.correct, first.completion_tokens, first.seconds, first.extracted) == (True, 12, 2.5, "7")
    assert (second.correct, second.completion_tokens, second.invalid, second.finish_reason) == (
        *(False, None, True),
        "length",
    )


def test_predictions_without_an_id_are_told_apart_by_their_problems(tmp_path: Path) -> None:
    without = [{k: v for k, v in sgl_eval(n, n > 0).items() if k != "id"} for n in range(2)]
    jsonl(tmp_path / "output-rs0.jsonl", without)
    assert list(told(tmp_path).questions) == ["Problem 0", "Problem 1"]


def test_a_request_that_failed_is_no_wrong_answer_and_its_repetition_is_left_out(tmp_path: Path) -> None:
    jsonl(tmp_path / "r" / "output-rs0.jsonl", [sgl_eval(0, True), sgl_eval(1, False)])
    failed = sgl_eval(1, False, finish_reason="error", generation="", predicted_answer=None)
    jsonl(tmp_path / "r" / "output-rs1.jsonl", [sgl_eval(0, True), failed])
    notes: list[str] = []
    variants = told(tmp_path / "r", notes=notes).variants
    assert [len(runs) for runs in variants.values()] == [1]
    assert len(notes) == 1
    assert "output-rs1.jsonl" in notes[0]


def test_a_repetition_that_lacks_a_question_is_left_out(tmp_path: Path) -> None:
    jsonl(tmp_path / "r" / "output-rs0.jsonl", [sgl_eval(0, True), sgl_eval(1, False)])
    jsonl(tmp_path / "r" / "output-rs1.jsonl", [sgl_eval(0, True)])
    notes: list[str] = []
    assert len(told(tmp_path / "r", notes=notes).variants["r"]) == 1
    assert "lacks 1 of 2 questions, such as aime25-1" in notes[0]


def test_answers_that_came_in_any_order_are_put_in_that_of_their_numbers(tmp_path: Path) -> None:
    jsonl(tmp_path / "r" / "output-rs0.jsonl", [sgl_eval(q, True) for q in (10, 2, 0)])
    assert [*told(tmp_path / "r").questions] == ["aime25-0", "aime25-2", "aime25-10"]


def test_what_cannot_be_true_is_not_known_and_what_is_no_text_is_marked(tmp_path: Path) -> None:
    odd = sgl_eval(0, True, generation="half \ud800", num_generated_tokens=-3, generation_end_time=1.0)
    [answer] = read(str(jsonl(tmp_path / "output-rs0.jsonl", [odd])), None).answers
    assert (answer.text, answer.completion_tokens, answer.seconds) == ("half ?", None, None)


def test_nemo_s_steps_without_a_score_are_no_answers_and_a_question_s_answers_are_of_several_runs(
    tmp_path: Path,
) -> None:
    records = [
        nemo("a", None),
        nemo("a", 1),
        nemo("b", 0),
        nemo("a", 0, sub_query_id=1),
        nemo("b", 1, sub_query_id=1),
    ]
    file = jsonl(tmp_path / "nemo-evaluator-per-sample-outputs" / "x.jsonl", records)
    runs = told(tmp_path, names=("v",)).variants["v"]
    assert [{q: a.correct for q, a in run.answers.items()} for run in runs] == [
        {"a": True, "b": False},
        {"a": False, "b": True},
    ]
    assert read(str(file), None).metric == "symbolic_correct"
    assert runs[0].answers["a"].prompt_tokens == 80


@pytest.mark.parametrize("form", ["json", "deflated", "zstd"])
def test_a_log_of_inspect_is_read_in_every_form_an_epoch_a_repetition(tmp_path: Path, form: str) -> None:
    samples = [
        inspect_sample(q, e, v) for (q, e), v in {(1, 1): "C", (2, 1): "N", (1, 2): "I", (2, 2): 1.0}.items()
    ]
    file = tmp_path / ("log.json" if form == "json" else "log.eval")
    if form == "json":
        file.write_text(json.dumps(inspect_log(samples)))
    else:
        eval_zip(file, samples, zstd=form == "zstd")
    source = read(str(file), None)
    assert (source.task, source.model, source.metric) == ("gsm8k", "vllm/m", "match")
    assert (source.temperature, source.max_tokens, source.ended) == (0.5, 99, JANUARY + 60)
    assert source.versions == {"inspect_ai": "0.3.285"}
    by = {(answer.question, answer.run): answer for answer in source.answers}
    assert {key: answer.correct for key, answer in by.items()} == {
        ("1", "1"): True,
        ("2", "1"): False,
        ("1", "2"): False,
        ("2", "2"): True,
    }
    first = by["1", "1"]
    assert (first.asked, first.gold, first.text, first.extracted) == ("Input 1", "7", "7", "7")
    assert (first.finish_reason, first.completion_tokens, first.seconds) == ("length", 4, 1.5)
    assert (by["2", "1"].invalid, by["2", "1"].extracted) == (True, None)


def test_an_error_of_inspect_s_sample_is_no_answer_and_an_attached_text_is_found(tmp_path: Path) -> None:
    broken = inspect_sample(1, 1, "I", error={"message": "timed out"})
    far = inspect_sample(2, 1, "C", input="attachment://abc", attachments={"abc": "a long input"})
    (tmp_path / "l.json").write_text(json.dumps(inspect_log([broken, far])))
    one, other = read(str(tmp_path / "l.json"), None).answers
    assert (one.correct, other.asked) == (None, "a long input")


def scale(*paths: Path, wanted: str | None = None, ends: Any = None, better: bool | None = None) -> Metric:
    return metric_of([read(str(path), wanted) for path in paths], ends, better, lambda _: None)


def test_a_half_right_answer_of_inspect_is_worth_half_in_a_range_of_0_to_1(tmp_path: Path) -> None:
    samples = [inspect_sample(number, 1, mark) for number, mark in enumerate("CIPN")]
    (tmp_path / "l.json").write_text(json.dumps(inspect_log(samples)))
    assert [answer.worth for answer in read(str(tmp_path / "l.json"), None).answers] == [1, 0, 0.5, 0]
    assert scale(tmp_path / "l.json") == Metric(name="match", low=0, high=1)


def test_a_scorer_of_inspect_may_give_numbers_of_any_size_or_several_by_name(tmp_path: Path) -> None:
    samples = [inspect_sample(1, 1, {"rouge": 12.5, "f1": 0.25}), inspect_sample(2, 1, {"rouge": 40, "f1": 1})]
    (tmp_path / "l.json").write_text(json.dumps(inspect_log(samples)))
    source = read(str(tmp_path / "l.json"), "match/rouge")
    assert [answer.worth for answer in source.answers] == [12.5, 40]
    with pytest.raises(BadInput, match=r"`match/rouge`, `match/f1`: choose one"):
        read(str(tmp_path / "l.json"), None)
    assert scale(tmp_path / "l.json", wanted="match/rouge") == Metric(name="match/rouge", low=None, high=None)


def test_values_of_lm_eval_are_better_as_its_results_beside_them_say(tmp_path: Path) -> None:
    values = [0.0, 0.4, 1.0]
    records = [lm_eval(d, "none", v, metrics=["ter", "f1"], ter=v, f1=v) for d, v in enumerate(values)]
    file = jsonl(tmp_path / "samples_qa_2026-01-01T00-00-00.000000.jsonl", records)
    assert [answer.worth for answer in read(str(file), "f1").answers] == values
    with pytest.raises(BadInput, match=r"--lower-is-better or --higher-is-better"):
        scale(file, wanted="ter")
    run = {"higher_is_better": {"qa": {"ter": False, "f1": True}}}
    (tmp_path / "results_2026-01-01T00-00-00.000000.json").write_text(json.dumps(run))
    assert scale(file, wanted="ter") == Metric(name="ter", low=None, high=None, higher_is_better=False)
    assert scale(file, wanted="ter", better=True).higher_is_better


def test_what_lm_eval_makes_of_a_whole_run_is_no_value_of_an_answer(tmp_path: Path) -> None:
    file = tmp_path / "samples_qa_2026-01-01T00-00-00.000000.jsonl"
    pair = jsonl(file, [lm_eval(0, "none", 1.0, metrics=["bleu"], bleu=["a", "b"])])
    with pytest.raises(BadInput, match=r"bleu is made of all outputs"):
        read(str(pair), None)
    likelihood = jsonl(file, [lm_eval(0, "none", 1.0, metrics=["perplexity"], perplexity=-3.5)])
    with pytest.raises(BadInput, match=r"perplexity of all outputs"):
        read(str(likelihood), None)
    run = {"configs": {"qa": {"metric_list": [{"metric": "f1", "aggregation": "median"}]}}}
    (tmp_path / "results_2026-01-01T00-00-00.000000.json").write_text(json.dumps(run))
    with pytest.raises(BadInput, match=r"f1 of all outputs"):
        read(str(jsonl(file, [lm_eval(0, "none", 1.0, metrics=["f1"], f1=0.5)])), None)


def test_a_table_s_values_have_the_range_and_the_direction_that_the_user_gives(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("question,wer\nq1,0.25\nq2,1.5\n")
    file = tmp_path / "t.csv"
    given: dict[str, Any] = {"wanted": "wer", "better": False}
    assert scale(file, ends=(0.0, math.inf), **given) == Metric(name="wer", high=None, higher_is_better=False)
    with pytest.raises(BadInput, match=r"t\.csv:3: wer .*0 to 1.*got 1\.5"):
        scale(file, ends=(0.0, 1.0), **given)
    with pytest.raises(BadInput, match=r"--range: wer: .*the lower first"):
        scale(file, ends=(2.0, 1.0), **given)


def test_what_nobody_says_of_values_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("question,score\nq1,12\nq2,17.5\n")
    notes: list[str] = []
    metric = metric_of([read(str(tmp_path / "t.csv"), None)], None, None, notes.append)
    assert metric == Metric(name="score", low=None, high=None)
    [line] = notes
    assert "12 to 17.5" in line
    assert "--range" in line
    assert "--lower-is-better" in line


def test_answers_of_1_and_0_are_right_or_wrong_unless_the_user_says_that_they_are_values(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("question,value\nq1,1\nq2,0\n")
    assert scale(tmp_path / "t.csv") == ACCURACY
    values = Metric(name="value", low=None, high=None, higher_is_better=False)
    assert scale(tmp_path / "t.csv", better=False) == values


@pytest.mark.parametrize("written", ["9" * 400, "NaN", "[[1]]"])
def test_a_value_that_is_not_a_number_is_refused_with_its_place(tmp_path: Path, written: str) -> None:
    (tmp_path / "t.jsonl").write_text(
        f'{{"question": "q1", "score": 0.5}}\n{{"question": "q2", "score": {written}}}\n'
    )
    with pytest.raises(BadInput, match=r"t\.jsonl:2: score is"):
        read(str(tmp_path / "t.jsonl"), None)


def test_error_rates_of_0_and_1_alone_are_not_taken_for_wrong_and_right(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("question,wer\nq1,0\nq2,0\nq3,1\n")
    with pytest.raises(BadInput, match=r"--lower-is-better or --higher-is-better"):
        scale(tmp_path / "t.csv", wanted="wer")
    records = [lm_eval(d, "none", v, metrics=["refused"], refused=v) for d, v in enumerate((0.0, 0.0, 1.0))]
    file = jsonl(tmp_path / "samples_qa_2026-01-01T00-00-00.000000.jsonl", records)
    run = {"higher_is_better": {"qa": {"refused": False}}}
    (tmp_path / "results_2026-01-01T00-00-00.000000.json").write_text(json.dumps(run))
    assert scale(file) == Metric(name="refused", low=None, high=None, higher_is_better=False)


@pytest.mark.parametrize(
    "text",
    [
        "question,variant,repetition,value,output\nq1,a,1,1,yes\nq1,a,2,false,no\nq1,b,1,0,\n",
        "question;variant;repetition;value;output\nq1;a;1;1;yes\nq1;a;2;0;no\nq1;b;1;0;\n",
        '{"question": "q1", "variant": "a", "repetition": 1, "value": true, "output": "yes"}\n'
        '{"question": "q1", "variant": "a", "repetition": 2, "value": 0.0, "output": "no"}\n'
        '{"question": "q1", "variant": "b", "repetition": 1, "value": 0}\n',
        "doc_id,variant,epoch,is_correct,output\nq1,a,1,Yes,yes\nq1,a,2,No,no\n,,,,\nq1,b,1,incorrect,\n",
        '[{"id": "q1", "variant": "a", "run": 1, "correct": 1, "text": "yes"}, '
        '{"id": "q1", "variant": "a", "run": 2, "correct": 0, "text": "no"}, '
        '{"id": "q1", "variant": "b", "run": 1, "correct": 0}]',
    ],
)
def test_rows_of_anybody_s_may_be_a_table_or_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows").write_text(text)
    variants = told(tmp_path / "rows").variants
    assert {
        name: [(run.answers["q1"].correct, run.answers["q1"].text) for run in runs]
        for name, runs in variants.items()
    } == {"a": [(True, "yes"), (False, "no")], "b": [(False, None)]}


def test_a_value_that_is_missing_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("question,value\nq1,1\nq2,\n")
    with pytest.raises(BadInput, match=r"1 request of it failed.*ask those again$"):
        told(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("t.csv", "question,value\nq1,good\n", r"t\.csv:2: value is 'good'"),
        ("t.csv", "question,value\nq1,nan\n", r"t\.csv:2: value is 'nan'"),
        ("t.csv", "question,value\n,1\n", r"t\.csv:2: question is None"),
        ("t.csv", "question,value\nq1,1\nq1,0\n", r"t\.csv:3: question q1 comes a second time"),
        ("t.csv", "question,value\nq1\n", r"t\.csv:2: not as many cells"),
        ("t.jsonl", '{"question": "a", "value": 1}\n{"question": \n', r"t\.jsonl:2: broken JSON"),
        ("t.csv", "question,rating\nq1,1\n", r"its keys are question, rating, and an answer has .*value \(value,"),
        ("t.jsonl", '{"qid": 1, "ok": true}\n{"qid": 2, "ok": true}', r"its keys are qid, ok, and .*--metric"),
        ("r.json", '{"score:std": 0.49, "score": 0.445, "latency": 31.2}', r"r\.json: no answers.*sweep stats"),
        ("r.json", '{"accuracy": 0.9, "num_questions": 200, "timestamp": 1.7e9}', r"sweep stats"),
        ("r.json", '{"results": {"gsm8k": {"exact_match,none": 0.9}}}', r"sweep stats"),
        ("results.yml", "results:\n  tasks: {}\n", r"results\.yml: no answers.*sweep stats"),
        ("ci.log", "[05/20/2025-07:12:45] [TRT-LLM] [I] average accuracy: 88.1\n", r"ci\.log: no answers"),
        ("e.json", "", r"e\.json: empty"),
        ("l.json", json.dumps(inspect_log([])), r"l\.json: a log without samples"),
        ("x.eval", "PK\x03\x04 and no more", r"x\.eval: cannot be read as a log"),
    ],
)
def test_what_cannot_be_imported_is_refused_with_its_place(
    tmp_path: Path, name: str, content: str, where: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=where) as refusal:
        told(tmp_path / name)
    assert "\n" not in refusal.value.message


def test_files_of_one_folder_are_repetitions_and_folders_are_variants(tmp_path: Path) -> None:
    for folder, runs in {"plain": 2, "mtp": 1}.items():
        for run in range(runs):
            jsonl(tmp_path / folder / f"output-rs{run}.jsonl", [sgl_eval(0, True)])
    by_folder = told(tmp_path / "plain", tmp_path / "mtp").variants
    assert {name: len(runs) for name, runs in by_folder.items()} == {"plain": 2, "mtp": 1}
    of_one = told(tmp_path / "plain", tmp_path / "mtp", names=("all",)).variants
    assert {name: len(runs) for name, runs in of_one.items()} == {"all": 3}
    renamed = told(tmp_path / "plain", tmp_path / "mtp", names=("a", "b")).variants
    assert {name: len(runs) for name, runs in renamed.items()} == {"a": 2, "b": 1}
    with pytest.raises(BadInput, match=r"2 names for 1 path"):
        told(tmp_path / "plain", names=("a", "b"))
    with pytest.raises(BadInput, match=r"`a b` cannot be a name"):
        told(tmp_path / "plain", names=("a b",))


def test_a_file_that_is_given_twice_is_no_second_repetition(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "r" / "output-rs0.jsonl", [sgl_eval(0, True)])
    with pytest.raises(BadInput, match=r"output-rs0\.jsonl: given twice"):
        told(tmp_path / "r", file)


def test_files_of_several_tasks_are_refused(tmp_path: Path) -> None:
    for task in ("gsm8k", "mmlu"):
        jsonl(tmp_path / f"samples_{task}_2026-01-01T00-00-00.000000.jsonl", [lm_eval(0, "none", 1.0)])
    with pytest.raises(BadInput, match=r"its task is mmlu, and that of .*gsm8k.* is gsm8k"):
        told(tmp_path)


def source(path: str, **answers: Any) -> Source:
    listed = [Answer(place=path, question=q, correct=True, asked=text) for q, text in answers.items()]
    return Source(path=path, sha256="0" * 64, format="table", metric="value", answers=listed)


def test_a_number_that_stands_for_another_question_elsewhere_is_refused() -> None:
    with pytest.raises(BadInput, match=r"b: question q1 is another one than at a"):
        tell_apart([source("a", q1="one"), source("b", q1="two")], [0, 1], ["v"], print)


def test_a_variant_of_other_questions_is_refused() -> None:
    with pytest.raises(
        BadInput, match=r"w: no repetition of it is complete: it lacks 1 of 2 questions, such as q2"
    ):
        tell_apart([source("a", q1="1", q2="2"), source("b", q1="1")], [0, 1], ["v", "w"], lambda _: None)


def test_a_list_of_values_has_one_for_each_repetition(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text(
        '{"question": "a", "correct": [true, false], "output": ["4", "5"]}\n'
        '{"question": "b", "correct": [true, true], "output": ["7", "7"]}\n'
    )
    source = read(str(file), None)
    assert [(one.run, one.question, one.correct, one.text) for one in source.answers] == [
        ("1", "a", True, "4"),
        ("2", "a", False, "5"),
        ("1", "b", True, "7"),
        ("2", "b", True, "7"),
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ('{"question": "a", "correct": [true, false], "run": 1}', "run names one"),
        ('{"question": "a", "correct": []}', "a list of one per repetition"),
        ('{"question": "a", "correct": [[true], [false]]}', "a list of one per repetition"),
    ],
)
def test_a_list_that_is_not_of_one_value_for_each_repetition_is_refused(
    tmp_path: Path, record: str, message: str
) -> None:
    (tmp_path / "answers.jsonl").write_text(record + "\n")
    with pytest.raises(BadInput, match=message):
        read(str(tmp_path / "answers.jsonl"), None)
