"""What a report says of a run, as a maintainer reads it."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sweep.errors import BadInput
from sweep.gate.threshold import Reason
from sweep.report.blocks import as_markdown
from sweep.report.conclude import conclude
from sweep.report.export import Exported, ExportUnavailable
from sweep.report.sections import blocks, closing, markdown
from sweep.report.settled import SCHEMA
from sweep.report.summary import Summary, read_summary
from sweep.report.terminal import show
from sweep.report.wording import places
from sweep.run.folder import Run
from sweep.run.launch import Finished
from sweep.stats.noise import Fitted, Noise, detectable_drop, failing
from sweep.stats.scores import Scores
from tests.processes import sweep
from tests.runs import Wrong, finished, samples_of

SCORES = {1: 6, 2: 8, 3: 10}
"""Repetition to questions wrong, of 40: scores .85, .80, .75, of mean .80 and std .05."""
MIN = "threshold={rule: min_observed}"


def wrong(variant: str, repetition: int) -> list[str]:
    return [f"test-{n}" for n in range(2, 2 + SCORES[repetition])]


def concluded(folder: Path, wrong: Mapping[str, int] | Wrong, *overrides: str) -> Summary:
    """The summary of a finished run, as its file has it."""
    return read_summary(finished(folder, wrong, *overrides))


def drawn(summary: Summary, width: int) -> str:
    """The report as a terminal of so many columns shows it."""
    out = io.StringIO()
    show(blocks(summary), Console(file=out, width=width, force_terminal=True, color_system=None))
    return out.getvalue()


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """SCORES in both variants; nothing is written to it."""
    return finished(tmp_path_factory.mktemp("noisy"), wrong)


def fitted_noise() -> Noise:
    """Of SCORES: mean .8, std .05."""
    noise = Fitted.to(Scores(variant="baseline", values=(0.75, 0.8, 0.85), questions=40)).noise
    assert noise is not None
    return noise


def test_the_table_of_rules_has_the_sweeps_own_rule_as_it_is_and_thresholds_for_its_retries(noisy: Run) -> None:
    summary = read_summary(noisy)  # margin .05, one attempt
    margin = summary.rules["margin"].variants["baseline"]
    assert margin.value == pytest.approx(0.75)
    noise = fitted_noise()
    assert margin.single.false_alarm is not None
    assert margin.single.false_alarm == pytest.approx(failing(0.75, noise, 1)[1])
    # The threshold stays the one for a single attempt; what a second one would do to it stands beside it.
    assert margin.false_alarm == pytest.approx(failing(0.75, noise, 2)[1])
    alarm = summary.rules["false_alarm"].variants["baseline"]
    assert alarm.single.false_alarm is not None
    assert alarm.single.false_alarm <= 0.01 < 10 * alarm.single.false_alarm


def test_what_holds_for_several_variants_is_said_once(tmp_path: Path) -> None:
    text = markdown(concluded(tmp_path, {"baseline": 4, "mtp": 4}))
    assert text.count("All 3 repetitions") == text.count("\nbaseline, mtp: All 3 repetitions") == 1


def test_the_table_of_rules_explains_only_what_it_has(noisy: Run, tmp_path: Path) -> None:
    about = "has identical repetitions, this bound"
    assert about in markdown(concluded(tmp_path, {"baseline": 4, "mtp": 4}))
    assert about not in markdown(read_summary(noisy))


def test_a_threshold_that_audits_speak_against_is_marked_where_it_stands(tmp_path: Path) -> None:
    summary = concluded(tmp_path, {"baseline": 4, "mtp": 16})
    # 24 of 40 right, less .05.
    assert summary.threshold.value == pytest.approx(0.55)
    assert summary.no_contract is not None
    line = next(line for line in markdown(summary).splitlines() if "**0.550**" in line)
    assert "No gate should use it yet" in line
    assert "lossless of mtp" in summary.no_contract


def test_a_rule_without_a_threshold_says_why_in_the_summary(tmp_path: Path) -> None:
    summary = concluded(tmp_path, {"baseline": 4, "mtp": 4})
    tolerance = summary.rules["tolerance"]
    assert tolerance.value is None
    assert {outcome.reason for outcome in tolerance.variants.values()} == {Reason.IDENTICAL_REPETITIONS}


def cells(text: str, first: str, after: str = "") -> list[str]:
    """The cells of the first table row that begins with `first`, after the text `after`."""
    row = next(line for line in text[text.index(after) :].splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in row.strip("| ").split(" | ")]


def test_the_sweeps_threshold_is_stated_for_every_variant_and_for_the_attempts_of_its_ci(tmp_path: Path) -> None:
    def mixed(variant: str, repetition: int) -> list[str]:
        return wrong(variant, repetition) if variant == "baseline" else wrong(variant, 2)[:2]

    rule = "threshold={rule: margin, margin: 0.05, retries: 3}"
    text = markdown(concluded(tmp_path, mixed, rule, "audits.accept_failures=known"))
    # Means .80, of std .05, and .95; the least less .05 is .75, of which mtp is .20 away.
    at = "What the sweep's threshold of 0.750"
    assert "up to 3 times" in text
    noise = fitted_noise()
    one, three = (f"{100 * failing(0.75, noise, attempts)[1]:.3g} % (" for attempts in (1, 3))
    result = cells(text, "baseline", at)
    assert result[1] == "0.050"
    assert result[2].startswith(one)
    assert result[3].startswith(three[:3])
    drops = [[detectable_drop(0.75, noise, attempts, power) for power in (0.8, 0.95)] for attempts in (1, 3)]
    assert result[4:] == [" / ".join(f"{drop:.3f}" for drop in pair) for pair in drops]
    # Three identical repetitions: the next differs with at most 1 - .05^(1/2) = 77.6 %, and retries change nothing.
    assert cells(text, "mtp", at)[1:] == ["0.200", "at most 77.6 %", "at most 77.6 %", "-", "-"]
    assert re.search(r"mtp is 0\.950\D*0\.200 above", text)
    assert "`sweep gate --variant mtp`" in text


def test_the_report_tells_spreads_questions_and_accept_lengths_apart(noisy: Run) -> None:
    text = markdown(read_summary(noisy))
    # 6, 8 and 10 of 40 wrong: 30 always right, 6 always wrong, two right twice and two right once of three times.
    assert cells(text, "baseline", "| variant | always right |")[1:4] == ["30", "6", "4"]
    # Around the mean .8 these have squares of 1.2, 3.84, 2 x .0178 and 2 x .2178, in all 5.511, and
    # sqrt(5.511 / (40 x 39)) is .0594; all questions are one template, which has no SE. Pairs of runs differ in 2,
    # 2 and 4 of 40 questions: 8 / 120 = 6.7 %. And 2 n s^2 = 2 x 40 x .05^2 = 20 %. Runs' share of the variance:
    # .0025 / (.0025 + 5.511 / 39 / 40 - .0667 / 80 / 3) = 43.4 %.
    assert cells(text, "baseline", "| variant | std |")[1:] == [
        "0.0500",
        "0.0594",
        "-",
        "43.4 %",
        "6.7 %",
        "20.0 %",
    ]


def test_the_report_tells_the_accept_lengths_of_the_repetitions_and_of_all_of_them(tmp_path: Path) -> None:
    run = finished(tmp_path, wrong)
    # Tokens by verification steps: 8, 12 and 10 by 4 in the three repetitions. Mean 2.5, std 0.5.
    for unit in (unit for unit in run.plan.units if unit.variant == "mtp"):
        tokens = {1: 8, 2: 12, 3: 10}[unit.repetition]
        run.save(unit, [replace(sample, completion_tokens=tokens) for sample in samples_of(run, unit)])
    text = markdown(conclude(run))
    assert "| mtp | 2.500 ± 0.500 (2.000–3.000) | 2.500 |" in text
    assert "| baseline |" not in text[text.index("| mtp | 2.500 ±") :].split("##")[0]


def test_above_temperature_0_the_report_has_avg_at_n_and_pass_at_k_and_at_0_it_has_none(
    noisy: Run, tmp_path: Path
) -> None:
    summary = concluded(tmp_path, wrong, "protocol.temperature=0.7")
    # Of 40 questions 30 are right in all 3 samples, 2 in two, 2 in one: pass@2 is 1, 1 and 1 - C(2,2)/C(3,2) = 2/3.
    expected = {1: 0.8, 2: (30 + 2 + 2 * 2 / 3) / 40, 3: 34 / 40}
    assert {p.k: p.value for p in summary.variants["mtp"].pass_at} == pytest.approx(expected)
    row = cells(markdown(summary), "mtp", "| variant | n | `avg@n` | `pass@2` | `pass@3` |")
    assert [cell.split()[0] for cell in row] == ["mtp", "3", "0.800", "0.833", "0.850"]
    assert read_summary(noisy).variants["mtp"].pass_at == ()
    assert "pass@" not in markdown(read_summary(noisy))


def test_the_reason_for_a_missing_threshold_is_the_one_that_there_was(tmp_path: Path) -> None:
    def few_right(variant: str, repetition: int) -> list[str]:
        return [f"test-{n}" for n in range(2, 36 + repetition)]

    summary = concluded(tmp_path, few_right, MIN)
    text = markdown(summary)
    # 5, 4 and 3 of 40 right: mean .1, std .025; the tolerance bound of three runs lies 10.553 std under the
    # mean, at -.1638; or -7 of 40 questions.
    assert summary.rules["tolerance"].variants["mtp"].reason is Reason.BOUND_NOT_POSITIVE
    assert re.search(r"by `tolerance` for baseline, mtp\b[^`]* -0\.175", text)


def test_why_there_is_no_threshold_is_said_once(tmp_path: Path) -> None:
    text = markdown(concluded(tmp_path, {"baseline": 4, "mtp": 4}, "threshold={rule: tolerance}"))
    assert text.count("All 3 repetitions") == text.count("no contract. baseline, mtp: All 3 repetitions") == 1
    assert "by `tolerance`, `false_alarm` for baseline, mtp: " in text


def test_variants_without_a_threshold_for_reasons_of_their_own_are_listed(tmp_path: Path) -> None:
    def some(variant: str, repetition: int) -> list[str]:
        return [f"test-{n}" for n in range(2, 36 + (repetition if variant == "mtp" else 0))]

    text = markdown(concluded(tmp_path, some, "threshold={rule: tolerance}", "audits.accept_failures=so"))
    # Right are 6 of 40 each time, and 5, 4 and 3.
    assert "no contract.\n\n- baseline: All 3 repetitions" in text
    assert "\n\n- mtp: The rule gives -" in text


def test_a_sweep_that_answers_nothing_right_is_told_so_and_not_of_bounds(tmp_path: Path) -> None:
    summary = concluded(tmp_path, {"baseline": 40, "mtp": 40})
    assert summary.threshold.silent == dict.fromkeys(("baseline", "mtp"), Reason.EVERY_SCORE_IS_ZERO)
    text = markdown(summary)
    assert text.count("Every score is 0") == 1
    assert "The rule gives" not in text


@pytest.mark.parametrize(("load_format", "said"), [("dummy", True), ("auto", False)])
def test_a_model_without_its_weights_is_said_to_mean_nothing(tmp_path: Path, load_format: str, said: bool) -> None:
    sglang = ("engine.backend=sglang", "engine.model=some/model", "grid={}", "variants={plain: {}}")
    summary = concluded(tmp_path, {"plain": 1}, *sglang, f"engine.arguments={{load_format: {load_format}}}")
    assert summary.real_model is not said
    for text in (markdown(summary), as_markdown(closing(summary, ()))):
        assert ("**Random weights**" in text) is said
        assert "**Simulated**" not in text


def test_the_threshold_is_never_shown_above_itself(tmp_path: Path) -> None:
    text = markdown(concluded(tmp_path, {"baseline": 18, "mtp": 18}, "protocol.questions=36", MIN))
    assert "**0.500**, by the rule" in text
    other = markdown(concluded(tmp_path / "b", {"baseline": 13, "mtp": 13}, "protocol.questions=36", MIN))
    # 23 of 36 is .63888...: .639 and .6389 would fail it.
    assert "**0.6388**, by the rule" in other
    assert "| min_observed | baseline | 0.6388 |" in other


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_nothing_is_wider_than_it_and_no_number_is_torn(noisy: Run, width: int) -> None:
    summary = read_summary(noisy)
    text = drawn(summary, width)
    lines = text.splitlines()
    # A word that is longer, as the path of the data may be, has a line of its own.
    assert all(len(line) <= width or " " not in line.strip() for line in lines)
    shown = re.findall(r"[\d.]+(?: %)?", " ".join(" ".join(lines).split()))
    for row in (line for line in markdown(summary).splitlines() if line.startswith("| ") and "---" not in line):
        for value in re.findall(r"\d[\d.]*\d(?: %)?", row):
            assert value in shown
    assert "**" not in text
    assert "| " not in text


def test_a_table_too_wide_for_its_longest_words_is_told_a_row_at_a_time(tmp_path: Path) -> None:
    name = "a-name-that-leaves-no-room-for-anything-else-beside-it-on-the-line"
    text = drawn(concluded(tmp_path, lambda variant, repetition: (), f"variants={{{name}: {{}}}}"), 80)
    assert f"{name}\n  N: 3/3\n  accuracy, mean ± std (min–max): 1.000 ± 0.000 (1.000–1.000)\n" in text


def test_the_report_is_markdown_in_a_pipe_and_a_drawing_on_a_terminal(tmp_path: Path) -> None:
    run = finished(tmp_path, wrong)
    piped = sweep("report", run.folder)
    assert piped.stdout == (run.folder / "report.md").read_text(encoding="utf-8")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sweep.cli", "report", str(run.folder)]
    subprocess.run(command, stdout=theirs, env={**os.environ, "COLUMNS": "80", "TERM": "xterm"}, timeout=120)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # how Linux tells that the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert "───" in shown.decode()
    assert "| ---" not in shown.decode()


def test_a_pull_requests_body_as_json_is_refused(tmp_path: Path) -> None:
    done = sweep("report", tmp_path, "--format", "pr", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert {"--format", "--json"} <= set(done.stderr.split())


def test_a_launch_ends_with_whole_lines_to_copy_and_then_with_what_went_wrong(noisy: Run) -> None:
    link = "http://elsewhere/" + "x" * 200
    away = ExportUnavailable("the other one is away")
    exported = (away, Exported(added=36, lines=("Look at it:", link)))
    ending = places(Finished(run=noisy, against=None, dashboard="http://ray:8265"), True, exported)
    out = io.StringIO()
    show(closing(read_summary(noisy), ending), Console(file=out, width=80, force_terminal=True, color_system=None))
    lines = out.getvalue().splitlines()
    assert lines[-4:] == ["Look at it:", link, "", "the other one is away"]
    assert any("http://ray:8265" in line for line in lines)
    assert any(line.endswith(f"  sweep show {noisy.folder}") for line in lines)
    assert any(line.endswith(f"  sweep gate {noisy.folder}/thresholds.json --run RUN") for line in lines)
    assert max(len(line) for line in lines if line != link and str(noisy.folder) not in line) <= 80


def test_a_sentence_of_an_interrupted_launch_is_broken_between_words(noisy: Run) -> None:
    ending = places(Finished(run=noisy, against=None, interrupted=True), False, ())
    out = io.StringIO()
    show(ending, Console(file=out, width=40, force_terminal=True, color_system=None))
    sentence = out.getvalue().splitlines()[-3:]
    assert max(map(len, sentence)) <= 40
    assert "thresholds.json" not in out.getvalue()


def named(folder: Path, name: str) -> Run:
    return finished(folder, {"baseline": 4, "mtp": 4}, f"name={name}")


@pytest.mark.parametrize("broken", ["{", "[]", "5", '{"schema": 1}', '{"schema": 2, "audits": [1]}'])
def test_a_run_that_cannot_be_read_hides_no_other_from_the_list(tmp_path: Path, broken: str) -> None:
    good, bad = named(tmp_path, "good"), named(tmp_path, "bad")
    (bad.folder / "summary.json").write_text(broken)
    done = sweep("list", "--runs", tmp_path / "runs")
    assert done.returncode == 0
    # 36 of 40 less .05; six units, all measured.
    assert re.search(rf"{good.plan.sweep_id} +finished +[\d-]+ [\d:]+ +6/6 +0\.900 +yes, 0\.850", done.stdout)
    assert f"{bad.plan.sweep_id}: {bad.folder}" in done.stdout
    listed = json.loads(sweep("list", "--runs", tmp_path / "runs", "--json").stdout)
    faults = [row["fault"] for row in listed if "fault" in row]
    assert len(faults) == 1
    assert str(bad.folder) in faults[0]


def test_a_summary_comes_back_as_it_was_written(noisy: Run) -> None:
    written = json.loads((noisy.folder / "summary.json").read_text(encoding="utf-8"))
    assert read_summary(noisy).to_json() == written
    baseline = written["variants"]["baseline"]
    assert (written["schema"], written["sweep_id"]) == (SCHEMA, noisy.plan.sweep_id)
    assert baseline["accuracy"]["per_repetition"] == [0.85, 0.8, 0.75]
    assert [baseline["accuracy"][key] for key in ("mean", "std", "min", "max")] == pytest.approx(
        [0.8, 0.05, 0.75, 0.85]
    )
    assert [baseline["repetitions"][key] for key in ("planned", "measured", "void")] == [3, 3, 0]
    # The least mean .80 less .05.
    assert (written["threshold"]["rule"], written["threshold"]["value"]) == ("margin", pytest.approx(0.75))


def test_a_summary_of_another_schema_is_refused_in_one_line_and_written_again(tmp_path: Path) -> None:
    before, run = named(tmp_path / "a", "before"), named(tmp_path / "b", "after")
    conclude(run, before)
    document = json.loads((run.folder / "summary.json").read_text(encoding="utf-8"))
    for schema, fact in ((1, f"`sweep report {run.folder}` writes it again"), (3, "a newer sweep")):
        run.write_json("summary.json", document | {"schema": schema})
        with pytest.raises(BadInput) as refused:
            read_summary(run)
        assert fact in refused.value.message
        assert len(refused.value.message.splitlines()) == 1
    # Which earlier run drift is judged against is not forgotten.
    against = conclude(run).against
    assert against is not None
    assert against.sweep_id == before.plan.sweep_id
    assert read_summary(run).against == against


def test_figures_are_drawn_and_linked_only_when_asked_for(tmp_path: Path) -> None:
    run = finished(tmp_path, wrong)
    assert read_summary(run).figures == ()
    assert not (run.folder / "figures").exists()
    summary = conclude(run, figures=True)
    assert "figures/repetitions.png" in summary.figures
    assert all((run.folder / file).read_bytes().startswith(b"\x89PNG") for file in summary.figures)
    assert all(f"({file})" in markdown(summary) for file in summary.figures)


def test_what_to_do_about_a_broken_file_is_what_helps(tmp_path: Path) -> None:
    run = named(tmp_path, "broken")
    (run.folder / "summary.json").write_text("{")
    with pytest.raises(BadInput, match=r"summary\.json: .*`sweep report`"):
        conclude(run)
    run.write_json("summary.json", {"against": 5})
    with pytest.raises(BadInput, match=r"summary\.json: `against` .*`sweep report`"):
        conclude(run)
    (run.folder / "summary.json").unlink()
    conclude(run)  # as the remedy says
    (run.folder / "provenance.json").write_text("{")
    with pytest.raises(BadInput, match=r"provenance\.json: .*a copy"):
        conclude(run)
