"""Whether lists of scores lie apart: variants from the first one, hosts or commits from the others. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sweep.stats.paired import Difference, between_runs, holm
from sweep.stats.score_files import Listed

ALPHA = 0.05
"""Of all tests of one kind together."""
FEWEST = 2
"""Runs on each side of a test."""


@dataclass(frozen=True, kw_only=True)
class Apart:
    """A group of runs against another one."""

    group: str
    """Whose runs: a variant, or a value of a label."""
    against: str
    """The other runs: a variant, or the other values of the label."""
    runs: tuple[int, int]
    """Of the group, and of the others."""
    difference: Difference
    """The group's mean less the others', by Welch's test."""
    p_value: float | None
    """Two-sided, adjusted by Holm over the tests made beside it; None where neither side varies."""

    @property
    def shown(self) -> bool:
        """Whether the group lies apart, at ALPHA over all tests."""
        return self.p_value is not None and self.p_value <= ALPHA


def variants_apart(listed: Sequence[Listed]) -> list[Apart]:
    """Each variant against the first, where both are over as many questions and have two runs at least."""
    first, *others = (one.scores for one in listed)
    return _adjusted(
        _apart(other.variant, other.values, first.variant, first.values)
        for other in others
        if other.questions == first.questions and min(len(other.values), len(first.values)) >= FEWEST
    )


def labels_apart(one: Listed) -> dict[str, list[Apart]]:
    """For each label of a variant's runs: each value's runs against the variant's others. Without a test where no
    value has two runs and leaves two."""
    found = {name: _values_apart(one, name, labels) for name, labels in one.labels.items()}
    tested = iter(_adjusted(apart for of in found.values() for apart in of))
    return {name: [next(tested) for _ in of] for name, of in found.items()}


def _values_apart(one: Listed, name: str, labels: Sequence[str | None]) -> list[Apart]:
    values = list(dict.fromkeys(label for label in labels if label is not None))
    tests = []
    # Of two values each is the other's rest: one test says all.
    for value in values[:1] if len(values) == 2 else values:
        sides: tuple[list[float], list[float]] = ([], [])
        for score, label in zip(one.scores.values, labels, strict=True):
            if label is not None:
                sides[label != value].append(score)
        if min(map(len, sides)) >= FEWEST:
            rest = f"{name} {values[1]}" if len(values) == 2 else "the others"
            tests.append(_apart(f"{name} {value}", sides[0], rest, sides[1]))
    return tests


def _apart(group: str, values: Sequence[float], against: str, others: Sequence[float]) -> Apart:
    difference = between_runs(np.asarray(others), np.asarray(values))
    return Apart(
        group=group,
        against=against,
        runs=(len(values), len(others)),
        difference=difference,
        p_value=difference.p_value,
    )


def _adjusted(tests: Iterator[Apart]) -> list[Apart]:
    """The tests with their p-values adjusted for one another."""
    made = list(tests)
    adjusted = iter(holm([one.p_value for one in made if one.p_value is not None]))
    return [one if one.p_value is None else replace(one, p_value=next(adjusted)) for one in made]
