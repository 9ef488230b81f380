"""Score lists as somebody has them from CI logs, and `sweep stats` on them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sweep.commands.stats import command
from sweep.errors import BadInput
from sweep.stats.score_files import read
from sweep.stats.scores import Scores, off_grid

NO_SHARE = (
    "is no share of right answers, which is between 0 and 1: divide a percentage by 100, or a number of right "
    "answers by the number of questions; an accept length or a speed is no score"
)
NOISY = [0.385, 0.37, 0.36, 0.395, 0.41, 0.335, 0.435, 0.38, 0.375, 0.39]


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
        ("", "FILE: empty; give a JSON list of scores, or a CSV with a `score` column"),
        ("[]", "FILE: no scores in it"),
        ("score\n", "FILE: no scores in it"),
        ("[0.4,\n 0.41,,]", "FILE:2: broken JSON: Expecting value (column 7)"),
        ('{"a": 1}', "FILE: a JSON object; give a list of scores such as [0.385, 0.37]"),
        ('[0.4, "0.41"]', 'FILE: score 2 is "0.41", not a number'),
        ("[0.4, null]", "FILE: score 2 is null, not a number"),
        ("[0.4, true]", "FILE: score 2 is true, not a number"),
        (
            f"[0.4, 1{'0' * 400}]",
            "FILE: score 2: inf is not a number between 0 and 1; leave out the runs that gave no score",
        ),
        ("score,score\n0.4,0.5\n", "FILE:1: the columns are score, score; name each once"),
        (
            "[0.4, NaN]",
            "FILE: score 2: nan is not a number between 0 and 1; leave out the runs that gave no score",
        ),
        ("[0.4, 38.5]", f"FILE: score 2: 38.5 {NO_SHARE}"),
        ("[-0.1]", "FILE: score 1: -0.1 is below 0; a score is the share of right answers, 0 to 1"),
        ("score\n0.4\n41\n", f"FILE:3: 41 {NO_SHARE}"),
        ("[89]", f"FILE: score 1: 89 {NO_SHARE}"),
        (
            "[3.49, 5.61]",
            f"FILE: score 1: 3.49 {NO_SHARE}. Every number here is between 1 and 20, as accept lengths are",
        ),
        (
            "score,accept length\n0.4,3.49\n",
            "FILE:1: the columns are score, accept length; take out accept length, or rename it: score, variant, "
            "questions are read",
        ),
        ("score\n0.4\nabc\n", "FILE:3: score: `abc` is not a number"),
        ("score,variant\n0.4\n", "FILE:2: not as many cells as the first line has columns"),
        ('score\n"0.4\n', "FILE:2: broken CSV: unexpected end of data"),
        ("score,questions\n0.4,200.5\n", "FILE:2: questions: `200.5` is not a whole number"),
        (
            "0.4\n0.41\n",
            "FILE:1: the columns are 0.4; a first line must name them: score, and if wanted variant and questions",
        ),
        (
            "score,questions\n0.4,200\n0.41,1314\n",
            "FILE:3: 1314 questions, against 200 before it or in --questions; scores over other questions "
            "have another mean and noise: give each count a file of its own",
        ),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    assert refused(tmp_path, text) == message


@pytest.mark.parametrize("text", ["[" * 100_000, f"[1{'0' * 5000}]"])
def test_json_that_python_cannot_hold_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).startswith("FILE: ")


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
    assert list(outcome) == ["variants"]
    assert outcome["variants"]["b"]["mean"] == pytest.approx(0.505)


@pytest.mark.parametrize(
    ("values", "statement"),
    [
        ([0.47], "Run at least 2"),
        ([0.47] * 20, "14.6 %"),
        ([0.0] * 5, "Every score is 0"),
        ([0.1, 0.9, 0.1, 0.9], "the scores vary more than 200 independent questions can"),
        ([0.378, 0.38], "1 of 2 scores, the first 0.378, are no multiple of 1/200"),
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
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
    for rule in ("margin", "tolerance", "false_alarm", "min_observed"):
        assert f"\n{rule} " in result.stdout
    assert "all 3 attempts" in result.stdout
    assert "…" not in result.stdout
    cut = run("-", "--questions", "200", given="[0.385, 0.37, 0.36, 0.395, 0.41, 0.335]")
    assert "…" not in cut.stdout


def test_a_rule_without_a_threshold_says_why() -> None:
    # Mean .3775, s .0107: k for two runs is 37.09, so the tolerance bound lies at -.019.
    result = run("-", "--questions", "200", given="[0.3851, 0.37]")
    assert re.search(r"tolerance\. The rule gives -0\.019", " ".join(result.stdout.split()))
