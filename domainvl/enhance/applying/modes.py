"""How an enhancer is used: with which reference, on which bands and types, and how outputs name it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainvl.enhance.checkpoint import read_enhancer
from domainvl.enhance.upscaler import BICUBIC, Upscaler, identity, open_upscaler
from domainvl.errors import ItemError, UsageError
from domainvl.files import hash_file

_LEAST_SHARE, _MOST_SHARE = 0.01, 10.0
"""Brightest values of an input in the units trained on lie between these shares of the range trained on."""
_BRIGHTEST_PERCENTILE = 99.9
FORCED = "forced=medical"
"""What the tag of a medical picture's output ends in."""


class Mode(enum.StrEnum):
    """What the network aligns its output to; the values are how the mode is named in every output."""

    ZERO = "zero offset"
    SELF = "own colours"
    GIVEN = "given reference"


@dataclass(frozen=True)
class Enhancement:
    """An enhancer and how it is used.

    Attributes:
        upscaler: What enlarges.
        mode: What it aligns to.
        sha256: Hash of the weights; None for bicubic.
        reference: The reference image of the mode that takes one.
        reference_sha256: Its hash.
        tile_px: Side of the tiles, in pixels of the input.
        forced: Whether medical inputs were let through.
        low_type: The type of values that it was trained to take; None for any.
        high_type: The type of values that it gives; None for that of the input.
        low_range: Lowest and highest value, over all bands, that the network sees as 0 and 1; None for any.
    """

    upscaler: Upscaler
    mode: Mode = Mode.ZERO
    sha256: str | None = None
    reference: Path | None = None
    reference_sha256: str | None = None
    tile_px: int = 256
    forced: bool = False
    low_type: np.dtype[Any] | None = field(default=None)
    high_type: np.dtype[Any] | None = field(default=None)
    low_range: tuple[float, float] | None = None

    @property
    def scale(self) -> int:
        """How many times the rows and columns."""
        return self.upscaler.scale

    @property
    def identity(self) -> dict[str, Any]:
        """What outputs depend on beside their inputs, as each record holds it."""
        return {
            "name": self.upscaler.name,
            "scale": self.scale,
            "sha256": self.sha256,
            "mode": self.mode.value,
            "reference_sha256": self.reference_sha256,
            "tile_px": self.tile_px,
        }

    def tags(self, *, medical: bool = False, earlier: str | None = None) -> dict[str, str]:
        """Return the tags of an output.

        Args:
            medical: Whether the input is medical and was let through.
            earlier: What :func:`enhanced_earlier` says of the input.
        """
        said = f"{self.upscaler.name} mode={self.mode.value} scale={self.scale}"
        tags = {"DOMAINVL_ENHANCED": f"{said} {FORCED}" if medical else said}
        if self.sha256 is not None:
            tags["DOMAINVL_ENHANCER_SHA256"] = self.sha256
        if self.reference is not None and self.reference_sha256 is not None:
            tags["DOMAINVL_REFERENCE"] = f"{self.reference.name} sha256={self.reference_sha256}"
        if earlier is not None:
            tags["DOMAINVL_ENHANCED_EARLIER"] = earlier
        return tags

    def out_type(self, low: np.dtype[Any]) -> np.dtype[Any]:
        """Return the type of an output's values: the input's where both views have one type, else the high view's."""
        return low if self.high_type is None or self.high_type == self.low_type else self.high_type

    @property
    def gives_pictures(self) -> bool:
        """Whether what it makes of a picture can be a PNG, which holds 1 or 3 bands of 8 or 16 bits."""
        types = (None, self.low_type, np.dtype(np.uint8), np.dtype(np.uint16))
        return self.upscaler.out_bands in (None, 1, 3) and self.high_type in types

    def check_input(self, bands: int, dtype: np.dtype[Any], path: Path, *, alpha: int | None = None) -> None:
        """Refuse an input that the enhancer was not trained for.

        Args:
            bands: Its bands with colours.
            dtype: The type of their values.
            path: The input, for messages.
            alpha: Its alpha band, from 1.

        Raises:
            ItemError: If it has other bands, or integers of another width than those trained on. Floats are taken, for
                they hold the values of any type.
        """
        wanted = self.upscaler.in_bands
        if wanted is not None and bands != wanted:
            has, action = f"it has {bands}", "Select the bands that it was trained on (gdal_translate -b)"
            if alpha is not None:
                has += f" beside band {alpha}, which is marked as alpha"
                # Writers mark the fourth band of 8 bits as alpha, whatever it holds; often it is near infrared.
                action += f"; if band {alpha} is none, say so (gdal_edit.py -colorinterp_{alpha} undefined)"
            raise ItemError(
                "Bands do not fit the enhancer",
                reason="bands",
                where=path,
                rule=f"{has}, and {self.upscaler.name} takes {wanted}",
                action=f"{action}, or give another checkpoint",
            )
        trained = self.low_type
        if trained is not None and dtype.kind in "iu" and trained.kind in "iu" and dtype.itemsize != trained.itemsize:
            raise ItemError(
                "Values do not fit the enhancer",
                reason="type",
                where=path,
                rule=f"they are {dtype}, and {self.upscaler.name} was trained on {trained}",
                action="Bring them to the range that it was trained on (gdal_translate -ot -scale)",
            )

    def check_values(self, values: npt.NDArray[np.floating[Any]], dtype: np.dtype[Any], path: Path) -> str | None:
        """Refuse values in other units than those trained on: reflectances of 0 to 1 for a network of 0 to 255, say.

        Args:
            values: A sample of the input's valid values; nothing is said of an empty one.
            dtype: Their type in the input.
            path: The input, for messages.

        Returns:
            What to note of integers of the type trained on, which a dark scene can have too.

        Raises:
            ItemError: If the brightest of others are far below or far above the range trained on.
        """
        if self.low_range is None or not values.size:
            return None
        lowest, highest = self.low_range
        brightest = float(np.percentile(values, _BRIGHTEST_PERCENTILE))
        if _LEAST_SHARE <= (brightest - lowest) / (highest - lowest) <= _MOST_SHARE:
            return None
        if dtype.kind in "iu" and dtype == self.low_type:
            return "values are far from the range that the enhancer was trained on"
        raise ItemError(
            "Values do not fit the enhancer",
            reason="range",
            where=path,
            rule=f"their brightest are {brightest:.4g}, and {self.upscaler.name} was trained on {lowest:g} to "
            f"{highest:g}: they seem to be in other units",
            action="Bring them to the units that it was trained on (gdal_translate -scale)",
        )


