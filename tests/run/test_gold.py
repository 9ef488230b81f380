"""Prompts without answers, from a launch to the gate: held to a variant of the sweep, and to an earlier run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from sweep.commands.group import cli
from sweep.errors import BadInput, EngineStartFailed
from sweep.plan.reference import reference_plan
from sweep.report.conclude import conclude
from sweep.report.sections import markdown
from sweep.run.folder import Run, open_run
from sweep.run.gold import gold_run
from sweep.run.launch import Options, launch
from tests.conftest import write_jsonl
from tests.fake_pool import ActorPool, FakePool
from tests.run.test_launch import Listener, opens
from tests.runs import samples_of

SWEEP = """\
name: match
engine:
  backend: simulated
  model: none
  arguments: {accuracy: 0.9, noise: 0.5, seconds_per_token: 0, start_seconds: 0}
variants:
  baseline: {}
  exact: {arguments: {deterministic: true}}
protocol:
  task: match
  gold: {variant: baseline}
  dataset: {path: prompts.jsonl}
  shots: 0
  questions: 40
  concurrency: 8
repetitions: 3
threshold: {rule: margin, margin: 0.1}
tracking: {uri: null}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "prompts.jsonl", [{"prompt": f"A line about {n}:"} for n in range(50)])
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    return tmp_path


def launched(folder: Path, *overrides: str, against: Path | None = None) -> Run:
    options = Options(runs=folder / "runs", address=None, wait=1, against=against)
    with ExitStack() as held:
        return launch(str(folder / "sweep.yaml"), overrides, options, Listener(), held).run


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[ActorPool]:
    """The pools that launches open, with the simulated engine in this process."""
    opened: list[ActorPool] = []

    def make(spec: Any, tell: Callable[[str], None]) -> ActorPool:
        opened.append(ActorPool("engine-1"))
        opened[-1].dashboard = None  # type: ignore[attr-defined]
        return opened[-1]

    monkeypatch.setattr("cluster.pool.RayPool", make)
    return opened


def texts(run: Run, variant: str) -> list[dict[str, str | None]]:
    """Of each of its repetitions, question to output, as the files have them."""
    units = [unit for unit in run.plan.units if unit.variant == variant]
    return [{sample.question_id: sample.text for sample in samples_of(run, unit)} for unit in units]


def share(outputs: dict[str, str | None], others: dict[str, str | None]) -> float:
    return float(np.mean([outputs[question] == others[question] for question in others]))


def test_a_score_is_the_share_of_outputs_equal_to_those_of_one_more_run_of_the_variant(
    folder: Path, pools: list[ActorPool]
) -> None:
    run = launched(folder)
    gold = gold_run(run)
    assert gold is not None
    assert gold.folder.parent == run.folder
    ((reference,), (unit,)) = texts(gold, "baseline"), gold.plan.units
    # No repetition has its seed, so that none is the reference itself.
    assert unit.seed not in {other.seed for other in run.plan.units}
    for variant, table in run.variant_samples().items():
        expected = [share(outputs, reference) for outputs in texts(run, variant)]
        assert table.scores.tolist() == pytest.approx(expected)
        assert 0 < min(expected) <= max(expected) < 1
    # One pool serves both: Ray starts once.
    assert len(pools) == 1
    assert [spec.label for spec in pools[0].specs] == ["baseline", "baseline", "exact"]


def test_a_launch_that_goes_on_measures_the_reference_no_second_time(folder: Path, pools: list[ActorPool]) -> None:
    run = launched(folder)
    before = run.provenance().protocol.hash
    next(run.samples_folder.glob("exact*.parquet")).unlink()
    assert launched(folder).provenance().protocol.hash == before
    assert len(pools) == 2
    assert [spec.label for spec in pools[1].specs] == ["exact"]


def test_a_reference_whose_file_was_damaged_is_measured_again(folder: Path, pools: list[ActorPool]) -> None:
    run = launched(folder)
    gold = gold_run(run)
    assert gold is not None
    file = gold.unit_file(gold.plan.units[0])
    file.write_bytes(file.read_bytes()[:-9])
    assert launched(folder).provenance().protocol.hash == run.provenance().protocol.hash
    assert len(pools) == 2
    assert len(texts(gold, "baseline")) == 1


