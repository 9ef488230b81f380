"""The checkpoint that ships: `embedded:` names to folders. Where it comes from: tiny-gemma4/PROVENANCE.md."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from cluster.errors import ExitCode, SweepError

PREFIX = "embedded:"
_HERE = Path(__file__).parent
_MODELS = {
    "tiny-gemma4": _HERE / "tiny-gemma4" / "target",
    "tiny-gemma4-assistant": _HERE / "tiny-gemma4" / "assistant",
}
_DATASETS = {
    "tiny-gemma4": _HERE / "tiny-gemma4" / "test.jsonl",
    "tiny-gemma4-hard": _HERE / "tiny-gemma4" / "test-hard.jsonl",
}


class UnknownEmbedded(SweepError):
    """An `embedded:` name that the package does not hold."""

    exit_code = ExitCode.BAD_INPUT


def resolve(name: str) -> str:
    """A model's folder for `embedded:` names; any other name unchanged. Raises UnknownEmbedded."""
    return str(_find(name, _MODELS, "model")) if name.startswith(PREFIX) else name


def embedded_dataset(name: str) -> Path:
    """The records that ship with a checkpoint, for an `embedded:` name. Raises UnknownEmbedded."""
    return _find(name, _DATASETS, "data set")


def _find(name: str, known: dict[str, Path], kind: str) -> Path:
    short = name.removeprefix(PREFIX)
    if short in known:
        return known[short]
    near = get_close_matches(short, known, n=1)
    hint = f"did you mean {PREFIX}{near[0]}?" if near else f"known: {', '.join(PREFIX + n for n in known)}"
    raise UnknownEmbedded(f"{name}: no such {kind} in the package; {hint}")
