"""Score lists as somebody has them from CI logs, and `sweep stats` on them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from scipy.stats import t as student
from scipy.stats import ttest_ind

from sweep.commands.stats import command
from sweep.errors import BadInput
from sweep.stats.score_files import ScoreFile
from sweep.stats.score_files import read as read_files
from sweep.stats.score_files.rows import Reading
from sweep.stats.scores import Scores, off_grid

NO_SHARE = (
    "is not a share of right answers, which is between 0 and 1: divide a percentage by 100, or a number of right "
    "answers by the number of questions; an accept length or a speed is not a score"
)
NOISY = [0.385, 0.37, 0.36, 0.395, 0.41, 0.335, 0.435, 0.38, 0.375, 0.39]


def read(file: str, questions: int | None = None, **options: Any) -> list[Scores]:
    return [one.scores for one in whole(file, questions=questions, **options).listed]


def whole(*files: str, **options: Any) -> ScoreFile:
    return read_files(files, Reading(**options))


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(command, arguments, input=given, env={"COLUMNS": "80"})


def as_json(values: Any, *options: str) -> Any:
    result = run("-", "--questions", "200", "--json", *options, given=json.dumps(values))
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(tmp_path: Path, text: str, questions: int | None = 200) -> str:
    file = tmp_path / "scores"
    file.write_text(text)
    with pytest.raises(BadInput) as caught:
        read(str(file), questions)
    assert caught.value.exit_code == 2
    return caught.value.message.replace(f"{file}", "FILE")


def test_a_json_list_is_one_variant(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    file.write_text("[0.385, 0.37]\n")
    assert read(str(file), 200) == [Scores(variant="scores", values=(0.385, 0.37), questions=200)]


def test_a_csv_may_hold_variants_and_their_questions(tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    file.write_text("variant, score, questions\nmtp, 0.44, 200\nbaseline, 0.47, 200\nmtp, 0.445, 200\n")
    assert read(str(file)) == [
        Scores(variant="mtp", values=(0.44, 0.445), questions=200),
        Scores(variant="baseline", values=(0.47,), questions=200),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "FILE: empty"),
        ("[]", "FILE: no scores in it"),
        ("score\n", "FILE: no scores in it"),
        ("[0.4,\n 0.41,,]", "FILE:2: broken JSON: Expecting value (column 7)"),
        ('{"a": 1}', "FILE: a JSON object whose `a` is not a list of scores"),
        ("{}", "FILE: a JSON object without scores"),
        ('{"sweep_id": "a-1", "variants": {}}', "`sweep report RUN`"),
        ('{"a": {"b": [0.4]}}', "FILE: a: a JSON object without scores"),
        ('[0.4, "no"]', "FILE: score 2: `no` is not a number"),
        ("[0.4, null]", "FILE: score 2 is null, not a number"),
        ("[0.4, true]", "FILE: score 2 is true, not a number"),
        ('[{"score": 0.4}, {"score": null}]', "FILE: record 2: score: there is none"),
        ('[{"score": 0.4}, {"score": [0.4]}]', "FILE: record 2: score: [0.4] is not a number"),
        (f"[0.4, 1{'0' * 400}]", "FILE: score 2: inf is not a number between 0 and 1"),
        ("score,score\n0.4,0.5\n", "FILE:1: the columns are score, score; name each once"),
        ("[0.4, NaN]", "FILE: score 2: nan is not a number between 0 and 1"),
        ("[0.4, 38.5]", f"FILE: score 2: 38.5 {NO_SHARE}. Some numbers look like shares"),
        ("[40, 38.5]", f"FILE: score 1: 40 {NO_SHARE}. If they are percentages, --percent reads them"),
        ('{"mean": 44.5, "std": 1.2, "n": 20}', ". If they are percentages, --percent reads them"),
        ("variant,accuracy\na,0.44 ± 0.01\n", "is not a number; a mean ± std needs a column `n`"),
        ("score\n-1\n0.4\n", "FILE:2: -1 is below 0; a score is the share of right answers, 0 to 1"),
        ("date,score\n31.2,0.4\n", "FILE:2: date: `31.2` is not a date"),
        ("score\n1e9999999%\n", "FILE:2: score: `1e9999999%` is not a number"),
        ("score\nn/a\n", "FILE:2: score: `n/a` is not a number; leave out the runs that gave no score"),
        ('{"id": 1, "correct": true}\n{"id": 2, "correct": false}\n', "`sweep import` reads answers"),
        ('{"aggregate": {"score": 0.9}, "n_repeats": 4, "num_examples": 30}', "the mean of 4 repetitions"),
        ('{"aggregate": {"score": 0.9, "error_rate": 0.02}, "n_repeats": 1, "num_examples": 50}', "2.00% of its"),
        ("[-0.1]", "FILE: score 1: -0.1 is below 0; a score is the share of right answers, 0 to 1"),
        ("score\n0.4\n41\n", f"FILE:3: 41 {NO_SHARE}"),
        ("[3.49, 5.61]", "Every number here is between 1 and 20, as accept lengths are"),
        ("score\n0.4\nabc\n", "FILE:3: score: `abc` is not a number"),
        ("score\n300/200\n", f"FILE:2: 1.5 {NO_SHARE}"),
        ("score\n3/0\n", "FILE:2: score: `3/0` is over no question"),
        ("score;questions\n89/100;200\n", "FILE:2: the score is over 100 questions, and the row says 200"),
        ("score,variant\n0.4\n", "FILE:2: not as many cells as the first line has columns"),
        ('score\n"0.4\n', "FILE:2: broken CSV: unexpected end of data"),
        ("score,questions\n0.4,200.5\n", "FILE:2: questions: `200.5` is not a whole number"),
        ("scroe\n0.4\n", "FILE:1: no score is named in it, and it begins with `scroe`"),
        ("0.4\nno\n", "FILE:1: no score is named in it, and it begins with `0.4`"),
        ("score,questions\n0.4,200\n0.41,1314\n", "FILE:3: 1314 questions, against 200 in --questions"),
        ("<a><testcase name='x'>", "FILE:1: broken XML"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><testsuite/>", "FILE: XML with a document type"),
        ('{"mean": 0.4, "std": 0.7, "n": 20}', "FILE: no scores have the std 0.7"),
        ('{"mean": 0.4, "std": 0.1, "n": 0}', "FILE: n must be at least 1, got 0"),
        ('{"passed": 1.5, "failed": 2}', "FILE: passed: `1.5` is not a whole number"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path, text)


@pytest.mark.parametrize("text", ["[" * 100_000, f"[1{'0' * 5000}]"])
def test_json_that_python_cannot_hold_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).startswith("FILE: ")


def test_columns_that_are_not_read_are_told(tmp_path: Path) -> None:
    result = run("-", "--questions", "200", "--json", given="score,varaint\n0.4,a\n")
    assert "varaint" in result.stderr


def test_accept_lengths_beside_the_scores_are_left_out_and_that_is_told() -> None:
    result = run("-", "--questions", "200", "--json", given="score,accept_length\n0.715,3.49\n0.72,3.52\n")
    assert json.loads(result.stdout)["mean"] == pytest.approx(0.7175)
    assert "accept_length" in result.stderr
    alone = run("-", "--questions", "200", given="accept_length\n3.49\n")
    assert isinstance(alone.exception, BadInput)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0.5, 0.6, 0.4], True),  # 100, 120 and 80 of 200 right: std .1, where the questions explain .035
        ([0.5, 0.51, 0.49], False),
    ],
)
def test_shares_that_vary_too_much_may_be_percentages(values: list[float], told: bool) -> None:
    result = run("-", "--questions", "200", "--json", given=json.dumps(values))
    assert ("percent" in result.stderr) is told


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.445\n0.440\n\n0.450\n", (0.445, 0.44, 0.45)),
        ("44.5%\n44 %\n", (0.445, 0.44)),
        ("89/200\n88/200\n", (0.445, 0.44)),
        ("score\tnote\n0,445\ta\n0.44\tb\n", (0.445, 0.44)),
        ("Score; Host\n0,445; a\n", (0.445,)),
        ('{"score": 0.445}\n{"score": "44.0%"}\n', (0.445, 0.44)),
        ('{"score": 0.445, "score:std": 0.4968, "latency": 31.2}', (0.445,)),
        ('{"accuracy": 0.445, "num_questions": 200, "invalid_rate": 0.0}', (0.445,)),
        ('{"scores": [0.445, 0.44], "questions": 200}', (0.445, 0.44)),
        ("[2026-08-19 01:00:01] Score: 0.445\nnothing\n[2026-08-20 01:00:01] Score: 0.44\n", (0.445, 0.44)),
        ("{'score:std': 0.4968, 'score': 0.445}\n{'score': 0.44}\n", (0.445, 0.44)),
        ("| run | Score |\n|---:|:---|\n| 1 | 0.445 |\n| 2 | 44.0% |\n", (0.445, 0.44)),
        ('{"Score": [0.445, 0.44], "latency": [31, 32]}', (0.445, 0.44)),
        ('{"score": {"0": 0.445, "1": 0.44}, "run": {"0": 7, "1": 8}}', (0.445, 0.44)),
        ('score,note\n"0,445",a\n"44,0%",b\n', (0.445, 0.44)),
        ("time,score\n31.2,0.445\n03:00,0.44\n", (0.445, 0.44)),
        ('{"acc": 0.445}\n{"acc": 0.44}\n', (0.445, 0.44)),
        ("run,exact_match\n1,0.445\n2,0.44\n,\n", (0.445, 0.44)),
        ('score,questions\n0.445,"200"\n', (0.445,)),
        ("Score: \x1b[32m0.445\x1b[0m\r\n\x1b[1mScore\x1b[0m: 0.440\r\n", (0.445, 0.44)),
        ("Score: 0.445\n{'score': np.float64(0.4449)}\nScore: 0.445\n{'score': 0.445}\n", (0.445, 0.445)),
        ("Reference accuracy: 0.45\nThreshold: 0.42\nEvaluated accuracy: 0.44\n", (0.44,)),
        ("Total latency: 31.245 s\nAccuracy: 0.445\nmin_score: 0.1\n", (0.445,)),
    ],
)
def test_scores_are_read_as_people_write_them(tmp_path: Path, text: str, values: tuple[float, ...]) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    assert read(str(file), 200) == [Scores(variant="scores", values=values, questions=200)]


def test_numbers_in_percent_are_read_as_such_when_that_is_said(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("gsm8k average accuracy: 89.31\n")
    (scores,) = read(str(file), 1319, percent=True)
    assert scores.values == (0.8931,)


def test_a_pattern_finds_scores_that_nothing_else_would(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("attempt 1 gave 0.445 of 1\nScore: 0.9\nattempt 2 gave 0.44 of 1\n")
    (scores,) = read(str(file), 200, pattern=r"gave (?P<score>\S+) of")
    assert scores.values == (0.445, 0.44)
    with pytest.raises(BadInput, match="--pattern"):
        read(str(file), 200, pattern="(")


def test_variants_may_have_questions_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "two.csv"
    file.write_text("variant,score\na,89/200\nb,600/1319\na,88/200\n")
    assert [(one.variant, one.questions) for one in read(str(file))] == [("a", 200), ("b", 1319)]


def test_the_same_variant_in_several_files_is_one(tmp_path: Path) -> None:
    for name, score in (("1.json", 0.445), ("2.json", 0.44)):
        (tmp_path / name).write_text(json.dumps({"score": score}))
    (one,) = whole(str(tmp_path / "1.json"), str(tmp_path / "2.json"), questions=200).listed
    assert one.scores.values == (0.445, 0.44)


LM_EVAL = {
    "results": {
        "gsm8k": {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.9,
            "exact_match_stderr,strict-match": 0.005,
            "exact_match,flexible-extract": 0.95,
            "bits_per_byte,none": 3.4,
        }
    },
    "n-samples": {"gsm8k": {"original": 1319, "effective": 200}},
}
"""To the shape that lm-eval 0.4.13 writes."""


def test_results_of_lm_eval_are_a_variant_for_each_task_filter_and_metric(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(LM_EVAL))
    told: list[str] = []
    found = read(str(tmp_path / "results.json"), note=told.append)
    assert [(one.variant, one.values, one.questions) for one in found] == [
        ("gsm8k/strict-match/exact_match", (0.9,), 200),
        ("gsm8k/flexible-extract/exact_match", (0.95,), 200),
    ]
    assert "bits_per_byte" in told[0]


NEMO = """\
command: nemo-evaluator run_eval
results:
  tasks:
    gsm8k:
      metrics:
        exact_match:
          scores:
            exact_match: {stats: {count: 200, stderr: 0.01}, value: 0.955}
            flexible: {stats: {count: 100, stderr: 0.01}, value: 0.96}
