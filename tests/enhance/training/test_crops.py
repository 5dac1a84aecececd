"""Crops are the same however a run got to a step, lie over each other in both views, and hold enough valid pixels."""

from __future__ import annotations

import numpy as np
import pytest

from domainvl.enhance.pairs.records import View
from domainvl.enhance.training.crops import Place, Sampler
from domainvl.enhance.training.views import LoadedPair

SCALE = 2


def a_view(bands: int, low: float = 0.0, high: float = 1.0) -> View:
    return View(bands=bands, dtype="float32", low=(low,) * bands, high=(high,) * bands)


def a_pair(name: str, rows: int, columns: int, *, valid: np.ndarray | None = None) -> LoadedPair:
    """Each low pixel holds its row and column, each high pixel those of the low pixel that it lies in."""
    low = np.stack(np.mgrid[:rows, :columns]).astype(np.float32)
    high = low.repeat(SCALE, axis=1).repeat(SCALE, axis=2)
    return LoadedPair(name, SCALE, low, high, low.copy(), valid, a_view(2), a_view(2))


def a_sampler(pairs: list[LoadedPair], **changes: object) -> Sampler:
    options = {"batch": 3, "crop_px": 4, "least_valid": 0.5, "augment": True, "mosaic": False, "seed": 0}
    return Sampler(pairs, **(options | changes))  # type: ignore[arg-type]


def test_a_step_has_the_same_crops_whatever_was_drawn_before() -> None:
    pairs = [a_pair(name, 9, 11) for name in "abcd"]
    gone_through = a_sampler(pairs)
    for step in range(1, 7):
        gone_through.draw(step)
    first, second = gone_through.draw(7), a_sampler(pairs).draw(7)
    assert first.ids == second.ids
    assert first.low.equal(second.low)
    assert first.high.equal(second.high)
    assert not a_sampler(pairs, seed=1).draw(7).low.equal(first.low)


def test_each_pair_is_used_once_before_any_is_used_again() -> None:
    pairs = [a_pair(name, 6, 6) for name in "abcde"]
    sampler = a_sampler(pairs)
    ids = [name for step in range(1, 6) for name in sampler.draw(step).ids]
    epochs = [ids[start : start + 5] for start in range(0, 15, 5)]
    assert all(sorted(epoch) == list("abcde") for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_both_views_of_a_crop_show_the_same_place_turned_the_same_way() -> None:
    sampler = a_sampler([a_pair("a", 9, 11)], batch=64)
    batch = sampler.draw(1)
    assert batch.high[:, :, ::SCALE, ::SCALE].equal(batch.low)
    assert batch.reference.equal(batch.low)
    corners = {tuple((one[:, 0, 1] - one[:, 0, 0]).tolist()) for one in batch.low}
    assert corners == {(0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0)}  # columns run along, against, down and up


def test_a_place_is_turned_as_it_says() -> None:
    pair = a_pair("a", 9, 11)
    low = a_sampler([pair]).cut(pair, Place(2, 3, flip_rows=True, transpose=True)).low
    rows, columns = np.mgrid[2:6, 3:7]
    np.testing.assert_array_equal(low, np.stack([rows[::-1].T, columns[::-1].T]))


def test_crops_reach_every_edge_and_none_goes_beyond() -> None:
    pair = a_pair("a", 5, 6)
    low = a_sampler([pair], batch=200, augment=False).draw(1).low
    assert set(low[:, 0, 0, 0].tolist()) == {0.0, 1.0}
    assert set(low[:, 1, 0, 0].tolist()) == {0.0, 1.0, 2.0}


@pytest.mark.parametrize("size", [(4, 4), (5, 4), (9, 10)])
def test_a_mosaic_keeps_its_colours_where_they_are_though_it_is_flipped(size: tuple[int, int]) -> None:
    low = a_sampler([a_pair("a", *size)], batch=200, mosaic=True).draw(1).low
    assert not (low[:, 0, 0] % 2).any()  # the first row of a crop is an even one of the view
    assert not (low[:, 1, :, 0] % 2).any()
    flipped = low[:, 0, 1, 0] < low[:, 0, 0, 0]
    assert flipped.any() == (size[0] > 4)
    assert (low[:, 0, 0, 1] == low[:, 0, 0, 0]).all()  # nothing is transposed


def test_values_are_brought_to_the_range_of_the_view_and_not_clipped() -> None:
    values = np.array([[[-10.0, 0.0], [50.0, 210.0]]], dtype=np.float32)
    high = np.full((1, 4, 4), 30.0, np.float32)
    pair = LoadedPair("a", 2, values, high, high[:, :2, :2], None, a_view(1, 10.0, 110.0), a_view(1, 20.0, 40.0))
    window = pair.window(0, 0, (2, 2))
    np.testing.assert_allclose(window.low[0], [[-0.2, -0.1], [0.4, 2.0]], rtol=1e-6)
    assert (window.high == 0.5).all()
    assert (window.reference == 0.5).all()


def test_crops_with_too_little_in_them_are_drawn_anew_and_counted() -> None:
    valid = np.zeros((40, 40), bool)
    valid[:, 20:] = True
    batch = a_sampler([a_pair("a", 20, 20, valid=valid)], batch=40).draw(1)
    assert (batch.valid.mean(dim=(1, 2, 3)) >= 0.5).all()
    assert batch.redrawn > 0
    assert batch.few_valid == 0


def test_where_no_crop_has_enough_the_best_of_ten_is_taken_and_counted() -> None:
    valid = np.zeros((40, 40), bool)
    valid[20, 20] = True
    batch = a_sampler([a_pair("a", 20, 20, valid=valid)], batch=5).draw(1)
    assert (batch.redrawn, batch.few_valid) == (45, 5)
    best = [one.sum().item() for one in batch.valid]
    assert max(best) == 1.0  # ten tries of one in eighteen find the pixel for some of five
