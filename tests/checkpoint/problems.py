"""Word problems in GSM8K's record format, drawn from a seed. Pure.

A problem is a story: someone has some things and 2 to 4 events change their number. Its answer works the events
out one by one with GSM8K's calculator marks, `<<a+b=c>>`, and ends in `#### n`.

Training and test problems can never meet: a question's text decides on which side it falls (`held_out`).
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

NAMES = (
    *("Ava", "Ben", "Cleo", "Dan", "Ella", "Finn", "Gina", "Hugo", "Iris", "Jack", "Kira", "Liam", "Maya"),
    *("Noah", "Olga", "Paul", "Quin", "Rosa", "Sam", "Tara", "Umar", "Vera", "Will", "Xena", "Yara", "Zane"),
)
THINGS = (
    *("apples", "books", "cards", "coins", "eggs", "flowers"),
    *("marbles", "pencils", "shells", "stamps", "stickers", "toys"),
)
TIMES = {2: "doubles", 3: "triples"}
HELD_OUT_ONE_IN = 64


@dataclass(frozen=True, kw_only=True)
class Family:
    """What problems look like: how many events, and how large their numbers are. Ranges are inclusive."""

    events: tuple[int, int] = (2, 4)
    """Events between the first sentence and the question; an event takes one or two steps of the answer."""
    start: tuple[int, int] = (5, 60)
    """Things that the story begins with."""
    amount: int = 60
    """Most things that one addition or subtraction moves."""
    packs: tuple[int, int] = (9, 12)
    """Most bags bought at once, and most things in a bag."""
    multiply_up_to: int = 117
    """Only this many things or fewer are multiplied; sets how large numbers become."""


EASY = Family()
"""What the model is trained on."""
HARD = Family(events=(3, 4), start=(20, 80), amount=80, multiply_up_to=150)
"""Just beyond it: numbers that training rarely or never shows. The model gets about half of these right."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One record."""

    question: str
    """The story and the question."""
    answer: str
    """The worked answer, with one line for each step, and `#### n`."""

    @property
    def text(self) -> str:
        """The record as prompts write it."""
        return f"Question: {self.question}\nAnswer: {self.answer}"


@dataclass(frozen=True, kw_only=True)
class _Story:
    """What the sentences are about."""

    who: str
    things: str
    family: Family

    def gains(self, held: int, more: int) -> str:
        return f"{self.who} now has {_step(held, '+', more)} {self.things}."

    def loses(self, held: int, fewer: int) -> str:
        return f"{self.who} is left with {_step(held, '-', fewer)} {self.things}."


@dataclass(frozen=True, kw_only=True)
class _Event:
    """One event: what the question says, what the answer works out, and how many things there are after it."""

    sentence: str
    steps: tuple[str, ...]
    held: int


_Draw = Callable[[random.Random, _Story, int], "_Event | None"]


def held_out(question: str) -> bool:
    """Whether a question belongs to the test side: one in 64 does, by the CRC-32 of its text."""
    return zlib.crc32(question.encode()) % HELD_OUT_ONE_IN == 0


def training_problems(seed: str, count: int, family: Family = EASY) -> Iterator[Problem]:
    """`count` problems of the training side; they may repeat."""
    rng = random.Random(seed)
    while count:
        problem = draw(rng, family)
        if not held_out(problem.question):
            count -= 1
            yield problem


def held_out_problems(seed: str, count: int, family: Family = EASY) -> list[Problem]:
    """`count` different problems of the test side."""
    rng = random.Random(seed)
    problems: dict[str, Problem] = {}
    while len(problems) < count:
        problem = draw(rng, family)
        if held_out(problem.question):
            problems.setdefault(problem.question, problem)
    return list(problems.values())


def hard_problems(seed: str, count: int, shots: list[Problem]) -> list[Problem]:
    """`shots`, then hard ones up to `count` in all, none of them twice.

    The head of a test file becomes the shots of its prompts. Easy ones keep these as long as training windows.
    """
    return [*shots, *held_out_problems(seed, count - len(shots), HARD)]


