"""In which order images are seen, and which are seen together; decided by seed and sizes, not by what happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


class ImageOrder:
    """The steps of a run: whole images, in a new order each epoch, until a step has its tiles.

    Epochs follow each other without a border, so only the last step of all may be much smaller than the others.

    Args:
        tile_counts: Tiles of each image.
        tiles_per_step: Most tiles a step; an image with more is a step of its own.
        epochs: How often each image is seen.
        seed: Of the orders.
        max_steps: Stop after so many steps.
    """

    def __init__(
        self, tile_counts: Sequence[int], *, tiles_per_step: int, epochs: int, seed: int, max_steps: int | None = None
    ) -> None:
        self._tile_counts = tile_counts
        self._tiles_per_step = tiles_per_step
        self._epochs = epochs
        self._seed = seed
        self._max_steps = max_steps
        self.step_count = sum(1 for _ in self.steps())

    def steps(self, first_step: int = 0) -> Iterator[tuple[int, list[int]]]:
        """Yield number and image indices of each step after ``first_step``; steps are counted from 1."""
        number, images, tiles = 1, list[int](), 0
        for index in self._images():
            if images and tiles + self._tile_counts[index] > self._tiles_per_step:
                if number > first_step:
                    yield number, images
                if number == self._max_steps:
                    return
                number, images, tiles = number + 1, [], 0
            images.append(index)
            tiles += self._tile_counts[index]
        if images and number > first_step:
            yield number, images

    def _images(self) -> Iterator[int]:
        for epoch in range(self._epochs):
            yield from np.random.default_rng([self._seed, epoch]).permutation(len(self._tile_counts)).tolist()
