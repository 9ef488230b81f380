"""A task of lm-eval as a benchmark of ours."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sweep.errors import BadInput
from sweep.plan.config import LIBRARY, ProtocolConfig
from sweep.plan.variants import Fault
from sweep.stats.metric import ACCURACY, Metric
from sweep.tasks.base import Record, Row, Score
from sweep.tasks.library import Placed, Rows, check_installed, versions
from sweep.tasks.lm_eval.opened import Opened, open_task
from sweep.tasks.lm_eval.written import find, parsed

LIKELY = (
    "{}",
    "The answer is {}.",
    "The answer is ({}).",
    "So the answer is {}.",
    "#### {}",
    "\\boxed{{{}}}",
    "[[{}]]",
)
"""Outputs that may say the right answer in the form that a task looks for."""


def lm_eval_task(name: str) -> LmEval:
    """The task that `protocol.task` names; whether lm-eval has it shows when it is used."""
    return LmEval(name)


@dataclass(frozen=True)
class LmEval:
    """One task of lm-eval. What depends on its data is known once it is opened."""

    name: str
    """`lm_eval:gsm8k`, or with `:METRIC,FILTER`."""
    opened_as: Opened | None = None
    """The library's task with its data; None until then."""

    columns = {"doc": dict}
    has_data = False

    @property
    def metric(self) -> Metric:
        """What it is scored by: right answers, or the values of lm-eval's metric.

        A run folder that is read where the library is not installed says itself what else than accuracy it is of.
        """
        if self.opened_as is not None:
            return self.opened_as.scored_by.scale
        if importlib.util.find_spec("lm_eval") is None:
            return ACCURACY
        name, wanted = parsed(self.name)
        scored_by = find(name).scored_by(wanted)
        return scored_by.scale if scored_by else ACCURACY

    @property
    def version(self) -> str:
        """The library's, which has the task's file, and that file's own."""
        return f"{versions('lm-eval')}, task version {self._own.version}"

    @property
    def stop(self) -> tuple[str, ...]:
        """The task's `until`."""
        return self._own.until

    @property
    def _own(self) -> Opened:
        if self.opened_as is None:
            raise BadInput(
                f"{self.name} scores by its data set, which a run folder does not keep: without SHA256SUMS its "
                "samples cannot be checked; take that file from a copy of the run folder"
            )
        return self.opened_as

    def faults(self, config: ProtocolConfig) -> Iterator[Fault]:
        """A task that cannot be asked or scored here, and worked examples that it does not have."""
        check_installed(self.name, "lm_eval", "lm-eval")
        written = find(parsed(self.name)[0])
        if reason := written.refusal(parsed(self.name)[1]):
            yield ("protocol", "task"), f"{self.name}: {reason}"
        elif config.shots and written.settings.get("num_fewshot") == 0:
            yield ("protocol", "shots"), f"lm-eval asks {written.name} without worked examples; write `shots: 0`"
        elif config.shots and config.shots_from != LIBRARY:
            remedy = f"write `shots_from: {LIBRARY}`, or `shots: 0`"
            yield ("protocol", "shots_from"), f"lm-eval draws worked examples by a rule of its own; {remedy}"
        elif config.shots and (reason := written.lacks_shots(config.dataset)):
            yield ("protocol", "dataset"), reason

    def opened(self, config: ProtocolConfig, rows: Rows) -> tuple[LmEval, Iterable[Placed]]:
        """The task with its data: the library's own, those of a file, or those of another place on the hub."""
        name, scored_by = parsed(self.name)
        opened = open_task(find(name), scored_by, config, rows)
        placed = ((f"{self.name}: record {index}", {"doc": doc}) for index, doc in enumerate(opened.docs))
        return replace(self, opened_as=opened), placed

    def record(self, row: Row, record_id: str) -> Record:
        """The question and the answer as the task makes them of a document, and the prompt of one that is asked."""
        prompts, doc = self._own.prompts, row["doc"]
        asked = {"prompt": prompts[record_id]} if record_id in prompts else {}
        question, gold = self._own.texts(doc)
        return Record(id=record_id, question=question, gold=gold, row={"doc": doc, **asked})

    def prompt(self, record: Record, shots: Sequence[Record]) -> str:
        """The library's, with the worked examples that it drew; `shots` are none."""
        prompt: str = record.row["prompt"]
        return prompt

    def score(self, record: Record, output: str) -> Score:
        """The metric's verdict, and what the filter left of the output: the answer, or all where it finds none."""
        answer, worth = self._own.judge(record.row["doc"], output)
        # Of values lm-eval says no range, so that none is the best there is.
        counts = self._own.scored_by.scale.counts
        return Score(answer=answer, correct=counts and worth == 1, value=None if counts else worth)

    def clusters(self, records: Sequence[Record]) -> None:
        """None: what questions share is not known of every task."""

    def reference(self, record: Record) -> str:
        """The target in the first of the likely forms that the task holds right; of values, in the best one.

        Raises BadInput where none is right."""
        outputs = [form.format(record.gold) for form in LIKELY]
        if not self.metric.counts:
            sign = 1 if self.metric.higher_is_better else -1
            return max(outputs, key=lambda output: sign * (self.score(record, output).value or 0.0))
        for output in outputs:
            if self.score(record, output).correct:
                return output
        raise BadInput(
            f"{self.name}: {record.id}: no output is known that the task holds right, so the simulated engine "
            "cannot answer it; take a backend with a model"
        )
