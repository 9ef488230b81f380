"""`sweep history` as a user meets it: files, MLflow, a contract, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sweep.commands.history import command
from sweep.disk import DiskUnavailable
from sweep.errors import BadInput
from sweep.report.conclude import conclude
from sweep.report.export.mlflow import MlflowExporter
from sweep.report.history import bars
from sweep.report.nights import read_experiment
from tests.runs import finished

CALM = [0.40, 0.41, 0.39, 0.40, 0.405, 0.395, 0.41, 0.39, 0.40, 0.40]


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(command, arguments, input=given, env={"COLUMNS": "100"})


def refused(*arguments: str, given: str | None = None) -> str:
    result = run(*arguments, given=given)
    assert isinstance(result.exception, BadInput), result.output
    return result.exception.message


def as_json(scores: list[float | None], *options: str) -> Any:
    return json.loads(run("-", "--questions", "200", "--json", *options, given=json.dumps(scores)).stdout)


def test_an_alarm_exits_5_and_names_the_night_and_the_size() -> None:
    rows = [f"2026-03-{day:02d},{score}" for day, score in enumerate([*CALM, *[0.36] * 5], start=1)]
    result = run("-", "--questions", "200", given="\n".join(["date,score", *rows]))
    assert result.exit_code == 5
    assert result.stdout.startswith("worse: scores (since 2026-03-11 by -0.040")


def test_calm_nights_exit_0() -> None:
    result = run("-", "--questions", "200", given=json.dumps(CALM * 2))
    assert result.exit_code == 0
    assert result.stdout.startswith("no difference shown: scores.")


@pytest.mark.parametrize(("options", "told"), [((), True), (("--both-sides",), False)])
def test_what_is_not_watched_is_told(options: tuple[str, ...], told: bool) -> None:
    result = run("-", "--questions", "200", *options, given=json.dumps(CALM * 2))
    assert ("--both-sides" in result.stdout) == told


@pytest.mark.parametrize(("scores", "told"), [([0.4] * 20, True), (CALM * 2, False)])
def test_no_run_length_is_stated_of_a_reference_that_repeats_itself(scores: list[float], told: bool) -> None:
    result = run("-", "--questions", "200", given=json.dumps(scores))
    assert ("where the reference shows a spread" in result.stdout) == told


def test_rows_in_any_order_are_nights_by_date_and_rows_of_a_date_are_one_night() -> None:
    rows = ["2026-03-04,", "2026-03-03,0.4", "2026-03-01,0.41", "2026-03-02,0.39", "2026-03-05T01:00:00+02:00,0.42"]
    rows += ["2026-03-03,0.42", "2026-03-06,0.4"]
    text = "\n".join(["date,score", *rows])
    document = json.loads(run("-", "--questions", "200", "--json", "--reference", "3", given=text).stdout)
    nights = document["variants"]["scores"]["nights"]
    # One o'clock in +02:00 is the evening before in UTC: a second run of the night that failed first.
    assert [(night["night"][-2:], night["scores"]) for night in nights] == [
        ("01", [0.41]), ("02", [0.39]), ("03", [0.4, 0.42]), ("04", [0.42]), ("06", [0.4])
    ]  # fmt: skip


def test_null_in_a_list_is_a_failed_night() -> None:
    nights = as_json([*CALM, None, 0.4])["variants"]["scores"]["nights"]
    assert nights[10] == {"night": "night 11", "scores": [], "mean": None}


def test_several_variants_share_the_false_alarms() -> None:
    text = "\n".join(["variant,score", *(f"{v},{s}" for v in ("a", "b") for s in CALM)])
    both = json.loads(run("-", "--questions", "200", "--json", given=text).stdout)["variants"]
    alone = json.loads(run("-", "--questions", "200", "--json", "--variant", "a", given=text).stdout)["variants"]
    assert list(alone) == ["a"]
    assert both["a"]["limit"] > alone["a"]["limit"]


def test_since_leaves_out_the_nights_before() -> None:
    rows = [f"2026-03-{day:02d},{score}" for day, score in enumerate([0.9, 0.9, *CALM], start=1)]
    text = "\n".join(["date,score", *rows])
    document = json.loads(run("-", "--questions", "200", "--json", "--since", "2026-03-03", given=text).stdout)
    assert document["variants"]["scores"]["nights"][0]["night"] == "2026-03-03"


def test_a_figure_is_written(tmp_path: Path) -> None:
    file = tmp_path / "history.png"
    run("-", "--questions", "200", "--figure", str(file), given=json.dumps([*CALM, *[0.36] * 5]))
    assert file.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["history.png", "history.pdf", "history.svg"])
def test_a_figure_that_a_full_disk_does_not_take_stays_as_it_was(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text("before")
    (tmp_path / f"{name}.tmp").symlink_to("/dev/full")
    result = run("-", "--questions", "200", "--figure", str(file), given=json.dumps(CALM))
    assert isinstance(result.exception, DiskUnavailable), result.output
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [(name, "before")]


def test_the_lowest_and_the_highest_score_have_the_lowest_and_the_highest_bar() -> None:
    assert bars([0.1, 0.2, 0.3], 0.1, 0.3) == "▁▅█"
    assert bars([0.2, 0.2], 0.2, 0.2) == "▅▅"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,score\n2026-13-01,0.4\n", "stdin:2: date: `2026-13-01` is not a date"),
        ("date,score\n2026-12-01,0.4\n,0.5\n", "stdin:3: no date"),
        ("date,score\n2026-12-01,\n", "stdin: no scores in it"),
        ("[0.4, 38.5]", "stdin: score 2: 38.5 is not a share"),
    ],
)
def test_a_file_that_is_no_history_is_refused_with_its_line(text: str, message: str) -> None:
    assert message in refused("-", "--questions", "200", given=text)


def test_options_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    assert "one of the two" in refused()
    assert "one of the two" in refused("-", "--experiment", "x", given="[]")
    nights = json.dumps(CALM)
    assert "exclude" in refused("-", "--questions", "200", "--contract", "x", "--reference", "5", given=nights)
    assert "no dates" in refused("-", "--questions", "200", "--since", "2026-01-01", given=nights)
    assert "scores" in refused("-", "--questions", "200", "--variant", "score", given=nights)
    assert "cannot be drawn" in refused("-", "--questions", "200", "--figure", "x.none", given=nights)
    assert "there is no file" in refused("--experiment", "x", "--tracking", f"sqlite:///{tmp_path / 'none.db'}")


def test_the_repetitions_in_mlflow_are_nights(tmp_path: Path) -> None:
    import mlflow

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    measured = finished(tmp_path, {"baseline": 4, "mtp": 6}, f"tracking={{uri: '{uri}', experiment: tried}}")
    MlflowExporter().sync(measured, conclude(measured, figures=False))
    message = refused("--experiment", "tried", "--tracking", uri)
    # All repetitions of the run were measured on one day: three scores, and one night.
    assert "1 night with a score" in message
    assert "known: " in refused("--experiment", "tired", "--tracking", uri)
    client = mlflow.MlflowClient(uri)
    (logged, *_) = client.search_runs(
        [client.get_experiment_by_name("tried").experiment_id], "tags.variant = 'mtp'"
    )
    for day in range(1, 6):
        # As if the sweep had been launched on the days before: 0.8 against the run's 0.85, as 34 of 40.
        began = logged.info.start_time - day * 86_400_000
        tags = {key: value for key, value in logged.data.tags.items() if not key.startswith("mlflow.")}
        earlier = client.create_run(logged.info.experiment_id, start_time=began, tags=tags)
        client.log_metric(earlier.info.run_id, "accuracy", 0.8)
        client.set_terminated(earlier.info.run_id)
    options = ["--experiment", "tried", "--tracking", uri, "--variant", "mtp", "--json"]
    history = json.loads(run(*options).stdout)["variants"]["mtp"]
    assert history["questions"] == 40
    assert [night["scores"] for night in history["nights"]] == [[0.8]] * 5 + [[0.85] * 3]


def test_a_password_in_the_uri_of_mlflow_is_not_told() -> None:
    with pytest.raises(BadInput, match="there is no file") as caught:
        read_experiment("any", "sqlite:////nowhere/mlflow.db?password=pl4nted", None, lambda text: None)
    assert "pl4nted" not in caught.value.message
