"""The range of values that a network sees as 0 to 1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from domainvl.enhance.pairs.value_range import measure_view
from domainvl.enhance.rasters import masked, write_tiff


def test_eight_bits_have_the_range_of_their_type(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", masked(np.full((2, 4, 4), 77), np.ones((4, 4), bool), np.uint8))
    view = measure_view(tmp_path, ["a.tif"])
    assert (view.bands, view.dtype, view.low, view.high) == (2, "uint8", (0.0, 0.0), (255.0, 255.0))


def test_other_types_have_robust_percentiles_of_valid_pixels_of_all_files(tmp_path: Path) -> None:
    values = np.arange(20_000, dtype=np.float32).reshape(1, 100, 200)
    valid = np.ones((100, 200), bool)
    valid[0, 0] = False
    values[0, 0, 0] = 60_000
    write_tiff(tmp_path / "a.tif", masked(values[:, :50], valid[:50], np.uint16))
    write_tiff(tmp_path / "b.tif", masked(values[:, 50:], valid[50:], np.uint16))
    view = measure_view(tmp_path, ["a.tif", "b.tif"])
    assert view.low[0] == pytest.approx(20.98, abs=0.1)  # 0.1 % of the way from 1 to 19999
    assert view.high[0] == pytest.approx(19979.0, abs=0.1)


def test_of_many_values_every_third_is_kept_and_every_colour_of_a_mosaic_met(tmp_path: Path) -> None:
    values = np.zeros((1, 40, 40), np.uint16)
    values[0, 1::2, 1::2] = 500
    values[0, 0, 1:3] = 60_000  # neither the first nor the fourth
    write_tiff(tmp_path / "a.tif", masked(values, np.ones((40, 40), bool), np.uint16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("domainvl.enhance.pairs.value_range._VALUES", 800)  # of 1600, which would be every second
        assert measure_view(tmp_path, ["a.tif"]).high[0] == 500


@pytest.mark.parametrize("value", [0.25, -3e9])
def test_a_band_of_one_value_still_has_a_range(tmp_path: Path, value: float) -> None:
    write_tiff(tmp_path / "a.tif", masked(np.full((1, 4, 4), value), np.ones((4, 4), bool), np.float32))
    view = measure_view(tmp_path, ["a.tif"])
    assert np.float32(view.high[0]) > np.float32(view.low[0]) == np.float32(value)
