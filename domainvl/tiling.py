"""Dynamic resolution: the only place that decides into how many tiles an image is cut.

The rule is InternVL's ``dynamic_preprocess`` (OpenGVLab/InternVL, internvl_chat/internvl/train/dataset.py,
L813-876; InternVL 1.5, arXiv 2404.16821, section 3.3): among all grids of at most ``max_tiles`` tiles take
the one whose aspect ratio is nearest to the image's, and on an exact tie a larger grid only if the image
has pixels enough for it. Grids of equal area, whose order the official code leaves open, never tie.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from domainvl.errors import UsageError

TILE_SIDE_PX = 448
"""Side of a tile of every Mini-InternVL (``force_image_size`` of the published configs)."""

TOKENS_PER_TILE = 256
"""Visual tokens of one 448-pixel tile: (448 / 14 * 0.5) squared."""

MAX_TILES_LIMIT = 40
"""Largest tile count InternVL 1.5 was evaluated with."""

DEFAULT_MAX_TILES = 12
"""Default of the published training scripts (``max_dynamic_patch``)."""


@dataclass(frozen=True, slots=True)
class TileGrid:
    """How one image is cut: ``columns`` x ``rows`` tiles and, perhaps, a thumbnail of the whole at the end."""

    columns: int
    rows: int
    thumbnail: bool

    @property
    def tile_count(self) -> int:
        """Number of tiles that reach the vision encoder, the thumbnail included."""
        return self.columns * self.rows + int(self.thumbnail)


@cache
def _candidate_grids(max_tiles: int) -> tuple[tuple[int, int], ...]:
    """All (columns, rows) of at most ``max_tiles`` tiles, smallest area first."""
    grids = {
        (columns, rows)
        for columns in range(1, max_tiles + 1)
        for rows in range(1, max_tiles + 1)
        if columns * rows <= max_tiles
    }
    return tuple(sorted(grids, key=lambda grid: (grid[0] * grid[1], grid)))


def choose_grid(
    width_px: int,
    height_px: int,
    *,
    max_tiles: int = DEFAULT_MAX_TILES,
    tile_side_px: int = TILE_SIDE_PX,
    use_thumbnail: bool = True,
) -> TileGrid:
    """Choose the tile grid of one image.

    Args:
        width_px: Width of the image.
        height_px: Height of the image.
        max_tiles: Largest number of tiles, the thumbnail not counted; 1 to 40.
        tile_side_px: Side of a tile.
        use_thumbnail: Whether a thumbnail follows when the image is cut into more than one tile.

    Returns:
        The grid.

    Raises:
        UsageError: If a size is not positive or ``max_tiles`` is out of range.
    """
    if width_px < 1 or height_px < 1:
        raise UsageError("Cannot tile an image", rule=f"both sides must be at least 1 px, got {width_px}x{height_px}")
    _check_limit(max_tiles)
    aspect_ratio = width_px / height_px
    best = (1, 1)
    smallest_difference = float("inf")
    for columns, rows in _candidate_grids(max_tiles):
        difference = abs(aspect_ratio - columns / rows)
        if difference < smallest_difference:
            smallest_difference = difference
            best = (columns, rows)
        elif difference == smallest_difference and (
            width_px * height_px > 0.5 * tile_side_px * tile_side_px * columns * rows
        ):
            best = (columns, rows)
    columns, rows = best
    return TileGrid(columns, rows, thumbnail=use_thumbnail and columns * rows > 1)


def max_tiles_per_image(max_tiles: int, image_count: int) -> int:
    """Share a tile limit over the still images of one sample, at least one tile each; thumbnails are extra.

    Source: OpenGVLab/InternVL, internvl_chat/internvl/train/internvl_chat_finetune.py, multi-image samples.

    Raises:
        UsageError: If ``max_tiles`` is out of range.
    """
    _check_limit(max_tiles)
    return max(1, max_tiles // max(1, image_count))


def _check_limit(max_tiles: int) -> None:
    if not 1 <= max_tiles <= MAX_TILES_LIMIT:
        raise UsageError(
            "Cannot tile an image",
            rule=f"the tile limit must be 1 to {MAX_TILES_LIMIT}, got {max_tiles}",
            action="Use 6 to 12 for ordinary images and 24 to 40 for high resolution",
        )
