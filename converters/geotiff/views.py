"""What is shown of a scene: bands as colours, an index of two bands, SAR in decibels, a height model as relief.

A view is one channel (grey) or three (red, green, blue). A channel is computed from one or two bands and stretched to
8 bits with limits that are the same for all tiles of the scene.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from domainvl.errors import ItemError

from .parsing import StretchMode, ViewRequest
from .products import Band
from .products.sensors import COMPOSITES, INDICES
from .reading import Mask
from .settings import SarValues
from .stretch import Stretch

ChannelKind: TypeAlias = Literal["band", "palette", "index", "decibel", "decibel-difference", "relief"]

_FULL = Stretch(0.0, 255.0)
_FIXED: Mapping[ChannelKind, Stretch] = {
    "index": Stretch(-1.0, 1.0),
    # Backscatter of land lies between about -25 and 0 dB in both polarisations; VV is up to some 25 dB above VH.
    "decibel": Stretch(-25.0, 0.0),
    "decibel-difference": Stretch(0.0, 25.0),
    "relief": _FULL,
    "palette": _FULL,
}
_DECIBEL_FACTOR: Mapping[SarValues, float] = {"power": 10.0, "amplitude": 20.0}
_SAR_VIEWS = ("sar-db", "sar")
"""The composite ``sar`` has a ratio as its third band, so it can only be shown in decibels."""

_TITLES = {**dict.fromkeys(_SAR_VIEWS, "SAR in dB"), "swir": "short-wave infrared"}
_SUN_AZIMUTH_DEG, _SUN_ALTITUDE_DEG = 315.0, 45.0
"""Where the light of a relief comes from: the defaults of gdaldem hillshade."""


@dataclass(frozen=True)
class Channel:
    """One grey plane of a view.

    Attributes:
        kind: How it is computed.
        bands: From which bands.
        stretch: How its values become 8 bits; of a ``band`` it is not known before the scene was looked at.
    """

    kind: ChannelKind
    bands: tuple[Band, ...]
    stretch: Stretch

    @property
    def margin_px(self) -> int:
        """Pixels around a tile that it needs."""
        return 1 if self.kind == "relief" else 0

    def record_band(self, band: Band) -> dict[str, Any]:
        """Return what the sample says about one of its bands; the stretch scales a band that is shown as it is."""
        record = {"name": band.name, "role": band.role, "number": band.number}
        return record if self.kind in ("band", "palette") else record | {"scale": band.scale, "offset": band.offset}


@dataclass(frozen=True)
class View:
    """One image of a tile.

    Attributes:
        name: How the prompt names it, where a sample has several images.
        channels: One (grey) or three (red, green, blue).
        mode: How the limits of its bands were found.
        statistics: From which pixels, where the limits come from pixels.
        warning: What a careful reader should know about the choice of bands.
    """

    name: str
    channels: tuple[Channel, ...]
    mode: StretchMode | None = None
    statistics: str | None = None
    warning: str | None = None

    @property
    def title(self) -> str:
        """Its name in words, for a prompt: ``true colour``, ``NDVI``."""
        return _TITLES.get(self.name) or (self.name.upper() if self.name in INDICES else self.name.replace("-", " "))

    @property
    def bands(self) -> tuple[Band, ...]:
        """The bands that it needs, each once."""
        return tuple(dict.fromkeys(band for channel in self.channels for band in channel.bands))

    @property
    def stretched_bands(self) -> tuple[Band, ...]:
        """The bands that are shown as they are, whose limits depend on the scene."""
        return tuple(channel.bands[0] for channel in self.channels if channel.kind == "band")

    @property
    def margin_px(self) -> int:
        """Pixels around a tile that it needs."""
        return max(channel.margin_px for channel in self.channels)

    def with_stretches(self, stretches: Mapping[Band, Stretch], mode: StretchMode, statistics: str | None) -> View:
        """Return the view with the stretches of its bands."""
        channels = tuple(
            replace(channel, stretch=stretches[channel.bands[0]]) if channel.kind == "band" else channel
            for channel in self.channels
        )
        return replace(self, channels=channels, mode=mode, statistics=statistics)

    def record(self) -> dict[str, Any]:
        """Return what the sample says about it, enough to make its pixels again."""
        channels = [
            {
                "kind": channel.kind,
                "bands": [channel.record_band(band) for band in channel.bands],
                "limits": [channel.stretch.low, channel.stretch.high],
                "scale": channel.stretch.scale,
                "offset": channel.stretch.offset,
            }
            for channel in self.channels
        ]
        record: dict[str, Any] = {"name": self.name, "channels": channels}
        if self.mode is not None:
            record["stretch"] = str(self.mode)
        return record if self.statistics is None else record | {"statistics": self.statistics}


class BandChooser:
    """Finds the bands of a scene by number, role or name.

    Args:
        bands: All bands of the scene.
        uri: Name of the scene in messages.
    """

    def __init__(self, bands: Sequence[Band], *, uri: str) -> None:
        self._bands = bands
        self._uri = uri
        self._by_name: dict[str, Band] = {}
        for band in bands:  # names first: a role that is also the name of another band means that band
            self._by_name.setdefault(band.name.lower(), band)
        for band in bands:
            if band.role is not None:
                self._by_name.setdefault(band.role, band)

    def has(self, *roles: str) -> bool:
        """Say whether there are bands of all these roles or names."""
        return all(role in self._by_name for role in roles)

    def find(self, wanted: str) -> Band:
        """Return a band.

        Raises:
            ItemError: If there is none.
        """
        if wanted.lower() in self._by_name:
            return self._by_name[wanted.lower()]
        if wanted.isdecimal() and 1 <= int(wanted) <= len(self._bands):
            return self._bands[int(wanted) - 1]
        raise ItemError(
            f"There is no band {wanted!r}",
            reason="missing-band",
            where=self._uri,
            rule=f"it has {len(self._bands)} bands, numbered from 1, and the names "
            + (", ".join(sorted(self._by_name)) or "none"),
            action="Name another band, by its number where the file does not name it, or say with --sensor what took "
            "the scene",
        )

    def find_or_only(self, role: str) -> Band:
        """Return the band of a role; of a scene with one band that one, whatever it is called.

        Raises:
            ItemError: If there is none.
        """
        return self._bands[0] if len(self._bands) == 1 else self.find(role)

    def default(self, *, palette: bool) -> View:
        """Choose what to show where nothing is said: red, green and blue by role, else the first bands.

        Args:
            palette: Whether the first band holds indexes into a colour table.
        """
        shown = [band for band in self._bands if band.role != "alpha"]
        if not shown:
            raise ItemError(
                "Cannot choose bands", reason="missing-band", where=self._uri, rule="it has an alpha band only"
            )
        if palette:
            return View("colours", (Channel("palette", (shown[0],), _FULL),))
        if self.has(*COMPOSITES["true-colour"]):
            return band_view("true-colour", [self.find(role) for role in COMPOSITES["true-colour"]])
        if len(shown) < 3:
            warning = (
                None
                if len(shown) == 1
                else "it has two bands, which are no red, green and blue: the first is shown as grey"
            )
            return replace(band_view("grey", shown[:1]), warning=warning)
        warning = "no band has a role: the first three are shown as red, green, blue"
        return replace(band_view("bands", shown[:3]), warning=warning)


def band_view(name: str, bands: Iterable[Band]) -> View:
    """Show bands as they are; their stretches are still to be found."""
    return View(name, tuple(Channel("band", (band,), _FULL) for band in bands))


def choose_view(request: ViewRequest, chooser: BandChooser, *, palette_band: int | None) -> View:
    """Look up a view.

    Args:
        request: Its name, and its bands where the name is new.
        chooser: Finds bands of the scene.
        palette_band: Number of the band that holds indexes into a colour table, where there is one.

    Raises:
        ItemError: If the view is unknown or the scene lacks a band.
    """
    name = request.name
    if request.bands is None and name in _SAR_VIEWS:
        return View(name, _sar_channels(chooser))
    if request.bands is not None or name in COMPOSITES:
        bands = [chooser.find(band) for band in request.bands or COMPOSITES[name]]
        if len(bands) == 1 and bands[0].number == palette_band:
            return View(name, (Channel("palette", (bands[0],), _FULL),))
        return band_view(name, bands)
    if name in INDICES:
        return View(name, (Channel("index", tuple(chooser.find(role) for role in INDICES[name]), _FIXED["index"]),))
    if name == "hillshade":
        return View(name, (Channel("relief", (chooser.find_or_only("height"),), _FIXED["relief"]),))
    known = ", ".join([*COMPOSITES, *INDICES, "sar-db", "hillshade"])
    raise ItemError(
        f"There is no view {name!r}",
        reason="unknown-view",
        rule=f"known are {known}",
        action="Name one of them, or give its bands: --view NAME=BANDS",
    )


def _sar_channels(chooser: BandChooser) -> tuple[Channel, ...]:
    """Show VV, VH and their ratio as red, green and blue; one polarisation alone as grey."""
    pairs = [pair for pair in (("vv", "vh"), ("hh", "hv")) if chooser.has(*pair)]
    if pairs:
        like, cross = (chooser.find(role) for role in pairs[0])
        return (
            Channel("decibel", (like,), _FIXED["decibel"]),
            Channel("decibel", (cross,), _FIXED["decibel"]),
            Channel("decibel-difference", (like, cross), _FIXED["decibel-difference"]),
        )
    single = next((role for role in ("vv", "vh", "hh", "hv") if chooser.has(role)), "vv")
    return (Channel("decibel", (chooser.find_or_only(single),), _FIXED["decibel"]),)


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
