"""What a file of scores holds, whatever its shape: a row for each score, and where it is written. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from sweep.errors import BadInput
from sweep.stats.metric import ACCURACY, Metric
from sweep.words import cut

SCORE = ("score", "accuracy", "acc", "exact_match", "em", "pass@1")
"""What a column or a key with the score is called; where several are there, the first counts."""
VARIANT = ("variant",)
QUESTIONS = ("questions", "num_questions")
DATE = ("date", "timestamp")
TIME = "time"
SINCE_1970 = range(10**9, 10**10)
"""Seconds that can be a time: of the years 2001 to 2286."""
LABELS = ("host", "node", "machine", "runner", "gpu", "engine", "commit", "build")
"""What may move scores: the rows of one variant are compared by it."""
MEAN = ("mean", "average", "avg")
STD = ("std", "stddev", "stdev", "std_dev", "sd")
"""What is there in place of a score, with the mean and the number of runs, where nobody kept the scores."""
RUNS = ("n", "runs", "count", "num_runs", "repetitions")
CORRECT = ("correct", "num_correct", "right")
TOTAL = ("total", "num_total", *QUESTIONS)
"""A score in two parts: right answers, and the questions that they are of."""
VERDICTS = ("passed", "failed")
"""How many runs passed some gate and how many did not, where nobody kept the scores."""
READ = (*VARIANT, *QUESTIONS, *DATE, TIME, *LABELS)
TOO_MANY = Decimal(10**15)
"""A count that nothing has: what is larger is read as this."""
MOST_TOLD = 10
"""Columns that a note lists."""
NO_SCORE = ("n/a", "na", "-", "--", "none", "null", "nan", "failed", "error")
"""How tables write that a run gave no score."""
DECIMAL = re.compile(r"0,[0-9]+|[0-9]+,(?:[0-9]{1,2}|[0-9]{4,})")
"""A decimal with a comma, which no comma between groups of three digits can be."""
THOUSANDS = re.compile(r"[0-9]{1,3}(,[0-9]{3})+")
DAY = "a date such as 2026-03-01"

Note = Callable[[str], None]
"""Is told what is left out, and how a file was read where that could be doubted."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One score."""

    place: str
    """File and line, or what else finds it."""
    score: float | None
    """None for a run that failed, which only a history may have."""
    variant: str = "scores"
    """Its variant."""
    questions: int | None = None
    """That it is over."""
    night: date | None = None
    """When it was measured, in UTC."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of LABELS, those that the row has."""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """What is left of runs whose scores nobody kept."""

    place: str
    """Where it is written."""
    variant: str
    """Its variant."""
    mean: float
    """Of the scores, 0..1."""
    std: float
    """Of the scores (ddof=1), in accuracy."""
    runs: int
    """That both are of."""
    questions: int | None
    """In a run."""


