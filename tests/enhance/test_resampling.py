import numpy as np
import pytest
import torch
from PIL import Image

from domainvl.enhance.resampling import enlarge, enlarge_mask, fill_invalid, shrink

RANDOM = np.random.default_rng(0)


def pixels(bands: int = 2, rows: int = 24, columns: int = 36) -> np.ndarray:
    return RANDOM.uniform(0, 1, (bands, rows, columns)).astype(np.float32)


def pillow(band: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return np.asarray(Image.fromarray(band).resize((columns, rows), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("scale", [2, 4])
def test_where_all_is_valid_it_is_pillows_bicubic(scale):
    values = pixels()
    valid = np.ones(values.shape[1:], dtype=bool)
    small, kept = shrink(values, valid, scale)
    large = enlarge(values, valid, scale)

    assert small.dtype == large.dtype == np.float32
    assert kept.dtype == bool
    assert kept.all()
    for band in range(2):
        np.testing.assert_allclose(small[band], pillow(values[band], 24 // scale, 36 // scale), atol=1e-5)
        np.testing.assert_allclose(large[band], pillow(values[band], 24 * scale, 36 * scale), atol=1e-5)


def test_what_is_not_valid_does_not_bleed():
    values = np.full((1, 24, 16), 7.0, dtype=np.float32)
    valid = np.ones((24, 16), dtype=bool)
    valid[:10, :] = False
    values[:, ~valid] = -1e6
    small, kept = shrink(values, valid, 4)

    # The third row of four has two of its four rows valid, and with them half of its kernel.
    assert kept.tolist() == [[False] * 4] * 2 + [[True] * 4] * 4
    np.testing.assert_allclose(small[:, kept], 7.0, rtol=1e-5)
    assert not small[:, ~kept].any()
    np.testing.assert_allclose(enlarge(values, valid, 2), 7.0, rtol=1e-5)


def test_values_that_are_not_finite_under_the_mask_do_no_harm():
    values, valid = pixels(1, 8, 8), np.ones((8, 8), dtype=bool)
    valid[0, 0], values[0, 0, 0] = False, np.nan

    assert np.isfinite(shrink(values, valid, 2)[0]).all()
    assert np.isfinite(enlarge(values, valid, 2)).all()


def test_a_batch_of_torch_equals_its_pictures_of_numpy():
    values = np.stack([pixels(), pixels()])
    valid = RANDOM.uniform(size=(2, 1, 24, 36)) < 0.7
    small, kept = shrink(torch.from_numpy(values), torch.from_numpy(valid), 4)

    assert small.shape == (2, 2, 6, 9)
    assert kept.shape == (2, 1, 6, 9)
    for index in range(2):
        alone, alone_kept = shrink(values[index], valid[index, 0], 4)
        np.testing.assert_allclose(small[index].numpy(), alone, atol=1e-6)
        assert np.array_equal(kept[index, 0].numpy(), alone_kept)


def test_sides_that_are_no_multiple_are_refused():
    with pytest.raises(ValueError, match="24 x 36 pixels are no multiple of 5"):
        shrink(pixels(), np.ones((24, 36), dtype=bool), 5)


def test_a_hole_takes_the_value_of_its_nearest_valid_pixel():
    values = np.array([[[1.0, 0.0, 0.0, 0.0, 9.0]]], dtype=np.float32)
    valid = np.array([[True, False, False, False, True]])

    assert fill_invalid(values, valid)[0, 0, [0, 1, 3, 4]].tolist() == [1, 1, 9, 9]
    assert fill_invalid(values, valid, reach_px=1, beyond=5.0)[0, 0].tolist() == [1, 1, 5, 9, 9]


def test_with_nothing_valid_there_is_nothing_to_fill_from():
    values = np.full((1, 2, 2), np.nan, dtype=np.float32)

    assert fill_invalid(values, np.zeros((2, 2), dtype=bool), beyond=0.5).tolist() == [[[0.5, 0.5], [0.5, 0.5]]]


def test_a_mask_is_repeated():
    assert enlarge_mask(np.array([[True, False]]), 2).tolist() == [[True, True, False, False]] * 2
