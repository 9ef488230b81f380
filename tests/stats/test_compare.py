"""Comparing variants and runs: what decides, what is refused, and `sweep compare`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from scipy.stats import beta, binomtest, ttest_ind, ttest_rel

from sweep.commands.compare import command
from sweep.errors import BadInput
from sweep.stats.compare import DecidedBy, compare, compare_runs
from sweep.stats.metric import Metric
from sweep.stats.samples import VariantSamples
from tests.runs import finished
from tests.tables import changed, first, table


def test_deterministic_variants_are_decided_by_their_flips_alone() -> None:
    a, b = table("a", first(94, runs=20), accept_length=None), table("b", first(84, runs=3), accept_length=5.0)
    comparison = compare(a, b)
    assert (len(comparison.lost), len(comparison.gained)) == (10, 0)
    assert comparison.lost[0] == "test-89"  # the 85th of questions that begin at 5
    assert comparison.test is DecidedBy.MCNEMAR
    assert comparison.p_value == pytest.approx(2 / 2**10)
    assert comparison.verdict == "worse"
    assert compare(b, a).verdict == "better"


def test_accept_length_and_speed_stand_beside_the_scores() -> None:
    # 200 answers of 100 tokens in each repetition; the time of one is not known.
    a = changed(table("a", first(94, runs=3)), engine_seconds=np.array([10.0, np.nan, 30.0]))
    comparison = compare(a, table("b", first(94), accept_length=5.0))
    assert comparison.a.accept_length is None
    assert comparison.b.accept_length == pytest.approx(5.0)
    assert comparison.a.tokens_per_second == pytest.approx(40_000 / 40)
    assert comparison.b.tokens_per_second is None


def test_two_engines_of_one_draft_are_held_against_each_other_by_their_accept_lengths() -> None:
    right = first(94, runs=3)
    whole, part = table("a", right, accept_length=5.0), table("b", right, accept_length=4.0)
    # Every question takes 5/4 of the steps: no question differs from another, so the interval has no width.
    ratio = compare(whole, part).accept_length
    assert ratio is not None
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((0.8, 0.8, 0.8))
    assert compare(whole, table("c", right, accept_length=None)).accept_length is None
    assert compare(table("c", right, accept_length=None), part).accept_length is None


def noise(seed: int, runs: int, shift: float = 0.0, together: float = 0.0) -> np.ndarray:
    """Runs of 200 questions with a chance each; `together` moves whole runs by a common cause."""
    rng = np.random.default_rng(seed)
    chance = np.random.default_rng(1).random(200) + shift
    moved = chance + rng.normal(0, together, (runs, 1)) if together else np.tile(chance, (runs, 1))
    return np.asarray(rng.random((runs, 200)) < moved)


def test_noisy_variants_must_differ_over_questions_and_over_runs() -> None:
    comparison = compare(table("a", noise(2, 20)), table("b", noise(3, 20, shift=-0.1)))
    assert comparison.test is DecidedBy.BOTH
    assert comparison.p_runs is not None
    assert comparison.difference.p_value is not None
    assert comparison.p_value == max(comparison.p_runs, comparison.difference.p_value)
    assert comparison.verdict == "worse"
    assert comparison.difference.mean == pytest.approx(-0.1, abs=0.02)


def test_runs_that_move_together_are_no_difference_between_variants() -> None:
    # Three runs each, std 0.15 by a common cause: over the questions alone most pairs would count as different.
    pairs = [
        (table("a", noise(s, 3, together=0.15)), table("b", noise(s + 100, 3, together=0.15))) for s in range(60)
    ]
    comparisons = [compare(a, b) for a, b in pairs]
    over_questions = [c.difference.p_value is not None and c.difference.p_value < 0.05 for c in comparisons]
    assert sum(over_questions) > 30
    assert sum(c.verdict != "no difference shown" for c in comparisons) <= 6  # 60 x 0.05, and two standard errors


def test_what_the_comparison_could_have_found_is_stated() -> None:
    comparison = compare(table("a", first(94)), table("b", first(92)))
    assert comparison.verdict == "no difference shown"
    assert comparison.single_run
    # 6 of 200 or more with 80 % probability takes 0.0394 where nothing is ever gained; a flip or so the other way,
    # which nobody can exclude, takes more.
    assert comparison.detectable is not None
    assert 0.0394 < comparison.detectable < 0.055


def test_among_several_comparisons_only_a_larger_loss_is_sure_to_be_found() -> None:
    names = ["w", "x", "y", "z"]
    tables = {name: table(name, first(94)) for name in names}
    comparisons = compare_runs(tables, {name: table(name, first(92)) for name in names})
    # Of four, Holm may ask for p < .0125: 8 lost of 200 (2 / 2^8 = .0078), where 7 (.0156) would not do.
    least = beta.ppf(0.8, 8, 193)
    for comparison in comparisons:
        assert comparison.detectable is not None
        assert least < comparison.detectable < 1.35 * least


def test_a_loss_beside_many_gains_takes_far_more_than_one_beside_none() -> None:
    # One repetition each of 200 questions, 22 lost and 27 gained. At 0.039 such a pair is told one time in six.
    right = np.arange(200)
    a, b = (right < 122), (right >= 22) & (right < 149)
    comparison = compare(table("a", a[None]), table("b", b[None]))
    assert (len(comparison.lost), len(comparison.gained)) == (22, 27)
    assert comparison.detectable is not None
    assert 0.10 < comparison.detectable < 0.14


def test_the_interval_is_the_widest_of_questions_runs_and_starts() -> None:
    a, b = noise(2, 6, together=0.04), noise(3, 6, together=0.04)
    names = [np.asarray([f"{side}{run // 2}" for run in range(6)], dtype=object) for side in "ab"]
    one, other = (changed(table(side, x), starts=n) for side, x, n in zip("ab", (a, b), names, strict=True))
    interval = compare(one, other).interval
    paired_t = ttest_rel(b.mean(axis=0), a.mean(axis=0)).confidence_interval(0.95)
    welch = ttest_ind(b.mean(axis=1), a.mean(axis=1), equal_var=False).confidence_interval(0.95)
    starts = ttest_ind(*(x.mean(axis=1).reshape(3, 2).mean(axis=1) for x in (b, a))).confidence_interval(0.95)
    widest = max((paired_t, welch, starts), key=lambda ends: ends.high - ends.low)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((widest.low, widest.high))


def test_a_difference_that_starts_could_explain_is_told_unless_there_are_enough_of_them() -> None:
    a, b = noise(2, 8), noise(3, 8, shift=-0.05)
    single = compare(table("a", a), table("b", b))
    assert (single.verdict, single.starts_could_explain) == ("worse", True)
    names = [np.asarray([f"{side}{run % 4}" for run in range(8)], dtype=object) for side in "ab"]
    one, other = (changed(table(s, x), starts=n) for s, x, n in zip("ab", (a, b), names, strict=True))
    spread = compare(one, other)
    assert (spread.a.starts, spread.b.starts) == (4, 4)
    assert spread.test is DecidedBy.STARTS
    assert spread.p_if_starts_differ is None
    assert not spread.starts_could_explain


def test_two_runs_a_side_are_too_few_to_name_a_loss() -> None:
    assert compare(table("a", noise(2, 2)), table("b", noise(3, 2))).detectable is None


def test_a_loss_that_is_said_to_be_found_is_found_where_whole_runs_move_too() -> None:
    losses, caught = [], 0
    for seed in range(40):
        a = noise(seed, 6, together=0.04)
        losses.append(compare(table("a", a), table("b", noise(seed + 100, 6, together=0.04))).detectable)
    loss = float(np.median([x for x in losses if x is not None]))
    for seed in range(200):
        a, b = noise(seed, 6, together=0.04), noise(seed + 500, 6, shift=-loss, together=0.04)
        caught += compare(table("a", a), table("b", b)).verdict == "worse"
    # Stated: at least 80 %; two standard errors of 200 draws are 5.7 %.
    assert caught / 200 > 0.8 - 0.057
    # And it is no empty promise: half of it would not be found as surely.
    half = [
        compare(table("a", noise(s, 6, together=0.04)), table("b", noise(s + 500, 6, -loss / 2, 0.04))).verdict
        for s in range(100)
    ]
    assert half.count("worse") < 60


def test_unequal_questions_are_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"200 and 198\): .*A test-203, test-204; .*B none"):
        compare(table("a", first(94)), table("b", first(94, questions=198)))


def test_questions_in_another_order_are_paired_by_name() -> None:
    a = table("a", first(94))
    turned = changed(a, question_ids=a.question_ids[::-1], correct=a.correct[:, ::-1])
    assert compare(a, turned).lost == ()


def test_a_variant_whose_repetitions_are_all_void_is_refused() -> None:
    with pytest.raises(BadInput, match="b: no complete repetition"):
        compare(table("a", first(94)), table("b", np.zeros((0, 200))))


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5.0])
def test_an_alpha_that_is_no_level_is_refused(alpha: float) -> None:
    with pytest.raises(BadInput, match="alpha is a probability"):
        compare(table("a", first(94)), table("b", first(94)), alpha)


def test_several_comparisons_share_the_level_by_holm() -> None:
    names = ["x", "y", "z"]
    before = {name: table(name, first(94)) for name in names}
    after = {name: table(name, first(94 - lost)) for name, lost in zip(names, (6, 0, 0), strict=True)}
    x, _, _ = compare_runs(before, after)
    assert [x.p_value, x.p_adjusted] == pytest.approx([2 / 2**6, 6 / 2**6])
    assert x.verdict == "no difference shown"
    [alone] = compare_runs(before, after, chosen=["x"])
    assert alone.verdict == "worse"


def test_runs_without_a_variant_in_common_are_refused() -> None:
    with pytest.raises(BadInput, match="A has x; B has y"):
        compare_runs({"x": table("x", first(94))}, {"y": table("y", first(94))})


def test_an_unknown_variant_names_the_nearest() -> None:
    tables = {"topk1-det": table("topk1-det", first(94))}
    with pytest.raises(BadInput, match="topk1det; did you mean topk1-det"):
        compare_runs(tables, tables, chosen=["topk1det"])


def run(*arguments: object) -> Result:
    """`sweep compare` with these arguments, in this process."""
    return CliRunner().invoke(command, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of 40 questions; in the second, mtp loses 12 of them."""
    folder = tmp_path_factory.mktemp("runs")
    before = finished(folder / "before", {"baseline": 4, "mtp": 4})
    after = finished(folder / "after", {"baseline": 4, "mtp": 16})
    return before.folder, after.folder