@dataclass(frozen=True, kw_only=True)
class Passes:
    """Runs of which only the verdict of some gate is known."""

    variant: str
    """Its variant, or the test's name."""
    passed: int
    """Runs that passed."""
    failed: int
    """Runs that did not."""

    @property
    def failing(self) -> tuple[float, float]:
        """Both ends of the 95 % interval of the share that fails, of one run at least (Clopper and Pearson)."""
        from scipy.stats import binomtest

        interval = binomtest(self.failed, self.passed + self.failed).proportion_ci(method="exact")
        return float(interval.low), float(interval.high)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files of scores are to be read."""

    questions: int | None = None
    """That a score is over, where the file does not say."""
    percent: bool = False
    """Whether a number without a sign is in percent."""
    metric: Metric = ACCURACY
    """What the scores are of."""
    pattern: str | None = None
    """A regular expression that finds the score in a line; None for the usual ways of writing it."""
    note: Note = lambda _: None
    """Is told what is left out."""


@dataclass(frozen=True, kw_only=True)
class Reader(Reading):
    """How one file is to be read."""

    name: str
    """Of the file, for messages."""
    failures: bool
    """Whether a row may have no score."""

    def item(
        self, record: Mapping[str, Any], place: str, comma: bool = False, variant: str = "scores"
    ) -> Row | Moments | Passes:
        """What a record holds of those that `holds` knows. Raises BadInput."""
        if is_moments(record):
            return self.moments(record, place, variant, comma)
        if is_passes(record):
            return passes(record, place, variant)
        if is_count(record):
            correct, total = _first(record, CORRECT), _first(record, TOTAL)
            return self.row({"variant": variant, **record, SCORE[0]: f"{correct}/{total}"}, place, comma)
        return self.row({"variant": variant, **record}, place, comma)

    def row(self, record: Mapping[str, Any], place: str, comma: bool = False) -> Row:
        """The row of a record: a line of a table, or an object of JSON. `comma`: decimals are written with one.

        Raises BadInput for a score, a number of questions or a date that is none.
        """
        score, asked = self._score(_first(record, SCORE), f"{place}: score", comma)
        questions = whole(_first(record, QUESTIONS), f"{place}: questions")
        if asked and questions not in (None, asked):
            raise BadInput(f"{place}: the score is over {asked} questions, and the row says {questions}")
        return Row(
            place=place,
            score=score,
            variant=str(_first(record, VARIANT) or "scores").strip(),
            questions=asked or questions,
            night=_night(record, place),
            labels={name: str(record[name]).strip() for name in LABELS if record.get(name) not in (None, "")},
        )

    def _score(self, value: Any, place: str, comma: bool) -> tuple[float | None, int | None]:
        if value is None or (isinstance(value, str) and not value.strip()):
            if self.failures:
                return None, None
            raise BadInput(f"{place}: there is none; leave out the runs that gave no score")
        return self.number(value, place, comma)

    def number(self, value: Any, place: str, comma: bool = False) -> tuple[float, int | None]:
        """As `number`, in percent where the file's are."""
        return number(value, place, comma=comma, percent=self.percent)

    def moments(
        self, record: Mapping[str, Any], place: str, variant: str = "scores", comma: bool = False
    ) -> Moments:
        """The mean and standard deviation of a record that `is_moments`. Raises BadInput for what is no number."""
        mean, asked = self.number(_first(record, MEAN), f"{place}: mean", comma)
        std, _ = self.number(_first(record, STD), f"{place}: std", comma)
        runs = whole(_first(record, RUNS), f"{place}: n")
        questions = asked or whole(_first(record, QUESTIONS), f"{place}: questions")
        named = str(_first(record, VARIANT) or variant).strip()
        return Moments(place=place, variant=named, mean=mean, std=std, runs=runs or 0, questions=questions)


