"""From stored values to modality values such as Hounsfield units, and which of them are no part of the image.

Stored values of up to 16 bits are mapped through a table over all that they can be, which is made once for all frames
whose headers agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue
from pydicom import Dataset

from domainvl.errors import ItemError

from ..medical.looks import CT_OUTSIDE_FIELD_HU, BoolArray, Levels, Source
from ..medical.windows import FloatArray
from .headers import PARSE_ERRORS, number_of, text_of
from .lookup import LookupTable, modality_table, own_vois

TABLE_BITS = 16
"""Stored values of more bits are mapped one by one."""


@dataclass(frozen=True)
class Values:
    """A frame in modality units.

    Attributes:
        values: float32 (float64 where stored values have more than 16 bits) of shape (rows, columns), scaled where
            there is a scale.
        background: bool of the same shape; True for padding and what lies outside of the field of view of a CT.
        scale: Factor that is in the values already, such as SUV a unit of activity; None for none.
    """

    values: npt.NDArray[Any]
    background: BoolArray
    scale: float | None = None


@dataclass(frozen=True)
class GreyFacts:
    """All of a header that decides how a grey frame is shown. Equal facts make equal tables.

    Attributes:
        source: Modality, VOIs, inversion and scale.
        slope: RescaleSlope; None where there is no rescale.
        intercept: RescaleIntercept, in modality units.
        table: Modality LUT, which holds before slope and intercept.
        padding: Lowest and highest stored value that is padding.
    """

    source: Source
    slope: float | None
    intercept: float | None
    table: LookupTable | None
    padding: tuple[float, float] | None

    @classmethod
    def read(cls, header: Dataset, scale: float | None) -> GreyFacts:
        """Read them from a frame's header.

        Raises:
            ItemError: By ``lookup-table`` if a table is malformed.
        """
        slope, intercept = number_of(header, "RescaleSlope"), number_of(header, "RescaleIntercept")
        if slope is None or intercept is None:
            slope, intercept = None, None
        signed = number_of(header, "PixelRepresentation") == 1 or (intercept or 0) < 0 or (slope or 1) < 0
        try:
            table = modality_table(header)
            own, warnings = own_vois(header, signed_input=signed and table is None)
        except PARSE_ERRORS as error:
            raise ItemError(
                "Cannot render pixels",
                reason="lookup-table",
                rule=f"a lookup table is malformed ({type(error).__name__})",
                action="Write the file again with a tool that repairs its header",
            ) from error
        source = Source(text_of(header, "Modality"), own, warnings, is_inverted(header), scale)
        return cls(source, slope, intercept, table, _padding(header))

    def describe(self) -> dict[str, JsonValue]:
        """Return what is done to stored values as facts of a record."""
        if self.table is not None:
            return {"rescale": self.table.describe()}
        if self.slope is None:
            return {"rescale": None}
        return {"rescale": {"slope": self.slope, "intercept": self.intercept}}

    def levels(self, stored: npt.NDArray[Any]) -> Levels:
        """Map stored values of any shape to modality values (C.11.1) and say which are background."""
        values: FloatArray = stored.astype(np.float64)
        background = ~np.isfinite(values)
        if self.padding is not None:
            background |= (values >= self.padding[0]) & (values <= self.padding[1])
        if self.table is not None:
            values = self.table.look_up(np.where(background, self.table.first, values))
        elif self.slope is not None and self.intercept is not None:
            values *= self.slope
            values += self.intercept
        if self.source.modality == "CT":
            background |= values <= CT_OUTSIDE_FIELD_HU
        return Levels(values, background)


def is_inverted(header: Dataset) -> bool:
    """Whether low values are shown bright: PresentationLUTShape INVERSE, or MONOCHROME1 where that is absent."""
    shape = text_of(header, "PresentationLUTShape")
    return shape == "INVERSE" or (not shape and text_of(header, "PhotometricInterpretation") == "MONOCHROME1")


def _padding(header: Dataset) -> tuple[float, float] | None:
    """Return lowest and highest padding value (PS3.3 C.7.5.1.1.2)."""
    first, limit = (number_of(header, keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    if first is None:
        return None
    # The VR is ambiguous (US or SS), and some writers choose the wrong one: 63536 is -2000 in 16 signed bits.
    bits = int(number_of(header, "BitsAllocated") or 16)
    signed = number_of(header, "PixelRepresentation") == 1
    limits = [_as_stored(value, bits, signed) for value in (first, limit) if value is not None]
    return min(limits), max(limits)


def _as_stored(value: float, bits: int, signed: bool) -> float:
    patterns, half = float(1 << bits), float(1 << (bits - 1))
    if signed and value >= half:
        return value - patterns
    return value + patterns if not signed and value < 0 else value


def has_table(stored: npt.NDArray[Any]) -> bool:
    """Whether stored values are few enough for a table."""
    return stored.dtype.kind in "iu" and stored.dtype.itemsize * 8 <= TABLE_BITS


def all_stored(dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """List all values of an integer type by their bits as an unsigned number, the order that :func:`index_of` needs."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    return np.arange(2 ** (8 * dtype.itemsize), dtype=unsigned).view(dtype)


def index_of(stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return each value's place in :func:`all_stored`, without a copy where the memory is contiguous."""
    return np.ascontiguousarray(stored).view(f"u{stored.dtype.itemsize}")
