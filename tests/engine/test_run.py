"""The loop: everything is done once, what may have lacked room gets a try alone, divided units go first."""

from __future__ import annotations

from collections import Counter

import pytest
from faults import work

from domainvl.engine import InThisProcess, Outcome, UnitFailure, run_units
from domainvl.errors import StoppedError

RETRY = UnitFailure("crash", "it crashed", retry=True)
FINAL = UnitFailure("bad-item", "it is bad")


class Scripted:
    """Gives the outcomes that a test states, newest unit first, and notes what runs beside what."""

    def __init__(self, capacity, failures=None):
        self.capacity = capacity
        self.failures = {unit: list(planned) for unit, planned in (failures or {}).items()}
        self.running = []
        self.begun = []

    def submit(self, unit, *, alone):
        assert len(self.running) < self.capacity
        assert not alone or not self.running
        self.running.append(unit)
        self.begun.append((unit, alone))

    def next_outcome(self):
        unit = self.running.pop()
        planned = self.failures.get(unit)
        failure = planned.pop(0) if planned else None
        return Outcome(unit, None if failure else unit * 10, failure)

    def close(self):
        self.running.clear()


def test_every_unit_has_one_outcome():
    outcomes = list(run_units(range(7), Scripted(3)))

    assert Counter(outcome.unit for outcome in outcomes) == Counter(range(7))
    assert all(outcome.result == outcome.unit * 10 for outcome in outcomes)


def test_no_units_give_no_outcomes():
    assert list(run_units([], Scripted(2))) == []


def test_a_suspect_is_tried_again_alone_and_after_all_others():
    executor = Scripted(2, {1: [RETRY]})

    outcomes = list(run_units(range(5), executor))

    assert executor.begun[-1] == (1, True)
    assert [alone for _, alone in executor.begun[:-1]] == [False] * 5
    assert Counter(outcome.unit for outcome in outcomes) == Counter(range(5))
    assert all(outcome.failure is None for outcome in outcomes)


def test_what_fails_alone_too_has_failed():
    executor = Scripted(2, {1: [RETRY, RETRY], 3: [RETRY, RETRY]})

    failed = [outcome.unit for outcome in run_units(range(5), executor) if outcome.failure == RETRY]

    assert sorted(failed) == [1, 3]
    assert {unit for unit, alone in executor.begun if alone} == {1, 3}
    assert len(executor.begun) == 7


def test_a_fault_of_the_input_is_not_tried_again():
    executor = Scripted(2, {1: [FINAL]})

    outcomes = list(run_units(range(3), executor))

    assert [outcome.failure for outcome in outcomes if outcome.unit == 1] == [FINAL]
    assert len(executor.begun) == 3


def test_what_a_unit_is_divided_into_is_done_next_and_in_order():
    executor = Scripted(1)

    outcomes = run_units([1, 2], executor, follow_up=lambda outcome: [11, 12] if outcome.unit == 1 else [])

    assert [outcome.unit for outcome in outcomes] == [1, 11, 12, 2]


def test_pieces_of_a_unit_that_was_tried_alone_are_done_too():
    executor = Scripted(2, {1: [RETRY]})

    outcomes = run_units([1, 2], executor, follow_up=lambda outcome: [11, 12] if outcome.unit == 1 else [])

    assert Counter(outcome.unit for outcome in outcomes) == Counter([1, 2, 11, 12])


class TestInThisProcess:
    def test_units_are_done_in_order_when_they_are_asked_for(self):
        done = []
        outcomes = run_units(range(3), InThisProcess(done.append))

        next(outcomes)
        assert done == [0]
        list(outcomes)
        assert done == [0, 1, 2]

    def test_failures_are_isolated(self):
        units = [("double", 1), ("boom",), ("double", 2), ("item",)]

        outcomes = list(run_units(units, InThisProcess(work)))

        assert [outcome.result for outcome in outcomes] == [2, None, 4, None]
        assert [outcome.failure and outcome.failure.reason for outcome in outcomes] == [
            None,
            "internal-error",
            None,
            "bad-item",
        ]

    def test_a_full_disk_stops_it(self):
        outcomes = run_units([("double", 1), ("full",), ("double", 2)], InThisProcess(work))

        assert next(outcomes).result == 2
        with pytest.raises(StoppedError):
            next(outcomes)

    def test_an_error_of_the_one_who_listens_is_not_taken_for_one_of_the_unit(self):
        with pytest.raises(ZeroDivisionError):
            for outcome in run_units([("double", 1)], InThisProcess(work)):
                outcome.result / 0
