"""Shares and areas are read with their units, and nothing is guessed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.evaluation.items import score
from domainvl.evaluation.metrics.measures import is_right_measure, measure_distance, read_measure, tolerance_name
from domainvl.evaluation.predictions import Prediction
from domainvl.schema import MeasureAnswer, Task
from domainvl.schema.wording import written_measure

UNITS = ["%", "m2", "ha", "mm", "mm2", "m"]


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("37%", "%", 37.0), ("37 %", "%", 37.0), ("37", "%", 37.0), ("37.", "%", 37.0),
        ("About 37.5 percent.", "%", 37.5),
        ("37 per cent", "%", 37.0), ("12 percentage points", "%", 12.0), ("37 of the image", "%", 37.0),
        ("1200 m2", "m2", 1200.0), ("1200m2", "m2", 1200.0), ("1200 m\u00b2", "m2", 1200.0), ("1200 m^2", "m2", 1200.0),
        ("1200", "m2", 1200.0), ("0.5 ha", "m2", 5000.0), ("0.5 Hectares", "m2", 5000.0), ("2 km2", "ha", 200.0),
        ("5000 square metres", "ha", 0.5), ("5000 square meters of it", "ha", 0.5), ("37, I think", "%", 37.0),
        ("1200 (ha)", "m2", 12_000_000.0), ("37 percent, or 38", "%", 37.0),
        ("0", "ha", 0.0), ("0.25", "ha", 0.25),
        ("12.5 mm", "mm", 12.5), ("12.5", "mm", 12.5), ("1.25 cm", "mm", 12.5), ("about 12 millimeters.", "mm", 12.0),
        ("0.5 m", "mm", 500.0), ("350 mm2", "mm2", 350.0), ("3.5 cm\u00b2", "mm2", 350.0), ("350 mm^2", "mm2", 350.0),
        ("350 square millimetres", "mm2", 350.0), ("3.5 sq cm", "mm2", 350.0), ("0.02 m2", "mm2", 20_000.0),
        ("12.5 m", "m", 12.5), ("12.5", "m", 12.5), ("about 12 metres.", "m", 12.0), ("1250 cm", "m", 12.5),
        ("1 meter", "m", 1.0),
    ],
)  # fmt: skip
def test_what_is_read(text, unit, value):
    assert read_measure(text, unit) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("", "%"), ("none", "%"), ("37 m2", "%"), ("37%", "m2"), ("37 ha", "%"), ("-3%", "%"), ("30-40%", "%"),
        ("1,200 m2", "m2"), ("1.200.000 m2", "m2"), ("1/2", "%"), ("3x", "%"), ("m2", "m2"), (".5 ha", "ha"),
        ("5km", "m2"), ("1e3 m2", "m2"), ("x2", "m2"), ("9" * 400, "m2"), ("two", "%"),
        ("1 200 m2", "m2"), ("1\u202f200 m2", "m2"), ("1'200 m2", "m2"), ("1, 200", "m2"), ("2 acres", "m2"),
        ("2 acres", "ha"), ("2 (acres)", "ha"), ("1200 m", "m2"), ("30 to 40%", "%"), ("30 - 40 %", "%"),
        ("30 \u2013 40 %", "%"), ("3 of 4", "%"),
        ("12 mm", "mm2"), ("12 mm2", "mm"), ("12 mm", "m2"), ("12 mm", "%"), ("12 inches", "mm"), ("12 x 8 mm", "mm"),
        ("12-15 mm", "mm"), ("3 / 4", "%"), ("3 trees", "%"),
        ("12 m2", "m"), ("12 km", "m"), ("10 to 20 m", "m"), ("12 m/s", "m"),
    ],
)  # fmt: skip
def test_what_is_not_read(text, unit):
    assert read_measure(text, unit) is None


@given(st.text(max_size=20), st.sampled_from(UNITS))
def test_any_text_is_read_or_not(text, unit):
    value = read_measure(text, unit)

    assert value is None or (value >= 0 and math.isfinite(value))


@given(st.just(0.0) | st.floats(1e-6, 1e9), st.sampled_from(UNITS))
def test_what_the_wording_writes_is_always_right(value, unit):
    value = value % 100 if unit == "%" else value
    read = read_measure(written_measure(value, unit), unit)

    # Percent are rounded to whole ones, the others to three digits: at most 5 in 1,000.
    assert read is not None
    assert measure_distance(read, value, unit) <= (0.5 if unit == "%" else 0.0051)


@pytest.mark.parametrize(
    ("truth", "unit", "text", "correct", "error"),
    [
        (37.0, "%", "37%", True, 0.0), (37.0, "%", "40.7%", True, 3.7), (37.0, "%", "33.3", True, 3.7),
        (37.0, "%", "40.8%", False, 3.8), (37.0, "%", "33%", False, 4.0), (10.0, "%", "11%", True, 1.0),
        (10.0, "%", "12%", False, 2.0), (2.0, "%", "3%", True, 1.0), (2.0, "%", "1%", True, 1.0),
        (2.0, "%", "3.1%", False, 1.1), (2.0, "%", "0%", False, 2.0), (0.6, "%", "1%", True, 0.4),
        (1000.0, "m2", "1100 m2", True, 0.1), (1000.0, "m2", "1101 m2", False, 0.101),
        (1000.0, "m2", "0.1 ha", True, 0.0), (0.3, "ha", "0.33 ha", True, 0.1),
        (0.3, "ha", "0.331 ha", False, 0.031 / 0.3),
        (0.5, "ha", "4500 m2", True, 0.1), (0.5, "ha", "4500", False, 8999.0), (0.0, "m2", "0", True, 0.0),
        (0.0, "m2", "1", False, math.inf), (37.0, "%", "37 m2", False, None), (37.0, "%", "", False, None),
        (37.0, "%", "many", False, None), (50.0, "mm", "5.5 cm", True, 0.1), (50.0, "mm", "44 mm", False, 0.12),
        (50.0, "mm", "50 mm2", False, None), (400.0, "mm2", "4.2 cm2", True, 0.05),
    ],
)  # fmt: skip
def test_measures_are_scored_within_a_tolerance(make_sample, truth, unit, text, correct, error):
    sample = make_sample(answer=MeasureAnswer(value=truth, unit=unit), task=Task.AREA)
    item = score(sample, Prediction(sample_id="s", text=text, likelihood=1.0))

    assert (item.correct, item.measure_error) == (correct, error if error is None else pytest.approx(error))
    assert item.tolerance == ("within 10% or 1 point" if unit == "%" else "within 10%")
    assert (item.iou, item.count_error) == (None, None)


def test_the_name_of_the_metric_holds_its_tolerance():
    assert [tolerance_name(unit) for unit in UNITS] == ["within 10% or 1 point", *["within 10%"] * 5]


def test_no_constant_is_right_for_most_small_shares():
    """Of shares spread evenly from 1 to 11 %, which five points around 6 % would all contain."""
    shares = [1 + n / 100 for n in range(1001)]
    best = max(sum(is_right_measure(value, truth, "%") for truth in shares) for value in range(13))

    assert best / len(shares) < 0.25
