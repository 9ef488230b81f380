"""The seam: what holds of every entry of AUDITS, and an audit that a stranger adds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from sweep import audit
from sweep.audit import AUDITS, Audit, Evidence, Finding, Verdict, run_all
from sweep.stats.samples import VariantSamples
from tests.audit.evidence import evidence, measured, plain, variant
from tests.runs import finished
from tests.tables import changed, first, table

SPREAD = ("determinism", "common cause")
"""Audits of what differs between repetitions: a single one cannot tell."""


class Answered:
    """A toy audit: a variant that answers nothing right fails."""

    NAME = "any right answer"

    def findings(self, evidence: Evidence) -> Iterable[Finding]:
        """One finding for each variant."""
        for name, samples in evidence.samples.items():
            right = int(samples.correct.sum())
            yield Finding(
                audit=self.NAME,
                variant=name,
                verdict=Verdict.PASS if right else Verdict.FAIL,
                seen=f"{right} answers are right.",
                do="" if right else "Look at the prompt.",
                evidence={"right": right},
            )


@pytest.fixture
def with_toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "AUDITS", (*AUDITS, Answered()))


@pytest.mark.usefixtures("with_toy")
def test_a_new_audits_findings_stand_among_the_others() -> None:
    toys = [f for f in run_all(plain(table("a", first(0)), table("b", first(9)))) if f.audit == Answered.NAME]
    assert [(f.variant, f.verdict) for f in toys] == [("a", Verdict.FAIL), ("b", Verdict.PASS)]


@pytest.mark.usefixtures("with_toy")
def test_a_new_audits_findings_reach_the_summary_of_a_run(tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 4, "mtp": 40})
    summary = json.loads((run.folder / "summary.json").read_text())
    toys = {f["variant"]: f for f in summary["audits"] if f["audit"] == Answered.NAME}
    assert {name: f["verdict"] for name, f in toys.items()} == {"baseline": "pass", "mtp": "fail"}
    assert toys["baseline"]["evidence"] == {"right": 3 * 36}


def of_runs(runs: int) -> Evidence:
    """Every kind of variant, each with so many noisy repetitions, and everything else that audits look at."""
    rng = np.random.default_rng(0)

    def drawn(name: str) -> VariantSamples:
        right = rng.random((runs, 40)) < 0.5
        ids = np.empty(right.shape, dtype=object)
        for place in np.ndindex(right.shape):
            # As they are read from a file: numbers that JSON does not know.
            ids[place] = np.array([7, right[place], 9], dtype=np.int32)
        return changed(table(name, right), token_ids=lambda: ids)

    claims = [
        variant("det", deterministic=True),
        variant("mtp-det", deterministic=True, baseline="det"),
        variant("base"),
        variant("mtp", baseline="base"),
        variant("alone", draft=True),
    ]
    condition = variant("det, 4 at once", deterministic=True, perturbs="det", factor="concurrency", level=4)
    return evidence(
        claims,
        {v.name: drawn(v.name) for v in claims},
        perturbed=[(condition, drawn(condition.name))],
        earlier={v.name: drawn(v.name) for v in claims},
        places={"engine-1@a": {"sglang": "1"}, "engine-2@b": {"sglang": "2"}},
    )


every = pytest.mark.parametrize("entry", [*AUDITS, Answered()], ids=lambda entry: entry.NAME)


def test_names_are_unique() -> None:
    names = [entry.NAME for entry in AUDITS]
    assert all(names)
    assert len(set(names)) == len(names)


@every
@pytest.mark.parametrize("given", [of_runs(0), of_runs(1), of_runs(3), measured()], ids=["0", "1", "3", "measured"])
def test_findings_carry_the_audits_name_a_verdict_and_json(entry: Audit, given: Evidence) -> None:
    names = {v.name for v in (*given.variants, *(condition for condition, _ in given.perturbed))}
    for finding in entry.findings(given):
        assert finding.audit == entry.NAME or finding.audit.startswith(f"{entry.NAME}: ")
        assert finding.variant is None or finding.variant in names
        assert isinstance(finding.verdict, Verdict)
        assert finding.seen.endswith(".")
        assert finding.do.endswith(".") if finding.verdict in (Verdict.WARN, Verdict.FAIL) else True
        stored = json.dumps(asdict(finding), allow_nan=False)
        assert TypeAdapter(Finding).validate_json(stored) == finding


@pytest.mark.parametrize("entry", AUDITS, ids=lambda entry: entry.NAME)
def test_a_variant_without_any_repetition_is_unknown_or_passed_over(entry: Audit) -> None:
    verdicts = [f.verdict for f in entry.findings(of_runs(0)) if f.variant is not None]
    assert set(verdicts) <= {Verdict.UNKNOWN}


@pytest.mark.parametrize("entry", [a for a in AUDITS if a.NAME in SPREAD], ids=lambda entry: entry.NAME)
def test_a_single_repetition_shows_nothing_of_what_differs_between_repetitions(entry: Audit) -> None:
    single = [f for f in entry.findings(of_runs(1)) if f.variant in {v.name for v in of_runs(1).variants}]
    assert {f.verdict for f in single} <= {Verdict.UNKNOWN}
