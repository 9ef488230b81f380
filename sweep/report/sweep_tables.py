"""How the sweeps that there are are shown: all of them in one table, and one of them whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sweep.gate.digits import cut
from sweep.report.blocks import Block, Grid
from sweep.report.standing import Standing
from sweep.report.sweeps import State, Sweep

HEADINGS = ("sweep", "state", "changed (UTC)", "units", "score so far", "contract")


def table(sweeps: Sequence[Sweep]) -> Iterator[Block]:
    """One row per sweep, and below it why some have no contract, are in use, or went wrong."""
    yield Grid(HEADINGS, [_row(each) for each in sweeps])
    if remarks := [f"{each.sweep_id}: {remark}" for each in sweeps for remark in _remarks(each)]:
        yield "\n".join(remarks)


def whole(each: Sweep, dashboard: str | None) -> Iterator[Block]:
    """All that is known of a sweep; `dashboard`: of the cluster that its job is on."""
    job, standing = each.job, each.standing
    where = f", as the job {job.id} on {dashboard}" if job else ""
    measured = f"; {_units(standing)} units are measured" if standing else ""
    yield f"{each.sweep_id}: {each.state.value}{where}{measured}"
    if standing is not None:
        yield Grid(
            ("variant", "units", "void", "repetitions", "score so far"),
            [
                (name, f"{v.measured}/{v.units}", str(v.void), f"{v.repetitions}/{v.planned}", _score(v.accuracy))
                for name, v in standing.variants.items()
            ],
        )
    yield "\n".join(_lines(each))


def line(each: Sweep) -> str:
    """How far it is, in a line."""
    from sweep.report.wording import time_left

    left = each.standing.seconds_left if each.standing else None
    return (
        f"{each.sweep_id}: {each.state.value}; {_units(each.standing)} units are measured, score so far "
        f"{_scores(each.standing)}, {time_left(left)}"
    )


def _lines(each: Sweep) -> Iterator[str]:
    standing = each.standing
    if standing and each.state is State.RUNNING and standing.seconds_left is not None:
        from sweep.report.wording import time_left

        yield time_left(standing.seconds_left)
    yield f"changed {_time(each.changed)} UTC; contract: {_contract(each)}"
    yield from _remarks(each)
    if standing:
        yield f"run folder {standing.folder}{f' on host {standing.host}' if each.job else ''}"


def _row(each: Sweep) -> tuple[str, ...]:
    shown = (each.sweep_id, f"{each.state.value}{' (job)' if each.job else ''}", _time(each.changed))
    return (*shown, _units(each.standing), _scores(each.standing), _contract(each))


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _units(standing: Standing | None) -> str:
    if standing is None:
        return "-"
    left_out = [f"{standing.total(what)} {what}" for what in ("void", "saved") if standing.total(what)]
    return f"{standing.total('measured')}/{standing.total('units')}" + (
        f" ({', '.join(left_out)})" if left_out else ""
    )


def _scores(standing: Standing | None) -> str:
    """The lowest and the highest of the variants' means."""
    variants = standing.variants.values() if standing else ()
    scores = [variant.accuracy for variant in variants if variant.accuracy is not None]
    if not scores:
        return "-"
    ends = dict.fromkeys((_score(min(scores)), _score(max(scores))))
    return "–".join(ends)


def _score(accuracy: float | None) -> str:
    return "-" if accuracy is None else f"{accuracy:.3f}"


def _contract(each: Sweep) -> str:
    """Whether there is one, and its threshold; one is not to be expected before the end."""
    standing = each.standing
    if standing is None or standing.contract is None or each.state is not State.FINISHED:
        return "-"
    if not standing.contract:
        return "no"
    return "yes" if standing.threshold is None else f"yes, {cut(standing.threshold)}"


def _remarks(each: Sweep) -> Iterator[str]:
    if each.fault:
        yield f"{each.fault}{f'; `sweep logs {each.sweep_id}` shows the rest' if each.job else ''}"
    if each.standing and each.standing.no_contract and each.state is State.FINISHED:
        yield each.standing.no_contract
    if each.holder:
        yield f"in use by {each.holder}"
    if each.job and not each.job.over:
        yield f"in use by the job {each.job.id}"
