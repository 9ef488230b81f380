"""One launch, from a sweep file to its report: the effects in their order."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from sweep.errors import EngineStartFailed
from sweep.plan.check import check_arguments, check_installed
from sweep.plan.sweepfile import dump, load
from sweep.plan.units import Unit, make_plan
from sweep.run import folder as store
from sweep.run.folder import Run
from sweep.run.others import named_builds, refuse_other_protocol
from sweep.tasks import dataset
from sweep.tasks.gsm8k import Questionnaire

if TYPE_CHECKING:
    from rich.console import Console

    from sweep.report.export.mlflow import Tracked
    from sweep.run.driver import Outcome


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says beside the sweep file."""

    runs: Path
    """Where the run folders are."""
    address: str | None
    """A running Ray cluster."""
    wait: float
    """Seconds to wait for room in the cluster."""
    track: bool
    """Log to MLflow at the end."""
    against: Path | None = None
    """An earlier run folder, to audit drift against."""


@dataclass(frozen=True, kw_only=True)
class Launched:
    """What came of a launch."""

    run: Run
    """The run folder."""
    summary: Mapping[str, Any]
    """As in summary.json."""
    interrupted: bool
    """Stopped by the user."""
    tracked: Tracked | None
    """Where MLflow has it; None when tracking is off or away."""
    dashboard: str | None
    """The Ray dashboard's address while the sweep ran; None when nothing had to run."""

    @property
    def exit_code(self) -> int:
        """0 complete; 3 some units void; 130 interrupted."""
        if self.interrupted:
            return 130
        measured = (*self.summary["variants"].values(), *self.summary["perturbed"].values())
        return 3 if any(v["repetitions"]["void"] for v in measured) else 0


def launch(file: str, overrides: Sequence[str], options: Options, console: Console) -> Launched:
    """Run a sweep, or what is missing of it, and write its report.

    Raises BadInput for what the user gave, ClusterUnavailable and EngineStartFailed when nothing could run.
    """
    from sweep.report.conclude import conclude, track

    plan = make_plan(load(file, overrides))
    check_installed(plan.config.engine.backend)
    check_arguments(plan, file)
    questionnaire = dataset.load(plan.config.protocol)
    against = store.open_run(options.against) if options.against else None
    if against is not None:
        refuse_other_protocol(against, questionnaire.hash)
    named_builds(plan, questionnaire.hash)
    run = store.create_run(options.runs, plan, dump(plan.config))
    run.pin(questionnaire)
    measured, notes = run.done()
    for note in notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    _announce(run, measured, console)
    interrupted, dashboard = False, None
    if len(measured) < len(plan.units):
        outcome, dashboard = _drive(run, questionnaire, measured, options, console)
        interrupted = outcome.interrupted
        _raise_if_nothing_ran(run, outcome)
    summary = conclude(run, against)
    tracked = track(run, summary, console) if options.track and plan.config.tracking.uri else None
    return Launched(run=run, summary=summary, interrupted=interrupted, tracked=tracked, dashboard=dashboard)


def _announce(run: Run, measured: Mapping[str, Unit], console: Console) -> None:
    missing = len(run.plan.units) - len(measured)
    state = f"{len(measured)} of {len(run.plan.units)} units are measured" if measured else f"{missing} units"
    console.print(f"{run.plan.sweep_id}: {state}; run folder {run.folder}", highlight=False, soft_wrap=True)


def _drive(
    run: Run, questionnaire: Questionnaire, measured: Mapping[str, Unit], options: Options, console: Console
) -> tuple[Outcome, str | None]:
    from cluster.backends import BACKENDS
    from cluster.connection import PoolSpec, token_hint
    from cluster.pool import RayPool
    from sweep.report.progress import watch
    from sweep.run.driver import Driver
    from sweep.run.stopping import StopWatch

    engine = run.plan.config.engine
    spec = PoolSpec(
        engines=None if engine.engines == "auto" else engine.engines,
        gpus=engine.gpus,
        needs_real_gpus=BACKENDS[engine.backend].needs_gpus and engine.gpus > 0,
        address=options.address,
        deadline=options.wait,
    )
    pool = RayPool(spec, tell=lambda text: console.print(text, highlight=False, soft_wrap=True))
    try:
        if pool.dashboard:
            console.print(f"Ray dashboard: {pool.dashboard}{token_hint()}", highlight=False, soft_wrap=True)
        # After Ray has started, since it takes the signals for itself.
        with _interruptible() as stopped, watch(run.plan, console) as view:
            watched = StopWatch(run.plan, len(questionnaire.questions))
            outcome = Driver(run, questionnaire, pool, view, watched).drive(measured, stopped)
    finally:
        pool.close()
    return outcome, pool.dashboard


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C (or SIGTERM) is a wish, told by the function; a second one interrupts at once."""
    wishes: list[int] = []

    def wish(number: int, frame: FrameType | None) -> None:
        if wishes:
            raise KeyboardInterrupt
        wishes.append(number)

    before = {number: signal.signal(number, wish) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(wishes)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise_if_nothing_ran(run: Run, outcome: Outcome) -> None:
    """A sweep of which not one unit could be started is a failure of the engine, not a result."""
    if outcome.start_failure and not run.done()[0]:
        raise EngineStartFailed(
            f"no engine could be started: {outcome.start_failure.message}\n"
            f"The evidence is in {run.folder / 'failures'}",
            outcome.start_failure.log_tail,
        )
