"""What a sweep file keeps secret: by name, by place, by mark; and what it takes from the environment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.engines.sglang import table
from cluster.engines.sglang.arguments import command_line
from sweep.errors import BadInput
from sweep.plan.secret_names import is_secret, parts
from sweep.plan.sweepfile import dump, load
from sweep.plan.units import make_plan
from tests.conftest import SWEEP

Write = Callable[[str], Path]

SECRET = """
HF_TOKEN HUGGING_FACE_HUB_TOKEN OPENAI_API_KEY AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SESSION_TOKEN
PGPASSWORD MYSQL_PWD DB_PASS WANDB_KEY MY_KEY SERVICE_AUTH BASIC_AUTH apiKey accessToken AccountKey HFTOKEN
GITHUB_TOKEN_2 KEY client_secret GOOGLE_CREDENTIALS MLFLOW_TRACKING_PASSWORD NGC_API_KEY SSH_PRIVATE_KEY
X-Amz-Signature auth_token PASSWD api_keys SECRET_KEY_BASE APP_SECRETS DATABASE_CREDENTIAL AUTH TOKEN
LICENSE_KEY ENCRYPTION_KEY api_key admin_api_key ssl_keyfile_password GH_PAT
"""
HARMLESS = """
tokenizer_path max_total_tokens kv_cache_dtype token_usage key_cache_dtype TOKENIZERS_PARALLELISM NCCL_ALGO
pad_token SGLANG_ENABLE_SPEC_V2 eos_token bos_token_id MAX_TOKENS sort_key author AUTHOR_NAME monkey KEYBOARD
ssl_keyfile PATH HF_TOKEN_PATH PASSTHROUGH compass token_healing num_assistant_tokens num_key_value_heads
cache_key stop_token RAY_AUTH_MODE SECRET_NAME forward_pass tokenize secretary PYTHONPATH
GOOGLE_APPLICATION_CREDENTIALS_FILE
"""
OF_SGLANG = {"api_key", "admin_api_key", "ssl_keyfile_password"}
"""Read by hand from the list of its arguments."""


@pytest.mark.parametrize("name", SECRET.split())
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret(name, "some-text")


@pytest.mark.parametrize("name", HARMLESS.split())
def test_names_that_only_look_alike_hide_nothing(name: str) -> None:
    assert not is_secret(name, "some-text")


def test_of_all_arguments_of_sglang_those_that_are_secret_are_hidden_and_no_other() -> None:
    known = table.shipped().arguments
    assert len(known) > 500
    assert {name for name in known if is_secret(name, "some-text")} == OF_SGLANG


@pytest.mark.parametrize("value", [True, None, "", "1", "false", "off", 512, "${HF_TOKEN}"])
def test_a_switch_a_count_and_a_reference_are_no_secrets_under_any_name(value: object) -> None:
    assert not is_secret("HF_TOKEN", value)


def test_a_number_is_a_password_but_no_token() -> None:
    assert is_secret("password", 12345678)
    assert not is_secret("next_token", 12345678)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://me:p@ss@host/db?sslmode=require", ["p@ss"]),
        ("redis://:pw@host:6379", ["pw"]),
        ("https://hf_tok@huggingface.co/a", ["hf_tok"]),
        ("s3://KEY:SE/CRET@bucket", ["SE/CRET"]),
        ("https://host/x.jsonl?token=abc&part=1", ["abc"]),
        ("https://host/x?X-Amz-Signature=aaa&X-Amz-Date=1", ["aaa"]),
        ("AccountName=a;AccountKey=abc==;", ["abc=="]),
        ('{"api_key": "v1", "size": "x"}', ["v1"]),
        ("--hf-token abc --tp 2", ["abc"]),
        ("Bearer abcdefgh12", ["abcdefgh12"]),
        ("see hf_abcdefghijklmnopqrstuv", ["hf_abcdefghijklmnopqrstuv"]),
        ("http://host:8080/x?a=b@c", []),
        ("postgresql://me:${PW}@host/db", []),
        ("https://host/x?token=${T}", []),
        ("postgresql://me:(secret password)@host", []),
        ("google/gemma-4-26B-A4B-it", []),
        ("sqlite:////home/me/mlflow.db", []),
    ],
)
def test_secrets_are_found_inside_texts(text: str, hidden: list[str]) -> None:
    assert [text[part.begin : part.end] for part in parts(text)] == hidden


SETTINGS = """\
  environment: {HF_TOKEN: planted-1, PLAIN: seen, MINE: planted-2}
  secrets: [MINE]
  arguments: {api_key: planted-1, nested: {passphrase: 778899, credentials: {user: planted-3}}, size: 3}
