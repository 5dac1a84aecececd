"""The settings that name tasks and marks."""

from __future__ import annotations

import pytest

from domainvl.converters.medical.tasks import TASKS, parse_marks, parse_tasks
from domainvl.errors import UsageError


def test_all_and_auto():
    assert parse_tasks("all") == frozenset(TASKS)
    assert parse_tasks("all") - parse_tasks(" auto ") == {"region", "detection", "caption"}


def test_names_are_read_in_any_order():
    assert parse_tasks("report, modality") == {"modality", "report"}
    assert parse_marks("mask,contour") == parse_marks("contour, mask") == ("contour", "mask")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modality,colour", "got 'colour'"),
        ("", "got ''"),
        ("auto,modality", "got 'auto'"),
        ("view,view", "view is named"),
    ],
)
def test_other_tasks_are_refused(text, said):
    with pytest.raises(UsageError, match=said):
        parse_tasks(text)


@pytest.mark.parametrize("text", ["", "circle", "mask,mask", "all"])
def test_other_marks_are_refused(text):
    with pytest.raises(UsageError, match="--marks"):
        parse_marks(text)
