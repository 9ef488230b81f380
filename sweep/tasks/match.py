"""Prompts without answers: an output is right where it is the reference's, character by character. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cluster.spec import Message
from sweep.stats.metric import Metric
from sweep.tasks.base import Prompt, Record, Row, Score

ROLES = ("system", "user", "assistant")
UNMEASURED = ""
"""The gold answer before the reference is measured: while it is, whatever it says is right."""


class Match:
    """Texts to complete, or chats to answer; what is right is known when a reference has said it."""

    name = "match"
    version = "1"
    metric = Metric(name="match rate", counts=True)
    columns: Mapping[str, type] = {"prompt": str}
    forms: tuple[Mapping[str, type], ...] = (
        {"prompt": str},
        {"question": str},
        {"messages": list},
        {"prompt": list},
    )
    stop = ()

    def record(self, row: Row, record_id: str) -> Record:
        """Messages are {role, content}, as OpenAI's API has them, and the last is the user's."""
        (prompt,) = row.values()
        if isinstance(prompt, str):
            return Record(id=record_id, question=prompt, gold=UNMEASURED, row={"prompt": prompt})
        turns = [_turn(message) for message in prompt]
        if not turns or turns[-1].role != "user":
            raise ValueError("messages must end with the user's")
        text = "\n\n".join(f"{turn.role}: {turn.content}" for turn in turns)
        plain = [{"role": turn.role, "content": turn.content} for turn in turns]
        return Record(id=record_id, question=text, gold=UNMEASURED, row={"prompt": plain})

    def answered(self, record: Record, output: str) -> Record:
        """The record with the reference's output as what is right. Nothing equals an empty one."""
        return replace(record, gold=_digest(output), row={**record.row, "output": output})

    def prompt(self, record: Record, shots: Sequence[Record]) -> Prompt:
        """As it is written. There are no shots, as there are no answers to show."""
        prompt = record.row["prompt"]
        return prompt if isinstance(prompt, str) else tuple(Message(**turn) for turn in prompt)

    def score(self, record: Record, output: str) -> Score:
        """The answer stands for the whole output; an empty one is none."""
        answer = _digest(output) if output else None
        return Score(answer=answer, correct=answer is not None and record.gold in (answer, UNMEASURED))

    def clusters(self, records: Sequence[Record]) -> None:
        """None: what prompts share is not in the columns."""

    def reference(self, record: Record) -> str:
        """The reference's output; before there is one, a text that is each record's own."""
        return str(record.row.get("output", f"An output to {record.id}."))


def _turn(message: Any) -> Message:
    if not isinstance(message, Mapping) or message.get("role") not in ROLES:
        raise ValueError(f"messages must be a list of {{role, content}}, the roles {', '.join(ROLES)}")
    if not isinstance(message.get("content"), str):
        raise ValueError("messages must have texts for their content, and no images or tool calls")
    return Message(role=message["role"], content=message["content"])


def _digest(output: str) -> str:
    """Short enough to be kept with every sample and shown; 64 bits, so that no two outputs share one by chance."""
    return hashlib.sha256(output.encode()).hexdigest()[:16]
