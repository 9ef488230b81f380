"""Do the threshold rules keep what they state? Simulated sweeps of known truth, as a Markdown table.

    python tests/benchmarks/calibration.py            2,000 sweeps a cell, a few seconds
    python tests/benchmarks/calibration.py --quick    200 sweeps a cell

Each sweep draws the scores of N repetitions from the generative model of `sweep.gate.planning` and derives a
threshold by each rule. The truth is not simulated: given what moves a run, its score is a sum of independent
answers with known probabilities, whose distribution is worked out exactly; the common cause is integrated over.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from sweep.gate.planning import Model, latent, simulate
from sweep.gate.rules import (
    Estimates,
    FalseAlarmRule,
    MarginRule,
    MinObservedRule,
    ThresholdRule,
    ToleranceRule,
)
from sweep.plan.config import StopRule
from sweep.run.stopping import bound_width, looks

Floats = npt.NDArray[np.float64]

MODELS = {
    "independent": Model(accuracy=0.378, flip_rate=0.176, questions=200),
    "common cause": Model(accuracy=0.415, flip_rate=0.176, questions=200, common_cause=0.056),
    "quiet": Model(accuracy=0.47, flip_rate=0.02, questions=200),
    "50 questions": Model(accuracy=0.5, flip_rate=0.1, questions=50),
}
"""The published spread of a Gemma4 baseline (std .021) and of MTP with top-k 3 (std .06); a run-to-run std of
one and a half questions; and few questions."""
REPETITIONS = (5, 10, 20, 50)
NODES = 96
"""Of the integral over the common cause."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The exact distribution of one model's scores."""

    weights: Floats
    """(U,): of the common cause's nodes."""
    below: Floats
    """(U, Q + 2): probability of fewer than k right answers, k = 0 .. Q + 1, at each node."""

    def fails(self, limits: Floats, attempts: int = 1, shared: bool = False) -> Floats:
        """(S,): probability that all attempts of a healthy build score below each of (S,) thresholds.

        `shared`: the attempts have the common cause's value in common, as on one bad machine.
        """
        questions = self.below.shape[1] - 2
        least = np.clip(np.ceil(limits * questions - 1e-9), 0, questions + 1).astype(int)
        at_nodes = self.below[:, least]
        if shared:
            return np.asarray(self.weights @ at_nodes**attempts)
        return np.asarray((self.weights @ at_nodes) ** attempts)


def truth(model: Model) -> Truth:
    """Poisson-binomial distributions at the nodes of the common cause, by adding one question at a time."""
    means, cause, own_noise = latent(model)
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES if cause else 1)
    chances = special.ndtr((means[None, :] + cause * nodes[:, None]) / own_noise)
    mass = np.zeros((len(nodes), model.questions + 1))
    mass[:, 0] = 1.0
    for chance in chances.T:
        moved = mass[:, :-1] * chance[:, None]
        mass *= 1 - chance[:, None]
        mass[:, 1:] += moved
    below = np.concatenate([np.zeros((len(nodes), 1)), mass.cumsum(axis=1)], axis=1)
    return Truth(weights=weights / weights.sum(), below=below)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one rule did over all sweeps of a row."""

    text: str
    """Realised: a share of sweeps for `tolerance`, else the mean probability of a false alarm."""
    kept: bool
    """Within what the rule states, two standard errors of the simulation allowed."""


COLUMNS: dict[str, tuple[ThresholdRule, int, bool]] = {
    "tolerance .99/.95: sweeps at <= 1 %": (ToleranceRule(rule="tolerance"), 1, False),
    "false_alarm .01": (FalseAlarmRule(rule="false_alarm"), 1, False),
    "of 3 attempts, independent": (FalseAlarmRule(rule="false_alarm", retries=3), 3, False),
    "of 3 attempts, one cause": (FalseAlarmRule(rule="false_alarm", retries=3), 3, True),
    "min_observed": (MinObservedRule(rule="min_observed"), 1, False),
    "margin .03": (MarginRule(), 1, False),
}
"""Heading to rule, attempts, and whether the attempts share the common cause."""


def study(sweeps: int, seed: int) -> Iterator[tuple[str, int, list[Cell]]]:
    """A row for each model and number of repetitions."""
    for name, model in MODELS.items():
        exact = truth(model)
        for n in REPETITIONS:
            scores = simulate(model, sweeps, n, np.random.default_rng([seed, n]))
            cells = [
                _cell(rule, n, exact.fails(_thresholds(rule, scores, model.questions), attempts, shared))
                for rule, attempts, shared in COLUMNS.values()
            ]
            yield name, n, cells


def _thresholds(rule: ThresholdRule, scores: Floats, questions: int) -> Floats:
    """The rule's threshold for each row of scores; 0, which fails nothing, for none."""
    return np.nan_to_num(rule.thresholds(Estimates.of_scores(scores, questions)))


