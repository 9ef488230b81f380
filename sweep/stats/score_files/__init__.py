"""Files of scores that somebody already has, as from CI logs: read, and refused with file and line.

`read` takes each variant's scores with what is written beside them. `read_nights` keeps when each was measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from sweep import files
from sweep.bounds import MOST_SCORED, SCORE_FILE
from sweep.errors import BadInput
from sweep.stats.history import History, Night
from sweep.stats.metric import Metric
from sweep.stats.score_files import documents, junit, lines, nemo, tables, wide
from sweep.stats.score_files.rows import LABELS, Moments, Passes, Reader, Reading, Row
from sweep.stats.scores import Scores, fault_of, fault_of_questions
from sweep.words import cut

LIKELY_LENGTHS = (1, 20)
"""Where accept lengths lie, in tokens for each verification step: drafts of more tokens are not in use."""
SHAPES = (
    "JSON (a list, records with a `score`, variants with lists, results of lm-eval, SGLang or vLLM), a table with "
    "commas, semicolons or tabs, or in Markdown, whose first line names a `score` column, or with a column "
    "of scores for each variant, one number in each line, "
    "a log with lines such as `Score: 0.445` (or --pattern), JUnit XML, results.yml of NeMo Evaluator"
)
"""What is read."""
PERCENT = ". If they are percentages, --percent reads them"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
"""What colours a log."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One variant's scores, and what is written beside each."""

    scores: Scores
    """In the file's order."""
    nights: tuple[date | None, ...]
    """The day of each, in UTC."""
    labels: Mapping[str, tuple[str | None, ...]]
    """Of LABELS, those that some row has, with each score's."""

    def history(self) -> History | None:
        """The scores by night; None where some have no date."""
        if None in self.nights or self.scores.questions is None:
            return None
        rows = zip(self.nights, self.scores.values, strict=True)
        return History(variant=self.scores.variant, questions=self.scores.questions, nights=_nights(list(rows)))


@dataclass(frozen=True, kw_only=True)
class ScoreFile:
    """What files of scores hold."""

    listed: tuple[Listed, ...] = ()
    """Variants with their scores."""
    moments: tuple[Moments, ...] = ()
    """Variants of which mean, standard deviation and number of runs are left."""
    passes: tuple[Passes, ...] = ()
    """Tests of which only verdicts are left."""


def read(sources: Sequence[str], reading: Reading) -> ScoreFile:
    """What the files hold, or stdin for `-`; variants of one name in several files are one.

    Raises BadInput with file:line for what cannot be read, for scores that are no shares, and for question
    counts that contradict each other or are nowhere given.
    """
    _refuse_twice(sources)
    items = [item for source in sources for item in _items(source, reading, failures=False)]
    rows = _checked([item for item in items if isinstance(item, Row)], reading)
    moments = tuple(_checked_moments(item, reading) for item in items if isinstance(item, Moments))
    _refuse_two_of_one(moments)
    passes: dict[str, Passes] = {}
    for item in items:
        if isinstance(item, Passes):
            before = passes.get(item.variant, replace(item, passed=0, failed=0))
            passes[item.variant] = replace(
                item, passed=before.passed + item.passed, failed=before.failed + item.failed
            )
    if not items:
        raise BadInput(f"{', '.join(map(_named, sources))}: no scores in it; give {SHAPES}")
    return ScoreFile(
        listed=tuple(_listed(variant, own, reading.metric) for variant, own in rows.items()),
        moments=moments,
        passes=tuple(passes.values()),
    )


def read_nights(source: str, reading: Reading) -> list[History]:
    """The nights of every variant in a file, or on stdin for `-`.

    Rows of one date are the runs of one night, in any order. Without dates every row is a night of its own,
    the earliest first. A row without a score, or null in a JSON list, is a run that failed. Raises BadInput as
    `read` does, and for what is no date, or is missing in some rows.
    """
    found = [item for item in _items(source, reading, failures=True) if isinstance(item, Row)]
    rows = _checked(found, reading)
    if all(row.score is None for row in found):
        raise BadInput(f"{_named(source)}: no scores in it; give {SHAPES}")
    undated = next((row for row in found if row.night is None), None)
    if undated is not None and any(row.night for row in found):
        raise BadInput(f"{undated.place}: no date, while other rows have one; give every row its date, or none")
    return [
        History(variant=variant, questions=_asked(own), nights=_nights([(row.night, row.score) for row in own]))
        for variant, own in rows.items()
    ]


def _refuse_twice(sources: Sequence[str]) -> None:
    """Raises BadInput for a file that is given twice: its scores would count as those of further runs."""
    seen: set[Path] = set()
    for source in sources:
        if (place := Path(source).resolve()) in seen:
            raise BadInput(f"{_named(source)}: given twice, and that makes no further runs; name it once")
        seen.add(place)


def _refuse_two_of_one(moments: Sequence[Moments]) -> None:
    """Raises BadInput for a variant with two means: they are not the mean of one list of runs."""
    first: dict[str, Moments] = {}
    for one in moments:
        before = first.setdefault(one.variant, one)
        if before is not one:
            raise BadInput(
                f"{one.place}: a second mean of {cut(one.variant)}, after {before.place}; tell what they are of in "
                "a column or key `variant`"
            )


def _named(source: str) -> str:
    return "stdin" if source == "-" else source


