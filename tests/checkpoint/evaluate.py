"""What a checkpoint can do, with plain transformers: greedy accuracy, and the accept length of its assistant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.checkpoint.problems import Problem
from tests.checkpoint.tokenizer import SEPARATOR

STOP = "Question"
BATCH = 256
DRAFT_TOKENS = 5


@dataclass(frozen=True, kw_only=True)
class Exam:
    """What is asked: `questions`, each after the same `shots`."""

    name: str
    """`test.jsonl, 5 shots`."""
    shots: Sequence[Problem]
    """Worked examples before every question."""
    questions: Sequence[Problem]
    """At least one."""
    max_tokens: int
    """Most tokens of an answer."""

    def prompts(self) -> list[str]:
        """One for each question."""
        head = "".join(shot.text + SEPARATOR for shot in self.shots)
        return [f"{head}Question: {problem.question}\nAnswer:" for problem in self.questions]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A loaded target, its tokenizer and its assistant."""

    tokenizer: Any
    target: Any
    assistant: Any


def load(folder: Path, device: Any) -> Checkpoint:
    """Load `folder`/target and `folder`/assistant: bfloat16 on a GPU, float32 elsewhere."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32

    def model(name: str) -> Any:
        return AutoModelForCausalLM.from_pretrained(folder / name, dtype=dtype).eval().to(device)

    assistant = model("assistant")
    assistant.generation_config.num_assistant_tokens = DRAFT_TOKENS
    assistant.generation_config.num_assistant_tokens_schedule = "constant"
    assistant.generation_config.assistant_confidence_threshold = 0.0
    tokenizer = AutoTokenizer.from_pretrained(folder / "target", padding_side="left")
    return Checkpoint(tokenizer=tokenizer, target=model("target"), assistant=assistant)


def accuracy(checkpoint: Checkpoint, exam: Exam) -> float:
    """The share of questions answered right, greedily."""
    prompts = exam.prompts()
    texts: list[str] = []
    for begin in range(0, len(prompts), BATCH):
        texts += _complete(checkpoint, prompts[begin : begin + BATCH], exam.max_tokens)[0]
    right = [
        text.partition(STOP)[0].rpartition("#### ")[2].strip() == problem.answer.rpartition("#### ")[2]
        for text, problem in zip(texts, exam.questions, strict=True)
    ]
    return sum(right) / len(right)


def accept_length(checkpoint: Checkpoint, exam: Exam, questions: int) -> float:
    """Tokens for each verification pass of the target over the exam's first `questions`.

    DRAFT_TOKENS are drafted each time, so it is 1 to DRAFT_TOKENS + 1.
    """
    passes = tokens = 0

    def count(module: Any, positional: Any, named: Any) -> None:
        nonlocal passes
        passes += 1

    hook = checkpoint.target.register_forward_pre_hook(count, with_kwargs=True)
    try:
        for prompt in exam.prompts()[:questions]:
            passes -= 1  # the pass over the prompt verifies nothing
            tokens += _complete(checkpoint, [prompt], exam.max_tokens, assistant_model=checkpoint.assistant)[1] - 1
    finally:
        hook.remove()
    return tokens / passes


def _complete(
    checkpoint: Checkpoint, prompts: list[str], max_tokens: int, **settings: Any
) -> tuple[list[str], int]:
    """The greedy completions, and the tokens of the longest one."""
    import torch

    tokenizer, target = checkpoint.tokenizer, checkpoint.target
    encoded = tokenizer(prompts, return_tensors="pt", padding=True).to(target.device)
    width = encoded["input_ids"].shape[1]

    def stopped(ids: Any, scores: Any, **named: Any) -> Any:
        # A draft brings several tokens at once, so the stop may lie some way back.
        texts = tokenizer.batch_decode(ids[:, max(width, ids.shape[1] - 2 * DRAFT_TOKENS - 4) :])
        return torch.tensor([STOP in text for text in texts], device=ids.device)

    with torch.inference_mode():
        output = target.generate(
            **encoded, max_new_tokens=max_tokens, do_sample=False, stopping_criteria=[stopped], **settings
        )
    texts = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
    return texts, int(output.shape[1]) - width
