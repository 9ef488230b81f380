"""Every backend that is registered, and a stranger's, held to the contract of all engines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from cluster.backends import BACKENDS, check_installed
from cluster.errors import BadInput
from cluster.spec import EngineSpec
from tests.engine_contract import EngineContract

EXAMPLES: Mapping[str, EngineSpec] = {
    spec.backend: spec
    for spec in (
        EngineSpec(
            label="v",
            backend="simulated",
            model="none",
            draft_model="none",
            arguments={"deterministic": True, "start_seconds": 0},
        ),
        EngineSpec(
            label="v",
            backend="transformers",
            model="embedded:tiny-gemma4",
            draft_model="embedded:tiny-gemma4-assistant",
        ),
        EngineSpec(label="v", backend="toy", model="none", draft_model="none", arguments={"exact": True}),
    )
}
"""A variant of each backend, with a draft. SGLang's is in sglang_cpu/, as it needs an environment of its own, and
test_served.py has those of servers."""


class TestEveryBackend(EngineContract):
    """One after another; a new one needs an example above."""

    @pytest.fixture(scope="class", params=sorted({*BACKENDS, "toy"} - {"sglang", "openai", "server"}))
    @classmethod
    def example(cls, request: pytest.FixtureRequest) -> Iterator[EngineSpec]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(BACKENDS, "toy", "tests.cluster.toy_backend")
            try:
                check_installed(request.param)
            except BadInput as missing:
                pytest.skip(missing.message)
            yield EXAMPLES[request.param]
