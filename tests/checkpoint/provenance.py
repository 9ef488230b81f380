"""PROVENANCE.md of a checkpoint: written from what happened, with every file's SHA-256."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

from tests.checkpoint.recipe import Made


def write(made: Made, out: Path) -> str:
    """The text of PROVENANCE.md for the files under `out`."""
    recipe, learned, drafted = made.recipe, made.target, made.assistant
    shares = ", ".join(f"{share:.3f}" for share in drafted.accuracy)
    flag = " --hard" * recipe.hard + " --smoke" * recipe.smoke
    lines = [
        "# Where this checkpoint comes from",
        "",
        f"Made by `python -m tests.checkpoint OUT --seconds-target {recipe.seconds_target:g} "
        f"--seconds-assistant {recipe.seconds_assistant:g} --seed {recipe.seed}{flag}` on {made.device}, with "
        f"{', '.join(f'{name} {version}' for name, version in versions().items())}.",
        "",
        f"- Data: {recipe.problems:,} generated problems ({made.tokens:,} tokens); no question of a test file is "
        f"among them. Vocabulary: {made.vocabulary} tokens.",
        f"- Target: {learned.steps:,} steps of {recipe.batch} windows of {recipe.window} tokens, "
        f"{learned.tokens:,} tokens in {learned.seconds:.0f} s; loss {learned.first_loss:.3f} at first, "
        f"{learned.last_loss:.3f} at the end.",
        f"- Assistant: {drafted.steps:,} steps in {drafted.seconds:.0f} s; loss {drafted.first_loss:.3f} at "
        f"first, {drafted.last_loss:.3f} at the end; top-1 share by draft step {shares}.",
        "- Seconds: " + ", ".join(f"{phase} {seconds:.0f}" for phase, seconds in made.seconds.items()) + ".",
        "",
        "The budgets are wall clock, so another machine makes another checkpoint from the same seed.",
        "",
        f"| exam | accuracy ({recipe.exam} questions) | accept length ({recipe.drafted} questions, 5 drafts) |",
        "|---|---|---|",
        *(f"| {exam} | {made.accuracy[exam]:.3f} | {made.accept_length[exam]:.2f} |" for exam in made.accuracy),
        "",
        *table(out),
    ]
    return "\n".join(lines) + "\n"


def table(out: Path) -> list[str]:
    """The Markdown table of the files under `out` and their SHA-256, but for PROVENANCE.md itself."""
    files = sorted(f for f in out.rglob("*") if f.is_file() and f.name != "PROVENANCE.md")
    rows = (f"| {f.relative_to(out)} | `{hashlib.sha256(f.read_bytes()).hexdigest()}` |" for f in files)
    return ["| file | SHA-256 |", "|---|---|", *rows]


def versions() -> dict[str, str]:
    """What made it."""
    import tokenizers
    import torch
    import transformers

    return {
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
    }
