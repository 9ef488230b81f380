"""Which engines the schedule is asked about: each at once, and those that it declined after a round of results."""

from __future__ import annotations

from sweep.run.idle import Idle, Leaving


def test_an_engine_is_due_as_soon_as_it_is_idle_and_not_while_it_works() -> None:
    idle = Idle(["e1", "e2"])
    assert idle.due() == ["e1", "e2"]
    idle.remove("e1")
    idle.decline(engines=2)
    assert idle.due() == []
    idle.add("e1")
    assert idle.due() == ["e1"]


def test_a_declined_engine_is_due_again_after_as_many_results_as_engines_work() -> None:
    idle = Idle(["e1"])
    idle.decline(engines=3)
    idle.one_result()
    assert idle.due() == []
    idle.one_result()
    assert idle.due() == ["e1"]
    idle.decline(engines=3)
    assert idle.due() == []


def test_a_declined_engine_is_due_again_when_something_unexpected_comes() -> None:
    idle = Idle(["e1", "e2"])
    idle.decline(engines=9)
    idle.something_else()
    idle.add("e3")
    assert idle.due() == ["e1", "e2", "e3"]


def test_where_no_engine_works_the_idle_ones_stay_due() -> None:
    idle = Idle(["e1"])
    idle.decline(engines=1)
    assert idle.due() == ["e1"]


def test_who_is_to_leave_is_looked_for_after_a_round_of_results() -> None:
    leaving, looks = Leaving(), []

    def find() -> frozenset[str]:
        looks.append("look")
        return frozenset({f"e{len(looks)}"})

    # Of three engines, three results are a round.
    for _ in range(2):
        leaving.one_result()
        assert leaving.found(3, find) == frozenset()
    leaving.one_result()
    assert leaving.found(3, find) == {"e1"}
    leaving.one_result()
    assert leaving.found(3, find) == {"e1"}
    assert looks == ["look"]
