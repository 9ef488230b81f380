"""Are the audits' rates those that the product states? Simulated pairs of known truth, as Markdown tables.

    python tests/benchmarks/audit_rates.py            500 pairs a cell, ten minutes
    python tests/benchmarks/audit_rates.py --quick    60 pairs a cell, one to two minutes

Each pair is a baseline and a variant over the same 200 questions. Question q is right in a run when
mu + z_q + u + 0.35 e > 0, z and e standard normal, u what moves the whole run or its start (a std in accuracy). A
loss is questions that are wrong for good. A rate that is worse than stated by more than three standard errors is
bold; one that is not among ADMITTED makes the exit code 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import special

sys.path.insert(0, str(Path(__file__).parents[2]))

from sweep.audit import Verdict, common_cause
from sweep.audit.lossless import judged
from sweep.stats.compare import compare
from sweep.stats.samples import VariantSamples
from tests.audit.evidence import plain
from tests.tables import changed, table

QUESTIONS = 200
NOISE = 0.35
ADMITTED = frozenset[str]()
"""Rates of which a text says that they are not kept."""
Floats = npt.NDArray[np.float64]
Right = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class World:
    """What is true of both sides of a pair."""

    accuracy: float = 0.4
    """Mean share of right answers."""
    runs: tuple[int, int] = (5, 5)
    """Repetitions of the baseline and of the variant."""
    starts: int | None = None
    """That each side's runs are spread over; None where nobody noted them."""
    start_sd: float = 0.0
    """Std between starts, in accuracy."""
    cause: float = 0.0
    """Std between runs of one start by a common cause, in accuracy."""
    tails: bool = False
    """2 % of the runs are five points lower."""
    noise: float = NOISE
    """Of one answer, beside the questions' spread of 1."""

    def __str__(self) -> str:
        parts = [f"accuracy {self.accuracy:g}", f"{self.runs[0]} and {self.runs[1]} runs"]
        parts += [] if self.starts is None else [f"{self.starts} starts per side, sd {self.start_sd:g}"]
        parts += [f"common cause {self.cause:g}"] * (self.cause > 0) + ["heavy tails"] * self.tails
        return ", ".join(parts + [f"noise {self.noise:g}"] * (self.noise != NOISE))


def side(world: World, name: str, which: int, latent: Floats, rng: np.random.Generator) -> VariantSamples:
    """One side's runs."""
    runs = world.runs[which]
    slope = float(np.exp(-(special.ndtri(world.accuracy) ** 2) / 2)) / np.sqrt(2 * np.pi) / np.hypot(1, world.noise)
    shift = world.cause * rng.standard_normal(runs)
    starts = np.full(runs, None, dtype=object)
    if world.starts is not None:
        place = np.arange(runs) % world.starts
        shift = shift + world.start_sd * rng.standard_normal(world.starts)[place]
        starts = np.array([f"{name}#{number}" for number in place], dtype=object)
    if world.tails:
        shift = shift - 0.05 * (rng.random(runs) < 0.02)
    noise = world.noise * rng.standard_normal((runs, len(latent)))
    return made(name, latent + (shift / slope)[:, None] + noise > 0, starts)


BLANK: dict[tuple[str, int], VariantSamples] = {}
"""Tables to fill in: making one takes longer than judging it."""


def made(name: str, right: Right, starts: npt.NDArray[np.object_] | None = None) -> VariantSamples:
    """Samples of right answers, the texts all alike."""
    if (name, len(right)) not in BLANK:
        BLANK[name, len(right)] = table(name, right, np.full(right.shape, "It is 1"))
    blank = BLANK[name, len(right)]
    return changed(blank, correct=right, starts=blank.starts if starts is None else starts)


