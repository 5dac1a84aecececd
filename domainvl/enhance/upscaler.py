"""What enlarges a raster: bicubic interpolation, or a trained network, behind one interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from domainvl.enhance.checkpoint import WEIGHTS_NAME, Enhancer, checkpoint_folder, load_checkpoint, read_enhancer
from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.network.settings import Alignment
from domainvl.enhance.pairs.records import View
from domainvl.enhance.rasters import Pixels, Raster, RasterError
from domainvl.enhance.resampling import enlarge, fill_invalid
from domainvl.enhance.threads import torch_threads
from domainvl.errors import UsageError
from domainvl.files import hash_file

BICUBIC = {f"bicubic-x{scale}": scale for scale in (2, 4, 8)}
"""Names that need no checkpoint, with their scales."""

_KINDS: dict[Alignment, str] = {"shared": "sdan", "per-tap": "per-tap", "none": "plain"}
_FILL_REACH_PX = 8
"""How far a network sees the nearest valid pixel in place of one that is not; beyond that it sees mid-grey.

A bound keeps the output of a tile equal to that of the whole: fills of any distance would reach across tiles.
"""
_MID_GREY = 0.5
_MIRRORED_PX = 8
"""How much of the input is mirrored around it: next to the zeros that convolutions pad with, networks draw lines."""

_BICUBIC_OVERLAP_PX = 5
"""Bicubic reaches 2 pixels; the nearest valid one to an invalid one there is at most 2 sqrt(2) further."""


class Upscaler(Protocol):
    """Enlarges rasters by a whole factor.

    Attributes:
        name: "bicubic-x2", or kind, scale and the first 8 digits of the weights' SHA-256: "sdan-x4-01234567".
        scale: How many times the rows and columns.
        in_bands: Bands that it takes; None for any.
        out_bands: Bands that it gives; None for as many as it took.
        overlap_px: Low pixels that a tile needs around what is kept of it, so that tiles without a reference equal the
            whole.
        takes_reference: Whether it can be given a reference.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def scale(self) -> int: ...  # noqa: D102
    @property
    def in_bands(self) -> int | None: ...  # noqa: D102
    @property
    def out_bands(self) -> int | None: ...  # noqa: D102
    @property
    def overlap_px(self) -> int: ...  # noqa: D102
    @property
    def takes_reference(self) -> bool: ...  # noqa: D102

    def upscale(self, low: Raster, *, reference: Raster | None = None) -> Pixels:
        """Enlarge.

        Args:
            low: What to enlarge, in the units of the low view's file; pixels that are not valid are seen as their
                nearest valid ones.
            reference: A raster of the low one's size in the high view's units, which the output is aligned to; None for
                zero offsets. The low raster's own colours are :meth:`own_colours` of it.

        Returns:
            (out_bands, scale rows, scale columns), float32, in the units of the high view's file, finite everywhere.

        Raises:
            UsageError: If bands or sizes do not fit, or a reference is given to what takes none.
        """
        ...

    def own_colours(self, low: Raster) -> Raster:
        """Return the low raster itself as a reference: its values in the high view's units.

        Raises:
            UsageError: If it has not the bands of the output, as a mosaic has not, or no reference is taken.
        """
        ...


class BicubicUpscaler:
    """Bicubic interpolation (a = -0.5) of any bands.

    Args:
        scale: How many times the rows and columns.
        threads: Threads of torch while it works; None leaves them.
    """

    in_bands: int | None = None
    out_bands: int | None = None
    overlap_px = _BICUBIC_OVERLAP_PX
    takes_reference = False

    def __init__(self, scale: int, *, threads: int | None = None) -> None:
        self.name = f"bicubic-x{scale}"
        self.scale = scale
        self._threads = threads

    def upscale(self, low: Raster, *, reference: Raster | None = None) -> Pixels:
        """See :meth:`Upscaler.upscale`."""
        if reference is not None:
            raise _takes_none(self.name)
        with torch_threads(self._threads):
            return enlarge(low.pixels, low.valid, self.scale)

    def own_colours(self, low: Raster) -> Raster:
        """See :meth:`Upscaler.own_colours`."""
        raise _takes_none(self.name)


