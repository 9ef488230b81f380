"""The real SGLang, held to the contract of all engines."""

from __future__ import annotations

import pytest

pytest.importorskip("sglang")

from cluster.spec import EngineSpec
from tests.engine_contract import EngineContract
from tests.sglang_cpu.sglang_tiny import make_spec

pytestmark = pytest.mark.sglang


class TestSGLang(EngineContract):
    """The tiny Gemma4, plain and with MTP at top-k 1."""

    count = 4

    @pytest.fixture(scope="class")
    @classmethod
    def example(cls) -> EngineSpec:
        return make_spec(draft=True)
