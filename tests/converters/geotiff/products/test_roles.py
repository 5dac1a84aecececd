import pytest
import rasterio

from domainvl.converters.geotiff.products import roles_of
from domainvl.converters.geotiff.products.roles import detect_sensor, find_sensor
from domainvl.errors import ItemError, UsageError


def roles(descriptions, colours=None, sensor=None, **options):
    descriptions = [None] * descriptions if isinstance(descriptions, int) else descriptions
    colours = colours or ["undefined"] * len(descriptions)
    return roles_of(descriptions, colours, len(descriptions), sensor, **options)


def only_roles(*args, **options):
    return [role for _, role in roles(*args, **options)]


@pytest.mark.parametrize(
    ("descriptions", "expected"),
    [
        (["B02", "B03", "B04", "B08"], ["blue", "green", "red", "nir"]),
        (["B04", "B03", "B02"], ["red", "green", "blue"]),
        (["B8A", "B11", "B12", "B05"], ["nir-narrow", "swir1", "swir2", "rededge1"]),
        (["B05", "B06", "B07"], [None, None, None]),  # red edge on Sentinel-2, infrared on harmonised Landsat
        (["B4", "B3", "B2"], [None, None, None]),  # red on Landsat 8, infrared on Landsat 5
        (["B4, central wavelength 665 nm", "B8, central wavelength 842 nm"], ["red", "nir"]),
        (["Red", "GREEN", "near-infrared", "SWIR_2"], ["red", "green", "nir", "swir2"]),
        (["Gamma0_VV", "Gamma0_VH", "VV/VH"], ["vv", "vh", None]),
        (["NDVI", None], [None, None]),
    ],
)
def test_geo_01_descriptions_give_roles_where_they_mean_one_thing(descriptions, expected):
    assert only_roles(descriptions) == expected


def test_geo_01_order_alone_gives_no_role():
    assert roles(4) == [("1", None), ("2", None), ("3", None), ("4", None)]


def test_geo_01_colours_give_roles_of_bands_without_description():
    colours = ["blue", "green", "red", "nir", "alpha"]
    assert only_roles(5, colours) == ["blue", "green", "red", "nir", "alpha"]
    assert only_roles(["Band 1", "Band 2", "band_3"], ["red", "green", "blue"]) == ["red", "green", "blue"]


def test_geo_01_a_description_wins_over_the_colour_that_gdal_gives_any_three_bytes():
    assert only_roles(["elevation", "slope", "aspect"], ["red", "green", "blue"]) == [None, None, None]
    assert only_roles(["B4", "B3", "B2"], ["red", "green", "blue"]) == [None, None, None]


def test_geo_01_a_role_that_two_bands_claim_is_given_to_neither():
    assert only_roles(["red", "red", "green"]) == [None, None, "green"]
    assert only_roles(2, ["swir", "swir"]) == [None, None]


@pytest.mark.parametrize(
    ("sensor", "descriptions", "expected"),
    [
        ("landsat-8", ["B4", "B5", "B6"], ["red", "nir", "swir1"]),
        ("landsat-5", ["B4", "B5", "B7"], ["nir", "swir1", "swir2"]),
        ("landsat-8", ["SR_B4", "ST_B10", "QA_PIXEL"], ["red", "thermal1", None]),
        ("sentinel-2", ["B4", "b8", "SCL"], ["red", "nir", None]),
        ("sentinel-2", ["Red", "NIR", "B05"], ["red", "nir", "rededge1"]),
        ("planetscope", ["blue", "green_i", "rededge"], ["blue", "green1", "rededge1"]),
    ],
)
def test_geo_01_a_sensor_gives_roles_by_band_name(sensor, descriptions, expected):
    assert only_roles(descriptions, sensor=sensor) == expected


