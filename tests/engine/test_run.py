"""A unit that fails becomes a failure; the others go on, in order."""

from __future__ import annotations

import pytest

from domainvl.engine import run_units
from domainvl.errors import ItemError, UsageError


def work(unit):
    match unit:
        case "item":
            raise ItemError(
                "Cannot read", reason="no-crs", where="a.tif", rule="it must have a CRS", action="Assign one"
            )
        case "usage":
            raise UsageError("Wrong setting")
        case "memory":
            raise MemoryError
        case "deep":
            return work(unit)
        case "stop":
            raise KeyboardInterrupt
    return unit * 2


def test_results_come_in_the_order_of_the_units():
    outcomes = list(run_units([3, 1, 2], work))

    assert [(outcome.unit, outcome.result, outcome.failure) for outcome in outcomes] == [
        (3, 6, None),
        (1, 2, None),
        (2, 4, None),
    ]


def test_an_item_error_keeps_its_reason_message_and_action():
    (outcome,) = run_units(["item"], work)

    assert outcome.result is None
    assert outcome.failure is not None
    assert outcome.failure.reason == "no-crs"
    assert outcome.failure.message == "Cannot read in a.tif: it must have a CRS. Assign one."
    assert outcome.failure.action == "Assign one"


@pytest.mark.parametrize(
    ("unit", "start"),
    [("memory", "MemoryError at test_run.py:"), ("deep", "RecursionError at "), ("usage", "UsageError: Wrong setting")],
)
def test_any_exception_is_isolated_and_named(unit, start):
    outcomes = list(run_units([1, unit, 2], work))

    assert [outcome.result for outcome in outcomes] == [2, None, 4]
    assert [outcome.failure is None for outcome in outcomes] == [True, False, True]
    failure = outcomes[1].failure
    assert failure.reason == "internal-error"
    assert failure.message.startswith(start)
    assert failure.action is not None


def test_the_text_of_an_unforeseen_error_goes_nowhere():
    """It may hold paths or names of people."""

    def work_on_a_person(unit):
        raise ValueError("cannot read /home/jane/doe.dcm")

    (outcome,) = run_units([1], work_on_a_person)
    assert "jane" not in str(outcome.failure)
    assert "ValueError at test_run.py" in outcome.failure.message


def test_a_request_to_stop_is_obeyed():
    outcomes = run_units([1, "stop", 2], work)

    assert next(outcomes).result == 2
    with pytest.raises(KeyboardInterrupt):
        next(outcomes)


def test_units_are_run_when_their_outcome_is_asked_for():
    done = []
    outcomes = run_units(range(3), done.append)

    next(outcomes)

    assert done == [0]


def test_no_units_give_no_outcomes():
    assert list(run_units([], work)) == []


def test_an_exception_of_the_consumer_is_not_taken_for_a_failure_of_the_unit():
    with pytest.raises(ZeroDivisionError):
        for outcome in run_units([1, 2], work):
            outcome.result / 0
