"""Sweep files: every fault at once, each with its place, rule, value and remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.errors import BadInput
from sweep.plan.sweepfile import dump, load
from sweep.plan.variants import variants
from tests.conftest import SWEEP

Write = Callable[[str], Path]


def faults(file: Path, *overrides: str) -> str:
    with pytest.raises(BadInput) as caught:
        load(file, overrides)
    assert caught.value.exit_code == 2
    return caught.value.message


def test_a_missing_file_names_the_nearest_one(write_sweep: Write) -> None:
    file = write_sweep(SWEEP)
    message = faults(file.with_name("swep.yaml"))
    assert "no such sweep file" in message
    assert f"did you mean {file}?" in message


@pytest.mark.parametrize(
    ("backend", "instead"),
    [
        ("vllm", "backend: server, with arguments: {preset: vllm"),
        ("TensorRT_LLM", "{preset: trtllm-serve"),
        ("llama.cpp", "{preset: llama-server"),
        ("http", "backend: openai, with arguments: {base_urls: [http://HOST:PORT/v1]}"),
        ("local-completions", "backend: openai"),
        ("tgi", "{command: "),
        ("sglan", "did you mean sglang?"),
    ],
)
def test_an_engine_that_others_name_otherwise_is_told_as_what_to_write_here(
    write_sweep: Write, backend: str, instead: str
) -> None:
    assert instead in faults(write_sweep(SWEEP), f"engine.backend={backend}")


def test_an_argument_of_a_backend_that_stands_beside_its_name_is_told_where_it_goes(write_sweep: Write) -> None:
    message = faults(write_sweep(SWEEP), "engine.base_url=http://h:8000")
    assert "engine.base_url: unknown key; the backend's own arguments go under engine.arguments" in message


def test_an_argument_beside_a_variant_s_keys_is_told_where_it_goes(write_sweep: Write) -> None:
    message = faults(write_sweep(SWEEP), "variants.mtp={tp_size: 2}")
    assert (
        "variants.mtp.tp_size: unknown key; the backend's own arguments go under variants.mtp.arguments" in message
    )


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("engine.arguments=--tp 2", 'engine.arguments: must be a mapping, got "--tp 2"; write {NAME: VALUE}'),
        ("variants.mtp=", "variants.mtp: must be a mapping, got null; write {}, where the keys may be draft, "),
        ("protocol.stop=Question", 'protocol.stop: must be a list, got "Question"; write [VALUE, ...]'),
        ("perturb={batch_size: [1]}", "perturb.batch_size: unknown key; known: "),
        ("protocol.dataset=openai/gsm8k", "write {KEY: VALUE}, where the keys may be path, "),
    ],
)
def test_what_has_to_be_of_another_kind_is_told_with_it(write_sweep: Write, override: str, fault: str) -> None:
    assert fault in faults(write_sweep(SWEEP), override)


def test_a_number_of_questions_that_cannot_be_is_one_fault(write_sweep: Write) -> None:
    message = faults(write_sweep(SWEEP), "protocol.questions=-1")
    assert ": 1 fault, " in message
    assert "protocol.questions: input should be greater than or equal to 1" in message


def test_a_number_where_a_name_belongs_is_told_beside_other_faults(write_sweep: Write) -> None:
    message = faults(write_sweep(SWEEP), "protocol.shots_from=5", "protocol.max_tokens=-1")
    assert ": 2 faults, " in message
    assert "protocol.shots_from" in message


def test_a_reference_in_braces_needs_quotes_and_that_is_told(write_sweep: Write) -> None:
    file = write_sweep("name: x\nengine: {backend: simulated, model: ${MODEL}}\n")
    assert f"{file}:2: not valid YAML" in faults(file)
    assert 'a reference needs quotes: "${NAME}"' in faults(file)


def test_a_variable_as_a_shell_has_it_is_no_reference(write_sweep: Write) -> None:
    message = faults(write_sweep(SWEEP.replace("  model: none", "  model: $MODEL")))
    assert "engine.model: $MODEL is taken as it stands; write `${MODEL}`" in message


def test_broken_yaml_says_where(write_sweep: Write) -> None:
    file = write_sweep("name: x\nengine: {backend: simulated\nvariants: {}\n")
    assert f"{file}:3: not valid YAML" in faults(file)


def test_every_fault_is_reported_at_once_with_its_line(write_sweep: Write) -> None:
    text = SWEEP.replace("engines: 2", "enginez: 2").replace("repetitions: 2", "repetitions: 0")
    text = text.replace("shots: 2", "shots: two")
    file = write_sweep(text)
    lines = faults(file).splitlines()
    assert lines[0] == f"{file}: 3 faults, nothing was started"
    assert f"{file}:6: engine.enginez: unknown key; did you mean engines?" in lines
    assert any(line.startswith(f"{file}:13: protocol.shots: ") for line in lines)
    assert any(line.startswith(f"{file}:17: repetitions: ") and "got 0" in line for line in lines)


def test_an_unknown_backend_names_the_known_ones(write_sweep: Write) -> None:
    file = write_sweep(SWEEP.replace("backend: simulated", "backend: abacus"))
    assert '"abacus"; known: transformers, simulated, sglang' in faults(file)


def test_no_variants_is_a_fault(write_sweep: Write) -> None:
    file = write_sweep(SWEEP.replace("variants:\n  baseline: {}\n  mtp: {draft: true}\n", "variants: {}\n"))
    assert f"{file}:8: variants: no variants" in faults(file)


def test_a_variant_written_twice_is_a_fault(write_sweep: Write) -> None:
    file = write_sweep(SWEEP.replace("mtp: {draft", "baseline: {draft"))
    message = faults(file)
    assert f"{file}:10" in message
    assert "duplicate key" in message


def test_a_grid_that_makes_a_written_variant_again_is_a_fault(write_sweep: Write) -> None:
    file = write_sweep(SWEEP + "grid: {kind: {mtp: {}, other: {}}}\n")
    assert "grid: duplicate variant `mtp`" in faults(file)


def test_an_unknown_key_inside_a_threshold_rule_names_the_nearest(write_sweep: Write) -> None:
    file = write_sweep(SWEEP + "threshold: {rule: tolerance, coverge: 0.9}\n")
    assert "threshold.coverge: unknown key; did you mean coverage?" in faults(file)


def test_a_cut_of_a_distribution_that_nothing_is_drawn_from_is_a_fault(write_sweep: Write) -> None:
    assert "protocol.min_p: " in faults(write_sweep(SWEEP), "protocol.min_p=0.1")
    assert load(write_sweep(SWEEP), ["protocol.min_p=0.1", "protocol.temperature=1"]).protocol.min_p == 0.1


def test_draft_without_a_draft_model_is_a_fault(write_sweep: Write) -> None:
    file = write_sweep(SWEEP.replace("  draft_model: none\n", ""))
    assert "engine.draft_model" in faults(file)


def test_an_override_is_validated_like_the_file_and_named_as_the_place(write_sweep: Write) -> None:
    file = write_sweep(SWEEP)
    assert load(file, ["repetitions=7"]).repetitions == 7
    assert "--set repetitions=-1: repetitions: " in faults(file, "repetitions=-1")
    assert "--set engine.gpuz=1: engine.gpuz: unknown key; did you mean gpus?" in faults(file, "engine.gpuz=1")
    assert "wants key.path=value" in faults(file, "repetitions")


def test_a_data_file_is_relative_to_the_sweep_file_and_an_overriding_one_to_the_working_folder(
    write_sweep: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_sweep(SWEEP)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load(file).protocol.dataset.path == str(tmp_path / "data.jsonl")
    changed = load(file, ["protocol.dataset.path=mine.jsonl"])
    assert changed.protocol.dataset.path == str(elsewhere / "mine.jsonl")


def test_a_dumped_sweep_file_reads_back_as_the_same_sweep(write_sweep: Write, tmp_path: Path) -> None:
    config = load(write_sweep(SWEEP + "grid: {batch: [1, 2]}\n"))
    again = tmp_path / "again.yaml"
    again.write_text(dump(config))
    assert load(again) == config


def test_a_grid_expands_to_every_combination_with_readable_names(write_sweep: Write) -> None:
    grid = """\