@pytest.mark.parametrize(
    ("sensor", "count", "expected"),
    [
        ("naip", 4, ["red", "green", "blue", "nir"]),
        ("planetscope", 4, ["blue", "green", "red", "nir"]),
        ("planetscope", 8, ["coastal", "blue", "green1", "green", "yellow", "red", "rededge1", "nir"]),
        ("sentinel-2", 4, ["blue", "green", "red", "nir"]),
        ("landsat-7", 6, ["blue", "green", "red", "nir", "swir1", "swir2"]),
        ("sentinel-1", 2, ["vv", "vh"]),
        ("rgb", 3, ["red", "green", "blue"]),
    ],
)
def test_geo_01_a_sensor_gives_roles_by_order_where_the_count_fits(sensor, count, expected):
    assert only_roles(count, sensor=sensor) == expected


def test_geo_01_alpha_is_not_counted_among_the_bands_of_a_sensor():
    colours = ["undefined"] * 4 + ["alpha"]
    assert only_roles(5, colours, sensor="naip") == ["red", "green", "blue", "nir", "alpha"]


@pytest.mark.parametrize("descriptions", [7, ["elevation", "slope", "aspect", "x"]])
def test_geo_01_a_sensor_that_does_not_fit_is_an_error_that_names_both(descriptions):
    with pytest.raises(ItemError, match=r"sensor naip in a\.tif: it has \d bands.*R, G, B, N") as error:
        roles(descriptions, sensor="naip", uri="a.tif")
    assert error.value.reason == "sensor-mismatch"


def test_geo_01_a_sensor_told_from_a_file_name_gives_an_order_only_where_its_producer_stacks_bands():
    assert only_roles(4, sensor="naip", is_certain=False) == ["red", "green", "blue", "nir"]
    assert only_roles(4, sensor="sentinel-2", is_certain=False) == [None] * 4
    assert only_roles(3, ["red", "green", "blue"], sensor="planetscope", is_certain=False) == ["red", "green", "blue"]


def test_an_unknown_sensor_is_an_error_that_lists_the_known():
    with pytest.raises(UsageError, match="'sentinel2'.*sentinel-2, landsat-8"):
        find_sensor("sentinel2")


@pytest.mark.parametrize(
    ("stem", "sensor"),
    [
        ("m_4709963_se_14_1_20100629", "naip"),
        ("m_4709963_se_14_060_20200831_20201103", "naip"),
        ("S2A_MSIL2A_20230701T104631_N0509_R051_T31UFT_20230701T170000", "sentinel-2"),
        ("T31UFT_20230701T104631_TCI_10m", "sentinel-2"),
        ("LC09_L2SP_029030_20240616_20240617_02_T1", "landsat-8"),
        ("LE07_L1TP_038035_20190618_20190618_01_RT", "landsat-7"),
        ("LT05_L2SP_046028_19840719_20200918_02_T1_SR_B4", "landsat-5"),
        ("LC80340302019133LGN00", "landsat-8"),
        ("LM05_L1TP_046028_19840719_20200918_02_T1", None),
        ("20190702_183035_0f3c_3B_AnalyticMS_SR_clip", "planetscope"),
        ("20220702_183035_45_2416_3B_AnalyticMS_8b", "planetscope"),
        ("20190702_183035_0f3c_3B_Visual", None),
        ("S1B_IW_GRDH_1SDV_20200106T015322_20200106T015347_019690_025387_1BC3", "sentinel-1"),
        ("sentinel2_berlin", None),
        ("naip_2010", None),
    ],
)
def test_geo_01_a_sensor_is_told_only_from_names_that_its_producer_gives(stem, sensor):
    assert detect_sensor(stem) == sensor


def test_geo_01_real_naip_files_have_roles_by_their_name(real_data):
    for path in sorted((real_data / "remote_sensing/opengeos__data/naip").glob("*.tif")):
        with rasterio.open(path) as dataset:
            colours = [colour.name for colour in dataset.colorinterp]
            args = (dataset.descriptions, colours, dataset.count)
        assert [role for _, role in roles_of(*args, None)] == [None] * 4
        found = roles_of(*args, detect_sensor(path.stem), is_certain=False)
        assert found == [("R", "red"), ("G", "green"), ("B", "blue"), ("N", "nir")]
