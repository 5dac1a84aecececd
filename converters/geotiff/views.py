"""What is shown of a scene: bands as colours, an index of two bands, SAR in decibels, a height model as relief.

A view is one channel (grey) or three (red, green, blue). A channel is computed from one or two bands and stretched to
8 bits with limits that are the same for all tiles of the scene.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from domainvl.errors import ItemError

from .parsing import StretchMode, ViewRequest
from .products import Band
from .products.sensors import COMPOSITES, INDICES
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
_TITLES = {"sar-db": "SAR in dB", "swir": "short-wave infrared"}


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
        missing: Bands that the metadata names but whose file is not there: name, role and file of each.
        uri: Name of the scene in messages.
    """

    def __init__(self, bands: Sequence[Band], *, missing: Sequence[tuple[str, str | None, str]] = (), uri: str) -> None:
        self._missing = missing
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
        for name, role, file in self._missing:
            if wanted.lower() in (name.lower(), role):
                raise ItemError(
                    f"There is no band {wanted!r}",
                    reason="missing-file",
                    where=self._uri,
                    rule=f"the metadata names its file {file}, which is not there",
                    action="Fetch the file, or show other bands with --bands or --view",
                )
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
        """Choose what to show where nothing is said: red, green, blue by role, SAR in decibels, or the first bands.

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
        true_colour = COMPOSITES["true-colour"]
        if self.has(*true_colour) or any(role in true_colour for _, role, _ in self._missing):
            return band_view("true-colour", [self.find(role) for role in COMPOSITES["true-colour"]])
        if self.has("vv") or self.has("hh"):
            return View("sar-db", _sar_channels(self))
        if len(shown) < 3:
            warning = (
                None
                if len(shown) == 1
                else "it has two bands, which are no red, green and blue: the first is shown as grey"
            )
            return replace(band_view("grey", shown[:1]), warning=warning)
        warning = "not all of red, green and blue are there: the first three bands are shown in their place"
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
        ItemError: If the scene lacks a band.
    """
    name = request.name
    if request.bands is None and name == "sar-db":
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
    raise ValueError(f"the name of a view must have been checked, got {name!r}")


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