def test_the_report_names_the_reference_and_a_later_build_is_gated_by_the_same_one(
    folder: Path, pools: list[ActorPool]
) -> None:
    first = launched(folder)
    summary = conclude(first)
    assert summary.threshold.value == pytest.approx(
        min(variant.accuracy.mean or 0 for variant in summary.variants.values()) - 0.1
    )
    assert "`baseline`" in markdown(summary)
    assert not any("truncation" in finding.audit for finding in summary.audits)
    contract = str(first.folder / "thresholds.json")

    def gated(run: Run) -> int:
        return CliRunner().invoke(cli, ["gate", contract, "--run", str(run.folder)]).exit_code

    # What the first run was held to: the same questions and the same right outputs.
    held = launched(folder, f"protocol.gold={{run: {first.folder}}}")
    assert held.provenance().protocol.hash == first.provenance().protocol.hash
    assert gated(held) == 0
    # Held to its own outputs: another protocol.
    own = launched(folder, "protocol.gold={variant: exact}")
    assert gated(own) == 6


def test_an_earlier_run_s_variant_is_the_reference_by_its_first_repetition(
    folder: Path, pools: list[ActorPool]
) -> None:
    first = launched(folder)
    later = launched(folder, f"protocol.gold={{run: {first.folder}, variant: exact}}", "protocol.concurrency=2")
    assert len(pools) == 2
    reference = texts(first, "exact")[0]
    for variant, table in later.variant_samples().items():
        assert table.scores.tolist() == pytest.approx([share(there, reference) for there in texts(later, variant)])
    # What that run was held to is found through it.
    again = launched(folder, f"protocol.gold={{run: {later.folder}}}", "protocol.concurrency=2")
    assert again.provenance().protocol.hash == later.provenance().protocol.hash


def test_a_reference_that_does_not_fit_is_refused_before_anything_runs(
    folder: Path, pools: list[ActorPool]
) -> None:
    first = launched(folder)
    gold = f"protocol.gold={{run: {first.folder}, variant: exact}}"
    for overrides, fact in (
        ([f"protocol.gold={{run: {folder / 'runs'}}}"], "not a run folder"),
        ([f"protocol.gold={{run: {first.folder}, variant: exat}}"], "did you mean exact"),
        ([gold, "protocol.max_tokens=64"], "max_tokens 512, and here it is 64"),
        ([gold, "protocol.questions=50"], "test-40 is not asked there"),
    ):
        with pytest.raises(BadInput, match=fact) as refused:
            launched(folder, *overrides)
        assert refused.value.message.startswith("protocol.gold.run: ")
        assert "\n" not in refused.value.message
    write_jsonl(folder / "prompts.jsonl", [{"prompt": f"Another about {n}:"} for n in range(50)])
    with pytest.raises(BadInput, match="test-0 is another prompt there"):
        launched(folder, gold)
    with pytest.raises(BadInput, match=r"protocol\.gold\.run too"):
        launched(folder, "seed=5", against=first.folder)
    assert len(pools) == 1


def test_without_the_reference_nothing_of_the_sweep_is_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = FakePool(fault=lambda engine, what, times: "error" if what.startswith("baseline-r") else None)
    opens(pool, monkeypatch)
    with pytest.raises(EngineStartFailed, match=r"outputs of baseline .* failed 3 times"):
        launched(folder)
    assert {what for _, what in pool.runs} == {"baseline-r01"}


def test_an_interrupt_while_the_reference_is_measured_ends_the_launch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens(FakePool(), monkeypatch)
    monkeypatch.setattr("sweep.run.launch.Driver.drive", lambda *given: True)
    with pytest.raises(KeyboardInterrupt):
        launched(folder)


def test_the_runs_below_the_run_s_folder_can_be_opened_and_are_held_to_the_same(
    folder: Path, pools: list[ActorPool]
) -> None:
    run = launched(folder, "reference={backend: simulated, questions: 5}")
    gold, reference = gold_run(run), run.below(reference_plan(run.plan.config))
    assert gold is not None
    assert reference is not None
    assert open_run(gold.folder).plan == gold.plan
    assert open_run(reference.folder).questions() == run.questions()[:5]
