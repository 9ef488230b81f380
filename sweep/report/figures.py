"""Figures of a run: repetitions by variant, unstable questions, false alarm against power. Readable in grey."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from sweep.disk import aside, remove, writing
from sweep.gate.power_curve import PowerCurve, chances, power_curve
from sweep.gate.threshold import Fits, Threshold
from sweep.report.promises import loose
from sweep.stats.averaged import averaged
from sweep.stats.metric import Metric
from sweep.stats.noise import Fitted
from sweep.stats.samples import VariantSamples

SHOWN = 60
"""Most questions in the heat map, the least stable first."""
DROPS = (0.02, 0.05)
"""Losses of the mean whose detection is drawn, of the metric's range; of the mean itself where none is known."""
PANELS = 8
"""Most variants that have a panel of curves each; more would be pages of them."""
ROUNDING = 1e-20
"""A variance below this, of values around 1, is that of equal ones."""
LONGEST = 24
"""Characters of a variant's name beside an axis."""
MARKS = ("o", "s", "^")
"""Of the `_builds`."""
STYLES = ("-", "--", ":", (0, (5, 1)), (0, (1, 1)))
SHARES = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)
"""Ticks of a probability, from what is asked of a false alarm to what is asked of power."""
SEEN = (SHARES[0] / 2, 1 - SHARES[0] * 2)
"""The ends of an axis of probabilities; on a logit one, 1 % can be read as well as 80 and 95 %."""


@contextmanager
def drawn(samples: Mapping[str, VariantSamples], fits: Fits, threshold: Threshold) -> Iterator[dict[str, Any]]:
    """Every figure by its name, None where there is no data for it; closed at the end.

    `fits`: what the threshold was derived from.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    measured = {name: table for name, table in samples.items() if table.correct.size}
    figures = {
        "repetitions": repetitions(measured, threshold.value),
        "unstable": unstable(measured),
        "power": power(fits, threshold),
    }
    try:
        yield figures
    finally:
        for figure in filter(None, figures.values()):
            plt.close(figure)


def write_all(
    samples: Mapping[str, VariantSamples], fits: Fits, threshold: Threshold, run: Path
) -> tuple[str, ...]:
    """Draw every figure that there is data for, as PNG; returns their places in the run folder. Older ones go.

    `fits`: as for `drawn`.
    """
    with writing(run / "figures"):
        (run / "figures").mkdir(exist_ok=True)
    with drawn(samples, fits, threshold) as figures:
        places = {f"figures/{name}.png": figure for name, figure in figures.items()}
        for file, figure in places.items():
            if figure is None:
                remove(run / file)
            else:
                with aside(run / file) as there:
                    figure.savefig(there, dpi=150, format="png")
    return tuple(file for file, figure in places.items() if figure is not None)


def as_svg(samples: Mapping[str, VariantSamples], fits: Fits, threshold: Threshold) -> dict[str, bytes]:
    """Every figure that there is data for, by its name, as SVG on no background. `fits`: as for `drawn`."""
    images = {}
    with drawn(samples, fits, threshold) as figures:
        for name, figure in figures.items():
            if figure is not None:
                image = BytesIO()
                figure.savefig(image, format="svg", transparent=True, metadata={"Date": None})
                images[name] = image.getvalue()
    return images


def repetitions(samples: Mapping[str, VariantSamples], threshold: float | None) -> Any:
    """Box and points of each variant's repetitions; None without any."""
    import matplotlib.pyplot as plt

    if not samples:
        return None
    figure, axes = plt.subplots(figsize=(8, 1.5 + 0.5 * len(samples)), layout="constrained")
    scores = [table.scores for table in samples.values()]
    axes.boxplot(scores, orientation="horizontal", showfliers=False, medianprops={"color": "black"})
    for row, values in enumerate(scores, 1):
        # Points of equal scores would hide one another: spread them across the row.
        offsets = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else np.zeros(1)
        axes.scatter(values, row + offsets, marker="o", facecolors="none", edgecolors="black", s=18, zorder=3)
    metric = next(iter(samples.values())).metric
    if threshold is not None:
        axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {loose(threshold, metric)}")
        axes.legend(loc="best")
    axes.set_yticks(range(1, len(samples) + 1), shortened(list(samples)))
    axes.invert_yaxis()
    axes.set_xlabel(f"{_named(metric)} of a repetition")
    return figure


def _named(metric: Metric) -> str:
    """The metric's name, and its better end where that is not plain."""
    return metric.name if metric.higher_is_better else f"{metric.name} (lower is better)"


