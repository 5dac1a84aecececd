import shutil

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.windows import Window

from domainvl.converters.geotiff.grid import plan_tiles
from domainvl.converters.geotiff.raster import describe_crs, ground_sampling_m, open_scene, read_window
from domainvl.converters.geotiff.settings import NodataRule
from domainvl.errors import ItemError


def mask_of(path, bands=(1,), nodata=None):
    with open_scene(path, path.name) as dataset:
        mask = np.zeros(dataset.shape, dtype=bool)
        for tile in plan_tiles(dataset.width, dataset.height, tile_px=200, overlap_px=0, edge="pad"):
            window = Window(tile.x_px, tile.y_px, tile.width_px, tile.height_px)
            mask[window.toslices()] = read_window(dataset, bands, window, nodata=nodata, uri=path.name)[1]
        return mask


FILES = [
    "cogeotiff__rio-tiler/tests/fixtures/my-bucket/pix4d/pix4d_alpha_nodata.tif",
    "cogeotiff__rio-tiler/tests/fixtures/cog_int16.tif",
    "cogeotiff__rio-tiler/tests/fixtures/scene_band1.tif",
    "cogeotiff__rio-tiler/tests/fixtures/mosaic_cog1.tif",
    "cogeotiff__rio-tiler/tests/fixtures/cog_rgb.tif",
    "rasterio__rasterio/tests/data/RGB.byte.tif",
    "rasterio__rasterio/tests/data/RGBA.uint16.tif",
    "rasterio__rasterio/tests/data/alpha.tif",
    "rasterio__rasterio/tests/data/cogeo.tif",
    "rasterio__rasterio/tests/data/goes.tif",
    "rasterio__rasterio/tests/data/float_nan.tif",
    "rasterio__rasterio/tests/data/float_raster_with_nodata.tif",
    "rasterio__rasterio/tests/data/all-nodata.tif",
    "opengeos__data/naip/m_4709963_se_14_1_20100629.tif",
    "opengeos__data/elevation/dsm.tif",
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_valid_pixels_are_those_of_rasterio(real_data, name):
    path = real_data / "remote_sensing" / name
    with rasterio.open(path) as dataset:
        expected = dataset.dataset_mask() > 0
    assert abs(int(mask_of(path).sum()) - int(expected.sum())) <= 1


def test_nan_is_missing_where_the_nodata_value_is_a_number(real_data):
    path = real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_nodata_nan.tif"
    with rasterio.open(path) as dataset:
        pixels = dataset.read(1)
        assert dataset.nodata == 0
    assert mask_of(path).sum() == (np.isfinite(pixels) & (pixels != 0)).sum()


def test_a_mask_file_beside_the_scene_counts(tmp_path, write_scene):
    path = write_scene(tmp_path / "a.tif", np.ones((1, 30, 20), np.uint8))
    mask = np.zeros((30, 20), dtype=np.uint8)
    mask[5:12, 3:9] = 255
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(mask)
    assert (tmp_path / "a.tif.msk").exists()
    assert (mask_of(path) == (mask > 0)).all()


def test_nodata_can_be_named_and_does_not_mix_with_the_files_own(tmp_path, write_scene):
    pixels = np.array([[[0, 7, 1], [7, 2, 0]]], dtype=np.uint8)
    path = write_scene(tmp_path / "a.tif", pixels, nodata=0)
    assert (mask_of(path) == (pixels[0] != 0)).all()
    assert (mask_of(path, nodata=NodataRule(7.0)) == (pixels[0] != 7)).all()
    assert mask_of(path, nodata=NodataRule(None)).all()


def test_a_pixel_is_missing_where_all_bands_have_the_named_value(tmp_path, write_scene):
    pixels = np.array([[[7, 7, 1]], [[7, 2, 1]]], dtype=np.uint8)
    path = write_scene(tmp_path / "a.tif", pixels)
    assert mask_of(path, bands=(1, 2), nodata=NodataRule(7.0)).tolist() == [[False, True, True]]


def test_nan_can_be_named_as_nodata(tmp_path, write_scene):
    path = write_scene(tmp_path / "a.tif", np.array([[[np.nan, 1.0]]], dtype=np.float32), nodata=1.0)
    assert mask_of(path, nodata=NodataRule(float("nan"))).tolist() == [[False, True]]


def test_a_damaged_block_is_an_error_that_names_window_and_file_without_its_folder(tmp_path, real_data):
    path = tmp_path / "scene.tif"
    shutil.copyfile(real_data / "remote_sensing/rasterio__rasterio/tests/data/corrupt.tif", path)
    with pytest.raises(ItemError, match=r"sub/scene\.tif, columns 0 to 1024") as error, open_scene(path, "") as dataset:
        read_window(dataset, (1, 2, 3), Window(0, 0, 1024, 1024), nodata=None, uri="sub/scene.tif")
    assert error.value.reason == "scene-read"
    assert str(tmp_path) not in str(error.value)


def test_a_file_that_is_no_raster_is_an_error(tmp_path):
    path = tmp_path / "text.tif"
    path.write_text("no raster")
    with pytest.raises(ItemError, match=r"in text\.tif") as error, open_scene(path, "text.tif"):
        pass
    assert error.value.reason == "scene-open"
    assert str(tmp_path) not in str(error.value)


def test_a_crs_is_named_by_its_code_or_by_its_wkt():
    assert describe_crs(CRS.from_epsg(26914)) == "EPSG:26914"
    # Without a datum it only resembles EPSG:32633.
    homemade = CRS.from_proj4("+proj=utm +zone=33 +ellps=WGS84 +units=m")
    assert CRS.from_wkt(describe_crs(homemade)) == homemade


def test_ground_sampling_is_in_metres(tmp_path, write_scene):
    pixels = np.ones((1, 2, 2), np.uint8)
    # EPSG:2263 is in US survey feet of 1200/3937 m.
    feet = write_scene(tmp_path / "ft.tif", pixels, crs="EPSG:2263", transform=from_origin(0, 100, 2, 2))
    degrees = write_scene(tmp_path / "deg.tif", pixels, crs="EPSG:4326", transform=from_origin(0, 1, 0.1, 0.1))
    with open_scene(feet, "") as dataset:
        assert ground_sampling_m(dataset) == pytest.approx(2 * 1200 / 3937, rel=1e-9)
    with open_scene(degrees, "") as dataset:
        assert ground_sampling_m(dataset) is None
