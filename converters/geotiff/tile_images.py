"""The images of a tile: each view of a scene, read once, drawn and padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from .drawing import Ground, render
from .grid import Tile
from .reading import Mask, OpenProduct, WindowReader
from .settings import GeotiffSettings
from .views import View


@dataclass(frozen=True)
class DrawnView:
    """A view of the part of a scene that a tile shows.

    Attributes:
        view: The view.
        pixels: uint8 of shape (height, width) or (height, width, 3), without padding.
        shown: Pixels that show something.
    """

    view: View
    pixels: npt.NDArray[np.uint8]
    shown: Mask


@dataclass(frozen=True)
class DrawnTile:
    """What a scene shows in a tile.

    Attributes:
        views: Its views.
        valid: Pixels that every view shows.
    """

    views: tuple[DrawnView, ...]
    valid: Mask


class SceneImages:
    """Draws the tiles of one scene.

    Args:
        opened: The open scene.
        reader: Reads it on the grid.
        views: What is shown of it.
        ground: What the views need to know of the ground.
        settings: The converter's settings.
    """

    def __init__(
        self,
        opened: OpenProduct,
        reader: WindowReader,
        views: Sequence[View],
        ground: Ground,
        settings: GeotiffSettings,
    ) -> None:
        self.product = opened.product
        self.views = tuple(views)
        self._reader = reader
        self._ground = ground
        self._fill_grey = settings.fill_grey

    def draw(self, tile: Tile) -> DrawnTile:
        """Read a tile and draw its views.

        Raises:
            ItemError: If a block cannot be decoded.
        """
        drawn = [self._draw_view(view, tile) for view in self.views]
        shown = drawn[0].shown
        for other in drawn[1:]:
            shown = shown & other.shown
        return DrawnTile(tuple(drawn), shown)

    def _draw_view(self, view: View, tile: Tile) -> DrawnView:
        """Draw one view; which pixels it lacks depends on its own bands alone. Blocks that views share are cached."""
        margin_px = view.margin_px
        window = Window(
            tile.x_px - margin_px,
            tile.y_px - margin_px,
            tile.width_px + 2 * margin_px,
            tile.height_px + 2 * margin_px,
        )
        planes, valid = self._reader.read(view.bands, window)
        by_band = dict(zip(view.bands, planes, strict=True))
        return DrawnView(view, *render(view, by_band, valid, self._ground, self._fill_grey))


def pad(pixels: npt.NDArray[np.uint8], tile_px: int, fill_grey: int) -> npt.NDArray[np.uint8]:
    """Fill an image up to a whole tile, to the right and below."""
    if pixels.shape[:2] == (tile_px, tile_px):
        return pixels
    padded = np.full((tile_px, tile_px, *pixels.shape[2:]), fill_grey, dtype=np.uint8)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    return padded


def share_of(mask: Mask) -> float:
    """Return the share of pixels that are true."""
    return int(np.count_nonzero(mask)) / mask.size
