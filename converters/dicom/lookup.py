"""Lookup tables and windows as headers hold them (PS3.3 C.11.1, C.11.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue
from pydicom import Dataset
from pydicom.multival import MultiValue

from ..medical.looks import OwnVoi
from ..medical.windows import LINEAR, LINEAR_EXACT, SIGMOID, WHITE, FloatArray, Window
from .headers import is_little_endian, number_of, numbers_of, text_of, value_of


@dataclass(frozen=True)
class LookupTable:
    """A modality or VOI lookup table (PS3.3 C.11.1.1, C.11.2.1.1). Two of equal content are equal.

    Attributes:
        first: Value that the first entry is for.
        bits: Bits of an entry.
        content: The entries as uint16 of this machine.
    """

    first: int
    bits: int
    content: bytes

    @classmethod
    def read(cls, item: Dataset, *, signed_input: bool, little_endian: bool) -> LookupTable:
        """Read a LUT item.

        Args:
            item: Item of ModalityLUTSequence or VOILUTSequence.
            signed_input: Whether values below 0 can come in, so that the first value mapped may be negative.
            little_endian: Byte order of the file.

        Raises:
            ValueError: If there are fewer entries than declared, or entries of no known size.
        """
        count, first, bits = (int(number) for number in value_of(item, "LUTDescriptor"))
        # The descriptor's VR is ambiguous (US or SS): 16-bit values above 32767 may be negative ones.
        if signed_input and first > 0x7FFF:
            first -= 0x10000
        if not 1 <= bits <= 16:
            raise ValueError(f"a lookup table must have entries of 1 to 16 bits, got {bits}")
        entries = _entries(value_of(item, "LUTData"), count or 0x10000, little_endian)
        return cls(first, bits, entries.tobytes())

    @property
    def entries(self) -> npt.NDArray[np.uint16]:
        """The entries, uint16."""
        return np.frombuffer(self.content, np.uint16)

    def look_up(self, values: FloatArray) -> FloatArray:
        """Map values; those below the first get the first entry, those beyond the last get the last."""
        entries = self.entries
        offset: FloatArray = np.rint(values) - self.first
        return entries.astype(np.float64)[np.clip(offset, 0, len(entries) - 1).astype(np.intp)]

    def apply(self, values: FloatArray) -> FloatArray:
        """Map values to 0..255, the full range of an entry's bits."""
        return np.clip(self.look_up(values) * (WHITE / float((1 << self.bits) - 1)), 0.0, WHITE)

    def describe(self) -> dict[str, JsonValue]:
        """Return it as facts of a record."""
        return {"lookup_table_entries": len(self.entries)}


def _entries(data: Any, count: int, little_endian: bool) -> npt.NDArray[np.uint16]:
    if isinstance(data, bytes):
        one_byte = len(data) < 2 * count
        data = np.frombuffer(data, "u1" if one_byte else "<u2" if little_endian else ">u2")
    elif not isinstance(data, MultiValue | list):
        data = [data]
    entries: npt.NDArray[np.uint16] = np.asarray(data, np.int64).astype(np.uint16)[:count]
    if len(entries) < count:
        raise ValueError(f"a lookup table of {count} entries holds {len(entries)}")
    return entries


def modality_table(header: Dataset) -> LookupTable | None:
    """Return the modality LUT of a header; it holds before slope and intercept (C.11.1).

    Raises:
        ValueError: If it is malformed; so do TypeError and others of :data:`.headers.PARSE_ERRORS`.
    """
    items = value_of(header, "ModalityLUTSequence")
    if not items:
        return None
    signed = number_of(header, "PixelRepresentation") == 1
    return LookupTable.read(items[0], signed_input=signed, little_endian=is_little_endian(header))


def own_vois(header: Dataset, *, signed_input: bool) -> tuple[tuple[OwnVoi, ...], tuple[str, ...]]:
    """Return the VOIs of a header, lookup tables before windows as the more exact description, and warnings.

    Where a header has both, either may be shown (C.11.2.1). Windows are numbered as they stand in the header, those
    that cannot be used too; tables are numbered where there are no windows.

    Args:
        header: The header.
        signed_input: Whether modality values below 0 are possible.

    Raises:
        ValueError: If a table is malformed; so do TypeError and others of :data:`.headers.PARSE_ERRORS`.
    """
    windows, warnings = _windows(header)
    tables = [
        OwnVoi(
            LookupTable.read(item, signed_input=signed_input, little_endian=is_little_endian(header)),
            text_of(item, "LUTExplanation").casefold(),
            None if windows else index,
        )
        for index, item in enumerate(value_of(header, "VOILUTSequence") or ())
    ]
    return (*tables, *windows), warnings if not tables else ()


def _windows(header: Dataset) -> tuple[list[OwnVoi], tuple[str, ...]]:
    centers, widths = numbers_of(header, "WindowCenter"), numbers_of(header, "WindowWidth")
    names = _texts(header, "WindowCenterWidthExplanation")
    function = text_of(header, "VOILUTFunction") or LINEAR
    warnings = []
    if centers and widths and function not in (LINEAR, LINEAR_EXACT, SIGMOID):
        function = LINEAR
        warnings.append("the file's VOI LUT function is unknown: LINEAR was used")
    windows = []
    for index, (center, width) in enumerate(zip(centers, widths, strict=False)):
        window = Window(center, width, function)
        if problem := window.problem():
            warnings.append(f"the file's window was not used: {problem}")
        else:
            windows.append(OwnVoi(window, names[index].casefold() if index < len(names) else "", index))
    return windows, tuple(warnings)


def _texts(header: Dataset, keyword: str) -> tuple[str, ...]:
    value = value_of(header, keyword)
    values = () if value is None else value if isinstance(value, MultiValue | list) else (value,)
    return tuple(str(text).strip() for text in values)
