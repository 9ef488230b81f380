"""How near the schedule comes to the best that is possible, and what its engine starts cost: a Markdown table.

    python -m tests.benchmarks.schedule            400 random sweeps
    python -m tests.benchmarks.schedule --seed 2   400 others

A sweep has 1 to 64 engines, 1 to 24 variants, 1 to 50 repetitions, and starts of 0 to 300 s. What things take is
unknown at first: the schedule begins with the sweep file's defaults, and learns from each start and unit that
ends.
The ratios are of the time of the last unit to a bound that no schedule beats: the least T with sum over variants
of ceil(work / (T - start)) starts + work <= engines x T. That bound divides repetitions and engines at will;
`whole` is the ratio to that of `engine_bound`, of 100 of the sweeps. GPU minutes are those of starts and units,
with a GPU per engine. `earlier` is the first policy, and `all known` the present one when it knows at first what
things take. With a stop rule, a variant is decided after a random share of its repetitions; what of it runs at
that moment is wasted, and the bound is that of the repetitions up to there. `all known` knows how many these are,
too.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from sweep.plan.units import Load
from sweep.run.forecast import Estimates
from sweep.run.idle import Leaving
from sweep.run.schedule import Share, assign, leaving
from sweep.run.waiting import Costs, Engine, Kind
from tests.benchmarks.engine_bound import engine_bound
from tests.benchmarks.rows import Row

SWEEPS, SEED = 400, 7
BEFORE = (1.091, 1.68, 2.27)
"""What the policy gave that the goals were set against: median, 95th percentile and worst."""
EXPECTED_START, EXPECTED_UNIT = 90.0, 40.0
"""The defaults of a sweep file."""
Policy = Callable[[list[str], Mapping[str, Engine], Mapping[Kind, int], Costs, frozenset[str]], list[Share]]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A random sweep."""

    engines: int
    start: float
    """Seconds."""
    unit: dict[str, float]
    """Variant to seconds of one repetition."""
    repetitions: int
    needed: dict[str, int]
    """Variant to the repetitions after which it is decided."""

    def bound(self) -> float:
        """Seconds that no schedule beats."""
        work = sum(self.needed[variant] * seconds for variant, seconds in self.unit.items())
        low, high = self.start, (len(self.unit) + 1) * self.start + work + max(self.unit.values())
        for _ in range(80):
            middle = (low + high) / 2
            starts = sum(
                math.ceil(self.needed[variant] * seconds / (middle - self.start) - 1e-9)
                for variant, seconds in self.unit.items()
            )
            enough = starts * self.start + work <= self.engines * middle
            low, high = (low, middle) if enough else (middle, high)
        return high

    def whole_bound(self, seconds: float) -> float:
        """The same of whole units on whole engines; some schedule takes so many seconds."""
        return engine_bound(
            self.start, [*self.unit.values()], [self.needed[v] for v in self.unit], self.engines, seconds
        )


def sweeps(count: int, seed: int, *, stopping: bool) -> Iterator[Sweep]:
    """Random ones; the repetitions of one sweep take 0.6 to 1.6 times the same 5 to 100 s."""
    draw = random.Random(seed)
    for _ in range(count):
        engines, variants, repetitions = draw.randint(1, 64), draw.randint(1, 24), draw.randint(1, 50)
        start, usual = draw.uniform(0, 300), draw.uniform(5, 100)
        unit = {f"v{n}": usual * draw.uniform(0.6, 1.6) for n in range(variants)}
        needed = {v: draw.randint(1, repetitions) if stopping else repetitions for v in unit}
        yield Sweep(engines=engines, start=start, unit=unit, repetitions=repetitions, needed=needed)


def present(
    idle: list[str],
    engines: Mapping[str, Engine],
    waiting: Mapping[Kind, int],
    costs: Costs,
    leavers: frozenset[str],
) -> list[Share]:
    """The program's."""
    return assign(idle, engines, waiting, costs, leaving=leavers)


def earlier(
    idle: list[str],
    engines: Mapping[str, Engine],
    waiting: Mapping[Kind, int],
    costs: Costs,
    leavers: frozenset[str],
) -> list[Share]:
    """Helps by work / crew - (work + start) / (crew + 1), as if all of the crew worked already."""
    left, loads = dict(waiting), {name: engine.load for name, engine in engines.items()}
    shares: list[Share] = []
    busy = len(idle) < len(engines)
    for free in (False, True):
        if free and (busy or shares):
            break
        for name in idle:
            kind = _earlier_kind(name, loads, left, replace(costs, start=0.0) if free else costs)
            if kind is not None:
                shares.append(Share(name, kind, 1))
                loads[name] = kind.load
                left[kind] -= 1
                if not left[kind]:
                    del left[kind]
    return shares


