"""Bands by number, role and name, and what views make of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from domainvl.cli.main import main
from domainvl.converters.geotiff import GeotiffSettings
from domainvl.converters.geotiff.drawing import Ground, render
from domainvl.converters.geotiff.looks import choose_views
from domainvl.converters.geotiff.parsing import ViewRequest
from domainvl.converters.geotiff.products import Band, find_products
from domainvl.converters.geotiff.reading import open_product
from domainvl.converters.geotiff.stretch import Stretch
from domainvl.converters.geotiff.views import BandChooser, Channel, View, choose_view
from domainvl.errors import ExitCode, ItemError

GROUND = Ground((2.0, 3.0), "power")


def views_of(path, **settings):
    (product,) = find_products(path).products
    with open_product(product) as opened:
        return choose_views(opened, GeotiffSettings(**settings))


def numbers_of(path, **settings):
    (view,) = views_of(path, **settings)
    return tuple(band.number for channel in view.channels for band in channel.bands)


@pytest.fixture
def sentinel(tmp_path, write_scene):
    pixels = np.ones((4, 4, 4), dtype=np.uint16)
    return write_scene(tmp_path / "s2.tif", pixels, descriptions=("B02", "B03", "B04", "B08"))


def test_geo_01_names_of_sentinel_2_give_red_green_blue(sentinel):
    assert numbers_of(sentinel) == (3, 2, 1)


@pytest.mark.parametrize(
    ("bands", "expected"), [("nir,red,green", (4, 3, 2)), ("B08", (4,)), ("4,b03,1", (4, 2, 1)), ("NIR", (4,))]
)
def test_geo_01_bands_are_found_by_number_role_and_name(sentinel, bands, expected):
    assert numbers_of(sentinel, bands=bands) == expected
    assert numbers_of(sentinel, view=[f"mine={bands}"]) == expected


@pytest.mark.parametrize("bands", ["b8a", "swir1", "0", "5"])
def test_geo_01_a_missing_band_is_an_error_that_names_it_and_what_there_is(sentinel, bands):
    with pytest.raises(ItemError, match=rf"'{bands}' in s2\.tif: it has 4 bands.*b02.*b08") as error:
        numbers_of(sentinel, bands=bands)
    assert error.value.reason == "missing-band"
    assert "--sensor" in error.value.action


def test_geo_01_a_sensor_gives_bands_without_names_their_roles(tmp_path, write_scene):
    path = write_scene(tmp_path / "planet.tif", np.ones((4, 4, 4), np.uint16))
    assert numbers_of(path) == (1, 2, 3)
    (product,) = find_products(path).products
    stated = replace(product, sensor="planetscope", is_sensor_stated=True)
    with open_product(stated) as opened:
        (view,) = choose_views(opened, GeotiffSettings())
    assert [band.number for band in view.stretched_bands] == [3, 2, 1]  # PlanetScope has blue first


def test_geo_01_colour_interpretation_gives_roles(tmp_path, write_scene):
    path = write_scene(tmp_path / "bgr.tif", np.ones((4, 4, 4), np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.alpha)
    assert numbers_of(path) == (3, 2, 1)


def test_geo_01_the_real_rgba_file_has_blue_first(real_data):
    assert numbers_of(real_data / "remote_sensing/rasterio__rasterio/tests/data/RGBA.uint16.tif") == (3, 2, 1)


def test_geo_01_naip_is_told_from_its_name(real_data):
    path = real_data / "remote_sensing/opengeos__data/naip/m_4709963_se_14_1_20100629.tif"
    assert numbers_of(path) == (1, 2, 3)
    assert numbers_of(path, view=["false-colour"]) == (4, 1, 2)


def test_an_alpha_band_is_no_colour(tmp_path, write_scene):
    path = write_scene(tmp_path / "grey.tif", np.ones((2, 4, 4), np.uint8), alpha="yes", photometric="MINISBLACK")
    (view,) = views_of(path)
    assert [band.number for band in view.bands] == [1]
    assert view.warning is None


def test_geo_07_bands_without_roles_are_shown_and_that_is_said(real_data, tmp_path, write_scene):
    folder = real_data / "remote_sensing"
    (view,) = views_of(folder / "opengeos__data/landsat/1985.tif")
    assert [band.number for band in view.bands] == [1, 2, 3]
    assert "first three" in view.warning
    (view,) = views_of(folder / "cogeotiff__rio-tiler/tests/fixtures/cog_scale.tif")
    assert [band.number for band in view.bands] == [1]
    assert "first is shown as grey" in view.warning
    (view,) = views_of(folder / "cogeotiff__rio-tiler/tests/fixtures/cog_int16.tif")
    assert (len(view.channels), view.warning) == (1, None)


def test_a_file_of_alpha_alone_shows_nothing(tmp_path):
    chooser = BandChooser([Band("1", "alpha", "a.tif", 1)], uri="a.tif")
    with pytest.raises(ItemError, match="alpha band only"):
        chooser.default(palette=False)


def test_geo_08_sar_is_shown_in_decibels_where_nothing_is_said():
    assert BandChooser(bands_with("vv", "vh"), uri="a.tif").default(palette=False).name == "sar-db"
    (channel,) = BandChooser(bands_with("vv"), uri="a.tif").default(palette=False).channels
    assert channel.kind == "decibel"


def test_geo_01_a_band_whose_file_is_missing_is_not_replaced_by_another():
    missing = [("SR_B4", "red", "LC08_SR_B4.TIF")]
    chooser = BandChooser(bands_with("coastal", "blue", "green", "nir"), missing=missing, uri="LC08")
    for look in (lambda: chooser.default(palette=False), lambda: chooser.find("sr_b4"), lambda: chooser.find("red")):
        with pytest.raises(ItemError, match=r"LC08_SR_B4\.TIF, which is not there") as error:
            look()
        assert error.value.reason == "missing-file"
    # What is not missing can be shown all the same.
    assert chooser.find("nir").number == 4


def colour_planes(path, write_scene, **options):
    pixels = np.broadcast_to(np.array([10, 20, 30, 40], np.uint8)[:, None, None], (4, 32, 32))
    return write_scene(path, np.ascontiguousarray(pixels), **options)


def test_geo_01_false_colour_maps_the_planes_exactly(tmp_path, write_scene, write_table, run, samples_of, pixels_of):
    path = colour_planes(tmp_path / "a.tif", write_scene, descriptions=("red", "green", "blue", "nir"))
    summary = run(path, labels=write_table(a="x"), view=["false-colour"], tile_px=32)
    (sample,) = samples_of(summary).values()
    pixels = pixels_of(summary, sample)
    assert pixels.shape == (32, 32, 3)
    assert (pixels == (40, 10, 20)).all()


def test_geo_01_a_missing_band_ends_the_command_with_its_name(tmp_path, real_data, write_table, capsys):
    naip = real_data / "remote_sensing/opengeos__data/naip/m_4709963_se_14_1_20100629.tif"
    labels = write_table(**{naip.stem: "x"})
    arguments = ["convert", "geotiff", naip, "--labels", labels, "--out", tmp_path / "out", "--workers", "0"]
    assert main([*map(str, arguments), "--view", "swir"]) == ExitCode.NOTHING_DONE
    said = " ".join(capsys.readouterr().err.split())
    assert "There is no band 'swir2' in m_4709963_se_14_1_20100629.tif" in said
    assert not (tmp_path / "out").exists()
    assert main([*map(str, arguments), "--view", "false-colour", "--tile-px", "1024"]) == ExitCode.DONE


def bands_with(*roles):
    return [Band(role, role, "a.tif", number) for number, role in enumerate(roles, start=1)]


def draw(name, planes, *roles, ground=GROUND, valid=None, fill_grey=128):
    """Draw a view of planes given with their margin."""
    bands = bands_with(*roles)
    view = choose_view(ViewRequest(name), BandChooser(bands, uri="a.tif"), palette_band=None)
    arrays = dict(zip(bands, (np.asarray(plane) for plane in planes), strict=True))
    if valid is None:
        valid = np.ones(next(iter(arrays.values())).shape, bool)
    return render(view, arrays, valid, ground, fill_grey)


def test_geo_08_decibels_follow_the_formula_and_zero_has_none():
    power = np.array([[0.0, -0.5, 1e-3, 1.0, 0.1, 0.5]], np.float32)
    with np.errstate(all="raise"):
        pixels, shown = draw("sar-db", [power], "vv")
    # 10 log10 is -30, 0, -10 and -3.0103 dB; of -25..0 that is below, 255, 153 and 224.29
    assert shown.tolist() == [[False, False, True, True, True, True]]
    assert pixels.tolist() == [[128, 128, 0, 255, 153, 224]]


def test_geo_08_amplitudes_count_twice_and_decibels_as_they_are():
    amplitude, _ = draw("sar-db", [np.array([[0.1]])], "vv", ground=Ground(None, "amplitude"))
    assert amplitude.tolist() == [[51]]  # 20 log10(0.1) = -20 dB: 5 / 25 x 255
    decibel, shown = draw("sar-db", [np.array([[-20.0, np.nan]])], "vv", ground=Ground(None, "db"), fill_grey=7)
    assert decibel.tolist() == [[51, 7]]
    assert shown.tolist() == [[True, False]]


@pytest.mark.parametrize(("like", "cross"), [("vv", "vh"), ("hh", "hv")])
def test_geo_08_two_polarisations_and_their_ratio_are_red_green_blue(like, cross):
    like_power, cross_power = np.array([[1e-1, 1e-1]]), np.array([[1e-2, 0.0]])
    pixels, shown = draw("sar-db", [cross_power, like_power], cross, like)
    # -10 dB and -20 dB in -25..0, their difference of 10 dB in 0..25; nothing where one is not known
    assert pixels.tolist() == [[[153, 51, 102], [128, 128, 128]]]
    assert shown.tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("name", "roles", "values", "expected"),
    [
        ("ndvi", ("red", "nir"), (1000, 3000), 0.5),
        ("ndwi", ("green", "nir"), (1000, 3000), -0.5),
        ("mndwi", ("green", "swir1"), (3000, 1000), 0.5),
        ("ndbi", ("nir", "swir1"), (1000, 4000), 0.6),
        ("nbr", ("nir", "swir2"), (4000, 1000), 0.6),
    ],
)
def test_an_index_is_the_normalised_difference_of_its_bands(name, roles, values, expected):
    planes = [np.array([[value, 0]], np.uint16) for value in values]
    pixels, shown = draw(name, planes, *roles)
    # -1..1 becomes 0..255
    assert pixels[0, 0] == round((expected + 1) / 2 * 255)
    # 0 / 0 is nothing
    assert shown.tolist() == [[True, False]] and pixels[0, 1] == 128


@pytest.mark.parametrize(("name", "role"), [("hillshade", "height"), ("sar-db", "vv")])
def test_geo_07_one_band_needs_no_role_but_one_of_several_does(name, role):
    """The red band of a photograph is no height model."""
    one = [Band("1", None, "a.tif", 1)]
    view = choose_view(ViewRequest(name), BandChooser(one, uri="a.tif"), palette_band=None)
    assert view.bands == tuple(one)
    with pytest.raises(ItemError, match=f"There is no band '{role}' in a.tif") as error:
        choose_view(ViewRequest(name), BandChooser(bands_with("red", "green", "blue"), uri="a.tif"), palette_band=None)
    assert error.value.reason == "missing-band"


def test_an_index_is_of_physical_values():
    red, nir = (Band(role, role, "a.tif", number, scale=1e-4, offset=-0.1) for number, role in ((1, "red"), (2, "nir")))
    view = choose_view(ViewRequest("ndvi"), BandChooser([red, nir], uri="a.tif"), palette_band=None)
    planes = {red: np.array([[2000]], np.uint16), nir: np.array([[4000]], np.uint16)}
    pixels, _ = render(view, planes, np.ones((1, 1), bool), GROUND, 0)
    (channel,) = view.record()["channels"]
    assert [(band["scale"], band["offset"]) for band in channel["bands"]] == [(1e-4, -0.1)] * 2
    # (0.3 - 0.1) / 0.4 = 0.5, where the stored values would give a third
    assert pixels.tolist() == [[191]]  # 1.5 / 2 x 255 = 191.25


def hillshade(heights, pixel_width_m, pixel_height_m):
    """What gdaldem hillshade computes of the inner pixels, in loops: GDAL, apps/gdaldem_lib.cpp, GDALHillshadeAlg."""
    azimuth, altitude = math.radians(315.0), math.radians(45.0)
    scale = 1.0 / 8.0
    rows, columns = heights.shape
    shaded = np.zeros((rows - 2, columns - 2))
    for row in range(1, rows - 1):
        for column in range(1, columns - 1):
            (a, b, c), (d, _, f), (g, h, i) = heights[row - 1 : row + 2, column - 1 : column + 2].tolist()
            x = ((a + d + d + g) - (c + f + f + i)) / pixel_width_m
            y = ((g + h + h + i) - (a + b + b + c)) / -pixel_height_m  # a north-up geotransform has a negative one
            squares = x * x + y * y
            towards = math.sqrt(squares) * math.sin(math.atan2(y, x) - azimuth)
            lit = (math.sin(altitude) - math.cos(altitude) * scale * towards) / math.sqrt(1 + scale**2 * squares)
            shaded[row - 1, column - 1] = 1.0 if lit <= 0 else 1.0 + 254.0 * lit
    return shaded


def test_geo_07_a_relief_is_that_of_gdaldem():
    heights = np.random.default_rng(0).uniform(0, 20, (9, 12))
    pixels, shown = draw("hillshade", [heights], "height")
    assert shown.all() and shown.shape == (7, 10)
    assert (pixels == np.rint(hillshade(heights, 2.0, 3.0))).all()


def test_geo_07_a_slope_towards_the_light_is_bright():
    """The light comes from the north-west, 45 degrees high: a slope of 45 degrees that faces it is fully lit."""
    rows, columns = np.indices((5, 5))
    facing = (rows * 3.0 + columns * 2.0) / math.sqrt(2.0)  # rises to the south-east by 1 m a metre
    assert (draw("hillshade", [facing], "height")[0] == 255).all()
    assert (draw("hillshade", [-facing], "height")[0] == 1).all()
    assert (draw("hillshade", [np.zeros((5, 5))], "height")[0] == round(1 + 254 * math.sin(math.pi / 4))).all()


def test_geo_07_a_hole_in_a_height_model_is_flat_for_its_neighbours():
    heights = np.full((5, 5), 7.0)
    valid = np.ones((5, 5), bool)
    heights[2, 2], valid[2, 2] = -9999.0, False
    pixels, shown = draw("hillshade", [heights], "height", valid=valid, fill_grey=9)
    expected = np.full((3, 3), round(1 + 254 * math.sin(math.pi / 4)))
    expected[1, 1] = 9
    assert (pixels == expected).all()
    assert shown.sum() == 8


def test_geo_07_a_relief_needs_the_size_of_a_pixel():
    with pytest.raises(ItemError, match="the size of a pixel in metres is not known") as error:
        draw("hillshade", [np.zeros((3, 3))], "height", ground=Ground(None, "power"))
    assert error.value.reason == "no-crs"


def test_geo_07_a_palette_gives_its_colours():
    band = Band("1", None, "a.tif", 1)
    view = View("colours", (Channel("palette", (band,), Stretch(0.0, 255.0)),))
    palette = np.zeros((256, 3), np.uint8)
    palette[5] = (10, 20, 30)
    planes = {band: np.array([[5, 5]], np.uint8)}
    pixels, shown = render(view, planes, np.array([[True, False]]), Ground(None, "power", palette), 77)
    assert pixels.tolist() == [[[10, 20, 30], [77, 77, 77]]]
    assert shown.tolist() == [[True, False]]


def test_what_is_drawn_does_not_change_what_was_read():
    planes = [np.array([[1, 2]], np.uint8)] * 3
    draw("true-colour", planes, "red", "green", "blue", valid=np.array([[True, False]]))
    assert planes[0].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("name", "title"), [("true-colour", "true colour"), ("ndvi", "NDVI"), ("sar-db", "SAR in dB"), ("heat", "heat")]
)
def test_a_view_has_a_name_for_prompts(name, title):
    assert View(name, (Channel("band", (Band("1", None, "a", 1),), Stretch(0, 1)),)).title == title
