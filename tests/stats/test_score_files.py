"""Scores in the files of other programs, and what of them is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sweep.errors import BadInput
from sweep.stats import score_files
from sweep.stats.score_files.rows import Reading
from sweep.stats.scores import Scores


def read(file: Path, **options: Any) -> list[Scores]:
    return [one.scores for one in whole(file, **options).listed]


def whole(file: Path, **options: Any) -> score_files.ScoreFile:
    return score_files.read([str(file)], Reading(**options))


def test_a_score_in_another_way_and_an_hour_later_is_of_another_run(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("2026-08-19T02:00:01Z Score: 0.44\n2026-08-19T03:00:01Z metrics['score']=0.44\n")
    assert [one.values for one in read(file, questions=200)] == [(0.44, 0.44)]


@pytest.mark.parametrize(
    ("first", "second", "tasks"),
    [
        ("gsm8k accuracy = 0.445", "mmlu accuracy = 0.61", ["gsm8k", "mmlu"]),
        ("[gsm8k] Score: 0.445", "[mmlu] Score: 0.61", ["gsm8k", "mmlu"]),
        ("INFO gsm8k/accuracy: 0.445", "INFO mmlu/accuracy: 0.61", ["gsm8k", "mmlu"]),
        ("{'task': 'gsm8k', 'score': 0.445}", "{'task': 'mmlu', 'score': 0.61}", ["gsm8k", "mmlu"]),
        ("gsm8k: score=0.445", "mmlu: score=0.61", ["gsm8k", "mmlu"]),
        (
            "[TRT-LLM] [I] GSM8K average accuracy: 44.5%",
            "[TRT-LLM] [I] MMLU weighted average accuracy: 61%",
            ["GSM8K", "MMLU"],
        ),
        ("Score: 0.445", "mmlu score: 0.61", ["scores", "mmlu"]),
    ],
)
def test_scores_of_several_tasks_in_one_log_are_not_taken_together(
    tmp_path: Path, first: str, second: str, tasks: list[str]
) -> None:
    told: list[str] = []
    (tmp_path / "log").write_text(f"{first}\n{second}\n{first}\n")
    found = read(tmp_path / "log", questions=200, note=told.append)
    assert [(one.variant, one.values) for one in found] == [(tasks[0], (0.445, 0.445)), (tasks[1], (0.61,))]
    assert ["--pattern" in line for line in told] == [True]


def test_two_tasks_with_one_score_are_two_scores(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("gsm8k accuracy: 0.44\nmmlu accuracy: 0.44\n")
    assert [one.values for one in read(tmp_path / "log", questions=200)] == [(0.44,), (0.44,)]


def test_words_that_name_no_task_set_no_scores_apart(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        "INFO Score: 0.44\nfinal score: 0.45\n2026-01-01T01:00:00Z overall accuracy: 0.46\n"
    )
    assert [(one.variant, one.values) for one in read(tmp_path / "log", questions=200)] == [
        ("scores", (0.44, 0.45, 0.46))
    ]


def test_what_a_log_writes_again_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    file = tmp_path / "log"
    file.write_text("Reference accuracy: 0.45\nScore: 0.44\n{'score': 0.44}\n")
    read(file, questions=200, note=told.append)
    assert [("Reference accuracy:" in line, "`score':`" in line) for line in told] == [(True, False), (False, True)]


def test_the_days_of_a_job_s_log_stand_behind_its_name_and_step(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        "eval\tRun tests\t2026-01-01T01:00:01.1234567Z Score: 0.445\n"
        "eval\tRun tests\t2026-01-02T01:00:01.1234567Z Score: 0.44\n"
    )
    [found] = whole(tmp_path / "log", questions=200).listed
    assert [night and night.isoformat() for night in found.nights] == ["2026-01-01", "2026-01-02"]


def test_yaml_of_reference_scores_is_no_log_of_runs(tmp_path: Path) -> None:
    (tmp_path / "gsm8k.yaml").write_text("a/model:\n  - accuracy: 74.2\n  - quant_algo: FP8\n    accuracy: 74.3\n")
    with pytest.raises(BadInput, match=r"gsm8k\.yaml: of YAML"):
        read(tmp_path / "gsm8k.yaml", questions=1319, percent=True)


@pytest.mark.parametrize(
    ("name", "written", "day"),
    [
        # 1767225600 is the beginning of the year 2026, in UTC.
        ("timestamp", "1767225600", "2026-01-01"),
        ("timestamp", "1767225600500", "2026-01-01"),
        # Its first eight digits could be a day of the year 1711: `date -u -d @1711111111`.
        ("timestamp", "1711111111120", "2024-03-22"),
        ("date", "20260301", "2026-03-01"),
        ("time", "2026-01-01T23:30:00-08:00", "2026-01-02"),
        ("time", "31.2", None),
    ],
)
def test_a_day_is_read_as_programs_write_it(tmp_path: Path, name: str, written: str, day: str | None) -> None:
    (tmp_path / "s.csv").write_text(f"{name},score\n{written},0.44\n")
    [found] = whole(tmp_path / "s.csv", questions=200).listed
    assert [night and night.isoformat() for night in found.nights] == [day]


def test_variants_may_have_records(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"baseline": [{"score": 0.445}, {"score": 0.44}], "mtp": [{"score": 0.43}]}')
    assert [(one.variant, one.values) for one in read(tmp_path / "s.json", questions=200)] == [
        ("baseline", (0.445, 0.44)),
        ("mtp", (0.43,)),
    ]


def test_a_failure_after_which_a_test_ran_again_is_a_failed_run(tmp_path: Path) -> None:
    (tmp_path / "j.xml").write_text(
        "<testsuite><testcase name='g'><flakyFailure message='low'/><flakyFailure message='low'/></testcase>"
        "<testcase name='g'><failure/><rerunFailure/></testcase></testsuite>"
    )
    [passes] = whole(tmp_path / "j.xml").passes
    assert (passes.passed, passes.failed) == (1, 4)


def test_a_table_that_lighteval_printed_is_read_by_task(tmp_path: Path) -> None:
    (tmp_path / "table.md").write_text(
        "|      Task       |Version|     Metric     |Value |   |Stderr|\n"
        "|-----------------|------:|----------------|-----:|---|-----:|\n"
        "|all              |       |extractive_match|0.6000|±  |0.2449|\n"
        "|lighteval:gsm8k:5|      0|extractive_match|0.7000|±  |0.2449|\n"
    )
    assert [(one.variant, one.values) for one in read(tmp_path / "table.md", questions=10)] == [
        ("all/extractive_match", (0.6,)),
        ("lighteval:gsm8k:5/extractive_match", (0.7,)),
    ]


def test_a_column_that_sets_scores_apart_and_is_not_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("task,latency,score\ngsm8k,3,0.44\ngsm8k,3,0.45\nmmlu,4,0.6\n")
    told: list[str] = []
    read(tmp_path / "s.csv", questions=200, note=told.append)
    assert ["task has 2 values" in line for line in told if "taken together" in line] == [True]


def test_a_second_column_of_scores_is_told(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("score,accuracy\n0.44,0.9\n")
    told: list[str] = []
    assert read(tmp_path / "s.csv", questions=200, note=told.append)[0].values == (0.44,)
    assert "left out: accuracy" in told[0]


@pytest.mark.parametrize(
    "text",
    [
        "variant,mean,std,N\nbaseline,0.445,0.012,20\nmtp,0.439,0.015,20\n",
        "Numbers:\n\n| variant | mean | std | N |\n|---|---|---|--:|\n| baseline | 44.5% | 0.012 | 20 |\n"
        "| mtp | 0.439 | 0.015 | 20 |\n",
        "variant,accuracy,N\nbaseline,0.445 ± 0.012,20\nmtp,0.439 +/- 0.015,20\n",
        '[{"variant": "baseline", "mean": 0.445, "std": 0.012, "N": 20},'
        ' {"variant": "mtp", "mean": 0.439, "std": 0.015, "N": 20}]',
    ],
)
def test_mean_std_and_number_are_read_of_tables_too(tmp_path: Path, text: str) -> None:
    (tmp_path / "m").write_text(text)
    found = whole(tmp_path / "m", questions=200)
    assert [(one.variant, one.mean, one.std, one.runs, one.questions) for one in found.moments] == [
        ("baseline", 0.445, 0.012, 20, 200),
        ("mtp", 0.439, 0.015, 20, 200),
    ]
    assert found.listed == ()


def test_a_second_mean_of_one_variant_asks_what_both_are_of(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("model,mean,std,n\na,0.44,0.01,5\nb,0.4,0.01,5\n")
    with pytest.raises(BadInput, match=r"s\.csv:3: .*`variant`"):
        whole(tmp_path / "s.csv", questions=200)
    (tmp_path / "s.csv").write_text("variant,mean,std,n\na,0.44,0.01,5\nb,0.4,0.01,5\n")
    assert [one.variant for one in whole(tmp_path / "s.csv", questions=200).moments] == ["a", "b"]


def test_a_file_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text("[0.44, 0.445]")
    with pytest.raises(BadInput, match="given twice"):
        score_files.read([str(file), f"{tmp_path}/./s.json"], Reading(questions=200))


def test_counts_of_questions_may_be_written_in_groups_of_three_digits(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text('score,questions\n0.445,"1,319"\n')
    assert read(tmp_path / "s.csv")[0].questions == 1319
    (tmp_path / "s.csv").write_text('score,questions\n0.445,"1,31"\n')
    with pytest.raises(BadInput, match="is not a whole number"):
        read(tmp_path / "s.csv")


def test_the_table_of_groups_that_follows_repeats_that_of_tasks(tmp_path: Path) -> None:
    (tmp_path / "table.md").write_text(
        "|     Tasks     |Version|Filter|n-shot|   Metric    |   |Value|   |Stderr|\n"
        "|---------------|------:|------|-----:|-------------|---|----:|---|-----:|\n"
        "|mmlu           |      2|none  |      |acc          |↑  |0.600|±  |0.0040|\n"
        "| - humanities  |      2|none  |      |acc          |↑  |0.550|±  |0.0070|\n"
        "|wikitext       |      2|none  |     0|bits_per_byte|↓  |0.680|±  |   N/A|\n"
        "\n"
        "|    Groups     |Version|Filter|n-shot|   Metric    |   |Value|   |Stderr|\n"
        "|---------------|------:|------|------|-------------|---|----:|---|-----:|\n"
        "|mmlu           |      2|none  |      |acc          |↑  |0.600|±  |0.0040|\n"
    )
    told: list[str] = []
    assert [
        (one.variant, one.values) for one in read(tmp_path / "table.md", questions=14042, note=told.append)
    ] == [
        ("mmlu/acc", (0.6,)),
        ("humanities/acc", (0.55,)),
    ]
    assert "wikitext/bits_per_byte" in told[0]


def test_a_group_of_lm_eval_is_over_the_questions_of_its_tasks(tmp_path: Path) -> None:
    # 100 of abstract_algebra and 126 of formal_logic are 226; of `other` no number is known.
    results = {
        "results": {
            "mmlu": {"acc,none": 0.5, "acc_stderr,none": 0.01},
            "mmlu_stem": {"acc,none": 0.4, "acc_stderr,none": 0.01},
            "other": {"acc,none": 0.3, "acc_stderr,none": 0.01},
            "loop": {"acc,none": 0.3, "acc_stderr,none": 0.01},
            "wikitext": {"bits_per_byte,none": 0.68, "bits_per_byte_stderr,none": "N/A"},
        },
        "group_subtasks": {"mmlu": ["mmlu_stem", "mmlu_formal_logic"], "mmlu_stem": ["algebra"], "loop": ["loop"]},
        "n-samples": {
            "algebra": {"original": 100, "effective": 100},
            "mmlu_formal_logic": {"original": 126, "effective": 126},
            "wikitext": {"original": 62, "effective": 62},
        },
        "higher_is_better": {"wikitext": {"bits_per_byte": False}},
    }
    (tmp_path / "r.json").write_text(json.dumps(results))
    told: list[str] = []
    assert [(one.variant, one.values, one.questions) for one in read(tmp_path / "r.json", note=told.append)] == [
        ("mmlu/acc", (0.5,), 226),
        ("mmlu_stem/acc", (0.4,), 100),
    ]
    assert [line.partition(".json: ")[2].partition(":")[0] for line in told] == ["other", "loop", "wikitext"]


def test_metrics_beside_their_errors_are_read_of_what_writes_no_filter(tmp_path: Path) -> None:
    metrics = {"extractive_match": 0.6, "extractive_match_stderr": 0.02, "seconds": 0.5}
    (tmp_path / "r.json").write_text(json.dumps({"results": {"lighteval|gsm8k|5": metrics}}))
    assert [(one.variant, one.values) for one in read(tmp_path / "r.json", questions=1319)] == [
        ("lighteval|gsm8k|5/extractive_match", (0.6,))
    ]


def test_the_metrics_of_sgl_eval_are_one_run(tmp_path: Path) -> None:
    written = {"name": "aime26", "num_examples": 30, "n_repeats": 1, "aggregate": {"score": 0.9, "error_rate": 0.0}}
    (tmp_path / "metrics.json").write_text(json.dumps(written))
    assert read(tmp_path / "metrics.json") == [Scores(variant="aime26", values=(0.9,), questions=30)]


@pytest.mark.parametrize(
    "text",
    [
        "Repeat: 3, mean: 0.438\nScores: ['0.445', '0.430', '0.440']\n",
        "{'score:std': 0.01, 'scores': ['0.445', '0.430', '0.440']}\n",
        "scores = [0.445, 43%, 0.44]\n",
        "Scores: ['0.445', '0.430', '0.440']\n{'scores': ['0.445', '0.430', '0.440']}\n",
        "Score: 0.445\nScore: 0.43\nScore: 0.44\nScores: ['0.445', '0.430', '0.440']\nMean score: 0.438\n",
    ],
)
def test_the_scores_that_a_log_lists_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "log").write_text(text)
    assert [one.values for one in read(tmp_path / "log", questions=200)] == [(0.445, 0.43, 0.44)]


@pytest.mark.parametrize(
    "text",
    [
        "correct,total\n89,200\n86,200\n",
        "variant;num_correct;questions\nscores;89;200\nscores;86;200\n",
        '[{"correct": 89, "total": 200}, {"correct": 86, "total": 200}]',
    ],
)
def test_right_answers_and_their_total_are_a_score(tmp_path: Path, text: str) -> None:
    (tmp_path / "counts").write_text(text)
    assert [(one.values, one.questions) for one in read(tmp_path / "counts")] == [((0.445, 0.43), 200)]


def test_a_table_may_have_verdicts_alone(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("variant,passed,failed\nmtp,18,2\nbaseline,20,0\nmtp,9,1\n")
    assert [(one.variant, one.passed, one.failed) for one in whole(tmp_path / "v.csv").passes] == [
        ("mtp", 27, 3),
        ("baseline", 20, 0),
    ]


@pytest.mark.parametrize("names", ["mean,stddev,count", "average,std_dev,runs", "avg,stdev,n"])
def test_mean_and_standard_deviation_have_other_names_too(tmp_path: Path, names: str) -> None:
    (tmp_path / "m.csv").write_text(f"{names}\n0.445,0.012,20\n")
    [one] = whole(tmp_path / "m.csv", questions=200).moments
    assert (one.mean, one.std, one.runs) == (0.445, 0.012, 20)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_text_in_utf_16_is_called_so(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "s.csv").write_bytes("score\n0.445\n0.43\n".encode(encoding))
    with pytest.raises(BadInput, match="UTF-16"):
        read(tmp_path / "s.csv", questions=200)


BOTH = [("baseline", (0.44, 0.45)), ("topk1", (0.43, 0.42))]


@pytest.mark.parametrize(
    "text",
    [
        "baseline,topk1\n0.44,0.43\n0.45,0.42\n",
        "baseline\ttopk1\n0.44\t0.43\n0.45\t0.42\n",
        "run;baseline;topk1\n1;0,44;0,43\n2;0,45;0,42\n",
        ",baseline,topk1\n0,44%,86/200\n1,45%,84/200\n",
        "seed,baseline,topk1,questions\n1,0.44,0.43,200\n2,0.45,0.42,200\nmean,0.445,0.425,200\n",
        "variant,run 1,run 2\nbaseline,0.44,0.45\ntopk1,0.43,0.42\n",
        "model,1,2,mean\nbaseline,0.44,0.45,0.445\ntopk1,0.43,0.42,0.425\n",
    ],
)
def test_a_table_may_have_a_column_or_a_row_for_each_variant(tmp_path: Path, text: str) -> None:
    (tmp_path / "wide").write_text(text)
    found = read(tmp_path / "wide", questions=200)
    assert [(one.variant, one.values, one.questions) for one in found] == [(*one, 200) for one in BOTH]


def test_variants_in_columns_may_have_other_numbers_of_runs_and_dates(tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text("date,baseline,topk1\n2026-01-01,0.44,0.43\n2026-01-02,0.45,\n")
    found = whole(tmp_path / "wide.csv", questions=200).listed
    assert [one.scores.values for one in found] == [(0.44, 0.45), (0.43,)]
    assert [str(night) for night in found[0].nights] == ["2026-01-01", "2026-01-02"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run,notes,baseline\n1,warm,0.44\n", "wide:2: notes: `warm` is not a score"),
        # Tasks in columns are no runs of a model.
        ("model,gsm8k,mmlu\na,0.44,0.31\n", "wide:2: model: `a` is not a score"),
        ("baseline,baseline\n0.44,0.43\n", "name each once"),
        ("run,baseline,latency\n1,0.44,31.5\n", "wide:2: 31.5"),
    ],
)
def test_a_wide_table_that_holds_something_else_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "wide").write_text(text)
    with pytest.raises(BadInput, match=message):
        read(tmp_path / "wide", questions=200)
