"""A bound on the time of a sweep whose units and engines are whole, by column generation. Pure.

An engine's work is a pattern: how many units it runs of each variant, with a start for each of these. In a time T
the sweep is impossible when the linear program that covers all units with the fewest patterns needs more engines
than there are (Gilmore and Gomory 1961). A pattern of the most worth at the program's prices is found on a grid of
times, each rounded down, so that the bound stays one; it is left as soon as Farley's bound (1990) exceeds the
engines.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

GRID = 400
PRECISION = 0.004
EPSILON = 1e-9
Vector = npt.NDArray[np.float64]


def engine_bound(
    start: float, seconds: Sequence[float], units: Sequence[int], engines: int, within: float
) -> float:
    """Seconds that no schedule beats, to within PRECISION; `within` is what some schedule takes.

    `seconds` and `units` are each variant's, and `start` is the same for all.
    """
    low = start + max(seconds)
    while within > (1 + PRECISION) * low:
        middle = (low * within) ** 0.5
        low, within = (middle, within) if impossible(start, seconds, units, engines, middle) else (low, middle)
    return low


def impossible(start: float, seconds: Sequence[float], units: Sequence[int], engines: int, end: float) -> bool:
    """Whether not all units can be run by then, which is late enough for one of each."""
    patterns = [np.diag([min(n, int((end - start) / u + EPSILON)) for n, u in zip(units, seconds, strict=True)])]
    while True:
        cover = np.hstack(patterns).astype(float)
        program = linprog(np.ones(cover.shape[1]), A_ub=-cover, b_ub=-np.asarray(units, float), method="highs")
        fewest = float(program.fun or 0.0)
        if fewest <= engines + EPSILON:
            return False
        worth, pattern = dearest(-program.ineqlin.marginals, start, seconds, units, end)
        if fewest / max(worth, 1.0) > engines + 1e-6:
            return True
        if worth <= 1 + 1e-7:
            return False
        patterns.append(np.asarray(pattern)[:, None])


def dearest(
    prices: Vector, start: float, seconds: Sequence[float], units: Sequence[int], end: float
) -> tuple[float, list[int]]:
    """The pattern of the most worth when a unit of each variant has a price: its worth, and its units."""
    best, chosen = np.zeros(GRID + 1), []
    widths = [
        [int((start + n * each) / end * GRID + EPSILON) for n in range(most + 1)]
        for each, most in zip(seconds, units, strict=True)
    ]
    for price, width in zip(prices, widths, strict=True):
        before, count = best.copy(), np.zeros(GRID + 1, int)
        for n in range(1, len(width)):
            if price <= EPSILON or width[n] > GRID:
                break
            worth = before[: GRID + 1 - width[n]] + price * n
            more = worth > best[width[n] :] + 1e-12
            best[width[n] :][more] = worth[more]
            count[width[n] :][more] = n
        chosen.append(count)
    room, pattern = int(np.argmax(best)), list[int]()
    for count, width in zip(reversed(chosen), reversed(widths), strict=True):
        pattern.append(int(count[room]))
        room -= width[pattern[-1]] if pattern[-1] else 0
    return float(best.max()), pattern[::-1]