def enhanced_earlier(tags: Mapping[str, str]) -> str | None:
    """Return what enlarged an input before, the first first; None if its tags do not say that anything did.

    Args:
        tags: The input's tags, as :meth:`Enhancement.tags` made them for whatever wrote it.
    """
    last = tags.get("DOMAINVL_ENHANCED")
    if last is None:
        return None
    sha256 = tags.get("DOMAINVL_ENHANCER_SHA256")
    said = (tags.get("DOMAINVL_ENHANCED_EARLIER"), last if sha256 is None else f"{last} sha256={sha256}")
    return "; ".join(one for one in said if one is not None)


def open_enhancement(
    name: str,
    *,
    mode: Mode = Mode.ZERO,
    reference: Path | None = None,
    tile_px: int = 256,
    threads: int | None = None,
    forced: bool = False,
) -> Enhancement:
    """Open an enhancer and check that it can be used as asked.

    Args:
        name: A checkpoint, a run, or "bicubic-x2", "bicubic-x4", "bicubic-x8".
        mode: What it aligns to.
        reference: The reference image, for :attr:`Mode.GIVEN` alone.
        tile_px: Side of the tiles.
        threads: Threads of torch.
        forced: Let medical inputs through.

    Raises:
        UsageError: If there is no such enhancer, or the mode does not fit it.
    """
    if (reference is not None) != (mode is Mode.GIVEN):
        raise UsageError(
            "Mode and reference do not fit",
            rule="a reference is for --mode given, which needs one",
            action="Give both --mode given and --reference FILE, or neither",
        )
    upscaler = open_upscaler(name, threads=threads)
    _check_mode(upscaler, mode)
    if reference is not None and not reference.is_file():
        raise UsageError("No reference", where=reference, rule="it does not exist", action="Name a picture or GeoTIFF")
    low_type = high_type = low_range = None
    if name not in BICUBIC:
        enhancer = read_enhancer(Path(name))
        low_type, high_type = np.dtype(enhancer.low_view.dtype), np.dtype(enhancer.high_view.dtype)
        low_range = min(enhancer.low_view.low), max(enhancer.low_view.high)
    return Enhancement(
        upscaler=upscaler,
        mode=mode,
        sha256=identity(name)["sha256"],
        reference=reference,
        reference_sha256=None if reference is None else hash_file(reference),
        tile_px=tile_px,
        forced=forced,
        low_type=low_type,
        high_type=high_type,
        low_range=low_range,
    )


def _check_mode(upscaler: Upscaler, mode: Mode) -> None:
    if mode is Mode.ZERO:
        return
    if not upscaler.takes_reference:
        raise UsageError(
            "No reference can be used",
            where=upscaler.name,
            rule=f"it has no alignment, and the mode is {mode.value}",
            action="Use --mode zero, or a network with alignment",
        )
    if mode is Mode.SELF and upscaler.in_bands != upscaler.out_bands:
        raise UsageError(
            "The input cannot be its own reference",
            where=upscaler.name,
            rule=f"it takes {upscaler.in_bands} bands, a raw mosaic perhaps, and needs {upscaler.out_bands} of colour",
            action="Use --mode zero, or --mode given with --reference",
        )
