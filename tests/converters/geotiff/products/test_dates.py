import pytest
import rasterio

from domainvl.converters.geotiff.products import date_from_tags
from domainvl.converters.geotiff.products.dates import date_from_name, date_from_text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Of producers: the day of acquisition, not that of processing.
        ("LC08_L2SP_136038_20250201_20250208_02_T1_SR_B4", "2025-02-01"),
        ("LC80340302019133LGN00", "2019-05-13"),
        ("LC80340302019366LGN00", None),  # 2019 has 365 days
        ("S2A_MSIL2A_20200221T102041_N0214_R065_T32TQM_20200222T000000", "2020-02-21"),
        ("T31UFT_20230701T104631_B04_10m", "2023-07-01"),
        ("S1B_IW_GRDH_1SDV_20200106T015322_20200106T015347_019690_025387_1BC3", "2020-01-06"),
        ("s1a-iw-grd-vv-20150705t064241-20150705t064306-006672-008ea0-001", "2015-07-05"),
        ("m_4709963_se_14_060_20200831_20201103", "2020-08-31"),
        ("20190702_183035_0f3c_3B_AnalyticMS", "2019-07-02"),
        # Of others: where exactly one date is meant.
        ("berlin_20180716_ndvi", "2018-07-16"),
        ("berlin-2018-07-16", "2018-07-16"),
        ("2018_07_16", "2018-07-16"),
        ("site 2018.07.16 a", "2018-07-16"),
        ("before_2018-07", "2018-07"),
        ("1985", "1985"),
        # Never guessed.
        ("berlin_20180716_20190716", None),
        ("berlin_20181316", None),
        ("berlin_20180230", None),
        ("tile_12345678", None),
        ("tile_99990101", None),
        ("1201807165", None),
        ("tile_2000", None),
        ("3000", None),
        ("201404_13SED190110_201404_0x1500m_CL_1", None),
        ("2018-07-3", None),
        ("2018-13", None),
        ("cog", None),
        ("", None),
    ],
)
def test_geo_38_a_date_is_read_from_a_name_or_unknown(name, expected):
    assert date_from_name(name) == expected


def test_geo_38_dates_of_any_precision_sort_as_text():
    days = [date_from_name(name) for name in ("1985", "a_1985-03", "a_1985-03-02", "a_1985-12", "1986")]
    assert None not in days and sorted(reversed(days)) == days


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-02-21T10:20:41.024Z", "2020-02-21"),
        ("2018:07:16 06:06:23", "2018-07-16"),
        ("0000:00:00 00:00:00", None),
        ("yesterday", None),
    ],
)
def test_geo_38_dates_of_metadata_are_read(text, expected):
    assert date_from_text(text) == expected


def test_geo_38_the_tag_of_acquisition_wins_over_that_of_writing():
    tags = {"TIFFTAG_DATETIME": "2021:01:01 00:00:00", "ACQUISITIONDATETIME": "2020-06-15 18:52:57"}
    assert date_from_tags(tags) == "2020-06-15"
    assert date_from_tags({"TIFFTAG_DATETIME": "2021:01:01 00:00:00"}) == "2021-01-01"
    assert date_from_tags({"TIFFTAG_DATETIME": "2021:01:01 00:00:00"}, written=False) is None
    assert date_from_tags({"ACQUISITIONDATETIME": "2020-06-15", "DATE_ACQUIRED": "2020-06-16"}) is None
    assert date_from_tags({}) is None


def test_geo_38_real_files_have_the_dates_of_their_names_and_tags(real_data):
    data = real_data / "remote_sensing"
    names = [path.stem for path in sorted((data / "opengeos__data/naip").glob("*.tif"))]
    assert [date_from_name(name) for name in names] == ["2010-06-29", "2016-08-16", "2020-08-31"]
    names = [path.stem for path in sorted((data / "opengeos__data/landsat").glob("*.tif"))]
    assert [date_from_name(name) for name in names] == ["1985", "2000", "2020"]
    with rasterio.open(data / "cogeotiff__rio-tiler/tests/fixtures/cog_gcps.tif") as dataset:
        assert date_from_tags(dataset.tags()) == "2018-07-16"