def test_the_command_gates_with_exit_code_5(runs: tuple[Path, Path]) -> None:
    before, after = runs
    assert run(before, after).exit_code == 0
    result = run(before, after, "--gate")
    assert result.exit_code == 5
    cells = {line.split()[0]: line.split() for line in reversed(result.output.splitlines()) if line}
    # Lost and gained questions.
    assert cells["baseline"][5:7] == ["0", "0"]
    assert cells["mtp"][5:7] == ["12", "0"]
    assert run(after, before, "--gate").exit_code == 0
    assert run(before, after, "--gate", "--variant", "baseline").exit_code == 0
    assert run(before, after, "--gate", "--alpha", "0.0001").exit_code == 0


def test_two_variants_of_one_run_are_compared(runs: tuple[Path, Path]) -> None:
    _, after = runs
    result = run(f"{after}:baseline", f"{after}:mtp", "--json")
    [comparison] = json.loads(result.stdout)["comparisons"]
    assert (comparison["a"]["variant"], comparison["b"]["variant"], comparison["verdict"]) == (
        "baseline",
        "mtp",
        "worse",
    )
    assert comparison["b"]["accept_length"] == pytest.approx(2.0)  # 8 tokens in 4 steps
    assert len(comparison["lost"]) == 12


def test_a_variant_named_on_one_side_holds_for_both(runs: tuple[Path, Path]) -> None:
    before, after = runs
    result = run(before, f"{after}:mtp", "--json")
    [comparison] = json.loads(result.stdout)["comparisons"]
    assert (comparison["a"]["variant"], comparison["b"]["variant"]) == ("mtp", "mtp")


