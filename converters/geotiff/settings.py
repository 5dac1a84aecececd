"""What the converter can be told, and the reading of the settings that are written as text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field

from domainvl.conversion import ConverterSettings
from domainvl.errors import UsageError

Edge: TypeAlias = Literal["pad", "shift", "drop"]
StretchKind: TypeAlias = Literal["percentile", "fixed", "dtype", "none"]

_BAND_COUNTS = (1, 3)


class GeotiffSettings(ConverterSettings):
    """Settings of the GeoTIFF converter."""

    plan_fields = frozenset({"labels", "label_field", "label_name", "layer"})

    labels: Path | None = Field(
        default=None,
        description="What is known about the scenes: a vector file (GeoJSON, Shapefile, zipped Shapefile, GeoPackage), "
        "a folder with <scene stem>.geojson, .gpkg, .shp or .zip for each scene, or a CSV with the columns "
        "scene,label. Objects are taken to be labelled completely wherever a scene has labels.",
    )
    label_field: str | None = Field(
        default=None, description="Attribute with the class name; may be left out where there is only one."
    )
    label_name: str | None = Field(default=None, description="One class name for all features, such as building.")
    layer: str | None = Field(default=None, description="Layer of a GeoPackage with several layers.")
    bands: str | None = Field(
        default=None,
        description="The one or three bands to show, by number from 1, role or name: 4,3,2 or red,green,blue or "
        "B08. By default red,green,blue where the file names them, else the first three.",
    )
    tile_px: int = Field(default=512, ge=16, description="Side of a tile in pixels.")
    overlap_px: int = Field(default=0, ge=0, description="Pixels that neighbouring tiles share.")
    edge: Edge = Field(
        default="pad",
        description="What happens to the last row and column of tiles: pad fills them up, shift moves them back into "
        "the scene, drop leaves them out.",
    )
    stretch: str = Field(
        default="auto",
        description="How stored values become 8 bits, once a scene: percentile:LOW,HIGH, fixed:LOW,HIGH (stored "
        "values), dtype (whole range of the integer type), none (uint8 only); auto is none for uint8 and "
        "percentile:2,98 for the rest.",
    )
    nodata: str | None = Field(
        default=None,
        description="Value of missing pixels, nan too, instead of what the file says about them; none takes all "
        "pixels as valid.",
    )
    fill_grey: int = Field(default=128, ge=0, le=255, description="Grey level of missing and padded pixels, 0 to 255.")
    min_valid: float = Field(
        default=0.5, ge=0.0, le=1.0, description="Tiles with a smaller share of valid pixels are left out."
    )
    min_visible: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Objects of which a smaller share lies in the tile are ignored: neither asked about nor counted.",
    )

    def public(self) -> dict[str, Any]:
        """Return the settings for the manifest, without the local folder of the labels."""
        labels = None if self.labels is None else self.labels.name
        return super().public() | {"labels": labels}

    def check(self) -> None:
        """Check what one field alone cannot say.

        Raises:
            UsageError: Naming the setting and the value seen.
        """
        if self.overlap_px >= self.tile_px:
            raise UsageError(
                "Cannot tile", rule=f"--overlap-px must be below --tile-px {self.tile_px}, got {self.overlap_px}"
            )
        parse_bands(self.bands)
        parse_stretch(self.stretch)
        parse_nodata(self.nodata)


@dataclass(frozen=True)
class StretchMode:
    """How stored values become 8 bits.

    Attributes:
        kind: The method.
        low: Lower percentile or value, where the method has one.
        high: Upper percentile or value.
    """

    kind: StretchKind
    low: float = 0.0
    high: float = 0.0

    def __str__(self) -> str:
        return self.kind if self.kind in ("dtype", "none") else f"{self.kind}:{self.low:g},{self.high:g}"


def parse_stretch(text: str) -> StretchMode | None:
    """Read ``--stretch``.

    Returns:
        The method, or None for ``auto``.

    Raises:
        UsageError: If it is none of the methods or its limits are not in order.
    """
    kind, _, limits = text.partition(":")
    if text == "auto":
        return None
    if text == "dtype":
        return StretchMode("dtype")
    if text == "none":
        return StretchMode("none")
    try:
        low, high = (float(value) for value in limits.split(","))
    except ValueError:
        low = high = math.nan
    if kind == "fixed" and -math.inf < low < high < math.inf:
        return StretchMode("fixed", low, high)
    if kind == "percentile" and 0 <= low < high <= 100:
        return StretchMode("percentile", low, high)
    raise UsageError(
        "Cannot read --stretch",
        rule="it must be auto, percentile:LOW,HIGH (0 <= LOW < HIGH <= 100), fixed:LOW,HIGH (LOW < HIGH), dtype or "
        f"none, got {text!r}",
    )


def parse_bands(text: str | None) -> tuple[str, ...] | None:
    """Read ``--bands``.

    Returns:
        Numbers, roles or names as they stand, or None where the choice is left to the converter.

    Raises:
        UsageError: If there are not one or three of them.
    """
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if len(names) not in _BAND_COUNTS or not all(names):
        raise UsageError(
            "Cannot read --bands", rule=f"it must name one band (grey) or three (red, green, blue), got {text!r}"
        )
    return names


@dataclass(frozen=True)
class NodataRule:
    """Which value marks missing pixels, instead of what the file says; None: none does."""

    value: float | None


def parse_nodata(text: str | None) -> NodataRule | None:
    """Read ``--nodata``.

    Returns:
        The rule, or None where the file decides.

    Raises:
        UsageError: If it is no number.
    """
    if text is None:
        return None
    if text.strip().lower() == "none":
        return NodataRule(None)
    try:
        return NodataRule(float(text))
    except ValueError as error:
        raise UsageError("Cannot read --nodata", rule=f"it must be a number, nan or none, got {text!r}") from error
