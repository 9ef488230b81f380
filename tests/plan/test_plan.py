"""Plans: stable ids, seeds, and a sweep id that follows from what determines the results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.errors import BadInput
from sweep.plan.sweepfile import load
from sweep.plan.units import RESULT_FREE, content_hash, digest, make_plan
from sweep.plan.variants import Variant
from tests.conftest import SWEEP

Write = Callable[[str], Path]


def test_units_are_variants_by_repetitions_by_shards_with_stable_ids(write_sweep: Write) -> None:
    plan = make_plan(load(write_sweep(SWEEP), ["shards=2", "repetitions=1", "seed=5"]))
    assert [unit.id for unit in plan.units] == [
        "baseline-r01-s1of2",
        "baseline-r01-s2of2",
        "mtp-r01-s1of2",
        "mtp-r01-s2of2",
    ]
    assert {unit.seed for unit in plan.units} == {5}


def test_each_repetition_has_its_own_seed_and_variants_share_it(write_sweep: Write) -> None:
    plan = make_plan(load(write_sweep(SWEEP), ["repetitions=3", "seed=10"]))
    seeds = {(unit.variant, unit.repetition): unit.seed for unit in plan.units}
    assert [seeds["mtp", r] for r in (1, 2, 3)] == [10, 11, 12]
    assert [seeds["baseline", r] for r in (1, 2, 3)] == [10, 11, 12]


def test_the_sweep_id_changes_with_what_is_measured_and_with_nothing_else(write_sweep: Write) -> None:
    file = write_sweep(SWEEP)
    plain = make_plan(load(file)).sweep_id
    assert plain.startswith("small-")
    assert make_plan(load(file, ["engine.engines=8", "tracking.uri=sqlite:///x.db"])).sweep_id == plain
    assert make_plan(load(file, ["repetitions=3"])).sweep_id != plain
    assert make_plan(load(file, ["variants.mtp.arguments.noise=0.5"])).sweep_id != plain


def test_a_sweep_that_perturbs_nothing_keeps_the_id_from_before_one_could(write_sweep: Write) -> None:
    config = load(write_sweep(SWEEP))
    before = config.model_dump(mode="json", exclude=RESULT_FREE)
    del before["perturb"], before["engine"]["starts"], before["engine"]["nodes"], before["imported"]
    for name in ("top_p", "top_k", "min_p", "chat", "system", "chat_template_kwargs", "gold"):
        del before["protocol"][name]
    assert content_hash(config) == digest(before)
    assert content_hash(load(write_sweep(SWEEP), ["perturb={shards: [2]}"])) != digest(before)


def test_the_common_arguments_lie_under_the_variant_s_own(write_sweep: Write) -> None:
    plan = make_plan(
        load(file := write_sweep(SWEEP), ["engine.arguments={a: 1, b: 2}", "variants.mtp.arguments.b=3"])
    )
    assert file.exists()
    assert plan.spec("mtp").arguments == {"a": 1, "b": 3}
    assert plan.spec("mtp").draft_model == "none"
    assert plan.spec("baseline").arguments == {"a": 1, "b": 2}
    assert plan.spec("baseline").draft_model is None


def test_a_sweep_keeps_its_id_unless_its_repetitions_are_spread_over_several_starts(write_sweep: Write) -> None:
    file = write_sweep(SWEEP)
    once, twice = (make_plan(load(file, [f"engine.starts={n}"])).sweep_id for n in (1, 2))
    assert once == make_plan(load(file)).sweep_id != twice


def test_repetitions_take_the_starts_in_turn(write_sweep: Write) -> None:
    plan = make_plan(load(write_sweep(SWEEP), ["engine.starts=2", "repetitions=3", "shards=2"]))
    starts = [unit.condition.start for unit in plan.units if unit.variant == "mtp"]
    # The shards of a repetition share its start.
    assert starts == [1, 1, 2, 2, 1, 1]


NGRAM = SWEEP.replace("backend: simulated", "backend: sglang").replace("  draft_model: none\n", "")


def variants_of(write_sweep: Write, listed: str) -> dict[str, Variant]:
    """Those of a sweep of SGLang's, by name."""
    return {v.name: v for v in make_plan(load(write_sweep(NGRAM), [f"variants={listed}"])).variants}


def test_arguments_that_speculate_without_a_draft_get_the_baseline_that_differs_only_in_them(
    write_sweep: Write,
) -> None:
    settings = "speculative_algorithm: NGRAM, speculative_num_draft_tokens: 8"
    known = variants_of(write_sweep, f"{{base: {{}}, ngram: {{arguments: {{{settings}}}}}}}")
    assert (known["base"].speculates, known["base"].baseline) == (False, None)
    assert (known["ngram"].draft, known["ngram"].speculates, known["ngram"].baseline) == (False, True, "base")


def test_a_speculative_variant_is_no_baseline_of_another(write_sweep: Write) -> None:
    listed = "{one: {arguments: {speculative_algorithm: NGRAM}}, two: {arguments: {speculative_algorithm: NGRAM}}}"
    assert {v.baseline for v in variants_of(write_sweep, listed).values()} == {None}


def test_a_baseline_that_is_written_holds_for_a_variant_that_does_not_speculate(write_sweep: Write) -> None:
    known = variants_of(write_sweep, "{base: {}, fp8: {baseline: base, arguments: {kv_cache_dtype: fp8_e5m2}}}")
    assert (known["fp8"].speculates, known["fp8"].baseline) == (False, "base")


def test_a_variant_is_not_its_own_baseline(write_sweep: Write) -> None:
    with pytest.raises(BadInput, match=r"variants\.mtp\.baseline: .*its own baseline"):
        load(write_sweep(SWEEP), ["variants.mtp.baseline=mtp"])


def test_more_starts_than_repetitions_are_refused_where_they_are_written(write_sweep: Write) -> None:
    file = write_sweep(SWEEP.replace("  engines: 2\n", "  engines: 2\n  starts: 3\n"))
    with pytest.raises(BadInput, match=r"sweep\.yaml:7: engine\.starts: is 3, .* 2 of each"):
        load(file)
    assert load(file, ["repetitions=3"]).engine.starts == 3
