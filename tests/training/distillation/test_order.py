"""The order of images: each once an epoch, full steps, the same for a run that goes on."""

from collections import Counter
from itertools import pairwise

from domainvl.training.distillation.order import ImageOrder

TILE_COUNTS = [1, 7, 3, 13, 1, 1, 5, 3, 7, 1, 4]


def order(**changes: int | None) -> ImageOrder:
    return ImageOrder(TILE_COUNTS, **{"tiles_per_step": 8, "epochs": 3, "seed": 1, **changes})


def test_each_image_is_seen_once_an_epoch() -> None:
    seen = [index for _, images in order().steps() for index in images]
    assert Counter(seen) == Counter(list(range(len(TILE_COUNTS))) * 3)
    epochs = [seen[start : start + len(TILE_COUNTS)] for start in range(0, len(seen), len(TILE_COUNTS))]
    assert all(sorted(epoch) == list(range(len(TILE_COUNTS))) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_steps_have_at_most_their_tiles_and_none_could_take_the_next_image() -> None:
    steps = [images for _, images in order().steps()]
    tiles = [[TILE_COUNTS[index] for index in images] for images in steps]
    assert all(sum(counts) <= 8 or len(counts) == 1 for counts in tiles)
    assert all(sum(counts) + following[0] > 8 for counts, following in pairwise(tiles))


def test_going_on_gives_the_steps_that_were_left() -> None:
    whole = list(order().steps())
    assert [number for number, _ in whole] == list(range(1, len(whole) + 1))
    assert order().step_count == len(whole)
    assert list(order().steps(first_step=5)) == whole[5:]
    assert list(order().steps(first_step=len(whole))) == []
    assert list(order(max_steps=7).steps(first_step=5)) == whole[5:7]
    assert order(max_steps=7).step_count == 7
    assert list(order(seed=2).steps()) != whole
