"""Windows of scenes with the mask of their valid pixels: as they are stored, mirrored, and warped."""

import shutil
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine, from_origin
from rasterio.warp import reproject
from rasterio.windows import Window

from domainvl.converters.geotiff.headers import bands_of
from domainvl.converters.geotiff.products import Band, find_products
from domainvl.converters.geotiff.reading import open_product
from domainvl.converters.geotiff.scene_grid import GridRequest, plan_grid
from domainvl.converters.geotiff.settings import NodataRule
from domainvl.errors import ItemError

FIXTURES = "cogeotiff__rio-tiler/tests/fixtures"
RASTERIO = "rasterio__rasterio/tests/data"


@contextmanager
def opened_reader(path, *, nodata=None, resampling=None, **request):
    """Open a plain file and a reader of its grid."""
    (product,) = find_products(path).products
    with open_product(product) as opened:
        grid = plan_grid(opened.stored_pixels(product.path), GridRequest(**request), uri=product.uri)
        bands = [band for band in bands_of(opened, scaling=True) if band.role != "alpha"]
        yield opened.reader(grid, nodata=nodata, resampling=resampling), bands


def read(path, *, window_px=None, bands=None, **options):
    """Read a window, or all, of a file."""
    with opened_reader(path, **options) as (reader, found):
        window = Window(*(window_px or (0, 0, reader.grid.width_px, reader.grid.height_px)))
        planes, valid = reader.read(found if bands is None else [found[number - 1] for number in bands], window)
        return np.array(planes), valid


def mask_of(path, **options):
    return read(path, **options)[1]


FILES = [
    f"{FIXTURES}/my-bucket/pix4d/pix4d_alpha_nodata.tif",
    f"{FIXTURES}/cog_int16.tif",
    f"{FIXTURES}/cog_rgb.tif",
    f"{FIXTURES}/cog_scale.tif",
    f"{FIXTURES}/cog_tags.tif",
    f"{FIXTURES}/scene_band1.tif",
    f"{FIXTURES}/mosaic_cog1.tif",
    f"{RASTERIO}/RGB.byte.tif",
    f"{RASTERIO}/RGBA.uint16.tif",
    f"{RASTERIO}/alpha.tif",
    f"{RASTERIO}/cogeo.tif",
    f"{RASTERIO}/goes.tif",
    f"{RASTERIO}/float_nan.tif",
    f"{RASTERIO}/float_raster_with_nodata.tif",
    f"{RASTERIO}/all-nodata.tif",
    "opengeos__data/naip/m_4709963_se_14_1_20100629.tif",
    "opengeos__data/landsat/1985.tif",
    "opengeos__data/elevation/dsm.tif",
    "weecology__DeepForest/src/deepforest/data/OSBS_029.tif",
    "weecology__DeepForest/src/deepforest/data/australia.tif",
]


@pytest.mark.parametrize("name", FILES)
def test_geo_05_valid_pixels_are_those_of_rasterio(real_data, name):
    path = real_data / "remote_sensing" / name
    with warnings.catch_warnings(), rasterio.open(path) as dataset:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        expected = dataset.dataset_mask() > 0
    assert (mask_of(path) != expected).sum() <= 1


def test_geo_05_nan_is_missing_where_the_nodata_value_is_a_number(real_data):
    path = real_data / "remote_sensing" / FIXTURES / "cog_nodata_nan.tif"
    with rasterio.open(path) as dataset:
        pixels = dataset.read(1)
        assert dataset.nodata == 0
    assert (mask_of(path) == (np.isfinite(pixels) & (pixels != 0))).all()


def test_geo_05_a_mask_file_beside_the_scene_counts(tmp_path, write_scene):
    path = write_scene(tmp_path / "a.tif", np.ones((1, 30, 20), np.uint8))
    mask = np.zeros((30, 20), dtype=np.uint8)
    mask[5:12, 3:9] = 255
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(mask)
    assert (tmp_path / "a.tif.msk").exists()
    assert (mask_of(path) == (mask > 0)).all()


def test_geo_05_nodata_can_be_named_and_does_not_mix_with_the_files_own(tmp_path, write_scene):
    pixels = np.array([[[0, 7, 1], [7, 2, 0]]], dtype=np.uint8)
    path = write_scene(tmp_path / "a.tif", pixels, nodata=0)
    assert (mask_of(path) == (pixels[0] != 0)).all()
    assert (mask_of(path, nodata=NodataRule(7.0)) == (pixels[0] != 7)).all()
    assert mask_of(path, nodata=NodataRule(None)).all()


