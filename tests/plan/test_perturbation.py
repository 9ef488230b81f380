"""Variants measured again under other conditions, and against an earlier run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.engines.simulated import SimulatedEngine
from cluster.spec import Batch
from sweep.errors import BadInput
from sweep.plan.sweepfile import load
from sweep.plan.units import Plan, make_plan
from sweep.plan.variants import two_level_factors, unchecked_claims
from sweep.report.conclude import conclude
from sweep.report.sections import markdown
from sweep.run.folder import Run, create_run
from sweep.tasks import dataset
from tests.runs import SWEEP, finished

PERTURB = "perturb={repetitions: 2, concurrency: [2], shards: [2], arguments: {noise: [0.5]}}"


def planned(folder: Path, *overrides: str) -> Plan:
    (folder / "data.jsonl").write_text(
        "".join(json.dumps({"question": f"{n}?", "answer": f"#### {n}"}) + "\n" for n in range(60))
    )
    (folder / "sweep.yaml").write_text(SWEEP)
    return make_plan(load(folder / "sweep.yaml", overrides))


def batch(plan: Plan, unit_id: str) -> Batch:
    (unit,) = (unit for unit in plan.units if unit.id == unit_id)
    return dataset.load(plan.config.protocol).batch(unit, 1)


def test_every_variant_is_run_again_at_every_level(tmp_path: Path) -> None:
    plan = planned(tmp_path, PERTURB)
    assert [v.name for v in plan.variants] == ["baseline", "mtp"]
    assert [v.name for v in plan.perturbed] == [
        f"{name}+{level}" for name in ("baseline", "mtp") for level in ("concurrency=2", "shards=2", "noise=0.5")
    ]
    # Two variants of 3 repetitions; and of each 2 at another concurrency, 2 in two shards, 2 with other noise.
    assert len(plan.units) == 2 * (3 + 2 + 2 * 2 + 2)


def test_each_level_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    plan = planned(tmp_path, PERTURB)
    judged, fewer, half = (
        batch(plan, name) for name in ("baseline-r01", "baseline+concurrency=2-r01", "baseline+shards=2-r01-s1of2")
    )
    assert (judged.concurrency, fewer.concurrency, half.concurrency) == (4, 2, 4)
    assert fewer.requests == judged.requests
    assert half.requests == judged.requests[:20]
    assert plan.spec("baseline+noise=0.5").arguments == {"noise": 0.5}
    assert plan.spec("baseline+shards=2").arguments == plan.spec("baseline").arguments


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ("{concurrency: [4]}", "4 is the sweep's own value"),
        ("{concurrency: [2, 2]}", "has a level twice"),
        ("{repetitions: 2}", "no factor has levels"),
        ("{arguments: {noise: ['a b']}}", "cannot be part of a name"),
        ("{question_order: [shuffled]}", "shuffled is the sweep's own value"),
        ("{engine: [gpu-0]}", "no engine is called gpu-0; engine-1, engine-2..."),
    ],
)
def test_levels_that_cannot_be_meant_are_refused(tmp_path: Path, asked: str, fault: str) -> None:
    with pytest.raises(BadInput, match=fault):
        planned(tmp_path, f"perturb={asked}")


def test_an_engine_beyond_those_that_the_sweep_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"engine-3; engine\.engines has engine-1 to engine-2"):
        planned(tmp_path, "perturb={engine: [engine-1, engine-3]}", "engine.engines=2")


def test_a_fixed_order_is_the_data_sets_in_every_repetition_and_a_shuffled_one_is_the_seeds(tmp_path: Path) -> None:
    plan = planned(tmp_path, "perturb={repetitions: 2, question_order: [fixed]}")
    shuffled, first, second = (
        [request.id for request in batch(plan, f"baseline{name}").requests]
        for name in ("-r01", "+question_order=fixed-r01", "+question_order=fixed-r02")
    )
    assert first == second == [f"test-{n}" for n in range(2, 42)]
    assert sorted(shuffled) == sorted(first)
    assert shuffled != first


def test_identical_repetitions_take_their_noise_from_the_perturbed_ones(tmp_path: Path) -> None:
    # 40 questions: 30 right in every repetition, 28 at the other concurrency.
    run = finished(
        tmp_path,
        {"baseline": 10, "mtp": 10, "baseline+concurrency=2": 12, "mtp+concurrency=2": 12},
        "perturb={repetitions: 2, concurrency: [2]}",
        "threshold={rule: false_alarm, alpha: 0.05}",
    )
    summary = conclude(run)
    judged = summary.threshold.variants["baseline"]
    assert judged.noise_source == "perturbations"
    # Levels 0.75 and 0.70: their sample variance is 0.05^2 / 2.
    assert [(f.factor, f.levels) for f in judged.factors] == [("concurrency", 2)]
    assert judged.factors[0].variance == pytest.approx(0.00125)
    assert summary.threshold.value is not None
    assert summary.threshold.value < 0.70
    assert list(summary.variants) == ["baseline", "mtp"]
    level = summary.perturbed["baseline+concurrency=2"]
    assert (level.perturbs, level.factor, level.level) == ("baseline", "concurrency", 2)
    assert level.accuracy.mean == pytest.approx(0.70)
    # Two of the 40 questions got another output.
    assert level.outputs_as_the_variants == pytest.approx(38 / 40)
    assert "| baseline | concurrency = 2 | 2/2 | 0.700 | 0.000 | 95.0 % |" in markdown(summary)


def test_a_claim_of_determinism_holds_at_another_concurrency_or_fails(tmp_path: Path) -> None:
    claims = "variants={a: {deterministic: true}, b: {deterministic: true}}"
    wrong = {"a": 3, "b": 3, "a+concurrency=2": 3, "b+concurrency=2": 4}
    summary = conclude(finished(tmp_path, wrong, claims, "perturb={repetitions: 2, concurrency: [2]}"))
    verdicts = {f.variant: f.verdict for f in summary.audits if f.audit == "determinism"}
    assert verdicts == {"a": "pass", "b": "pass", "a+concurrency=2": "pass", "b+concurrency=2": "fail"}
    assert summary.no_contract is not None


def test_a_run_that_got_worse_than_an_earlier_one_fails_for_drift(tmp_path: Path) -> None:
    before = finished(tmp_path / "before", {"baseline": 4, "mtp": 4})
    after = finished(tmp_path / "after", {"baseline": 4, "mtp": 16})
    summary = conclude(after, before)
    drift = {f.variant: f.verdict for f in summary.audits if f.audit == "drift"}
    # mtp lost 12 questions and gained none: exact McNemar p = 2^-11.
    assert drift == {"baseline": "pass", "mtp": "fail"}
    assert before.plan.sweep_id in markdown(summary)


def test_an_earlier_run_of_another_protocol_is_refused(tmp_path: Path) -> None:
    before = finished(tmp_path / "before", {"baseline": 4, "mtp": 4}, "protocol.shots=3")
    after = finished(tmp_path / "after", {"baseline": 4, "mtp": 4})
    with pytest.raises(BadInput, match="same protocol"):
        conclude(after, before)


def test_every_rule_is_stated_with_and_without_retries(tmp_path: Path) -> None:
    def wrong(variant: str, repetition: int) -> list[str]:
        return [f"test-{n}" for n in range(2, 4 + repetition)]

    summary = conclude(finished(tmp_path, wrong))
    assert list(summary.rules) == ["margin", "tolerance", "false_alarm", "min_observed"]
    least = summary.rules["min_observed"].variants["baseline"]
    # Three repetitions: the next falls below their least with 1/4; two that both do, with 1 / C(5, 2).
    assert least.single.false_alarm == pytest.approx(1 / 4)
    assert least.false_alarm == pytest.approx(1 / 10)
    assert markdown(summary).count("| min_observed | ") == 2


def test_a_run_stays_held_against_the_run_of_its_last_report(tmp_path: Path) -> None:
    before = finished(tmp_path / "before", {"baseline": 4, "mtp": 4})
    after = finished(tmp_path / "after", {"baseline": 4, "mtp": 16}, "audits.accept_failures=known")
    conclude(after, before)
    again = conclude(after)
    assert again.against is not None
    assert again.against.sweep_id == before.plan.sweep_id
    assert [f.verdict for f in again.audits if f.audit == "drift"] == ["pass", "fail"]
    before.folder.rename(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=rf"{before.plan.sweep_id}.*--against"):
        conclude(after)


def test_what_else_differs_from_the_earlier_run_is_told_with_the_drift(tmp_path: Path) -> None:
    before = finished(
        tmp_path / "before", {"baseline": 4, "mtp": 4}, "engine.arguments={noise: 0.2}", gpu="NVIDIA H100"
    )
    after = finished(tmp_path / "after", {"baseline": 4, "mtp": 4}, "engine.arguments={noise: 0.3}")
    text = markdown(conclude(after, before))
    assert "GPU NVIDIA H100, now NVIDIA H200" in text
    assert "mtp: arguments.noise 0.2, now 0.3" in text


def test_a_run_is_not_held_against_itself(tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 4, "mtp": 4})
    with pytest.raises(BadInput, match="the run itself"):
        conclude(run, run)


def test_a_simulated_deterministic_engine_gets_its_noise_from_what_was_perturbed(tmp_path: Path) -> None:
    asked = (
        "engine.arguments={accuracy: 0.8, noise: 0.1, deterministic: true, tokens: 20, start_seconds: 0}",
        "perturb={repetitions: 2, concurrency: [2], shards: [2], arguments: {noise: [0.05, 0.2]}}",
        "threshold={rule: false_alarm, alpha: 0.05}",
    )
    run = simulated(tmp_path, *asked)
    summary = conclude(run)
    judged = summary.threshold.variants["baseline"]
    assert summary.variants["baseline"].accuracy.std == 0
    assert (judged.noise_source, [f.factor for f in judged.factors]) == (
        "perturbations",
        ["concurrency", "shards", "noise"],
    )
    # Batching changes nothing of a deterministic engine; other noise is another engine.
    assert [f.variance > 0 for f in judged.factors] == [False, False, True]
    assert judged.value is not None
    assert judged.value < judged.mean
    verdicts = {f.variant: f.verdict for f in summary.audits if f.audit == "determinism"}
    assert verdicts["baseline+concurrency=2"] == verdicts["baseline+shards=2"] == "pass"
    assert "concurrency 0.0000 (over 2 levels), shards 0.0000" in markdown(summary)


def simulated(folder: Path, *overrides: str) -> Run:
    """A run measured by simulated engines, in this process."""
    plan = planned(folder, *overrides)
    questionnaire = dataset.load(plan.config.protocol)
    run = create_run(folder / "runs", plan)
    run.pin(questionnaire)
    engine = SimulatedEngine()
    for unit in plan.units:
        spec = replace(plan.spec(unit.condition.loads), answers=questionnaire.answers())
        engine.start(spec, lambda phase, lines: None)
        run.record_engine(unit.condition.loads, engine.describe(), {"engine-1@here": engine.describe()})
        run.save(unit, questionnaire.score(unit, "engine-1@here", engine.generate(questionnaire.batch(unit, 1))))
    return run


def test_above_temperature_zero_a_claim_of_determinism_needs_another_condition_of_the_same_seeds(
    tmp_path: Path,
) -> None:
    def unchecked(*overrides: str) -> tuple[str, ...]:
        return unchecked_claims(planned(tmp_path, "variants.mtp.deterministic=true", *overrides).config)

    sampled = "protocol.temperature=0.7"
    assert unchecked() == ()
    assert unchecked(sampled) == ("mtp",)
    assert unchecked(sampled, "perturb={arguments: {noise: [0.5]}}") == ("mtp",)
    assert unchecked(sampled, "perturb={question_order: [fixed]}") == ()


def test_a_repetition_under_another_condition_has_the_sampling_seed_of_the_variants_own(tmp_path: Path) -> None:
    plan = planned(tmp_path, "protocol.temperature=0.7", "perturb={question_order: [fixed]}")
    own, ordered = (batch(plan, name) for name in ("mtp-r02", "mtp+question_order=fixed-r02"))
    assert own.seed == ordered.seed
    assert own.requests != ordered.requests


def test_a_factor_of_two_levels_is_told_before_it_is_measured(tmp_path: Path) -> None:
    def told(perturb: str) -> tuple[str, ...]:
        return two_level_factors(planned(tmp_path, f"perturb={perturb}").config)

    assert told("{concurrency: [2], shards: [2, 4]}") == ("concurrency",)
    assert told("{concurrency: [2, 1]}") == ()
    # It has no third level.
    assert told("{question_order: [fixed]}") == ()
