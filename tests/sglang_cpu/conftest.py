"""What every engine of these tests starts with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _variables() -> Iterator[None]:
    """Workers are forked of one template, which takes a fifth of the time of spawning them.

    They are the same for all, since another variable in an engine's own environment would need another template.
    """
    with pytest.MonkeyPatch.context() as patch:
        # Each rank or replica has a core of its own to name, and here they may share it.
        patch.setenv("SGLANG_CPU_OMP_THREADS_BIND", "0|0")
        yield
