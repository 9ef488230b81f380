"""What the engines and their driver measure while they work: for Ray's metrics, and so for Prometheus. Pure values.

The pool hands all of it to one actor on the cluster, which keeps it for Ray's exporter: the driver may be a client
from elsewhere, whose own metrics nobody collects. What is published ends with that actor, so that no sweep that has
ended stays on a page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cluster.spec import Completion, EngineFacts

OWNER = "sweep"
"""The tag that every metric has: the id of the sweep."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric. Names and tags are stable, since dashboards and alerts ask for them."""

    name: str
    """Prometheus has it with `ray_` before it, and a counter with `_total` after it."""
    description: str
    """What is counted or measured, and in what unit."""
    tags: tuple[str, ...] = ()
    """What its values are kept apart by, beside OWNER."""
    counter: bool = False
    """Its readings are added up; else the last one counts."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A value of a metric."""

    metric: Metric
    """Of which."""
    value: float
    """In the metric's unit; of a counter, what is added."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """A value for each of the metric's tags."""


class Pages(Protocol):
    """The cluster's own pages, as far as a driver writes on them. No call waits for the cluster."""

    def publish(self, readings: Sequence[Reading]) -> None:
        """Give Ray's metrics these values."""

    def tell(self, text: str) -> None:
        """Add a line to the log of the actor that stands for the whole sweep."""

    def remark_with(self, remark: Callable[[str], str | None]) -> None:
        """What to show beside a batch's name, where Ray shows what an engine is at; asked as the batch begins."""


ENGINE = ("engine", "variant")

STARTS = Metric(name="sweep_engine_starts", description="Engine starts that succeeded", tags=ENGINE, counter=True)
START_SECONDS = Metric(
    name="sweep_engine_start_seconds",
    description="Seconds that these starts took, in all",
    tags=ENGINE,
    counter=True,
)
RETRIES = Metric(
    name="sweep_engine_retries",
    description="Batches that were begun once more: after a failure, or because they were late elsewhere",
    tags=ENGINE,
    counter=True,
)
FAILURES = Metric(
    name="sweep_engine_failures",
    description="Starts and batches that failed; `stage` says which",
    tags=(*ENGINE, "stage"),
    counter=True,
)
TOKENS = Metric(name="sweep_engine_tokens", description="Tokens generated", tags=ENGINE, counter=True)
TOKEN_RATE = Metric(
    name="sweep_engine_tokens_per_second", description="Tokens per second of the last batch", tags=ENGINE
)
ACCEPT_LENGTH = Metric(
    name="sweep_engine_accept_length",
    description="Tokens per verification of a draft in the last batch; without speculation there is no value",
    tags=ENGINE,
)
GPU_USED = Metric(
    name="sweep_engine_gpu_used_mib",
    description="MiB in use on each GPU of an engine when it was ready, by whomever",
    tags=(*ENGINE, "gpu"),
)
OF_ENGINES = (STARTS, START_SECONDS, RETRIES, FAILURES, TOKENS, TOKEN_RATE, ACCEPT_LENGTH, GPU_USED)
"""What the pool measures by itself."""


def of_start(parts: Sequence[EngineFacts], seconds: float, tags: Mapping[str, str]) -> list[Reading]:
    """What an engine's start tells, by its parts on each machine; `tags` name the engine and its variant."""
    used = {
        str(number): gpu.memory_mib - gpu.free_mib
        for number, gpu in enumerate(gpu for facts in parts for gpu in facts.device.gpus)
        if gpu.memory_mib is not None and gpu.free_mib is not None
    }
    return [
        Reading(metric=STARTS, value=1, tags=tags),
        Reading(metric=START_SECONDS, value=seconds, tags=tags),
        *(Reading(metric=GPU_USED, value=mib, tags={**tags, "gpu": gpu}) for gpu, mib in used.items()),
    ]


def of_batch(completions: Sequence[Completion], seconds: float, tags: Mapping[str, str]) -> list[Reading]:
    """What a batch tells; `tags` name the engine and its variant."""
    tokens = sum(completion.completion_tokens for completion in completions)
    readings = [
        Reading(metric=TOKENS, value=tokens, tags=tags),
        Reading(metric=TOKEN_RATE, value=tokens / seconds, tags=tags),
    ]
    together = completions[0].batch_verify_steps if completions else None
    if steps := together or sum(completion.verify_steps or 0 for completion in completions):
        readings.append(Reading(metric=ACCEPT_LENGTH, value=tokens / steps, tags=tags))
    return readings
