"""What decides a checkpoint, and what happened when one was made."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.checkpoint.schedule import STEP_LIMIT, Trained


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides a checkpoint but the machine it is made on."""

    seconds_target: float = 230.0
    """Budget of the target's training."""
    seconds_assistant: float = 110.0
    """Budget of the assistant's training."""
    steps: int = STEP_LIMIT
    """Most optimizer steps of either training."""
    seed: int = 0
    """Of the data, the weights and the windows."""
    problems: int = 400_000
    """Training problems."""
    vocabulary_problems: int = 40_000
    """Of the training problems, how many the tokenizer is trained on."""
    batch: int = 128
    """Windows in a step."""
    window: int = 768
    """Tokens in a window, BOS included: about a 5-shot prompt."""
    tests: int = 1319
    """Records in a test file, as many as GSM8K has."""
    exam: int = 200
    """Questions asked for an accuracy."""
    drafted: int = 4
    """Questions decoded one by one for an accept length."""
    max_tokens: int = 256
    """Most tokens of an exam's answer."""
    hard: bool = False
    """Also write test-hard.jsonl."""
    smoke: bool = False
    """This is the recipe that only tries the script."""


SMOKE = Recipe(
    seconds_target=15,
    seconds_assistant=6,
    problems=2000,
    vocabulary_problems=2000,
    batch=2,
    window=128,
    tests=40,
    exam=4,
    drafted=1,
    max_tokens=16,
    smoke=True,
)
"""Every path on a CPU within a minute. The checkpoint can do nothing."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What happened."""

    recipe: Recipe
    """As asked for."""
    device: str
    """The GPU's name, or `cpu`."""
    tokens: int
    """Tokens of the training stream."""
    vocabulary: int
    """Tokens that the tokenizer knows."""
    target: Trained
    """The target's training."""
    assistant: Trained
    """The assistant's training."""
    accuracy: dict[str, float]
    """Exam to share of right answers."""
    accept_length: dict[str, float]
    """Exam to tokens per verification pass."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Phase to wall clock."""
