"""From what files hold to the repetitions of variants. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.bounds import LONGEST_NAME, MOST_UNITS, MOST_VARIANTS
from sweep.errors import BadInput
from sweep.plan.config import NAME
from sweep.run.imported.answers import Answer, Source, same
from sweep.words import counted, cut

SHOWN = 3
"""Names that a message lists."""


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """One run of all questions."""

    source: Source
    """The file that it is from."""
    answers: Mapping[str, Answer]
    """Question to its answer."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """The repetitions of each variant, and how they were told apart."""

    variants: Mapping[str, Sequence[Repetition]]
    """Name to at least one repetition, all of the same questions."""
    questions: Mapping[str, Answer]
    """Question id to what is known of it, in order."""
    how: str
    """In a sentence."""


def tell_apart(
    sources: Sequence[Source], given: Sequence[int], names: Sequence[str], note: Callable[[str], None]
) -> Told:
    """Sort the sources' answers by variant and repetition.

    `given`: for each source the number, from 0, of the path that named it. `names`: what the user calls the variant
    of all paths, or of each. `note` is told of repetitions that are left out: those with a request that failed, and
    those that lack questions. Raises BadInput for names that do not fit, for a question that comes twice in a
    repetition or is another one elsewhere, and where a variant has no repetition left.
    """
    _check_alike(sources)
    how, named = _names(sources, given, names)
    by_variant: dict[str, list[Repetition]] = {}
    for source, name in zip(sources, named, strict=True):
        runs: dict[tuple[str, str], dict[str, Answer]] = {}
        for answer in source.answers:
            own = runs.setdefault((check_name(answer.variant or name, answer.place), answer.run), {})
            if before := own.get(answer.question):
                raise BadInput(
                    f"{answer.place}: question {cut(answer.question)} comes a second time, after {before.place}; "
                    "number the repetitions in a column or key `repetition`"
                )
            own[answer.question] = answer
        for (variant, _), answers in runs.items():
            by_variant.setdefault(variant, []).append(Repetition(source=source, answers=answers))
    _check_counts(by_variant)
    questions = _questions(
        answer for runs in by_variant.values() for run in runs for answer in run.answers.values()
    )
    whole = {name: _whole(name, runs, questions, note) for name, runs in by_variant.items()}
    counts = ", ".join(f"{name} ({counted(len(runs), 'repetition')})" for name, runs in whole.items())
    return Told(variants=whole, questions=questions, how=f"{how}: {counts}")


def _check_alike(sources: Sequence[Source]) -> None:
    """Raises BadInput for files whose scores mean different things, and for one that is given twice."""
    seen: set[Path] = set()
    for source in sources:
        if (place := Path(source.path).resolve()) in seen:
            raise BadInput(f"{source.path}: given twice, and that makes no second repetition; name it once")
        seen.add(place)
    for what in ("format", "task", "metric"):
        first, *others = {getattr(source, what): source for source in sources}.items()
        if others:
            (value, source), (other, elsewhere) = first, others[0]
            raise BadInput(
                f"{elsewhere.path}: its {what} is {other}, and that of {source.path} is {value}; import them each "
                "by themselves"
            )


def _check_counts(by_variant: Mapping[str, Sequence[Repetition]]) -> None:
    """Raises BadInput for more than a run folder may hold."""
    for what, count, most in (
        ("variants", len(by_variant), MOST_VARIANTS),
        ("repetitions", sum(map(len, by_variant.values())), MOST_UNITS),
    ):
        if count > most:
            raise BadInput(
                f"{count:,} {what} are in the files, and a run has at most {most:,}; import fewer at once"
            )


def _names(sources: Sequence[Source], given: Sequence[int], names: Sequence[str]) -> tuple[str, list[str]]:
    """How the variants were told apart, and each source's name for its own."""
    files, paths = counted(len(sources), "file"), len(set(given))
    own = any(answer.variant for source in sources for answer in source.answers)
    if own and names:
        raise BadInput(f"--variant {names[0]}: the answers name their variants themselves; leave --variant out")
    if own:
        return f"{files}, whose answers name their variants", [_folder(source.path) for source in sources]
    if len(names) == 1:
        return f"{files} of one variant", [names[0]] * len(sources)
    if names and len(names) != paths:
        raise BadInput(
            f"--variant: {counted(len(names), 'name')} for {counted(paths, 'path')}; give one for all, or one for "
            "each in the same order"
        )
    if names:
        return f"{files}, named by --variant", [names[number] for number in given]
    folders = {str(Path(source.path).resolve().parent): _folder(source.path) for source in sources}
    if len(set(folders.values())) < len(folders):
        raise BadInput(
            "several folders have the same name, so nothing names the variants; name them with --variant"
        )
    how = "files of one folder are repetitions of one variant" if len(folders) == 1 else "each folder is a variant"
    return f"{files}; {how}, --variant names others", [_folder(source.path) for source in sources]


def _folder(path: str) -> str:
    """The name of the folder that a file is in, as far as it can name a variant."""
    name = re.sub(r"[^A-Za-z0-9._=+-]", "-", Path(path).resolve().parent.name).lstrip("._=+-")
    return name[:LONGEST_NAME] or "imported"


def check_name(name: str, place: str) -> str:
    """The name of a variant or run. Raises BadInput for one that cannot be part of a file's name."""
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise BadInput(
            f"{place}: `{cut(name)}` cannot be a name: it must begin with a letter or digit and hold at most "
            f"{LONGEST_NAME} letters, digits and . _ = + -"
        )
    return name


def _questions(answers: Iterable[Answer]) -> dict[str, Answer]:
    """Every question, with what is known of it; in the order of their numbers where all have some.

    sgl-eval writes answers as they come, and what comes first is what is short. Raises BadInput for one that is not
    the same everywhere.
    """
    known: dict[str, Answer] = {}
    for answer in answers:
        first = known.setdefault(answer.question, answer)
        for what in ("asked", "gold"):
            if None not in (mine := getattr(first, what), theirs := getattr(answer, what)) and mine != theirs:
                raise BadInput(
                    f"{answer.place}: question {cut(answer.question)} is another one than at {first.place}; "
                    "results over other questions have another mean and noise: import them by themselves"
                )
    numbered = {question: re.search(r"\d+$", question) for question in known}
    if all(numbered.values()):
        order = sorted(
            known, key=lambda q: (q[: found.start()], int(found[0])) if (found := numbered[q]) else ("", 0)
        )
        return {question: known[question] for question in order}
    return known


def _whole(
    variant: str, runs: Sequence[Repetition], questions: Mapping[str, Answer], note: Callable[[str], None]
) -> list[Repetition]:
    """The complete repetitions. Raises BadInput, with the reason, where none is."""
    kept, reason, remedy = [], "", ""
    for run in runs:
        failed = [answer for answer in run.answers.values() if answer.correct is None]
        lacking = [question for question in questions if question not in run.answers]
        if failed:
            reason = (
                f"{counted(len(failed), 'request')} of it failed, such as {failed[0].place}, and are no answers"
            )
            remedy = "ask those again"
        elif lacking:
            reason = f"it lacks {len(lacking)} of {counted(len(questions), 'question')}, such as {lacking[0]}"
            remedy = "ask those too, or import it by itself"
        else:
            kept.append(run)
            continue
        note(f"{run.source.path}: a repetition of {variant} is left out: {reason}")
    if not kept:
        raise BadInput(f"{variant}: no repetition of it is complete: {reason}; {remedy}")
    return kept


def known(sources: Sequence[Source], what: str) -> object:
    """What all sources say; None where they differ, or do not say."""
    return same(getattr(source, what) for source in sources)
