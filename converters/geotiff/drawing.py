"""Draws the views of a window: channels computed from stored values, stretched, and filled where nothing is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from domainvl.errors import ItemError

from .products import Band
from .reading import Mask
from .settings import SarValues
from .views import Channel, View

_DECIBEL_FACTOR: Mapping[SarValues, float] = {"power": 10.0, "amplitude": 20.0}
_SUN_AZIMUTH_DEG, _SUN_ALTITUDE_DEG = 315.0, 45.0
"""Where the light of a relief comes from: the defaults of gdaldem hillshade."""


@dataclass(frozen=True)
class Ground:
    """What a view needs to know of the ground.

    Attributes:
        pixel_m: Width and height of a pixel in metres.
        sar_values: What SAR bands hold.
        palette: Colours by index, shape (256, 3), for a band that has them.
    """

    pixel_m: tuple[float, float] | None
    sar_values: SarValues
    palette: npt.NDArray[np.uint8] | None = None


def render(
    view: View, planes: Mapping[Band, npt.NDArray[Any]], valid: Mask, ground: Ground, fill_grey: int
) -> tuple[npt.NDArray[np.uint8], Mask]:
    """Draw a view of a window.

    Args:
        view: The view.
        planes: Stored values of its bands, shape (height, width), with its margin around the window.
        valid: Valid pixels, with the margin.
        ground: Pixel sides and the like.
        fill_grey: Grey of pixels that show nothing.

    Returns:
        uint8 of shape (height, width) for grey or (height, width, 3) for colour, without the margin, and the pixels
        that show something: those that are valid and for which every channel has a value.

    Raises:
        ItemError: If a relief is asked for where the size of a pixel is not known.
    """
    margin_px = view.margin_px
    inner = (slice(margin_px, valid.shape[0] - margin_px), slice(margin_px, valid.shape[1] - margin_px))
    if view.channels[0].kind == "palette" and ground.palette is not None:
        shown = valid[inner]
        image = ground.palette[planes[view.channels[0].bands[0]][inner]]
        image[~shown] = fill_grey
        return image, shown
    drawn = [_draw(channel, planes, valid, ground, inner) for channel in view.channels]
    shown = valid[inner]
    for _, has_value in drawn:
        shown = shown if has_value is None else shown & has_value
    image = drawn[0][0] if len(drawn) == 1 else np.stack([plane for plane, _ in drawn], axis=-1)
    if not shown.all():
        image = np.where(shown if image.ndim == 2 else shown[..., np.newaxis], image, np.uint8(fill_grey))
    return image, shown


_Inner: TypeAlias = tuple[slice, slice]


def _draw(
    channel: Channel, planes: Mapping[Band, npt.NDArray[Any]], valid: Mask, ground: Ground, inner: _Inner
) -> tuple[npt.NDArray[np.uint8], Mask | None]:
    """Draw one channel; None where all valid pixels have a value."""
    if channel.kind == "band":
        return channel.stretch.apply(planes[channel.bands[0]][inner]), None
    if channel.kind == "relief":
        return channel.stretch.apply(_relief(planes[channel.bands[0]], valid, ground, channel)), None
    physical = [_physical(planes[band][inner], band) for band in channel.bands]
    if channel.kind == "index":
        values, has_value = _index(*physical)
    else:
        levels = [_decibel(values, ground.sar_values) for values in physical]
        values, has_value = levels[0]
        if channel.kind == "decibel-difference":
            values, has_value = values - levels[1][0], has_value & levels[1][1]
    return channel.stretch.apply(values), has_value


def _physical(stored: npt.NDArray[Any], band: Band) -> npt.NDArray[np.float64]:
    return stored.astype(np.float64) * band.scale + band.offset


def _index(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], Mask]:
    """Return (a - b) / (a + b); without a value where the sum is not above zero, which no reflectance gives."""
    total = first + second
    has_value = total > 0.0
    return np.divide(first - second, total, out=np.zeros_like(total), where=has_value), has_value


def _decibel(values: npt.NDArray[np.float64], sar_values: SarValues) -> tuple[npt.NDArray[np.float64], Mask]:
    """Return decibels; zero and negative power has none."""
    if sar_values == "db":
        return values, np.isfinite(values)
    has_value = values > 0.0
    decibel = np.log10(values, out=np.zeros_like(values), where=has_value)
    return decibel * _DECIBEL_FACTOR[sar_values], has_value


def _relief(stored: npt.NDArray[Any], valid: Mask, ground: Ground, channel: Channel) -> npt.NDArray[np.float64]:
    """Light a height model: Horn, Hill shading and the reflectance map, Proceedings of the IEEE 69(1), 1981.

    The gradient is that of the 3 x 3 neighbours; one that is missing counts as flat.

    Args:
        stored: Heights with one pixel around.
        valid: Valid pixels, likewise.
        ground: Sides of a pixel.
        channel: Gives the scale of the heights.

    Returns:
        1 to 255, without the pixel around, as gdaldem hillshade has it.
    """
    if ground.pixel_m is None:
        raise ItemError(
            "Cannot draw a relief",
            reason="no-crs",
            rule="the size of a pixel in metres is not known: the scene has no georeference",
            action="Write it into the scene, with gdal_edit, or show the heights as grey",
        )
    heights = _physical(stored, channel.bands[0])
    rows, columns = heights.shape[0] - 2, heights.shape[1] - 2
    middle = heights[1:-1, 1:-1]

    def near(down: int, right: int) -> npt.NDArray[np.float64]:
        part = (slice(1 + down, 1 + down + rows), slice(1 + right, 1 + right + columns))
        return np.where(valid[part], heights[part], middle)

    west = near(-1, -1) + 2.0 * near(0, -1) + near(1, -1)
    east = near(-1, 1) + 2.0 * near(0, 1) + near(1, 1)
    north = near(-1, -1) + 2.0 * near(-1, 0) + near(-1, 1)
    south = near(1, -1) + 2.0 * near(1, 0) + near(1, 1)
    slope_east = (east - west) / (8.0 * ground.pixel_m[0])
    slope_north = (north - south) / (8.0 * ground.pixel_m[1])
    azimuth, altitude = math.radians(_SUN_AZIMUTH_DEG), math.radians(_SUN_ALTITUDE_DEG)
    towards_sun = slope_east * math.sin(azimuth) + slope_north * math.cos(azimuth)
    lit = (math.sin(altitude) - math.cos(altitude) * towards_sun) / np.sqrt(1.0 + slope_east**2 + slope_north**2)
    shaded: npt.NDArray[np.float64] = 1.0 + 254.0 * np.maximum(lit, 0.0)
    return shaded
