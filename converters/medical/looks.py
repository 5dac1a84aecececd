"""From modality values to 8-bit grey: the windows asked for, percentiles, inversion; format-free.

It works on levels, not on images: either each pixel is a level of its own, or the levels are all values that a pixel
can have, each with the number of pixels that have it. The second is an order of magnitude quicker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from domainvl.errors import UsageError

from .windows import (
    DEFAULT_CHOICE,
    FILE,
    LINEAR,
    LINEAR_EXACT,
    FloatArray,
    WindowChoice,
    parse_percentiles,
    parse_windows,
)

CT_OUTSIDE_FIELD_HU = -1500.0
"""Air is -1000 HU; scanners fill what lies outside the field of view with -2000, -2048 or -3024."""

PACK_IMAGES, PACK_RGB = "images", "rgb"
_CHANNELS = ("red", "green", "blue")

Pixels = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class View:
    """One image made of a frame.

    Attributes:
        name: What a prompt can call it, such as ``"lung window"``; empty for colour images.
        pixels: uint8 of shape (rows, columns) or (rows, columns, 3).
        details: Which grey levels it shows, as technical facts.
    """

    name: str
    pixels: Pixels
    details: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Rendered:
    """What was made of one frame.

    Attributes:
        views: At least one.
        details: What was done before windows, as technical facts.
        warnings: What a careful reader should know.
    """

    views: tuple[View, ...]
    details: dict[str, JsonValue] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """How images are to be shown.

    Attributes:
        windows: The windows, at least one.
        pack: ``"images"`` (one a window) or ``"rgb"`` (three windows in one image).
        percentiles: Limits where neither the setting nor the file names a window; one pixel in a hundred may be
            brighter than 99 %, such as a metal clip or a hot vessel.
        suv: Whether PET is to be shown in units of SUV.
        overlays: Whether overlay planes are to be drawn.
    """

    windows: tuple[WindowChoice, ...] = (DEFAULT_CHOICE,)
    pack: str = PACK_IMAGES
    percentiles: tuple[float, float] = (1.0, 99.0)
    suv: bool = False
    overlays: bool = False

    @classmethod
    def parse(
        cls,
        windows: str = "auto",
        pack: str = PACK_IMAGES,
        percentiles: str = "1,99",
        *,
        suv: bool = False,
        overlays: bool = False,
    ) -> Look:
        """Read the settings of the same names.

        Raises:
            UsageError: If one cannot be read, or three windows are needed and others are given.
        """
        choices = parse_windows(windows)
        if pack not in (PACK_IMAGES, PACK_RGB):
            raise UsageError(
                "Cannot use --pack",
                rule=f"it must be {PACK_IMAGES} or {PACK_RGB}, got {pack!r}",
                action=f"Leave it out for {PACK_IMAGES}",
            )
        if pack == PACK_RGB and len(choices) != len(_CHANNELS):
            raise UsageError(
                "Cannot use --pack rgb",
                rule=f"red, green and blue take three windows, got {len(choices)}",
                action="For instance: --windows lung,soft,bone --pack rgb",
            )
        return cls(choices, pack, parse_percentiles(percentiles), suv, overlays)


class Voi(Protocol):
    """What maps modality values to 0..255: a window or a lookup table."""

    def apply(self, values: FloatArray) -> FloatArray:
        """Map modality values to 0..255, not rounded."""

    def describe(self) -> dict[str, JsonValue]:
        """Return it as facts of a record."""


@dataclass(frozen=True)
class OwnVoi:
    """A VOI that comes with a file.

    Attributes:
        voi: The window or table.
        name: Its explanation in lower case, to be found by; never shown.
        index: Its number in the file, from 0; None for what has none.
    """

    voi: Voi
    name: str = ""
    index: int | None = None


@dataclass(frozen=True)
class Levels:
    """Values to be shown.

    Attributes:
        values: float64 modality values, without the scale.
        background: Same shape; True for what is no part of the image: padding, what lies outside of the field of
            view, what is no number.
        count: Counts how many pixels have each value, in the same shape; only percentiles need it. None where each
            value is a pixel.
    """

    values: FloatArray
    background: BoolArray
    count: Callable[[], npt.NDArray[np.intp]] | None = None


@dataclass(frozen=True)
class Source:
    """What the look of a frame depends on besides its values.

    Attributes:
        modality: Code such as ``"CT"``.
        own: VOIs of the file, in its order.
        warnings: Why VOIs of the file are not among them.
        inverted: Whether low values are shown bright.
        scale: Factor from modality values to the units in which windows are asked for, such as SUV; the file's own
            VOIs are in modality values.
    """

    modality: str
    own: tuple[OwnVoi, ...] = ()
    warnings: tuple[str, ...] = ()
    inverted: bool = False
    scale: float | None = None


@dataclass(frozen=True)
class Resolved:
    """A choice as it holds for a file.

    Attributes:
        name: What a prompt can call it.
        origin: ``"file"``, or the choice as it was asked for; empty for percentiles.
        voi: None for percentiles.
        scaled: Whether the VOI is in scaled units.
    """

    name: str
    origin: str = ""
    voi: Voi | None = None
    scaled: bool = False


def render_levels(
    levels: Levels,
    look: Look,
    source: Source,
    *,
    place: Callable[[Pixels], Pixels] = lambda shades: shades,
    known: dict[Resolved, Pixels] | None = None,
) -> Rendered:
    """Show levels in each window that is asked for.

    Choices that come down to the same, such as presets of CT on MR, give one view.

    Args:
        levels: The levels.
        look: What is asked for.
        source: What the file says.
        place: Makes the image of the levels' greys; the identity where each level is a pixel.
        known: Greys of these levels that do not depend on the pixels; it is added to, so that images with the same
            levels are quicker.

    Returns:
        The views, without details of what came before windows.
    """
    known = {} if known is None else known
    views: dict[Resolved, View] = {}
    warnings: list[str] = []
    chosen = []
    for choice in look.windows:
        resolved, why = _resolve(choice, source)
        chosen.append(resolved)
        warnings += why
        if resolved in views:
            continue
        if resolved.voi is None:
            shades, window, warning = _stretch(levels, look.percentiles, source)
            warnings += [warning] if warning else []
        else:
            if resolved not in known:
                known[resolved] = _shade(levels, resolved, resolved.voi, source)
            shades, window = known[resolved], {"from": resolved.origin, **resolved.voi.describe()}
        views[resolved] = View(resolved.name, place(shades), {"window": window})
    packed = _pack([views[resolved] for resolved in chosen]) if look.pack == PACK_RGB else tuple(views.values())
    return Rendered(packed, {}, tuple(dict.fromkeys(warnings)))


def _resolve(choice: WindowChoice, source: Source) -> tuple[Resolved, tuple[str, ...]]:
    """Find what a choice means for a file, and say where it could not be had."""
    warnings: tuple[str, ...] = ()
    resolved = _resolve_one(choice, source)
    if resolved is None:
        warnings = (f"the file has no such window ({choice.text}): the default window is shown",)
        resolved = _default(source)
    return resolved, (*warnings, *(source.warnings if resolved.origin in ("", FILE) else ()))


def _resolve_one(choice: WindowChoice, source: Source) -> Resolved | None:
    if choice.of_file:
        matches = [
            own
            for own in source.own
            if (own.name == choice.file_name if choice.file_name else own.index == choice.file_index)
        ]
        return Resolved(choice.name, choice.text, matches[0].voi) if matches else None
    if choice.window is None or (choice.ct_only and source.modality != "CT"):
        return _default(source)
    window = choice.window
    if source.scale is not None and window.function == LINEAR:
        # LINEAR is made for whole numbers: the half and the one that it takes off are much in units of SUV.
        window = replace(window, function=LINEAR_EXACT)
    return Resolved(choice.name, choice.text, window, scaled=source.scale is not None)


def _default(source: Source) -> Resolved:
    own = source.own[0].voi if source.own else None
    return Resolved(DEFAULT_CHOICE.name, FILE if own is not None else "", own)


def _shade(levels: Levels, resolved: Resolved, voi: Voi, source: Source) -> Pixels:
    """Give each level its grey through a VOI: window, round, invert; background is black, inverted or not."""
    values = np.where(levels.background, 0.0, levels.values)
    if resolved.scaled and source.scale is not None:
        values *= source.scale
    return _to_8_bit(voi.apply(values), levels.background, source)


def _to_8_bit(grey: FloatArray, background: BoolArray, source: Source) -> Pixels:
    pixels = np.rint(grey).astype(np.uint8)
    if source.inverted:
        pixels = 255 - pixels
    pixels[background] = 0
    return pixels


def _stretch(
    levels: Levels, percentiles: tuple[float, float], source: Source
) -> tuple[Pixels, dict[str, JsonValue], str | None]:
    """Give each level its grey between two percentiles of the pixels; say which, and where there is nothing to see."""
    low, high, details = _limits(levels, percentiles)
    if source.scale is not None:
        details["limits"] = [low * source.scale, high * source.scale]
    if high <= low:
        return np.zeros(levels.values.shape, np.uint8), details, "the image has one grey value only"
    values = np.where(levels.background, low, levels.values)
    grey = np.clip((values - low) / (high - low) * 255.0, 0.0, 255.0)
    return _to_8_bit(grey, levels.background, source), details, None


def _limits(levels: Levels, percentiles: tuple[float, float]) -> tuple[float, float, dict[str, JsonValue]]:
    values, counts = _seen(levels)
    if not values.size:
        return 0.0, 0.0, {"from": "range", "limits": [0.0, 0.0]}
    low, high = _percentiles(values, counts, percentiles)
    if high > low:
        return low, high, {"from": "percentiles", "percentiles": list(percentiles), "limits": [low, high]}
    # An image of one value, or nearly: the whole range is all there is to show.
    low, high = float(values.min()), float(values.max())
    return low, high, {"from": "range", "limits": [low, high]}


def _seen(levels: Levels) -> tuple[FloatArray, npt.NDArray[np.intp] | None]:
    """Return the values of the image without its background; sorted, with their numbers, where these are known."""
    if levels.count is None:
        return levels.values[~levels.background], None
    counts = levels.count()
    present = np.flatnonzero((counts > 0) & ~levels.background)
    values = levels.values[present]
    order = np.argsort(values, kind="stable")
    return values[order], counts[present[order]]


def _percentiles(
    values: FloatArray, counts: npt.NDArray[np.intp] | None, percentiles: tuple[float, float]
) -> tuple[float, float]:
    """Interpolate between the two nearest pixels, as numpy.percentile does by default."""
    if counts is None:
        low, high = np.percentile(values, percentiles)
        return float(low), float(high)
    last = np.cumsum(counts)
    total = int(last[-1])
    limits = []
    for percentile in percentiles:
        place = percentile / 100.0 * (total - 1)
        below = int(place)
        first, second = (
            float(values[np.searchsorted(last, min(index, total - 1), side="right")]) for index in (below, below + 1)
        )
        limits.append(first + (second - first) * (place - below))
    return limits[0], limits[1]


def _pack(views: Sequence[View]) -> tuple[View, ...]:
    """Make three views the channels of one; where they are one and the same, it stays grey."""
    if all(view is views[0] for view in views):
        return (views[0],)
    channels: list[Any] = [
        {"channel": channel, "name": view.name, **view.details} for channel, view in zip(_CHANNELS, views, strict=True)
    ]
    name = ", ".join(f"{channel}: {view.name}" for channel, view in zip(_CHANNELS, views, strict=True))
    return (View(name, np.stack([view.pixels for view in views], axis=-1), {"channels": channels}),)