def _earlier_kind(
    name: str, loads: Mapping[str, Load | None], left: Mapping[Kind, int], costs: Costs
) -> Kind | None:
    gains = {}
    for kind, units in left.items():
        if kind.load == loads[name]:
            return kind
        work = units * costs.unit[kind.variant]
        crew = sum(load == kind.load for other, load in loads.items() if other != name)
        gains[kind] = work / crew - (work + costs.start) / (crew + 1) if crew else work
    best = max(gains, key=gains.__getitem__, default=None)
    return best if best is not None and gains[best] > 0 else None


@dataclass
class Play:
    """A sweep under a policy, to its end."""

    sweep: Sweep
    policy: Policy
    frugal: bool = False
    known: bool = False
    """Whether the schedule knows what things take, and how many repetitions are needed."""
    now: float = 0.0
    starts: float = 0.0
    """Seconds of engines."""
    work: float = 0.0
    """Seconds of engines, the wasted units' included."""
    wasted: float = 0.0
    load: dict[str, Load | None] = field(default_factory=dict)
    running: dict[str, tuple[str, float, bool]] = field(default_factory=dict)
    """Engine to the variant that it is at, since when, and whether it is still starting."""
    events: list[tuple[float, str]] = field(default_factory=list)

    @property
    def engine_seconds(self) -> float:
        """Of starts and of units."""
        return self.starts + self.work

    def run(self) -> Play:
        """Itself, at the end."""
        sweep = self.sweep
        planned = sweep.needed if self.known else dict.fromkeys(sweep.unit, sweep.repetitions)
        self.load = {f"e{n}": None for n in range(sweep.engines)}
        self._waiting = {Kind(Load(v), None, v, frozenset()): count for v, count in planned.items()}
        self._ended = dict.fromkeys(sweep.unit, 0)
        unit = sweep.unit if self.known else dict.fromkeys(sweep.unit, EXPECTED_UNIT)
        start = sweep.start if self.known else EXPECTED_START
        usual = Costs(start=start, unit=unit, frugal=self.frugal)
        self._estimates, self._leaving = Estimates(usual), Leaving()
        self._give()
        while self.events:
            self.now, name = heapq.heappop(self.events)
            self._handle(name)
            while self.events and self.events[0][0] == self.now:
                self._handle(heapq.heappop(self.events)[1])
            self._give()
        return self

    def _give(self) -> None:
        idle = [name for name in self.load if name not in self.running]
        if not idle or not self._waiting:
            return
        costs = self._estimates.costs()
        engines = {name: self._engine(name, costs) for name in self.load}
        leavers = self._leaving.found(len(engines), lambda: leaving(engines, self._waiting, costs))
        for name, kind, _ in self.policy(idle, engines, self._waiting, costs, leavers):
            self._waiting[kind] -= 1
            if not self._waiting[kind]:
                del self._waiting[kind]
            starting = self.load[name] != kind.load
            self.load[name] = kind.load
            self.running[name] = (kind.variant, self.now, starting)
            heapq.heappush(
                self.events,
                (self.now + (self.sweep.start if starting else self.sweep.unit[kind.variant]), name),
            )

    def _engine(self, name: str, costs: Costs) -> Engine:
        if name not in self.running:
            return Engine(load=self.load[name])
        variant, since, starting = self.running[name]
        elapsed, work = self.now - since, costs.unit[variant]
        left = max(0.0, costs.start - elapsed) + work if starting else max(0.0, work - elapsed)
        return Engine(load=self.load[name], seconds=left)

    def _handle(self, name: str) -> None:
        variant, _, starting = self.running.pop(name)
        self._leaving.one_result()
        seconds = self.sweep.start if starting else self.sweep.unit[variant]
        if starting:
            self.starts += seconds
            self._estimates.add_start(seconds)
            self.running[name] = (variant, self.now, False)
            heapq.heappush(self.events, (self.now + self.sweep.unit[variant], name))
            return
        self.work += seconds
        if self._ended[variant] >= self.sweep.needed[variant]:
            self.wasted += seconds
        self._ended[variant] += 1
        self._estimates.add_unit(variant, seconds)
        if self._ended[variant] >= self.sweep.needed[variant]:
            self._waiting.pop(Kind(Load(variant), None, variant, frozenset()), None)


