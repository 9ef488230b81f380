"""What torch.cuda says of the GPUs, said again in a process that must not touch CUDA.

sgl_kernel, for one, asks for the GPU's capability while it is imported, to choose its library.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any


def ask(cuda: Any) -> list[dict[str, Any]]:
    """What torch says of each GPU, by the function that says it. Initialises CUDA."""
    count = cuda.device_count() if cuda.is_available() else 0
    return [
        {
            "get_device_capability": cuda.get_device_capability(number),
            "get_device_name": cuda.get_device_name(number),
            "get_device_properties": _plain(cuda.get_device_properties(number)),
        }
        for number in range(count)
    ]


def _plain(properties: Any) -> SimpleNamespace:
    """torch's object cannot leave its process."""
    fields = {name: getattr(properties, name) for name in dir(properties) if not name.startswith("_")}
    plain = {name: value for name, value in fields.items() if isinstance(value, str | int | float)}
    return SimpleNamespace(**plain)


@contextmanager
def answering(cuda: Any, gpus: list[dict[str, Any]]) -> Iterator[None]:
    """Have torch.cuda answer with what is known of the GPUs, and not touch them."""
    over = False
    originals: dict[Any, Any] = {}

    def put(name: str, answer: Callable[..., Any]) -> None:
        original = getattr(cuda, name)

        def stand_in(*arguments: Any, **keywords: Any) -> Any:
            return (original if over or not gpus else answer)(*arguments, **keywords)

        originals[stand_in] = original
        setattr(cuda, name, stand_in)

    def of_a_gpu(name: str) -> Callable[..., Any]:
        def answer(device: Any = None) -> Any:
            return gpus[cuda._utils._get_device_index(device, optional=True)][name]

        return answer

    if cuda._is_compiled():
        put("is_available", lambda: bool(gpus))
        put("device_count", lambda: len(gpus))
        put("current_device", lambda: 0)
        for name in gpus[0] if gpus else ():
            put(name, of_a_gpu(name))
    try:
        yield
    finally:
        over = True
        _put_back(originals)


def _put_back(originals: Mapping[Any, Any]) -> None:
    """In every module that took one by name too, and in Triton's driver, which is made again when it is needed."""
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if isinstance(value, type(_put_back)) and value in originals:
                setattr(module, name, originals[value])
    driver = getattr(sys.modules.get("triton.runtime.driver"), "driver", None)
    for name in ("_default", "_active"):
        if hasattr(driver, name):
            setattr(driver, name, None)
