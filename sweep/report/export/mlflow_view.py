"""What one sees of a sweep in MLflow's pages: the links, and the view that they open.

MLflow keeps a view that is shared as a tag of the experiment, and a link names the tag. In MLflow 3.17 nothing else
says which columns and groups a page opens with, and nothing at all chooses the box plot of the page that compares
runs. So the view draws the score by variant as points, and the box plot is a figure of the sweep's own run.
"""

from __future__ import annotations

import json
from urllib.parse import quote

from sweep.plan.units import Plan
from sweep.report.export.mlflow_single import ID

VIEW = "mlflow.sharedViewState."
"""What the name of such a tag begins with; the rest is named by the link."""
LOCAL = "http://127.0.0.1:5000"
"""Where `sweep ui` serves a store that has no server."""
BOX_PLOT = "figures/repetitions.png"
"""In the run folder, and in the sweep's own run."""


def view_of(plan: Plan, score: str) -> tuple[str, str]:
    """The tag of a sweep's view and what it says: every repetition, by variant. `score`: as MLflow calls it."""
    section = score
    chart = {
        "type": "SCATTER",
        "uuid": f"{score}-by-variant",
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "runsCountToCompare": 10_000,
        "xaxis": {"type": "PARAM", "key": "variant"},
        "yaxis": {"type": "METRIC", "key": score},
    }
    state = {
        "searchFilter": f"tags.`{ID}` = '{plan.sweep_id}' and tags.kind = 'repetition'",
        # A page loads 100 runs at a time: in this order all variants are among the first.
        "orderByKey": "tags.`repetition`",
        "orderByAsc": True,
        "selectedColumns": ("params.`variant`", f"metrics.`{score}`", "metrics.`accept_length`"),
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": "variant"}]},
        "useGroupedValuesInCharts": False,
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": [chart],
        "compareRunSections": [{"uuid": section, "name": f"{score} by variant", "display": True}],
        "isAccordionReordered": True,
    }
    return f"{VIEW}{plan.sweep_id}", json.dumps(state)


def lines(uri: str, experiment: str, sweep_id: str, own: str | None) -> tuple[str, ...]:
    """Where MLflow is, the sweep's own run where it has one, and the page of its repetitions, last."""
    served = uri.startswith("http")
    page = runs_page(uri.rstrip("/") if served else LOCAL, experiment)
    return (
        f"MLflow         {uri if served else f'sweep ui --uri {uri}   # serves the pages below'}",
        *([f"the sweep      {page}/{own}"] if own else []),
        f"repetitions    {with_view(page, sweep_id)}",
    )


def runs_page(address: str, experiment: str) -> str:
    """The page of an experiment's runs; `address`: of the server."""
    return f"{address}/#/experiments/{experiment}/runs"


def with_view(page: str, sweep_id: str) -> str:
    """The page with the view of this sweep, whose tag the experiment has."""
    return (
        f"{page}?viewStateShareKey={quote(sweep_id, safe='')}&compareRunsMode=CHART&workflowType=machine_learning"
    )
