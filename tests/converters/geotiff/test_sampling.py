"""Which pixels the limits of a stretch come from."""

from types import SimpleNamespace

import numpy as np
import pytest
from rasterio.windows import Window

from domainvl.converters.geotiff.products import Band
from domainvl.converters.geotiff.sampling import MAX_CELLS, MAX_VALUES, sample_bands
from domainvl.errors import ItemError

BAND = Band("1", None, "a.tif", 1)


class Gradient:
    """Stands for a reader of a scene of any size, whose values grow to the right and, a thousand times slower, down."""

    def __init__(self, width_px, height_px, *, damaged=lambda window: False, valid=lambda columns, rows: True):
        self.grid = SimpleNamespace(width_px=width_px, height_px=height_px)
        self.windows = []
        self._damaged, self._valid = damaged, valid

    def read(self, bands, window: Window):
        self.windows.append(window)
        if self._damaged(window):
            raise ItemError("Cannot read", reason="scene-read")
        columns = np.arange(window.col_off, window.col_off + window.width)[np.newaxis]
        rows = np.arange(window.row_off, window.row_off + window.height)[:, np.newaxis]
        values = columns / self.grid.width_px + rows / self.grid.height_px / 1000
        valid = np.broadcast_to(self._valid(columns, rows), values.shape)
        return [values.astype(np.float32)] * len(bands), valid


def test_geo_03_of_a_small_scene_all_pixels_are_taken():
    reader = Gradient(300, 200)
    sample = sample_bands(reader, [BAND], (64, 64), uri="a.tif")
    expected = np.arange(300) / 300 + np.arange(200)[:, np.newaxis] / 200_000
    assert np.allclose(np.sort(sample.stored[0]), np.sort(expected.ravel()))
    assert sample.method == "all pixels, 60000 of them valid"


def test_geo_03_of_a_large_scene_whole_blocks_all_over_it_are_taken():
    reader = Gradient(100_000, 60_000)
    (values,) = sample_bands(reader, [BAND], (512, 512), uri="a.tif").stored
    assert MAX_CELLS / 2 < len(reader.windows) <= MAX_CELLS
    assert all(window.col_off % 512 == window.row_off % 512 == 0 for window in reader.windows)
    assert len(values) <= 1.1 * MAX_VALUES
    # Of a gradient over the whole scene the percentile of p is p / 100.
    assert np.percentile(values, [2, 25, 50, 75, 98]) == pytest.approx([0.02, 0.25, 0.5, 0.75, 0.98], abs=0.05)


@pytest.mark.parametrize("block_px", [(1, 100_000), (16, 100_000), (256, 256), (100, 70)])
def test_geo_10_striped_and_tiled_files_are_read_by_whole_blocks_of_bounded_size(block_px):
    reader = Gradient(100_000, 3_000)
    sample_bands(reader, [BAND], block_px, uri="a.tif")
    height_px, width_px = block_px
    for window in reader.windows:
        assert window.row_off % height_px == 0 and window.col_off % width_px == 0
        # Not more than the square of a cell's side, or one block where that is larger.
        assert window.width * window.height <= max(512 * 512, width_px * height_px)
    assert len(reader.windows) <= MAX_CELLS


def test_geo_03_more_values_than_wanted_are_thinned_on_one_lattice_through_all_blocks():
    reader = Gradient(130, 90)
    sample = sample_bands(reader, [BAND], (32, 32), uri="a.tif", max_values=3_000)
    # sqrt(11700 / 3000) = 1.97: every second row and column of the scene, whatever the block.
    expected = np.arange(0, 130, 2) / 130 + np.arange(0, 90, 2)[:, np.newaxis] / 90_000
    assert np.allclose(np.sort(sample.stored[0]), np.sort(expected.ravel()))
    assert sample.method == f"all pixels, one pixel in 2 x 2, {65 * 45} of them valid"


def test_geo_03_the_lattice_goes_on_over_the_seam_of_cells():
    """Strips of 2201 px: cells of 119 of them, an odd number."""
    reader = Gradient(2201, 500)
    (values,) = sample_bands(reader, [BAND], (1, 2201), uri="a.tif", max_values=2201 * 500 // 4).stored
    assert {window.row_off % 119 for window in reader.windows} == {0} and len(reader.windows) == 5
    expected = np.arange(0, 2201, 2) / 2201 + np.arange(0, 500, 2)[:, np.newaxis] / 500_000
    assert np.allclose(np.sort(values), np.sort(expected.ravel()))


def test_geo_03_only_valid_pixels_count():
    reader = Gradient(100, 40, valid=lambda columns, rows: columns >= 60)
    sample = sample_bands(reader, [BAND], (40, 100), uri="a.tif")
    assert len(sample.stored[0]) == 40 * 40
    assert sample.stored[0].min() >= 0.6
    assert sample.method.endswith("1600 of them valid")


def test_damaged_blocks_are_left_out_and_counted():
    """One block of 64 x 64 px of a cell of 512 x 512 is damaged: the others of it still count."""

    def damaged(window):
        return (
            window.col_off <= 128 < window.col_off + window.width
            and window.row_off <= 64 < window.row_off + window.height
        )

    sample = sample_bands(Gradient(1024, 1024, damaged=damaged), [BAND], (64, 64), uri="a.tif")
    assert len(sample.stored[0]) == 1024 * 1024 - 64 * 64
    assert sample.method.endswith("; 1 damaged blocks left out")


def test_what_is_no_damage_ends_the_search_at_once():
    """A band without georeference cannot be brought to the grid, whichever block is asked for."""
    reader = Gradient(1024, 1024)

    def refuse(bands, window):
        reader.windows.append(window)
        raise ItemError("Cannot bring a band to the grid", reason="no-crs")

    reader.read = refuse
    with pytest.raises(ItemError) as error:
        sample_bands(reader, [BAND], (64, 64), uri="a.tif")
    assert (error.value.reason, len(reader.windows)) == ("no-crs", 1)


@pytest.mark.parametrize(
    ("settings", "reason", "rule"),
    [
        ({"damaged": lambda window: True}, "scene-read", "none of its blocks can be read.*Fetch the file again"),
        ({"valid": lambda columns, rows: False}, "no-valid-pixels", "none of its pixels is valid.*--nodata"),
    ],
)
def test_a_scene_without_values_is_an_error(settings, reason, rule):
    with pytest.raises(ItemError, match=rf"in a\.tif: {rule}") as error:
        sample_bands(Gradient(64, 64, **settings), [BAND], (64, 64), uri="a.tif")
    assert error.value.reason == reason