class NetworkUpscaler:
    """A trained network.

    Args:
        network: The network.
        enhancer: What it is.
        sha256: Hash of its weights' file.
        threads: Threads of torch while it works; None leaves them.
    """

    def __init__(self, network: MisalignedSR, enhancer: Enhancer, sha256: str, *, threads: int | None = None) -> None:
        settings = enhancer.network
        self.name = _network_name(enhancer, sha256)
        self.scale: int = settings.scale
        self.in_bands: int | None = settings.in_bands
        self.out_bands: int | None = settings.out_bands
        self.overlap_px = network.overlap_px + _FILL_REACH_PX
        self.takes_reference = settings.alignment != "none"
        self.enhancer = enhancer
        # Convolutions without gradients are quicker with a pixel's channels side by side.
        self._network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._threads = threads

    def upscale(self, low: Raster, *, reference: Raster | None = None) -> Pixels:
        """See :meth:`Upscaler.upscale`."""
        settings, high_view = self.enhancer.network, self.enhancer.high_view
        self._check_bands(low, settings.in_bands, "the input")
        seen = None
        if reference is not None:
            if not self.takes_reference:
                raise _takes_none(self.name)
            self._check_bands(reference, settings.out_bands, "the reference")
            if reference.size_px != low.size_px:
                rule = f"it has {reference.size_px} rows and columns, the input {low.size_px}"
                raise UsageError(
                    "A reference does not fit its input", rule=rule, action="Resample it to the input's grid"
                )
            seen = _normalised(reference, high_view)
        with torch_threads(self._threads), torch.inference_mode():
            picture = self._network(_normalised(low, self.enhancer.low_view), seen).picture[0].numpy()
        picture = _without_margin(picture, _MIRRORED_PX * self.scale)
        lowest, span = _range(high_view)
        pixels = np.asarray(picture * span + lowest, dtype=np.float32)
        if not np.isfinite(pixels).all():
            rule = f"values from {low.pixels.min():g} to {low.pixels.max():g} make it overflow"
            raise RasterError(
                f"{self.name} gives no finite values", rule=rule, action="Mask or clip the input's outliers"
            )
        return pixels

    def own_colours(self, low: Raster) -> Raster:
        """See :meth:`Upscaler.own_colours`."""
        if not self.takes_reference:
            raise _takes_none(self.name)
        settings = self.enhancer.network
        self._check_bands(low, settings.in_bands, "the input")
        if self.enhancer.mosaic or settings.in_bands != settings.out_bands:
            given = "a raw mosaic" if self.enhancer.mosaic else f"{settings.in_bands} bands"
            raise UsageError(
                "The input cannot be its own reference",
                rule=f"{self.name} takes {given} and needs {settings.out_bands} bands of colour",
                action="Use zero offsets, or give a reference",
            )
        lowest, span = _range(self.enhancer.low_view)
        high_lowest, high_span = _range(self.enhancer.high_view)
        pixels = np.asarray((low.pixels - lowest) / span * high_span + high_lowest, dtype=np.float32)
        pixels[:, ~low.valid] = 0.0
        return Raster(pixels, low.valid, np.dtype(np.float32))

    def _check_bands(self, raster: Raster, bands: int, what: str) -> None:
        if raster.bands != bands:
            raise UsageError(
                "Bands do not fit the enhancer",
                rule=f"{what} has {raster.bands} and {self.name} takes {bands}",
                action="Select the bands that it was trained on, or another checkpoint",
            )


def open_upscaler(name: str, *, threads: int | None = None) -> Upscaler:
    """Open what a name stands for.

    Args:
        name: A checkpoint's folder, a run's, or "bicubic-x2", "bicubic-x4", "bicubic-x8".
        threads: Threads of torch while it works; None leaves them.

    Raises:
        UsageError: If it is none of them.
        CheckpointError: If the checkpoint is incomplete or broken.
    """
    if name in BICUBIC:
        return BicubicUpscaler(BICUBIC[name], threads=threads)
    folder = _existing(name)
    network, enhancer = load_checkpoint(folder)
    return NetworkUpscaler(network, enhancer, hash_file(checkpoint_folder(folder) / WEIGHTS_NAME), threads=threads)


def identity(name: str) -> dict[str, Any]:
    """Return what the provenance of enlarged pixels stores: name, scale, SHA-256 of the weights, mode.

    Args:
        name: As for :func:`open_upscaler`; the weights are hashed, not loaded.

    Raises:
        UsageError: As :func:`open_upscaler`.
    """
    if name in BICUBIC:
        return {"name": name, "scale": BICUBIC[name], "sha256": None, "mode": "zero offset"}
    folder = _existing(name)
    enhancer = read_enhancer(folder)
    weights = checkpoint_folder(folder) / WEIGHTS_NAME
    if not weights.is_file():
        load_checkpoint(folder)  # says what is missing
    sha256 = hash_file(weights)
    return {
        "name": _network_name(enhancer, sha256),
        "scale": enhancer.network.scale,
        "sha256": sha256,
        "mode": "zero offset",
    }


def _existing(name: str) -> Path:
    folder = Path(name)
    if not folder.is_dir():
        raise UsageError(
            "No such enhancer",
            where=name,
            rule=f"it is no folder and none of {', '.join(BICUBIC)}",
            action="Give a folder that domainvl enhance train wrote, or one of these names",
        )
    return folder


def _network_name(enhancer: Enhancer, sha256: str) -> str:
    return f"{_KINDS[enhancer.network.alignment]}-x{enhancer.network.scale}-{sha256[:8]}"


def _takes_none(name: str) -> UsageError:
    return UsageError(
        "No reference can be given",
        rule=f"{name} has no alignment that would use it",
        action="Use zero offsets, or a network with alignment",
    )


def _range(view: View) -> tuple[Pixels, Pixels]:
    """Lowest value and span of each band, (bands, 1, 1)."""
    lowest = np.array(view.low, dtype=np.float32)[:, None, None]
    return lowest, np.array(view.high, dtype=np.float32)[:, None, None] - lowest


def _normalised(raster: Raster, view: View) -> torch.Tensor:
    """Values as the network sees them, (1, bands, rows, columns): what is not valid is filled, a margin is mirrored."""
    lowest, span = _range(view)
    with np.errstate(over="ignore"):  # the output is checked
        pixels = (raster.pixels - lowest) / span
    filled = fill_invalid(pixels, raster.valid, reach_px=_FILL_REACH_PX, beyond=_MID_GREY)
    margin = (_MIRRORED_PX, _MIRRORED_PX)
    # Mirrored about the outermost pixels, so that a mosaic's colours go on by turns.
    return torch.from_numpy(np.pad(filled, ((0, 0), margin, margin), mode="reflect"))[None]


def _without_margin(picture: Pixels, margin_px: int) -> Pixels:
    return picture[:, margin_px:-margin_px, margin_px:-margin_px]
