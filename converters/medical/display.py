"""What is done to stored pixels so that they show as a reader expects: turned, made square, cut.

The customary display of the planes (radiological convention), which flips and one transposition bring about:

* axial: seen from the feet; the patient's right is on the left of the image, the front at its top;
* coronal: seen from the front; the patient's right is on the left, the head at the top;
* sagittal: seen from the patient's left; the front is on the left, the head at the top.

An oblique slice is turned like the plane that it is nearest to; its pixels are not resampled into that plane.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import JsonValue

from domainvl.errors import ItemError

from .geometry import Geometry, Vector, dot, nearest_plane
from .pixel_map import PixelMap

Pixels: TypeAlias = npt.NDArray[np.uint8]
IntBox: TypeAlias = tuple[int, int, int, int]
"""(x_min, y_min, x_max, y_max) in whole pixels, corners on pixel edges."""

_DIRECTIONS: Mapping[str, tuple[Vector, Vector]] = {
    "axial": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "coronal": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    "sagittal": ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),
}
"""Where in the patient the right and the lower side of the customary display of each plane lie."""

_SQUARE_TOLERANCE = 0.01
"""Sides of a pixel that differ by less are left alone: resampling would cost more than such a distortion."""

_TIE = 1e-6

_ASPECT_MAX = 32.0
"""A pixel that is longer than this is taken for an error of the header: no scanner makes one."""


@dataclass(frozen=True)
class Turn:
    """Flips and a transposition: rows and columns are exchanged first, then sides are.

    Attributes:
        transpose: Whether rows become columns.
        flip_x: Whether left and right are exchanged.
        flip_y: Whether top and bottom are exchanged.
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(self, pixels: Pixels) -> Pixels:
        """Turn an image of shape (h, w) or (h, w, 3)."""
        turned = pixels.swapaxes(0, 1) if self.transpose else pixels
        return np.ascontiguousarray(turned[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1])

    def map(self, width_px: int, height_px: int) -> PixelMap:
        """Return the map from an image of the given size to the turned one."""
        a, b, d, e = (0.0, 1.0, 1.0, 0.0) if self.transpose else (1.0, 0.0, 0.0, 1.0)
        width_px, height_px = (height_px, width_px) if self.transpose else (width_px, height_px)
        c = f = 0.0
        if self.flip_x:
            a, b, c = -a, -b, float(width_px)
        if self.flip_y:
            d, e, f = -d, -e, float(height_px)
        return PixelMap((a + 0.0, b + 0.0, c, d + 0.0, e + 0.0, f), width_px, height_px)


def orientation_for(geometry: Geometry, plane: str | None) -> Turn:
    """Find the turn that brings a slice into the customary display of its plane.

    Args:
        geometry: Where the slice lies.
        plane: ``"axial"``, ``"coronal"`` or ``"sagittal"``; the nearest plane where None.
    """
    right, down = _DIRECTIONS[plane or nearest_plane(geometry)]
    along = dot(geometry.row, right), dot(geometry.column, down)
    across = dot(geometry.column, right), dot(geometry.row, down)
    # At 45 degrees the rounding of the header must not choose.
    transpose = abs(across[0]) + abs(across[1]) > abs(along[0]) + abs(along[1]) + _TIE
    x, y = across if transpose else along
    return Turn(transpose, flip_x=x < 0, flip_y=y < 0)


