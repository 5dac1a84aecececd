"""From values to 8 bits: one stretch a scene or a data set, never a tile; its limits, recorded, give the pixels again.

Values are physical: what is stored, times the scale and plus the offset of the band. Where both are trivial, they are
what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from domainvl.errors import ItemError

from .settings import StretchMode

_AUTO = StretchMode("percentile", 2.0, 98.0)
_TABLE_BITS = 16
"""Integers of up to so many bits are stretched through a table of all their values."""


@dataclass(frozen=True)
class Stretch:
    """A linear stretch of one band.

    Attributes:
        low: Physical value that becomes 0.
        high: Physical value that becomes 255.
        scale: Physical value = stored value x scale + offset.
        offset: See ``scale``.
    """

    low: float
    high: float
    scale: float = 1.0
    offset: float = 0.0

    def apply(self, stored: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return ``round((value - low) / (high - low) * 255)``, clipped to 0..255, in double precision.

        Args:
            stored: Stored values of any shape; those that are not finite become 0.
        """
        if stored.dtype == np.uint8 and self.is_identity:
            return stored
        if stored.dtype.kind in "ui" and stored.dtype.itemsize * 8 <= _TABLE_BITS:
            unsigned = stored.view(np.dtype(f"u{stored.dtype.itemsize}"))
            # clip skips a check of each index, of which none can be out of range.
            return np.take(_table(self, stored.dtype), unsigned, mode="clip")
        return self.apply_exactly(stored.astype(np.float64))

    @property
    def is_identity(self) -> bool:
        """Whether values of 0 to 255 stay as they are."""
        return (self.low, self.high, self.scale, self.offset) == (0.0, 255.0, 1.0, 0.0)

    def apply_exactly(self, stored: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
        """Do it by the formula, value by value."""
        values = np.nan_to_num(stored, posinf=0.0, neginf=0.0)
        if (self.scale, self.offset) != (1.0, 0.0):
            values = values * self.scale + self.offset
        scaled = np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0)
        stretched: npt.NDArray[np.uint8] = np.rint(scaled * 255.0).astype(np.uint8)
        return stretched


@lru_cache(maxsize=64)
def _table(stretch: Stretch, dtype: np.dtype[Any]) -> npt.NDArray[np.uint8]:
    """Return what becomes of each stored value of an integer type, by its bits read as unsigned."""
    bits = np.arange(1 << (8 * dtype.itemsize), dtype=np.dtype(f"u{dtype.itemsize}"))
    return stretch.apply_exactly(bits.view(dtype).astype(np.float64))


def check_types(dtypes: Sequence[np.dtype[Any]], *, uri: str) -> None:
    """Refuse complex pixels.

    Args:
        dtypes: Stored types of the bands.
        uri: Name of the scene in messages.

    Raises:
        ItemError: If one is neither integer nor float.
    """
    if any(dtype.kind not in "uif" for dtype in dtypes):
        raise _unsuitable(uri, f"bands must be integers or floats, got {_list(dtypes)}", "Write its amplitude first")


def choose_mode(mode: StretchMode | None, dtypes: Sequence[np.dtype[Any]], *, uri: str) -> StretchMode:
    """Check that a method suits the stored types, or choose one.

    Args:
        mode: The method; where None, none for uint8 and percentiles for other types.
        dtypes: Stored types of the bands.
        uri: Name of the scene in messages.

    Raises:
        ItemError: If it does not suit them.
    """
    if mode is None:
        return StretchMode("none") if all(dtype == np.uint8 for dtype in dtypes) else _AUTO
    if mode.kind == "none" and any(dtype != np.uint8 for dtype in dtypes):
        raise _unsuitable(uri, f"--stretch none is for uint8, got {_list(dtypes)}", "Use --stretch percentile:2,98")
    if mode.kind == "dtype" and any(dtype.kind == "f" for dtype in dtypes):
        raise _unsuitable(uri, f"--stretch dtype is for integers, got {_list(dtypes)}", "Use --stretch fixed:LOW,HIGH")
    return mode


def find_limits(
    mode: StretchMode, dtype: np.dtype[Any], values: npt.NDArray[np.float64], scale: float, offset: float
) -> tuple[float, float]:
    """Find the physical values that become 0 and 255.

    Args:
        mode: The method.
        dtype: Stored type of the band.
        values: Valid physical values, where the method looks at them (:attr:`StretchMode.looks_at_pixels`).
        scale: Physical value = stored value x scale + offset.
        offset: See ``scale``.
    """
    match mode.kind:
        case "fixed":
            return mode.low, mode.high
        case "none":
            return 0.0, 255.0
        case "dtype":
            ends = [float(end) * scale + offset for end in (np.iinfo(dtype).min, np.iinfo(dtype).max)]
            return min(ends), max(ends)
        case "stddev":
            mean, deviation = float(values.mean()), float(values.std())
            low, high = mean - mode.high * deviation, mean + mode.high * deviation
        case "percentile":
            low, high = (float(value) for value in np.percentile(values, [mode.low, mode.high]))
    # A band of one value has no range; with a range of 1 it becomes 0 instead of dividing by zero.
    return low, high if high > low else low + 1.0


def _unsuitable(uri: str, rule: str, action: str) -> ItemError:
    return ItemError("Cannot stretch a scene", reason="pixel-type", where=uri, rule=rule, action=action)


def _list(types: Sequence[np.dtype[Any]]) -> str:
    return ", ".join(sorted({dtype.name for dtype in types}))