def number(value: Any, place: str, *, comma: bool = False, percent: bool = False) -> tuple[float, int | None]:
    """A score as people write it, as a share, and the questions that it names: 0.445, 44.5%, 89/200.

    `comma`: decimals are written with one. `percent`: a number without a sign is in percent. Raises BadInput.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadInput(f"{place}: {cut(repr(value))} is not a number")
    text = str(value).strip()
    right, slash, asked = text.partition("/")
    try:
        if slash:
            correct, over = Decimal(right.strip()), whole(asked.strip(), place)
            if not over:
                raise BadInput(f"{place}: `{cut(text)}` is over no question")
            return float(correct / over), over
        sign = text.endswith("%")
        plain = text.removesuffix("%").strip()
        exact = Decimal(plain.replace(",", ".") if comma or DECIMAL.fullmatch(plain) else plain)
        return float(exact / 100 if sign or percent else exact), None
    except (ArithmeticError, ValueError):
        failed = "; leave out the runs that gave no score" if text.lower() in NO_SCORE else ""
        summed = "; a mean ± std needs a column `n`" if "±" in text else ""
        raise BadInput(f"{place}: `{cut(text)}` is not a number{failed or summed}") from None


def is_moments(names: Iterable[str]) -> bool:
    """Whether a record with these keys, or a table with these columns, has a mean in place of scores."""
    there = set(names)
    return all(there & set(part) for part in (MEAN, STD, RUNS)) and not there & set(SCORE)


def is_passes(names: Iterable[str]) -> bool:
    """Likewise, whether it has the verdicts alone."""
    there = set(names)
    return set(VERDICTS) <= there and not there & set(SCORE)


def is_count(names: Iterable[str]) -> bool:
    """Likewise, whether it has a score in its two parts."""
    there = set(names)
    return bool(there & set(CORRECT)) and bool(there & set(TOTAL)) and not there & set(SCORE)


def holds(names: Iterable[str]) -> bool:
    """Whether a record with these keys, or a table with these columns, has a score or what is left of some."""
    there = set(names)
    return bool(there & set(SCORE)) or is_moments(there) or is_passes(there) or is_count(there)


def passes(record: Mapping[str, Any], place: str, variant: str) -> Passes:
    """The verdicts of a record that `is_passes`. Raises BadInput for what is no count."""
    counts = [whole(record[name], f"{place}: {name}") for name in VERDICTS]
    if any(count is None or count < 0 for count in counts):
        raise BadInput(f"{place}: passed and failed must be whole numbers of 0 or more, got {counts}")
    named = str(_first(record, VARIANT) or variant).strip()
    return Passes(variant=named, passed=counts[0] or 0, failed=counts[1] or 0)


def told(records: Sequence[Mapping[str, Any]], reader: Reader) -> None:
    """Tell which columns or keys are not read, and which of those set apart what is taken together."""
    columns = dict.fromkeys(name for record in records for name in record)
    scores = [name for name in SCORE if name in columns]
    read = {*READ, *scores[:1]}
    if not scores:
        parts = {is_moments: (*MEAN, *STD, *RUNS), is_passes: VERDICTS, is_count: (*CORRECT, *TOTAL)}
        read.update(name for has, names in parts.items() if has(columns) for name in names)
    unread = [column for column in columns if column and column not in read]
    if unread:
        shown = ", ".join(map(cut, unread[:MOST_TOLD])) + (", ..." if len(unread) > MOST_TOLD else "")
        reader.note(f"{reader.name}: left out: {shown}; the numbers are of the scores alone")
    for column in unread:
        values = Counter(str(record.get(column, "")).strip() for record in records)
        if 1 < len(values) < len(records) and not any(map(_is_number, values)):
            reader.note(
                f"{reader.name}: {cut(column)} has {len(values)} values, such as {cut(next(iter(values)))}, whose "
                "scores are taken together; call it `variant` to keep them apart"
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _night(record: Mapping[str, Any], place: str) -> date | None:
    """The day of a record. What else is called `time` may be how long it took, or no more than a clock's."""
    if (value := _first(record, DATE)) is not None:
        return day(value, place)
    with suppress(BadInput):
        return day(record.get(TIME), place)
    return None


def day(value: Any, place: str) -> date | None:
    """The day of a date or a time, in UTC where the time says where it is; None for none. Raises BadInput.

    A number is in seconds since 1970, as vLLM's gsm8k_eval writes its `timestamp`, or in milliseconds.
    """
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    # First, because 1711111111120 could be the year 1711, too.
    if seconds := next((s for s in _seconds(text) if s in SINCE_1970), None):
        return datetime.fromtimestamp(seconds, UTC).date()
    try:
        return date_of(text).date()
    except ValueError:
        raise BadInput(f"{place}: date: `{cut(text)}` is not {DAY}") from None


def _seconds(text: str) -> Iterator[int]:
    """What a number may be in seconds: itself, or a thousandth."""
    with suppress(ValueError, OverflowError):
        yield from (int(float(text)), int(float(text) / 1000))


def date_of(text: str) -> datetime:
    """The time that a text writes, in UTC where it says where it is. Raises ValueError."""
    time = datetime.fromisoformat(text)
    try:
        return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    except OverflowError as error:  # in UTC it is before the year 1, or after 9999
        raise ValueError(str(error)) from None


def _first(record: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def whole(value: Any, place: str) -> int | None:
    """A whole number, however it is written; None for none."""
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    try:
        exact = Decimal(text.replace(",", "") if THOUSANDS.fullmatch(text) else text)
    except InvalidOperation:
        exact = Decimal("NaN")
    if isinstance(value, bool) or not exact.is_finite() or exact != exact.to_integral_value():
        raise BadInput(f"{place}: `{cut(text)}` is not a whole number")
    return int(max(min(exact, TOO_MANY), -TOO_MANY))
