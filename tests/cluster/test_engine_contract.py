"""The engines that need no GPU, held to the contract. SGLang's turn is in sglang_cpu/test_contract.py."""

from __future__ import annotations

import pytest
from engine_contract import EngineContract

from cluster.spec import EngineSpec


class TestSimulated(EngineContract):
    """The noise model."""

    def spec(self, draft: bool) -> EngineSpec:
        return EngineSpec(
            label="v",
            backend="simulated",
            model="none",
            draft_model="none" if draft else None,
            arguments={"deterministic": True, "start_seconds": 0},
        )


class TestTransformers(EngineContract):
    """The tiny Gemma4 and its draft."""

    def spec(self, draft: bool) -> EngineSpec:
        pytest.importorskip("torch")
        pytest.importorskip("transformers")
        return EngineSpec(
            label="v",
            backend="transformers",
            model="embedded:tiny-gemma4",
            draft_model="embedded:tiny-gemma4-assistant" if draft else None,
        )
