import numpy as np
import pytest
from rasterio.enums import ColorInterp

from domainvl.converters.geotiff.bands import choose_bands
from domainvl.converters.geotiff.raster import open_scene
from domainvl.errors import ItemError


def choose(path, wanted=None):
    with open_scene(path, path.name) as dataset:
        return choose_bands(dataset, wanted, uri=path.name)


@pytest.fixture
def sentinel(tmp_path, write_scene):
    pixels = np.ones((4, 4, 4), dtype=np.uint16)
    return write_scene(tmp_path / "s2.tif", pixels, descriptions=("B02", "B03", "B04", "B08"))


def test_sentinel_names_give_red_green_blue(sentinel):
    assert choose(sentinel).numbers == (3, 2, 1)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(("nir", "red", "green"), (4, 3, 2)), (("B08",), (4,)), (("4", "b03", "1"), (4, 2, 1)), (("b8a",), None)],
)
def test_bands_are_found_by_number_role_and_name(sentinel, wanted, expected):
    if expected is None:
        with pytest.raises(ItemError, match="There is no band 'b8a'"):
            choose(sentinel, wanted)
    else:
        assert choose(sentinel, wanted).numbers == expected


def test_a_missing_role_is_an_error_that_names_it_and_what_there_is(sentinel):
    with pytest.raises(ItemError, match=r"'swir1' in s2\.tif.*b02.*b08") as error:
        choose(sentinel, ("swir1", "nir", "red"))
    assert error.value.reason == "missing-band"


@pytest.mark.parametrize("number", ["0", "5"])
def test_a_number_out_of_range_is_an_error(sentinel, number):
    with pytest.raises(ItemError, match=f"'{number}'.*4 bands"):
        choose(sentinel, (number,))


def test_names_without_leading_zero_are_no_roles(tmp_path, write_scene):
    # B4 is red on Sentinel-2 and Landsat 8, near infrared on Landsat 5: never guessed.
    path = write_scene(tmp_path / "l5.tif", np.ones((3, 4, 4), np.uint8), descriptions=("B4", "B3", "B2"))
    with pytest.raises(ItemError, match="'nir'"):
        choose(path, ("nir",))
    assert choose(path, ("B4", "B3", "B2")).numbers == (1, 2, 3)


def test_colour_interpretation_gives_roles(tmp_path, write_scene):
    import rasterio

    path = write_scene(tmp_path / "bgr.tif", np.ones((4, 4, 4), np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.alpha)
    assert choose(path).numbers == (3, 2, 1)


def test_an_alpha_band_is_no_colour(tmp_path, write_scene):
    path = write_scene(tmp_path / "grey.tif", np.ones((2, 4, 4), np.uint8), alpha="yes", photometric="MINISBLACK")
    choice = choose(path)
    assert choice.numbers == (1,)
    assert choice.warning is None


def test_without_roles_the_first_three_are_shown_and_that_is_said(real_data):
    choice = choose(next((real_data / "remote_sensing/opengeos__data/naip").glob("*2010*.tif")))
    assert choice.numbers == (1, 2, 3)
    assert "first three" in choice.warning


def test_one_band_is_grey_and_a_palette_is_told(tmp_path, write_scene, real_data):
    assert choose(write_scene(tmp_path / "one.tif", np.ones((1, 4, 4), np.int16))).numbers == (1,)
    assert choose(real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_cmap.tif").palette
