"""What lm-eval's file of a task says, before its data are read: whether it can be asked and scored here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from sweep.errors import BadInput
from sweep.plan.config import DatasetConfig, is_embedded, is_local
from sweep.tasks.library import versions

RIGHT_OR_WRONG = (
    *("exact_match", "acc", "accuracy", "em", "math_verify"),
    *("prompt_level_strict_acc", "prompt_level_loose_acc"),
)
"""The metrics that are 0 or 1 for an output, and whose mean is the score."""

NAME = re.compile(rb"^task:\s*[\"']?([\w.+-]+)", re.MULTILINE)
"""Where a file has the name of its task."""


@dataclass(frozen=True, kw_only=True)
class ScoredBy:
    """What turns an output into right or wrong."""

    metric: str
    """One of the task's metrics."""
    filter: str
    """One of its filters, which take the answer out of an output."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A task's file, what it includes merged into it, and functions as the texts that name them."""

    name: str
    """As lm-eval calls it."""
    file: Path
    """The YAML."""
    settings: Mapping[str, Any]
    """By lm-eval's own names."""

    @property
    def metrics(self) -> dict[str, object]:
        """Metric to what makes a score of its values; None for lm-eval's usual one."""
        listed = self.settings.get("metric_list") or [{"metric": "exact_match"}]
        return {str(each["metric"]): each.get("aggregation") for each in listed}

    @property
    def filters(self) -> list[str]:
        """In the file's order; lm-eval calls it `none` where there is no filter."""
        return [each["name"] for each in self.settings.get("filter_list") or ({"name": "none"},)]

    def scored_by(self, wanted: str | None) -> ScoredBy | None:
        """`wanted` is METRIC,FILTER, or None for the first of both; None where that gives no right or wrong."""
        first = next((metric for metric in self.metrics if self._is_binary(metric)), None)
        metric, _, named = (wanted or f"{first},{self.filters[0]}").partition(",")
        return ScoredBy(metric=metric, filter=named) if self._is_binary(metric) and named in self.filters else None

    def _is_binary(self, metric: str) -> bool:
        return metric in RIGHT_OR_WRONG and self.metrics.get(metric, "") in (None, "mean")

    def refusal(self, wanted: str | None) -> str | None:
        """Why it cannot be asked or scored here; None when it can."""
        kind = self.settings.get("output_type", "generate_until")
        if "class" in self.settings:
            return "it is a program of lm-eval's and no description; name a task that has a YAML file"
        if kind != "generate_until":
            return f"it compares probabilities of given texts ({kind}), which engines here do not give; {OTHER}"
        if self.settings.get("unsafe_code"):
            return f"it runs the code that the model wrote, which is not done here; {OTHER}"
        if self.settings.get("doc_to_image") or self.settings.get("doc_to_audio"):
            return "it asks about pictures or sounds, and prompts are text here"
        if (repeats := self.settings.get("repeats", 1)) > 1:
            return f"it makes one answer of {repeats} outputs to a question, and an output is scored alone here"
        if self.scored_by(wanted) is None:
            return self._no_verdict(wanted)
        return None

    def _no_verdict(self, wanted: str | None) -> str:
        binary = [metric for metric in self.metrics if self._is_binary(metric)]
        if not binary:
            return f"its metric {', '.join(self.metrics)} is not right or wrong for an output; {OTHER}"
        ways = [f"{metric},{each}" for metric in binary for each in self.filters]
        return f"it has no {wanted} that is right or wrong; write {' or '.join(ways)} after the task's name"

    @property
    def asked_split(self) -> str:
        """The split whose documents are asked."""
        return str(self.settings.get("test_split") or self.settings.get("validation_split"))

    @property
    def shots_split(self) -> str | None:
        """The split that worked examples are drawn from; None where the file has its own."""
        written = self.settings.get("fewshot_config") or {}
        if split := written.get("split") or self.settings.get("fewshot_split"):
            return str(split)
        if written.get("samples") is not None:
            return None
        return str(self.settings.get("training_split") or self.settings.get("validation_split") or self.asked_split)

    @property
    def splits(self) -> set[str]:
        """All that it names."""
        names = [self.settings.get(f"{kind}_split") for kind in ("training", "validation", "test", "fewshot")]
        return {str(name) for name in (*names, self.shots_split) if name}

    def lacks_shots(self, dataset: DatasetConfig) -> str | None:
        """Why the worked examples have no source; None when they have one."""
        files = is_local(dataset.path) or is_embedded(dataset.path)
        if self.shots_split in (None, self.asked_split) or dataset.train_path or not files:
            return None
        return (
            f"lm-eval draws the worked examples of {self.name} from the {self.shots_split} split; name its file in "
            "protocol.dataset.train_path, or write `shots: 0`"
        )


OTHER = "name a task that generates text and is scored right or wrong, such as gsm8k"


def parsed(name: str) -> tuple[str, str | None]:
    """`lm_eval:NAME` or `lm_eval:NAME:METRIC,FILTER` as NAME and METRIC,FILTER."""
    _, _, rest = name.partition(":")
    task, colon, scored_by = rest.partition(":")
    return task, scored_by if colon else None


@cache
def find(name: str) -> Written:
    """The task's file. Raises BadInput when lm-eval has no task of that name.

    lm-eval's own index parses all of its 14,000 files, for 7 s; here only those are that hold the name.
    """
    from lm_eval.tasks._yaml_loader import load_yaml

    for file in _files():
        if name.encode() in file.read_bytes():
            settings = load_yaml(file, resolve_func=False)
            if settings.get("group") == name:
                raise BadInput(
                    f"lm_eval:{name}: a group of tasks, and a sweep asks one; `lm-eval ls subtasks` lists them"
                )
            if settings.get("task") == name:
                return Written(name=name, file=file, settings=settings)
    names = [match[1].decode() for file in _files() if (match := NAME.search(file.read_bytes()))]
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    remedy = f"did you mean {near[0]}?" if near else "`lm-eval ls subtasks` lists those it has"
    raise BadInput(f"lm_eval:{name}: {versions('lm-eval')} has no such task; {remedy}")


def _files() -> list[Path]:
    from lm_eval import tasks

    return sorted(Path(tasks.__file__).parent.rglob("*.yaml"))
