"""Figures: what is drawn is what was measured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

mpl.use("Agg")

from sweep.gate.rules import FalseAlarmRule, MarginRule
from sweep.gate.threshold import derive, fit_all
from sweep.report.figures import power, repetitions, shortened, unstable, write_all
from sweep.stats.metric import Metric
from sweep.stats.noise import Fitted, failing
from sweep.stats.samples import VariantSamples
from sweep.stats.scores import Scores
from tests.tables import changed, table

NOISY = table("noisy", [[True, True, False, True], [True, False, False, True], [True, True, False, False]])
STILL = table("still", [[True, True, False, True]] * 3)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """What a test draws is closed: matplotlib warns of many that are open."""
    yield
    plt.close("all")


def test_every_repetition_is_a_point_and_the_threshold_a_line() -> None:
    axes = repetitions({"noisy": NOISY, "still": STILL}, 0.5).axes[0]
    points = sorted(float(x) for cloud in axes.collections for x, _ in cloud.get_offsets())
    assert points == sorted([0.75, 0.5, 0.5, 0.75, 0.75, 0.75])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["noisy", "still"]
    assert axes.get_legend().get_texts()[0].get_text() == "threshold 0.500"


def test_the_heat_map_shows_unstable_questions_only() -> None:
    axes = unstable({"noisy": NOISY, "still": STILL}).axes[0]
    assert sorted(label.get_text() for label in axes.get_yticklabels()) == ["test-6", "test-8"]
    assert np.allclose(axes.images[0].get_array(), [[2 / 3, 1], [2 / 3, 1]])


def many(names: list[str], questions: int) -> dict[str, VariantSamples]:
    """Every question right in one of two repetitions, so never stable."""
    return {name: table(name, [[True] * questions, [False] * questions]) for name in names}


@pytest.mark.parametrize(
    ("questions", "title"),
    [
        (60, "All 60 questions that are not answered alike throughout; 60 were asked"),
        (70, "The 60 least stable of 70 questions that are not answered alike throughout; 70 were asked"),
    ],
)
def test_the_heat_map_says_how_many_of_how_many_questions_it_shows(questions: int, title: str) -> None:
    assert " ".join(unstable(many(["a"], questions)).get_suptitle().split()) == title


@pytest.mark.parametrize("questions", [2, 60])
def test_long_names_leave_the_heat_map_its_room(questions: int) -> None:
    def height(names: list[str]) -> float:
        figure = unstable(many(names, questions))
        figure.canvas.draw()
        return float(figure.axes[0].get_window_extent().height)

    long = [f"speculation-with-topk{n}-and-an-overlapped-scheduler-on-triton" for n in (1, 3)]
    assert height(long) > 0.9 * height(["a", "b"])


def test_names_are_shortened_so_that_no_two_are_alike() -> None:
    assert shortened(["short", "x" * 24]) == ["short", "x" * 24]
    assert shortened(["baseline-on-triton-attention-v2"]) == ["baseline-on…attention-v2"]
    # Alike but for the middle; but for the beginning as well.
    names = ["a" * 20 + "1" + "a" * 20, "a" * 20 + "2" + "a" * 20]
    assert shortened(names) == ["a" * 20 + "1aa…", "a" * 20 + "2aa…"]
    assert len(set(shortened(["a" * 30 + "1" + "b" * 30, "a" * 30 + "2" + "b" * 30]))) == 2


def test_there_is_no_heat_map_and_no_curve_where_nothing_varies(tmp_path: Path) -> None:
    still = [Scores(variant="still", values=(0.75,) * 3, questions=4)]
    threshold = derive(MarginRule(), fit_all(still))
    assert unstable({"still": STILL}) is None
    assert power(fit_all(still), threshold) is None
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "power.png").write_bytes(b"of an earlier report")
    drawn = write_all({"still": STILL}, fit_all(still), threshold, tmp_path)
    assert drawn == ("figures/repetitions.png",)
    assert [file.name for file in (tmp_path / "figures").iterdir()] == ["repetitions.png"]


QUIET = Scores(variant="quiet", values=(0.60, 0.605, 0.61), questions=200)  # mean .605, std .005
LOUD = Scores(variant="loud", values=(0.40, 0.45, 0.50), questions=200)  # mean .45, std .05


def test_the_curves_are_of_the_rules_own_attempts_and_no_worse_build_fails_less_often() -> None:
    figure = power(fit_all([LOUD]), derive(MarginRule(retries=3), fit_all([LOUD])))
    assert "all 3 attempts" in figure.get_supylabel()
    axes = figure.axes[0]
    healthy, small, large = (line for line in axes.lines if len(line.get_xdata()) > 2)
    assert [line.get_label() for line in (small, large)] == ["mean lower by 0.02", "mean lower by 0.05"]
    noise = Fitted.to(LOUD).noise
    assert noise is not None
    at = list(healthy.get_xdata()).index(0.42)
    assert healthy.get_ydata()[at] == pytest.approx(failing(0.42, noise, 3)[1])
    assert (np.diff(healthy.get_ydata()) >= 0).all()
    assert (healthy.get_ydata() <= small.get_ydata()).all()
    assert (small.get_ydata() <= large.get_ydata()).all()
    assert healthy.get_ydata()[at] < small.get_ydata()[at] < large.get_ydata()[at]


def test_one_percent_is_a_tick_that_says_so() -> None:
    axes = power(fit_all([LOUD]), derive(MarginRule(), fit_all([LOUD]))).axes[0]
    ticks = dict(zip(axes.get_yticks(), (text.get_text() for text in axes.get_yticklabels()), strict=True))
    assert (ticks[0.01], ticks[0.8], ticks[0.95]) == ("1 %", "80 %", "95 %")
    low, high = axes.get_ylim()
    assert low < 0.01 < 0.95 < high
    # And apart from 0.1 % and 5 % by a tenth of the height, as on a linear axis it is not.
    shown = axes.transAxes.inverted().transform(axes.transData.transform([(0.4, p) for p in (0.001, 0.01, 0.05)]))
    assert (np.diff(shown[:, 1]) > 0.1).all()


def test_each_variants_own_threshold_is_marked_and_the_sweeps_where_it_is_in_sight() -> None:
    variants = [QUIET, LOUD]
    quiet, loud = power(fit_all(variants), derive(MarginRule(margin=0.03), fit_all(variants))).axes
    upright = {
        axes: [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2] for axes in (quiet, loud)
    }
    assert upright[loud] == pytest.approx([0.42, 0.42])
    # The sweep's .42 lies far under what is drawn of the quiet one.
    assert upright[quiet] == pytest.approx([0.575])
    assert [text.get_text() for text in quiet.texts] == ["◂ the sweep's 0.420"]
    assert quiet.get_title() == "quiet: own 0.575"


def test_a_threshold_far_under_the_mean_is_on_the_curve() -> None:
    # Three runs: false_alarm of alpha .0005 lies 36 std under the mean, by Student's t with 2 degrees of freedom.
    threshold = derive(FalseAlarmRule(rule="false_alarm", alpha=0.0005), fit_all([QUIET]))
    assert threshold.value is not None
    (axes,) = power(fit_all([QUIET]), threshold).axes
    assert axes.lines[0].get_xdata()[0] <= threshold.value < 0.605 - 30 * 0.005


def test_noise_that_perturbations_show_has_a_curve_too() -> None:
    still = Scores(variant="still", values=(0.47,) * 3, questions=200)
    level = Scores(variant="still", values=(0.45,) * 3, questions=200, factor="concurrency")
    fits = fit_all([still, level])
    (axes,) = power(fits, derive(MarginRule(), fits)).axes
    assert axes.get_title() == "still: own 0.440"


def test_a_watched_variants_curve_says_that_it_is_for_one_look() -> None:
    watched = Scores(variant="watched", values=(0.40, 0.45, 0.50), questions=200, looks=3)
    (axes,) = power(fit_all([watched]), derive(MarginRule(), fit_all([watched]))).axes
    assert re.findall(r"[\d.]+", axes.get_title()) == ["0.420", "3"]


def test_many_variants_have_a_row_each_with_marks_at_their_own_threshold_and_at_the_sweeps() -> None:
    means = [0.45 + 0.01 * number for number in range(12)]
    variants = [Scores(variant=f"v{m:.2f}", values=(m - 0.05, m, m + 0.05)) for m in means]
    figure = power(fit_all(variants), derive(MarginRule(margin=0.03), fit_all(variants)))
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [variant.variant for variant in variants]
    clouds = {cloud.get_label(): np.asarray(cloud.get_offsets()) for cloud in axes.collections}

    def fails(depth: float) -> float:  # of three runs whose std is .05
        return float(stats.t.cdf(-depth / 0.05 / (4 / 3) ** 0.5, 2))

    expected = {"the measured build, again": 0.0, "mean lower by 0.02": 0.02, "mean lower by 0.05": 0.05}
    for build, drop in expected.items():
        own, sweeps = (
            clouds[f"{build}, at {gate}"] for gate in ("the variant's own threshold", "the sweep's, 0.420")
        )
        assert own[:, 0] == pytest.approx([fails(0.03 - drop)] * 12)
        assert sweeps[:, 0] == pytest.approx([fails(mean - 0.42 - drop) for mean in means])
        assert np.abs(own[:, 1] - range(1, 13)).max() < 0.5


def test_marks_of_many_variants_stay_on_the_figure_and_are_left_out_without_a_threshold() -> None:
    still = Scores(variant="still", values=(0.6045, 0.605, 0.6055))  # std .0005
    fits = fit_all([replace(still, variant=f"v{number}") for number in range(9)])
    threshold = replace(derive(MarginRule(margin=0.03), fits), value=None)
    (axes,) = power(fits, threshold).axes
    drawn = np.concatenate([np.asarray(cloud.get_offsets())[:, 0] for cloud in axes.collections])
    assert np.isnan(drawn).sum() == 9 * 3
    # Student's t with 2 degrees of freedom of 52 and of 35: .0002, and .9996 for the drop of .05.
    assert (np.nanmin(drawn), np.nanmax(drawn)) == axes.get_xlim() == (0.0005, 0.998)


WER = Metric(name="wer", low=0, high=None, higher_is_better=False)
RATES = Scores(variant="rates", values=(0.20, 0.22, 0.18, 0.21, 0.19), metric=WER)


def test_where_less_is_better_the_curves_fall_from_the_mean_upwards() -> None:
    threshold = derive(FalseAlarmRule(alpha=0.01), fit_all([RATES]))
    figure = power(fit_all([RATES]), threshold)
    assert figure.get_supxlabel() == "threshold, wer (lower is better)"
    (axes,) = figure.axes
    healthy, small, large = (line for line in axes.lines if len(line.get_xdata()) > 2)
    assert [line.get_label() for line in (small, large)] == ["mean higher by 2 % of it", "mean higher by 5 % of it"]
    assert healthy.get_xdata()[0] == pytest.approx(0.2)
    assert healthy.get_ydata()[0] == pytest.approx(0.5)
    # At the rule's own threshold, m + t s sqrt(1 + 1/N), the measured build fails with its alpha.
    assert threshold.value == pytest.approx(0.2 + stats.t.ppf(0.99, 4) * (0.001 / 4) ** 0.5 * 1.2**0.5)
    assert threshold.value is not None
    assert np.interp(threshold.value, healthy.get_xdata(), healthy.get_ydata()) == pytest.approx(0.01, rel=0.05)
    assert (np.diff(healthy.get_ydata()) <= 0).all()
    assert (healthy.get_ydata() <= small.get_ydata()).all()
    assert (small.get_ydata() <= large.get_ydata()).all()


def test_values_are_drawn_by_their_own_name_and_the_lighter_the_better() -> None:
    values = np.array([[0.1, 0.5, 0.3], [0.1, 0.7, 0.3]])
    samples = changed(table("v", values == 0), value=values, metric=WER)
    assert repetitions({"v": samples}, 0.4).axes[0].get_xlabel() == "wer (lower is better) of a repetition"
    axes = unstable({"v": samples}).axes
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["test-6"]
    assert axes[0].images[0].cmap.name == "gray_r"
    assert axes[1].get_ylabel() == "mean wer (lower is better)"
