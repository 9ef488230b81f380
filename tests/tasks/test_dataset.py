"""Records from local files: every form, every refusal with its place, and what can be refused without reading."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweep.errors import BadInput
from sweep.plan.config import DatasetConfig, ProtocolConfig
from sweep.plan.sweepfile import load as load_sweep
from sweep.tasks import dataset
from tests.conftest import SWEEP, write_jsonl

Write = Callable[[str], Path]
ROWS = [{"question": f"q{n}", "answer": f"#### {n}", "split": "x"} for n in range(4)]


def protocol(file: Path, **changes: object) -> ProtocolConfig:
    return ProtocolConfig.model_validate(
        {"dataset": DatasetConfig(path=str(file)), "shots": 1, "questions": "all", **changes}
    )


def refusal(file: Path) -> str:
    with pytest.raises(BadInput) as caught:
        dataset.load(protocol(file))
    return caught.value.message


def test_every_format_gives_the_same_records_and_hash(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps(ROWS, indent=2))
    (tmp_path / "lines.json").write_text("\n".join(map(json.dumps, ROWS)))
    write_jsonl(tmp_path / "lines.jsonl", ROWS)
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "table.parquet")
    lines = "".join(f'["q{n}", "#### {n}"]\n' for n in range(4))
    for name in ("list.json", "lines.json", "lines.jsonl", "table.parquet"):
        questionnaire = dataset.load(protocol(tmp_path / name))
        assert questionnaire.dataset_sha256 == hashlib.sha256(lines.encode()).hexdigest(), name
        assert questionnaire.question_ids == ("test-1", "test-2", "test-3")
        assert [record.gold for record in questionnaire.questions] == ["1", "2", "3"]


@pytest.mark.parametrize("name", ["[ab].jsonl", "a*.jsonl", "what?.jsonl", "**.parquet", "{a,b}.json"])
def test_a_file_s_name_is_no_pattern(tmp_path: Path, name: str) -> None:
    for other in ("a.jsonl", "b.jsonl", "whatx.jsonl", "a.parquet", "a.json"):
        (tmp_path / other).write_text("the wrong file")
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / name)
    else:
        write_jsonl(tmp_path / name, ROWS)
    assert len(dataset.load(protocol(tmp_path / name)).questions) == 3


def test_a_fault_names_its_line_past_empty_ones(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"question": "q", "answer": "#### 1"}\n\n{"question": "q", "reply": "1"}\n')
    assert refusal(file).startswith(f"{file}:3: no text in `answer`")
    file.write_text('{"question": "q", "answer": "#### 1"}\n["q", "1"]\n')
    assert refusal(file).startswith(f"{file}:2: not a record but a list")
    file.write_text('{"question": "q", "answer": "#### 1"}\n{"question": \n')
    assert refusal(file).startswith(f"{file}:2: ")


def test_half_a_surrogate_pair_is_refused_and_not_met_later(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"question": "\\ud800", "answer": "#### 1"}\n')
    assert refusal(file).startswith(f"{file}:1: ")


def test_a_fault_in_a_list_names_its_record_and_one_in_its_json_the_line(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps([ROWS[0], {"question": "q", "answer": 5}]))
    assert refusal(file).startswith(f"{file}: record 1: no text in `answer`")
    file.write_text('[\n{"question": "q"},\n{"question" "q"}]')
    assert refusal(file).startswith(f"{file}:3: ")


@pytest.mark.parametrize(
    ("name", "content"), [("a.parquet", b"no"), ("a.jsonl", b"\xff\xfe"), ("a.jsonl", b""), ("a.json", b"[]")]
)
def test_a_file_that_holds_no_records_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert refusal(tmp_path / name).startswith(f"{tmp_path / name}: ")


def test_other_records_than_the_pinned_ones_are_refused_with_both_hashes(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "data.jsonl", ROWS)
    pinned = DatasetConfig(path=str(file), sha256="a" * 64)
    with pytest.raises(BadInput, match="a" * 64):
        dataset.load(protocol(file, dataset=pinned))


def test_shots_come_from_the_file_of_the_train_split(tmp_path: Path) -> None:
    train = write_jsonl(tmp_path / "train.jsonl", [{"question": "worked", "answer": "#### 9"}])
    test = write_jsonl(tmp_path / "test.jsonl", ROWS)
    both = DatasetConfig(path=str(test), train_path=str(train))
    questionnaire = dataset.load(protocol(test, dataset=both, shots_from="train"))
    assert [record.question for record in questionnaire.shots] == ["worked"]
    assert len(questionnaire.questions) == 4


def faults(write_sweep: Write, *overrides: str, text: str = SWEEP) -> list[str]:
    with pytest.raises(BadInput) as caught:
        load_sweep(write_sweep(text), overrides, dataset.sweep_faults)
    return caught.value.message.splitlines()[1:]


def test_a_sweep_file_with_its_task_and_data_in_place_has_no_faults(write_sweep: Write) -> None:
    assert list(dataset.faults(load_sweep(write_sweep(SWEEP)).protocol)) == []


def test_an_unknown_task_is_a_fault_of_its_line_with_the_nearest_known_one(write_sweep: Write) -> None:
    text = SWEEP.replace("protocol:\n", "protocol:\n  task: gsm8\n")
    line = text.splitlines().index("  task: gsm8") + 1
    (fault,) = faults(write_sweep, text=text)
    assert f"sweep.yaml:{line}: protocol.task: " in fault
    assert "did you mean gsm8k?" in fault


def test_every_fault_of_task_and_data_is_told_at_once(write_sweep: Write, tmp_path: Path) -> None:
    task, path = faults(write_sweep, "protocol.task=other", f"protocol.dataset.path={tmp_path / 'none.jsonl'}")
    assert task.startswith("--set protocol.task=other: ")
    assert f"{tmp_path / 'none.jsonl'}: no such " in path


@pytest.mark.parametrize("path", ["data.jsonl", "embedded:tiny-gemma4"])
def test_shots_from_a_train_split_that_is_nowhere_are_a_fault(write_sweep: Write, path: str) -> None:
    (fault,) = faults(write_sweep, "protocol.shots_from=train", text=SWEEP.replace("data.jsonl", path))
    assert "protocol.shots_from: " in fault
    assert "protocol.dataset.train_path" in fault


def test_an_unknown_embedded_data_set_is_a_fault_with_the_nearest_known_one(write_sweep: Write) -> None:
    (fault,) = faults(write_sweep, text=SWEEP.replace("data.jsonl", "embedded:tiny-gemma"))
    assert "sweep.yaml:" in fault
    assert "did you mean embedded:tiny-gemma4?" in fault


@pytest.mark.parametrize(
    "path",
    ["./none", "none.jsonl", "../none.json", "a/b/none.parquet", "/none/no.csv", "/none/none", "NONE.JSONL"],
)
@pytest.mark.parametrize("key", ["path", "train_path"])
def test_a_local_file_that_is_not_there_is_a_fault_of_its_line(write_sweep: Write, key: str, path: str) -> None:
    other = "" if key == "path" else "path: data.jsonl, "
    text = SWEEP.replace("{path: data.jsonl}", f"{{{other}{key}: {path}}}")
    line = next(n for n, written in enumerate(text.splitlines(), start=1) if "dataset:" in written)
    (fault,) = faults(write_sweep, text=text)
    assert f"sweep.yaml:{line}: protocol.dataset.{key}: " in fault
    assert f"{Path(path).name}: no such data set file" in fault


def test_a_file_of_another_form_is_a_fault_and_no_hub_id(write_sweep: Write, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("question,answer\n")
    (fault,) = faults(write_sweep, text=SWEEP.replace("data.jsonl", "data.csv"))
    assert f"protocol.dataset.path: {tmp_path / 'data.csv'}: " in fault
    assert ".jsonl" in fault


@pytest.mark.parametrize("hub", ["openai/gsm8k", "gsm8k", "org/data-v1.0"])
def test_a_hub_id_is_left_to_the_hub(write_sweep: Write, hub: str) -> None:
    config = load_sweep(write_sweep(SWEEP.replace("data.jsonl", hub)), (), dataset.sweep_faults)
    assert config.protocol.dataset.path == hub
