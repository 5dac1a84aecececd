"""What is chosen to be counted and compared."""

from __future__ import annotations

import pytest

from domainvl.schema.questions.comparing import dominant, pick_more, pick_to_count, worth_comparing


@pytest.mark.parametrize(
    ("amounts", "margin", "name"),
    [
        ({"a": 0.5, "b": 0.4375}, 0.0625, "a"),
        ({"a": 0.5, "b": 0.4375}, 0.07, None),
        ({"a": 0.5, "b": 0.5}, 0.0, None),
        ({"a": 0.5}, 0.0, None),
        ({}, 0.0, None),
    ],
)
def test_what_is_dominant_leads_by_the_margin(amounts, margin, name):
    assert dominant(amounts, margin) == name


def test_without_a_margin_equal_amounts_are_still_not_more():
    assert pick_more({"a": 0.5, "b": 0.5}, "k") is None
    assert pick_more({"a": 0.5, "b": 0.4}, "k") == ("a", "b")


def test_zero_is_counted_in_a_fixed_share_of_images_and_only_where_there_is_one():
    chosen = [pick_to_count(["a"], ["b"], str(n)) for n in range(400)]

    # Three standard deviations of 400 draws at 1/4 are 26.
    assert abs(chosen.count("b") - 100) <= 26
    assert chosen.count("a") + chosen.count("b") == 400
    assert {pick_to_count(["a"], [], str(n)) for n in range(40)} == {"a"}
    alone = [pick_to_count([], ["b"], str(n)) for n in range(400)]
    assert [name is not None for name in alone] == [name == "b" for name in chosen]
    assert pick_to_count([], [], "k") is None


@pytest.mark.parametrize(
    ("amounts", "kept"),
    [
        ({"a": 2, "b": 1, "c": 0}, {"a", "b"}),
        ({"a": 2, "b": 2, "c": 0}, {"a", "b", "c"}),
        ({"a": 2, "c": 0}, {"a", "c"}),
        ({"a": 2, "b": 2}, set()),
        ({"a": 2}, set()),
        ({"c": 0, "d": 0}, set()),
    ],
    ids=["differ", "tie", "alone", "tie without another", "single", "none there"],
)
def test_classes_are_compared_where_one_has_more(amounts, kept):
    assert worth_comparing(amounts, "k").keys() == kept
