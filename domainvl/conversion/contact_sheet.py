"""A sheet of images with their boxes and names: what a careful person looks at before converting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from domainvl.schema.boxes import Box

_COLUMNS = 4
_SIDE_PX = 384
_CAPTION_PX = 18
_MARGIN_PX = 8
_PAPER = (255, 255, 255)
_INK = (30, 30, 30)
_IGNORED = (150, 150, 150)
# Okabe and Ito, Color Universal Design (2008): told apart by colour-blind readers too.
_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178))


@dataclass(frozen=True)
class SheetTile:
    """One image of a sheet.

    Attributes:
        name: Its name.
        pixels: uint8 of shape (height, width) or (height, width, 3).
        boxes: Box in pixels of the image, class, and whether it would be ignored.
    """

    name: str
    pixels: npt.NDArray[np.uint8]
    boxes: Sequence[tuple[Box, str, bool]]


def draw_sheet(tiles: Sequence[SheetTile], *, columns: int = _COLUMNS) -> npt.NDArray[np.uint8]:
    """Draw images in rows, with a colour a class; ignored objects are grey.

    Args:
        tiles: At least one.
        columns: Most images in a row.

    Returns:
        uint8 of shape (height, width, 3).
    """
    labels = sorted({label for tile in tiles for _, label, _ in tile.boxes})
    colours = {label: _COLOURS[index % len(_COLOURS)] for index, label in enumerate(labels)}
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    shown_px = max(_shown_size(tile)[1] for tile in tiles)
    cell_px = (_SIDE_PX + _MARGIN_PX, shown_px + _CAPTION_PX + _MARGIN_PX)
    legend_px = _CAPTION_PX + _MARGIN_PX if labels else 0
    sheet = Image.new("RGB", (columns * cell_px[0] + _MARGIN_PX, rows * cell_px[1] + _MARGIN_PX + legend_px), _PAPER)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        origin = (_MARGIN_PX + column * cell_px[0], _MARGIN_PX + row * cell_px[1])
        _draw_tile(sheet, tile, origin, colours)
        count = sum(not ignored for _, _, ignored in tile.boxes)
        caption = f"{tile.name}, {count} object{'s' * (count != 1)}"
        ImageDraw.Draw(sheet).text((origin[0], origin[1] + shown_px + 2), caption, _INK, font=_font())
    _draw_legend(sheet, colours, rows * cell_px[1] + _MARGIN_PX)
    return np.asarray(sheet)


def _shown_size(tile: SheetTile) -> tuple[int, int]:
    """Return width and height of an image on the sheet."""
    height_px, width_px = tile.pixels.shape[:2]
    scale = _SIDE_PX / max(height_px, width_px)
    return max(1, round(width_px * scale)), max(1, round(height_px * scale))


def _draw_tile(
    sheet: Image.Image, tile: SheetTile, origin: tuple[int, int], colours: dict[str, tuple[int, int, int]]
) -> None:
    scale = _SIDE_PX / max(tile.pixels.shape[:2])
    shown = Image.fromarray(tile.pixels).convert("RGB").resize(_shown_size(tile), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(shown)
    # Ignored ones first, so that none covers what is asked about.
    for box_px, label, ignored in sorted(tile.boxes, key=lambda box: not box[2]):
        corners = [value * scale for value in box_px]
        pen.rectangle(corners, outline=_IGNORED if ignored else colours[label], width=2)
    sheet.paste(shown, origin)


def _draw_legend(sheet: Image.Image, colours: dict[str, tuple[int, int, int]], top_px: int) -> None:
    pen = ImageDraw.Draw(sheet)
    x = _MARGIN_PX
    for label, colour in colours.items():
        width_px = int(pen.textlength(label, font=_font())) + _CAPTION_PX + _MARGIN_PX
        if x + width_px > sheet.width:
            pen.text((x, top_px), "...", _INK, font=_font())
            return
        pen.rectangle((x, top_px + 3, x + 12, top_px + 15), outline=colour, width=3)
        pen.text((x + _CAPTION_PX, top_px), label, _INK, font=_font())
        x += width_px + _MARGIN_PX


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(13)
