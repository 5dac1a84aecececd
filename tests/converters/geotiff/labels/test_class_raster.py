"""Rasters of class numbers: never a number that is not in the file, shares that add up, names or none at all."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject, transform_bounds
from rasterio.windows import Window

from domainvl.converters.geotiff.georeference import SceneGrid, StoredPixels
from domainvl.converters.geotiff.labels.class_raster import (
    ClassRaster,
    look_at_class_raster,
    open_cover,
    read_class_names,
    shares,
)
from domainvl.errors import ItemError, UsageError

UTM = CRS.from_epsg(32633)
ORIGIN = from_origin(400_000, 5_600_000, 10, 10)
NAMES = {1: "water", 4: "forest", 7: "field", 9: "forest"}


def grid(width, height, *, crs=UTM, transform=ORIGIN, stored_to_grid=None):
    stored = StoredPixels(width, height, crs, transform)
    return SceneGrid(width, height, crs, transform, stored, stored_to_grid or Affine.identity())


def read_cover(raster, scene, window):
    with open_cover(raster, scene) as cover:
        return cover.read(window)


def warped(width, height, crs, transform):
    return SceneGrid(width, height, crs, transform, StoredPixels(1, 1, crs, transform), None)


@pytest.fixture
def write(tmp_path):
    def write_raster(numbers, *, crs=UTM, transform=ORIGIN, names=NAMES, **options):
        path = tmp_path / "classes.tif"
        count, height, width = (1, *numbers.shape) if numbers.ndim == 2 else numbers.shape
        profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": numbers.dtype}
        with rasterio.open(path, "w", **profile, crs=crs, transform=transform, **options) as dataset:
            dataset.write(numbers if numbers.ndim == 3 else numbers[None])
        return ClassRaster(path, "labels/classes.tif", names)

    return write_raster


@pytest.fixture
def write_names(tmp_path):
    def write_csv(text):
        path = tmp_path / "names.csv"
        path.write_text(text)
        return path

    return write_csv


def random_numbers(height, width, choices=(1, 4, 7, 9), seed=0):
    return np.random.default_rng(seed).choice(np.array(choices, np.uint8), (height, width))


def test_on_the_scenes_own_grid_pixels_are_read_as_they_are(write):
    numbers = random_numbers(60, 80)
    found, known = read_cover(write(numbers), grid(80, 60), Window(10, 20, 30, 40))
    np.testing.assert_array_equal(found, numbers[20:60, 10:40])
    assert known.all()


def test_geo_19_coarser_pixels_hold_original_numbers_only(write):
    raster = write(random_numbers(200, 200, (1, 9)), names={1: "water", 9: "forest", 5: "never"})
    found, known = read_cover(
        raster, warped(50, 50, UTM, from_origin(400_000, 5_600_000, 40, 40)), Window(0, 0, 50, 50)
    )
    assert set(np.unique(found)) == {1, 9}  # a mean of 1 and 9 would be anything between
    assert known.all()


def test_geo_19_another_crs_holds_original_numbers_only(write):
    numbers = random_numbers(200, 200)
    degrees = CRS.from_epsg(4326)
    left, bottom, right, top = transform_bounds(UTM, degrees, 400_000, 5_598_000, 402_000, 5_600_000)
    scene = warped(90, 60, degrees, from_origin(left, top, (right - left) / 90, (top - bottom) / 60))
    found, known = read_cover(write(numbers), scene, Window(0, 0, 90, 60))
    assert known.mean() > 0.5
    assert set(np.unique(found[known])) <= set(NAMES)
    expected = np.zeros((60, 90), np.uint8)
    reproject(
        numbers,
        expected,
        src_transform=ORIGIN,
        src_crs=UTM,
        dst_transform=scene.transform,
        dst_crs=scene.crs,
        resampling=Resampling.nearest,
    )
    assert (found[known] == expected[known]).mean() > 0.99


def test_a_finer_scene_shows_blocks(write):
    numbers = np.array([[1, 4], [7, 9]], np.uint8)
    found, _ = read_cover(
        write(numbers), warped(8, 8, UTM, from_origin(400_000, 5_600_000, 2.5, 2.5)), Window(0, 0, 8, 8)
    )
    np.testing.assert_array_equal(found, np.kron(numbers, np.ones((4, 4), np.uint8)))


def test_a_mirrored_grid_is_followed(write):
    numbers = random_numbers(4, 6)
    south_up = Affine(10, 0, 400_000, 0, 10, 5_600_000)
    mirror = Affine(1, 0, 0, 0, -1, 4)
    stored = StoredPixels(6, 4, UTM, south_up)
    scene = SceneGrid(6, 4, UTM, south_up @ ~mirror, stored, mirror)
    found, _ = read_cover(write(numbers, transform=south_up), scene, Window(0, 0, 6, 4))
    np.testing.assert_array_equal(found, numbers[::-1])


def test_nodata_numbers_without_a_name_and_what_lies_outside_are_unknown(write):
    numbers = np.array([[1, 4, 0], [5, 7, 255]], np.uint8)
    raster = write(numbers, nodata=4)
    _, known = read_cover(raster, grid(4, 2), Window(0, 0, 4, 2))
    np.testing.assert_array_equal(known, [[True, False, False, False], [False, True, False, False]])


def test_a_raster_without_georeference_lies_on_the_stored_pixels(write):
    numbers = random_numbers(6, 8)
    raster = write(numbers, crs=None, transform=None)
    np.testing.assert_array_equal(read_cover(raster, grid(8, 6), Window(0, 0, 8, 6))[0], numbers)
    with pytest.raises(ItemError, match="no georeference"):
        read_cover(raster, grid(9, 6), Window(0, 0, 8, 6))


def test_several_windows_of_one_open_raster(write):
    numbers = random_numbers(64, 64)
    with open_cover(write(numbers), grid(64, 64)) as cover:
        parts = [cover.read(Window(x, y, 32, 32))[0] for y in (0, 32) for x in (0, 32)]
    np.testing.assert_array_equal(np.block([parts[:2], parts[2:]]), numbers)


def test_shares_are_of_known_pixels_and_of_all_classes():
    numbers = np.array([[1, 1, 1, 4], [9, 7, 0, 0]], np.uint8)
    known = np.array([[1, 1, 1, 1], [1, 0, 0, 0]], bool)
    # Five pixels are known: three of water, one of each number of forest.
    assert shares(numbers, known, {**NAMES, 3: "road"}) == {"field": 0, "forest": 0.4, "road": 0, "water": 0.6}
    assert list(shares(numbers, known, NAMES)) == ["field", "forest", "water"]


def test_shares_agree_with_a_count_of_each_class():
    numbers = np.random.default_rng(1).integers(-3, 300, (50, 50)).astype(np.int16)
    names = {-3: "a", -1: "b", 0: "c", 290: "a"}
    known = np.isin(numbers, list(names))
    found = shares(numbers, known, names)
    for name in "abc":
        own = [number for number, of in names.items() if of == name]
        assert found[name] == pytest.approx(np.isin(numbers, own).sum() / known.sum())
    assert sum(found.values()) == pytest.approx(1)


def test_shares_of_nothing_are_zero():
    assert shares(np.zeros((2, 2), np.uint8), np.zeros((2, 2), bool), {1: "water"}) == {"water": 0}


def test_names_from_a_csv(write, write_names):
    path = write_names("value,name,colour\n1,water,blue\n4, forest ,green\n9,forest,green\n")
    assert read_class_names(path) == {1: "water", 4: "forest", 9: "forest"}
    raster = look_at_class_raster(write(random_numbers(4, 4)).path, "labels/c.tif", class_names=path)
    assert raster.classes == ("forest", "water")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("number,name\n1,water\n", "there is no value"),
        ("value,name\n1.5,water\n", ":2: value must be a whole number, got '1.5'"),
        ("value,name\n1,\n", "1 has no name"),
        ("value,name\n1,water\n1,land\n", ":3: 1 is there twice"),
        ("value,name\n", "it has no rows"),
    ],
)
def test_names_that_are_none_are_refused(write_names, text, message):
    with pytest.raises(UsageError, match=message):
        read_class_names(write_names(text))


CATEGORIES = (
    '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category/><Category>water</Category>'
    "<Category>forest</Category></CategoryNames></PAMRasterBand></PAMDataset>"
)
TABLE = (
    '<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable>'
    '<FieldDefn index="0"><Name>Value</Name><Type>0</Type><Usage>5</Usage></FieldDefn>'
    '<FieldDefn index="1"><Name>Class</Name><Type>2</Type><Usage>2</Usage></FieldDefn>'
    '<Row index="0"><F>11</F><F>water</F></Row><Row index="1"><F>41</F><F>forest</F></Row>'
    "</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"
)


@pytest.mark.parametrize(
    ("content", "names"), [(CATEGORIES, {1: "water", 2: "forest"}), (TABLE, {11: "water", 41: "forest"})]
)
def test_names_that_gdal_keeps_beside_the_raster(write, content, names):
    path = write(random_numbers(4, 4)).path
    path.with_name("classes.tif.aux.xml").write_text(content)
    assert look_at_class_raster(path, "labels/c.tif").names == names


@pytest.mark.parametrize("cell", ["<F/>", "<F>x</F>", "<F>nan</F>"])
def test_a_name_without_a_number_in_the_rasters_own_table_is_refused(write, cell):
    path = write(random_numbers(4, 4)).path
    path.with_name("classes.tif.aux.xml").write_text(TABLE.replace("<F>41</F>", cell))
    with pytest.raises(UsageError, match="row 1 has a name, forest, and no number.*--class-names"):
        look_at_class_raster(path, "labels/c.tif")


def test_names_in_what_is_no_csv_are_refused(write_names):
    with pytest.raises(UsageError, match="no CSV"):
        read_class_names(write_names('value,name\n1,"' + "x" * 200_000))


def test_a_csv_of_names_wins_over_the_rasters_own(write, write_names):
    path = write(random_numbers(4, 4)).path
    path.with_name("classes.tif.aux.xml").write_text(CATEGORIES)
    assert look_at_class_raster(path, "l", class_names=write_names("value,name\n1,sea\n")).names == {1: "sea"}


@pytest.mark.parametrize("beside", [None, "<PAMDataset/>", TABLE.replace("<Usage>2</Usage>", "<Usage>0</Usage>")])
def test_numbers_without_names_are_refused(write, beside):
    path = write(random_numbers(4, 4)).path
    if beside:
        path.with_name("classes.tif.aux.xml").write_text(beside)
    with pytest.raises(UsageError, match="nothing says what its numbers mean.*--class-names"):
        look_at_class_raster(path, "labels/c.tif")


@pytest.mark.parametrize(
    ("numbers", "message"),
    [(np.zeros((4, 4), np.float32), "values of type float32"), (np.zeros((3, 4, 4), np.uint8), "it has 3 bands")],
)
def test_rasters_that_hold_no_classes_are_refused(write, write_names, numbers, message):
    with pytest.raises(UsageError, match=message):
        look_at_class_raster(write(numbers).path, "l", class_names=write_names("value,name\n1,water\n"))


def test_identifiers_are_no_classes(write, write_names):
    with pytest.raises(UsageError, match="parcel has 4000000000"):
        look_at_class_raster(
            write(random_numbers(4, 4)).path, "l", class_names=write_names("value,name\n4000000000,parcel\n")
        )


def test_no_raster_is_refused_by_name(tmp_path):
    path = tmp_path / "classes.tif"
    path.write_text("no raster")
    with pytest.raises(UsageError, match="classes.tif"):
        look_at_class_raster(path, "labels/classes.tif")
