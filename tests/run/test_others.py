"""Runs of other builds as levels of a factor: the variance that no number of repetitions of one build shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.errors import BadInput
from sweep.gate.identity import Change
from sweep.report.conclude import conclude
from sweep.report.sections import markdown
from sweep.run.folder import Run
from tests.runs import SWEEP, finished

NOISY = ("threshold={rule: false_alarm, alpha: 0.05}",)


def with_builds(folder: Path, wrong: int, *others: Run, overrides: tuple[str, ...] = NOISY) -> Run:
    named = ", ".join(str(run.folder) for run in others)
    return finished(folder, {"baseline": wrong, "mtp": wrong}, f"perturb={{build: [{named}]}}", *overrides)


def test_identical_repetitions_take_their_noise_from_other_builds(tmp_path: Path) -> None:
    old = finished(tmp_path / "old", {"baseline": 12, "mtp": 12}, gpu="NVIDIA H100")
    older = finished(tmp_path / "older", {"baseline": 14, "mtp": 14})
    summary = conclude(with_builds(tmp_path / "new", 10, old, older))
    judged = summary.threshold.variants["baseline"]
    # 40 questions: 0.75 here, 0.70 and 0.65 there; their sample variance is 0.05^2.
    assert judged.noise_source == "perturbations"
    assert [(f.factor, f.levels) for f in judged.factors] == [("build", 3)]
    assert judged.factors[0].variance == pytest.approx(0.0025)
    level = summary.perturbed[f"baseline+build={old.folder}"]
    assert level.accuracy.mean == pytest.approx(0.70)
    assert level.differs == (Change(what="GPU", before="NVIDIA H100", after="NVIDIA H200"),)
    text = markdown(summary)
    assert f"| baseline | build = {older.folder} | 3/3 | 0.650 |" in text
    assert f"build = {old.folder}: GPU NVIDIA H100, now NVIDIA H200." in text
    assert summary.perturbed[f"baseline+build={older.folder}"].differs == ()


def test_naming_a_build_later_measures_nothing_again(tmp_path: Path) -> None:
    old = finished(tmp_path / "old", {"baseline": 12, "mtp": 12})
    plain = finished(tmp_path / "new", {"baseline": 10, "mtp": 10})
    again = with_builds(tmp_path / "new", 10, old, overrides=())
    assert again.folder == plain.folder


def test_a_builds_folder_is_relative_to_the_sweep_file(tmp_path: Path) -> None:
    old = finished(tmp_path / "old", {"baseline": 12, "mtp": 12})
    text = SWEEP + f"perturb: {{build: [../old/runs/{old.plan.sweep_id}]}}\n"
    summary = conclude(finished(tmp_path / "new", {"baseline": 10, "mtp": 10}, text=text))
    (level, _) = summary.perturbed.values()
    assert level.accuracy.mean == pytest.approx(0.70)


def test_builds_are_not_gated_and_claim_no_determinism_across_them(tmp_path: Path) -> None:
    claims = "variants={baseline: {deterministic: true}, mtp: {draft: true, deterministic: true}}"
    old = finished(tmp_path / "old", {"baseline": 12, "mtp": 12}, claims)
    summary = conclude(with_builds(tmp_path / "new", 10, old, overrides=(*NOISY, claims)))
    verdicts = {f.variant: f.verdict for f in summary.audits if f.audit == "determinism"}
    assert verdicts == {"baseline": "pass", "mtp": "pass"}
    assert list(summary.variants) == ["baseline", "mtp"]


def test_a_build_with_other_arguments_or_questions_is_refused(tmp_path: Path) -> None:
    other = finished(tmp_path / "a", {"baseline": 12, "mtp": 12}, "engine.arguments={noise: 0.9}")
    with pytest.raises(BadInput, match=r"baseline: arguments\.noise 0\.9, now absent"):
        with_builds(tmp_path / "b", 10, other)
    asked = finished(tmp_path / "c", {"baseline": 12, "mtp": 12}, "protocol.shots=3")
    with pytest.raises(BadInput, match=r"perturb\.build: .*protocol hash"):
        with_builds(tmp_path / "d", 10, asked)
    with pytest.raises(BadInput, match=r"perturb\.build: .*none.*run folder"):
        finished(tmp_path / "e", {"baseline": 1, "mtp": 1}, f"perturb={{build: [{tmp_path / 'none'}]}}")