def pair(world: World, rng: np.random.Generator, loss: float = 0.0) -> tuple[VariantSamples, VariantSamples]:
    """A baseline and a variant that has lost questions worth so much accuracy."""
    latent = special.ndtri(world.accuracy) * np.hypot(1, world.noise) + rng.standard_normal(QUESTIONS)
    base, mtp = (side(world, name, which, latent, rng) for which, name in enumerate(("base", "mtp")))
    if not loss:
        return base, mtp
    order, share = rng.permutation(QUESTIONS), special.ndtr(latent / world.noise)
    worth = np.cumsum(share[order])
    gone = order[worth - share[order] * rng.random(QUESTIONS) < loss * QUESTIONS]
    right = mtp.correct.copy()
    right[:, gone] = False
    return base, changed(mtp, correct=right)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share of pairs beside what is stated of it."""

    what: str
    """Which rate."""
    world: str
    """Of which pairs."""
    hits: int
    """Pairs that it counts."""
    pairs: int
    """Of so many."""
    stated: float | None = None
    """What the product says of it; None where it says nothing."""
    at_least: bool = False
    """The statement is a lower bound, else an upper one."""

    def errors_off(self) -> float:
        """By how many standard errors it is worse than stated; below 0 where it is better."""
        if not self.pairs or self.stated is None:
            return 0.0
        off = self.hits / self.pairs - self.stated
        error = float((self.stated * (1 - self.stated) / self.pairs) ** 0.5)
        return (-off if self.at_least else off) / error

    @property
    def kept(self) -> bool:
        """Not worse than stated by more than three standard errors."""
        return self.errors_off() <= 3

    def row(self) -> str:
        """Of the table."""
        share = "-" if not self.pairs else f"{self.hits / self.pairs:.1%}"
        bound = f"{'at least' if self.at_least else 'at most'} {self.stated:.1%}" if self.stated else "-"
        return f"| {self.what} | {self.world} | {share if self.kept else f'**{share}**'} | {bound} | {self.pairs} |"


def healthy(world: World, pairs: int, rng: np.random.Generator) -> Iterator[Rate]:
    """Failures of the lossless audit, the interval's coverage, and the real power of the loss that is stated."""
    failed = covered = caught = stated = 0
    for _ in range(pairs):
        base, mtp = pair(world, rng)
        [finding] = judged([(mtp, base, False)])
        failed += finding.verdict is Verdict.FAIL
        compared = compare(base, mtp)
        interval = compared.interval
        covered += interval is None or interval.low <= 0 <= interval.high
        if compared.detectable is not None:
            stated += 1
            caught += compare(*pair(world, rng, compared.detectable)).verdict == "worse"
    text = str(world)
    yield Rate(what="healthy, lossless fails", world=text, hits=failed, pairs=pairs, stated=0.025)
    # Of one start on each side the texts say that what differs between starts is not in it.
    if world.starts != 1 or not world.start_sd:
        held = "interval holds the truth"
        yield Rate(what=held, world=text, hits=covered, pairs=pairs, stated=0.95, at_least=True)
        yield Rate(what="stated loss is found", world=text, hits=caught, pairs=stated, stated=0.8, at_least=True)


def lossy(world: World, loss: float, pairs: int, rng: np.random.Generator) -> Iterator[Rate]:
    """How a loss ends, of which nothing is stated."""
    verdicts = []
    for _ in range(pairs):
        base, mtp = pair(world, rng, loss)
        verdicts += [finding.verdict for finding in judged([(mtp, base, False)])]
    for verdict in (Verdict.FAIL, Verdict.WARN):
        what = f"{loss:.0%} lost, lossless {verdict}s"
        yield Rate(what=what, world=str(world), hits=verdicts.count(verdict), pairs=pairs)


def near_ties(share: float, accuracy: float, pairs: int, rng: np.random.Generator) -> Iterator[Rate]:
    """Two deterministic engines: a share of the questions takes the other token, some with another answer."""
    verdicts, caught, stated = [], 0, 0

    def drawn(loss: float) -> tuple[VariantSamples, VariantSamples]:
        right = rng.random(QUESTIONS) < accuracy
        tied, other = rng.random(QUESTIONS) < share, rng.random(QUESTIONS) < 0.5
        # As many right answers turn wrong as wrong ones right, on average.
        rare = np.where(right, min(1.0, (1 - accuracy) / accuracy), min(1.0, accuracy / (1 - accuracy)))
        flips = tied & other & (rng.random(QUESTIONS) < rare)
        after = (right ^ flips) & ~(rng.random(QUESTIONS) < loss / accuracy)
        text = np.where(tied | (after != right), "another", "It is 1").astype(object)
        base, mtp = made("base", right[None].repeat(3, axis=0)), made("mtp", after[None].repeat(3, axis=0))
        return base, changed(mtp, text=text[None].repeat(3, axis=0))

    for _ in range(pairs):
        base, mtp = drawn(0)
        [finding] = judged([(mtp, base, True)])
        verdicts.append(finding.verdict)
        detectable = finding.evidence["detectable_loss"]
        if detectable is not None:
            stated += 1
            caught += compare(*drawn(detectable)).verdict == "worse"
    world = f"deterministic, accuracy {accuracy:g}, near-ties at {share:.0%} of the questions"
    for what, verdict in (("fails", Verdict.FAIL), ("warns", Verdict.WARN)):
        hits = verdicts.count(verdict)
        yield Rate(what=f"healthy, lossless {what}", world=world, hits=hits, pairs=pairs, stated=0.025)
    yield Rate(what="stated loss is found", world=world, hits=caught, pairs=stated, stated=0.8, at_least=True)


