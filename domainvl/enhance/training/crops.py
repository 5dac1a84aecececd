"""The crops of a step, each drawn by a seed of its own, so that a run that goes on draws what it would have drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from domainvl.enhance.training.views import LoadedPair, Window

if TYPE_CHECKING:
    from torch import Tensor

_TRIES = 10
"""Crops drawn of a pair before the best of them is taken though too little of it is valid."""
_ORDER, _CROP = 0, 1
"""What a random number is for: part of its seed."""


@dataclass(frozen=True)
class Batch:
    """The crops of a step, in the network's units.

    Attributes:
        low: (n, bands, crop, crop).
        reference: (n, high bands, crop, crop): the high views, shrunk.
        high: (n, high bands, scale * crop, scale * crop).
        valid: (n, 1, scale * crop, scale * crop), 1 where both views are valid.
        ids: The pairs.
        redrawn: Crops that were drawn anew because too little of them was valid.
        few_valid: Crops that were taken though too little of them is valid.
    """

    low: Tensor
    reference: Tensor
    high: Tensor
    valid: Tensor
    ids: tuple[str, ...]
    redrawn: int
    few_valid: int


@dataclass(frozen=True)
class Place:
    """Where a crop lies and how it is turned.

    Attributes:
        row: Of its upper left corner, in low pixels.
        column: Likewise.
        flip_rows: Whether it is turned upside down.
        flip_columns: Whether left and right are exchanged.
        transpose: Whether rows and columns are exchanged, after the flips.
    """

    row: int
    column: int
    flip_rows: bool = False
    flip_columns: bool = False
    transpose: bool = False


class Sampler:
    """Draws the crops of any step.

    Args:
        pairs: What they are cut from; each is used once before any is used again.
        batch: Crops in a step.
        crop_px: Their side in low pixels.
        least_valid: Share of a crop's high pixels that must be valid.
        augment: Whether crops are flipped and transposed.
        mosaic: Whether low views are Bayer mosaics: the colour of a crop's first pixel is then that of the view's, so
            what is flipped begins one pixel later, and nothing is transposed (Liu et al., "Learning Raw Image
            Denoising with Bayer Pattern Unification and Bayer Preserving Augmentation", CVPR Workshops 2019).
        seed: Of all that is drawn.
    """

    def __init__(
        self,
        pairs: Sequence[LoadedPair],
        *,
        batch: int,
        crop_px: int,
        least_valid: float,
        augment: bool,
        mosaic: bool,
        seed: int,
    ) -> None:
        self._pairs = pairs
        self._batch = batch
        self._crop_px = crop_px
        self._least_valid = least_valid
        self._augment = augment
        self._mosaic = mosaic
        self._seed = seed
        self._order = lru_cache(maxsize=2)(self._order_of_epoch)

    def draw(self, step: int) -> Batch:
        """Draw the crops of a step, counted from 1."""
        import torch

        windows: list[Window] = []
        ids: list[str] = []
        redrawn = few_valid = 0
        for item in range((step - 1) * self._batch, step * self._batch):
            epoch, number = divmod(item, len(self._pairs))
            pair = self._pairs[self._order(epoch)[number]]
            place, tries, is_enough = self._place(pair, item)
            windows.append(self.cut(pair, place))
            ids.append(pair.id)
            redrawn += tries - 1
            few_valid += not is_enough
        low, reference, high = (
            torch.from_numpy(np.stack(parts))
            for parts in zip(*((one.low, one.reference, one.high) for one in windows), strict=True)
        )
        valid = torch.from_numpy(np.stack([one.valid[None] for one in windows])).float()
        return Batch(low, reference, high, valid, tuple(ids), redrawn, few_valid)

    def cut(self, pair: LoadedPair, place: Place) -> Window:
        """Cut a crop out and turn it."""
        window = pair.window(place.row, place.column, (self._crop_px, self._crop_px))

        def turn(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
            if place.flip_rows:
                values = values[..., ::-1, :]
            if place.flip_columns:
                values = values[..., ::-1]
            return np.ascontiguousarray(values.swapaxes(-1, -2) if place.transpose else values)

        return Window(*(turn(part) for part in (window.low, window.reference, window.high, window.valid)))  # type: ignore[arg-type]

    def _place(self, pair: LoadedPair, item: int) -> tuple[Place, int, bool]:
        """Return a place, how many were drawn, and whether enough of it is valid."""
        rng = np.random.default_rng((self._seed, _CROP, item))
        drawn: list[tuple[float, Place]] = []
        while len(drawn) < _TRIES:
            place = self._draw_place(rng, pair.size_px)
            share = pair.valid_share(place.row, place.column, self._crop_px)
            drawn.append((share, place))
            if share >= self._least_valid:
                return place, len(drawn), True
        return max(drawn, key=lambda one: one[0])[1], len(drawn), False

    def _draw_place(self, rng: np.random.Generator, size_px: tuple[int, int]) -> Place:
        turns = (rng.random(3) < 0.5).tolist() if self._augment else [False] * 3
        room = [size - self._crop_px for size in size_px]
        if not self._mosaic:
            row, column = (int(rng.integers(free + 1)) for free in room)
            return Place(row, column, *turns)
        flips = [turn and free > 0 for turn, free in zip(turns, room, strict=False)]
        # The last pixel of an even crop that begins one pixel later has the colour that the first one must have.
        row, column = (
            int(flip) + 2 * int(rng.integers((free - flip) // 2 + 1)) for flip, free in zip(flips, room, strict=True)
        )
        return Place(row, column, *flips)

    def _order_of_epoch(self, epoch: int) -> list[int]:
        order: list[int] = np.random.default_rng((self._seed, _ORDER, epoch)).permutation(len(self._pairs)).tolist()
        return order
