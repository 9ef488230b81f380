"""Numbers in sentences."""

from __future__ import annotations

import pytest

from sweep.words import apart, counted


@pytest.mark.parametrize(("number", "text"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (1311, "1,311 runs")])
def test_one_of_something_is_singular(number: int, text: str) -> None:
    assert counted(number, "run") == text


@pytest.mark.parametrize(
    ("pair", "digits", "shown"),
    [
        ((3.4897, 3.49), 3, ("3.4897", "3.490")),
        ((3.4897, 3.49), 2, ("3.4897", "3.49")),
        ((0.3829, 0.38285), 3, ("0.3829", "0.38285")),
        ((0.5, 0.75), 2, ("0.50", "0.75")),
        ((0.41, 0.41), 4, ("0.4100", "0.4100")),
        # Floating point's own error is no difference.
        ((0.1 + 0.2, 0.3), 2, ("0.30", "0.30")),
        ((1.0000001, 1.0), 0, ("1.0000001", "1")),
    ],
)
def test_two_numbers_get_as_many_digits_as_it_takes_to_differ(
    pair: tuple[float, float], digits: int, shown: tuple[str, str]
) -> None:
    assert apart(*pair, digits) == shown
