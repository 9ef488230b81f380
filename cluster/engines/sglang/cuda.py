"""What torch and Triton say of the GPUs, said again in a process that must not touch CUDA.

Much of SGLang asks while it is imported: sgl_kernel chooses its library by the GPU's capability, the linear
attention its tiles by the shared memory that Triton tells.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from types import FunctionType, SimpleNamespace
from typing import Any

QUESTIONS = (
    ("torch.cuda", "is_available"),
    ("torch.cuda", "device_count"),
    ("torch.cuda", "current_device"),
    ("torch._C", "_get_accelerator"),
    ("torch._C", "_accelerator_getAccelerator"),
)
"""Functions without arguments that use CUDA: module and name."""
QUESTIONS_OF_A_GPU = (
    ("torch.cuda", "get_device_capability"),
    ("torch.cuda", "get_device_name"),
    ("torch.cuda", "get_device_properties"),
)
"""Those that take a device."""


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """The answers, in the order of QUESTIONS and QUESTIONS_OF_A_GPU."""

    answers: Sequence[Any]
    by_gpu: Sequence[Sequence[Any]]
    """An entry per GPU."""
    triton_target: Any
    triton_properties: Sequence[Mapping[str, int]]
    """An entry per GPU."""


@dataclass
class Driver:
    """In the place of Triton's."""

    gpus: Gpus
    missed: list[str] = field(default_factory=list)
    """What it was asked and cannot answer."""

    @property
    def utils(self) -> Driver:
        """Triton has a second object for some of its answers."""
        return self

    def get_current_target(self) -> Any:
        """What kernels are compiled for."""
        return self.gpus.triton_target

    def get_current_device(self) -> int:
        """The first."""
        return 0

    def get_device_properties(self, device: int) -> Mapping[str, int]:
        """Of a GPU, by its number."""
        return self.gpus.triton_properties[device]

    def __getattr__(self, name: str) -> Any:
        # Who asks may take an error for a processor, so that it has to be remembered.
        if not name.startswith("__"):
            self.missed.append(name)
        raise AttributeError(name)


def ask() -> Gpus | None:
    """The answers, of torch and Triton themselves; None without a GPU. Initialises CUDA."""
    cuda = import_module("torch.cuda")
    if not cuda.is_available():
        return None
    numbers = range(cuda.device_count())
    triton = import_module("triton.runtime.driver").driver.active
    return Gpus(
        answers=[_function(*question)() for question in QUESTIONS],
        by_gpu=[[_plain(_function(*question)(number)) for question in QUESTIONS_OF_A_GPU] for number in numbers],
        triton_target=triton.get_current_target(),
        triton_properties=[dict(triton.utils.get_device_properties(number)) for number in numbers],
    )


def _function(module: str, name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


def _plain(answer: Any) -> Any:
    """torch's object for a GPU's properties cannot leave its process."""
    if isinstance(answer, str | tuple):
        return answer
    fields = {name: getattr(answer, name) for name in dir(answer) if not name.startswith("_")}
    return SimpleNamespace(**{key: value for key, value in fields.items() if isinstance(value, str | int | float)})


@contextmanager
def answering(gpus: Gpus | None) -> Iterator[list[str]]:
    """Have torch and Triton give these answers; what else Triton was asked, known at the end."""
    if gpus is None:
        yield []
        return
    originals: dict[FunctionType, Callable[..., Any]] = {}
    over: list[bool] = []

    def put(module: str, name: str, answer: Callable[..., Any]) -> None:
        original = _function(module, name)

        def stand_in(*arguments: Any, **keywords: Any) -> Any:
            return (original if over else answer)(*arguments, **keywords)

        originals[stand_in] = original  # type: ignore[index]
        setattr(import_module(module), name, stand_in)

    for question, answer in zip(QUESTIONS, gpus.answers, strict=True):
        put(*question, lambda answer=answer: answer)
    for place, question in enumerate(QUESTIONS_OF_A_GPU):
        put(*question, lambda device=None, place=place: gpus.by_gpu[_number(device)][place])
    modules = _function("torch", "get_device_module")
    # Asked for the device there is, it uses CUDA: SGLang's parallel_state does so while it is imported.
    put("torch", "get_device_module", lambda device=None: modules("cuda" if device is None else device))
    driver = Driver(gpus)
    import_module("triton.runtime.driver").driver.set_active(driver)
    try:
        yield driver.missed
    finally:
        over.append(True)
        _put_back(originals)


def _number(device: Any) -> int:
    """Of a GPU that is told as torch lets it be told: 0, "cuda", "cuda:0", a torch.device; none is the first."""
    if device is None or isinstance(device, int):
        return device or 0
    number: int | None = import_module("torch").device(device).index
    return number or 0


def _put_back(originals: Mapping[FunctionType, Callable[..., Any]]) -> None:
    """In every module that took one by name too; Triton makes its driver when it is needed."""
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if type(value) is FunctionType and value in originals:
                setattr(module, name, originals[value])
    driver = import_module("triton.runtime.driver").driver
    driver._active = driver._default = None
