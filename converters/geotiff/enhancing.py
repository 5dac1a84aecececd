"""Seeing scenes larger than the sensor did: what enlarges them, whether it suits them, and what says so.

The one place of the converters that opens a network; torch is imported when ``--enhance`` is given, and not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from domainvl.engine import WHERE
from domainvl.errors import ItemError, UsageError
from domainvl.schema import Enhanced

from .enlarged_reading import Planes
from .marked import marks_of
from .products import Product
from .reading import Mask, OpenProduct, open_product

if TYPE_CHECKING:
    from domainvl.enhance.upscaler import Upscaler

    from .settings import GeotiffSettings
    from .views import View

_THREADS = 1
"""Of torch: sums of floats may depend on how they are shared out, and a data set must not."""

_OTHER_SPAN = 2.0
"""Ranges that differ by more than this factor are of other units."""

_RESELECT = "Choose its bands with --bands or --view, or give --enhance what was trained on bands like these"


@dataclass(frozen=True)
class Enhancement:
    """What enlarges scenes before they are cut into tiles.

    Attributes:
        name: The enhancer.
        scale: How many times the rows and columns.
        mode: What it aligns its output to.
        sha256: Hash of its weights; None where it has none.
        source: A folder of this machine, or a name that needs none.
    """

    name: str
    scale: int
    mode: str
    sha256: str | None
    source: str = field(metadata={WHERE: True})

    def provenance(self) -> Enhanced:
        """Return what each sample says of it."""
        return Enhanced(name=self.name, scale=self.scale, mode=self.mode, sha256=self.sha256)

    def record(self) -> dict[str, JsonValue]:
        """Return what settings and facts of a data set say of it."""
        return self.provenance().model_dump(mode="json")


def find_enhancement(source: str) -> Enhancement:
    """Find out what ``--enhance`` names; its weights are hashed, not loaded.

    Args:
        source: The folder of a checkpoint or of a run, or ``bicubic-x2``, ``-x4``, ``-x8``.

    Raises:
        UsageError: If it names nothing.
        CheckpointError: If the checkpoint is incomplete or broken.
    """
    from domainvl.enhance.upscaler import identity

    told = identity(source)
    return Enhancement(told["name"], told["scale"], told["mode"], told["sha256"], source)


class Enlarger:
    """Enlarges windows of scenes without any reference.

    Args:
        upscaler: Enlarges rasters.
        units: Per band the values that a network sees as 0 and as 1, and those that its output stands for by them, each
            (2, bands, 1, 1); None where both are in the same units.
        dtype: The type of the values that it was trained on; None for any.
        mosaic: Whether it takes raw mosaics.
    """

    def __init__(
        self,
        upscaler: Upscaler,
        *,
        units: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None,
        dtype: np.dtype[Any] | None = None,
        mosaic: bool = False,
    ) -> None:
        self.name = upscaler.name
        self.scale = upscaler.scale
        self.overlap_px = upscaler.overlap_px
        self._upscaler = upscaler
        self._units = units
        self._dtype = dtype
        self._mosaic = mosaic

    def enlarge(self, planes: Planes, valid: Mask) -> Planes:
        """Enlarge stored values.

        A network gives values of the other sensor that it was trained with; where those are of other units, they are
        brought back to this one's, so that limits of the stretch and the like mean the same. Values are rounded and
        clipped to the types of the bands.

        Args:
            planes: Stored values, each of shape (height, width).
            valid: Where they are valid.

        Returns:
            The same with ``scale`` times the rows and columns.

        Raises:
            ItemError: If the values make the network overflow.
        """
        from domainvl.enhance.rasters import masked, to_dtype

        values = np.stack(planes)
        try:
            pixels = self._upscaler.upscale(masked(values, valid, values.dtype))
        except UsageError as error:
            raise ItemError(
                "Cannot enlarge a scene", reason="enhance", where=error.where, rule=str(error), action=error.action
            ) from error
        if self._units is not None:
            (low, low_end), (high, high_end) = self._units
            pixels = (pixels - high) / (high_end - high) * (low_end - low) + low
        return [to_dtype(plane, given.dtype) for plane, given in zip(pixels, planes, strict=True)]

    def check(self, views: Sequence[View], opened: OpenProduct) -> None:
        """Check that it can enlarge what is shown of a scene.

        Args:
            views: What is shown.
            opened: The open scene.

        Raises:
            UsageError: Naming the numbers of bands, or types, that do not fit.
        """
        refuse = partial(UsageError, "Cannot enlarge a scene", where=opened.uri)
        bands_in, bands_out = self._upscaler.in_bands, self._upscaler.out_bands
        if self._mosaic or bands_in != bands_out:
            given = "a raw mosaic" if self._mosaic else f"{bands_in} bands"
            rule = f"{self.name} makes {bands_out} bands of {given}; scenes keep the bands that they have"
            raise refuse(rule=rule, action="Give --enhance what was trained on as many bands out as in")
        for view in views:
            if view.channels[0].kind == "palette":
                rule = "its pixels are indexes into a colour table, and between two indexes lies another colour"
                raise refuse(rule=rule, action="Leave --enhance out, or write its colours as bands first")
            if bands_in not in (None, len(view.bands)):
                rule = f"{self.name} takes {bands_in} bands, and the view {view.name} has {len(view.bands)}"
                raise refuse(rule=rule, action=_RESELECT)
            for band in view.bands:
                dtype = np.dtype(opened.dataset(band.path).dtypes[band.number - 1])
                if self._dtype is not None and _kind(dtype) != _kind(self._dtype):
                    rule = f"{self.name} was trained on values of type {self._dtype}, band {band.name} has {dtype}"
                    raise refuse(rule=rule, action=_RESELECT)


def _kind(dtype: np.dtype[Any]) -> str:
    """Tell types whose values cannot be of one range: bytes, larger integers, floats."""
    return "float" if dtype.kind == "f" else "byte" if dtype.itemsize == 1 else "integer"


def open_enlarger(source: str) -> Enlarger:
    """Load what ``--enhance`` names.

    Raises:
        UsageError: If it names nothing.
        CheckpointError: If the checkpoint is incomplete or broken.
    """
    from domainvl.enhance.upscaler import NetworkUpscaler, open_upscaler

    upscaler = open_upscaler(source, threads=_THREADS)
    if not isinstance(upscaler, NetworkUpscaler):
        return Enlarger(upscaler)
    enhancer = upscaler.enhancer
    dtypes = [np.dtype(view.dtype) for view in (enhancer.low_view, enhancer.high_view)]
    ranges = [
        np.array([view.low, view.high], np.float32)[:, :, np.newaxis, np.newaxis]
        for view in (enhancer.low_view, enhancer.high_view)
    ]
    units = (ranges[0], ranges[1]) if _are_other_units(dtypes, ranges) else None
    return Enlarger(upscaler, units=units, dtype=dtypes[0], mosaic=enhancer.mosaic)


def _are_other_units(dtypes: Sequence[np.dtype[Any]], ranges: Sequence[npt.NDArray[np.float32]]) -> bool:
    """Say whether the sensor that a network learned from measures in other units than the one that it takes.

    Both ranges are those of pictures of one place. In the same units the sharper one is somewhat wider, and is left so.
    """
    if dtypes[0] != dtypes[1] or ranges[0].shape != ranges[1].shape:
        return True
    spans = [high - low for low, high in ranges]
    ratio = spans[1] / spans[0]
    middles = [(low + high) / 2 for low, high in ranges]
    return bool((np.maximum(ratio, 1 / ratio) > _OTHER_SPAN).any() or (abs(middles[1] - middles[0]) > spans[0]).any())


class Enlargers:
    """Keeps what a process has loaded for the next unit; sent to another process it is empty."""

    def __init__(self) -> None:
        self._held: tuple[Enhancement, Enlarger] | None = None

    def of(self, enhancement: Enhancement | None) -> Enlarger | None:
        """Return what enlarges, loaded; None where nothing does.

        Raises:
            ItemError: If it is not any more what it was when the work was planned.
        """
        if enhancement is None:
            return None
        if self._held is None or self._held[0] != enhancement:
            try:
                enlarger = open_enlarger(enhancement.source)
            except UsageError as error:
                raise _changed(enhancement, str(error)) from error
            if enlarger.name != enhancement.name:
                raise _changed(enhancement, f"it was {enhancement.name} when the work was planned, now {enlarger.name}")
            self._held = (enhancement, enlarger)
        return self._held[1]

    def __getstate__(self) -> dict[str, Any]:
        # Every process loads it for itself.
        return {"_held": None}


def _changed(enhancement: Enhancement, rule: str) -> ItemError:
    return ItemError(
        f"Cannot enlarge with {enhancement.name}",
        reason="enhance",
        rule=rule,
        action="Leave the enhancer as it is while it is used, and give the command again",
    )


def check_scenes(products: Sequence[Product], settings: GeotiffSettings, enlarger: Enlarger) -> None:
    """Check before anything is written that all scenes can be enlarged.

    Scenes that cannot be opened are passed over: the units that read them say why.

    Raises:
        UsageError: Naming the first scene that cannot.
    """
    from .looks import choose_views

    for product in products:
        try:
            with open_product(product) as opened:
                views = choose_views(opened, settings)
                _check_not_enlarged(views, opened)
                enlarger.check(views, opened)
        except ItemError:
            continue


def _check_not_enlarged(views: Sequence[View], opened: OpenProduct) -> None:
    for path, _ in marks_of(opened, views):
        raise UsageError(
            "Cannot enlarge a scene",
            where=opened.name_of(path),
            rule="it is an output of domainvl enhance apply, and --enhance would enlarge it twice",
            action="Leave --enhance out (each sample says what enlarged the scene), or give the scene as it was taken",
        )