def test_a_run_compared_with_itself_is_refused(runs: tuple[Path, Path]) -> None:
    result = run(runs[0], runs[0])
    assert isinstance(result.exception, BadInput)
    assert "RUN:VARIANT" in str(result.exception)


def test_another_protocol_is_named_beside_the_result(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = finished(tmp_path / "other", {"baseline": 4, "mtp": 4}, "protocol.max_tokens=32")
    result = run(runs[0], other.folder, "--json")
    assert "max_tokens 64 and 32" in result.stderr
    assert json.loads(result.stdout)["comparisons"]


def valued(values: npt.ArrayLike, metric: Metric) -> VariantSamples:
    numbers = np.asarray(values, dtype=np.float64)
    return changed(table("v", numbers == metric.best), value=numbers, metric=metric)


def test_values_that_all_differ_by_the_same_amount_are_compared_by_the_signs_alone() -> None:
    metric = Metric(name="f1", low=0, high=1)
    a = np.array([[0.1, 0.5, 0.3, 0.7, 0.6, 0.4]])
    found = compare(valued(a, metric), valued(a - 0.1, metric))
    assert found.test is DecidedBy.SIGN
    assert (found.p_mcnemar, found.lost, found.gained) == (None, (), ())
    assert found.p_value == pytest.approx(binomtest(0, 6, 0.5).pvalue)
    assert compare(valued(a, metric), valued(a, metric)).p_value == 1


def test_runs_of_other_metrics_do_not_compare() -> None:
    one, other = (valued([[0.1, 0.5]], Metric(name="f1", high=high)) for high in (1, 2))
    with pytest.raises(BadInput, match=r"0 to 1.*0 to 2"):
        compare(one, other)


def test_without_a_range_a_comparison_of_values_says_what_needs_none() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(50, 10, (4, 60))
    known, unknown = (Metric(name="bleu", low=low, high=high) for low, high in ((0, 100), (None, None)))
    moved = values + rng.normal(-1, 3, values.shape)
    inside = compare(valued(values, known), valued(moved, known))
    open_ended = compare(valued(values, unknown), valued(moved, unknown))
    assert open_ended.p_value == inside.p_value
    assert open_ended.interval == inside.interval
    assert open_ended.detectable == pytest.approx(inside.detectable, rel=1e-4)
    assert inside.p_if_starts_differ is not None
    assert open_ended.p_if_starts_differ is None
