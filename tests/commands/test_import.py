"""`sweep import`, and the commands that read a run folder, on results that somebody else measured."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from scipy import stats

from sweep.errors import BadInput, ExitCode
from sweep.plan.sweepfile import load
from sweep.report.answer import against_earlier
from sweep.report.nights import read_experiment
from sweep.report.summary import read_summary
from sweep.run.folder import Run, open_run
from tests.conftest import small_sweep
from tests.processes import sweep
from tests.run.elsewhere import jsonl, lm_eval, sgl_eval

QUESTIONS = 20


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def imported(*arguments: object) -> Run:
    """The run that was made; there is one of its name."""
    done = sweep("import", *arguments)
    assert done.returncode == ExitCode.OK, done.stderr
    [folder] = Path("runs").glob(f"{arguments[-1]}-*")
    return open_run(folder)


def table(name: str, wrong: dict[str, list[set[int]]]) -> Path:
    """A CSV of 20 questions; `wrong`: of each repetition of a variant the questions that are not right."""
    lines = [
        f"q{question},{variant},{number},{int(question not in missed)}"
        for variant, runs in wrong.items()
        for number, missed in enumerate(runs, start=1)
        for question in range(QUESTIONS)
    ]
    Path(name).write_text("\n".join(["question,variant,repetition,value", *lines]) + "\n")
    return Path(name)


def as_json(*arguments: object) -> Any:
    """What a command prints, which may end in any way."""
    return json.loads(sweep(*arguments, "--json").stdout)


def test_two_variants_are_compared_by_mcnemar_as_by_hand() -> None:
    run = imported(table("t.csv", {"a": [{0}], "b": [set(range(1, 9))]}), "--name", "night")
    [compared] = as_json("compare", f"{run.folder}:a", f"{run.folder}:b")["comparisons"]
    # 8 lost and 1 gained: 2 (1 + 9) / 2^9.
    assert compared["p_mcnemar"] == pytest.approx(0.0390625)
    assert (compared["a"]["accuracy"], compared["b"]["accuracy"]) == (0.95, 0.6)
    assert compared["verdict"] == "worse"
    assert compared["a"]["tokens_per_second"] is None


def test_a_night_is_held_against_an_earlier_one_though_nobody_knows_the_engine_of_either() -> None:
    before = imported(table("t.csv", {"a": [{0}]}), "--name", "before")
    after = imported(table("t.csv", {"a": [set(range(1, 12))]}), "--name", "after")
    summary = as_json("report", after.folder, "--against", before.folder)
    # 11 lost and 1 gained: 2 (1 + 12) / 2^12.
    [drift] = [finding for finding in summary["audits"] if finding["audit"] == "drift"]
    assert (drift["verdict"], drift["evidence"]["lost"], drift["evidence"]["gained"]) == ("fail", 11, 1)
    assert drift["evidence"]["q_value"] == pytest.approx(26 / 4096)
    assert summary["against"]["differs"] == []


def test_the_report_has_unequal_numbers_of_repetitions_and_null_for_what_nobody_said() -> None:
    wrong = {"a": [{0, 1}, {0, 1, 2, 3}, {0}], "b": [{5}]}
    run = imported(table("t.csv", wrong), "--name", "night")
    summary = as_json("report", run.folder)
    a, b = summary["variants"]["a"], summary["variants"]["b"]
    assert a["repetitions"] == {"planned": 3, "measured": 3, "void": 0, "saved": 0}
    assert b["repetitions"]["planned"] == 1
    assert summary["complete"] is True
    assert a["accuracy"]["per_repetition"] == [0.9, 0.8, 0.95]
    # Mean 53/60; deviations of 1, -5 and 4 sixtieths: variance 42/7200.
    assert a["accuracy"]["mean"] == pytest.approx(53 / 60)
    assert a["accuracy"]["std"] == pytest.approx(math.sqrt(42 / 7200))
    for unknown in ("identical_outputs", "identical_answers", "invalid_rate", "truncated_rate", "accept_length"):
        assert a[unknown] is None
    asked = summary["protocol"]
    assert {asked[key] for key in ("shots", "max_tokens", "temperature", "concurrency", "question_order")} == {None}
    assert not [audit for audit in summary["audits"] if audit["audit"] == "protocol: shots"]
    provenance = run.provenance()
    assert (provenance.seeds, provenance.engines, provenance.places, provenance.versions) == ((), {}, {}, {})
    engine = run.plan.config.engine
    assert (engine.model, engine.gpus, engine.nodes, engine.starts) == (None, None, None, None)
    [row, *_] = pq.read_table(run.unit_file(run.plan.units[0])).to_pylist()
    known = {key for key, value in row.items() if value is not None}
    assert known == {"variant", "repetition", "question_id", "correct"}


def test_what_lm_eval_says_of_its_run_is_in_the_provenance() -> None:
    time = "2026-01-01T00-00-00.000000"
    jsonl(Path(f"samples_gsm8k_{time}.jsonl"), [lm_eval(0, "none", 1.0), lm_eval(1, "none", 0.0)])
    said = {"model_name": "google/gemma-3", "n-shot": {"gsm8k": 5}, "lm_eval_version": "0.4.13"}
    Path(f"results_{time}.json").write_text(json.dumps(said))
    run = imported(".", "--name", "night")
    assert run.provenance().versions == {"lm-eval": "0.4.13"}
    assert (run.plan.config.engine.model, run.plan.config.protocol.shots) == ("google/gemma-3", 5)


def test_a_comparison_advises_what_can_be_done_with_imported_results() -> None:
    wrong = {"a": [{0, 1}, {0}, {2}, {0, 3}], "b": [{5}, {5, 6}, {7, 8}, {5}]}
    run = imported(table("t.csv", wrong), "--name", "night")
    printed = " ".join(sweep("compare", f"{run.folder}:a", f"{run.folder}:b").stdout.split())
    assert "restart the engine before each repetition" in printed


def test_a_gate_judges_by_imported_results_and_judges_imported_ones() -> None:
    moving = [{number, number + 1} | ({2} if number % 2 else set()) for number in range(10)]
    run = imported(table("t.csv", {"a": moving}), "--name", "calibration")
    contract = json.loads((run.folder / "thresholds.json").read_text())
    assert (contract["gpu"], contract["versions"], contract["variants"]["a"]["engine"]) == (None, {}, None)
    bad = imported(table("bad.csv", {"a": [set(range(15))]}), "--name", "bad")
    good = imported(table("good.csv", {"a": [{3, 4}]}), "--name", "good")
    terms = run.folder / "thresholds.json"
    assert sweep("gate", terms, "--run", bad.folder).returncode == ExitCode.BELOW
    assert sweep("gate", terms, "--run", good.folder).returncode == ExitCode.OK
    other = imported(
        jsonl(Path("s.jsonl"), [lm_eval(d, "none", 1.0) for d in range(20)]), "--variant", "a", "--name", "x"
    )
    assert sweep("gate", terms, "--run", other.folder).returncode == ExitCode.NOT_APPLICABLE


def test_the_nights_of_imported_results_are_the_days_on_which_they_were_measured() -> None:
    day = 86_400
    for night, right in enumerate((True, False), start=0):
        time = 1_767_225_600.0 + night * day
        records = [sgl_eval(q, right or q == 0, generation_end_time=time) for q in range(4)]
        jsonl(Path("night", f"output-rs{night}.jsonl"), records)
    run = imported("night", "--name", "nightly")
    assert sweep("track", run.folder).returncode == ExitCode.OK
    [history] = read_experiment("nightly", "sqlite:///mlflow.db", None, print)
    assert [(night.date.isoformat(), night.scores) for night in history.nights if night.date] == [
        ("2026-01-01", (1.0,)),
        ("2026-01-02", (0.25,)),
    ]


def test_an_imported_run_is_listed_and_shown_and_cannot_be_launched() -> None:
    run = imported(table("t.csv", {"a": [{0}, {1}]}), "--name", "night")
    [listed] = as_json("list")
    assert (listed["state"], listed["accuracy"]) == ("finished", {"a": 0.95})
    assert sweep("show", run.folder).returncode == ExitCode.OK
    assert "not known" in (run.folder / "report.html").read_text()
    for command in ("launch", "plan"):
        refused = sweep(command, run.folder / "sweep.yaml")
        assert refused.returncode == ExitCode.BAD_INPUT
        assert "results were imported" in refused.stderr


def test_word_error_rates_are_compared_and_gated_with_less_as_the_better() -> None:
    rates = {"a": (0.20, 0.22, 0.18, 0.21, 0.19), "b": (0.30, 0.32, 0.28, 0.31, 0.29)}
    spreads = {"a": (-0.1, 0.0, 0.1), "b": (-0.11, 0.01, 0.1)}
    lines = [
        f"q{question},{variant},{run},{rate + spread:.3f}"
        for variant, runs in rates.items()
        for run, rate in enumerate(runs, start=1)
        for question, spread in enumerate(spreads[variant])
    ]
    Path("w.csv").write_text("\n".join(["question,variant,repetition,wer", *lines]) + "\n")
    options = ("--metric", "wer", "--range", 0, "inf", "--lower-is-better")
    run = imported("w.csv", *options, "--name", "speech")
    summary = as_json("report", run.folder)
    assert summary["metric"] == {"name": "wer", "low": 0, "high": None, "higher_is_better": False, "counts": False}
    assert summary["variants"]["a"]["accuracy"]["per_repetition"] == pytest.approx(rates["a"])
    # Student's prediction bound of five runs: the upper one of b, which lies .1 above that of a.
    bound = 0.3 + stats.t.ppf(0.99, 4) * (0.001 / 4) ** 0.5 * 1.2**0.5
    assert summary["threshold"]["value"] == pytest.approx(bound)
    [compared] = as_json("compare", f"{run.folder}:a", f"{run.folder}:b")["comparisons"]
    assert (compared["verdict"], compared["metric"]["name"]) == ("worse", "wer")
    assert compared["difference"]["mean"] == pytest.approx(-0.1)
    terms = run.folder / "thresholds.json"
    gate = ("gate", terms, "--variant", "a", "--questions", 3, "--score")
    assert sweep(*gate, 0.24).returncode == ExitCode.OK
    assert sweep(*gate, 0.30).returncode == ExitCode.BELOW


def test_a_night_of_small_error_rates_that_could_hide_half_of_them_is_not_called_the_same() -> None:
    nights = []
    for name, shift in (("before", 0.0), ("after", 0.001)):
        lines = [
            f"q{question},{run},{0.02 + shift + 0.01 * math.sin(7 * question + 3 * run + 100 * shift):.4f}"
            for run in range(1, 5)
            for question in range(12)
        ]
        Path(f"{name}.csv").write_text("\n".join(["question,repetition,wer", *lines]) + "\n")
        options = ("--metric", "wer", "--range", 0, "inf", "--lower-is-better", "--variant", "v")
        nights.append(imported(f"{name}.csv", *options, "--name", name))
    summary = as_json("report", nights[1].folder, "--against", nights[0].folder)
    [drift] = [finding for finding in summary["audits"] if finding["audit"] == "drift"]
    # More than 7 % of the mean of 0.02, and less than 7 % of a range of 1.
    assert 0.07 * 0.02 < drift["evidence"]["detectable_loss"] < 0.07
    assert str(against_earlier(read_summary(open_run(nights[1].folder)))).startswith("cannot tell")


def test_values_of_another_range_are_another_run_and_do_not_compare() -> None:
    Path("v.csv").write_text("question,value\nq1,0.5\nq2,0.25\n")
    one = imported("v.csv", "--variant", "v", "--range", 0, 1, "--name", "one")
    other = imported("v.csv", "--variant", "v", "--range", 0, 2, "--name", "two")
    assert one.folder.name.removeprefix("one-") != other.folder.name.removeprefix("two-")
    refused = sweep("compare", one.folder, other.folder)
    assert refused.returncode in (ExitCode.BAD_INPUT, ExitCode.NOT_APPLICABLE)


def test_importing_the_same_again_changes_nothing_and_mends_what_is_damaged() -> None:
    answers = table("t.csv", {"a": [{0}, {1}]})
    run = imported(answers, "--name", "night")
    unit = run.unit_file(run.plan.units[0])
    before = unit.read_bytes()
    unit.write_bytes(b"torn")
    assert "`sweep import`" in sweep("report", run.folder).stderr
    assert imported(answers, "--name", "night").folder == run.folder
    assert unit.read_bytes() == before


def test_results_with_other_content_are_another_run() -> None:
    table("t.csv", {"a": [{0}]})
    first = imported("t.csv", "--name", "one").folder.name.removeprefix("one-")
    table("t.csv", {"a": [{1}]})
    assert imported("t.csv", "--name", "two").folder.name.removeprefix("two-") != first


@pytest.mark.parametrize(
    "key", ["protocol.max_tokens", "protocol.temperature", "engine.model", "engine.starts", "seed"]
)
def test_only_an_imported_run_may_leave_open_what_was_asked(tmp_path: Path, key: str) -> None:
    with pytest.raises(BadInput, match=rf"{key}: must not be null"):
        load(small_sweep(tmp_path), [f"{key}=null"])


def test_a_sweep_file_cannot_measure_with_what_stands_for_imported_results(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"engine\.backend: is of imported results"):
        load(small_sweep(tmp_path), ["engine.backend=imported"])
