"""Numbers in answers and how far they are from the truth."""

from __future__ import annotations

import math

import pytest

from domainvl.evaluation.metrics.regression import TOLERANCES, read_quantity, rmse_score, within_score


def total(score) -> float:
    return float(score.combine(score.terms.sum(axis=0)))


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("6.3 m/s", "m/s", 6.3),
        ("6.3m/s", "m/s", 6.3),
        ("The speed is about 6.3.", "m/s", 6.3),
        ("0", "m/s", 0.0),
        ("36 km/h", "m/s", 10.0),
        ("10 mph", "m/s", 4.4704),
        ("10 miles per hour", "m/s", 4.4704),
        ("2 metres per second.", "m/s", 2.0),
        ("-3.2 degrees", "degrees", -3.2),
        ("−3.2°", "degrees", -3.2),
        ("+3.2 deg", "degrees", 3.2),
        ("3.2 degrees to the left", "degrees", 3.2),
        ("3.2 degrees to the right.", "degrees", -3.2),
        ("-3.2 degrees to the right", "degrees", -3.2),
        ("3 to the right", "degrees", -3.0),
        ("It turns right by 12 degrees", "degrees", -12.0),
        ("0.0 degrees", "degrees", 0.0),
    ],
)
def test_a_number_is_read_in_its_unit(text, unit, expected):
    assert read_quantity(text, unit) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("", "m/s"), ("fast", "m/s"), ("2-3 m/s", "m/s"), ("1,200 m/s", "m/s"), ("1e3", "m/s"), ("5 to 6 m/s", "m/s"),
        ("3 cars", "m/s"), ("3 m/s2", "m/s"), ("3 m/s^2", "m/s"), ("3 metres per second per second", "m/s"),
        ("3 degrees", "m/s"), ("v2.0", "m/s"), ("1/2", "m/s"), (".5 m/s", "m/s"), ("--5", "m/s"),
        ("3 degrees per second", "degrees"), ("-3 degrees to the left", "degrees"),
        ("+3 degrees to the right", "degrees"),
        ("In the right lane it turns 3 degrees", "degrees"), ("3 left turns", "degrees"), ("3 m/s", "degrees"),
    ],
)  # fmt: skip
def test_what_is_no_plain_number_in_a_known_unit_is_not_read(text, unit):
    assert read_quantity(text, unit) is None


def test_an_unknown_unit_is_refused():
    with pytest.raises(ValueError, match="'knots'"):
        read_quantity("3", "knots")


def test_rmse_by_hand():
    # Errors 3, 4 and none that can be read: root of 25 / 2.
    values, truths = [3.0, -4.0, None], [0.0, 0.0, 100.0]
    assert total(rmse_score(values, truths, leave_out_unread=True)) == pytest.approx(math.sqrt(12.5))
    assert total(rmse_score([1.0, 2.0], [1.0, 2.0])) == 0.0
    assert math.isnan(total(rmse_score([None], [1.0], leave_out_unread=True)))
    # The true number that is farthest from 100 is 0: errors 3, 4 and 100.
    assert total(rmse_score(values, truths)) == pytest.approx(math.sqrt(10025 / 3))
    # Farthest from 8 is 20, from 20 is 5; 5 itself is read.
    assert total(rmse_score([None, None, 5.0], [8.0, 20.0, 5.0])) == pytest.approx(math.sqrt((144 + 225) / 3))
    assert rmse_score([1.0], [1.0]).bounds is None


def test_an_answer_that_is_not_read_is_off_by_the_largest_tolerance_at_least():
    assert total(rmse_score([None], [1.0])) == 5.0
    assert total(rmse_score([None, None, 3.0], [1.0, 2.0, 3.0])) == pytest.approx(math.sqrt(50 / 3))
    assert math.isnan(total(rmse_score([], [])))


def test_within_by_hand():
    # Distances 0, 0.4, 0.5 and 3; one unreadable.
    values, truths = [1.0, 1.4, 1.5, 4.0, None], [1.0] * 5
    assert [total(within_score(values, truths, tau)) for tau in TOLERANCES] == [1 / 5, 2 / 5, 3 / 5, 4 / 5]


@pytest.mark.parametrize(("value", "truth"), [(6.4, 6.3), (6.3, 6.2), (-0.1, 0.0)])
def test_a_distance_of_tau_is_not_within_it_whatever_binary_makes_of_it(value, truth):
    assert total(within_score([value], [truth], 0.1)) == 0.0
    assert total(within_score([value], [truth], 0.11)) == 1.0


@pytest.mark.parametrize("score", [rmse_score, lambda values, truths: within_score(values, truths, 1.0)])
def test_lengths_must_agree(score):
    with pytest.raises(ValueError, match="got 1 and 2"):
        score([1.0], [1.0, 2.0])
