"""Windows of grey levels: what they do to modality values (PS3.3 C.11.2.1), and how a setting asks for them.

Knows no file format: a window of a file is named by its number or its explanation and found by whoever reads files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from domainvl.errors import UsageError

FloatArray = npt.NDArray[np.float64]

AUTO = "auto"
FILE = "file"
CT_WINDOWS_HU = {
    "soft": (40.0, 400.0),
    "lung": (-600.0, 1500.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
    "mediastinum": (50.0, 350.0),
    "liver": (60.0, 160.0),
    "stroke": (40.0, 40.0),
    "subdural": (80.0, 200.0),
}
"""Centre and width in Hounsfield units: customary settings of CT viewers; no standard fixes them."""

_NAMES = {"soft": "soft tissue window", "mediastinum": "mediastinal window"}
"""How a preset is called where its plain name and "window" would not do."""

LINEAR, LINEAR_EXACT, SIGMOID = "LINEAR", "LINEAR_EXACT", "SIGMOID"
WHITE = 255.0


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

        Args:
            values: float64 of any shape, in the units of the window.

        Returns:
            float64 of the same shape, not rounded.
        """
        if self.function == SIGMOID:
            # Beyond +-700 exp overflows; the result has long been 0 or 255.
            exponent = np.clip(-4.0 * (values - self.center) / self.width, -700.0, 700.0)
            return np.asarray(WHITE / (1.0 + np.exp(exponent)))
        linear = self.function == LINEAR
        center, width = (self.center - 0.5, self.width - 1.0) if linear else (self.center, self.width)
        if width == 0:
            return np.where(values <= center, 0.0, WHITE)
        return np.clip(((values - center) / width + 0.5) * WHITE, 0.0, WHITE)

    def describe(self) -> dict[str, JsonValue]:
        """Return it as facts of a record."""
        return {"center": self.center, "width": self.width, "function": self.function}


@dataclass(frozen=True)
class WindowChoice:
    """One window as it is asked for.

    Attributes:
        text: As it stands in the setting.
        name: What a prompt can call it, such as ``"lung window"``.
        window: For presets and ``CENTER/WIDTH``.
        file_index: Which of the file's windows, from 0.
        file_name: Explanation of the file's window.
        ct_only: Whether it is in Hounsfield units; other modalities are shown as with ``auto``.
    """

    text: str
    name: str
    window: Window | None = None
    file_index: int | None = None
    file_name: str = ""
    ct_only: bool = False

    @property
    def of_file(self) -> bool:
        """Whether it names a window of the file."""
        return self.file_index is not None or bool(self.file_name)


DEFAULT_CHOICE = WindowChoice(AUTO, "default window")
"""The file's own first VOI, else percentiles."""


def parse_windows(setting: str) -> tuple[WindowChoice, ...]:
    """Read the setting ``windows``: choices with commas between them.

    Each is ``auto``, ``file:N`` (from 1), ``file:NAME``, a name of :data:`CT_WINDOWS_HU` or ``CENTER/WIDTH``. A
    window of at least 1 wide is ``LINEAR``, a narrower one, for quantities that are no whole numbers,
    ``LINEAR_EXACT``.

    Raises:
        UsageError: If one is none of these, or is asked for twice.
    """
    choices = tuple(_parse_choice(text.strip()) for text in setting.split(","))
    texts = [choice.text for choice in choices]
    if len(set(texts)) < len(texts):
        raise UsageError(
            "Cannot use --windows",
            rule=f"each window is asked for once, got {setting!r}",
            action="Leave out the repetition",
        )
    return choices


def _parse_choice(text: str) -> WindowChoice:
    if text == AUTO:
        return DEFAULT_CHOICE
    if text in CT_WINDOWS_HU:
        return WindowChoice(text, _NAMES.get(text, f"{text} window"), Window(*CT_WINDOWS_HU[text]), ct_only=True)
    choice = _parse_file_window(text) if text.startswith(f"{FILE}:") else _parse_center_width(text)
    if choice is None:
        raise UsageError(
            "Cannot use --windows",
            rule=f"it must be {AUTO}, {FILE}:N (from 1), {FILE}:NAME, {', '.join(CT_WINDOWS_HU)} or CENTER/WIDTH with "
            f"a width above 0, got {text!r}",
            action="For instance: --windows lung,40/400",
        )
    return choice


def _parse_file_window(text: str) -> WindowChoice | None:
    asked = text.partition(":")[2].strip()
    if asked.isdecimal():
        number = int(asked)
        return WindowChoice(text, f"window {number} of the file", file_index=number - 1) if number else None
    return WindowChoice(text, f"window {asked} of the file", file_name=asked.casefold()) if asked else None


def _parse_center_width(text: str) -> WindowChoice | None:
    center_text, slash, width_text = text.partition("/")
    try:
        center, width = float(center_text), float(width_text if slash else "")
    except ValueError:
        return None
    if not math.isfinite(center) or not math.isfinite(width) or width <= 0:
        return None
    window = Window(center, width, LINEAR if width >= 1 else LINEAR_EXACT)
    return WindowChoice(text, f"window {center:g}/{width:g}", window)


def parse_percentiles(setting: str) -> tuple[float, float]:
    """Read the setting ``percentiles``: two numbers of 0 to 100 with a comma, the lower first.

    Raises:
        UsageError: If it is anything else.
    """
    try:
        low, high = (float(text) for text in setting.split(","))
    except ValueError:
        low, high = math.nan, math.nan
    if not 0 <= low < high <= 100:
        raise UsageError(
            "Cannot use --percentiles",
            rule=f"it must be LOW,HIGH with 0 <= LOW < HIGH <= 100, got {setting!r}",
            action="For instance: --percentiles 1,99",
        )
    return low, high
