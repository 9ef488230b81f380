"""The servers that a sweep file starts by name or by a command: their words, their GPUs, and what is refused."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from cluster.backends import backend, check_specs
from cluster.engines.served.arguments import command
from cluster.spec import EngineSpec

OWN = EngineSpec(label="v", backend="server", model="m", gpus=1)


def of(preset: str, options: dict[str, object], **changes: object) -> EngineSpec:
    return replace(OWN, arguments={"preset": preset, "options": options}, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("backend", "arguments", "fault"),
    [
        ("server", {}, "one of the two"),
        ("server", {"preset": "vllm", "command": "x {port}"}, "one of the two"),
        ("server", {"command": "serve {model}"}, "no {port}"),
        ("server", {"command": "serve {model} {} --port {port}"}, "{} is none of"),
        ("server", {"command": "serve {modle} {port}"}, "{modle}"),
        ("server", {"command": "serve 'a {port}"}, "cannot be read"),
        ("server", {"command": "serve {port} {draft_model}"}, "{draft_model}"),
        ("server", {"preset": "vllm", "options": "--max-model-len 4096"}, "must be a mapping, {NAME: VALUE}"),
        ("openai", {"base_urls": "http://localhost:8000"}, "must be a list, [VALUE, ...]"),
        ("openai", {"base_urls": ["localhost:8000"]}, "not an address"),
        ("openai", {"base_urls": []}, "at least 1"),
        ("openai", {"base_urls": ["http://h:8000"]}, "write http://h:8000/v1"),
        ("openai", {"base_url": "http://h:8000/v1"}, "did you mean base_urls"),
        ("server", {"preset": "vllm", "tensor_parallel_size": 2}, "go under arguments.options"),
    ],
)
def test_arguments_that_cannot_be_right_are_told(backend: str, arguments: dict[str, object], fault: str) -> None:
    (problems,) = check_specs(backend, [replace(OWN, backend=backend, arguments=arguments)])
    assert any(fault in text for _, text in problems)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            of("vllm", {"tensor_parallel_size": 2, "swap_space": None, "speculative_config": {"k": 1}}),
            'vllm serve m --host 127.0.0.1 --port 8 --tensor-parallel-size 2 --speculative-config {"k": 1}',
        ),
        (
            of("vllm", {"enable_prefix_caching": False, "enforce-eager": True, "middleware": ["a", "b"]}),
            "vllm serve m --host 127.0.0.1 --port 8 --no-enable-prefix-caching --enforce-eager --middleware a b",
        ),
        (
            of("trtllm-serve", {"tp_size": 2, "trust_remote_code": True, "fail_fast_on_attention_window": False}),
            "trtllm-serve m --host 127.0.0.1 --port 8 --tp_size 2 --trust_remote_code",
        ),
        (
            of(
                "llama-server",
                {"ctx_size": 4096, "mmap": False, "flash_attn": "on", "spec_type": "draft-mtp"},
                model="m.gguf",
                draft_model="d",
            ),
            "llama-server --model m.gguf --host 127.0.0.1 --port 8 --metrics --model-draft d --ctx-size 4096 "
            "--no-mmap --flash-attn on --spec-type draft-mtp",
        ),
        (
            replace(OWN, arguments={"command": "serve {model} {port}", "options": {"fast": True, "slow": False}}),
            "serve m 8 --fast",
        ),
    ],
)
def test_options_become_the_servers_own_words(spec: EngineSpec, words: str) -> None:
    assert " ".join(command(spec, 8)) == words


def test_sglangs_server_is_started_as_its_backend_would_be() -> None:
    spec = of("sglang", {"tp_size": 2, "speculative_algorithm": "NEXTN"}, gpus=2, draft_model="d")
    python, *words = command(spec, 8)
    assert os.path.basename(python).startswith("python")
    assert " ".join(words) == (
        "-m sglang.launch_server --model-path m --tp-size 2 --speculative-draft-model-path d "
        "--speculative-algorithm NEXTN --host 127.0.0.1 --port 8"
    )


def test_the_command_line_of_a_server_can_be_pasted_into_a_shell() -> None:
    spec = of("vllm", {"speculative_config": {"k": 1}}, environment={"A": "b c"})
    assert backend("server").command_line(spec) == (
        "A='b c' VLLM_SERVER_DEV_MODE=1 vllm serve m --host 127.0.0.1 --port 8000 "
        """--speculative-config '{"k": 1}'"""
    )


@pytest.mark.parametrize(
    ("spec", "gpus"),
    [
        (of("vllm", {"tensor_parallel_size": 2, "data-parallel-size": 4}), 8),
        (of("sglang", {"tp_size": 4, "dp_size": 4, "enable_dp_attention": True}), 4),
        (of("sglang", {"device": "cpu"}), 0),
        (of("trtllm-serve", {"tp_size": 2, "pp_size": 2}), 4),
        (of("trtllm-serve", {"tensor_parallel_size": 2, "cp_size": 2}), 4),
    ],
)
def test_a_server_uses_the_gpus_that_its_options_multiply_to(spec: EngineSpec, gpus: int) -> None:
    owned = replace(spec, gpus=gpus)
    assert check_specs("server", [owned]) == [[]]
    ((problem, *_),) = check_specs("server", [replace(spec, gpus=gpus + 1)])
    assert problem[0] == "gpus"
    assert f"write engine.gpus: {gpus}" in problem[1]


@pytest.mark.parametrize(
    "spec",
    [
        of("vllm", {}, gpus=0),
        of("trtllm-serve", {"extra_llm_api_options": "more.yaml"}, gpus=4),
        of("llama-server", {}, model="m.gguf", gpus=2),
        replace(OWN, arguments={"command": "serve {port}"}, gpus=3),
    ],
)
def test_of_a_server_whose_options_do_not_tell_any_number_of_gpus_is_believed(spec: EngineSpec) -> None:
    assert check_specs("server", [spec]) == [[]]


def test_sglangs_server_has_the_arguments_that_only_a_server_reads() -> None:
    options: dict[str, object] = {"reasoning_parser": "qwen3", "chat_template": "chatml"}
    assert check_specs("server", [of("sglang", options)]) == [[]]


@pytest.mark.parametrize(
    ("spec", "key", "remedy"),
    [
        (of("vllm", {}, draft_model="d"), "draft_model", "options.speculative_config: {model: NAME"),
        (of("trtllm-serve", {}, draft_model="d"), "draft_model", "arguments.speculates: true"),
        (of("vllm", {"port": 8000}), "options", "port: is chosen by the engine"),
        (of("sglang", {"host": "0.0.0.0"}), "options", "host: is chosen by the engine"),
        (of("vllm", {"--served-model-name": "x"}), "options", "requests name the model"),
        (of("vllm", {"tp_size": 2}, gpus=2), "options", "tensor_parallel_size"),
        (of("vllm", {"--dp-size": 2}, gpus=2), "options", "data_parallel_size"),
        (of("vllm", {"mem_fraction_static": 0.8}), "options", "gpu_memory_utilization"),
        (of("vllm", {"context_length": 4096}), "options", "max_model_len"),
        (of("vllm", {"max_running_requests": 64}), "options", "max_num_seqs"),
        (of("vllm", {"disable_radix_cache": True}), "options", "enable_prefix_caching: false"),
        (of("vllm", {"speculative_algorithm": "EAGLE"}), "options", "speculative_config"),
        (of("vllm", {"nnodes": 2}), "options", "one node"),
        (of("vllm", {"distributed_executor_backend": "ray"}), "options", "workers of its own"),
        (of("sglang", {"speculative_num_steps": 5}), "options", "speculative_algorithm"),
        (of("sglang", {"tensor_paralel_size": 1}), "options", "tensor_paralel_size"),
        (
            of("trtllm-serve", {"kv_cache_config": {"enable_block_reuse": False}}),
            "options",
            "extra_llm_api_options",
        ),
        (of("llama-server", {}), "model", ".gguf"),
        (of("llama-server", {"spec_draft_model": "d"}, model="m.gguf"), "options", "engine.draft_model"),
        # It loads the draft, and decodes without it.
        (of("llama-server", {}, model="m.gguf", draft_model="d"), "options", "spec_type: draft-mtp"),
        (replace(OWN, arguments={"preset": "tgi"}), "preset", "'llama-server'"),
    ],
)
def test_what_a_preset_cannot_express_is_refused_with_what_to_write(
    spec: EngineSpec, key: str, remedy: str
) -> None:
    ((problem, *more),) = check_specs("server", [spec])
    assert more == []
    assert problem[0] == key
    assert remedy in problem[1]


def test_a_server_that_runs_already_takes_no_gpus_of_the_cluster() -> None:
    running = replace(OWN, backend="openai", arguments={"base_urls": ["http://127.0.0.1:8000/v1"]})
    [[(key, _)], free] = check_specs("openai", [replace(running, gpus=2), replace(running, gpus=0)])
    assert (key, free) == ("gpus", [])


SPECULATIVE = {"method": "mtp", "num_speculative_tokens": 1}


@pytest.mark.parametrize(
    ("arguments", "speculates"),
    [
        ({"preset": "vllm", "options": {"speculative_config": SPECULATIVE}}, True),
        ({"preset": "vllm", "options": {"per_request_spec_decode_metrics": "summary"}}, False),
        ({"preset": "sglang", "options": {"speculative_algorithm": "NGRAM"}}, True),
        ({"preset": "llama-server", "options": {"spec_type": "ngram-simple"}}, True),
        ({"preset": "llama-server", "options": {"spec_type": "none"}}, False),
        ({"preset": "trtllm-serve"}, False),
        ({"preset": "trtllm-serve", "speculates": True}, True),
        ({"command": "serve {port}", "options": {"speculative_config": SPECULATIVE}}, False),
    ],
)
def test_options_that_have_a_server_speculate_are_known(arguments: dict[str, object], speculates: bool) -> None:
    assert backend("server").speculates(arguments) is speculates


def test_a_server_without_its_options_of_speculation_is_the_plain_one() -> None:
    both = {"max_model_len": 64}
    drafting = {"speculative_config": SPECULATIVE, "per_request_spec_decode_metrics": "summary", **both}
    plain = backend("server").plain
    assert plain({"preset": "vllm", "options": drafting}) == plain({"preset": "vllm", "options": both})
    assert plain({"preset": "vllm", "options": {"speculative_config": SPECULATIVE}}) == {"preset": "vllm"}


def test_sglangs_deterministic_mode_is_a_claim() -> None:
    claims = backend("server").deterministic
    assert claims({"preset": "sglang", "options": {"enable_deterministic_inference": True}})
    assert not claims({"preset": "vllm", "options": {"enable_deterministic_inference": True}})