def unstable(samples: Mapping[str, VariantSamples]) -> Any:
    """Questions by variants, the share of repetitions right or the mean value; None when no question is ever
    unstable."""
    import matplotlib.pyplot as plt

    if not samples:
        return None
    metric = next(iter(samples.values())).metric
    shares = np.array([table.value.mean(axis=0) for table in samples.values()]).T
    spreads = (
        shares * (1 - shares) if metric.counts else np.array([t.value.var(axis=0) for t in samples.values()]).T
    )
    doubt = spreads.sum(axis=1) + shares.var(axis=1)
    doubt[doubt < ROUNDING * max(1.0, float(np.abs(shares).max()) ** 2)] = 0
    chosen = [row for row in np.argsort(-doubt, kind="stable") if doubt[row] > 0][:SHOWN]
    if not chosen:
        return None
    ids, names = next(iter(samples.values())).question_ids, shortened(list(samples))
    # What slanted names need is added to the height, not taken from the map: 0.06 inches a character.
    width = 3 + 0.7 * len(samples)
    height = 1.2 + 0.06 * max(map(len, names)) + 0.16 * len(chosen)
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    low, high = (0.0, 1.0) if metric.counts else (None, None)
    grey = "gray" if metric.higher_is_better else "gray_r"
    image = axes.imshow(shares[chosen], cmap=grey, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(chosen)), [ids[row] for row in chosen], fontsize=6)
    axes.set_xticks(range(len(samples)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    unlike = int((doubt > 0).sum())
    which = f"The {len(chosen)} least stable of {unlike}" if len(chosen) < unlike else f"All {unlike}"
    title = f"{which} questions that are not answered alike throughout; {len(doubt)} were asked"
    figure.suptitle(fill(title, int(width * 13)), fontsize=9)
    figure.colorbar(image, label="share of repetitions right" if metric.counts else f"mean {_named(metric)}")
    return figure


def shortened(names: Sequence[str]) -> list[str]:
    """The names for an axis. Of long ones the middle is left out, or what else leaves no two alike."""
    half = LONGEST // 2
    for start, end in ((half - 1, half), (LONGEST - 1, 0), (0, LONGEST - 1)):
        short = [name if len(name) <= LONGEST else f"{name[:start]}…{name[len(name) - end :]}" for name in names]
        if len(set(short)) == len(set(names)):
            return short
    return list(names)


def power(fits: Fits, threshold: Threshold) -> Any:
    """How often builds like each variant with noise fail the gate, in the rule's own attempts; None without noise.

    Along the threshold in a panel for each variant; of more than PANELS, at two thresholds in a row for each.
    """
    noisy = {
        name: averaged(fitted.better_up(), threshold.runs_per_attempt)
        for name, fitted in fits.items()
        if fitted and fitted.noise
    }
    if not noisy:
        return None
    return _panels(noisy, threshold) if len(noisy) <= PANELS else _rows(noisy, threshold)


def _turned(value: float | None, metric: Metric) -> float | None:
    """A score as it is measured to one of which more is the better, and back."""
    return value if value is None or metric.higher_is_better else metric.mirrored(value)


def _drops(fitted: Fitted) -> tuple[float, ...]:
    return tuple(drop * (fitted.metric.span or abs(fitted.mean)) for drop in DROPS)


def _builds(metric: Metric) -> tuple[str, ...]:
    """What the curves are of."""
    worse = "lower" if metric.higher_is_better else "higher"
    losses = [f"{drop * 100:g} % of it" if metric.span is None else f"{drop * metric.span:g}" for drop in DROPS]
    return ("the measured build, again", *(f"mean {worse} by {loss}" for loss in losses))


def _panels(fits: Mapping[str, Fitted], threshold: Threshold) -> Any:
    import matplotlib.pyplot as plt

    columns = 1 if len(fits) < 3 else 2
    rows = -(-len(fits) // columns)
    size = (7 if columns == 1 else 11, 1.2 + 2.6 * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for (name, fitted), axes in zip(fits.items(), grid.flat, strict=False):
        own = _turned(threshold.variants[name].value, threshold.metric)
        if curve := power_curve(fitted, _drops(fitted), threshold.retries, own):
            _draw(axes, name, curve, threshold)
    for axes in grid.flat[len(fits) :]:
        axes.set_visible(False)
    # A line that lies outside one panel may be in another: every label once, of wherever it is drawn.
    drawn = [axes.get_legend_handles_labels() for axes in grid.flat]
    labels = {text: line for lines, texts in drawn for line, text in zip(lines, texts, strict=True)}
    figure.legend(labels.values(), labels.keys(), loc="outside upper center", ncols=3, fontsize=9)
    figure.supylabel(_of_failing(threshold), fontsize=10)
    figure.supxlabel(f"threshold, {_named(threshold.metric)}", fontsize=10)
    return figure


def _of_failing(threshold: Threshold) -> str:
    attempts = f"all {threshold.retries} attempts" if threshold.retries > 1 else "the gate"
    return f"probability of failing {attempts}"


def _rows(fits: Mapping[str, Fitted], threshold: Threshold) -> Any:
    """A row for each variant: filled marks at its own threshold and, under them, hollow ones at the sweep's."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 1.8 + 0.32 * len(fits)), layout="constrained")
    axes.set_xscale("logit")
    axes.set_xlim(*SEEN)
    axes.set_xticks(SHARES, [f"{share * 100:g} %" for share in SHARES], fontsize=8)
    axes.set_xticks([], minor=True)
    axes.grid(color="0.85", linewidth=0.6)
    noisy = [(fitted.noise, _drops(fitted)) for fitted in fits.values() if fitted.noise]
    own, overall = [threshold.variants[name].value for name in fits], threshold.value
    builds = _builds(threshold.metric)
    sweeps = "the sweep's" if overall is None else f"the sweep's, {loose(overall, threshold.metric)}"
    rows = np.arange(len(fits)) + 1
    for where, values, places, face in (
        ("the variant's own threshold", own, rows - 0.15, "black"),
        (sweeps, [overall] * len(fits), rows + 0.15, "white"),
    ):
        shares = [
            np.full(len(builds), np.nan) if value is None else chances(noise, value, drops, threshold.retries)
            for (noise, drops), given in zip(noisy, values, strict=True)
            for value in [_turned(given, threshold.metric)]
        ]
        for build, mark, column in zip(builds, MARKS, np.clip(np.asarray(shares), *SEEN).T, strict=True):
            axes.scatter(
                column,
                places,
                marker=mark,
                c=face,
                edgecolors="black",
                s=24,
                zorder=3,
                clip_on=False,
                label=f"{build}, at {where}",
            )
    axes.set_yticks(range(1, len(fits) + 1), shortened(list(fits)), fontsize=8)
    axes.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    looks = max(noise.looks for noise, _ in noisy)
    look = f", for one of up to {looks} looks" if looks > 1 else ""
    axes.set_xlabel(f"{_of_failing(threshold)}{look}; what is beyond the scale is at its end")
    return figure


def _draw(axes: Any, name: str, curve: PowerCurve, threshold: Threshold) -> None:
    """One variant's panel: the curves, its own threshold and the sweep's."""
    axes.set_yscale("logit")
    axes.set_ylim(*SEEN)
    axes.set_yticks(SHARES, [f"{share * 100:g} %" for share in SHARES], fontsize=8)
    axes.set_yticks([], minor=True)
    axes.grid(axis="y", color="0.85", linewidth=0.6)
    metric = threshold.metric
    up = metric.higher_is_better
    places, where = (curve.thresholds, "pre") if up else (metric.mirror - curve.thresholds[::-1], "post")
    for label, line, style in zip(_builds(metric), (curve.false_alarm, *curve.power), STYLES, strict=False):
        chance = line if up else line[::-1]
        axes.step(places, chance, where=where, color="black", linestyle=style, linewidth=1.4, label=label)
    notes = []
    variant, overall = threshold.variants[name].value, threshold.value
    if variant is not None:
        axes.axvline(variant, color="0.45", linewidth=2.5, alpha=0.6, label="the variant's own threshold")
        notes.append(f"own {loose(variant, metric)}")
    if overall is not None and places[0] <= overall <= places[-1]:
        axes.axvline(
            overall,
            color="black",
            linestyle="-.",
            linewidth=0.9,
            label=f"the sweep's threshold, {loose(overall, metric)}",
        )
    elif overall is not None:
        text, place, side = (
            (f"◂ the sweep's {loose(overall, metric)}", 0.01, "left")
            if up
            else (f"the sweep's {loose(overall, metric)} ▸", 0.99, "right")
        )
        axes.annotate(text, (place, 0.9), xycoords="axes fraction", fontsize=8, ha=side)
    if curve.looks > 1:
        notes.append(f"for one of {curve.looks} looks")
    axes.set_title(": ".join([name, ", ".join(notes)]) if notes else name, fontsize=9)
