"""References on the grid of an input; one that is the truth is refused."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from repeating_upscaler import RepeatingUpscaler

from domainvl.enhance.applying.modes import Mode
from domainvl.errors import ItemError

_PLACE = Affine(10, 0, 500000, 0, -10, 4600000)


@pytest.fixture
def given(write, enhance):
    """Enlarges x4 with a reference, which the repeating upscaler returns."""

    def given(low, reference):
        facts, path = enhance(
            low, RepeatingUpscaler(4, takes_reference=True), mode=Mode.GIVEN, reference=reference, tile_px=32
        )
        with rasterio.open(path) as high:
            return facts, high.read()

    return given


def test_a_reference_of_the_same_grid_is_seen_as_it_is(write, given, noise):
    reference = noise(3, 70, 50)

    facts, found = given(write(np.ones((3, 70, 50), np.uint8)), write(reference, "reference.tif"))

    np.testing.assert_array_equal(found[:, ::4, ::4], reference)
    assert facts.tiles_without_reference == 0


def test_a_reference_elsewhere_on_the_map_is_brought_to_the_grid(write, given):
    # Twice as fine, 100 m further west and north: a ramp that says where it is.
    ramp = np.add.outer(np.arange(200), np.arange(200)).astype(np.float32)[None]
    reference = write(ramp, "reference.tif", transform=Affine(5, 0, 499900, 0, -5, 4600100))

    _, found = given(write(np.ones((1, 40, 40), np.float32)), reference)

    # The low pixel r, c is the mean of rows 20 + 2 r and 21 + 2 r, columns 20 + 2 c and 21 + 2 c.
    rows, columns = np.mgrid[:40, :40]
    np.testing.assert_allclose(found[0, ::4, ::4], 41 + 2 * (rows + columns), atol=1e-3)


def test_another_crs_is_warped(write, given):
    left, bottom, right, top = rasterio.warp.transform_bounds(
        "EPSG:32633", "EPSG:4326", 500000, 4600000 - 400, 500400, 4600000
    )
    place = Affine((right - left) / 40, 0, left, 0, (bottom - top) / 40, top)
    ramp = np.repeat(np.arange(40, dtype=np.float32)[None], 40, axis=0)[None]

    _, found = given(
        write(np.ones((1, 40, 40), np.float32)), write(ramp, "reference.tif", crs="EPSG:4326", transform=place)
    )

    inner = found[0, 4:-4:4, 4:-4:4]
    assert np.abs(inner - np.arange(1, 39)).max() < 0.5


def test_pictures_without_georeference_are_matched_by_their_shape(tmp_path, given, noise):
    reference = noise(15, 20, 3)
    Image.fromarray(reference.repeat(2, axis=0).repeat(2, axis=1)).save(tmp_path / "reference.png")
    Image.fromarray(noise(15, 20, 3)).save(tmp_path / "low.png")

    _, found = given(tmp_path / "low.png", tmp_path / "reference.png")

    np.testing.assert_array_equal(np.moveaxis(found[:, ::4, ::4], 0, -1), reference)


def test_tiles_that_the_reference_does_not_reach_are_counted(write, given):
    low = write(np.ones((1, 40, 200), np.uint8))
    facts, found = given(low, write(np.full((1, 40, 20), 9, np.uint8), "reference.tif"))

    assert facts.tiles == 14
    assert 0 < facts.tiles_without_reference < 14
    assert (found[0, :, -400:] == 1).all()  # the input's own value: no reference was seen


@pytest.mark.parametrize(("size_m", "refused"), [(2.5, True), (2, True), (3, False)])
def test_a_reference_as_fine_as_the_output_is_refused(write, given, size_m, refused):
    low = write(np.ones((1, 20, 20), np.uint8))
    place = Affine(size_m, 0, 500000, 0, -size_m, 4600000)
    reference = write(np.ones((1, 90, 90), np.uint8), "reference.tif", transform=place)

    if refused:
        with pytest.raises(ItemError, match="the network would be shown what it should find"):
            given(low, reference)
    else:
        given(low, reference)


def test_a_picture_as_fine_as_the_output_is_refused(tmp_path, given):
    for name, side in (("low", 16), ("reference", 64)):
        Image.new("RGB", (side, side)).save(tmp_path / f"{name}.png")

    with pytest.raises(ItemError, match="its pixels are 4 times as fine") as error:
        given(tmp_path / "low.png", tmp_path / "reference.png")
    assert error.value.reason == "reference-truth"


def test_references_that_do_not_fit_are_said(tmp_path, write, given, noise):
    Image.new("RGB", (30, 20)).save(tmp_path / "low.png")
    for name, size, mode, reason in (("a", (30, 30), "RGB", "shape"), ("b", (30, 20), "L", "bands")):
        Image.new(mode, size).save(tmp_path / f"{name}.png")
        with pytest.raises(ItemError) as error:
            given(tmp_path / "low.png", tmp_path / f"{name}.png")
        assert error.value.reason == f"reference-{reason}"
    (tmp_path / "c.png").write_text("no picture")
    with pytest.raises(ItemError) as error:
        given(tmp_path / "low.png", tmp_path / "c.png")
    assert error.value.reason == "reference-open"


@pytest.mark.parametrize("how", ["nodata", "mask", "alpha"])
def test_missing_pixels_of_a_reference_are_missing_in_its_window(write, enhance, noise, how):
    seen = []

    class Looking(RepeatingUpscaler):
        def upscale(self, low, *, reference=None):
            seen.append(reference)
            return super().upscale(low, reference=reference)

    values, hole = noise(1, 20, 20), np.zeros((20, 20), bool)
    hole[5:9, 3:7] = True
    values[0, hole] = 0
    if how == "nodata":
        reference = write(values, "reference.tif", nodata=0)
    elif how == "mask":
        reference = write(values, "reference.tif", mask=~hole)
    else:
        planes = np.concatenate([values, np.where(hole, 0, 255).astype(np.uint8)[None]])
        reference = write(planes, "reference.tif", alpha="yes")

    upscaler = Looking(4, takes_reference=True)
    enhance(write(np.ones((1, 20, 20), np.uint8)), upscaler, mode=Mode.GIVEN, reference=reference)

    np.testing.assert_array_equal(seen[0].valid, ~hole)
    np.testing.assert_array_equal(seen[0].pixels[0, ~hole], values[0, ~hole])
