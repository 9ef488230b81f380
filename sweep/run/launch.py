"""One launch as far as it measures: from a sweep file to a run folder with every sample that there will be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cluster.backends import check_installed, runs_model
from cluster.errors import ClusterUnavailable, EngineStartFailed
from cluster.reach import address_of, check_reachable
from sweep.disk import OPEN, PRIVATE
from sweep.errors import BadInput
from sweep.interrupts import answer_with, check, kept, patient
from sweep.out import busy
from sweep.plan.reference import reference_plan
from sweep.plan.sweepfile import check_arguments, load
from sweep.plan.units import Plan, Unit, make_plan
from sweep.run.driver import Driver
from sweep.run.folder import Run, create_run, open_run
from sweep.run.gold import gold_run, with_gold
from sweep.run.hashes import keep_hashes
from sweep.run.lock import hold
from sweep.run.mirror import mirrored
from sweep.run.others import named_builds, refuse_other_protocol
from sweep.run.pages import OnPages
from sweep.run.view import View
from sweep.tasks import dataset
from sweep.tasks.questionnaire import Questionnaire
from sweep.words import counted

if TYPE_CHECKING:
    from cluster.pool import RayPool

KEPT = (
    "stopping; what was measured is kept, and the same launch goes on from there. Press Ctrl-C again to end at once"
)
STOPPING = (
    "stopping the engines; what was measured is kept and reported, and the same launch goes on from there. "
    "Press Ctrl-C again to end at once, without the report"
)
"""What a signal is answered with, at all times and while units are measured."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says beside the sweep file."""

    runs: Path
    """Where the run folders are."""
    address: str | None
    """A running Ray cluster."""
    wait: float
    """Seconds to wait for room in the cluster."""
    against: Path | None = None
    """An earlier run folder, to audit drift against."""
    url: str | None = None
    """Where the run folders of `runs` are kept beside; None for nowhere."""
    shared: bool = False
    """A new run folder is open to other users, as far as the umask lets it be; else to this one alone."""


class Audience(Protocol):
    """Whoever launches a sweep and looks on."""

    def tell(self, text: str) -> None:
        """A line for people."""

    def watch(self, run: Run, dashboard: str | None) -> AbstractContextManager[View]:
        """A view of the sweep while its engines run; `dashboard` is Ray's address, where there is one."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A launch that has measured what it could."""

    run: Run
    """The run folder."""
    against: Run | None
    """The earlier run that was named, to audit drift against."""
    url: str | None = None
    """Where the run folder is kept beside; None for nowhere."""
    interrupted: bool = False
    """Stopped by the user."""
    dashboard: str | None = None
    """The Ray dashboard's address; None when nothing had to run, or Ray has ended with the sweep."""


def launch(file: str, overrides: Sequence[str], options: Options, audience: Audience, held: ExitStack) -> Finished:
    """Measure a sweep, or what is missing of it. The run folder's lock is put into `held`.

    Raises BadInput for what the user gave, FolderInUse while another program writes to the run folder,
    ClusterUnavailable and EngineStartFailed when nothing could run.
    """
    answer_with(KEPT)
    with busy(f"reading {file} and its data"):
        plan = make_plan(load(file, overrides, dataset.sweep_faults))
        reference = reference_plan(plan.config)
        for each in filter(None, (plan, reference)):
            check_installed(each.config.engine.backend)
        check_arguments(plan, file, options.address, overrides)
        with plan.config.secrets.hidden_in_errors():
            questionnaire = dataset.load(plan.config.revealed_protocol())
        questionnaire = with_gold(Run(folder=options.runs / plan.sweep_id, plan=plan), questionnaire)
        if questionnaire.lacks_gold and (options.against or (plan.config.perturb and plan.config.perturb.build)):
            raise BadInput(
                "--against or perturb.build: what is right in this sweep is still to be measured, and an earlier "
                "run was held to other outputs; name that run in protocol.gold.run too"
            )
        against = open_run(options.against) if options.against else None
        if against is not None:
            refuse_other_protocol(against, questionnaire.hash)
        named_builds(plan, questionnaire.hash)
    if address := address_of(options.address):
        # Before there is a run folder, which would stay empty.
        check_reachable(address)
    mode = OPEN if options.shared else PRIVATE
    held.enter_context(hold(options.runs / plan.sweep_id, "launch", audience.tell, mode=mode))
    url = f"{options.url.rstrip('/')}/{plan.sweep_id}" if options.url else None
    held.enter_context(mirrored(options.runs / plan.sweep_id, url, audience.tell))
    run = create_run(options.runs, plan)
    keep_hashes(run.folder, plan.config)
    if questionnaire.lacks_gold:
        # Ray starts once for both, which takes seconds.
        with _engines(run.plan, options, audience) as engines:
            questionnaire = _complete_gold(run, questionnaire, engines, audience)
            engines.pool.abandon()
            interrupted = _complete(run, questionnaire, engines, audience)
        dashboard = engines.dashboard
    else:
        interrupted, dashboard = _complete_alone(run, questionnaire, options, audience)
    if reference and not interrupted:
        interrupted = _complete_reference(run, reference, questionnaire, options, audience)
    return Finished(run=run, against=against, url=url, interrupted=interrupted, dashboard=dashboard)


