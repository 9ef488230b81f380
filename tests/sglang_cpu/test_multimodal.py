"""The tiny Gemma4 behind the multimodal class, which the large models of its family have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

pytest.importorskip("sglang")

from cluster.engines.sglang.engine import SGLangEngine
from cluster.spec import Completion
from tests.sglang_cpu.sglang_tiny import make_batch, make_spec

pytestmark = pytest.mark.sglang

QUESTIONS = 6
MULTIMODAL: Mapping[str, Any] = {"enable_multimodal": False}


def answers(model: str, arguments: Mapping[str, Any]) -> list[Completion]:
    engine = SGLangEngine()
    engine.start(make_spec(draft=True, model=model, arguments=arguments), lambda phase, log: None)
    try:
        return engine.generate(make_batch(QUESTIONS))
    finally:
        engine.stop()


def test_the_multimodal_class_says_what_the_text_only_one_says_with_worse_drafts() -> None:
    """SGLang 0.5.21 moves this class's positions on by one but not its draft's: it accepts fewer drafts."""
    multimodal = answers("embedded:tiny-gemma4-mm", MULTIMODAL)
    text_only = answers("embedded:tiny-gemma4", {})
    assert [c.token_ids for c in multimodal] == [c.token_ids for c in text_only]
    assert sum(c.verify_steps or 0 for c in multimodal) > 1.1 * sum(c.verify_steps or 0 for c in text_only)
