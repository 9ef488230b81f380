"""A checkpoint from nothing: data, tokenizer, target, assistant, evaluation, provenance."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.errors import ExitCode, SweepError
from tests.checkpoint import assistant, evaluate, problems, provenance, target, tokenizer
from tests.checkpoint.corpus import Corpus, build
from tests.checkpoint.problems import Problem
from tests.checkpoint.recipe import Made, Recipe
from tests.checkpoint.schedule import Budget, Loop, Trained

SHOTS = 5


class CannotTrain(SweepError):
    """The output folder or the device cannot be used."""

    exit_code = ExitCode.BAD_INPUT


def make(recipe: Recipe, out: Path, device_name: str, say: Callable[[str], None]) -> Made:
    """Write OUT/target, OUT/assistant, the test files and PROVENANCE.md. Raises CannotTrain."""
    device = _device(device_name)
    if out.exists() and any(out.iterdir()):
        raise CannotTrain(f"{out}: is there and not empty; name a new folder, since nothing is overwritten")
    out.mkdir(parents=True, exist_ok=True)
    watch = _Watch(say)
    tests = _tests(recipe, out)
    watch.end("test files")
    words = tokenizer.train(
        p.text for p in problems.training_problems(f"{recipe.seed}:vocabulary", recipe.vocabulary_problems)
    )
    corpus = build(words.to_str(), recipe.seed, recipe.problems, os.cpu_count() or 1)
    watch.end("training problems")
    learned = _target(recipe, out, corpus, device, say)
    watch.end("target")
    drafted = _assistant(recipe, out, corpus, device, say)
    watch.end("assistant")
    for folder in ("target", "assistant"):
        tokenizer.save(words, out / folder)
    exams = _exams(recipe, tests)
    checkpoint = evaluate.load(out, device)
    accuracy = {exam.name: evaluate.accuracy(checkpoint, exam) for exam in exams}
    accept = {exam.name: evaluate.accept_length(checkpoint, exam, recipe.drafted) for exam in exams}
    watch.end("evaluation")
    made = Made(
        recipe=recipe,
        device=_named(device),
        tokens=len(corpus.ids),
        vocabulary=words.get_vocab_size(),
        target=learned,
        assistant=drafted,
        accuracy=accuracy,
        accept_length=accept,
        seconds=watch.seconds,
    )
    (out / "PROVENANCE.md").write_text(provenance.write(made, out))
    return made


class _Watch:
    """How long each phase took."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._since = say, time.monotonic()
        self.seconds: dict[str, float] = {}

    def end(self, phase: str) -> None:
        now = time.monotonic()
        self.seconds[phase], self._since = now - self._since, now
        self._say(f"{phase}: {self.seconds[phase]:.1f} s")


def _device(name: str) -> Any:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise CannotTrain("--device cuda: torch sees no GPU here; use --device cpu --smoke to try the script")
    return torch.device(name)


def _named(device: Any) -> str:
    import torch

    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else "cpu"


def _tests(recipe: Recipe, out: Path) -> dict[str, list[Problem]]:
    """The test files, written: name to records."""
    easy = problems.held_out_problems(f"{recipe.seed}:test", recipe.tests)
    files = {"test.jsonl": easy}
    if recipe.hard:
        seed = f"{recipe.seed}:hard"
        files["test-hard.jsonl"] = problems.hard_problems(seed, recipe.tests, easy[:SHOTS])
    for name, records in files.items():
        rows = ({"question": p.question, "answer": p.answer} for p in records)
        (out / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files


def _loop(name: str, recipe: Recipe, seconds: float, say: Callable[[str], None]) -> Loop:
    return Loop(
        name=name,
        budget=Budget(seconds=seconds, steps=recipe.steps),
        tokens_per_step=recipe.batch * recipe.window,
        peak=target.PEAK,
        clock=time.monotonic,
        say=say,
    )


def _target(recipe: Recipe, out: Path, corpus: Corpus, device: Any, say: Callable[[str], None]) -> Trained:
    import torch

    torch.manual_seed(recipe.seed)
    model = target.create().to(device)
    # One token more than the model sees: each is an input and a label.
    windows = target.Windows(corpus, (recipe.batch, recipe.window + 1), device, recipe.seed)
    trained = target.train(model, windows, _loop("target", recipe, recipe.seconds_target, say))
    target.save(model, out / "target")
    return trained


def _assistant(recipe: Recipe, out: Path, corpus: Corpus, device: Any, say: Callable[[str], None]) -> Trained:
    import torch
    from transformers import Gemma4ForCausalLM

    # The weights as they ship, rounding included: their keys and states are what the draft will see.
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    frozen = Gemma4ForCausalLM.from_pretrained(out / "target", dtype=dtype).eval().to(device)
    model = assistant.create(frozen.config.hidden_size).to(device)
    windows = target.Windows(corpus, (recipe.batch, recipe.window), device, recipe.seed + 1)
    loop = _loop("assistant", recipe, recipe.seconds_assistant, say)
    trained = assistant.train(model, frozen, windows, loop)
    target.save(model, out / "assistant")
    return trained


def _exams(recipe: Recipe, tests: dict[str, list[Problem]]) -> list[evaluate.Exam]:
    return [
        evaluate.Exam(
            name=f"{name}, {shots} shots",
            shots=records[:shots],
            questions=records[SHOTS : SHOTS + recipe.exam],
            max_tokens=recipe.max_tokens,
        )
        for name, records in tests.items()
        for shots in (0, SHOTS)
    ]
