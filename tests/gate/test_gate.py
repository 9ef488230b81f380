"""The gate: pass, below, does not apply; what is refused; and `sweep gate`."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sweep.commands.gate import command
from sweep.errors import BadInput
from sweep.gate import Measured, judge
from sweep.gate import contract as contracts
from sweep.gate.digits import beside
from sweep.gate.judge import answer
from sweep.run.folder import Run
from sweep.run.measure import measure
from tests.gate.conftest import NOW, PART
from tests.runs import finished


def scored(score: float, variant: str | None = "mtp", questions: int | None = 40, **more: Any) -> Measured:
    """A score from elsewhere."""
    return Measured(score=score, variant=variant, questions=questions, **{"accept_length": 2.0, **more})


@pytest.mark.parametrize(
    ("score", "variant", "code"),
    [
        (33 / 40, "mtp", 0),
        (32 / 40, "mtp", 5),
        (33 / 40, "baseline", 5),
        (34 / 40, "baseline", 0),
        (33 / 40, None, 0),
    ],
)
def test_a_score_at_the_variants_threshold_passes_and_one_below_it_fails(
    contract: contracts.Contract, score: float, variant: str | None, code: int
) -> None:
    assert judge(contract, scored(score, variant), NOW).exit_code == code


def test_an_accept_length_below_its_floor_fails(contract: contracts.Contract) -> None:
    assert judge(contract, scored(0.9, accept_length=1.5), NOW).exit_code == 0
    verdict = judge(contract, scored(0.9, accept_length=1.49), NOW)
    assert verdict.exit_code == 5
    assert verdict.faults == ("accept length 1.49 is below 1.50",)


@pytest.mark.parametrize(
    ("floor", "length", "shown"),
    [
        (3.49, 3.4897, "3.4897 is below 3.49"),
        (1.5, 1.4996, "1.4996 is below 1.50"),
        (2.125, 1.0, "1.00 is below 2.12"),
    ],
)
def test_an_accept_length_just_under_its_floor_has_the_digits_that_tell_them_apart(
    contract: contracts.Contract, floor: float, length: float, shown: str
) -> None:
    mtp = contract.variants["mtp"].model_copy(update={"accept_length": floor})
    floored = contract.model_copy(update={"variants": {**contract.variants, "mtp": mtp}})
    assert judge(floored, scored(0.9, accept_length=length), NOW).faults == (f"accept length {shown}",)


def test_a_score_just_under_its_threshold_has_the_digits_that_tell_them_apart(contract: contracts.Contract) -> None:
    mtp = contract.variants["mtp"].model_copy(update={"value": 0.81771998})
    close = contract.model_copy(update={"variants": {**contract.variants, "mtp": mtp}})
    [fault] = judge(close, replace(scored(0.8177), questions=None), NOW).faults
    assert fault == "score 0.8177 is below the threshold 0.81772"


def test_a_rounded_score_is_shown_as_the_count_that_is_judged(contract: contracts.Contract) -> None:
    # 0.83 of 40 is 33 right, 0.825; a threshold of 0.826 needs 34.
    mtp = contract.variants["mtp"].model_copy(update={"value": 0.826})
    close = contract.model_copy(update={"variants": {**contract.variants, "mtp": mtp}})
    [fault] = judge(close, scored(0.83), NOW).faults
    assert fault == "score 0.8250 is below the threshold 0.8260: 33 of 40 right, 34 needed"


def test_the_answer_begins_with_what_is_worse(contract: contracts.Contract) -> None:
    below, passed = judge(contract, scored(0.8), NOW), judge(contract, scored(0.9, "baseline"), NOW)
    other = judge(contract, scored(0.9, questions=200), NOW)
    assert answer([passed, below]) == (
        "worse: mtp (score 0.8000 is below the threshold 0.8250: 32 of 40 right, 33 needed); "
        "no difference shown: baseline (score 0.9000, threshold 0.8500)."
    )
    assert answer([passed, passed]) == "no difference shown: baseline, baseline."
    assert answer([other], ["topk3"]) == (
        "cannot tell: mtp (the contract does not apply: questions), topk3 (not measured)."
    )


def test_what_is_not_given_is_not_checked_and_said_so(contract: contracts.Contract) -> None:
    lines = "\n".join(judge(contract, scored(0.9, accept_length=None), NOW).lines())
    for what in ("protocol hash", "data set SHA-256", "GPU", "engine arguments", "versions", "accept length of at"):
        assert what in lines.split("not checked: ")[1]


@pytest.mark.parametrize(
    ("measured", "message"),
    [
        (scored(0.9, questions=200), "questions: contract 40, measured 200"),
        (scored(0.9, protocol_hash="abc"), "protocol hash: contract"),
        (scored(0.9, dataset_sha256="abc"), "data set SHA-256: contract"),
        (scored(0.9, gpu="NVIDIA H100 80GB HBM3"), "GPU: contract h200, measured h100 80gb hbm3"),
        (scored(0.9, gpu_count=1), "GPUs per engine: contract 2, measured 1"),
    ],
)
def test_every_mismatch_keeps_the_contract_from_applying_and_is_named(
    contract: contracts.Contract, measured: Measured, message: str
) -> None:
    verdict = judge(contract, measured, NOW)
    assert verdict.exit_code == 6
    assert message in "\n".join(verdict.lines())


def test_an_expired_contract_does_not_apply(contract: contracts.Contract) -> None:
    assert judge(contract, scored(0.9), contract.expires - timedelta(seconds=1)).exit_code == 0
    verdict = judge(contract, scored(0.9), contract.expires)
    assert verdict.exit_code == 6
    assert "expired: on 2026-05-01" in "\n".join(verdict.lines())


def test_a_low_score_under_other_conditions_is_not_called_below(contract: contracts.Contract) -> None:
    assert judge(contract, scored(0.1, questions=200), NOW).exit_code == 6


def test_a_run_of_the_same_sweep_matches_in_everything(contract: contracts.Contract, run: Run) -> None:
    verdict = judge(contract, measure(run)["mtp"], NOW)
    assert verdict.exit_code == 0
    assert {check.state for check in verdict.checks} == {"match"}
    assert "mean of 3 repetitions" in "\n".join(verdict.lines())


def test_each_engine_argument_that_differs_is_named(contract: contracts.Contract, tmp_path: Path) -> None:
    other = finished(tmp_path / "other", PART, "engine.arguments={noise: 0.5}", "engine.environment={A: '1'}")
    verdict = judge(contract, measure(other)["mtp"], NOW)
    assert [(c.what, c.detail) for c in verdict.mismatches] == [
        ("engine arguments.noise", "contract absent, measured 0.5"),
        ("engine environment.A", "contract absent, measured 1"),
    ]


def test_an_engine_without_the_contracts_draft_model_is_another_one(contract: contracts.Contract, run: Run) -> None:
    measured = measure(run)["mtp"]
    assert measured.engine is not None
    plain = replace(measured, engine=measured.engine.model_copy(update={"draft_model": None}))
    assert [c.what for c in judge(contract, plain, NOW).mismatches] == ["engine draft_model"]


def test_an_engine_that_spans_machines_is_another_one_and_one_machine_is_not_written(
    contract: contracts.Contract, run: Run
) -> None:
    measured = measure(run)["mtp"]
    assert measured.engine is not None
    assert "nodes" not in measured.engine.model_dump()
    wide = measured.engine.model_copy(update={"nodes": 2})
    assert wide.model_dump()["nodes"] == 2
    judged = judge(contract, replace(measured, engine=wide), NOW)
    assert [(c.what, c.detail) for c in judged.mismatches] == [("engine nodes", "contract 1, measured 2")]


def test_other_versions_are_told_but_the_contract_applies(contract: contracts.Contract, run: Run) -> None:
    newer = replace(measure(run)["mtp"], versions={**contract.versions, "fake": "2"})
    verdict = judge(contract, newer, NOW)
    assert verdict.exit_code == 0
    assert "versions: fake 1, now 2" in "\n".join(verdict.lines())


def test_a_run_on_a_cpu_is_not_judged_by_a_contract_of_a_gpu(contract: contracts.Contract, run: Run) -> None:
    verdict = judge(contract, replace(measure(run)["mtp"], gpu=None), NOW)
    assert [c.what for c in verdict.mismatches] == ["GPU"]


@pytest.mark.parametrize(
    ("measured", "message"),
    [
        (scored(38.5), "38.5 is not a share of right answers"),
        (scored(float("nan")), "nan is not a number between 0 and 1"),
        (scored(-0.1), "-0.1 is below 0"),
        (scored(0.9, questions=0), "questions must be at least 1, got 0"),
        (scored(0.9, accept_length=0.5), "accept length is tokens per verification step"),
        (scored(0.9, accept_length=0.99999999), "at least 1, got 0.99999999"),
        (scored(0.9, variant="mpt"), "no variant mpt; did you mean mtp"),
    ],
)
def test_what_is_no_measurement_is_refused(contract: contracts.Contract, measured: Measured, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        judge(contract, measured, NOW)


@pytest.mark.parametrize(
    ("score", "questions", "nearest"),
    [
        (0.8765, 40, r"0\.875 \(35 right\) and 0\.9 \(36 right\)"),
        (0.51234, 40, r"0\.5 \(20 right\) and 0\.525 \(21 right\)"),
        (0.99, 40, r"0\.975 \(39 right\) and 1 \(40 right\)"),
    ],
)
def test_a_score_that_these_questions_cannot_give_is_refused_with_the_nearest(
    contract: contracts.Contract, score: float, questions: int, nearest: str
) -> None:
    with pytest.raises(BadInput, match=nearest):
        judge(contract, replace(scored(score), questions=questions), NOW)


def test_a_score_may_be_rounded_and_a_mean_of_repetitions_may_lie_between(contract: contracts.Contract) -> None:
    # 21 of 41 are .51219...
    assert "questions" in [
        check.what for check in judge(contract, replace(scored(0.512), questions=41), NOW).checks
    ]
    assert judge(contract, replace(scored(0.8765), repetitions=2), NOW).faults == ()


def test_a_contract_made_in_spite_of_failed_audits_says_so_at_every_gate(contract: contracts.Contract) -> None:
    override = contracts.Override(reason="fixed soon", failed=("lossless of mtp",))
    forced = contract.model_copy(update={"override": override})
    lines = "\n".join(judge(forced, scored(0.9), NOW).lines())
    assert "(lossless of mtp): fixed soon" in lines


def test_void_repetitions_are_told(contract: contracts.Contract, run: Run) -> None:
    lines = "\n".join(judge(contract, replace(measure(run)["mtp"], void=2), NOW).lines())
    assert "2 repetitions are void" in lines


def gate(*arguments: object) -> Result:
    """`sweep gate` with these arguments, in this process."""
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_the_command_ends_in_0_5_and_6(file: Path) -> None:
    score = ("--variant", "mtp", "--questions", 40, "--score")
    assert gate(file, *score, 0.875).exit_code == 0
    below = gate(file, *score, 0.8)
    assert below.exit_code == 5
    assert re.search(r"0\.8000.* 0\.8250.*\nmtp: FAIL", below.output)
    other = gate(file, *score, 0.8, "--gpu", "H100")
    assert other.exit_code == 6
    assert "GPU: contract h200, measured h100" in other.output


@pytest.mark.parametrize(
    ("written", "code"),
    [
        # The threshold is 0.825, 33 of 40.
        (("--score", "33/40"), 0),
        (("--score", "32 / 40"), 5),
        (("--score", "33/40", "--questions", 40), 0),
        (("--score", "82.5%", "--questions", 40), 0),
        (("--score", "80 %", "--questions", 40), 5),
        (("--attempt", "33/40"), 0),
    ],
)
def test_a_score_is_read_as_people_write_it(file: Path, written: tuple[str, ...], code: int) -> None:
    assert gate(file, "--variant", "mtp", *written).exit_code == code


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (("--score", "33/40", "--questions", 200), "40 and 200 questions"),
        (("--attempt", "33/40", "--attempt", "33/50"), "40 and 50 questions"),
        (("--score", "82.5%"), "--questions N"),
        (("--score", "good", "--questions", 40), "`good` is not a number"),
        (("--score", "nan", "--questions", 40), "not a number"),
        (("--score", "33/0"), "over no question"),
    ],
)
def test_a_score_that_cannot_be_read_is_refused(file: Path, written: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        CliRunner().invoke(command, [str(file), "--variant", "mtp", *map(str, written)], catch_exceptions=False)


def test_the_command_judges_every_variant_of_a_run(file: Path, run: Run) -> None:
    result = gate(file, "--run", run.folder)
    assert result.exit_code == 0
    assert "baseline: PASS" in result.output
    assert "mtp: PASS" in result.output


def test_one_variant_below_its_threshold_fails_the_run(file: Path, tmp_path: Path) -> None:
    worse = finished(tmp_path / "worse", {"baseline": 4, "mtp": 9})
    assert gate(file, "--run", worse.folder).exit_code == 5
    assert gate(file, "--run", worse.folder, "--variant", "baseline").exit_code == 0


def test_a_variant_that_the_run_did_not_measure_is_not_passed_over(file: Path, tmp_path: Path) -> None:
    partly = finished(tmp_path / "partly", PART)
    for samples in partly.samples_folder.glob("mtp-*"):
        samples.unlink()
    result = gate(file, "--run", partly.folder, "--json")
    assert result.exit_code == 6
    assert json.loads(result.stdout)["not_measured"] == ["mtp"]


def test_a_run_is_judged_by_its_samples_and_not_by_its_last_report(file: Path, tmp_path: Path) -> None:
    torn = finished(tmp_path / "torn", PART)
    (torn.folder / "summary.json").write_text("{}")
    assert gate(file, "--run", torn.folder).exit_code == 0
    samples = torn.samples_folder / "mtp-r01.parquet"
    samples.write_bytes(samples.read_bytes()[:100])
    result = gate(file, "--run", torn.folder)
    assert isinstance(result.exception, BadInput)
    assert "mtp-r01.parquet: " in str(result.exception)


def test_a_rounded_score_is_judged_by_the_questions_it_stands_for(file: Path) -> None:
    # The threshold is 33 of 40, 0.825; a log that rounds to two digits says 0.82, and only 33 of 40 round to that.
    assert gate(file, "--variant", "mtp", "--questions", 40, "--score", 0.82).exit_code == 0
    below = gate(file, "--variant", "mtp", "--questions", 40, "--score", 0.8)
    assert below.exit_code == 5
    assert "32 of 40 right, 33 needed" in below.output


def test_a_rounded_score_that_may_stand_for_several_counts_says_so(contract: contracts.Contract) -> None:
    # 0.35 of 1314 questions: 453.33 to 466.47 round to it.
    [note] = [n for n in judge(contract, Measured(score=0.35, questions=1314), NOW).notes if "rounded" in n]
    assert re.findall(r"\d{3,}", note)[-4:] == ["454", "466", "1314", "460"]


def test_an_accept_length_without_a_variant_is_held_against_the_least_floor(contract: contracts.Contract) -> None:
    low = judge(contract, Measured(score=0.9, questions=40, accept_length=1.2), NOW)
    assert low.faults == ("accept length 1.20 is below 1.50",)
    assert judge(contract, Measured(score=0.9, questions=40), NOW).accept_floor is None


def test_one_of_several_attempts_says_that_it_is(tmp_path: Path) -> None:
    run = finished(tmp_path / "tries", PART, "threshold={rule: margin, margin: 0.05, retries: 3}")
    result = gate(run.folder / "thresholds.json", "--variant", "mtp", "--score", 0.7, "--questions", 40)
    assert result.exit_code == 5
    assert result.output.count("of 3 attempts") == 1
    # Where somebody reads the first line alone.
    assert "1 of 3 attempts" in result.output.splitlines()[0]


def test_a_run_without_a_complete_repetition_is_refused(file: Path, tmp_path: Path) -> None:
    void = finished(tmp_path / "void", PART)
    for samples in void.samples_folder.iterdir():
        samples.unlink()
    from sweep.report.conclude import conclude

    conclude(void)
    result = gate(file, "--run", void.folder)
    assert isinstance(result.exception, BadInput)
    assert str(void.folder) in str(result.exception)


def test_json_is_all_there_is_on_stdout(file: Path) -> None:
    asked = ("--variant", "mtp", "--score", 0.8, "--questions", 40)
    outcome = json.loads(gate(file, *asked, "--json").stdout)
    assert outcome["exit_code"] == 5
    assert outcome["answer"] == gate(file, *asked).stdout.splitlines()[0]
    assert outcome["answer"].startswith("worse: mtp (score 0.8000")
    [verdict] = outcome["verdicts"]
    assert (verdict["threshold"], verdict["score"]) == (pytest.approx(0.825), 0.8)
    assert "GPU" in verdict["unchecked"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to judge"),
        (("--score", "0.8"), "over how many questions?"),
        (("--run", "runs/x", "--score", "0.8"), "--score and --run exclude each other"),
        (("--score", "38.5", "--questions", "200"), "divide a percentage by 100"),
    ],
)
def test_the_command_refuses_what_it_cannot_judge(file: Path, arguments: tuple[str, ...], message: str) -> None:
    result = gate(file, *arguments)
    assert isinstance(result.exception, BadInput)
    assert message in str(result.exception)


@pytest.mark.parametrize(
    ("score", "threshold", "shown"),
    [
        # As the report cuts it, though rounding would give 0.7705.
        (0.75, 0.77046, ("0.7500", "0.7704")),
        (0.77046, 0.77046, ("0.7705", "0.7704")),
        # Below, though both begin alike.
        (0.77041, 0.77046, ("0.77041", "0.77046")),
        (0.770458, 0.77049, ("0.77046", "0.77049")),
    ],
)
def test_a_threshold_reads_as_in_the_report_unless_that_hides_the_side_of_the_score(
    score: float, threshold: float, shown: tuple[str, str]
) -> None:
    assert beside(score, threshold) == shown


def test_an_upper_bound_is_rounded_up() -> None:
    assert beside(0.3, 0.25001, higher_is_better=False) == ("0.3000", "0.2501")
