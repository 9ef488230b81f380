"""Prompts without answers: the rows, what an output is worth, and what a sweep file must say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from cluster.spec import Message
from sweep.errors import BadInput
from sweep.plan.config import ProtocolConfig
from sweep.plan.sweepfile import load
from sweep.tasks import TASKS, dataset
from sweep.tasks.base import Record, read
from sweep.tasks.match import Match
from tests.conftest import write_jsonl

MATCH = Match()
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a colour."}]


def asked(row: Mapping[str, object]) -> Record:
    return read(MATCH, row, "test-0")


def test_a_row_has_a_prompt_or_a_question_or_the_messages_of_a_chat() -> None:
    assert MATCH.prompt(asked({"prompt": "Name a colour:"}), []) == "Name a colour:"
    assert MATCH.prompt(asked({"id": 7, "question": "Name a colour:"}), []) == "Name a colour:"
    chat = asked({"messages": CHAT})
    assert asked({"prompt": CHAT}) == chat
    assert MATCH.prompt(chat, []) == (
        Message(role="system", content="Be brief."),
        Message(role="user", content="Name a colour."),
    )
    assert chat.question == "system: Be brief.\n\nuser: Name a colour."
    assert asked({"question": "a"}).row == asked({"prompt": "a"}).row


@pytest.mark.parametrize(
    ("row", "fact"),
    [
        ({"text": "a"}, "no text in `prompt`"),
        ({"prompt": 5}, "no text in `prompt`"),
        ({"messages": "a"}, "no list in `messages`"),
        ({"messages": []}, "end with the user's"),
        ({"messages": [*CHAT, {"role": "assistant", "content": "Blue."}]}, "end with the user's"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "roles system, user, assistant"),
        ({"messages": ["a"]}, "{role, content}"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "no images"),
    ],
)
def test_other_rows_are_refused_with_what_is_wrong(row: dict[str, object], fact: str) -> None:
    with pytest.raises(ValueError, match=fact.replace("{", r"\{")):
        asked(row)


def test_an_output_is_right_where_it_is_the_reference_s_to_the_last_character() -> None:
    record = MATCH.answered(asked({"prompt": "Name a colour:"}), " Blue. ")
    assert record.gold == hashlib.sha256(b" Blue. ").hexdigest()[:16]
    outputs = [" Blue. ", " Blue.", " blue. ", " Blue. \n"]
    assert [MATCH.score(record, output).correct for output in outputs] == [True, False, False, False]
    assert len({MATCH.score(record, output).answer for output in outputs}) == 4


def test_nothing_equals_an_empty_output() -> None:
    record = MATCH.answered(asked({"prompt": "Name a colour:"}), "")
    for output in ("", " ", "Blue."):
        assert not MATCH.score(record, output).correct
    assert MATCH.score(record, "").answer is None


SWEEP = """\
name: match
engine: {backend: simulated, model: none}
variants: {baseline: {}, other: {}}
protocol: {task: match, gold: {variant: baseline}, dataset: {path: prompts.jsonl}, shots: 0, questions: 4}
repetitions: 2
"""


@pytest.mark.parametrize(
    ("override", "fact"),
    [
        ("protocol.gold=null", "protocol.gold: missing"),
        ("protocol.gold={}", "protocol.gold: names nobody"),
        ("protocol.gold={variant: basline}", "protocol.gold.variant: no variant of this sweep is called `basline`"),
        ("protocol.shots=5", "protocol.shots: task match has no answers"),
        ("protocol.temperature=0.5", "protocol.temperature: above 0"),
        ("protocol.task=gsm8k", "protocol.gold: task gsm8k has right answers"),
    ],
)
def test_what_it_cannot_do_is_refused_in_a_line_of_the_sweep_file(tmp_path: Path, override: str, fact: str) -> None:
    write_jsonl(tmp_path / "prompts.jsonl", [{"prompt": f"{n}?"} for n in range(4)])
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    load(tmp_path / "sweep.yaml", (), dataset.sweep_faults)
    with pytest.raises(BadInput) as refused:
        load(tmp_path / "sweep.yaml", [override], dataset.sweep_faults)
    assert fact in refused.value.message
    assert len(refused.value.message.splitlines()) == 2


def test_the_folder_of_an_earlier_run_is_named_from_the_sweep_file_s_own(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("{variant: baseline}", "{run: runs/match-1}"))
    gold = load(tmp_path / "sweep.yaml").protocol.gold
    assert gold is not None
    assert gold.run == str(tmp_path / "runs" / "match-1")


def test_rows_that_lack_an_answer_are_told_to_be_for_it(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(json.dumps({"question": "2 + 2?"}) + "\n")
    protocol = {"task": "gsm8k", "dataset": {"path": str(tmp_path / "data.jsonl")}, "shots": 0, "questions": 1}
    with pytest.raises(BadInput, match="`task: match` reads such records"):
        dataset.load(ProtocolConfig.model_validate(protocol))
    assert "match" in TASKS
