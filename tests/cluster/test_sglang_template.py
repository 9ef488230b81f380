"""What torch says of the GPUs while SGLang is imported in a process that must not touch them."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from cluster.engines.sglang.template import _answering

GPU = {"get_device_name": "NVIDIA H200", "get_device_capability": (9, 0)}


def test_torch_repeats_what_is_known_of_the_gpus_and_is_itself_again_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "_is_compiled", lambda: True)
    asked = ("is_available", "device_count", "current_device", *GPU)
    before = {name: getattr(torch.cuda, name) for name in asked}
    module_of = torch.get_device_module
    with _answering(torch, [GPU]):
        assert torch.cuda.is_available()
        assert torch.cuda.device_count() == 1
        assert torch.cuda.get_device_name(0) == "NVIDIA H200"
        assert torch.cuda.get_device_capability() == (9, 0)
        # torch itself would initialise CUDA to find out which device there is.
        assert torch.get_device_module() is torch.cuda
        assert torch.get_device_module("cpu") is torch.cpu
        taken = torch.cuda.device_count
    assert {name: getattr(torch.cuda, name) for name in asked} == before
    assert torch.get_device_module is module_of
    # Whoever took one by name meanwhile asks the real one from here on.
    monkeypatch.undo()
    assert taken() == torch.cuda.device_count()
