"""SGLang's arguments without SGLang: what cannot be meant, what is added, and the command line."""

from __future__ import annotations

import re
import sys
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.backends import check_specs
from cluster.engines.sglang import host
from cluster.engines.sglang.arguments import check_spec, command_line, engine_arguments, to_argv, unknown_names
from cluster.engines.sglang.host import CACHES, engine_environment, shared_gpu_turn
from cluster.engines.sglang.log import Progress
from cluster.log import last_error
from cluster.spec import EngineSpec

TOPK1 = {
    "speculative_algorithm": "NEXTN",
    "speculative_num_steps": 5,
    "speculative_eagle_topk": 1,
    "speculative_num_draft_tokens": 6,
}


def make_spec(arguments: dict[str, Any], **changes: Any) -> EngineSpec:
    fields: dict[str, Any] = {"label": "v", "backend": "sglang", "model": "org/model", "gpus": 2.0}
    return EngineSpec(**{**fields, "arguments": arguments, **changes})


def problem(arguments: dict[str, Any], **changes: Any) -> tuple[str, str]:
    (problem,) = check_spec(make_spec(arguments, **changes))
    return problem


@pytest.mark.parametrize(("topk", "tokens"), [(1, 6), (3, 12), (3, 40)])
def test_the_published_trees_are_accepted(topk: int, tokens: int) -> None:
    tree = {**TOPK1, "speculative_eagle_topk": topk, "speculative_num_draft_tokens": tokens}
    assert check_spec(make_spec(tree, draft_model="org/draft")) == []


def test_a_chain_whose_draft_tokens_do_not_fit_its_steps_is_refused() -> None:
    # SGLang 0.5.21 takes it and runs 6 (arg_groups/speculative_hook.py): 5 steps after the root.
    key, text = problem({**TOPK1, "speculative_num_draft_tokens": 3}, draft_model="org/draft")
    assert key == "speculative_num_draft_tokens"
    assert "5 steps need 6 draft tokens" in text
    assert "Write 6, or 2 steps" in text


def test_more_draft_tokens_than_the_tree_has_are_refused() -> None:
    # Top-k 3 over 5 steps: the root, 3, then 4 times 3 for each of 3 = 1 + 3 + 36 = 40.
    tree = {**TOPK1, "speculative_eagle_topk": 3, "speculative_num_draft_tokens": 41}
    assert "2 to 40 tokens" in problem(tree, draft_model="org/draft")[1]


def test_draft_arguments_without_an_algorithm_are_refused() -> None:
    key, text = problem({"speculative_num_steps": 5})
    assert key == "speculative_num_steps"
    assert "speculative_algorithm" in text


def test_an_algorithm_without_a_draft_is_refused() -> None:
    assert "say draft: true" in problem(TOPK1)[1]
    assert check_spec(make_spec({"speculative_algorithm": "NGRAM"})) == []


def test_a_draft_that_would_not_be_used_is_refused() -> None:
    key, text = problem({}, draft_model="org/draft")
    assert key == "speculative_algorithm"
    assert "would not be used" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [("model_path", "x"), ("nnodes", 2), ("base_gpu_id", 1), ("skip_tokenizer_init", True)],
)
def test_what_the_engine_owns_cannot_be_given(name: str, value: object) -> None:
    assert problem({name: value})[0] == name


@pytest.mark.skipif(find_spec("sglang") is not None, reason="the installed SGLang would judge them too")
def test_more_parallel_ranks_than_gpus_are_refused() -> None:
    wide = {"tp_size": 4, "pp_size": 2}
    (((key, text),), fitting, cpu) = check_specs(
        "sglang", [make_spec(wide), make_spec(wide, gpus=8.0), make_spec({**wide, "device": "cpu"})]
    )
    assert key == "gpus"
    assert re.findall(r"\d+", text)[:2] == ["8", "2"]
    assert fitting == cpu == []


def test_a_memory_share_over_the_gpu_share_is_refused() -> None:
    assert "at most 0.4" in problem({"mem_fraction_static": 0.7}, gpus=0.5)[1]
    assert check_spec(make_spec({"mem_fraction_static": 0.7}, gpus=1.0)) == []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("atention_backend", "attention_backend"),
        ("attention-backend", "attention_backend"),
        ("tensor_parallel_size", "tp_size"),
    ],
)
def test_an_unknown_name_gets_the_nearest(wrong: str, right: str) -> None:
    ((key, text),) = unknown_names([wrong, "tp_size"], {"attention_backend", "tp_size", "dtype"})
    assert key == wrong
    assert f"did you mean {right}?" in text


def test_tensor_parallel_size_follows_the_gpus_unless_given() -> None:
    assert engine_arguments(make_spec({}))["tp_size"] == 2
    assert engine_arguments(make_spec({"tp_size": 1}))["tp_size"] == 1
    assert engine_arguments(make_spec({}, gpus=0.5))["tp_size"] == 1


def test_an_engine_on_half_a_gpu_takes_less_than_half_its_memory() -> None:
    assert engine_arguments(make_spec({}, gpus=0.5))["mem_fraction_static"] == 0.4
    assert engine_arguments(make_spec({"mem_fraction_static": 0.3}, gpus=0.5))["mem_fraction_static"] == 0.3
    assert "mem_fraction_static" not in engine_arguments(make_spec({}))


def test_the_draft_model_is_the_specs_unless_given() -> None:
    spec = make_spec(TOPK1, draft_model="org/draft")
    assert engine_arguments(spec)["speculative_draft_model_path"] == "org/draft"
    given = make_spec({**TOPK1, "speculative_draft_model_path": "mine"}, draft_model="org/draft")
    assert engine_arguments(given)["speculative_draft_model_path"] == "mine"


