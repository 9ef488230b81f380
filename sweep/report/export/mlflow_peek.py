"""Whether MLflow has all of a run, from a SQLite store's own tables.

To import MLflow takes longer than everything else that `sweep track` does where nothing is new. So this looks at
the file itself, and takes whatever it does not understand for a no.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sweep.report.export.mlflow_single import ENDED, ID, SWEEP, UNIT

SECONDS = 1.0
"""To wait for somebody who is writing."""
QUERY = """
SELECT runs.experiment_id, runs.run_uuid, runs.status, unit.value, state.value
FROM tags AS id
JOIN runs ON runs.run_uuid = id.run_uuid AND runs.lifecycle_stage = 'active'
JOIN experiments ON experiments.experiment_id = runs.experiment_id
JOIN tags AS unit ON unit.run_uuid = id.run_uuid AND unit.key = :unit
LEFT JOIN tags AS state ON state.run_uuid = id.run_uuid AND state.key = :state
WHERE id.key = :id AND id.value = :sweep AND experiments.name = :experiment
"""


def own_run(
    file: Path, experiment: str, sweep_id: str, keys: set[str], state: tuple[str, str]
) -> tuple[str, str] | None:
    """The experiment's id and that of the sweep's own run, if every key has one run, which is whole, and no more.

    `state`: the tag, and what it says, of an own run that is as the run folder is.
    """
    asked = {"id": ID, "unit": UNIT, "state": state[0], "sweep": sweep_id, "experiment": experiment}
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", timeout=SECONDS, uri=True)) as store:
            rows = store.execute(QUERY, asked).fetchall()
    except sqlite3.Error:
        return None
    own = [(str(where), str(run)) for where, run, ended, key, is_of in rows if key == SWEEP and is_of == state[1]]
    whole = all(status in (ENDED if key == SWEEP else ("FINISHED",)) for _, _, status, key, _ in rows)
    if not whole or len(own) != 1 or sorted(row[3] for row in rows) != sorted({*keys, SWEEP}):
        return None
    return own[0]
