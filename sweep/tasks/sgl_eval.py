"""The benchmarks of sgl-eval, which SGLang's CI moves to: its prompts, and its graders. https://pypi.org/project/sgl-eval

A question is one chat message, without worked examples. Mathematics is held right by math-verify, a choice by its
letter; both stand in the library's own functions, which are called as its runner calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from cluster.spec import Message
from sweep.errors import BadInput, first_line, suggestion
from sweep.plan.config import LIBRARY, ProtocolConfig
from sweep.plan.variants import Fault
from sweep.stats.metric import ACCURACY
from sweep.tasks.base import Record, Row, Score
from sweep.tasks.library import Placed, Rows, check_installed, versions

IN_WHEEL = ("aime24", "aime25", "aime26")
"""Those whose records the library's wheel holds."""
NAMES = (*IN_WHEEL, "gpqa", "gsm8k", "mmlu", "mmlu_pro")
REFUSED = {
    "mmmu_pro": "it asks about pictures, and prompts are text here",
    "mmmu_pro_vision": "it asks about pictures, and prompts are text here",
    "ruler2": "its scores are no right or wrong",
}
PACKAGES = ("sgl-eval", "math-verify", "latex2sympy2-extended")
"""Those whose versions decide what is right."""


def sgl_eval_task(name: str) -> SglEval:
    """The task that `protocol.task` names. Raises BadInput for one that there is not, or that cannot be asked."""
    benchmark = name.partition(":")[2]
    if benchmark in REFUSED:
        raise BadInput(f"{name}: {REFUSED[benchmark]}; known: {', '.join(NAMES)}")
    if benchmark not in NAMES:
        raise BadInput(f"{name}: sgl-eval has no such benchmark; {suggestion(benchmark, NAMES)}")
    return SglEval(name)


@dataclass(frozen=True)
class SglEval:
    """One benchmark of sgl-eval."""

    name: str
    """`sgl_eval:aime25`."""

    metric = ACCURACY
    columns = {"problem": str, "expected_answer": str}
    stop = ()

    @property
    def benchmark(self) -> str:
        """As the library calls it."""
        return self.name.partition(":")[2]

    @property
    def version(self) -> str:
        """The library's, which has the prompts, and those of the packages that grade."""
        return versions(*PACKAGES)

    @property
    def has_data(self) -> bool:
        """The three AIMEs are in the wheel; the others are downloaded by the library."""
        return self.benchmark in IN_WHEEL

    def faults(self, config: ProtocolConfig) -> Iterator[Fault]:
        """Worked examples are nothing that sgl-eval asks with."""
        check_installed(self.name, "sgl_eval", "sgl-eval")
        if config.shots:
            yield ("protocol", "shots"), "sgl-eval asks without worked examples; write `shots: 0`"

    def opened(self, config: ProtocolConfig, rows: Rows) -> tuple[SglEval, Iterable[Placed]]:
        """The library's own records, or those of a file or the hub."""
        placed = self._own() if config.dataset.path == LIBRARY else rows("test")
        return self, ((place, self._row(place, row)) for place, row in placed)

    def _own(self) -> list[Placed]:
        """Raises BadInput when the library cannot download them."""
        from datasets.exceptions import DatasetsError
        from httpx import HTTPError
        from sgl_eval.evals import _registry

        entry = next(entry for entry in _registry._TABLE if entry["name"] == self.benchmark)
        try:
            examples = _registry._build_loader(entry)(None)
        except (OSError, ValueError, HTTPError, DatasetsError) as error:
            raise BadInput(
                f"protocol.dataset: sgl-eval could not download the records of {self.benchmark}: "
                f"{first_line(error)}\nWithout the network, set "
                "protocol.dataset.path to a .jsonl file of {problem, expected_answer}, as sgl-eval keeps them in "
                f"~/.cache/sgl_eval/{self.benchmark} on a machine that has it"
            ) from None
        own = ({"problem": example.inputs["problem"], "expected_answer": example.target} for example in examples)
        return [(f"{self.benchmark}: record {index}", row) for index, row in enumerate(own)]

    def _row(self, place: str, row: object) -> object:
        """A row in the form that sgl-eval reads, whether it is or as the benchmark was published."""
        if not isinstance(row, Mapping):
            return row
        columns, convert = PUBLISHED.get(self.benchmark, ((), dict))
        if "expected_answer" not in row and columns and all(column in row for column in columns):
            try:
                row = convert(row)
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                raise BadInput(
                    f"{place}: sgl-eval cannot read it as a record of {self.benchmark}: {error}"
                ) from None
        answer = row.get("expected_answer")
        # The library too grades its text.
        number = isinstance(answer, int | float) and not isinstance(answer, bool)
        return {**row, "expected_answer": str(answer)} if number else row

    def record(self, row: Row, record_id: str) -> Record:
        """The right answer is a text, for the grader to understand."""
        return Record(id=record_id, question=row["problem"], gold=row["expected_answer"], row=row)

    def prompt(self, record: Record, shots: Sequence[Record]) -> tuple[Message, ...]:
        """The library's prompt as its runner sends it."""
        asked = _runner(self.benchmark).ask(_example(record), 0)
        return tuple(Message(role=message["role"], content=message["content"]) for message in asked)

    def score(self, record: Record, output: str) -> Score:
        """The library's verdict, and the answer that it read: maybe another text for the same as `Record.gold`."""
        from sgl_eval.types import Sample

        score, answer = _runner(self.benchmark).judge(_example(record), Sample(text=output))
        return Score(answer=answer, correct=score == 1.0)

    def clusters(self, records: Sequence[Record]) -> None:
        """None: what questions share is not in the columns."""

    def reference(self, record: Record) -> str:
        """The answer in a box, which every grader of the library reads."""
        return f"The answer is $\\boxed{{{record.gold}}}$."


