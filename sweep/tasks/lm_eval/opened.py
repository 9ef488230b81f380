"""A task of lm-eval with its data: the library's own object, and what is asked of it."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from sweep.errors import BadInput, first_line
from sweep.plan.config import LIBRARY, DatasetConfig, ProtocolConfig, is_embedded, is_local
from sweep.tasks.library import Placed, Rows
from sweep.tasks.lm_eval.written import ScoredBy, Written

INVALID = "[invalid]"
"""What lm-eval's filters give for an output in which they find no answer."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The library's task, its documents, and the prompts of those that are asked."""

    task: Any
    """lm-eval's ConfigurableTask."""
    scored_by: ScoredBy
    """What makes right or wrong of an output, or a number."""
    docs: Sequence[Mapping[str, Any]]
    """Of the split that is asked, in order."""
    prompts: Mapping[str, str]
    """Record id to prompt."""

    @property
    def version(self) -> str:
        """Of the task's file."""
        return str(self.task.VERSION)

    @property
    def until(self) -> tuple[str, ...]:
        """What ends an output."""
        until = self.task.config.generation_kwargs.get("until") or ()
        return tuple(text for text in ([until] if isinstance(until, str) else until) if text)

    def texts(self, doc: Mapping[str, Any]) -> tuple[str, str]:
        """A document's question, and its right answer: the first where the task accepts several.

        Raises ValueError for one that has none.
        """
        target = self.task.doc_to_target(doc)
        if self.task.config.doc_to_choice is not None and isinstance(target, int):
            target = self.task.doc_to_choice(doc)[target]
        first = target[0] if isinstance(target, list) and target else target
        # A template writes a column that the record has not as a word.
        if first in (None, "", []) or (first == "None" and None in doc.values()):
            raise ValueError("the task makes no right answer of it")
        return str(self.task.doc_to_text(doc)), str(first)

    def judge(self, doc: Mapping[str, Any], output: str) -> tuple[str | None, float]:
        """The answer in an output, None when there is none, and what it is worth: as lm-eval's `evaluate` does.

        Raises BadInput when a metric of right and wrong gives something between them, and one of values no number.
        """
        from lm_eval.api.instance import Instance

        name, metric = self.task.config.task, self.scored_by.metric
        asked = Instance("generate_until", dict(doc), ("", {}), 0, (name, 0, 1), [output])
        next(each for each in self.task._filters if each.name == self.scored_by.filter).apply([asked])
        filtered = asked.filtered_resps[self.scored_by.filter]
        value = self.task.process_results(dict(doc), [filtered])[metric]
        scale = self.scored_by.scale
        if not isinstance(value, int | float) or (value not in (0, 1) if scale.counts else scale.fault_of(value)):
            wanted = "right or wrong (1 or 0)" if scale.counts else "a number"
            raise BadInput(f"lm_eval:{name}: {metric} is {value} for an output, where {wanted} was expected")
        answer = filtered if isinstance(filtered, str) else " ".join(map(str, filtered))
        return answer if value or answer.strip() not in ("", INVALID) else None, float(value)


def open_task(written: Written, wanted: str | None, config: ProtocolConfig, rows: Rows) -> Opened:
    """Read the data and make the prompts. Raises BadInput when the library cannot."""
    scored_by = written.scored_by(wanted)
    assert scored_by is not None, "its faults were looked at"
    assert config.shots is not None, "it is no imported run"
    overrides = {"num_fewshot": config.shots, **_data(written, config.dataset, rows)}
    with _as_lm_eval_begins(), _refusing(written, config.dataset):
        task = _built(written, overrides)
        # In one order of columns, whatever the file's.
        docs = [dict(sorted(doc.items())) for _, doc in task.doc_iterator()]
        asked = docs if config.questions == "all" else docs[: config.questions]
        prompts = {f"test-{n}": _prompt(task, doc, config.shots) for n, doc in enumerate(asked)}
        json.dumps(docs)
    return Opened(task=task, scored_by=scored_by, docs=docs, prompts=prompts)


