"""Figures of a run: repetitions by variant, unstable questions, false alarm against power. Readable in grey."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sweep.samples import VariantSamples
from sweep.scores import from_samples
from sweep.threshold import power_curve

SHOWN = 60
"""Most questions in the heat map, the least stable first."""
DROPS = (0.02, 0.05)
"""Drops of the mean whose detection is drawn, in accuracy."""
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))


def write_all(samples: Mapping[str, VariantSamples], threshold: float | None, folder: Path) -> list[Path]:
    """Draw every figure that the samples have something for, as PNG; returns the files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(exist_ok=True)
    measured = {name: table for name, table in samples.items() if table.correct.size}
    drawn = {
        "repetitions": repetitions(measured, threshold),
        "unstable": unstable(measured),
        "power": power(measured),
    }
    files = []
    for name, figure in drawn.items():
        if figure is not None:
            file = folder / f"{name}.png"
            figure.savefig(file, dpi=150)
            plt.close(figure)
            files.append(file)
    return files


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
    if threshold is not None:
        axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.3f}")
        axes.legend(loc="best")
    axes.set_yticks(range(1, len(samples) + 1), list(samples))
    axes.invert_yaxis()
    axes.set_xlabel("accuracy of a repetition")
    return figure


def unstable(samples: Mapping[str, VariantSamples]) -> Any:
    """Questions by variants, the share of repetitions right; None when no question is ever unstable."""
    import matplotlib.pyplot as plt

    if not samples:
        return None
    shares = np.array([table.correct.mean(axis=0) for table in samples.values()]).T
    doubt = (shares * (1 - shares)).sum(axis=1) + shares.var(axis=1)
    chosen = [row for row in np.argsort(-doubt, kind="stable") if doubt[row] > 0][:SHOWN]
    if not chosen:
        return None
    ids = next(iter(samples.values())).question_ids
    figure, axes = plt.subplots(figsize=(2 + 0.9 * len(samples), 2 + 0.16 * len(chosen)), layout="constrained")
    image = axes.imshow(shares[chosen], cmap="gray", vmin=0, vmax=1, aspect="auto")
    axes.set_yticks(range(len(chosen)), [ids[row] for row in chosen], fontsize=6)
    axes.set_xticks(range(len(samples)), list(samples), rotation=45, ha="right")
    axes.set_title(
        f"{len(chosen)} of {int((doubt > 0).sum())} questions that are not the same everywhere", fontsize=9
    )
    figure.colorbar(image, label="share of repetitions right")
    return figure


def power(samples: Mapping[str, VariantSamples]) -> Any:
    """False alarm and power along the threshold of each variant with a spread; None without such."""
    import matplotlib.pyplot as plt

    curves = {name: power_curve(from_samples(table), DROPS) for name, table in samples.items()}
    known = {name: curve for name, curve in curves.items() if curve is not None}
    if not known:
        return None
    figure, rows = plt.subplots(
        len(known), 1, figsize=(7, 1 + 2.2 * len(known)), layout="constrained", squeeze=False
    )
    for (name, curve), axes in zip(known.items(), rows[:, 0], strict=True):
        axes.plot(curve.thresholds, curve.false_alarm, color="black", linestyle=STYLES[0], label="healthy build")
        for drop, line, style in zip(curve.drops, curve.power, STYLES[1:], strict=False):
            axes.plot(curve.thresholds, line, color="black", linestyle=style, label=f"drop of {drop:g}")
        axes.set_title(name, fontsize=9)
        axes.set_ylabel("P(fails the gate)")
        axes.legend(fontsize=7)
    rows[-1, 0].set_xlabel("threshold, accuracy")
    return figure