def _published_gsm8k(row: Row) -> Row:
    """A row of openai/gsm8k, by the steps of the library's `dataset/gsm8k/prepare.py`, which reads whole files."""
    from sgl_eval._vendored.nemo_skills.dataset.gsm8k.prepare import fixes

    value = float(row["answer"].split("####")[1].replace(",", ""))
    answer = fixes.get(row["question"], int(value) if value.is_integer() else value)
    return {"problem": row["question"], "expected_answer": answer}


def _published_mmlu(row: Row) -> Row:
    """A row of cais/mmlu, where the answer is the place of a choice."""
    from sgl_eval._vendored.nemo_skills.dataset._utils import get_mcq_fields

    return {**get_mcq_fields(row["question"], row["choices"]), "expected_answer": "ABCD"[row["answer"]]}


def _published_mmlu_pro(row: Row) -> Row:
    """A row of TIGER-Lab/MMLU-Pro."""
    from sgl_eval._vendored.nemo_skills.dataset.mmlu_pro.prepare import format_entry

    formatted: Row = format_entry(row)
    return formatted


def _published_aime(row: Row) -> Row:
    """A row of math-ai/aime25 and its like on the hub."""
    return {"problem": row["problem"], "expected_answer": row["answer"]}


PUBLISHED: dict[str, tuple[tuple[str, ...], Callable[[Row], Row]]] = {
    **dict.fromkeys(IN_WHEEL, (("problem", "answer"), _published_aime)),
    "gsm8k": (("question", "answer"), _published_gsm8k),
    "mmlu": (("question", "choices", "answer"), _published_mmlu),
    "mmlu_pro": (("question", "options", "answer", "category"), _published_mmlu_pro),
}
"""Benchmark to the columns of its published form, and what makes the library's form of a row."""


@dataclass(frozen=True)
class _Runner:
    """The library's own functions for a benchmark, as its runner puts them together."""

    ask: Callable[[Any, int], Any]
    """(example, repeat) to the messages."""
    judge: Callable[[Any, Any], tuple[float, str | None]]
    """(example, sample) to (score, answer)."""


def _example(record: Record) -> Any:
    from sgl_eval.types import Example

    return Example(id=record.id, inputs={"problem": record.question}, target=record.gold)


@cache
def _runner(benchmark: str) -> _Runner:
    """Raises BadInput without the library."""
    check_installed(f"sgl_eval:{benchmark}", "sgl_eval", "sgl-eval")
    from sgl_eval._vendored.nemo_skills.evaluator.math import MathEvaluator
    from sgl_eval.evals import _math, _multichoice, _registry
    from sgl_eval.evals._prompts import resolve_prompt
    from sgl_eval.types import GenConfig

    kind, prompt = _registry._resolve_upstream_metadata(benchmark)
    module = _math if kind == "math" else _multichoice
    judge = _math.make_score_one_fn(MathEvaluator({})) if kind == "math" else _multichoice.make_score_one_fn()
    # In the place of the sampler: what would be sent is what is wanted.
    ask = module.make_sample_fn(lambda messages, gen: messages, GenConfig(), resolve_prompt(prompt))
    return _Runner(ask=ask, judge=judge)
