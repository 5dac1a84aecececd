"""Where images lie on the ground, as their records tell it: read from each line, kept as numbers.

An image has a place if ``source.details`` has a ``transform`` (six numbers: pixel of the stored image to map, in the
order of affine and rasterio) and a ``crs``. Without a CRS its ``window`` in its source file is its place there. Ground
is what its ``window`` covers; the rest of the stored image is padding.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Corners: TypeAlias = npt.NDArray[np.float64]
"""The four corners of footprints, in turn, shape (n, 4, 2)."""

_LARGEST = 1e12
"""No map of a planet has larger coordinates, in millimetres even; areas of larger ones would overflow."""

_WINDOW_KEYS = ("col", "row", "width", "height")


@dataclass(frozen=True)
class Frame:
    """What coordinates mean.

    Attributes:
        name: A CRS, or the name of a source file.
        is_crs: Whether it is a CRS; the coordinates are pixels of the file where not.
    """

    name: str
    is_crs: bool


class Footprints:
    """The footprints of all images, each once a split and date, about 80 bytes each.

    Attributes:
        frames: What their coordinates mean.
        unplaced: Number of references to images without a place.
    """

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.unplaced = 0
        self._frame_numbers: dict[Frame, int] = {}
        self._date_numbers: dict[str, int] = {}
        self._seen: set[int] = set()
        self._corners = array("d")
        self._frames = array("I")
        self._dates = array("I")
        self._references = array("I")

    def start_split(self) -> None:
        """Say that the images that follow are of another split."""
        self._seen.clear()

    def add(
        self, reference: int, source: object, width_px: int | None, height_px: int | None, *, example: bool = False
    ) -> None:
        """Add an image; one that tells no place is counted.

        Args:
            reference: Its number among the references of the index.
            source: ``source`` of its record.
            width_px: Width of the stored image, where it is known.
            height_px: Height of it.
            example: Whether it is shown as a solved example, and so belongs to another split perhaps.
        """
        known: dict[str, Any] = source if isinstance(source, dict) else {}
        details = known.get("details")
        if not isinstance(details, dict):
            details = {}
        place = _place(known, details, width_px, height_px)
        if place is None:
            self.unplaced += 1
            return
        frame, corners = place
        number = self._frame_numbers.setdefault(frame, len(self.frames))
        if number == len(self.frames):
            self.frames.append(frame)
        date = details.get("date")
        day = self._date_numbers.setdefault(date, len(self._date_numbers) + 1) if isinstance(date, str) else 0
        key = hash((number, day, corners, example))
        if key in self._seen:
            return
        self._seen.add(key)
        self._corners.extend(corners)
        self._frames.append(number)
        self._dates.append(day)
        self._references.append(reference)

    @property
    def corners(self) -> Corners:
        """Corners of each footprint."""
        return np.frombuffer(self._corners, np.float64).reshape(-1, 4, 2)

    @property
    def frame_numbers(self) -> npt.NDArray[np.uint32]:
        """Position among ``frames`` of the frame of each footprint."""
        return np.frombuffer(self._frames, np.uint32)

    @property
    def dates(self) -> npt.NDArray[np.uint32]:
        """A number for the date of each footprint, 0 where it is not known."""
        return np.frombuffer(self._dates, np.uint32)

    @property
    def references(self) -> npt.NDArray[np.uint32]:
        """The reference of each footprint, ascending."""
        return np.frombuffer(self._references, np.uint32)


def _place(
    source: dict[str, Any], details: dict[str, Any], width_px: int | None, height_px: int | None
) -> tuple[Frame, tuple[float, ...]] | None:
    """Return the frame and the corners of an image; None where it tells no place or covers no ground."""
    window = _window(details.get("window"))
    crs, transform = details.get("crs"), details.get("transform")
    if isinstance(crs, str) and crs:
        if not width_px or not height_px or not _is_transform(transform):
            return None
        if window is not None:
            width_px, height_px = min(width_px, window[2]), min(height_px, window[3])
        return _in_frame(Frame(crs, is_crs=True), transform, (0, 0, width_px, height_px))
    file = source.get("sha256") or source.get("uri")
    if window is None or not isinstance(file, str):
        return None
    return _in_frame(Frame(file, is_crs=False), (1, 0, 0, 0, 1, 0), window)


def _in_frame(frame: Frame, transform: Any, box_px: tuple[int, ...]) -> tuple[Frame, tuple[float, ...]] | None:
    a, b, c, d, e, f = (float(number) for number in transform)
    left, top, width, height = box_px
    corners: list[float] = []
    for x, y in ((left, top), (left + width, top), (left + width, top + height), (left, top + height)):
        corners += (a * x + b * y + c, d * x + e * y + f)
    covers_ground = a * e - b * d != 0 and all(abs(number) <= _LARGEST for number in corners)
    return (frame, tuple(corners)) if covers_ground else None


def _is_transform(value: object) -> bool:
    return isinstance(value, list) and len(value) == 6 and all(_is_number(number) for number in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _window(value: object) -> tuple[int, ...] | None:
    """Return left, top, width and height of a window of pixels; other formats call other things a window."""
    if not isinstance(value, dict):
        return None
    numbers = [value[key] for key in _WINDOW_KEYS if _is_integer(value.get(key))]
    return tuple(numbers) if len(numbers) == 4 and numbers[2] > 0 and numbers[3] > 0 else None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53