def test_geo_05_a_named_value_wins_over_alpha(tmp_path, write_scene):
    pixels = np.array([[[5, 7, 9]], [[5, 7, 9]], [[5, 7, 9]], [[255, 255, 0]]], np.uint8)
    path = write_scene(tmp_path / "a.tif", pixels, photometric="RGB", alpha="yes")
    assert mask_of(path).tolist() == [[True, True, False]]
    assert mask_of(path, nodata=NodataRule(7.0)).tolist() == [[True, False, True]]


def test_geo_05_a_pixel_is_missing_where_all_bands_have_the_named_value(tmp_path, write_scene):
    pixels = np.array([[[7, 7, 1]], [[7, 2, 1]]], dtype=np.uint8)
    path = write_scene(tmp_path / "a.tif", pixels)
    assert mask_of(path, bands=(1, 2), nodata=NodataRule(7.0)).tolist() == [[False, True, True]]


def test_geo_05_nan_can_be_named_as_nodata(tmp_path, write_scene):
    path = write_scene(tmp_path / "a.tif", np.array([[[np.nan, 1.0]]], dtype=np.float32), nodata=1.0)
    assert mask_of(path, nodata=NodataRule(float("nan"))).tolist() == [[False, True]]


GRIDS = pytest.mark.parametrize("grid", [{}, {"crs": "EPSG:32632"}], ids=["stored", "warped"])


