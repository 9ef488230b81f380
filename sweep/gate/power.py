"""Before GPU hours are spent: how many repetitions a gate needs, worked out for normal run scores. Pure.

`sweep.gate.rehearsal` checks it by simulation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from sweep.errors import BadInput
from sweep.stats.describe import Floats
from sweep.stats.noise import false_alarm_factor

MOST = 10_000
"""Repetitions beyond which no plan looks."""
MOST_QUESTIONS = 1_000_000
"""In a run: beyond, one rehearsal takes minutes."""
MOST_RETRIES = 1_000
"""Attempts, likewise."""
EXTREME = 1e-6
"""How near to 0 and 1 alpha, power and accuracy may be: nothing measured tells how run scores are distributed
farther out, and a normal distribution is no argument."""
SLACK = 1e-9
"""In factors k: what floating point may be off 0."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is expected of an engine."""

    accuracy: float
    """Mean score, in 0..1 exclusive."""
    flip_rate: float
    """Share of questions that flip between two runs from independent noise, 0 to 2 p (1-p)."""
    questions: int
    """In a run, 2 to 1,000,000."""
    common_cause: float = 0.0
    """Standard deviation of what moves a whole run, in accuracy, under sqrt(p (1-p))."""

    def __post_init__(self) -> None:
        """Raises BadInput for what cannot be."""
        if not 0 < self.accuracy < 1:
            raise BadInput(f"accuracy must lie between 0 and 1, got {self.accuracy:g}")
        if not EXTREME <= self.accuracy <= 1 - EXTREME:
            raise BadInput(
                f"accuracy {self.accuracy:.9g} leaves no room to gate: scores are all but constant there; plan for "
                f"{EXTREME:g} to {1 - EXTREME:g}"
            )
        if self.questions < 2:
            raise BadInput(f"questions must be at least 2, got {self.questions}")
        if self.questions > MOST_QUESTIONS:
            raise BadInput(
                f"questions: at most {MOST_QUESTIONS:,} in a run can be planned for, got {self.questions:,}: more "
                "cannot be rehearsed in reasonable time; plan for fewer"
            )
        if not 0 <= self.common_cause < 0.5:
            raise BadInput(f"the common cause is a std of accuracies, 0 to 0.5, got {self.common_cause:g}")
        self._check_flips()
        if self.std == 0:
            raise BadInput(
                "a flip rate of 0 is an engine that repeats itself exactly: its repetitions show no noise, "
                "and no number of them sets a threshold; perturb it (order, concurrency, build) instead"
            )

    def _check_flips(self) -> None:
        """Law of total variance: what moves whole runs and what flips questions share the answers' p (1-p)."""
        variance = self.accuracy * (1 - self.accuracy)
        if self.common_cause**2 >= variance:
            raise BadInput(
                f"a common cause of {self.common_cause:g} cannot be at accuracy {self.accuracy:g}: the std of "
                f"scores in 0..1 is at most sqrt(p (1-p)) = {math.sqrt(variance):.3f}; give a smaller one"
            )
        beside = f" beside a common cause of {self.common_cause:g}" if self.common_cause else ""
        formula = "2 (p (1-p) - s^2)" if self.common_cause else "2 p (1-p)"
        most = 2 * (variance - self.common_cause**2)
        # A product of decimals is itself a rounding error off: 2 * .9 * .1 is more than 2 * .9 * (1 - .9).
        if not 0 <= self.flip_rate <= most * (1 + 1e-9):
            raise BadInput(
                f"a flip rate of {self.flip_rate:g} cannot be at accuracy {self.accuracy:g}{beside}: independent "
                f"noise flips at most {formula} = {most:.3f} of the questions, and at least none"
            )

    @property
    def std(self) -> float:
        """Of run scores: sqrt(flip rate / (2 n) + common cause^2)."""
        return math.sqrt(self.flip_rate / (2 * self.questions) + self.common_cause**2)

    @cached_property
    def latent(self) -> tuple[Floats, float, float]:
        """mu + spread z_q of each question (Q,), cause, and own.

        Given the cause, two runs agree on a question as two normals do whose correlation is what they share;
        two questions of one run, drawn at random, share the cause alone, and the std of expected scores is
        `common_cause` when they disagree with probability 2 (p (1-p) - common_cause^2).
        """
        from scipy import special

        height, variance = float(special.ndtri(self.accuracy)), self.accuracy * (1 - self.accuracy)
        shared = _correlation(height, self.flip_rate)
        of_run = _correlation(height, 2 * (variance - self.common_cause**2)) if self.common_cause else 0.0
        scale = math.sqrt(1 / (1 - of_run))
        spread = scale * math.sqrt(max(shared - of_run, 0.0))
        own = scale * math.sqrt(1 - shared)
        cause = scale * math.sqrt(of_run)
        difficulty = spread * special.ndtri((np.arange(self.questions) + 0.5) / self.questions)
        # An engine that flips next to nothing still has noise: what divides by it stays finite.
        own = max(own, 1e-6)
        return difficulty + centre(difficulty, math.hypot(own, cause), self.accuracy), cause, own


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What the gate is to do."""

    alpha: float
    """Probability that a healthy build fails all its attempts, in 0..1 exclusive."""
    drop: float
    """The drop of the mean to catch, in accuracy."""
    power: float = 0.8
    """Probability of catching it, in 0..1 exclusive."""
    retries: int = 1
    """Attempts; a build passes if one does."""

    def __post_init__(self) -> None:
        """Raises BadInput for what cannot be, or cannot be told."""
        for name in ("alpha", "drop", "power"):
            if not 0 < getattr(self, name) < 1:
                raise BadInput(f"{name} must lie between 0 and 1, got {getattr(self, name):g}")
        for name in ("alpha", "power"):
            if not EXTREME <= getattr(self, name) <= 1 - EXTREME:
                raise BadInput(
                    f"{name} {getattr(self, name):.9g} is out of reach: no measurement tells how scores are "
                    f"distributed so far out; ask for {EXTREME:g} to {1 - EXTREME:g}"
                )
        if self.power <= self.alpha:
            raise BadInput(
                f"power {self.power:g} is not above alpha {self.alpha:g}: a gate that may fail healthy builds as "
                "often as it is to catch worse ones tells nothing; lower alpha or raise the power"
            )
        if self.retries < 1:
            raise BadInput(f"retries counts all attempts, at least 1, got {self.retries}")
        if self.retries > MOST_RETRIES:
            raise BadInput(
                f"retries: at most {MOST_RETRIES:,} attempts can be planned for, got {self.retries:,}: "
                "no CI gives more; give fewer"
            )


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a `false_alarm` threshold does, worked out."""

    power: float
    """Probability that a build with the goal's drop fails all its attempts."""
    false_alarm: float
    """Probability that a healthy one does: under alpha, for the grid and the sweeps without a threshold."""
    silent: float
    """Probability that the sweep gives no threshold: all its scores are equal, or the bound is 0 or less."""
    capped: bool
    """The rule would go above the mean for its alpha, and no threshold does."""


