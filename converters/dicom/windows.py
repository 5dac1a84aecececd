"""Grey levels: from modality units to 0..255 (PS3.3 C.11.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.multival import MultiValue

from domainvl.errors import UsageError

from .headers import number_of, text_of, value_of

FloatArray = npt.NDArray[np.float64]

AUTO = "auto"
CT_WINDOWS_HU = {
    "soft": (40.0, 400.0),
    "lung": (-600.0, 1500.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
    "mediastinum": (50.0, 350.0),
    "liver": (60.0, 160.0),
}
"""Centre and width in Hounsfield units: customary settings of CT viewers; no standard fixes them."""

PERCENTILES = (1.0, 99.0)
"""Limits where a file names none: one pixel in a hundred may be brighter, such as a metal clip or a hot vessel."""

LINEAR, LINEAR_EXACT, SIGMOID = "LINEAR", "LINEAR_EXACT", "SIGMOID"
_WHITE = 255.0


@dataclass(frozen=True)
class Window:
    """A window of grey levels.

    Attributes:
        center: Centre in modality units.
        width: Width in modality units.
        function: ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID``.
    """

    center: float
    width: float
    function: str = LINEAR

    def problem(self) -> str | None:
        """Say which rule of PS3.3 C.11.2.1.2 and C.11.2.1.3 the width breaks, if it does."""
        if self.function == LINEAR and self.width < 1:
            return f"the width of a LINEAR window must be at least 1, got {self.width:g}"
        if self.width <= 0:
            return f"the width of a {self.function} window must be above 0, got {self.width:g}"
        return None

    def apply(self, values: FloatArray) -> FloatArray:
        """Map modality values to 0..255.

        LINEAR is C.11.2.1.2.1 (centre - 0.5, width - 1), SIGMOID C.11.2.1.3.1, LINEAR_EXACT C.11.2.1.3.2.
        """
        if self.function == SIGMOID:
            # Beyond +-700 exp overflows; the result has long been 0 or 255.
            exponent = np.clip(-4.0 * (values - self.center) / self.width, -700.0, 700.0)
            return np.asarray(_WHITE / (1.0 + np.exp(exponent)))
        linear = self.function == LINEAR
        center, width = (self.center - 0.5, self.width - 1.0) if linear else (self.center, self.width)
        if width == 0:
            return np.where(values <= center, 0.0, _WHITE)
        return np.clip(((values - center) / width + 0.5) * _WHITE, 0.0, _WHITE)


def parse_window(setting: str) -> Window | None:
    """Read the setting ``window``.

    Returns:
        The window, or None for ``auto``.

    Raises:
        UsageError: If it is none of the names and not ``CENTER/WIDTH``.
    """
    if setting == AUTO:
        return None
    if setting in CT_WINDOWS_HU:
        return Window(*CT_WINDOWS_HU[setting])
    center, slash, width = setting.partition("/")
    try:
        window = Window(float(center), float(width)) if slash else None
    except ValueError:
        window = None
    if window is None or not np.isfinite(window.center) or not np.isfinite(window.width) or window.problem():
        raise UsageError(
            "Cannot use --window",
            rule=f"it must be {AUTO}, {', '.join(CT_WINDOWS_HU)} or CENTER/WIDTH with a width of at least 1, "
            f"got {setting!r}",
            action="For instance: --window 40/400",
        )
    return window


def window_for(setting: str, modality: str) -> Window | None:
    """Return the window that the setting asks for on images of a modality; None where the file decides."""
    if setting in CT_WINDOWS_HU and modality != "CT":
        return None
    return parse_window(setting)


def window_of(header: Dataset) -> tuple[Window | None, str | None]:
    """Return a file's first window, and a warning where it had to be left or read differently."""
    center, width = number_of(header, "WindowCenter"), number_of(header, "WindowWidth")
    if center is None or width is None:
        return None, None
    function = text_of(header, "VOILUTFunction") or LINEAR
    warning = None
    if function not in (LINEAR, LINEAR_EXACT, SIGMOID):
        function, warning = LINEAR, "the file's VOI LUT function is unknown: LINEAR was used"
    window = Window(center, width, function)
    if problem := window.problem():
        return None, f"the file's window was not used: {problem}"
    return window, warning


@dataclass(frozen=True)
class LookupTable:
    """A modality or VOI lookup table (PS3.3 C.11.1.1, C.11.2.1.1).

    Attributes:
        first: Value that the first entry is for.
        bits: Bits of an entry.
        entries: The entries.
    """

    first: int
    bits: int
    entries: npt.NDArray[np.uint16]

    @classmethod
    def read(cls, item: Dataset, *, signed_input: bool, little_endian: bool) -> LookupTable:
        """Read a LUT item.

        Args:
            item: Item of ModalityLUTSequence or VOILUTSequence.
            signed_input: Whether values below 0 can come in, so that the first value mapped may be negative.
            little_endian: Byte order of the file.

        Raises:
            ValueError: If there are fewer entries than declared.
        """
        count, first, bits = (int(number) for number in value_of(item, "LUTDescriptor"))
        # The descriptor's VR is ambiguous (US or SS): 16-bit values above 32767 may be negative ones.
        if signed_input and first > 0x7FFF:
            first -= 0x10000
        count = count or 0x10000
        data = value_of(item, "LUTData")
        if isinstance(data, bytes):
            one_byte = len(data) < 2 * count
            data = np.frombuffer(data, "u1" if one_byte else "<u2" if little_endian else ">u2")
        elif not isinstance(data, MultiValue | list):
            data = [data]
        entries = np.asarray(data, np.int64).astype(np.uint16)[:count]
        if len(entries) < count:
            raise ValueError(f"a lookup table of {count} entries holds {len(entries)}")
        return cls(first, bits, entries)

    def apply(self, values: FloatArray) -> FloatArray:
        """Map values; those below the first get the first entry, those beyond the last get the last."""
        offset: npt.NDArray[np.int64] = np.rint(values).astype(np.int64) - self.first
        index: npt.NDArray[np.int64] = np.clip(offset, 0, len(self.entries) - 1)
        return self.entries.astype(np.float64)[index]

    def apply_to_grey(self, values: FloatArray) -> FloatArray:
        """Map values to 0..255, the full range of an entry's bits."""
        return self.apply(values) * (_WHITE / float((1 << self.bits) - 1))