grid:
  speculation:
    base: {}
    topk1: {draft: true, arguments: {speculative_eagle_topk: 1}}
  mode:
    plain: {}
    det: {arguments: {enable_deterministic_inference: true}}
  size: [8, 16]
"""
    config = load(write_sweep(SWEEP.replace("simulated", "sglang") + grid))
    expanded = {v.name: v for v in variants(config)}
    assert list(expanded) == [
        "baseline",
        "mtp",
        "base-plain-size=8",
        "base-plain-size=16",
        "base-det-size=8",
        "base-det-size=16",
        "topk1-plain-size=8",
        "topk1-plain-size=16",
        "topk1-det-size=8",
        "topk1-det-size=16",
    ]
    chosen = expanded["topk1-det-size=16"]
    assert chosen.arguments == {
        "speculative_eagle_topk": 1,
        "enable_deterministic_inference": True,
        "size": 16,
    }
    assert chosen.baseline == "base-det-size=16"
    assert chosen.deterministic
    assert not expanded["topk1-plain-size=16"].deterministic


def test_two_axes_that_set_the_same_argument_are_a_fault(write_sweep: Write) -> None:
    file = write_sweep(SWEEP + "grid: {size: [1, 2], mode: {a: {arguments: {size: 3}}}}\n")
    assert "grid.mode: sets `size`" in faults(file)


def test_a_string_of_server_arguments_is_told_where_arguments_go(write_sweep: Write) -> None:
    text = SWEEP.replace("  engines: 2\n", '  engines: 2\n  server_args: "--tp 1 --mem-fraction-static 0.8"\n')
    file = write_sweep(text)
    assert f"{file}:7: engine.server_args: unknown key; " in faults(file)
    assert "engine.arguments" in faults(file)