def in_the_middle(valid, column_share):
    """Whether the pixel at half the height of a scene is valid."""
    return bool(valid[valid.shape[0] // 2, int(column_share * valid.shape[1])])


@GRIDS
@pytest.mark.parametrize("photometric", ["RGB", "MINISBLACK"])
def test_geo_05_black_land_is_missing_whatever_a_band_sees_that_is_not_read(tmp_path, write_scene, grid, photometric):
    """The right half is 0 in red, green and blue, and seen by the near infrared."""
    pixels = np.full((4, 60, 60), 90, np.uint8)
    pixels[:3, :, 30:] = 0
    path = write_scene(tmp_path / "a.tif", pixels, nodata=0, photometric=photometric)
    for rule in (None, NodataRule(0.0)):  # the file's word and the user's give one mask
        _, of_three = read(path, bands=(1, 2, 3), nodata=rule, **grid)
        assert (in_the_middle(of_three, 0.25), in_the_middle(of_three, 0.75)) == (True, False)
        _, of_four = read(path, bands=(1, 2, 3, 4), nodata=rule, **grid)
        assert in_the_middle(of_four, 0.25) and in_the_middle(of_four, 0.75)


@GRIDS
def test_geo_05_each_band_has_its_own_nodata_value(tmp_path, write_scene, grid):
    """Red is missing where it is 0, green where it is 255; four stripes show all pairs."""
    for name, stripes, nodata in (("red", (0, 0, 255, 255), 0), ("green", (0, 255, 0, 255), 255)):
        row = np.repeat(np.array(stripes, np.uint8), 20)
        write_scene(tmp_path / f"{name}.tif", np.broadcast_to(row, (1, 80, 80)), nodata=nodata)
    bands = "".join(
        f"""<VRTRasterBand dataType="Byte" band="{number}"><NoDataValue>{nodata}</NoDataValue><SimpleSource>
        <SourceFilename relativeToVRT="1">{name}.tif</SourceFilename></SimpleSource></VRTRasterBand>"""
        for number, (name, nodata) in enumerate((("red", 0), ("green", 255)), start=1)
    )
    (tmp_path / "a.vrt").write_text(
        f"""<VRTDataset rasterXSize="80" rasterYSize="80"><SRS>EPSG:32633</SRS>
        <GeoTransform>400000, 10, 0, 5600000, 0, -10</GeoTransform>{bands}</VRTDataset>"""
    )
    for numbers, expected in (
        ((1, 2), [True, False, True, True]),
        ((1,), [False, False, True, True]),
        ((2,), [True, False, True, False]),
    ):
        _, valid = read(tmp_path / "a.vrt", bands=numbers, **grid)
        assert [in_the_middle(valid, share) for share in (0.125, 0.375, 0.625, 0.875)] == expected


@GRIDS
def test_geo_05_of_the_files_bands_only_those_that_are_asked_for_are_decoded(tmp_path, write_scene, grid):
    pixels = np.random.default_rng(3).integers(1, 200, (4, 64, 64)).astype(np.uint8)
    options = {
        "nodata": 0,
        "photometric": "RGB",
        "interleave": "band",
        "compress": "deflate",
        "tiled": True,
        "blockxsize": 64,
    }
    path = write_scene(tmp_path / "a.tif", pixels, **options, blockysize=64)
    content = bytearray(path.read_bytes())
    with rasterio.open(path) as dataset:
        places = [dataset.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", bidx=4) for what in ("OFFSET", "SIZE")]
    start, size = map(int, places)
    content[start : start + size] = b"\xff" * size
    path.write_bytes(content)
    planes, valid = read(path, bands=(1, 2, 3), **grid)
    assert in_the_middle(valid, 0.5) and len(planes) == 3
    with pytest.raises(ItemError, match="a block of it is damaged"):
        read(path, bands=(4,), **grid)


@GRIDS
def test_geo_05_alpha_wins_over_the_nodata_value_of_the_same_file(tmp_path, write_scene, grid):
    pixels = np.full((4, 60, 60), 255, np.uint8)
    pixels[:3, :, :30] = 0
    pixels[3, :, 45:] = 0
    path = write_scene(tmp_path / "a.tif", pixels, photometric="RGB", alpha="yes", nodata=0)
    _, valid = read(path, bands=(1, 2, 3), **grid)
    assert [in_the_middle(valid, share) for share in (0.25, 0.6, 0.9)] == [True, True, False]


@GRIDS
def test_geo_05_a_mask_file_wins_over_alpha(tmp_path, write_scene, grid):
    pixels = np.full((4, 60, 60), 200, np.uint8)
    pixels[3, :, 45:] = 0
    path = write_scene(tmp_path / "a.tif", pixels, photometric="RGB", alpha="yes")
    mask = np.full((60, 60), 255, np.uint8)
    mask[:, :30] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(mask)
    _, valid = read(path, bands=(1, 2, 3), **grid)
    assert [in_the_middle(valid, share) for share in (0.25, 0.6, 0.9)] == [False, True, True]


@GRIDS
def test_bands_come_in_the_order_in_which_they_are_asked_for(tmp_path, write_scene, grid):
    pixels = np.arange(1, 5, dtype=np.uint16)[:, np.newaxis, np.newaxis] * np.full((1, 60, 60), 100, np.uint16)
    path = write_scene(tmp_path / "a.tif", pixels, nodata=0)
    planes, _ = read(path, bands=(4, 1, 3), **grid)
    middle = planes.shape[1] // 2
    assert planes[:, middle, middle].tolist() == [400, 100, 300]


def test_the_mask_of_a_window_is_that_part_of_the_whole(real_data):
    path = real_data / "remote_sensing" / FIXTURES / "my-bucket/pix4d/pix4d_alpha_nodata.tif"
    pixels, valid = read(path)
    part, part_valid = read(path, window_px=(0, 150, 200, 120))
    assert 0 < part_valid.sum() < part_valid.size
    assert (part_valid == valid[150:270, 0:200]).all()
    assert (part == pixels[:, 150:270, 0:200]).all()


def test_what_lies_outside_the_grid_is_not_valid(tmp_path, write_scene):
    pixels = np.arange(1, 13, dtype=np.uint8).reshape(1, 3, 4)
    path = write_scene(tmp_path / "a.tif", pixels)
    (found,), valid = read(path, window_px=(-1, -1, 6, 5))
    expected = np.zeros((5, 6), dtype=bool)
    expected[1:4, 1:5] = True
    assert (valid == expected).all()
    assert (found[1:4, 1:5] == pixels[0]).all()
    assert not read(path, window_px=(10, 10, 2, 2))[1].any()


@pytest.mark.parametrize(
    ("transform", "flip"),
    [
        (Affine(10, 0, 400_000, 0, 10, 5_600_000), np.s_[:, ::-1, :]),
        (Affine(-10, 0, 400_000, 0, -10, 5_600_000), np.s_[:, :, ::-1]),
        (Affine(-10, 0, 400_000, 0, 10, 5_600_000), np.s_[:, ::-1, ::-1]),
    ],
)
def test_geo_15_mirrored_files_are_turned_north_up_without_resampling(tmp_path, write_scene, transform, flip):
    pixels = np.random.default_rng(0).integers(0, 9999, (2, 7, 5)).astype(np.uint16)
    path = write_scene(tmp_path / "a.tif", pixels, transform=transform, nodata=int(pixels[0, 1, 2]))
    found, valid = read(path)
    assert (found == pixels[flip]).all()
    assert (read(path, window_px=(1, 2, 3, 4))[0] == pixels[flip][:, 2:6, 1:4]).all()
    with rasterio.open(path) as dataset:
        assert (valid == (dataset.dataset_mask() > 0)[np.newaxis][flip][0]).all()


def test_pixels_of_one_lattice_are_read_as_they_are(tmp_path, write_scene):
    """A band file that lies some whole pixels beside the grid is not resampled."""
    pixels = np.random.default_rng(1).integers(1, 9999, (1, 20, 20)).astype(np.uint16)
    grid_file = write_scene(tmp_path / "a.tif", pixels)
    beside = write_scene(tmp_path / "b.tif", pixels + 1, transform=from_origin(400_030, 5_599_950, 10, 10))
    with opened_reader(grid_file) as (reader, _):
        (found,), valid = reader.read([Band("b", None, str(beside), 1)], Window(0, 0, 20, 20))
    assert (found[5:, 3:] == pixels[0, :15, :17] + 1).all()
    assert valid.sum() == 15 * 17 and valid[5:, 3:].all()


def test_geo_18_a_band_of_another_resolution_is_warped_to_the_grid(tmp_path, write_scene):
    """A marker of 20 m lands on the four pixels of 10 m that show the same ground."""
    fine = write_scene(tmp_path / "fine.tif", np.ones((1, 40, 40), np.uint16))
    pixels = np.zeros((1, 20, 20), np.uint16)
    pixels[0, 7, 11] = 1000
    coarse = write_scene(tmp_path / "coarse.tif", pixels, transform=from_origin(400_000, 5_600_000, 20, 20))
    with opened_reader(fine, resampling=Resampling.nearest) as (reader, _):
        (found,), valid = reader.read([Band("b", None, str(coarse), 1)], Window(0, 0, 40, 40))
    assert valid.all()
    expected = np.kron(pixels[0], np.ones((2, 2), np.uint16))
    assert (found == expected).all()
    with opened_reader(fine) as (reader, _):
        (smooth,), _ = reader.read([Band("b", None, str(coarse), 1)], Window(0, 0, 40, 40))
    rows, columns = np.indices(smooth.shape)
    centre = [(smooth * axis).sum() / smooth.sum() for axis in (rows, columns)]
    assert centre == pytest.approx([14.5, 22.5], abs=0.05)  # (7.5, 11.5) x 2, less the half pixel of an index


def test_geo_20_an_all_nodata_scene_is_reported_empty_after_warping(tmp_path, write_scene):
    """GDAL gives back the nodata value of the source for such blocks (rasterio issue 3320): only the mask tells."""
    pixels = np.full((1, 64, 64), -32768, np.int16)
    path = write_scene(tmp_path / "a.tif", pixels, nodata=-32768)
    assert not mask_of(path, crs="EPSG:32632").any()


def test_geo_20_a_hole_stays_a_hole_after_warping(tmp_path, write_scene):
    """The warped mask equals that of rasterio's own reprojection of the mask, but for the border of the hole."""
    pixels = np.full((1, 80, 80), 500, np.int16)
    pixels[0, 20:50, 30:60] = -32768
    path = write_scene(tmp_path / "a.tif", pixels, nodata=-32768)
    with opened_reader(path, crs="EPSG:32632") as (reader, bands):
        grid = reader.grid
        (found,), valid = reader.read(bands, Window(0, 0, grid.width_px, grid.height_px))
    expected = np.zeros(valid.shape, np.uint8)
    with rasterio.open(path) as dataset:
        source = (pixels[0] != -32768).astype(np.uint8)
        reproject(
            source,
            expected,
            src_transform=dataset.transform,
            src_crs=dataset.crs,
            dst_transform=grid.transform,
            dst_crs=grid.crs,
            resampling=Resampling.nearest,
        )
    hole = 30 * 30
    assert (valid != (expected > 0)).sum() < 4 * 2 * 80  # along the borders only
    assert abs((valid.size - valid.sum()) - (valid.size - (expected > 0).sum())) < 0.3 * hole
    assert (found[valid] == 500).all()


@pytest.mark.parametrize("nodata", [None, -9999.0])
def test_geo_20_nan_does_not_spread_when_warped(tmp_path, write_scene, nodata):
    pixels = np.full((1, 60, 60), 3.0, np.float32)
    pixels[0, 30, 30] = np.nan
    path = write_scene(tmp_path / "a.tif", pixels, **({} if nodata is None else {"nodata": nodata}))
    (found,), valid = read(path, crs="EPSG:32632")
    inner = valid[10:-10, 10:-10]
    assert (~inner).sum() <= (1 if nodata is None else 4)
    assert np.allclose(found[valid], 3.0)


def test_geo_19_larger_pixels_are_means_of_the_small_ones(tmp_path, write_scene):
    pixels = np.random.default_rng(2).integers(0, 4000, (1, 64, 64)).astype(np.uint16)
    path = write_scene(tmp_path / "a.tif", pixels)
    (found,), valid = read(path, gsd_m=40.0)
    assert valid.all()
    expected = pixels[0].reshape(16, 4, 16, 4).mean(axis=(1, 3))
    assert found == pytest.approx(expected, abs=1)
    (nearest,), _ = read(path, gsd_m=40.0, resampling=Resampling.nearest)
    assert np.isin(nearest, pixels).all() and not np.allclose(nearest, expected, atol=1)


def test_a_damaged_block_is_an_error_that_names_window_and_file_without_its_folder(tmp_path, real_data):
    path = tmp_path / "scene.tif"
    shutil.copyfile(real_data / "remote_sensing" / RASTERIO / "corrupt.tif", path)
    with pytest.raises(ItemError, match=r"scene\.tif, columns 0 to 1024") as error:
        read(path)
    assert error.value.reason == "scene-read"
    assert "Fetch the file again" in error.value.action
    assert str(tmp_path) not in str(error.value)


def message_of(folder, *, crs=None):
    """Fail to read a virtual raster of a damaged file, in a folder of any name; its product is that of a data set."""
    (found,) = find_products(folder / "view.vrt").products
    product = found.below(folder)
    with open_product(product) as opened:
        grid = plan_grid(opened.stored_pixels(product.path), GridRequest(crs=crs), uri=product.uri)
        reader = opened.reader(grid, nodata=None, resampling=None)
        with pytest.raises(ItemError) as error:
            reader.read(bands_of(opened, scaling=True), Window(0, 0, grid.width_px, grid.height_px))
    return str(error.value)


@GRIDS
def test_geo_05_what_gdal_says_of_a_damaged_file_does_not_depend_on_the_folder(tmp_path, write_scene, grid):
    messages = []
    for name in ("one", "another folder"):
        folder = tmp_path / name
        path = write_scene(folder / "sub/a.tif", np.ones((1, 64, 64), np.uint8), compress="deflate")
        with rasterio.open(path) as dataset:
            start = int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
        content = path.read_bytes()
        path.write_bytes(content[:start] + b"\xff" * (len(content) - start))
        (folder / "view.vrt").write_text(
            """<VRTDataset rasterXSize="64" rasterYSize="64"><SRS>EPSG:32633</SRS>
            <GeoTransform>400000, 10, 0, 5600000, 0, -10</GeoTransform><VRTRasterBand dataType="Byte" band="1">
            <SimpleSource><SourceFilename relativeToVRT="1">sub/a.tif</SourceFilename></SimpleSource></VRTRasterBand>
            </VRTDataset>"""
        )
        messages.append(message_of(folder, **grid))
    assert "a block of it is damaged" in messages[0]
    assert messages[0] == messages[1]
    assert str(tmp_path) not in messages[0]


def test_a_file_that_is_no_raster_is_an_error(tmp_path):
    path = tmp_path / "text.tif"
    path.write_text("no raster")
    with pytest.raises(ItemError, match=r"in text\.tif") as error:
        read(path)
    assert error.value.reason == "scene-open"
    assert str(tmp_path) not in str(error.value)


def test_a_band_without_georeference_cannot_be_brought_to_a_grid(tmp_path, write_scene):
    scene = write_scene(tmp_path / "a.tif", np.ones((1, 8, 8), np.uint8))
    bare = write_scene(tmp_path / "b.tif", np.ones((1, 4, 4), np.uint8), crs=None, transform=None)
    with opened_reader(scene) as (reader, _), pytest.raises(ItemError, match=r"b\.tif.*no georeference") as error:
        reader.read([Band("b", None, str(bare), 1)], Window(0, 0, 8, 8))
    assert error.value.reason == "no-crs"