def _items(source: str, reading: Reading, failures: bool) -> Iterator[Row | Moments | Passes]:
    """What one file holds, by the shape that it has. Raises BadInput."""
    name = _named(source)
    text = ESCAPES.sub("", files.text(source, SCORE_FILE)).replace("\r\n", "\n")
    if not text.strip():
        raise BadInput(f"{name}: empty; give {SHAPES}")
    reader = Reader(**vars(reading), name=name, failures=failures)
    part = tables.delimiter(text)
    if reading.pattern is not None:
        return lines.log(text, reader)
    if documents.is_json(text):
        return documents.document(documents.parsed(text, name), reader)
    if nemo.is_results(text):
        return nemo.results(text, reader)
    if text.lstrip().startswith("<"):
        return junit.junit(text, reader)
    if part is not None:
        return tables.table(text, part, reader)
    if lines.is_plain(text):
        return lines.plain(text, reader)
    if tables.is_printed(text):
        return tables.printed(text, reader)
    if name.endswith((".yaml", ".yml")):
        raise BadInput(f"{name}: of YAML only results.yml of NeMo Evaluator is read; give {SHAPES}")
    if lines.has_scores(text):
        return lines.log(text, reader)
    if found := wide.parsed(text):
        return wide.table(found, reader)
    first = cut(text.strip().partition("\n")[0])
    raise BadInput(f"{name}:1: no score is named in it, and it begins with `{first}`; give {SHAPES}")


def _checked(rows: Sequence[Row], reading: Reading) -> dict[str, list[Row]]:
    """The rows by variant, each with its number of questions. Raises BadInput."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.score is not None and (fault := fault_of(row.score, reading.metric)):
            likely = _likely(rows) if reading.metric.counts else ""
            raise BadInput(f"{row.place}: {fault}{likely}")
        found.setdefault(row.variant, []).append(row)
        if len(found) > MOST_SCORED:
            raise BadInput(f"{row.place}: more than {MOST_SCORED:,} variants; give them in several files")
    return {variant: _with_questions(own, reading) for variant, own in found.items()}


def _with_questions(rows: Sequence[Row], reading: Reading) -> list[Row]:
    """One variant's rows, all over the same number of questions. Raises BadInput."""
    asked = questions = reading.questions
    for row in rows:
        if row.questions is not None and questions not in (None, row.questions):
            before = "before it" if questions != asked else "in --questions"
            remedy = "give each count a variant of its own" if questions != asked else "leave --questions out"
            raise BadInput(
                f"{row.place}: {row.questions} questions, against {questions} {before}; scores over other "
                f"questions have another mean and noise: {remedy}"
            )
        questions = questions if row.questions is None else row.questions
    if questions is None and not reading.metric.counts:
        return list(rows)
    return [replace(row, questions=_known(questions, rows[0].place)) for row in rows]


def _known(questions: int | None, place: str) -> int:
    if questions is None:
        raise BadInput(f"{place}: how many questions is a score over? Give --questions N or a `questions` column")
    if fault := fault_of_questions(questions):
        raise BadInput(f"{place}: {fault}")
    return questions


def _checked_moments(moments: Moments, reading: Reading) -> Moments:
    """Raises BadInput for a mean that is no share, a standard deviation below 0, no runs, or unknown questions."""
    if not reading.metric.counts:
        remedy = "give the scores themselves"
        raise BadInput(f"{moments.place}: mean, std and n are read of shares of right answers alone; {remedy}")
    fault = fault_of(moments.mean)
    if fault and 1 < moments.mean <= 100:
        fault += PERCENT
    if fault is None and moments.runs < 1:
        fault = f"n must be at least 1, got {moments.runs}"
    if fault is None and not 0 <= moments.std <= 0.5 * (moments.runs / max(moments.runs - 1, 1)) ** 0.5 + 1e-9:
        fault = f"no scores have the std {moments.std:.12g}, which is at most about 0.5"
    if fault:
        raise BadInput(f"{moments.place}: {fault}")
    return replace(moments, questions=_known(moments.questions or reading.questions, moments.place))


def _listed(variant: str, rows: Sequence[Row], metric: Metric) -> Listed:
    return Listed(
        scores=Scores(
            variant=variant,
            values=tuple(row.score for row in rows if row.score is not None),
            questions=rows[0].questions if metric.counts else None,
            metric=metric,
        ),
        nights=tuple(row.night for row in rows),
        labels={
            name: tuple(row.labels.get(name) for row in rows)
            for name in LABELS
            if any(name in row.labels for row in rows)
        },
    )


def _asked(rows: Sequence[Row]) -> int:
    questions = rows[0].questions
    assert questions is not None
    return questions


def _nights(runs: Sequence[tuple[date | None, float | None]]) -> tuple[Night, ...]:
    """The nights of one variant, the earliest first; each run is a night of its own where it has no date."""
    by_night: dict[date | int, list[float]] = {}
    for number, (night, score) in enumerate(runs):
        by_night.setdefault(night or number, []).extend([] if score is None else [score])
    keys = [key for key in by_night if isinstance(key, date)]
    return tuple(
        Night(number=number, date=key if isinstance(key, date) else None, scores=tuple(by_night[key]))
        for number, key in enumerate(sorted(keys) or by_night, start=1)
    )


def _likely(rows: Sequence[Row]) -> str:
    """What to add to the refusal of scores that are likely to be something else; nothing for others."""
    low, high = LIKELY_LENGTHS
    values = [row.score for row in rows if row.score is not None]
    if all(low <= value <= high for value in values):
        return f". Every number here is between {low} and {high}, as accept lengths are"
    if not all(0 <= value <= 100 for value in values):
        return ""
    if any(0 < value < 1 for value in values):
        return ". Some numbers look like shares and some like percentages: write all alike, or each with its %"
    return PERCENT