@dataclass(frozen=True)
class Display:
    """How the image that is shown is made of stored pixels.

    Attributes:
        columns: Width of the stored image.
        rows: Height of the stored image.
        turn: What is done first.
        resized_px: Width and height after resampling, which comes next.
        crop_px: What is cut out of that; None for all of it.
        stored_spacing_mm: Distances of stored pixels, between rows (y) and between columns (x), where known.
    """

    columns: int
    rows: int
    turn: Turn
    resized_px: tuple[int, int]
    crop_px: IntBox | None = None
    stored_spacing_mm: tuple[float, float] | None = None

    @property
    def _turned_px(self) -> tuple[int, int]:
        return (self.rows, self.columns) if self.turn.transpose else (self.columns, self.rows)

    @property
    def map(self) -> PixelMap:
        """The map from stored pixels to shown ones."""
        found = self.turn.map(self.columns, self.rows).then(PixelMap.scaling(self._turned_px, self.resized_px))
        return found if self.crop_px is None else found.then(PixelMap.cropping(self.crop_px))

    @property
    def spacing_mm(self) -> tuple[float, float] | None:
        """Distances of shown pixels, between rows (y) and between columns (x); None where not known."""
        if self.stored_spacing_mm is None:
            return None
        y_mm, x_mm = self.stored_spacing_mm[::-1] if self.turn.transpose else self.stored_spacing_mm
        width_px, height_px = self._turned_px
        return y_mm * height_px / self.resized_px[1], x_mm * width_px / self.resized_px[0]

    def cropped(self, crop_px: IntBox) -> Display:
        """Return the display that also cuts a box out of what is shown now.

        Args:
            crop_px: The box, in pixels of what is shown now.
        """
        left, top = (0, 0) if self.crop_px is None else self.crop_px[:2]
        return replace(self, crop_px=(left + crop_px[0], top + crop_px[1], left + crop_px[2], top + crop_px[3]))

    def apply(self, pixels: Pixels) -> Pixels:
        """Make the shown image of a stored one.

        Args:
            pixels: The stored image after grey levels, of shape (rows, columns) or (rows, columns, 3).

        Raises:
            ItemError: If it has another size than the header says.
        """
        if pixels.shape[:2] != (self.rows, self.columns):
            raise ItemError(
                "Cannot display an image",
                reason="size",
                rule=f"the header says {self.columns}x{self.rows} pixels and {pixels.shape[1]}x{pixels.shape[0]} came",
                action="Fetch the file again; it may be damaged",
            )
        shown = self.turn.apply(pixels)
        if self._turned_px != self.resized_px:
            # Linear interpolation makes no grey that is darker or brighter than its neighbours.
            shown = np.asarray(Image.fromarray(shown).resize(self.resized_px, Image.Resampling.BILINEAR))
        if self.crop_px is None:
            return shown
        x_min, y_min, x_max, y_max = self.crop_px
        return np.ascontiguousarray(shown[y_min:y_max, x_min:x_max])

    def describe(self) -> dict[str, JsonValue]:
        """Return what was done, in order, so that the image can be made again; empty where nothing was.

        Sizes are width and height; a transposition comes before flips.
        """
        done: dict[str, JsonValue] = {}
        if self.turn.transpose:
            done["transposed"] = True
        if self.turn.flip_x:
            done["flipped_x"] = True
        if self.turn.flip_y:
            done["flipped_y"] = True
        if self._turned_px != self.resized_px:
            done["resized_px"] = list(self.resized_px)
        if self.crop_px is not None:
            done["crop_px"] = list(self.crop_px)
        return {"stored_px": [self.columns, self.rows], **done} if done else {}


def display_of(
    rows: int,
    columns: int,
    geometry: Geometry | None,
    plane: str | None,
    spacing_mm: tuple[float, float] | None,
    *,
    keep_aspect: bool = False,
    turn: Turn | None = None,
    pixel_shape: tuple[float, float] | None = None,
) -> Display:
    """Decide how an image is shown.

    Args:
        rows: Rows of stored pixels.
        columns: Columns of stored pixels.
        geometry: Where it lies; without it, it is not turned.
        plane: Its anatomical plane; the nearest one where None.
        spacing_mm: Distances of pixels, between rows (y) and between columns (x), as PixelSpacing has them.
        keep_aspect: Leave pixels that are not square as they are.
        turn: What to do instead of what follows from the geometry; ``Turn()`` for nothing.
        pixel_shape: Height and width of a pixel in any unit, where the spacing is not known.

    Raises:
        ItemError: If pixels are so far from square that the header must be wrong.
    """
    if turn is None:
        turn = Turn() if geometry is None else orientation_for(geometry, plane)
    size_px = (rows, columns) if turn.transpose else (columns, rows)
    shape = spacing_mm or pixel_shape
    if shape is not None and not keep_aspect:
        size_px = _square_size(size_px, shape[::-1] if turn.transpose else shape)
    return Display(columns, rows, turn, size_px, None, spacing_mm)


def _square_size(size_px: tuple[int, int], shape: tuple[float, float]) -> tuple[int, int]:
    """Return the size at which pixels are square: the side along which they are longer gets more of them."""
    width_px, height_px = size_px
    ratio = shape[0] / shape[1]
    if not 1 / _ASPECT_MAX <= ratio <= _ASPECT_MAX:
        raise ItemError(
            "Cannot make pixels square",
            reason="aspect",
            rule=f"a pixel would be {ratio:.4g} times as high as wide; up to {_ASPECT_MAX:g} times is resampled",
            action="Correct its PixelSpacing, or convert with --keep-aspect",
        )
    if abs(ratio - 1.0) <= _SQUARE_TOLERANCE:
        return size_px
    if ratio > 1.0:
        return width_px, round(height_px * ratio)
    return round(width_px / ratio), height_px
