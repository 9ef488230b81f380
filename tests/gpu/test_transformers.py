"""On a GPU: the transformers engine runs on the one that it owns, and names it."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from cluster.engines.transformers import TransformersEngine
from cluster.spec import Completion, Device, EngineSpec
from tests.engine_contract import questions

pytestmark = pytest.mark.gpu
if not torch.cuda.is_available():
    pytest.skip("no GPU", allow_module_level=True)


@pytest.mark.parametrize("draft", [None, "embedded:tiny-gemma4-assistant"], ids=["plain", "draft"])
def test_a_gpu_gives_what_the_processor_gives_and_is_named(draft: str | None) -> None:
    def ran(gpus: float) -> tuple[Device, list[Completion]]:
        engine = TransformersEngine()
        spec = EngineSpec(
            label="v", backend="transformers", model="embedded:tiny-gemma4", draft_model=draft, gpus=gpus
        )
        engine.start(spec, lambda phase, log: None)
        try:
            return engine.describe().device, engine.generate(questions(4))
        finally:
            engine.stop()

    (processor, expected), (gpu, completions) = ran(0.0), ran(1.0)
    assert processor.gpus == ()
    assert [one.name for one in gpu.gpus] == [torch.cuda.get_device_name(0)]
    assert [(c.text, c.verify_steps) for c in completions] == [(c.text, c.verify_steps) for c in expected]
