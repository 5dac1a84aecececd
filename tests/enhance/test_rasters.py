"""Rasters in memory and their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image, ImageOps

from domainvl.enhance.rasters import Raster, RasterError, masked, quiet_gdal, read_raster, to_dtype, write_tiff
from domainvl.errors import OutputError


def _write(path: Path, values: np.ndarray, **profile: object) -> None:
    count, height, width = values.shape
    with (
        quiet_gdal(),
        rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype, **profile
        ) as out,
    ):
        out.write(values)


def test_what_was_written_is_read_back_with_its_mask(tmp_path: Path) -> None:
    values = np.arange(2 * 5 * 7, dtype=np.uint16).reshape(2, 5, 7) * 900
    valid = np.ones((5, 7), bool)
    valid[1, 2:4] = False
    write_tiff(tmp_path / "new" / "a.tif", masked(values, valid, np.uint16))
    raster = read_raster(tmp_path / "new" / "a.tif")
    assert raster.dtype == np.uint16
    assert (raster.valid == valid).all()
    assert (raster.pixels == np.where(valid, values, 0)).all()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.tif"]


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5])
def test_no_band_is_taken_for_alpha_when_it_is_read_back(tmp_path: Path, bands: int) -> None:
    values = np.zeros((bands, 2, 2), np.uint8)
    values[-1, 0, 0] = 7
    write_tiff(tmp_path / "a.tif", masked(values, np.ones((2, 2), bool), np.uint8))
    raster = read_raster(tmp_path / "a.tif")
    assert (raster.pixels == values).all()
    assert raster.valid.all()


def test_values_beyond_float32_are_not_valid() -> None:
    raster = masked(np.array([[[1e300, 2.0]]]), np.ones((1, 2), bool), np.float64)
    assert raster.valid.tolist() == [[False, True]]


def test_floats_keep_their_fractions(tmp_path: Path) -> None:
    values = np.linspace(-1, 1, 12, dtype=np.float32).reshape(1, 3, 4)
    write_tiff(tmp_path / "a.tif", masked(values, np.ones((3, 4), bool), np.float32))
    assert (read_raster(tmp_path / "a.tif").pixels == values).all()


def test_a_pixel_is_valid_where_every_band_holds_a_value(tmp_path: Path) -> None:
    values = np.ones((3, 2, 4), np.float32)
    values[0, 0, 0] = -9.0
    values[1, 0, 1] = np.nan
    values[2, 1, 3] = np.inf
    _write(tmp_path / "a.tif", values, nodata=-9.0)
    raster = read_raster(tmp_path / "a.tif")
    assert raster.valid.tolist() == [[False, False, True, True], [True, True, True, False]]
    assert raster.pixels[:, ~raster.valid].max() == 0


def test_alpha_is_the_validity_and_no_band(tmp_path: Path) -> None:
    picture = np.full((3, 4, 4), 50, np.uint8)
    picture[0, 0, 3] = 0
    Image.fromarray(picture).save(tmp_path / "a.png")
    raster = read_raster(tmp_path / "a.png")
    assert raster.bands == 3
    assert raster.valid.sum() == 11


def test_a_palette_is_resolved_to_its_colours(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8), mode="P")
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(tmp_path / "a.png")
    raster = read_raster(tmp_path / "a.png")
    assert raster.pixels[:, 0, 1].tolist() == [40, 50, 60]
    assert raster.pixels[:, 1, 0].tolist() == [70, 80, 90]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_pillow_turns_it(tmp_path: Path, orientation: int) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.jpg", exif=exif, quality=95, subsampling=0)
    with Image.open(tmp_path / "a.jpg") as stored:
        expected = np.moveaxis(np.asarray(ImageOps.exif_transpose(stored), np.float32), -1, 0)
    pixels = read_raster(tmp_path / "a.jpg").pixels
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= 3  # two decoders


def test_values_are_rounded_and_clipped_to_their_type() -> None:
    values = np.array([-3.2, 0.5, 1.5, 254.6, 300.0], np.float32)
    assert to_dtype(values, np.uint8).tolist() == [0, 0, 2, 255, 255]  # halves go to the even neighbour
    assert to_dtype(values, np.float32).tolist() == values.tolist()


def test_a_part_has_the_pixels_and_validity_of_its_place() -> None:
    raster = Raster(np.arange(12, dtype=np.float32).reshape(1, 3, 4), np.eye(3, 4, dtype=bool), np.dtype(np.uint8))
    part = raster.crop(1, 1, 2, 3)
    assert part.pixels.tolist() == [[[5, 6, 7], [9, 10, 11]]]
    assert part.valid.tolist() == [[True, False, False], [False, True, False]]


def test_what_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(RasterError, match=r"text\.png"):
        read_raster(tmp_path / "text.png")
    with pytest.raises(RasterError, match=r"gone\.png"):
        read_raster(tmp_path / "gone.png")
    _write(tmp_path / "complex.tif", np.ones((1, 3, 3), np.complex64))
    with pytest.raises(RasterError, match="complex"):
        read_raster(tmp_path / "complex.tif")
    _write(tmp_path / "empty.tif", np.zeros((1, 3, 3), np.uint8), nodata=0)
    with pytest.raises(RasterError, match="no pixel of it is valid"):
        read_raster(tmp_path / "empty.tif")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_a_cut_off_file_is_a_message(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RasterError, match=name):
        read_raster(tmp_path / name)


def test_a_place_that_cannot_be_written_is_no_fault_of_the_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    raster = masked(np.ones((1, 2, 2)), np.ones((2, 2), bool), np.uint8)
    with pytest.raises(OutputError, match="Cannot write"):
        write_tiff(tmp_path / "file" / "a.tif", raster)


def test_validity_must_fit_the_pixels() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Raster(np.zeros((1, 2, 3), np.float32), np.ones((3, 2), bool), np.dtype(np.uint8))
