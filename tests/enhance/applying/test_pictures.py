"""Pictures: PNG and JPEG in, PNG out."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo


def _repeated(planes):
    return planes.repeat(2, axis=0).repeat(2, axis=1)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_grey_colours_alpha_and_16_bits_are_kept(tmp_path, enhance, noise, mode):
    depth, highest = (np.uint16, 60000) if mode == "I;16" else (np.uint8, 255)
    low = noise(40, 50, *([] if mode in ("L", "I;16") else [len(mode)]), dtype=depth, highest=highest)
    Image.fromarray(low).save(tmp_path / "low.png")

    _, path = enhance(tmp_path / "low.png", png=True)

    with Image.open(path) as high:
        assert high.mode == mode
        np.testing.assert_array_equal(np.asarray(high), _repeated(low))
        assert high.text == {"DOMAINVL_ENHANCED": "repeating-x2 mode=zero offset scale=2"}


def test_16_bits_of_colours_with_alpha_are_kept(real_data, tmp_path, enhance):
    source = real_data / "remote_sensing/rasterio__rasterio/tests/data/RGBA.uint16.tif"
    with rasterio.open(source) as dataset:
        low = dataset.read(window=rasterio.windows.Window(300, 200, 60, 50))
    with rasterio.open(tmp_path / "low.png", "w", driver="PNG", width=60, height=50, count=4, dtype="uint16") as out:
        out.write(low)

    _, path = enhance(tmp_path / "low.png", png=True)

    with rasterio.open(path) as high:
        seen = low[3] > 0
        np.testing.assert_array_equal(high.read(4)[::2, ::2], low[3])
        np.testing.assert_array_equal(high.read((1, 2, 3))[:, ::2, ::2][:, seen], low[:3, seen])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_orientation_says(tmp_path, enhance, noise, orientation):
    picture = Image.fromarray(noise(40, 50, 3))
    exif = picture.getexif()
    exif[274] = orientation
    picture.save(tmp_path / "low.png", exif=exif)
    with Image.open(tmp_path / "low.png") as low:
        upright = np.asarray(ImageOps.exif_transpose(low))

    facts, path = enhance(tmp_path / "low.png", png=True)

    with Image.open(path) as high:
        np.testing.assert_array_equal(np.asarray(high), _repeated(upright))
        assert high.getexif().get(274, 1) == 1
    assert ("turned as its Exif orientation says" in facts.notes) == (orientation != 1)


def test_a_jpeg_becomes_a_png_of_its_pixels(tmp_path, enhance, noise):
    Image.fromarray(noise(40, 50, 3)).save(tmp_path / "low.jpg", subsampling=0)
    with Image.open(tmp_path / "low.jpg") as low:
        pixels = np.asarray(low)

    _, path = enhance(tmp_path / "low.jpg", png=True)

    with Image.open(path) as high:
        # Decoders differ by a step where they convert colours.
        assert np.abs(np.asarray(high).astype(int) - _repeated(pixels)).max() <= 1


def test_transparent_colours_of_a_palette_become_alpha(tmp_path, enhance, noise):
    indices = noise(20, 20, lowest=0, highest=3)
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(tmp_path / "low.png", transparency=bytes([255, 0, 0]))

    facts, path = enhance(tmp_path / "low.png", png=True)

    with Image.open(tmp_path / "low.png") as low, Image.open(path) as high:
        expected, found = _repeated(np.asarray(low.convert("RGBA"))), np.asarray(high)
    np.testing.assert_array_equal(found[..., 3], expected[..., 3])
    np.testing.assert_array_equal(found[found[..., 3] > 0], expected[found[..., 3] > 0])
    assert facts.marked_by == "alpha"


def test_text_of_the_input_is_kept_beside_ours(tmp_path, enhance, noise):
    text = PngInfo()
    text.add_text("Author", "somebody")
    Image.fromarray(noise(8, 8)).save(tmp_path / "low.png", pnginfo=text)

    _, path = enhance(tmp_path / "low.png", png=True)

    with Image.open(path) as high:
        assert high.text["Author"] == "somebody"