def played(chosen: list[Sweep], policy: Policy, *, frugal: bool = False, known: bool = False) -> list[Play]:
    """The sweeps, to their ends."""
    return [Play(sweep, policy, frugal, known).run() for sweep in chosen]


def quantiles(ratios: list[float]) -> tuple[float, float, float]:
    """Median, 95th percentile and the worst."""
    median, late = np.quantile(ratios, [0.5, 0.95])
    return float(median), float(late), max(ratios)


def line(name: str, plays: list[Play], least: list[float]) -> str:
    """Of the table; `least` are the bounds of whole engines of the first sweeps."""
    ratios = quantiles([play.now / play.sweep.bound() for play in plays])
    whole = quantiles([play.now / bound for play, bound in zip(plays, least, strict=False)])
    starts, total = sum(play.starts for play in plays), sum(play.engine_seconds for play in plays)
    wasted = sum(play.wasted for play in plays)
    cells = [name, *(f"{ratio:.3f}" for ratio in (*ratios, *whole))]
    cells += [f"{starts / total:.1%}", f"{wasted / total:.1%}", f"{total / 60:,.0f}"]
    return f"| {' | '.join(cells)} |"


def rows() -> Iterator[Row]:
    """Of the table of all benchmarks, with sweeps that no policy was chosen by."""
    asked = "time over the least possible, 400 random sweeps"
    for stopping, goals in ((False, (1.05, 1.35, 1.8)), (True, (None, None, None))):
        chosen = list(sweeps(SWEEPS, SEED, stopping=stopping))
        for known in (False, True):
            what = f"{asked}{', stop rule' * stopping}{', all known' * known}"
            plays = played(chosen, present, known=known)
            found = quantiles([play.now / play.sweep.bound() for play in plays])
            before = BEFORE if not (stopping or known) else (None, None, None)
            wanted = goals if not known else (None, None, None)
            for name, value, goal, then in zip(("median", "p95", "worst"), found, wanted, before, strict=True):
                yield Row(what=f"{what}, {name}", value=value, unit="", goal=goal, baseline=then)
            if stopping and not known:
                share = 100 * sum(play.wasted for play in plays) / sum(play.engine_seconds for play in plays)
                yield Row(
                    what="engines' time on repetitions that the stop rule makes needless", value=share, unit="%"
                )
    yield from _frugal(list(sweeps(100, SEED, stopping=False)))
    yield from _reasons(list(sweeps(100, SEED, stopping=False)))


def _frugal(chosen: list[Sweep]) -> Iterator[Row]:
    fast, frugal = played(chosen, present), played(chosen, present, frugal=True)
    what = "`schedule: frugal` over `fast`, of the first 100"
    minutes = sum(play.engine_seconds for play in frugal) / sum(play.engine_seconds for play in fast)
    yield Row(what=f"{what}: GPU minutes, starts included", value=minutes, unit="")
    slower = [one.now / other.now for one, other in zip(frugal, fast, strict=True)]
    yield Row(what=f"{what}: time, median", value=quantiles(slower)[0], unit="")


def _reasons(chosen: list[Sweep]) -> Iterator[Row]:
    known = played(chosen, present, known=True)
    least = [play.sweep.whole_bound(play.now) for play in known]
    what = "of the first 100: the least of whole units and engines over the least possible, median"
    over = [bound / sweep.bound() for sweep, bound in zip(chosen, least, strict=True)]
    yield Row(what=what, value=quantiles(over)[0], unit="")
    for name, plays in (("time, all known", known), ("time", played(chosen, present))):
        over = [play.now / bound for play, bound in zip(plays, least, strict=True)]
        yield Row(what=f"{name} over the least of whole ones, median", value=quantiles(over)[0], unit="")


def main() -> None:
    """Print the table of policies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=SWEEPS)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    ratios = "ratio, median | p95 | worst | whole, median | p95 | worst"
    print(f"| policy | {ratios} | starts' share | wasted | GPU minutes |")
    print("|---" * 10 + "|")
    for stopping in (False, True):
        chosen, rule = list(sweeps(options.sweeps, options.seed, stopping=stopping)), ", stop rule" * stopping
        known = played(chosen, present, known=True)
        least = [play.sweep.whole_bound(play.now) for play in known[:100]]
        print(line(f"earlier{rule}", played(chosen, earlier), least), flush=True)
        print(line(f"fast{rule}", played(chosen, present), least), flush=True)
        print(line(f"fast, all known{rule}", known, least), flush=True)
        print(line(f"frugal{rule}", played(chosen, present, frugal=True), least), flush=True)


if __name__ == "__main__":
    main()
