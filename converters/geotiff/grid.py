"""Which windows of a scene become tiles."""

from __future__ import annotations

from dataclasses import dataclass

from .settings import Edge


@dataclass(frozen=True)
class Tile:
    """One tile: its place in the grid and the part of the scene that it shows.

    Attributes:
        row: Row in the grid, from the upper edge of the scene.
        col: Column in the grid, from the left edge.
        x_px: First column of the scene that it shows.
        y_px: First row of the scene.
        width_px: Columns of the scene that it shows; the rest of the tile, if any, is padding to the right.
        height_px: Rows of the scene; the rest is padding below.
    """

    row: int
    col: int
    x_px: int
    y_px: int
    width_px: int
    height_px: int


def plan_tiles(width_px: int, height_px: int, *, tile_px: int, overlap_px: int, edge: Edge) -> list[Tile]:
    """Cover a scene with square tiles, row by row from the upper left corner.

    A side that is shorter than a tile gives one padded tile, whatever ``edge`` says.

    Args:
        width_px: Width of the scene.
        height_px: Height of the scene.
        tile_px: Side of a tile.
        overlap_px: Pixels that neighbours share.
        edge: What happens where the last tile would pass the border of the scene.
    """
    columns = _starts(width_px, tile_px, tile_px - overlap_px, edge)
    rows = _starts(height_px, tile_px, tile_px - overlap_px, edge)
    return [
        Tile(row, col, x_px, y_px, min(tile_px, width_px - x_px), min(tile_px, height_px - y_px))
        for row, y_px in enumerate(rows)
        for col, x_px in enumerate(columns)
    ]


def uncovered_px(width_px: int, height_px: int, tiles: list[Tile]) -> int:
    """Count the pixels right of and below the last tiles, which no tile shows."""
    covered_width_px = max(tile.x_px + tile.width_px for tile in tiles)
    covered_height_px = max(tile.y_px + tile.height_px for tile in tiles)
    return width_px * height_px - covered_width_px * covered_height_px


def _starts(length_px: int, tile_px: int, step_px: int, edge: Edge) -> list[int]:
    if length_px <= tile_px:
        return [0]
    starts = list(range(0, length_px - tile_px + 1, step_px))
    if starts[-1] + tile_px < length_px and edge != "drop":
        starts.append(starts[-1] + step_px if edge == "pad" else length_px - tile_px)
    return starts
