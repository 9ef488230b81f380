"""Answers about GPUs that are given again where CUDA must not be touched."""

from __future__ import annotations

import pickle
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cluster.engines.sglang.cuda import answering, ask

TARGET = ("cuda", 90, 32)


class TouchedCuda(Exception):
    """What a question raises here once the GPUs are out of reach."""


class Machine:
    """torch and Triton on two GPUs, of different size."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reachable = True
        self.torch = self._module(monkeypatch, "torch")
        self.torch.device = lambda name: SimpleNamespace(index=int(name[5:]) if ":" in name else None)
        self.cuda, self.c = self._module(monkeypatch, "torch.cuda"), self._module(monkeypatch, "torch._C")
        self._module(monkeypatch, "triton")
        self._module(monkeypatch, "triton.runtime")
        self.driver = self._module(monkeypatch, "triton.runtime.driver").driver = TritonDrivers()
        self.driver.set_active(
            SimpleNamespace(
                get_current_target=lambda: TARGET,
                utils=SimpleNamespace(get_device_properties=lambda number: {"max_shared_mem": 100 + number}),
            )
        )
        modules = {"cuda": self.cuda, "cpu": "the processor's"}
        self.torch.get_device_module = lambda device=None: modules[device or self.c._get_accelerator()]
        self._put(self.cuda, "is_available", lambda: True)
        self._put(self.cuda, "device_count", lambda: 2)
        self._put(self.cuda, "current_device", lambda: 0)
        self._put(self.c, "_get_accelerator", lambda: "cuda")
        self._put(self.c, "_accelerator_getAccelerator", lambda: "cuda")
        self._put(self.cuda, "get_device_capability", lambda number: (9, number))
        self._put(self.cuda, "get_device_name", lambda number: f"GPU {number}")
        self._put(self.cuda, "get_device_properties", lambda number: Properties(number))

    def _module(self, monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    def _put(self, module: Any, name: str, answer: Any) -> None:
        def function(*arguments: Any) -> Any:
            if not self.reachable:
                raise TouchedCuda(name)
            return answer(*arguments)

        setattr(module, name, function)


class TritonDrivers:
    def __init__(self) -> None:
        self._active: Any = None
        self._default: Any = "made too early"

    @property
    def active(self) -> Any:
        return self._active

    def set_active(self, driver: Any) -> None:
        self._active = driver


class Properties:
    def __init__(self, number: int) -> None:
        self.major = 9
        self.multi_processor_count = 132 + number
        self.uuid = lambda: "which cannot be pickled"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_the_answers_are_given_without_touching_cuda(machine: Machine) -> None:
    gpus = pickle.loads(pickle.dumps(ask()))
    machine.reachable = False
    with answering(gpus) as missed:
        assert machine.cuda.is_available()
        assert (machine.cuda.device_count(), machine.cuda.current_device()) == (2, 0)
        assert (machine.c._get_accelerator(), machine.c._accelerator_getAccelerator()) == ("cuda", "cuda")
        assert [machine.cuda.get_device_capability(d) for d in (None, 1, "cuda", "cuda:1")] == [
            (9, 0),
            (9, 1),
            (9, 0),
            (9, 1),
        ]
        assert machine.torch.get_device_module() is machine.cuda
        assert machine.torch.get_device_module("cpu") == "the processor's"
        assert machine.cuda.get_device_name() == "GPU 0"
        assert machine.cuda.get_device_properties(device=1).multi_processor_count == 133
        assert machine.driver.active.get_current_target() == TARGET
        assert machine.driver.active.utils.get_device_properties(1)["max_shared_mem"] == 101
    assert missed == []


def test_afterwards_torch_and_triton_are_asked_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    originals = (machine.cuda.device_count, machine.cuda.get_device_name)
    importer: Any = ModuleType("importer")
    monkeypatch.setitem(sys.modules, "importer", importer)
    with answering(ask()):
        importer.count, kept = machine.cuda.device_count, [machine.cuda.device_count]
    assert (machine.cuda.device_count, machine.cuda.get_device_name) == originals
    assert importer.count is originals[0]
    assert (machine.driver._active, machine.driver._default) == (None, None)
    machine.reachable = False
    with pytest.raises(TouchedCuda, match="device_count"):
        kept[0]()


def test_what_triton_is_asked_beside_is_remembered_though_the_asker_bears_the_error(machine: Machine) -> None:
    with answering(ask()) as missed:
        assert getattr(machine.driver.active, "get_benchmarker", None) is None
        assert getattr(machine.driver.active.utils, "load_binary", None) is None
    assert missed == ["get_benchmarker", "load_binary"]


def test_without_a_gpu_nothing_is_put_in_a_place(machine: Machine) -> None:
    machine.cuda.is_available = lambda: False
    before = machine.cuda.device_count
    with answering(ask()) as missed:
        assert machine.cuda.device_count is before
    assert missed == []
