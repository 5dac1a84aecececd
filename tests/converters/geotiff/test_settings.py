from pathlib import Path

import pytest

from domainvl.converters.geotiff import GeotiffSettings
from domainvl.converters.geotiff.settings import NodataRule, StretchMode, parse_bands, parse_nodata, parse_stretch
from domainvl.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", None),
        ("none", StretchMode("none")),
        ("dtype", StretchMode("dtype")),
        ("fixed:-25,0.5", StretchMode("fixed", -25.0, 0.5)),
        ("percentile:2,98", StretchMode("percentile", 2.0, 98.0)),
    ],
)
def test_stretch_is_read(text, expected):
    assert parse_stretch(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "linear", "fixed", "fixed:3", "fixed:5,5", "fixed:0,inf", "percentile:-1,98", "percentile:2,101", "none:1,2"],
)
def test_a_wrong_stretch_is_refused_with_the_value_seen(text):
    with pytest.raises(UsageError, match="stretch") as error:
        parse_stretch(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("text", ["", "1,2", "1,,3", "1,2,3,4"])
def test_bands_are_one_or_three(text):
    with pytest.raises(UsageError, match="--bands"):
        parse_bands(text)


def test_nodata_is_a_number_nan_or_none():
    assert parse_nodata(None) is None
    assert parse_nodata("none") == NodataRule(None)
    assert parse_nodata("-9999") == NodataRule(-9999.0)
    value = parse_nodata("nan").value
    assert value != value
    with pytest.raises(UsageError, match="'black'"):
        parse_nodata("black")


def test_overlap_must_stay_below_the_tile():
    with pytest.raises(UsageError, match="--overlap-px must be below --tile-px 64, got 64"):
        GeotiffSettings(tile_px=64, overlap_px=64).check()


def test_the_manifest_does_not_name_the_local_folder_of_the_labels():
    assert GeotiffSettings(labels=Path("some/where/labels.gpkg")).public()["labels"] == "labels.gpkg"


def test_every_setting_is_described():
    assert [name for name, field in GeotiffSettings.model_fields.items() if not field.description] == []
