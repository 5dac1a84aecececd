"""Image files of benchmarks show what viewers show: grey where white is zero, turned ones, one page, no metadata."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from domainvl.converters.benchmarks.image_files import put_image, put_pixels_alone
from domainvl.errors import ItemError
from domainvl.schema.images import ImageStore

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

PHOTOMETRIC, ORIENTATION = 262, 274
GREY = np.arange(12 * 20, dtype=np.uint8).reshape(12, 20)


def pixels_of(root, stored):
    with PillowImage.open(root / stored.path) as image:
        return np.asarray(image)


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path)


@pytest.fixture(params=["as it is", "alone"])
def put(request, store, tmp_path):
    """Both ways to store, whose pixels must be equal."""

    def stored(path):
        done = put_image(store, path) if request.param == "as it is" else put_pixels_alone(store, path, "row 1")
        return pixels_of(tmp_path, done)

    return stored


def save_tiff(path, image, **tags):
    directory = ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[{"photometric": PHOTOMETRIC, "orientation": ORIENTATION}[tag]] = value
    image.save(path, tiffinfo=directory, compression="tiff_deflate")
    return path


@pytest.mark.parametrize("mode", ["1", "L"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_white_may_be_zero(put, tmp_path, mode, photometric):
    image = PillowImage.fromarray(GREY).convert(mode)
    path = save_tiff(tmp_path / "x.tif", image, photometric=photometric)
    with rasterio.open(path) as dataset:  # what is stored, where it is not what is seen
        assert dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == ("YES" if photometric == 0 else None)
    assert np.array_equal(put(path), np.asarray(image.convert("L")))


def test_white_may_be_zero_in_files_of_gdal_too(put, tmp_path):
    path = tmp_path / "x.tif"
    profile = {"height": 12, "width": 20, "count": 1, "dtype": "uint8", "photometric": "MINISWHITE"}
    with rasterio.open(path, "w", driver="GTiff", **profile) as dataset:
        dataset.write(GREY, 1)
    assert np.array_equal(put(path), 255 - GREY)


@pytest.mark.parametrize("bits", [2, 4])
def test_fewer_bits_reach_from_black_to_white(put, tmp_path, bits):
    path, top = tmp_path / "x.tif", 2**bits - 1
    values = np.arange(16, dtype=np.uint8).reshape(4, 4) % (top + 1)
    with rasterio.open(path, "w", driver="GTiff", height=4, width=4, count=1, dtype="uint8", nbits=bits) as dataset:
        dataset.write(values, 1)
    found = put(path)
    assert (found.min(), found.max()) == (0, 255)
    assert np.array_equal(found, values * (255 // top))


# Where the first row and the first column are seen (TIFF 6.0, page 36).
SEEN = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
SIDES = {
    "top": lambda pixels: pixels[0],
    "bottom": lambda pixels: pixels[-1],
    "left": lambda pixels: pixels[:, 0],
    "right": lambda pixels: pixels[:, -1],
}


@pytest.mark.parametrize("orientation", SEEN)
def test_rows_and_columns_are_seen_where_the_tag_says(put, tmp_path, orientation):
    found = put(save_tiff(tmp_path / "x.tif", PillowImage.fromarray(GREY), orientation=orientation))
    first_row, first_column = (SIDES[side](found) for side in SEEN[orientation])
    assert set(first_row.tolist()) == set(GREY[0].tolist())
    assert set(first_column.tolist()) == set(GREY[:, 0].tolist())
    with PillowImage.open(tmp_path / "x.tif") as image:
        assert np.array_equal(found, np.asarray(image))  # Pillow turns it too


def test_colour_is_turned_as_well(put, tmp_path):
    colour = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)
    found = put(save_tiff(tmp_path / "x.tif", PillowImage.fromarray(colour), orientation=6))
    assert np.array_equal(found, np.rot90(colour, -1))


def test_several_pages_are_refused_and_overviews_are_none(put, tmp_path):
    page = PillowImage.fromarray(GREY)
    page.save(tmp_path / "x.tif", save_all=True, append_images=[page, page])
    with pytest.raises(ItemError, match="one page, got 3") as caught:
        put(tmp_path / "x.tif")
    assert caught.value.reason == "image-pages"

    profile = {"height": 512, "width": 512, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / "y.tif", "w", driver="GTiff", **profile) as dataset:
        dataset.write(np.ones((1, 512, 512), np.uint8))
    with rasterio.open(tmp_path / "y.tif", "r+") as dataset:
        dataset.build_overviews([2])
    assert put(tmp_path / "y.tif").shape == (512, 512)


def test_big_tiffs_are_read(put, tmp_path):
    profile = {"height": 12, "width": 20, "count": 1, "dtype": "uint8", "bigtiff": "YES"}
    with rasterio.open(tmp_path / "x.tif", "w", driver="GTiff", **profile) as dataset:
        dataset.write(GREY, 1)
    assert np.array_equal(put(tmp_path / "x.tif"), GREY)


def test_what_is_no_tiff_is_taken_for_what_it_is(put, tmp_path):
    PillowImage.fromarray(GREY).save(tmp_path / "x.tif", "PNG")
    assert np.array_equal(put(tmp_path / "x.tif"), GREY)


@pytest.mark.parametrize("content", [b"", b"II*\0", b"II*\0\xff\xff\xff\x7f", b"MM\0*\0\0\0\x08\0\x05" + b"\1" * 40])
def test_damaged_files_are_rejected_without_their_name(store, tmp_path, content):
    path = tmp_path / "Jane-Doe.tif"
    path.write_bytes(content)
    for put_one in (lambda: put_image(store, path), lambda: put_pixels_alone(store, path, "row 1")):
        with pytest.raises(ItemError) as caught:
            put_one()
        assert caught.value.reason == "image-decode"
    assert "Doe" not in str(caught.value)


def test_a_truncated_tiff_is_rejected_without_its_name(store, tmp_path):
    path = save_tiff(tmp_path / "Jane-Doe.tif", PillowImage.fromarray(np.tile(GREY, (40, 40))))
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ItemError) as caught:
        put_pixels_alone(store, path, "row 1")
    assert "Doe" not in str(caught.value)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "1", "RGB", "L"])
def test_of_a_png_the_colours_are_kept_and_nothing_else(store, tmp_path, mode):
    image = PillowImage.fromarray(np.stack([GREY] * 3, axis=-1)).convert(mode)
    image.save(tmp_path / "x.png")
    found = pixels_of(tmp_path, put_pixels_alone(store, tmp_path / "x.png", "row 1"))
    with PillowImage.open(tmp_path / put_image(store, tmp_path / "x.png").path) as kept:
        seen = kept.convert("RGB")  # as training sees either
    assert np.array_equal(found if found.ndim == 3 else np.stack([found] * 3, axis=-1), np.asarray(seen))
