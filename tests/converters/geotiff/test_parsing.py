"""Settings that are written as text."""

import pytest

from domainvl.converters.geotiff.parsing import (
    NodataRule,
    StretchMode,
    TaskChoice,
    ViewRequest,
    parse_bands,
    parse_nodata,
    parse_stretch,
    parse_tasks,
    parse_views,
)
from domainvl.errors import UsageError
from domainvl.schema import Task


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", None),
        ("none", StretchMode("none")),
        ("dtype", StretchMode("dtype")),
        ("fixed:-25,0.5", StretchMode("fixed", -25.0, 0.5)),
        ("percentile:2,98", StretchMode("percentile", 2.0, 98.0)),
        ("stddev:2.5", StretchMode("stddev", 0.0, 2.5)),
    ],
)
def test_geo_02_a_stretch_is_read_and_written_the_same(text, expected):
    assert parse_stretch(text) == expected
    assert expected is None or str(expected) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "linear", "fixed", "fixed:3", "fixed:5,5", "fixed:0,inf", "percentile:-1,98", "percentile:2,101"),
        *("none:1,2", "dtype:8", "stddev", "stddev:0", "stddev:-1", "stddev:inf", "stddev:1,2", "fixed:nan,1"),
    ],
)
def test_a_wrong_stretch_is_refused_with_the_value_seen(text):
    with pytest.raises(UsageError, match="stretch") as error:
        parse_stretch(text)
    assert repr(text) in str(error.value)


def test_bands_are_one_or_three():
    assert parse_bands("nir, red,3") == ("nir", "red", "3")
    assert parse_bands("B08") == ("B08",)
    for text in ("", "1,2", "1,,3", "1,2,3,4"):
        with pytest.raises(UsageError, match="--bands"):
            parse_bands(text)


def test_views_are_names_or_names_with_bands():
    assert parse_views(["true-colour", "heat=B10", "odd = 3, 2,1"]) == (
        ViewRequest("true-colour"),
        ViewRequest("heat", ("B10",)),
        ViewRequest("odd", ("3", "2", "1")),
    )


@pytest.mark.parametrize(
    ("texts", "rule"),
    [
        ([""], "NAME or NAME=BANDS, got ''"),
        (["=1"], "NAME or NAME=BANDS, got '=1'"),
        (["odd=1,2"], "one band .grey. or three"),
        (["odd="], "one band .grey. or three"),
        (["ndvi", "ndvi=4"], "ndvi is given twice"),
    ],
)
def test_a_wrong_view_is_refused(texts, rule):
    with pytest.raises(UsageError, match=rule):
        parse_views(texts)


def test_nodata_is_a_number_nan_or_none():
    assert parse_nodata(None) is None
    assert parse_nodata("none") == NodataRule(None)
    assert parse_nodata("-9999") == NodataRule(-9999.0)
    value = parse_nodata("nan").value
    assert value != value
    with pytest.raises(UsageError, match="'black'"):
        parse_nodata("black")


def test_tasks_are_listed_or_all_or_left_to_the_labels():
    assert parse_tasks("auto") is None
    assert parse_tasks("counting, change") == TaskChoice((Task.COUNTING,), change=True)
    everything = parse_tasks("all")
    assert everything.change
    assert {Task.DETECTION, Task.REGION, Task.CAPTION, Task.CLASSIFICATION} < set(everything.tasks)


@pytest.mark.parametrize(
    ("text", "rule"),
    [("counting,counting", "counting is named twice"), ("", "got ''"), ("guess", "got 'guess'"), ("ocr", "got 'ocr'")],
)
def test_a_wrong_task_is_refused(text, rule):
    with pytest.raises(UsageError, match=rule):
        parse_tasks(text)
