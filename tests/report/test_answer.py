"""The answer in one line: worse, cannot tell, better or no difference, with the number that matters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sweep.commands import compare as compare_command
from sweep.commands import report as report_command
from sweep.report.answer import MATTERS, answer, of_comparisons
from sweep.run.folder import Run
from sweep.stats.compare import compare, compare_runs
from sweep.words import Outcome
from tests.runs import finished
from tests.tables import first, table


def words(line: str) -> list[str]:
    """The outcomes that a line names, in its order."""
    return sorted((str(outcome) for outcome in Outcome if outcome in line), key=line.index)


def test_a_shown_loss_comes_first_with_its_size() -> None:
    # Of 200: mtp loses 30 and base is the same.
    a = {"base": table("base", first(180)), "mtp": table("mtp", first(180))}
    b = {"base": table("base", first(180)), "mtp": table("mtp", first(150))}
    compared = of_comparisons(compare_runs(a, b))
    assert {c.variant: c.outcome for c in compared} == {"base": Outcome.SAME, "mtp": Outcome.WORSE}
    line = answer(compared)
    assert line.startswith("worse: mtp by 0.150")
    assert words(line) == ["worse", "no difference shown"]


def test_a_shown_gain_is_better() -> None:
    [compared] = of_comparisons([compare(table("mtp", first(150)), table("mtp", first(180)))])
    assert compared.outcome is Outcome.BETTER
    assert answer([compared]) == "better: mtp by 0.150."


def test_a_comparison_that_would_have_missed_a_loss_that_matters_cannot_tell() -> None:
    # 20 questions: 5 lost of them would not count (2 / 2^5 = .0625), so no loss under .25 can be shown.
    comparison = compare(table("mtp", first(18, 20)), table("mtp", first(18, 20)))
    assert comparison.detectable is None or comparison.detectable > MATTERS
    assert of_comparisons([comparison])[0].outcome is Outcome.CANNOT_TELL
    few = compare(table("mtp", first(2, 3)), table("mtp", first(2, 3)))
    assert few.detectable is None
    assert answer(of_comparisons([few])).startswith("cannot tell: mtp (not even")


def test_two_variants_of_a_run_are_both_named() -> None:
    [compared] = of_comparisons([compare(table("base", first(180)), table("mtp", first(150)))])
    assert compared.variant == "mtp against base"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Of 40 questions the first run has 36 right in both variants; in the second, mtp has 24."""
    folder = tmp_path_factory.mktemp("runs")
    before = finished(folder / "before", {"baseline": 4, "mtp": 4})
    return before, finished(folder / "after", {"baseline": 4, "mtp": 16})


def test_compare_begins_with_the_answer_and_its_json_has_the_same(runs: tuple[Run, Run]) -> None:
    folders = [str(run.folder) for run in runs]
    text = CliRunner().invoke(compare_command.command, folders, catch_exceptions=False).stdout
    assert text.startswith("worse: mtp by 0.300")
    as_json = CliRunner().invoke(compare_command.command, [*folders, "--json"], catch_exceptions=False).stdout
    assert json.loads(as_json)["answer"].startswith("worse: mtp by 0.300")


def test_a_report_against_an_earlier_run_begins_with_the_answer_and_its_json_has_the_same(
    runs: tuple[Run, Run],
) -> None:
    before, after = (str(run.folder) for run in runs)
    asked = [after, "--against", before]
    text = CliRunner().invoke(report_command.command, asked, catch_exceptions=False).stdout
    title, line, *_ = filter(None, text.splitlines())
    assert title.startswith("# ")
    assert "worse: mtp by 0.300" in line
    document = json.loads(
        CliRunner().invoke(report_command.command, [*asked, "--json"], catch_exceptions=False).stdout
    )
    assert document["answer"].startswith("worse: mtp by 0.300")
    assert document["against"]["folder"] == before


def test_a_variant_that_the_earlier_run_lacks_cannot_be_told(tmp_path: Path) -> None:
    before = finished(tmp_path / "before", {"baseline": 4}, "variants={baseline: {}}")
    after = finished(tmp_path / "after", {"baseline": 4, "mtp": 4})
    asked = [str(after.folder), "--against", str(before.folder), "--json"]
    document = json.loads(CliRunner().invoke(report_command.command, asked, catch_exceptions=False).stdout)
    assert "cannot tell: " in document["answer"]
    assert "mtp (there is nothing to compare)" in document["answer"]
