"""Pairs are read once; what cannot be used is left out with a reason, and nothing to train on is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from zoomed_views import write_pairs_folder

from domainvl.enhance.pairs.records import PairSet
from domainvl.enhance.rasters import Raster, write_tiff
from domainvl.enhance.training.views import check_ranges, load_pairs, refuse_none
from domainvl.errors import DatasetError, NothingToDoError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_pairs_folder(folder, counts=(2, 1, 0), size_low=(12, 16), scale=2)
    return folder


@pytest.fixture
def pairs(made: Path, tmp_path: Path) -> PairSet:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return PairSet(tmp_path)


def spoil(pairs: PairSet, number: int, valid: np.ndarray) -> None:
    """Take pixels out of the high view of a pair."""
    record = pairs.records[number]
    _, high = pairs.read(record)
    write_tiff(pairs.folder / record.high, Raster(high.pixels * valid, valid, high.dtype))


def test_views_are_held_in_the_type_of_their_files(pairs: PairSet) -> None:
    (one, _), left_out = load_pairs(pairs, pairs.of_split("train"), least_px=12)
    assert left_out == []
    assert one.low.dtype == one.high.dtype == np.uint8
    assert one.held_bytes == 3 * (12 * 16 + 24 * 32 + 4 * 12 * 16)  # low, high, and the reference as float32
    low, high = pairs.read(pairs.records[0])
    window = one.window(2, 3, (4, 5))
    np.testing.assert_allclose(window.low, low.crop(2, 3, 4, 5).pixels / 255, rtol=1e-6)
    np.testing.assert_allclose(window.high, high.crop(4, 6, 8, 10).pixels / 255, rtol=1e-6)
    assert window.valid.all()


def test_the_reference_is_the_high_view_shrunk_by_a_bicubic_filter(pairs: PairSet) -> None:
    from PIL import Image

    (one, _), _ = load_pairs(pairs, pairs.of_split("train"), least_px=12)
    band = Image.fromarray(pairs.read(pairs.records[0])[1].pixels[1], mode="F")
    expected = np.asarray(band.resize((16, 12), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(one.reference[1], expected, atol=0.01)


def test_what_is_not_valid_is_filled_from_beside_and_masked(pairs: PairSet) -> None:
    valid = np.ones((24, 32), bool)
    valid[:, 20:] = False
    spoil(pairs, 0, valid)
    (one, _), _ = load_pairs(pairs, pairs.of_split("train"), least_px=12)
    window = one.window(0, 0, (12, 16))
    np.testing.assert_array_equal(window.valid, valid)
    assert (window.high[:, :, 20:] == window.high[:, :, 19:20]).all()
    assert one.valid_share(0, 8, 4) == 0.5


def test_pairs_smaller_than_a_crop_are_left_out_by_name_with_both_sizes(pairs: PairSet) -> None:
    loaded, left_out = load_pairs(pairs, pairs.of_split("train"), least_px=13)
    assert loaded == []
    assert [(one.id, one.reason) for one in left_out] == [
        ("scene-000", "smaller-than-crop"),
        ("scene-001", "smaller-than-crop"),
    ]
    with pytest.raises(NothingToDoError) as caught:
        refuse_none(loaded, left_out, pairs)
    assert "none of its 2 pairs can be used; scene-000 has 12 x 16 low pixels, fewer than a crop's 13" in str(
        caught.value
    )


def test_a_pair_whose_views_share_no_valid_pixel_is_left_out(pairs: PairSet) -> None:
    left = np.zeros((24, 32), bool)
    left[:, :2] = True
    spoil(pairs, 1, left)
    record = pairs.records[1]
    low, _ = pairs.read(record)
    right = ~left[::2, ::2]
    write_tiff(pairs.folder / record.low, Raster(low.pixels * right, right, low.dtype))
    loaded, left_out = load_pairs(pairs, pairs.of_split("train"), least_px=8)
    assert [one.id for one in loaded] == ["scene-000"]
    assert [(one.id, one.reason) for one in left_out] == [("scene-001", "no-valid-pixels")]


def test_no_pairs_at_all_are_refused(pairs: PairSet) -> None:
    with pytest.raises(NothingToDoError, match="it has no pairs"):
        refuse_none([], [], pairs)


def test_a_band_without_a_range_is_refused_by_number(pairs: PairSet) -> None:
    path = pairs.folder / "pairs.json"
    index = json.loads(path.read_text())
    index["high_view"] |= {"low": [0.0, 7.0, 0.0], "high": [255.0, 7.0, 255.0]}
    path.write_text(json.dumps(index))
    with pytest.raises(DatasetError, match="high_view, band 2: from 7 to 7"):
        check_ranges(PairSet(pairs.folder))