def draw(rng: random.Random, family: Family) -> Problem:
    """One problem of the family."""
    story = _Story(who=rng.choice(NAMES), things=rng.choice(THINGS), family=family)
    held = rng.randint(*family.start)
    sentences = [f"{story.who} has {held} {story.things}."]
    lines: list[str] = []
    for _ in range(rng.randint(*family.events)):
        event = _event(rng, story, held)
        sentences.append(event.sentence)
        lines += event.steps
        held = event.held
    moment = rng.choice(("now", "in the end"))
    sentences.append(f"How many {story.things} does {story.who} have {moment}?")
    return Problem(question=" ".join(sentences), answer="\n".join((*lines, f"#### {held}")))


def _event(rng: random.Random, story: _Story, held: int) -> _Event:
    """Any event that can happen to `held` things; buying some always can."""
    while True:
        event = rng.choice(_EVENTS)(rng, story, held)
        if event is not None:
            return event


def _some_more(rng: random.Random, story: _Story, held: int) -> _Event:
    who, things = story.who, story.things
    more = rng.randint(3, story.family.amount)
    sentence = rng.choice(
        (
            f"{who} buys {more} more {things}.",
            f"{who} finds {more} more {things}.",
            f"Then {who} finds {more} {things}.",
            f"{_another(rng, who)} gives {who} {more} {things}.",
        )
    )
    return _Event(sentence=sentence, steps=(story.gains(held, more),), held=held + more)


def _some_fewer(rng: random.Random, story: _Story, held: int) -> _Event | None:
    who, things = story.who, story.things
    if held < 4:
        return None
    fewer = rng.randint(2, min(story.family.amount, held - 1))
    sentence = rng.choice(
        (
            f"{who} loses {fewer} {things}.",
            f"{who} sells {fewer} of them.",
            f"{who} gives {fewer} {things} to {_another(rng, who)}.",
        )
    )
    return _Event(sentence=sentence, steps=(story.loses(held, fewer),), held=held - fewer)


def _bags(rng: random.Random, story: _Story, held: int) -> _Event:
    bags, each = (rng.randint(2, most) for most in story.family.packs)
    return _Event(
        sentence=f"{story.who} buys {bags} bags with {each} {story.things} in each bag.",
        steps=(f"The bags hold {_step(bags, '*', each)} {story.things}.", story.gains(held, bags * each)),
        held=held + bags * each,
    )


def _friends(rng: random.Random, story: _Story, held: int) -> _Event | None:
    each, friends = rng.randint(2, 9), rng.randint(2, 6)
    if each * friends >= held:
        return None
    return _Event(
        sentence=f"{story.who} gives {each} {story.things} to each of {friends} friends.",
        steps=(
            f"{story.who} gives away {_step(each, '*', friends)} {story.things}.",
            story.loses(held, each * friends),
        ),
        held=held - each * friends,
    )


def _multiply(rng: random.Random, story: _Story, held: int) -> _Event | None:
    if held > story.family.multiply_up_to:
        return None
    factor = rng.randint(2, 5)
    verb = TIMES.get(factor, f"multiplies by {factor}")
    return _Event(
        sentence=f"{story.who} {verb} the number of {story.things}.",
        steps=(f"{story.who} now has {_step(held, '*', factor)} {story.things}.",),
        held=held * factor,
    )


def _split(rng: random.Random, story: _Story, held: int) -> _Event | None:
    boxes = rng.randint(2, 5)
    if held % boxes or held < 6:
        return None
    return _Event(
        sentence=f"{story.who} splits the {story.things} into {boxes} equal boxes and keeps one box.",
        steps=(f"One box holds {_step(held, '/', boxes)} {story.things}.",),
        held=held // boxes,
    )


_EVENTS: tuple[_Draw, ...] = (_some_more, _some_fewer, _bags, _friends, _multiply, _split)


def _another(rng: random.Random, who: str) -> str:
    return rng.choice([name for name in NAMES if name != who])


def _step(left: int, operator: str, right: int) -> str:
    """`a+b=<<a+b=c>>c`, as GSM8K marks what a calculator may fill in."""
    value = {"+": left + right, "-": left - right, "*": left * right, "/": left // right}[operator]
    return f"{left}{operator}{right}=<<{left}{operator}{right}={value}>>{value}"