"""
"""To the shape that nemo-evaluator 0.2.8 writes."""


def test_results_of_nemo_evaluator_are_a_variant_for_each_score(tmp_path: Path) -> None:
    (tmp_path / "results.yml").write_text(NEMO)
    assert [(one.variant, one.values, one.questions) for one in read(str(tmp_path / "results.yml"))] == [
        ("gsm8k/exact_match", (0.955,), 200),
        ("gsm8k/exact_match/flexible", (0.96,), 100),
    ]
    (tmp_path / "broken.yml").write_text(NEMO + "  ]: metrics:\n")
    with pytest.raises(BadInput, match=r"broken\.yml: cannot be read as YAML"):
        read(str(tmp_path / "broken.yml"), 200)


def test_the_time_of_vllm_s_gsm8k_eval_is_a_date_in_seconds(tmp_path: Path) -> None:
    # 2026-01-01T00:00:30.5Z.
    result = {"accuracy": 0.95, "invalid_rate": 0.0, "num_questions": 200, "timestamp": 1_767_225_630.5}
    (tmp_path / "r.json").write_text(json.dumps(result))
    [found] = whole(str(tmp_path / "r.json")).listed
    assert (found.scores.values, found.scores.questions) == ((0.95,), 200)
    assert [night and night.isoformat() for night in found.nights] == ["2026-01-01"]


def test_a_log_whose_lines_begin_with_brackets_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "trt.log").write_text(
        "[05/20/2025-07:12:45] [TRT-LLM] [I] lm-eval gsm8k average accuracy: 88.10\n"
        "[TRT-LLM] [I] lm-eval gsm8k average accuracy: 88.25\n"
    )
    assert [one.values for one in read(str(tmp_path / "trt.log"), 1319, percent=True)] == [(0.881, 0.8825)]


def test_a_table_that_lm_eval_printed_is_read(tmp_path: Path) -> None:
    (tmp_path / "table.md").write_text(
        "hf (pretrained=x), limit: None\n"
        "|Tasks|Version|     Filter     |n-shot|  Metric   |   |Value |   |Stderr|\n"
        "|-----|------:|----------------|-----:|-----------|---|-----:|---|-----:|\n"
        "|gsm8k|      3|flexible-extract|     5|exact_match|↑  |0.8893|±  |0.0086|\n"
        "|     |       |strict-match    |     5|exact_match|↑  |0.8848|±  |0.0088|\n"
    )
    assert [(one.variant, one.values) for one in read(str(tmp_path / "table.md"), 1319)] == [
        ("gsm8k/flexible-extract/exact_match", (0.8893,)),
        ("gsm8k/strict-match/exact_match", (0.8848,)),
    ]


def test_samples_of_lm_eval_are_counted_by_filter(tmp_path: Path) -> None:
    rows = [
        {"doc_id": n, "filter": name, "metrics": ["exact_match"], "exact_match": float(right)}
        for n, both in enumerate([(1, 1), (1, 0), (0, 0), (1, 1)])
        for name, right in zip(("strict-match", "flexible-extract"), both, strict=True)
    ]
    (tmp_path / "samples.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert [(one.variant, one.values, one.questions) for one in read(str(tmp_path / "samples.jsonl"))] == [
        ("strict-match/exact_match", (0.75,), 4),
        ("flexible-extract/exact_match", (0.5,), 4),
    ]
    (tmp_path / "samples.jsonl").write_text("\n".join(map(json.dumps, [*rows, rows[0]])))
    with pytest.raises(BadInput, match="twice"):
        read(str(tmp_path / "samples.jsonl"))


def test_verdicts_in_samples_of_lm_eval_may_be_true_and_false_and_lists_are_left_out(tmp_path: Path) -> None:
    # As in its ifeval: a verdict for the prompt, and one for each of its instructions.
    rows = [
        {"doc_id": n, "filter": "none", "metrics": ["prompt", "inst"], "prompt": right, "inst": [True, right]}
        for n, right in enumerate([True, False, False, True])
    ]
    (tmp_path / "samples.jsonl").write_text("\n".join(map(json.dumps, rows)))
    notes: list[str] = []
    [one] = read_files([str(tmp_path / "samples.jsonl")], Reading(note=notes.append)).listed
    assert (one.scores.variant, one.scores.values, one.scores.questions) == ("prompt", (0.5,), 4)
    assert ["inst" in note for note in notes] == [True]


@pytest.mark.parametrize("other", [{"doc_id": [1]}, {"metrics": None}, {"metrics": [["acc"]]}])
def test_samples_of_another_shape_are_refused_with_their_line(tmp_path: Path, other: dict[str, Any]) -> None:
    row = {"doc_id": 1, "filter": "none", "metrics": ["acc"], "acc": 1.0}
    rows = [row, row | {"doc_id": 2} | other]
    (tmp_path / "samples.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(BadInput, match=r"samples\.jsonl:2: .*`doc_id`"):
        read(str(tmp_path / "samples.jsonl"))


@pytest.mark.parametrize("groups", [{"g": 5}, {"g": [["a"]]}, [1]])
def test_groups_of_lm_eval_of_another_shape_say_nothing_of_questions(tmp_path: Path, groups: Any) -> None:
    found = {"results": {"g": {"acc,none": 0.4}}, "group_subtasks": groups}
    (tmp_path / "results.json").write_text(json.dumps(found))
    with pytest.raises(BadInput, match="how many questions"):
        read(str(tmp_path / "results.json"))


JUNIT = """<?xml version="1.0"?>
<testsuites><testsuite name="s" tests="4">
<testcase classname="t" name="gsm8k"><properties><property name="score" value="0.445"/></properties></testcase>
<testcase classname="t" name="mmlu"><system-out>Score: 0.7\nbye</system-out></testcase>
<testcase classname="t" name="gate"/><testcase classname="t" name="gate"><failure message="low"/></testcase>
<testcase classname="t" name="off"><skipped/></testcase>
</testsuite></testsuites>"""


def test_junit_gives_scores_where_tests_recorded_them_and_verdicts_else(tmp_path: Path) -> None:
    (tmp_path / "j.xml").write_text(JUNIT)
    found = whole(str(tmp_path / "j.xml"), questions=200)
    assert [(one.scores.variant, one.scores.values) for one in found.listed] == [
        ("t.gsm8k", (0.445,)),
        ("t.mmlu", (0.7,)),
    ]
    assert [(one.variant, one.passed, one.failed) for one in found.passes] == [("t.gate", 1, 1)]


def test_verdicts_alone_bound_how_often_a_build_fails() -> None:
    result = run("-", "--json", given='{"passed": 18, "failed": 2}')
    # R: binom.test(2, 20)$conf.int is 0.01234853 0.31698271.
    assert json.loads(result.stdout)["verdicts"]["scores"]["failing"] == pytest.approx([0.01234853, 0.31698271])


def test_mean_std_and_number_give_the_thresholds_that_do_without_the_scores() -> None:
    given = '{"mean": 0.44, "std": 0.021, "n": 20, "questions": 1000000}'
    document = json.loads(run("-", "--json", given=given).stdout)["summarised"]["scores"]
    values = {name: rule["value"] for name, rule in document["thresholds"].items()}
    # The one-sided factor for 99 % at 95 % confidence and n = 20 is 3.295 in ISO 16269-6's table; that of the
    # false alarm is t(.99, 19) sqrt(1 + 1/20) = 2.539 * 1.0247.
    assert values == {
        "margin": pytest.approx(0.41),
        "tolerance": pytest.approx(0.44 - 3.295 * 0.021, abs=2e-5),
        "false_alarm": pytest.approx(0.44 - 2.5395 * 1.02470 * 0.021, abs=2e-5),
    }
    assert document["thresholds"]["false_alarm"]["false_alarm"] == pytest.approx(0.01, abs=1e-5)


HOSTS = """score,variant,host,date
0.445,a,h1,2026-01-01
0.440,a,h1,2026-01-02
0.450,a,h1,2026-01-03
0.435,a,h2,2026-01-04
0.445,a,h2,2026-01-05
0.400,a,h3,2026-01-06
0.395,a,h3,2026-01-07
0.405,a,h3,2026-01-08
0.300,b,h1,2026-01-08
0.310,b,h1,2026-01-08
"""


def test_the_host_that_lies_apart_is_named_and_variants_are_compared() -> None:
    document = json.loads(run("-", "--questions", "200", "--json", given=HOSTS).stdout)
    tests = {one["group"]: one for one in document["labels"]["a"]["host"]}
    low = ttest_ind([0.4, 0.395, 0.405], [0.445, 0.44, 0.45, 0.435, 0.445], equal_var=False)
    assert tests["host h3"]["difference"] == pytest.approx(-0.043)
    # Welch and Satterthwaite's degrees of freedom at equal spreads, which are fewer here: of 3 and 5 runs they are
    # (1/3 + 1/5)^2 / ((1/3)^2 / 2 + (1/5)^2 / 4). Holm over three hosts: the least p-value counts three times.
    assert tests["host h3"]["p_value"] == pytest.approx(
        3 * 2 * student.cdf(low.statistic, 0.28444 / 0.065556), rel=1e-3
    )
    assert {name: one["p_value"] <= 0.05 for name, one in tests.items()} == {
        "host h1": False,
        "host h2": False,
        "host h3": True,
    }
    (difference,) = document["differences"]
    assert (difference["group"], difference["against"]) == ("b", "a")
    assert difference["p_value"] < 0.05
    shown = run("-", "--questions", "200", given=HOSTS).stdout
    assert "host h3 lies 0.0430 under the others" in shown


def test_a_change_over_dated_nights_is_found() -> None:
    nights = [0.44, 0.445, 0.45, 0.435, 0.44, 0.445] * 2 + [0.3, 0.31, 0.29, 0.3]
    rows = "".join(f"{score},2026-01-{day:02d}\n" for day, score in enumerate(nights, start=1))
    document = json.loads(run("-", "--questions", "200", "--json", given=f"score,date\n{rows}").stdout)
    assert document["changes"] == {"scores": "2026-01-13"}


def test_an_unknown_number_of_questions_is_asked_for(tmp_path: Path) -> None:
    assert "--questions N" in refused(tmp_path, "[0.4]", None)


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.json: "):
        read(str(tmp_path / "none.json"), 200)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="not text in UTF-8"):
        read(str(tmp_path / "binary"), 200)


def test_scores_rounded_to_three_digits_lie_on_the_grid_and_others_do_not() -> None:
    # 0.379 of 1314 questions: 498/1314 = .37900; 0.378 of 200 questions is 75.6 of them.
    assert off_grid(Scores(variant="v", values=(0.379, 0.38), questions=1314)) == []
    assert off_grid(Scores(variant="v", values=(0.378, 0.38), questions=200)) == [0.378]


def test_the_json_has_exactly_the_documented_keys() -> None:
    outcome = as_json(NOISY)
    assert list(outcome) == [
        "n",
        "mean",
        "std",
        "ddof",
        "min",
        "max",
        "tolerance_bound",
        "min_observed_false_alarm",
        "overdispersion",
        "thresholds",
    ]
    assert list(outcome["overdispersion"]) == ["chi2", "dof", "p_value"]
    assert list(outcome["thresholds"]) == ["margin", "tolerance", "false_alarm", "min_observed"]
    assert {tuple(rule) for rule in outcome["thresholds"].values()} == {
        ("value", "false_alarm", "false_alarm_single", "mde80")
    }


def test_the_numbers_are_those_of_the_scores() -> None:
    outcome = as_json(NOISY)
    # Mean 3.835 / 10; squared distances sum to .0067025; k(10; .99, .95) = 3.981 (Hahn and Meeker).
    std = (0.0067025 / 9) ** 0.5
    assert (outcome["n"], outcome["ddof"], outcome["min"], outcome["max"]) == (10, 1, 0.335, 0.435)
    assert outcome["mean"] == pytest.approx(0.3835)
    assert outcome["std"] == pytest.approx(std)
    assert outcome["tolerance_bound"] == pytest.approx(0.3835 - 3.981 * std, abs=2e-5)
    # 54.97 of 200 questions: a gate there fails 54, which stands for up to 54.5, as the bound allows.
    assert outcome["thresholds"]["tolerance"]["value"] == pytest.approx(outcome["tolerance_bound"])
    assert outcome["min_observed_false_alarm"] == pytest.approx(1 / 11)
    assert outcome["overdispersion"]["chi2"] == pytest.approx(0.0067025 / (0.3835 * 0.6165 / 200))


def test_retries_lower_false_alarms_and_raise_the_detectable_drop() -> None:
    once, thrice = (
        as_json(NOISY)["thresholds"]["margin"],
        as_json(NOISY, "--retries", "3")["thresholds"]["margin"],
    )
    assert thrice["false_alarm"] < once["false_alarm"] / 5
    assert thrice["mde80"] > once["mde80"]
    # Attempts that share what moves them fail as often as one: that stands beside it.
    assert thrice["false_alarm_single"] == once["false_alarm"]


def test_several_variants_are_named_in_the_json() -> None:
    result = run("-", "--questions", "200", "--json", given="score,variant\n.4,a\n.42,a\n.5,b\n.51,b\n")
    outcome = json.loads(result.stdout)
    assert list(outcome) == ["variants", "differences"]
    assert outcome["variants"]["b"]["mean"] == pytest.approx(0.505)


@pytest.mark.parametrize(
    ("values", "statement"),
    [
        ([0.47], "Run at least 2"),
        ([0.47] * 20, "14.6 %"),
        ([0.0] * 5, "Every score is 0"),
        ([0.1, 0.9, 0.1, 0.9], "the scores vary more than 200 independent questions can"),
        ([0.378, 0.38], "1 of 2 scores, the first 0.378, are not multiples of 1/200"),
    ],
)
def test_what_the_numbers_cannot_say_is_said_on_stderr(values: list[float], statement: str) -> None:
    result = run("-", "--questions", "200", "--json", given=json.dumps(values))
    assert result.exit_code == 0
    assert statement in result.stderr
    assert json.loads(result.stdout)["n"] == len(values)


def test_undefined_numbers_are_null() -> None:
    outcome = as_json([0.47])
    assert (outcome["std"], outcome["tolerance_bound"]) == (None, None)
    assert outcome["overdispersion"] == {"chi2": None, "dof": None, "p_value": None}
    assert set(outcome["thresholds"]["tolerance"].values()) == {None}


def test_the_tables_fit_80_columns_and_name_every_rule() -> None:
    result = run("-", "--questions", "200", "--retries", "3", given=json.dumps(NOISY))
    # What is not a table is broken on a terminal alone.
    table = result.stdout[result.stdout.index("\nrule ") :].partition("\n\n")[0]
    assert max(map(len, table.splitlines())) <= 80
    for rule in ("margin", "tolerance", "false_alarm", "min_observed"):
        assert f"\n{rule} " in table
    assert "all 3 attempts" in result.stdout
    assert "…" not in result.stdout
    cut = run("-", "--questions", "200", given="[0.385, 0.37, 0.36, 0.395, 0.41, 0.335]")
    assert "…" not in cut.stdout


def test_a_rule_without_a_threshold_says_why() -> None:
    # Mean .3775, s .0107: k for two runs is 37.09, so the tolerance bound lies at -.019, or -4 of 200 questions.
    result = run("-", "--questions", "200", given="[0.3851, 0.37]")
    assert re.search(r"tolerance\. The rule gives -0\.020", " ".join(result.stdout.split()))