@dataclass(frozen=True, kw_only=True)
class _Engines:
    """A pool that is open."""

    pool: RayPool
    """Ray's."""
    stopped: Callable[[], bool]
    """Whether the user has stopped the launch."""
    address: str | None
    """Of a cluster that outlives it."""

    @property
    def dashboard(self) -> str | None:
        """The dashboard's address, where that outlives the sweep: a local cluster's is gone with the pool."""
        return self.pool.dashboard if self.address else None


def _complete_alone(
    run: Run, questionnaire: Questionnaire, options: Options, audience: Audience
) -> tuple[bool, str | None]:
    """Measure what is missing of a run, on a pool of its own; whether it was interrupted, and the dashboard's
    address where that outlives the sweep."""
    if (measured := _missing(run, questionnaire, audience)) is None:
        return False, None
    with _engines(run.plan, options, audience) as engines:
        interrupted = _drive(run, questionnaire, measured, engines, audience)
    return interrupted, engines.dashboard


def _complete(run: Run, questionnaire: Questionnaire, engines: _Engines, audience: Audience) -> bool:
    """Measure what is missing of a run; whether it was interrupted."""
    measured = _missing(run, questionnaire, audience)
    return measured is not None and _drive(run, questionnaire, measured, engines, audience)


def _missing(run: Run, questionnaire: Questionnaire, audience: Audience) -> Mapping[str, Unit] | None:
    """What is measured of a run; None where all of it is."""
    run.pin(questionnaire)
    measured, notes = run.done()
    for note in (*notes, *run.passed_over()):
        audience.tell(note)
    units = len(run.plan.units)
    standing = f"{len(measured)} of {units} units are measured" if measured else counted(units, "unit")
    audience.tell(f"{run.plan.sweep_id}: {standing}; run folder {run.folder}")
    return None if len(measured) == units else measured


def _complete_gold(run: Run, questionnaire: Questionnaire, engines: _Engines, audience: Audience) -> Questionnaire:
    """Measure what is right in the run, below its folder; the questionnaire with it.

    Raises KeyboardInterrupt when that was interrupted, and EngineStartFailed when it came to nothing.
    """
    own = gold_run(run)
    assert own is not None  # of an earlier run it is known, or refused
    (variant,) = own.plan.variants
    audience.tell(f"First, {variant.name} is measured once more: its outputs are right in this sweep.")
    gold = create_run(run.folder, own.plan)
    if _complete(gold, questionnaire, engines, audience):
        raise KeyboardInterrupt
    answered = with_gold(run, questionnaire)
    if answered.lacks_gold:
        raise EngineStartFailed(
            f"the outputs of {variant.name} that are right in this sweep could not be measured: "
            f"{'; '.join(gold.void().values())}\nThe evidence is in {gold.folder / 'failures'}"
        )
    return answered


def _complete_reference(
    run: Run, plan: Plan, questionnaire: Questionnaire, options: Options, audience: Audience
) -> bool:
    """The same for the reference of a run, below its folder; `questionnaire` is the run's. Whether it was
    interrupted. One that cannot run costs its audit, and no more."""
    other = create_run(run.folder, plan)
    try:
        return _complete_alone(other, questionnaire.first(plan.config.protocol.questions), options, audience)[0]
    except (ClusterUnavailable, EngineStartFailed) as error:
        audience.tell(f"The reference could not be measured: {error.message}")
        return False


@contextmanager
def _engines(plan: Plan, options: Options, audience: Audience) -> Iterator[_Engines]:
    """Open the pool for a sweep, the only place that does."""
    from cluster.connection import PoolSpec, token_hint
    from cluster.pool import RayPool

    engine, address = plan.config.engine, address_of(options.address)
    spec = PoolSpec(
        engines=plan.engines,
        gpus=engine.owned,
        nodes=engine.spanned,
        needs_real_gpus=runs_model(engine.backend) and engine.owned > 0,
        address=address,
        deadline=options.wait,
        sweep=plan.sweep_id,
    )
    with busy(f"connecting to Ray at {address}" if address else "starting Ray"):
        pool = RayPool(spec, tell=audience.tell)
    # After Ray has started, since it takes the signals for itself, and until it has ended.
    with patient(STOPPING) as stopped:
        try:
            if pool.dashboard:
                audience.tell(f"Ray dashboard: {pool.dashboard}{token_hint()}")
            check()
            yield _Engines(pool=pool, stopped=stopped, address=address)
        finally:
            with kept():
                pool.close()


def _drive(
    run: Run, questionnaire: Questionnaire, measured: Mapping[str, Unit], engines: _Engines, audience: Audience
) -> bool:
    """Measure what is missing of a run, of which so much is measured; whether it was interrupted."""
    pool = engines.pool
    with audience.watch(run, pool.dashboard) as view:
        shown = OnPages(view, pool, run.plan, questionnaire.task.metric.name)
        return Driver(run, questionnaire, pool, shown).drive(measured, engines.stopped)