def expect(model: Model, goal: Goal, repetitions: int) -> Expected:
    """Power and false alarms of the `false_alarm` rule after that many repetitions, 2 at least."""
    return Expected(
        power=reached(model, goal, repetitions),
        false_alarm=_fails(model, goal, repetitions, 0.0),
        silent=1 - _fails(model, goal, repetitions, math.inf),
        capped=_factor(goal, repetitions) < -SLACK,
    )


def reached(model: Model, goal: Goal, repetitions: int) -> float:
    """Power against the goal's drop of a `false_alarm` threshold from that many repetitions, 2 at least."""
    return _fails(model, goal, repetitions, goal.drop)


def _fails(model: Model, goal: Goal, repetitions: int, drop: float) -> float:
    """Probability that a build with the drop fails all attempts: `noise.all_fail`, and the limits of the rule.

    With Z and W the errors of the estimated mean and std as there, it is E[Phi(drop + Z - k W)^R] over the
    sweeps that give a threshold: scores that are not all equal (those of the smallest W) and a bound over 0.
    Thresholds sit on the grid of scores, on the safe side of what the rule computes: half a question less of
    the drop, on average, is left to catch. None is above the mean: k is at least 0, and then no half is lost.
    """
    from scipy import special

    silent, factor = _silent(model, repetitions), _factor(goal, repetitions)
    lost = 0.5 / model.questions if factor >= -SLACK else 0.0
    z, w, weights = _pivots(repetitions, silent)
    bound = z - max(factor, 0.0) * w
    fail = special.ndtr(bound + (drop - lost) / model.std) ** goal.retries
    found = float((fail * (bound > -model.accuracy / model.std) * weights).sum())
    return min(found, 1.0)


