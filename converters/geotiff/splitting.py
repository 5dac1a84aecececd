"""Which split a tile belongs to, decided before anything is cut, so that no ground lies in two splits.

A tile belongs to a split only if all the ground that it shows, and a buffer around it, does; else it is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from rasterio.crs import CRS
from shapely import STRtree

from domainvl.errors import ItemError
from domainvl.schema import Box, Split, SplitFractions, assign_split

from .georeference import LONLAT, Points, SceneGrid
from .grid import Tile
from .headers import footprint, outline_in

EQUAL_AREA = CRS.from_epsg(6933)
"""EASE-Grid 2.0 Global, in metres of equal area: blocks of ground that scenes of all CRSs share."""

_HALF_GIRTH_M = 17_367_530.45
"""Easting of the antimeridian there (Brodzik et al., EASE-Grid 2.0, 2012, table 1: map extent)."""

_BORDER = 1e-4
"""Share of a tile that may lie beyond a border: borders of areas and of tiles that coincide differ by rounding."""


@dataclass(frozen=True)
class Blocks:
    """Squares of ground, each drawn into a split by its name.

    Attributes:
        side_m: Their side.
        fractions: Shares of the splits.
        hides_place: Whether groups are named after their place in the scene, not after that on the globe.
    """

    side_m: float
    fractions: SplitFractions
    hides_place: bool = False


@dataclass(frozen=True)
class SplitArea:
    """Ground of one split.

    Attributes:
        name: Names it as a group.
        split: Its split.
        wkb: Its outline, as well-known binary in longitude and latitude.
    """

    name: str
    split: Split
    wkb: bytes


@dataclass(frozen=True)
class SplitRule:
    """How the tiles of a scene are put into splits; plain values, so that it can stand in a unit of work.

    Attributes:
        group: The group of all its tiles, unless they are divided by ground.
        split: The split of all its tiles, where it must not be drawn.
        blocks: Tiles are divided by blocks.
        areas: Tiles are divided by areas.
        taken: Ground that a split of a higher rank (test, then val) has: outlines in longitude and latitude.
        buffer_px: Pixels around a tile that must lie in the same split.
    """

    group: str
    split: Split | None = None
    blocks: Blocks | None = None
    areas: tuple[SplitArea, ...] = ()
    taken: tuple[bytes, ...] = ()
    buffer_px: int = 0


@dataclass(frozen=True)
class Place:
    """Where a tile belongs."""

    group: str
    split: Split | None


class NoSplitError(Exception):
    """A tile lies on ground of two splits, or of none.

    Attributes:
        reason: Stable code.
        message: Which rule it breaks.
        action: What the user can do.
    """

    def __init__(self, reason: str, message: str, action: str) -> None:
        self.reason, self.message, self.action = reason, message, action
        super().__init__(message)


class Splitter:
    """Puts the tiles of one scene into splits.

    Args:
        rule: How.
        grid: The scene's grid.
        uri: Name of the scene in messages.

    Raises:
        ItemError: If the scene has no place on Earth, by which it could be divided.
    """

    def __init__(self, rule: SplitRule, grid: SceneGrid, *, uri: str) -> None:
        self._rule = rule
        self._grid = grid
        needs_ground = rule.blocks is not None or rule.areas
        if needs_ground and outline_in(grid, EQUAL_AREA if rule.blocks else LONLAT) is None:
            raise ItemError(
                "Cannot split by ground",
                reason="no-crs",
                where=uri,
                rule="the scene has no georeference that leads to a place on Earth",
                action="Use --split-by scene",
            )
        self._first_block = _first_block(grid, rule.blocks) if rule.blocks and rule.blocks.hides_place else (0, 0)
        self._areas = [shapely.from_wkb(area.wkb) for area in rule.areas]
        self._area_tree = STRtree(self._areas)
        self._taken = [shapely.from_wkb(wkb) for wkb in rule.taken]
        shapely.prepare(self._taken)

    def place(self, tile: Tile) -> Place:
        """Return where a tile belongs.

        Raises:
            NoSplitError: If it lies on ground of two splits, or of none.
        """
        buffer_px = self._rule.buffer_px
        box_px = (
            tile.x_px - buffer_px,
            tile.y_px - buffer_px,
            tile.x_px + tile.width_px + buffer_px,
            tile.y_px + tile.height_px + buffer_px,
        )
        if self._rule.blocks is not None:
            return self._by_block(self._rule.blocks, box_px)
        if self._rule.areas:
            return self._by_area(box_px)
        if self._taken:
            outline = footprint(self._grid, box_px)
            if outline is not None and any(shapely.intersects(self._taken, outline)):
                raise NoSplitError(
                    "split-border",
                    "another scene that is held out shows the same ground",
                    "Use --split-by block to divide the ground instead of the scenes",
                )
        return Place(self._rule.group, self._rule.split)

    def _by_block(self, blocks: Blocks, box_px: Box) -> Place:
        outline = outline_in(self._grid, EQUAL_AREA, box_px)
        if outline is None:
            raise NoSplitError("outside-earth", "its corners have no place on Earth", "Use --split-by scene")
        side_m = blocks.side_m
        left, middle, right = _across(outline[:, 0])
        bottom, top = outline[:, 1].min(), outline[:, 1].max()
        columns = [column for low, high in _turns(left, right) for column in _numbers(low, high, side_m)]
        names = [_block(column, row, side_m) for row in _numbers(bottom, top, side_m) for column in columns]
        splits = {assign_split(name, blocks.fractions) for name in names}
        if len(splits) > 1:
            raise NoSplitError(
                "split-border",
                f"it, with {self._rule.buffer_px} px around, lies on blocks of {' and '.join(sorted(splits))}",
                "Larger blocks (--split-block-m) leave out fewer tiles",
            )
        column, row = math.floor(middle / side_m), math.floor(outline[:, 1].mean() / side_m)
        if not blocks.hides_place:
            return Place(_block(column, row, side_m), splits.pop())
        first_column, first_row = self._first_block
        return Place(f"{self._rule.group}/{_block(column - first_column, row - first_row, side_m)}", splits.pop())

    def _by_area(self, box_px: Box) -> Place:
        outline = footprint(self._grid, box_px)
        near = [] if outline is None else sorted(self._area_tree.query(outline, predicate="intersects"))
        common = {index: shapely.intersection(self._areas[index], outline) for index in near}
        size = 0.0 if outline is None else outline.area
        found = [index for index, shared in common.items() if shared.area > _BORDER * size]
        if not found:
            raise NoSplitError("outside-areas", "it lies in none of --split-areas", "Add an area that holds it")
        splits = {self._rule.areas[index].split for index in found}
        with_buffer = f"it, with {self._rule.buffer_px} px around, lies"
        if len(splits) > 1:
            message = f"{with_buffer} on ground of {' and '.join(sorted(splits))}"
            raise NoSplitError("split-border", message, "Larger areas leave out fewer tiles")
        if shapely.union_all([common[index] for index in found]).area < (1.0 - _BORDER) * size:
            message = f"{with_buffer} only partly in an area of {', '.join(splits)}"
            raise NoSplitError("split-border", message, "Larger areas leave out fewer tiles")
        best = max(found, key=lambda index: common[index].area)
        return Place(self._rule.areas[best].name, splits.pop())


def _first_block(grid: SceneGrid, blocks: Blocks) -> tuple[int, int]:
    """Return column and row of the block at the lower left of a scene, from which hidden places are counted."""
    outline = outline_in(grid, EQUAL_AREA)
    x_m, y_m = (0.0, 0.0) if outline is None else outline.min(axis=0)
    return math.floor(x_m / blocks.side_m), math.floor(y_m / blocks.side_m)


def _across(xs_m: Points) -> tuple[float, float, float]:
    """Return the least, the mean and the greatest x of an outline, the last one beyond the antimeridian if need be."""
    if np.ptp(xs_m) > _HALF_GIRTH_M:
        xs_m = np.where(xs_m < 0.0, xs_m + 2 * _HALF_GIRTH_M, xs_m)
    middle = float(xs_m.mean())
    return float(xs_m.min()), middle - (2 * _HALF_GIRTH_M if middle > _HALF_GIRTH_M else 0.0), float(xs_m.max())


def _turns(left_m: float, right_m: float) -> list[tuple[float, float]]:
    """Divide a span at the antimeridian, where the map ends and begins."""
    if right_m <= _HALF_GIRTH_M:
        return [(left_m, right_m)]
    return [(left_m, _HALF_GIRTH_M), (-_HALF_GIRTH_M, right_m - 2 * _HALF_GIRTH_M)]


def _numbers(low_m: float, high_m: float, side_m: float) -> range:
    """Return the numbers of all rows or columns of blocks that a span meets."""
    return range(math.floor(low_m / side_m), math.floor(high_m / side_m) + 1)


def _block(column: int, row: int, side_m: float) -> str:
    return f"block/{side_m:g}m/x{column}y{row}"
