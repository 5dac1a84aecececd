"""A picture of registered pairs: low view, high view, and their difference before and after registration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

from domainvl.enhance.pairs.planes import Grey, shrunk_grey, to_grey
from domainvl.enhance.pairs.records import PairRecord, PairSet, View
from domainvl.enhance.rasters import Raster

_PAIRS = 6
_SIDE_PX = 96
"""Low pixels of each pair's middle that are shown."""
_PANEL_PX = 192
_HEADER_PX = 14


def draw_contact(pairs: PairSet, path: Path) -> None:
    """Draw some pairs, evenly spread over the set.

    The difference before registration is that of the high view moved back by the shift, so a little is missing at
    two edges; mid grey is none.

    Args:
        pairs: The set.
        path: The PNG to write.
    """
    from PIL import Image, ImageDraw

    shown = pairs.records[:: -(-len(pairs.records) // _PAIRS)]
    sheet = Image.new("RGB", (4 * _PANEL_PX, len(shown) * (_PANEL_PX + _HEADER_PX)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, record in enumerate(shown):
        top = number * (_PANEL_PX + _HEADER_PX)
        titles = (
            f"low {record.id}"[:30],
            "high",
            f"before: similarity {record.similarity_before:.2f}",
            f"after: {record.similarity:.2f}, {record.residual_px:.2f} px left",
        )
        for column, (title, panel) in enumerate(zip(titles, _panels(pairs, record), strict=True)):
            draw.text((column * _PANEL_PX + 2, top + 1), title, fill="black")
            picture = Image.fromarray(panel).resize((_PANEL_PX, _PANEL_PX), Image.Resampling.NEAREST)
            sheet.paste(picture, (column * _PANEL_PX, top + _HEADER_PX))
    sheet.save(path)


def _panels(pairs: PairSet, record: PairRecord) -> Sequence[npt.NDArray[np.uint8]]:
    low, high = pairs.read(record)
    scale = pairs.index.scale
    side = min(_SIDE_PX, *low.size_px)
    row, column = ((length - side) // 2 for length in low.size_px)
    ours, theirs = to_grey(low, mosaic=pairs.index.mosaic), shrunk_grey(high, scale)
    linear = np.array(record.affine).reshape(2, 2)
    back = np.linalg.inv(linear)
    moved = ndimage.affine_transform(theirs.plane, back, -back @ np.array(record.shift_px), order=1, mode="nearest")
    inside = (slice(row, row + side), slice(column, column + side))
    return (
        _colours(low.crop(row, column, side, side), pairs.index.low_view),
        _colours(high.crop(row * scale, column * scale, side * scale, side * scale), pairs.index.high_view),
        _difference(ours, Grey(moved, theirs.valid), inside),
        _difference(ours, theirs, inside),
    )


def _colours(view: Raster, values: View) -> npt.NDArray[np.uint8]:
    low, high = (np.array(ends)[:, None, None] for ends in (values.low, values.high))
    bands = [0, 1, 2] if view.bands >= 3 else [0, 0, 0]
    shown = np.clip((view.pixels - low) / (high - low), 0, 1)[bands]
    return np.asarray(np.moveaxis(np.rint(shown * 255), 0, -1), dtype=np.uint8)


def _difference(ours: Grey, theirs: Grey, inside: tuple[slice, slice]) -> npt.NDArray[np.uint8]:
    shared = (ours.valid & theirs.valid)[inside]
    values = np.where(shared, (ours.plane - theirs.plane)[inside], 0)
    grey = np.rint(np.clip(128 + 64 * values, 0, 255)).astype(np.uint8)
    return np.asarray(np.repeat(grey[:, :, None], 3, axis=2))
