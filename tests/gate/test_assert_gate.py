"""The gate in an engine's own tests: the helper, and the test file that docs/gate.md shows."""

from __future__ import annotations

import json
import re
import sys
import unittest
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from sweep.errors import BadInput
from sweep.gate import ContractDoesNotApply, assert_gate
from sweep.gate import contract as contracts
from tests.gate.conftest import NOW


def test_the_helper_raises_an_assertion_for_a_low_score(file: Path) -> None:
    assert assert_gate(file, variant="mtp", score=33 / 40, questions=40).exit_code == 0
    with pytest.raises(AssertionError, match=r"mtp: FAIL: .*0\.8000.* 0\.8250") as caught:
        assert_gate(file, variant="mtp", score=32 / 40, questions=40)
    assert str(file) in str(caught.value)


def test_the_helper_raises_another_error_when_the_contract_does_not_apply(file: Path) -> None:
    with pytest.raises(ContractDoesNotApply, match="questions: contract 40, measured 200") as caught:
        assert_gate(file, variant="mtp", score=0.1, questions=200)
    assert not isinstance(caught.value, AssertionError)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"score": "0.5", "questions": 40}, "'0.5'"),
        ({"score": True, "questions": 40}, "True"),
        ({"score": [0.5, None], "questions": 40}, "None"),
        ({"score": 0.5, "questions": "40"}, "'40'"),
        ({"score": 0.5, "questions": 40, "accept_length": "2"}, "'2'"),
        ({"score": 10**400, "questions": 40}, "score: larger"),
        ({"score": 0.5, "questions": 40, "gpu": 5}, "gpu: 5 is not text"),
        ({"score": 0.5, "questions": 40, "protocol_hash": b"a"}, "protocol_hash: b'a'"),
        ({"score": 0.5, "questions": 40, "variant": 1}, "variant: 1"),
        ({"score": 0.5, "questions": 40, "now": "2026-01-31"}, "now: '2026-01-31'"),
        ({"score": 0.5, "questions": 40, "now": datetime(2026, 1, 31)}, "time zone"),
        ({"score": 0.5, "questions": 40, "contract_path": 5}, "contract_path: 5"),
        ({"answers": [True]}, "list"),
        ({"answers": {"test-2": "True"}}, "test-2"),
        ({"answers": {"test-2": None}}, "test-2"),
        ({"answers": {"test-2": 0.5}}, "test-2"),
        ({"answers": {2: True}}, "2"),
    ],
)
def test_the_helper_refuses_what_is_no_number_and_no_answer(file: Path, given: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match=re.escape(named)):
        assert_gate(**{"contract_path": file, "variant": "mtp", **given})


def test_the_helper_takes_numpy_numbers_and_arrays(file: Path) -> None:
    for score in (np.float64(0.9), np.array([0.9])):
        assert assert_gate(file, variant="mtp", score=score, questions=np.int64(40)).exit_code == 0


def test_the_helper_takes_the_time_as_an_argument(file: Path) -> None:
    with pytest.raises(ContractDoesNotApply, match="expired"):
        assert_gate(file, variant="mtp", score=0.9, questions=40, now=datetime(2100, 1, 1, tzinfo=UTC))


class _Served(unittest.TestCase):
    """Stands for SGLang's CustomTestCase."""


def _documented(score: float, contract: Path) -> unittest.TestResult:
    """Runs the test file of docs/gate.md against a server that is not there but scores this."""
    page = (Path(__file__).parents[2] / "docs" / "gate.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    info = SimpleNamespace(json=lambda: {"internal_states": [{"avg_spec_accept_length": 2.9}]})
    stubs: dict[str, dict[str, Any]] = {
        "requests": {"get": lambda url: info},
        "sglang.srt.utils": {"kill_process_tree": lambda pid: None},
        "sglang.test.ci.ci_register": {"register_cuda_ci": lambda **facts: None},
        "sglang.test.run_eval": {"run_eval": lambda args: {"score": score}},
        "sglang.test.test_utils": {
            "CustomTestCase": _Served,
            "DEFAULT_TIMEOUT_FOR_SERVER_LAUNCH": 600,
            "DEFAULT_URL_FOR_TEST": "http://127.0.0.1:1",
            "popen_launch_server": lambda *args, **options: SimpleNamespace(pid=0),
        },
    }
    modules = {name: ModuleType(name) for name in stubs}
    for name, members in stubs.items():
        vars(modules[name]).update(members)
    names = {"__name__": "documented", "__file__": str(contract.with_name("test_gemma4_mtp.py"))}
    with patch.dict(sys.modules, modules):
        exec(compile(code, "docs/gate.md", "exec"), names)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(names["TestGemma4MTPTopk1"]).run(result)  # type: ignore[arg-type]
    return result


def test_the_documented_test_file_passes_fails_and_errors_as_it_says(
    contract: contracts.Contract, tmp_path: Path
) -> None:
    file = tmp_path / "gemma4_mtp.thresholds.json"
    terms = contract.variants["mtp"].model_copy(update={"questions": 200})
    lasting = contract.model_copy(
        update={
            "expires": datetime.now(UTC) + timedelta(days=1),
            "gpu": contracts.GpuTerms(name="NVIDIA H100 80GB HBM3", count=2),
            "variants": {"topk1-det": terms},
        }
    )
    file.write_text(json.dumps(lasting.to_json()))
    assert _documented(0.825, file).wasSuccessful()
    below = _documented(0.82, file)
    assert (len(below.failures), len(below.errors)) == (1, 0)
    file.write_text(json.dumps(lasting.model_copy(update={"expires": NOW}).to_json()))
    expired = _documented(0.825, file)
    assert (len(expired.failures), len(expired.errors)) == (0, 1)
