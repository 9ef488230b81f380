"""What `sweep init` is answered, and the sweep file that comes of it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.backends import BACKENDS, backend
from sweep.bounds import LONGEST_NAME
from sweep.errors import BadInput, suggestion
from sweep.plan.config import LIBRARY
from sweep.tasks import TASKS, task
from sweep.tasks.base import is_unanswered
from sweep.tasks.library import LibraryTask

Ask = Callable[[str, str], str]
"""A question and its default, to the answer."""
NONE = "none"
EMBEDDED = "embedded:tiny-gemma4"
GSM8K = "openai/gsm8k"
RESERVED = ("null", "true", "false", "yes", "no", "on", "off")
"""Plain words that some reader of YAML takes for something else."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What decides a sweep file."""

    backend: str
    """One of BACKENDS."""
    model: str
    draft: str | None
    """The draft model of a second variant; None for no such variant."""
    gpus: float
    """That an engine owns."""
    task: str
    """One of TASKS, or LIBRARY:NAME."""
    dataset: str
    questions: int
    repetitions: int
    mlflow: str | None
    """The tracking URI; None turns MLflow off."""

    def text(self, stem: str) -> str:
        """The sweep file, with a comment on what one would change; its name is made of the file's."""
        name = re.sub(r"[^A-Za-z0-9._=+-]", "-", stem).lstrip("._=+-")[:LONGEST_NAME] or "sweep"
        usual = backend(self.backend).usual
        lines = [
            "# `sweep plan` shows what will run, `sweep doctor` whether it can, and `sweep launch` runs it.",
            f"name: {_value(name)}",
            "engine:",
            f"  backend: {self.backend}",
            f"  model: {_value(self.model)}",
            *([f"  draft_model: {_value(self.draft)}"] if self.draft else []),
            f"  gpus: {self.gpus:g}                # of one engine; 0 is a CPU",
            "  engines: auto          # as many as the cluster has room for, or a number",
            f"  arguments: {json.dumps(dict(usual.arguments(self.gpus)))}   # the backend's own, of every variant",
            *self._variants(),
            "protocol:",
            f"  task: {_value(self.task)}",
            *(["  gold: {variant: baseline}   # whose outputs are right"] if self._unanswered else []),
            f"  dataset: {json.dumps(self._dataset())}",
            f"  shots: {self._shots}               # worked examples before each question",
            f"  questions: {self.questions}          # more of them catch smaller drops",
            f"  max_tokens: {self._max_tokens}",
            f"  concurrency: {128 if usual.large else 16}        # requests in flight at once",
            f"repetitions: {self.repetitions}          # of each variant; `sweep power` says how many a gate needs",
            "threshold: {rule: false_alarm, alpha: 0.01}   # of healthy builds, at most 1 % fail",
            "# perturb: {concurrency: [1]}   # other conditions too, where repetitions are identical",
            f"tracking: {{uri: {_value(self.mlflow)}}}   # MLflow; null turns it off",
        ]
        return "\n".join(lines) + "\n"

    @property
    def _of_library(self) -> bool:
        return isinstance(task(self.task), LibraryTask)

    @property
    def _unanswered(self) -> bool:
        return is_unanswered(task(self.task))

    @property
    def _shots(self) -> int:
        return 0 if self._of_library or self._unanswered else 5

    @property
    def _max_tokens(self) -> int:
        """The problems of the package are short, and whoever answers a chat says more than a number."""
        return 200 if self.dataset == EMBEDDED else 4096 if self._of_library else 512

    def _dataset(self) -> dict[str, str]:
        return {"path": self.dataset} | ({"config": "main"} if self.dataset == GSM8K else {})

    def _variants(self) -> list[str]:
        """The model alone, and with its draft where there is one."""
        lines = ["variants:                # each is measured `repetitions` times", "  baseline: {}"]
        if self.draft is None:
            return lines
        arguments = dict(backend(self.backend).usual.draft_arguments)
        return [*lines, f"  draft: {{draft: true, arguments: {json.dumps(arguments)}}}   # must reproduce baseline"]


def answered(given: Mapping[str, Any], ask: Ask | None) -> Answers:
    """The options, what is asked where one is absent, and defaults where nobody can be asked.

    Raises BadInput for a backend, a task or a number that cannot be.
    """

    def answer(key: str, question: str, default: object) -> str:
        if given[key] is not None:
            return str(given[key])
        return ask(question, str(default)) if ask else str(default)

    first = next(iter(BACKENDS))
    chosen = _known(answer("backend", f"Backend ({', '.join(BACKENDS)})", first), BACKENDS, "--backend")
    usual = backend(chosen).usual
    model = answer("model", "Model", usual.model)
    draft = answer("draft", "Draft model, or none", (model == usual.model and usual.draft_model) or NONE)
    benchmark = answer("task", f"Benchmark ({', '.join(TASKS)}, or LIBRARY:NAME)", "gsm8k")
    data = answer("dataset", "Data set (a hub id or a file)", _usual_data(benchmark, usual.large))
    if data == NONE:
        raise BadInput(f"--dataset: {benchmark} has no usual one; name a hub id, or a .jsonl or .parquet file")
    return Answers(
        backend=chosen,
        model=model,
        draft=None if draft == NONE else draft,
        gpus=_number(answer("gpus", "GPUs of an engine (0: a CPU)", f"{usual.gpus:g}"), "--gpus"),
        task=benchmark,
        dataset=data,
        questions=int(
            _number(answer("questions", "Questions", _usual_questions(data, usual.large)), "--questions")
        ),
        repetitions=int(_number(answer("repetitions", "Repetitions", 20 if usual.large else 5), "--repetitions")),
        mlflow=None if (uri := answer("mlflow", "MLflow URI, or none", "sqlite:///mlflow.db")) == NONE else uri,
    )


def _usual_data(benchmark: str, large: bool) -> str:
    """NONE where it has none. Raises BadInput for a benchmark that there is not."""
    try:
        library = isinstance(task(benchmark), LibraryTask)
    except BadInput as error:
        raise BadInput(f"--task {benchmark}: {error.message}") from None
    if library:
        return LIBRARY
    return (GSM8K if large else EMBEDDED) if benchmark == "gsm8k" else NONE


def _usual_questions(data: str, large: bool) -> int:
    """As many as an AIME has where the library may bring one."""
    return 30 if data == LIBRARY else 200 if large else 40


def _known(name: str, names: Mapping[str, Any], option: str) -> str:
    if name not in names:
        raise BadInput(f"{option} {name}: unknown; {suggestion(name, names)}")
    return name


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"{option} {text}: no number") from None


def _value(text: str | None) -> str:
    """As YAML has it: quoted as JSON is, where it would not be read as this text."""
    if text is None or text in RESERVED or not re.fullmatch(r"[A-Za-z][A-Za-z0-9._/-]*", text):
        return json.dumps(text)
    return text