def _built(written: Written, overrides: Mapping[str, Any]) -> Any:
    from lm_eval.defaults import DEFAULT_OTHER_SEED
    from lm_eval.tasks._factory import TaskFactory
    from lm_eval.tasks._index import TaskIndex
    from lm_eval.tasks._yaml_loader import load_yaml

    # What is drawn at random here is drawn once, as with the files that the library itself reads and keeps.
    made = load_yaml(written.file).get("process_docs")
    once = {"process_docs": cache(made)} if made else {}
    entry = TaskIndex.entry_from_path(written.file)
    task = TaskFactory().build(entry, overrides={**overrides, **once}, registry={})
    task.set_fewshot_seed(DEFAULT_OTHER_SEED)
    return task


def _prompt(task: Any, doc: Mapping[str, Any], shots: int) -> str:
    """As lm-eval's `build_all_requests` makes it."""
    prompt = task.fewshot_context(doc, num_fewshot=shots, gen_prefix=task.doc_to_prefix(doc))
    if not isinstance(prompt, str):
        raise ValueError("it asks several texts for one question")
    return prompt


def _data(written: Written, dataset: DatasetConfig, rows: Rows) -> dict[str, Any]:
    """What is put over the task's file, so that it reads what the sweep file names."""
    if is_local(dataset.path) or is_embedded(dataset.path):
        return {"custom_dataset": _from_rows(written, dataset, rows), "dataset_kwargs": None}
    kwargs = dict(written.settings.get("dataset_kwargs") or {})
    kwargs |= {"revision": dataset.revision} if dataset.revision else {}
    own = dataset.path == LIBRARY
    path = {} if own else {"dataset_path": dataset.path}
    name = {} if own and dataset.config is None else {"dataset_name": dataset.config}
    return {"dataset_kwargs": kwargs, **path, **name}


def _from_rows(written: Written, dataset: DatasetConfig, rows: Rows) -> Any:
    """A function that gives lm-eval the records of files, as the splits that the task's file names."""
    import datasets

    test = _table(rows("test"))
    # Where there are no worked examples, any records stand in the place of their source, which lm-eval looks at.
    train = _table(rows("train")) if dataset.train_path else test
    splits = {name: test if name == written.asked_split else train for name in written.splits}
    return lambda **settings: datasets.DatasetDict(splits)


def _table(placed: Iterator[Placed] | Any) -> Any:
    import datasets
    import pyarrow as pa

    records = []
    for place, row in placed:
        if not isinstance(row, Mapping):
            raise BadInput(f"{place}: not a record but a {type(row).__name__}")
        records.append(row)
    try:
        return datasets.Dataset.from_list(records)
    except (pa.ArrowException, TypeError) as error:
        raise BadInput(f"protocol.dataset: its records differ in form: {error}") from None


@contextmanager
def _as_lm_eval_begins() -> Iterator[None]:
    """The random state that lm-eval's runner begins with, by which tasks shuffle choices; and nothing is said."""
    import datasets
    import numpy as np
    from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED

    logger = logging.getLogger("lm_eval")
    level, state, array_state = logger.level, random.getstate(), np.random.get_state()
    datasets.disable_progress_bars()
    logger.setLevel(logging.ERROR)
    random.seed(DEFAULT_RANDOM_SEED)
    np.random.seed(DEFAULT_OTHER_SEED)
    try:
        yield
    finally:
        logger.setLevel(level)
        random.setstate(state)
        np.random.set_state(array_state)


@contextmanager
def _refusing(written: Written, dataset: DatasetConfig) -> Iterator[None]:
    """Raises BadInput for what comes of data that the task's own code does not fit, or that is unavailable."""
    import jinja2
    from datasets.exceptions import DatasetsError

    try:
        yield
    except (ImportError, AssertionError) as error:
        raise BadInput(f"protocol.task: lm-eval cannot set up {written.name}: {first_line(error)}") from None
    except (OSError, DatasetsError) as error:
        raise BadInput(
            f"protocol.dataset: lm-eval could not fetch the data of {written.name}: {first_line(error)}\nWithout "
            "the hub, set protocol.dataset.path to a local .jsonl or .parquet file with the same records"
        ) from None
    except (LookupError, TypeError, ValueError, AttributeError, jinja2.TemplateError) as error:
        raise BadInput(
            f"protocol.dataset: {dataset.path}: the records do not fit lm-eval's {written.name}: "
            f"{type(error).__name__}: {first_line(error)}; {written.file} says what it reads"
        ) from None