def _cell(rule: ThresholdRule, n: int, fails: Floats) -> Cell:
    if isinstance(rule, ToleranceRule):
        share = float((fails <= 1 - rule.coverage).mean())
        error = (rule.confidence * (1 - rule.confidence) / len(fails)) ** 0.5
        return Cell(text=f"{share * 100:.1f} %", kept=share >= rule.confidence - 2 * error)
    mean, error = float(fails.mean()), float(fails.std(ddof=1)) / len(fails) ** 0.5
    stated = {"false_alarm": 0.01, "min_observed": 1 / (n + 1)}.get(rule.rule, 1.0)
    return Cell(text=f"{mean * 100:.2f} %", kept=mean <= stated + 2 * error)


STOPS = {
    "independent": (0.08, 0.1, 0.15),
    "common cause": (0.25, 0.3, 0.4),
    "quiet": (0.03, 0.04, 0.06),
}
"""Model to the widths at which a sweep of 50 repetitions stops; the wider, the sooner."""
LONGEST = 50


def stopped(sweeps: int, seed: int) -> Iterator[tuple[str, float, float, list[Cell]]]:
    """Model, width, mean repetitions, and what the two rules keep after stopping: as if nobody had looked, and
    with the looks accounted for."""
    for name, widths in STOPS.items():
        model = MODELS[name]
        exact = truth(model)
        scores = simulate(model, sweeps, LONGEST, np.random.default_rng([seed, LONGEST]))
        for width in widths:
            ends = _ends(scores, StopRule(width=width))
            cells = []
            for among in (1, len(looks(LONGEST))):
                for rule in (ToleranceRule(rule="tolerance"), FalseAlarmRule(rule="false_alarm")):
                    limits = np.empty(sweeps)
                    for end in set(ends.tolist()):
                        chosen = ends == end
                        limits[chosen] = _thresholds(_shared(rule, among), scores[chosen, :end], model.questions)
                    cells.append(_cell(rule, LONGEST, exact.fails(limits)))
            yield name, width, float(ends.mean()), cells


def _ends(scores: Floats, rule: StopRule) -> npt.NDArray[np.int64]:
    """(S,): after how many of (S, LONGEST) repetitions each sweep stops."""
    planned = looks(LONGEST)
    ends = np.full(len(scores), LONGEST)
    for row, values in enumerate(scores):
        for n in planned[:-1]:
            width = bound_width([float(value) for value in values[:n]], rule, len(planned))
            if width is not None and rule.width is not None and width < rule.width:
                ends[row] = n
                break
    return ends


def _shared(rule: ToleranceRule | FalseAlarmRule, among: int) -> ThresholdRule:
    """The rule with one look's share of its error, as `sweep.gate.threshold` gives it."""
    if isinstance(rule, ToleranceRule):
        return rule.model_copy(update={"confidence": 1 - (1 - rule.confidence) / among})
    return rule.model_copy(update={"alpha": rule.alpha / among})


def _bold(cells: list[Cell]) -> str:
    return " | ".join(cell.text if cell.kept else f"**{cell.text}**" for cell in cells)


def main() -> None:
    """Print the tables; what is not kept is bold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200 sweeps a cell")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sweeps = 200 if options.quick else 2000
    print(f"| noise | N | {' | '.join(COLUMNS)} |")
    print(f"|---|---:|{'---:|' * len(COLUMNS)}")
    for name, n, cells in study(sweeps, options.seed):
        print(f"| {name} | {n} | {_bold(cells)} |")
    headings = ("stops under", "mean N", "tolerance, unaware", "false_alarm, unaware", "tolerance", "false_alarm")
    print(f"\n| noise | {' | '.join(headings)} |")
    print(f"|---|{'---:|' * 6}")
    for name, width, mean, cells in stopped(sweeps, options.seed):
        print(f"| {name} | {width:g} | {mean:.1f} | {_bold(cells)} |")


if __name__ == "__main__":
    main()