def test_arguments_become_flags_by_their_kind() -> None:
    arguments = {
        "enable_deterministic_inference": True,
        "disable_radix_cache": False,
        "quantization": None,
        "cuda_graph_bs_decode": [1, 2, 4],
        "fp8_gemm_runner_backend": "triton",
    }
    assert to_argv(make_spec(arguments, gpus=1.0)) == [
        *("python", "-m", "sglang.launch_server", "--model-path", "org/model", "--tp-size", "1"),
        *("--enable-deterministic-inference", "--cuda-graph-bs-decode", "1", "2", "4"),
        *("--fp8-gemm-backend", "triton"),
    ]


def test_the_command_line_is_quoted_and_begins_with_the_environment() -> None:
    spec = make_spec({"chat_template": "a b"}, gpus=1.0, environment={"B": "x y", "A": "0"})
    line = command_line(spec)
    assert line.startswith("A=0 B='x y' python -m sglang.launch_server --model-path org/model")
    assert line.endswith("--chat-template 'a b'")


def test_engines_of_a_node_share_their_caches_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CACHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CUDA_CACHE_PATH", "/mine")
    changes = engine_environment({"TRITON_CACHE_DIR": "/variant", "A": "1"})
    assert changes["A"] == "1"
    assert changes["TRITON_CACHE_DIR"] == "/variant"
    assert "CUDA_CACHE_PATH" not in changes
    assert changes["FLASHINFER_WORKSPACE_BASE"] == str(tmp_path / "accuracy-sweep" / "kernels" / "flashinfer")
    assert set(changes) == {*CACHES, "A"} - {"CUDA_CACHE_PATH"}


def test_engines_that_share_a_gpu_take_turns_until_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "scratch_folder", lambda: tmp_path)
    waits: list[str] = []
    now = time.monotonic()
    with shared_gpu_turn("GPU-a/b", now, lambda: waits.append("first")):
        late = shared_gpu_turn("GPU-a/b", now, lambda: waits.append("second"))
        with pytest.raises(TimeoutError), late:
            pytest.fail("two had the turn at once")
        with shared_gpu_turn("GPU-c", now, lambda: waits.append("another GPU's")):
            pass
    assert waits == []

    holder = ExitStack()
    holder.enter_context(shared_gpu_turn("GPU-a/b", now, lambda: waits.append("first")))
    with shared_gpu_turn("GPU-a/b", now + 600, holder.close):
        pass


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, ["GPU-a", "GPU-b"]), ("1", ["GPU-b"]), ("GPU-a, 1", ["GPU-a", "GPU-b"]), ("", [])],
)
def test_the_gpus_are_the_visible_ones_as_the_driver_names_them(
    visible: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = ["GPU-a", "GPU-b"]
    closed: list[bool] = []
    driver = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: closed.append(True),
        nvmlDeviceGetCount=lambda: len(cards),
        nvmlDeviceGetHandleByIndex=lambda index: cards[index],
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetMemoryInfo=lambda card: SimpleNamespace(total=80 << 30, free=79 << 30),
        nvmlDeviceGetName=lambda card: "NVIDIA H100",
        nvmlDeviceGetUUID=lambda card: card,
        nvmlSystemGetDriverVersion=lambda: "570.1",
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    device = host.device()
    assert [gpu.uuid for gpu in device.gpus] == expected
    assert device.driver == ("570.1" if expected else None)
    assert host.free_memory() == dict.fromkeys(expected, 79 * 1024)
    assert closed == [True, True]


def test_without_the_driver_s_library_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert host.device().gpus == ()


def test_the_phases_follow_the_log() -> None:
    # Lines as SGLang 0.5.16 and 0.5.21 write them.
    progress = Progress()
    begun = progress.read(
        [
            "[2026-11-24 11:15:07 TP0] Load weight begin. avail mem=21.88 GB",
            "[2026-11-24 11:15:07 TP0] Load weight end. elapsed=0.08 s, type=Gemma4ForCausalLM",
            "[2026-11-24 11:15:08 TP0] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 32768",
            "[2026-11-24 11:15:09 TP0] Capture target verify CUDA graph begin. backend=full",
            "[2026-11-24 11:15:12 TP0] Capture target verify CUDA graph end. elapsed=3.1 s",
            "[2026-11-24 11:15:12 TP0] Capture Frozen-KV MTP draft cuda graph begin.",
        ]
    )
    assert begun == [
        "loading weights",
        "allocating memory",
        "capturing graphs",
        "finishing",
        "capturing graphs",
    ]
    assert progress.phase == "capturing graphs"
    assert set(progress.seconds()) == {*begun, "importing", "total"}


def test_the_error_that_ended_an_engine_is_found_above_the_stacks_that_its_end_dumped() -> None:
    log = [
        "[2026-11-25 13:33:50 TP0] Ignore import error when loading a model: No module named 'helion'",
        "[2026-11-25 13:33:50 TP0] Scheduler hit an exception: Traceback (most recent call last):",
        '  File "/site/triton/compiler/compiler.py", line 465, in _init_handles',
        "RuntimeError: Triton Error [CUDA]: device-side assert triggered",
        "Thread 0x00007f18e79c56c0 (most recent call first):",
        *['  File "/usr/lib/python3.12/threading.py", line 1010 in run'] * 200,
    ]
    assert last_error(log) == "RuntimeError: Triton Error [CUDA]: device-side assert triggered"
    assert last_error(log[:1] + log[4:]) is None
