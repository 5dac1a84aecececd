"""What goes wrong in a unit stays in it, with a name; a full disk is nobody's fault and stops the run."""

from __future__ import annotations

import errno

import pytest

from domainvl.engine import attempt
from domainvl.errors import ItemError, OutputError, StoppedError, UsageError


def raising(error):
    def work(unit):
        raise error

    return work


def test_a_result_is_passed_on():
    outcome = attempt(lambda unit: unit * 2, 21)

    assert (outcome.unit, outcome.result, outcome.failure) == (21, 42, None)


def test_an_item_error_keeps_its_reason_message_and_action():
    error = ItemError("Cannot read", reason="no-crs", where="a.tif", rule="it must have a CRS", action="Assign one")

    failure = attempt(raising(error), 1).failure

    assert (failure.reason, failure.action, failure.retry) == ("no-crs", "Assign one", False)
    assert failure.message == "Cannot read in a.tif: it must have a CRS. Assign one."


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("cannot read /home/jane/doe.dcm"), "ValueError at test_work.py:15"),
        (UsageError("Wrong setting"), "UsageError: Wrong setting."),
        (OSError(errno.EIO, "bad sector", "/home/jane/doe.dcm"), "OSError at test_work.py:15"),
    ],
)
def test_of_an_unforeseen_error_kind_and_place_are_told_and_nothing_that_may_name_a_person(error, message):
    failure = attempt(raising(error), 1).failure

    assert (failure.reason, failure.message, failure.retry) == ("internal-error", message, False)
    assert failure.action


def test_endless_recursion_is_one_failure():
    def deep(unit):
        return deep(unit)

    assert attempt(deep, 1).failure.message.startswith("RecursionError at test_work.py")


def test_want_of_memory_may_be_the_fault_of_others():
    failure = attempt(raising(MemoryError()), 1).failure

    assert (failure.reason, failure.retry) == ("out-of-memory", True)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_cannot_be_written_stops_the_run(number):
    with pytest.raises(OutputError, match=r"x\.png") as caught:
        attempt(raising(OSError(number, "no", "x.png")), 1)

    assert caught.value.exit_code == 4


def test_a_request_to_stop_is_obeyed():
    for error in (KeyboardInterrupt(), StoppedError("Enough")):
        with pytest.raises(type(error)):
            attempt(raising(error), 1)
