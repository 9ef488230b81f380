"""A contract as the reference of a history."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sweep.commands.history import command
from sweep.errors import BadInput
from sweep.gate.contract import Contract


def test_a_contract_is_the_reference_of_its_variants(file: Path, contract: Contract) -> None:
    terms = contract.variants["mtp"]
    options = ["-", "--questions", "40", "--contract", str(file), "--json"]
    result = CliRunner().invoke(command, options, input="variant,score\nmtp,0.875\nmtp,0.85\n")
    reference = json.loads(result.stdout)["variants"]["mtp"]["reference"]
    assert (reference["from"], reference["nights"], reference["runs"]) == ("contract", None, terms.repetitions)
    assert (reference["mean"], reference["std"]) == (pytest.approx(terms.mean), terms.std)


@pytest.mark.parametrize(
    ("rows", "questions", "message"),
    [("mpt,0.9", "40", "did you mean mtp?"), ("mtp,0.9", "200", "scores over 200 questions")],
)
def test_nights_that_a_contract_knows_nothing_of_are_refused(
    file: Path, rows: str, questions: str, message: str
) -> None:
    options = ["-", "--questions", questions, "--contract", str(file)]
    result = CliRunner().invoke(command, options, input=f"variant,score\n{rows}\n")
    assert isinstance(result.exception, BadInput)
    assert message in result.exception.message
