"""SGLang's arguments without SGLang: what cannot be meant, what is added, and the command line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.backends import check_specs
from cluster.engines.sglang import arguments, host
from cluster.engines.sglang.arguments import command_line, engine_arguments, to_argv
from cluster.engines.sglang.host import CACHES, engine_environment, shared_gpu_turn
from cluster.engines.sglang.log import Progress
from cluster.engines.sglang.rules import check_spec
from cluster.engines.sglang.table import problems, shipped
from cluster.errors import EngineStartFailed
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


@pytest.mark.parametrize("algorithm", ["EAGLE3", "STANDALONE", "DFLASH", "eagle3"])
def test_an_algorithm_whose_draft_is_a_model_of_its_own_is_refused_without_one(algorithm: str) -> None:
    key, text = problem({"speculative_algorithm": algorithm})
    assert key == "speculative_algorithm"
    assert "say draft: true" in text
    given = {"speculative_algorithm": algorithm, "speculative_draft_model_path": "org/draft"}
    assert check_spec(make_spec(given)) == []


@pytest.mark.parametrize(
    "arguments",
    [
        TOPK1,
        {"speculative_algorithm": "EAGLE", "speculative_num_steps": 3},
        {"speculative_algorithm": "NGRAM", "speculative_num_draft_tokens": 8},
        # The trees of an n-gram search are others: 12 tokens need no 2 steps of one.
        {
            "speculative_algorithm": "NGRAM",
            "speculative_num_steps": 2,
            "speculative_eagle_topk": 1,
            "speculative_num_draft_tokens": 12,
        },
        {"speculative_algorithm": "DSPARK"},
        {"speculative_algorithm": "UNO", "uno_lora_path": "org/lora", "speculative_num_draft_tokens": 4},
    ],
)
def test_speculation_without_a_draft_model_can_be_written(arguments: dict[str, Any]) -> None:
    spec = make_spec(arguments, gpus=1.0)
    assert check_spec(spec) == []
    assert list(problems(arguments, shipped().arguments)) == []
    assert "--speculative-draft-model-path" not in to_argv(spec)


@pytest.mark.parametrize(
    ("written", "hint"), [("EAGLE4", "did you mean EAGLE"), ("NGRAMS", "did you mean NGRAM"), ("medusa", "NEXTN")]
)
def test_an_algorithm_that_no_sglang_has_is_refused_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, written: str, hint: str
) -> None:
    monkeypatch.setattr(arguments, "find_spec", lambda name: None)
    [[(key, text)]] = arguments.check_specs([make_spec({"speculative_algorithm": written})])
    assert (key, hint in text) == ("speculative_algorithm", True)


def test_the_installed_sglang_says_which_algorithms_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "find_spec", lambda name: object())
    monkeypatch.setattr(arguments, "_ask", lambda entries: (shipped().arguments, [None]))
    assert arguments.check_specs([make_spec({"speculative_algorithm": "MY_SPEC"})]) == [[]]


def test_a_draft_model_that_an_n_gram_search_would_not_read_is_refused() -> None:
    key, text = problem({"speculative_algorithm": "NGRAM"}, draft_model="org/draft")
    assert key == "speculative_algorithm"
    assert "say draft: false" in text


def test_a_draft_that_would_not_be_used_is_refused() -> None:
    key, text = problem({}, draft_model="org/draft")
    assert key == "speculative_algorithm"
    assert "would not be used" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model_path", "x"),
        ("nnodes", 2),
        ("node_rank", 1),
        ("dist_init_addr", "head:20000"),
        ("base_gpu_id", 1),
        ("gpu_id_step", 2),
        ("delete_ckpt_after_loading", True),
        ("reasoning_parser", "qwen3"),
        ("chat_template", "chatml"),
        ("default_chat_template_kwargs", {"enable_thinking": False}),
    ],
)
def test_what_the_engine_owns_cannot_be_given(name: str, value: object) -> None:
    assert problem({name: value})[0] == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("disaggregation_mode", "prefill"),
        ("disaggregation_mode", "decode"),
        ("decoupled_spec_role", "drafter"),
        ("encoder_only", True),
        ("is_embedding", True),
        ("skip_tokenizer_init", True),
        ("grpc_mode", True),
    ],
)
def test_a_server_that_completes_nothing_is_refused(name: str, value: object) -> None:
    assert problem({name: value})[0] == name


def test_a_half_of_a_pair_is_refused_with_the_way_to_measure_the_pair() -> None:
    assert "backend: openai" in problem({"disaggregation_mode": "prefill"})[1]


def test_a_spread_of_requests_that_asks_for_the_pairs_router_is_refused() -> None:
    # follow_bootstrap_room_scheduler in srt/managers/data_parallel_controller.py asserts that a request has a room.
    sizes = {"dp_size": 2, "tp_size": 1}
    assert problem({**sizes, "load_balance_method": "follow_bootstrap_room"})[0] == "load_balance_method"
    assert check_spec(make_spec({**sizes, "load_balance_method": "total_tokens"})) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "xpu"),
        ("attention_backend", "aiter"),
        ("mm_attention_backend", "aiter_attn"),
        ("enable_aiter_allreduce_fusion", True),
    ],
)
def test_what_is_for_gpus_that_are_not_nvidias_is_refused(name: str, value: object) -> None:
    assert problem({name: value})[0] == name


def test_an_argument_that_only_says_no_is_accepted() -> None:
    assert check_spec(make_spec({"disaggregation_mode": "null", "encoder_only": False})) == []


# tp x dp x pp, with dp inside of tp under dp attention: compute_world_size in SGLang 0.5.21's srt/server_args.py.
@pytest.mark.parametrize(
    ("arguments", "gpus"),
    [
        ({"tp_size": 2}, 2),
        ({"tp_size": 4, "pp_size": 2}, 8),
        ({"tp_size": 1, "pp_size": 4}, 4),
        ({"tp_size": 2, "dp_size": 4}, 8),
        ({"tp_size": 2, "dp_size": 2, "pp_size": 2}, 8),
        ({"tp_size": 8, "dp_size": 4, "enable_dp_attention": True}, 8),
        ({"tp_size": 8, "dp_size": 4, "ep_size": 8, "enable_dp_attention": True}, 8),
        ({"tp_size": 4, "dp_size": 2, "pp_size": 2, "enable_dp_attention": True}, 8),
        ({"tp_size": 1}, 0.5),
    ],
)
def test_an_engine_owns_exactly_the_gpus_that_its_sizes_multiply_to(arguments: dict[str, Any], gpus: float) -> None:
    def judged(owned: float) -> list[str]:
        return [key for key, _ in gpu_problems(make_spec(arguments, gpus=owned))]

    assert judged(gpus) == []
    assert judged(gpus + 1 if gpus >= 1 else 2) == ["gpus"]
    assert judged(0) == ["gpus"]
    assert judged(gpus / 2) == (["gpus"] if gpus > 1 else [])


def gpu_problems(spec: EngineSpec) -> list[tuple[str, str]]:
    return [problem for problem in check_without_sglang(spec) if problem[0] == "gpus"]


def test_too_few_gpus_are_told_with_the_arithmetic() -> None:
    ((_, text),) = gpu_problems(make_spec({"tp_size": 2, "dp_size": 4}))
    assert "tp_size 2 x dp_size 4 x pp_size 1 = 8 GPUs" in text
    assert "owns 2" in text


def test_gpus_that_would_idle_are_told() -> None:
    ((_, text),) = gpu_problems(make_spec({"tp_size": 2}, gpus=8.0))
    assert "6 GPUs would idle" in text


def test_a_cpu_has_ranks_and_no_gpus() -> None:
    cpu = {"tp_size": 2, "device": "cpu"}
    assert gpu_problems(make_spec(cpu, gpus=0.0)) == []
    assert len(gpu_problems(make_spec(cpu))) == 1


@pytest.mark.parametrize(
    ("arguments", "gpus", "size"),
    [
        ({}, 2.0, 2),
        ({}, 0.5, 1),
        ({"dp_size": 8}, 8.0, 1),
        ({"dp_size": 2, "pp_size": 2}, 8.0, 2),
        ({"dp_size": 8, "enable_dp_attention": True}, 8.0, 8),
        ({"tp_size": 1}, 2.0, 1),
    ],
)
def test_tensor_parallel_size_is_what_replicas_and_stages_leave_of_the_gpus_unless_given(
    arguments: dict[str, Any], gpus: float, size: int
) -> None:
    assert engine_arguments(make_spec(arguments, gpus=gpus))["tp_size"] == size


def test_gpus_that_the_replicas_do_not_divide_are_refused() -> None:
    ((_, text),) = gpu_problems(make_spec({"dp_size": 3}, gpus=8.0))
    assert "tp_size 2 x dp_size 3 x pp_size 1 = 6 GPUs" in text


def test_dp_attention_splits_tensor_parallelism_evenly() -> None:
    key, text = problem({"tp_size": 4, "dp_size": 3, "enable_dp_attention": True}, gpus=4.0)
    assert key == "dp_size"
    assert re.findall(r"\d+", text)[:2] == ["4", "3"]


# By _calculate_rank_ranges and check_server_args of SGLang 0.5.21.
@pytest.mark.parametrize(
    ("arguments", "gpus", "nodes", "key"),
    [
        ({}, 16, 2, None),
        ({"tp_size": 8, "pp_size": 2}, 16, 2, None),
        ({"tp_size": 4, "pp_size": 2}, 8, 4, None),
        ({"tp_size": 1, "pp_size": 4}, 4, 2, None),
        ({"dp_size": 16, "enable_dp_attention": True}, 16, 2, None),
        # Three stages leave a rank of two machines without a stage.
        ({"tp_size": 2, "pp_size": 3}, 6, 2, "pp_size"),
        ({"tp_size": 3}, 4, 2, "tp_size"),
        # Its GPUs cannot be shared out, which is told already.
        ({"tp_size": 3}, 3, 2, None),
        ({"tp_size": 8, "dp_size": 2}, 16, 2, "dp_size"),
    ],
)
def test_ranks_are_shared_out_to_machines_or_refused(
    arguments: dict[str, Any], gpus: float, nodes: int, key: str | None
) -> None:
    assert [name for name, _ in check_spec(make_spec(arguments, gpus=gpus, nodes=nodes))] == ([key] if key else [])


def test_each_machine_of_an_engine_is_told_its_rank_and_where_the_first_one_is() -> None:
    spec = make_spec({}, gpus=16.0, nodes=2, rank=1, address="10.0.0.1:20000")
    arguments = engine_arguments(spec)
    assert (arguments["tp_size"], arguments["nnodes"], arguments["node_rank"]) == (16, 2, 1)
    assert arguments["dist_init_addr"] == "10.0.0.1:20000"
    assert not {"nnodes", "node_rank", "dist_init_addr"} & engine_arguments(make_spec({})).keys()


def test_the_command_line_of_an_engine_on_two_machines_has_a_line_for_each() -> None:
    lines = command_line(make_spec({}, gpus=16.0, nodes=2)).splitlines()
    assert [re.findall(r"--(?:nnodes|node-rank) (\d+)", line) for line in lines] == [["2", "0"], ["2", "1"]]
    assert len({line.rpartition("--dist-init-addr ")[2] for line in lines}) == 1


def test_an_engine_on_two_machines_owns_the_gpus_of_both() -> None:
    assert check_without_sglang(make_spec({}, gpus=16.0, nodes=2)) == []
    ((_, text),) = gpu_problems(make_spec({"tp_size": 8}, gpus=16.0, nodes=2))
    assert "8 GPUs would idle" in text


@pytest.mark.parametrize("gpus", [0.0, 1.0, 2.0])
def test_an_engine_without_gpus_is_on_one_machine_and_that_is_all_that_is_told(gpus: float) -> None:
    spec = make_spec({"device": "cpu"}, gpus=gpus, nodes=2)
    assert [name for name, _ in check_without_sglang(spec)] == ["nodes"]


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_one_is_refused(size: int) -> None:
    assert problem({"pp_size": size})[0] == "pp_size"


def test_a_memory_share_over_the_gpu_share_is_refused() -> None:
    assert "at most 0.4" in problem({"mem_fraction_static": 0.7}, gpus=0.5)[1]
    assert check_spec(make_spec({"mem_fraction_static": 0.7}, gpus=1.0)) == []


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("max_model_len", "context_length"),
        ("--gpu-memory-utilization", "mem_fraction_static"),
        ("enforce_eager", "disable_cuda_graph"),
        ("max_num_seqs", "max_running_requests"),
    ],
)
def test_another_engine_s_name_is_told_with_what_comes_nearest_in_sglang(name: str, nearest: str) -> None:
    ((key, text),) = problems({name: 1}, shipped().arguments)
    assert key == name
    assert text.endswith(f"what comes nearest in SGLang is {nearest}")


def test_a_name_that_is_like_none_suggests_none() -> None:
    ((_, text),) = problems({"swap_space": 4}, shipped().arguments)
    assert "did you mean" not in text


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("atention_backend", "attention_backend"),
        ("attention-backend", "attention_backend"),
        ("--tp-size", "tp_size"),
        ("tensor_parallel_size", "tp_size"),
        ("tensor-parallel-size", "tp_size"),
        ("tp", "tp_size"),
        ("dp", "dp_size"),
        ("pp", "pp_size"),
        ("ep", "ep_size"),
        ("mem-fraction-static", "mem_fraction_static"),
        ("--mem-fraction", "mem_fraction_static"),
        ("speculative_algo", "speculative_algorithm"),
        ("speculative_draft_model", "speculative_draft_model_path"),
        ("cuda_graph_max_bs", "cuda_graph_max_bs_decode"),
        ("fp8_gemm_backend", "fp8_gemm_runner_backend"),
        ("model", "model_path"),
    ],
)
def test_a_name_that_is_no_field_is_refused_with_the_field_that_is_meant(wrong: str, right: str) -> None:
    ((key, text),) = problems({wrong: 2}, shipped().arguments)
    assert key == wrong
    assert f"did you mean {right}?" in text


def test_one_argument_by_two_names_is_refused() -> None:
    ((key, text),) = problems({"tp": 2, "tp_size": 2}, shipped().arguments)
    assert key == "tp"
    assert "tp_size, which is written too" in text


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("tp_size", "2", "a whole number"),
        ("tp_size", 2.0, "a whole number"),
        ("tp_size", True, "a whole number"),
        ("tp_size", None, "a whole number"),
        ("tp_size", [2], "a whole number"),
        ("mem_fraction_static", "0.8", "a number"),
        ("disable_cuda_graph", "yes", "true or false"),
        ("disable_cuda_graph", 1, "true or false"),
        ("quantization", 8, '"fp8"'),
        ("dtype", "bf16", '"bfloat16"'),
        ("chat_template", 3, "text"),
        ("cuda_graph_bs_decode", 8, "a list with a whole number each"),
        ("cuda_graph_bs_decode", [1, "2"], "a list with a whole number each"),
        ("lora_target_modules", ["q_proj", "nose"], '"k_proj"'),
        ("disaggregation_mode", None, '"null"'),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(name: str, value: object, wanted: str) -> None:
    ((key, text),) = problems({name: value}, shipped().arguments)
    assert key == name
    assert wanted in text


def test_values_of_the_right_types_are_accepted() -> None:
    right = {
        "tp_size": 2,
        "mem_fraction_static": 1,
        "schedule_conservativeness": 0.3,
        "disable_cuda_graph": True,
        "quantization": None,
        "dtype": "bfloat16",
        "cuda_graph_bs_decode": [1, 2, 4],
        "lora_target_modules": ["q_proj", "k_proj"],
        "cuda_graph_config": {"decode": {"max_bs": 4}},
        "limit_mm_data_per_request": {"image": 1},
        "attention_backend": "triton",
        # Only in 0.5.16, and only in 0.5.21.
        "enable_dsa_prefill_context_parallel": False,
        "uno_lora_path": "org/lora",
    }
    assert list(problems(right, shipped().arguments)) == []


def test_names_and_types_are_caught_without_sglang() -> None:
    keys = [
        key
        for key, _ in check_without_sglang(
            make_spec({"--tp-size": 2, "mem-fraction-static": 0.8, "tp": 2, "dp_size": "1"})
        )
    ]
    assert keys == ["--tp-size", "mem-fraction-static", "tp", "dp_size"]


def check_without_sglang(spec: EngineSpec) -> list[tuple[str, str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cluster.engines.sglang.arguments.find_spec", lambda name: None)
        (listed,) = check_specs("sglang", [spec])
    return listed


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


def test_what_has_a_flag_of_its_own_gets_it() -> None:
    arguments = {
        "lora_strict_loading": False,
        "forward_hooks": [{"name": "a"}],
        "cuda_graph_config": {"decode": {}},
    }
    assert to_argv(make_spec(arguments, gpus=1.0))[7:] == [
        "--no-lora-strict-loading",
        *("--forward-hooks", '[{"name": "a"}]'),
        *("--cuda-graph-config", '{"decode": {}}'),
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
    assert set(changes) - {"SGLANG_BLOCK_NONZERO_RANK_CHILDREN"} == {*CACHES, "A"} - {"CUDA_CACHE_PATH"}


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


def test_a_part_that_loses_a_worker_ends_as_if_the_worker_had_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "1000"]) as worker:
        sent: list[tuple[int, int]] = []
        given_up = threading.Event()
        with monkeypatch.context() as patch:
            patch.setattr(os, "kill", lambda *signalled: sent.append(signalled))
            given_up.set()
            host.end_with_any([worker.pid], given_up)
            assert sent == []
        worker.kill()
        monkeypatch.setattr(os, "kill", lambda *signalled: sent.append(signalled))
        host.end_with_any([worker.pid], threading.Event())
        assert sent == [(os.getpid(), signal.SIGQUIT)]


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


def test_an_sglang_that_does_not_judge_its_arguments_in_time_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hangs(command: list[str], *, timeout: float, **others: Any) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(EngineStartFailed, match="180 s") as failure:
        arguments._ask([])
    assert failure.value.exit_code == 4
