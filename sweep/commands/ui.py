"""`sweep ui`: MLflow on the store that a run logged to, and the addresses of the pages that show runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweep.commands.run_folder import RUNS, found
from sweep.out import busy, say

if TYPE_CHECKING:
    from sweep.plan.config import SweepConfig

DASHBOARD = "http://127.0.0.1:8265"
"""Where Ray serves the dashboard of this machine."""


@dataclass(frozen=True, kw_only=True)
class Meant:
    """What is to be shown."""

    named: str
    """What the user would call it."""
    config: SweepConfig
    """What its sweep file says."""
    folder: Path | None
    """Its run folder; None where it has not been launched."""


@click.command(name="ui")
@click.argument("source", required=False, metavar="[FILE|RUN]", type=click.Path())
@click.option("--uri", metavar="URI", help="An MLflow store or server, in place of what FILE or RUN names.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="MLflow's; without it 5000, or a free one if that is taken."
)
@click.option(
    "--runs", default=RUNS, show_default=True, type=click.Path(path_type=Path), help="Where the run folders are."
)
def command(source: str | None, uri: str | None, port: int | None, runs: Path) -> None:
    """Serve MLflow on what a sweep logged to, and print the addresses of its pages, until Ctrl-C.

    The store is the one that the sweep file FILE or the run RUN names; without either, the one that the newest run
    logged to. It is served to this machine only. Where the store is an MLflow server, its address is printed.

    \b
    Examples:
      sweep ui
      sweep ui configs/laptop.yaml
      sweep ui --uri sqlite:////shared/mlflow.db --port 5001
    """
    from sweep.interrupts import answer_with
    from sweep.report.export.mlflow_server import PORT, free_port, serving

    meant = _meant(source, runs)
    place, shown = _store(uri, meant)
    if place.startswith("http"):
        with busy(f"asking MLflow at {shown}"):
            pages = list(_pages(place.rstrip("/"), meant))
        say("\n".join(pages))
        return
    _check_there(place, shown)
    given = free_port(port)
    if port is None and given != PORT:
        say(f"port {PORT} is taken, so MLflow gets port {given}", err=True)
    answer_with("ending MLflow; press Ctrl-C again to end at once")
    with serving(place, given) as server:
        with busy(f"starting MLflow on {shown}, which takes about 10 s"):
            server.wait_until_up()
            pages = list(_pages(server.address, meant))
        say("\n".join(pages))
        say("Ctrl-C ends MLflow.", err=True)
        server.wait_until_ended()


def _meant(source: str | None, runs: Path) -> Meant | None:
    """The run named, the sweep of the file named, or the newest run; None without any."""
    from sweep.plan.sweepfile import load
    from sweep.plan.units import make_plan
    from sweep.run.folder import open_run

    if source is not None and not found(source).is_dir():
        config = load(source)
        folder = runs / make_plan(config).sweep_id
        return Meant(named=source, config=config, folder=folder if folder.is_dir() else None)
    if source is not None:
        folder = found(source)
    else:
        # Every launch writes its sweep file anew.
        files = sorted(runs.glob("*/sweep.yaml"), key=lambda file: file.stat().st_mtime)
        if not files:
            return None
        folder = files[-1].parent
    return Meant(named=str(folder), config=open_run(folder).plan.config, folder=folder)


def _store(uri: str | None, meant: Meant | None) -> tuple[str, str]:
    """The store's URI, and the same as it may be shown, without secrets.

    Raises BadInput where nothing names one, and where it has a secret that nobody gave.
    """
    from cluster.secrets import MARK
    from sweep.errors import BadInput
    from sweep.plan.secrets import secrets_in

    if uri is not None:
        return uri, secrets_in(uri).hide(uri)
    if meant is None:
        raise BadInput("there is no run yet, so no store to show; name a sweep file, or a store with --uri")
    shown = meant.config.tracking.uri
    if shown is None:
        raise BadInput(f"{meant.named}: tracking.uri is null, so nothing was logged; name a store with --uri")
    place = meant.config.secrets.reveal(shown)
    if MARK.search(place):
        raise BadInput(f"{meant.named}: a run folder keeps no secrets, and {shown} has one; name the sweep file")
    return place, shown


def _check_there(place: str, shown: str) -> None:
    """Raises BadInput where the store is a file that is not there: the server would make it."""
    from sweep.errors import BadInput
    from sweep.report.export.mlflow_store import file_of

    file = file_of(place)
    if file is not None and not file.is_file():
        raise BadInput(
            f"{shown}: there is no {file}. Run this where the sweep was launched, or name the store with --uri"
        )


def _pages(address: str, meant: Meant | None) -> Iterator[str]:
    """The pages that there are, a line each, to be copied. Raises ExportUnavailable when MLflow does not answer."""
    from sweep.commands.show import FILE
    from sweep.plan.secrets import secrets_in

    shown = secrets_in(address).hide(address)
    yield f"MLflow         {_experiment(address, shown, meant) if meant else shown}"
    for dashboard in _dashboards():
        yield f"Ray dashboard  {dashboard}"
    if meant and meant.folder:
        report = meant.folder / FILE
        written = report.resolve().as_uri() if report.is_file() else f"`sweep show {meant.folder}` writes it"
        yield f"HTML report    {written}"


def _experiment(address: str, shown: str, meant: Meant) -> str:
    """The page of the sweep's repetitions or, where these are not logged, of its experiment or of all.

    `shown`: the server's address without secrets.
    """
    from sweep.plan.secrets import secrets_in
    from sweep.report.export import ExportUnavailable
    from sweep.report.export.mlflow_store import StoreAway, reached
    from sweep.report.export.mlflow_view import VIEW, runs_page, with_view

    try:
        with reached(address) as client:
            experiment = client.get_experiment_by_name(meant.config.tracking.experiment or meant.config.name)
    except StoreAway as away:
        raise ExportUnavailable(f"MLflow at {shown} is away: {secrets_in(address).hide(str(away))}") from None
    if experiment is None:
        return shown
    page = runs_page(shown, experiment.experiment_id)
    sweep_id = meant.folder.name if meant.folder else ""
    return with_view(page, sweep_id) if f"{VIEW}{sweep_id}" in experiment.tags else page


def _dashboards() -> Iterator[str]:
    """Ray's dashboard, if one answers: the one that RAY_ADDRESS names, or this machine's."""
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    named = os.environ.get("RAY_ADDRESS", "")
    address = named.rstrip("/") if named.startswith("http") else DASHBOARD
    try:
        with urlopen(f"{address}/api/version", timeout=2) as answer:
            if b"ray_version" in answer.read():
                yield address
    except HTTPError as refusal:
        if refusal.code in (401, 403):
            yield f"{address} (asks for a token: `ray get-auth-token` prints it)"
    except (URLError, OSError, ValueError):
        return