"""


def with_secrets(text: str = SETTINGS) -> str:
    tracking = 'tracking: {uri: "postgresql://me:planted-4@host/db"}\n'
    return SWEEP.replace("  engines: 2\n", f"  engines: 2\n{text}").replace("tracking: {uri: null}\n", tracking)


def test_nothing_that_is_made_of_a_sweep_file_has_its_secrets(write_sweep: Write) -> None:
    config = load(write_sweep(with_secrets()))
    plan = make_plan(config)
    everything = "\n".join([repr(plan), dump(config), config.model_dump_json(), str(plan.spec("mtp"))])
    assert "planted" not in everything
    assert "778899" not in everything
    assert config.engine.environment == {
        "HF_TOKEN": "(secret HF_TOKEN)",
        "PLAIN": "seen",
        "MINE": "(secret MINE)",
    }
    assert config.tracking.uri == "postgresql://me:(secret password)@host/db"
    revealed = plan.spec("mtp").revealed()
    assert revealed.environment == {"HF_TOKEN": "planted-1", "PLAIN": "seen", "MINE": "planted-2"}
    assert revealed.arguments == {
        "api_key": "planted-1",
        "nested": {"passphrase": 778899, "credentials": {"user": "planted-3"}},
        "size": 3,
    }
    assert config.secrets.reveal(config.tracking.uri) == "postgresql://me:planted-4@host/db"


def test_the_identity_of_a_sweep_is_the_same_whatever_its_secrets_are(write_sweep: Write) -> None:
    one = make_plan(load(write_sweep(with_secrets())))
    other = make_plan(load(write_sweep(with_secrets().replace("planted", "other"))))
    assert one.sweep_id == other.sweep_id
    marked = make_plan(load(write_sweep(with_secrets(SETTINGS.replace("PLAIN: seen", "PLAIN: other")))))
    assert marked.sweep_id != one.sweep_id


def test_marking_a_name_that_is_not_there_moves_no_run_folder(write_sweep: Write) -> None:
    marking = SWEEP.replace("  engines: 2\n", "  engines: 2\n  secrets: [ELSEWHERE]\n")
    assert make_plan(load(write_sweep(marking))).sweep_id == make_plan(load(write_sweep(SWEEP))).sweep_id


def test_two_secrets_of_one_name_have_two_marks_and_one_value_has_one(write_sweep: Write) -> None:
    text = SWEEP.replace("baseline: {}", "baseline: {environment: {A_KEY: x-1}}").replace(
        "mtp: {draft: true}", "mtp: {draft: true, environment: {A_KEY: x-2}}\n  again: {environment: {A_KEY: x-1}}"
    )
    config = load(write_sweep(text))
    marks = [v.environment["A_KEY"] for v in config.variants.values()]
    assert marks == ["(secret A_KEY)", "(secret A_KEY 2)", "(secret A_KEY)"]
    assert make_plan(config).spec("mtp").revealed().environment == {"A_KEY": "x-2"}


def test_a_fault_and_a_repeated_key_do_not_tell_a_secret(write_sweep: Write) -> None:
    bad = with_secrets("  environment: {HF_TOKEN: [planted-1]}\n  arguments: planted\n")
    for text in (bad, with_secrets("  environment: {HF_TOKEN: planted-1, HF_TOKEN: planted-2}\n")):
        with pytest.raises(BadInput) as caught:
            load(write_sweep(text))
        assert "planted-" not in caught.value.message


@pytest.mark.parametrize(
    "override",
    [
        "engine.environment.HF_TOKEN=planted",
        "engine.environment={HF_TOKEN: planted}",
        "engine.arguments.api_key={",
        "tracking.uri=postgresql://me:planted@host/db",
        "variants.mtp.environment.MINE=planted",
        "grid.api_key=[planted, other]",
    ],
)
def test_a_secret_on_the_command_line_is_refused_and_not_told(write_sweep: Write, override: str) -> None:
    with pytest.raises(BadInput, match=r"\$\{NAME\}") as caught:
        load(write_sweep(with_secrets()), [override])
    assert "planted" not in caught.value.message


def test_a_reference_reads_the_environment_and_is_kept_as_it_is_written(
    write_sweep: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOORS_TOKEN", "planted-1")
    monkeypatch.setenv("DOORS_DATA", str(tmp_path))
    text = with_secrets('  environment: {HF_TOKEN: "${DOORS_TOKEN}", DOLLAR: "$${DOORS_TOKEN}"}\n')
    file = write_sweep(text.replace("path: data.jsonl", 'path: "${DOORS_DATA}/data.jsonl"'))
    config = load(file)
    assert config.engine.environment["HF_TOKEN"] == "${DOORS_TOKEN}"
    assert make_plan(config).spec("mtp").revealed().environment == {
        "HF_TOKEN": "planted-1",
        "DOLLAR": "${DOORS_TOKEN}",
    }
    assert config.protocol.dataset.path == "${DOORS_DATA}/data.jsonl"
    assert config.revealed_protocol().dataset.path == f"{tmp_path}/data.jsonl"
    again = load(file, ["engine.environment.HF_TOKEN=${DOORS_TOKEN}"])
    assert again == config


def test_an_unset_variable_is_a_fault_at_its_line(write_sweep: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOORS_NOT_SET", raising=False)
    file = write_sweep(with_secrets("  environment:\n    A: ${DOORS_NOT_SET}\n    B: ${1}\n"))
    with pytest.raises(BadInput) as caught:
        load(file)
    assert f"{file}:8: engine.environment.A: `DOORS_NOT_SET` is not set" in caught.value.message
    assert f"{file}:9: engine.environment.B: has a `${{` that is no `${{NAME}}`" in caught.value.message


def test_what_a_run_folder_keeps_is_read_without_the_secrets_and_launched_with_them_only(
    write_sweep: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOORS_TOKEN", "planted-1")
    config = load(write_sweep(with_secrets(SETTINGS.replace("seen", '"${DOORS_TOKEN}"'))))
    monkeypatch.delenv("DOORS_TOKEN")
    kept = write_sweep(dump(config))
    recorded = load(kept, recorded=True)
    assert make_plan(recorded).sweep_id == make_plan(config).sweep_id
    with pytest.raises(BadInput) as caught:
        load(kept)
    assert "engine.environment.HF_TOKEN: a run folder keeps no secrets" in caught.value.message
    assert "`DOORS_TOKEN` is not set" in caught.value.message


def test_a_command_line_has_marks_and_lets_the_shell_read_the_environment(
    write_sweep: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOORS_TOKEN", "planted-1")
    settings = """\
  environment: {HF_TOKEN: "${DOORS_TOKEN}", A_KEY: planted-2}
  arguments: {api_key: planted-3}
"""
    text = with_secrets(settings).replace("simulated", "sglang")
    line = command_line(make_plan(load(write_sweep(text))).spec("baseline"))
    assert "planted" not in line
    assert 'HF_TOKEN="${DOORS_TOKEN}"' in line
    assert "A_KEY='(secret A_KEY)'" in line


def test_a_resolved_sweep_file_is_plain_json_values(write_sweep: Write) -> None:
    assert json.loads(load(write_sweep(with_secrets())).model_dump_json())["engine"]["secrets"] == ["MINE"]


@pytest.mark.parametrize(
    "piece", ["a", "a:/b", "a://b:c", "k=", "token=", "--token x ", "(secret x", "${X}", "eyJa.", " "]
)
def test_a_long_text_of_any_kind_is_read_at_once(piece: str) -> None:
    text = piece * (300_000 // len(piece))
    assert len(list(parts(text))) <= len(text)


def test_a_secret_under_a_key_in_the_wrong_place_is_not_told(write_sweep: Write) -> None:
    with pytest.raises(BadInput) as caught:
        load(write_sweep(SWEEP.replace("name: small", "name: {HF_TOKEN: planted-1}")))
    assert "planted" not in caught.value.message
