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
from sweep.stats.metric import ACCURACY, Metric
from sweep.tasks.library import versions

RIGHT_OR_WRONG = (
    *("exact_match", "acc", "accuracy", "em", "math_verify"),
    *("prompt_level_strict_acc", "prompt_level_loose_acc"),
)
"""The metrics that are 0 or 1 for an output, and whose mean is the score."""
FRACTIONS = {("coqa", "em")}
"""Task and metric that is a fraction for an output, in spite of its name: a mean over several right answers."""

NAME = re.compile(rb"^task:\s*[\"']?([\w.+-]+)", re.MULTILINE)
"""Where a file has the name of its task."""


@dataclass(frozen=True, kw_only=True)
class ScoredBy:
    """What turns an output into right or wrong, or into a number."""

    metric: str
    """One of the task's metrics."""
    filter: str
    """One of its filters, which take the answer out of an output."""
    scale: Metric
    """What the metric measures: right answers, or values, whose range lm-eval does not say."""


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
        return {_called(each["metric"]): each.get("aggregation") for each in self._listed}

    @property
    def _listed(self) -> list[Mapping[str, Any]]:
        return self.settings.get("metric_list") or [{"metric": "exact_match"}]

    @property
    def filters(self) -> list[str]:
        """In the file's order; lm-eval calls it `none` where there is no filter."""
        return [each["name"] for each in self.settings.get("filter_list") or ({"name": "none"},)]

    def scored_by(self, wanted: str | None) -> ScoredBy | None:
        """`wanted` is METRIC,FILTER, or None for the first metric of right and wrong, or of values where there is
        none, and the first filter; None where that scores no single output."""
        usable = sorted(filter(self._is_usable, self.metrics), key=self._is_binary, reverse=True)
        metric, _, named = (wanted or f"{next(iter(usable), None)},{self.filters[0]}").partition(",")
        if metric not in usable or named not in self.filters:
            return None
        return ScoredBy(metric=metric, filter=named, scale=self._scale(metric))

    def _is_binary(self, metric: str) -> bool:
        made = self.metrics.get(metric, "")
        return metric in RIGHT_OR_WRONG and made in (None, "mean") and (self.name, metric) not in FRACTIONS

    def _is_usable(self, metric: str) -> bool:
        """An output has a value by it, and the score is their mean."""
        return self._is_binary(metric) or self.metrics.get(metric) == "mean"

    def _scale(self, metric: str) -> Metric:
        if self._is_binary(metric):
            return ACCURACY
        (own,) = (each for each in self._listed if _called(each["metric"]) == metric)
        return Metric.within(metric, None, higher_is_better=own.get("higher_is_better", True) is not False)

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
        usable = [metric for metric in self.metrics if self._is_usable(metric)]
        if not usable:
            return (
                f"lm-eval makes its {', '.join(self.metrics)} of all outputs of a run at once, so that no output "
                f"has a score; {OTHER}"
            )
        ways = [f"{metric},{each}" for metric in usable for each in self.filters]
        return f"it has no {wanted} that scores an output; write {' or '.join(ways)} after the task's name"

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


OTHER = "name a task that generates text and scores every output, such as gsm8k"


def _called(metric: str) -> str:
    """As lm-eval calls a metric; that of a function, whose file is named before it, as the function."""
    return metric.rpartition(".")[2] if "/" in metric else metric


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
