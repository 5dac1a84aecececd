"""Messages, exit codes and the way of an error from a worker process to its parent."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from domainvl import errors
from domainvl.errors import DomainvlError, ExitCode, ItemError, install_hint


def all_kinds(kind: type[DomainvlError] = DomainvlError) -> list[type[DomainvlError]]:
    found = [kind] if kind.__module__ == errors.__name__ else []
    return found + [each for child in kind.__subclasses__() for each in all_kinds(child)]


def example(kind: type[DomainvlError]) -> DomainvlError:
    extra = {"reason": "decode"} if issubclass(kind, ItemError) else {}
    return kind("Cannot read", where=Path("a.tif"), rule="it must have a CRS, got none", action="Assign one", **extra)


def _raise(kind: type[DomainvlError]) -> None:
    raise example(kind)


def test_the_tree_is_complete():
    assert {kind.__name__ for kind in all_kinds()} == {
        name for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, DomainvlError)
    }
    assert len(all_kinds()) >= 8


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Cannot read."),
        ({"where": "a.tif"}, "Cannot read in a.tif."),
        ({"rule": "it must have a CRS, got none"}, "Cannot read: it must have a CRS, got none."),
        ({"action": "Assign one"}, "Cannot read. Assign one."),
        ({"action": "Did you mean lora?"}, "Cannot read. Did you mean lora?"),
        (
            {"where": Path("a.tif"), "rule": "no CRS.", "action": "Assign one!"},
            "Cannot read in a.tif: no CRS. Assign one!",
        ),
    ],
)
def test_a_message_says_what_where_rule_and_action(fields, message):
    assert str(DomainvlError("Cannot read", **fields)) == message


def test_a_missing_extra_is_named_with_its_command():
    assert install_hint("gdcm") == "Install it with: pip install 'domainvl[gdcm]'"


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("copied", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy], ids=["pickle", "copy"])
def test_an_error_survives_copying(kind, copied):
    error = example(kind)

    twin = copied(error)

    assert type(twin) is kind
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)
    assert twin.exit_code == error.exit_code


def test_attributes_are_what_was_given():
    error = example(ItemError)

    assert vars(error) == {
        "what": "Cannot read",
        "where": "a.tif",
        "rule": "it must have a CRS, got none",
        "action": "Assign one",
        "reason": "decode",
    }


def test_an_error_crosses_a_process_border():
    with ProcessPoolExecutor(1) as pool:
        error = pool.submit(_raise, ItemError).exception()

    assert type(error) is ItemError
    assert (error.reason, str(error)) == ("decode", str(example(ItemError)))


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: kind.__name__)
def test_exit_codes(kind):
    codes = {
        "DomainvlError": 1,
        "NothingToDoError": 3,
        "StoppedError": 4,
        "OutputError": 4,
        "ItemError": 8,
        "LeftOutError": 8,
    }

    assert kind.exit_code == codes.get(kind.__name__, 2)
    assert kind.exit_code in list(ExitCode)


def test_the_table_of_exit_codes():
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "INTERNAL_ERROR": 1,
        "USAGE": 2,
        "NOTHING_DONE": 3,
        "STOPPED": 4,
        "PARTIAL": 8,
    }


def test_a_message_without_the_action_says_the_rest() -> None:
    error = ItemError("Cannot use it", reason="decode", where="a.png", rule="it is cut off", action="Mend it")
    assert str(error) == "Cannot use it in a.png: it is cut off. Mend it."
    assert error.without_action == "Cannot use it in a.png: it is cut off."