def causes(world: World, engines: tuple[int, ...], pairs: int, rng: np.random.Generator) -> Iterator[Rate]:
    """False alarms of common cause, and of engines that are alike."""
    failed = warned = apart = 0
    places = np.repeat([f"engine-{number}" for number in range(len(engines))], engines).astype(object)
    for _ in range(pairs):
        base, _ = pair(world, rng)
        found = list(common_cause.findings(plain(changed(base, place=places))))
        plainly = [finding.verdict for finding in found if finding.audit == common_cause.NAME]
        failed, warned = failed + plainly.count(Verdict.FAIL), warned + plainly.count(Verdict.WARN)
        apart += len(found) > len(plainly)
    text = f"{world}, engines {' + '.join(map(str, engines))}"
    if not world.cause:
        yield Rate(what="common cause fails", world=text, hits=failed, pairs=pairs, stated=0.05)
        yield Rate(what="common cause warns or fails", world=text, hits=failed + warned, pairs=pairs, stated=0.05)
    yield Rate(what="engine or start: warns of alike ones", world=text, hits=apart, pairs=pairs, stated=0.05)


def cells() -> Iterator[Callable[[int, np.random.Generator], Iterator[Rate]]]:
    """Every part of the table."""
    for accuracy in (0.4, 0.9):
        for runs in ((2, 2), (3, 3), (4, 4), (5, 5), (20, 20), (20, 3), (20, 5)):
            for cause in (0.0, 0.03, 0.06):
                world = World(accuracy=accuracy, runs=runs, cause=cause)
                yield partial(healthy, world)
        for starts in (1, 2, 3):
            for sd in (0.0, 0.01, 0.02):
                world = World(accuracy=accuracy, runs=(6, 6), starts=starts, start_sd=sd)
                yield partial(healthy, world)
        yield partial(healthy, World(accuracy=accuracy, runs=(5, 5), tails=True))
        yield partial(healthy, World(accuracy=accuracy, runs=(20, 20), tails=True))
        for share in (0.0, 0.01, 0.05, 0.1):
            yield partial(near_ties, share, accuracy)
    for noise in (NOISE, 0.6):
        yield partial(healthy, World(accuracy=0.6, runs=(1, 1), noise=noise))
        yield partial(healthy, World(accuracy=0.6, runs=(1, 20), noise=noise))
    for starts in (1, 2, 3):
        for loss in (0.06, 0.12):
            world = World(runs=(6, 6), starts=starts)
            yield partial(lossy, world, loss)
    for accuracy in (0.4, 0.98):
        for engines in ((3, 2), (4, 4), (10, 10), (15, 5), (7, 7, 6)):
            for cause in (0.0, 0.03):
                world = World(accuracy=accuracy, runs=(sum(engines), 2), cause=cause)
                yield partial(causes, world, engines)


def main() -> int:
    """Print the table; 1 where a statement is off that nothing admits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="60 pairs a cell")
    parser.add_argument("--pairs", type=int, default=500, help="pairs a cell")
    options = parser.parse_args()
    rng, rates = np.random.default_rng(1), list[Rate]()
    print("| rate | of | measured | stated | pairs |\n|---|---|---|---|---|")
    for cell in cells():
        for rate in cell(60 if options.quick else options.pairs, rng):
            print(rate.row(), flush=True)
            rates.append(rate)
    print("\nThe worst cell of each rate:\n\n| rate | of | measured | stated | pairs |\n|---|---|---|---|---|")
    for what in dict.fromkeys(rate.what for rate in rates if rate.stated and rate.pairs):
        print(max((rate for rate in rates if rate.what == what and rate.pairs), key=Rate.errors_off).row())
    off = sum(not rate.kept and rate.what not in ADMITTED for rate in rates)
    print(f"\n{off} statements are off by more than three standard errors.")
    return int(off > 0)


if __name__ == "__main__":
    sys.exit(main())