@lru_cache(maxsize=64)
def _pivots(repetitions: int, silent: float) -> tuple[Floats, Floats, Floats]:
    """Nodes of Z (1, 48) and W (2000, 1), and joint weights, which add up to 1 - `silent`.

    Z by Gauss and Hermite; W by midpoints in the logit of its distribution, from where the silent sweeps end:
    even steps there reach into both tails.
    """
    from scipy import special

    dof = repetitions - 1
    nodes, hermite = np.polynomial.hermite_e.hermegauss(48)
    start = float(np.clip(special.logit(silent), -40.0, 40.0))
    edges = np.linspace(start, 40.0, 2001)
    logits = (edges[1:] + edges[:-1]) / 2
    scales = np.sqrt(special.chdtri(dof, special.expit(-logits)) / dof)
    mass = special.expit(logits) * special.expit(-logits)
    weights = mass / (mass.sum() or 1.0) * (1 - silent)
    return nodes[None, :] / math.sqrt(repetitions), scales[:, None], np.outer(weights, hermite / hermite.sum())


def _silent(model: Model, repetitions: int) -> float:
    """Probability that normal scores, rounded to whole questions, are all equal: sum over k of P(k)^N."""
    from scipy import special

    centre, spread = model.accuracy * model.questions, model.std * model.questions
    if spread > 30:
        # The sum is the integral of the density's power.
        return float((spread * math.sqrt(2 * math.pi)) ** (1 - repetitions) / math.sqrt(repetitions))
    edges = np.arange(math.floor(centre - 9 * spread) - 1, math.ceil(centre + 9 * spread) + 2) + 0.5
    cells = np.diff(special.ndtr((edges - centre) / spread))
    return min(1.0, float((cells**repetitions).sum()))


def least_drop(model: Model, goal: Goal, repetitions: int | None) -> float | None:
    """The smallest drop caught with the goal's power; None where not even a drop to 0 is.

    `repetitions` None: as they grow without bound. Then it is (z_(1-alpha) + z_power) std at alpha^(1/R) and
    power^(1/R), and half a question for the grid: CI's own runs stay noisy. The first z is at least 0, since
    no threshold lies above the mean.
    """
    from scipy import optimize, special

    if repetitions is None:
        share = 1 / goal.retries
        factor = -float(special.ndtri(goal.alpha**share))
        lost = 0.5 / model.questions if factor >= -SLACK else 0.0
        if max(factor, 0.0) * model.std + lost >= model.accuracy:
            return None
        limit = (max(factor, 0.0) + float(special.ndtri(goal.power**share))) * model.std + lost
        return limit if limit < model.accuracy else None

    def gap(drop: float) -> float:
        return _fails(model, goal, repetitions, drop) - goal.power

    # Only by rounding: without a drop it is the false alarm, which is under alpha, and so under the power.
    if gap(0.0) >= 0:
        return 0.0
    return float(optimize.brentq(gap, 0.0, model.accuracy, maxiter=1000)) if gap(model.accuracy) > 0 else None


def needed(model: Model, goal: Goal) -> int | None:
    """The fewest repetitions that reach the goal; None where not even 10,000 do."""
    limit = least_drop(model, goal, None)
    if limit is None or limit >= goal.drop or reached(model, goal, MOST) < goal.power:
        return None
    low, high = 1, 2
    while reached(model, goal, high) < goal.power:
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(model, goal, middle) >= goal.power else (middle, high)
    return high


def _factor(goal: Goal, repetitions: int) -> float:
    return false_alarm_factor(repetitions, repetitions - 1, goal.retries, goal.alpha)


def centre(latent: Floats, scale: float, accuracy: float) -> float:
    """What to add to the latent means (Q,) for the answers, of noise `scale`, to be right that often."""
    from scipy import optimize, special

    def gap(shift: float) -> float:
        return float(special.ndtr((latent + shift) / scale).mean()) - accuracy

    reach = float(np.abs(latent).max()) + 40 * scale
    return float(optimize.brentq(gap, -reach, reach, maxiter=1000))


def _correlation(height: float, disagreement: float) -> float:
    """Of two normals, each positive with probability Phi(height), that differ in sign that often.

    They do with probability 4 T(height, sqrt((1 - r) / (1 + r))), T Owen's function (Owen, Ann. Math. Statist.
    27, 1956).
    """
    from scipy import optimize, special

    def gap(ratio: float) -> float:
        return float(4 * special.owens_t(height, ratio)) - disagreement

    if gap(1.0) <= 0:
        return 0.0
    ratio = float(optimize.brentq(gap, 0.0, 1.0, xtol=1e-15, maxiter=1000))
    return (1 - ratio**2) / (1 + ratio**2)
