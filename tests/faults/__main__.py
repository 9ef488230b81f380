"""The fault benchmark.

    python -m tests.faults                     200 faults and more, about 15 minutes on two cores
    python -m tests.faults --soak 30           for 30 minutes, a fault every few seconds
    python -m tests.faults --count 50 --seed 7

Seeded schedules of faults, each on a real `sweep launch` of a sweep whose every answer is known before: faults of
processes on a local Ray, of what is stored, and of MLflow. It prints what was tried and what must not happen, and
exits 1 if any of that happened.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from tests.faults.bed import Bed, make_bed
from tests.faults.counts import COUNTED, Trial, details, table
from tests.faults.processes import try_processes
from tests.faults.stored import FILE_FAULTS, LAUNCH_FAULTS, try_stored
from tests.faults.tracking import SERVERS, STORES, try_tracking

ROUND = 3
"""Schedules of processes in a round, which has each fault of what is stored once, and two of MLflow."""


def schedules(bed: Bed, folder: Path, seed: int) -> Iterator[Trial]:
    """Rounds without an end, all kinds in each."""
    for number in count(seed * 10_000):
        for kind in (*FILE_FAULTS, *LAUNCH_FAULTS):
            yield try_stored(bed, folder / "stored", kind, number)
        for part in range(ROUND):
            yield try_processes(bed, folder / "processes", number * ROUND + part)
        for part in range(2):
            kinds = [*SERVERS, *STORES]
            yield try_tracking(bed, folder / "tracking", kinds[(2 * number + part) % len(kinds)], number)


def run(enough: Callable[[int], bool], seed: int) -> list[Trial]:
    """Schedules until their faults are `enough`; each is told when it is over."""
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory(prefix="sweep-faults-") as name:
        bed = make_bed(Path(name))
        for trial in schedules(bed, Path(name), seed):
            trials.append(trial)
            print(f"{trial.name}: {', '.join(trial.faults.elements()) or 'ended before a fault'}", flush=True)
            for line in details([trial]):
                print(f"  {line}", flush=True)
            if enough(tried(trials)):
                return trials
    return trials


def tried(trials: list[Trial]) -> int:
    """How many faults there were."""
    return sum(trial.faults.total() for trial in trials)


def told(trials: list[Trial], seconds: float) -> Iterator[str]:
    """The figures, in lines."""
    faults = tried(trials)
    yield ""
    yield from table(trials)
    yield ""
    yield f"{faults} faults in {len(trials)} schedules took {seconds:.0f} s, one in {seconds / faults:.1f} s."
    refusals, agents = sum(t.refusals for t in trials), sum(t.agents for t in trials)
    yield f"{refusals} commands refused a file in one line, and went on with its copy."
    yield f"{agents} of Ray's own agents were there 10 s after their driver had ended."
    yield f"The longest wait without a sign of life was {max(t.quiet for t in trials):.0f} s."
    yield from details(trials)


def main() -> int:
    """The exit code: 1 if anything happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="faults, at least (default: 200)")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="go on for so long instead")
    parser.add_argument("--seed", type=int, default=0, help="of the schedules (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts there too")
    options = parser.parse_args()
    begun = time.monotonic()
    minutes: float | None = options.soak
    wanted: int = options.count

    def enough(faults: int) -> bool:
        return faults >= wanted if minutes is None else time.monotonic() - begun > 60 * minutes

    trials = run(enough, options.seed)
    print("\n".join(told(trials, time.monotonic() - begun)))
    counts = {what: sum(what == name for t in trials for name, _ in t.found) for what in COUNTED}
    if options.json:
        options.json.write_text(json.dumps({"tried": tried(trials), **counts}, indent=2) + "\n")
    return int(any(counts.values()))


if __name__ == "__main__":
    sys.exit(main())
