"""What a start and a batch tell of an engine, worked out by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cluster.metrics import (
    ACCEPT_LENGTH,
    GPU_USED,
    OF_ENGINES,
    OWNER,
    START_SECONDS,
    STARTS,
    TOKEN_RATE,
    TOKENS,
    Metric,
    Reading,
    of_batch,
    of_start,
)
from cluster.spec import Completion, Device, EngineSpec, Gpu, Request
from sweep.run.pages import OF_SWEEPS
from tests.fake_pool import facts, right

ROOT = Path(__file__).parents[2]
TAGS = {"engine": "engine-3", "variant": "topk1"}


def values(readings: Sequence[Reading]) -> dict[str, float]:
    return {reading.metric.name: reading.value for reading in readings}


def completion(tokens: int, steps: int | None) -> Completion:
    made = right(Request(id="q", prompt="?"), {"q": "7"})
    return replace(made, completion_tokens=tokens, verify_steps=steps)


def test_a_batch_tells_its_tokens_their_rate_and_the_length_that_the_draft_got_accepted() -> None:
    readings = of_batch([completion(30, 10), completion(70, 15)], 2.0, TAGS)
    assert values(readings) == {TOKENS.name: 100, TOKEN_RATE.name: 50, ACCEPT_LENGTH.name: 4}
    assert all(reading.tags == TAGS for reading in readings)


def test_a_batch_without_a_draft_has_no_accept_length() -> None:
    assert ACCEPT_LENGTH.name not in values(of_batch([completion(30, None)], 2.0, TAGS))


def test_a_start_tells_its_seconds_and_what_is_used_of_each_gpu_that_is_known() -> None:
    gpus = (
        Gpu(name="a", memory_mib=100, free_mib=30),
        Gpu(name="b", memory_mib=100),
        Gpu(name="c", memory_mib=50, free_mib=50),
    )
    spec = EngineSpec(label="topk1", backend="simulated", model="none")
    readings = of_start([replace(facts(spec), device=Device(host="here", gpus=gpus))], 41.5, TAGS)
    used = [(reading.tags["gpu"], reading.value) for reading in readings if reading.metric is GPU_USED]
    assert used == [("0", 70), ("2", 0)]
    others = [reading for reading in readings if reading.metric is not GPU_USED]
    assert values(others) == {STARTS.name: 1, START_SECONDS.name: 41.5}


def test_the_gpus_of_an_engine_on_two_machines_are_counted_on() -> None:
    one = replace(
        facts(EngineSpec(label="v", backend="simulated", model="none")),
        device=Device(host="here", gpus=(Gpu(name="a", memory_mib=100, free_mib=30),)),
    )
    readings = [reading for reading in of_start([one, one], 1.0, TAGS) if reading.metric is GPU_USED]
    assert [(reading.tags["gpu"], reading.value) for reading in readings] == [("0", 70), ("1", 70)]


def exported(metric: Metric) -> str:
    """The name that Prometheus has."""
    return f"ray_{metric.name}{'_total' if metric.counter else ''}"


def test_the_documents_list_every_metric_with_its_tags_and_the_dashboard_asks_for_no_other() -> None:
    metrics = {exported(metric): metric for metric in (*OF_ENGINES, *OF_SWEEPS)}
    document = (ROOT / "docs" / "on-a-cluster.md").read_text()
    rows = dict(re.findall(r"^\| `(ray_sweep\w+)` \| ([^|]*) \|", document, re.MULTILINE))
    assert {name: re.findall(r"`(\w+)`", tags) for name, tags in rows.items()} == {
        name: [OWNER, *metric.tags] for name, metric in metrics.items()
    }
    panels = json.loads((ROOT / "cluster" / "deploy" / "grafana.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    assert {name for expression in asked for name in re.findall(r"ray_sweep\w+", expression)} == metrics.keys()
    for expression in asked:
        for name, selector in re.findall(r"(ray_sweep\w+)\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)[=!]", selector)) <= {OWNER, *metrics[name].tags}
