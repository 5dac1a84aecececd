"""One pair: finding the global transform, applying it to the high view, and judging what came out."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

from domainvl.enhance.pairs.affine import Affine, find_affine
from domainvl.enhance.pairs.fitting import read_moved, read_views, too_small
from domainvl.enhance.pairs.planes import LEAST_OVERLAP_PX, Grey, overlap, shrunk_grey, similarity, to_grey
from domainvl.enhance.pairs.records import HIGH_FOLDER, LOW_FOLDER, PairRecord, Split
from domainvl.enhance.pairs.settings import PairSource, RegisterSettings
from domainvl.enhance.pairs.shifts import Shift, find_shift, refine_shift
from domainvl.enhance.rasters import Raster, write_tiff
from domainvl.enhance.resampling import enlarge_mask, fill_invalid
from domainvl.errors import ItemError

Elsewhere = Callable[[tuple[int, int]], Raster]

_NOT_MOVED = Affine((1.0, 0.0, 0.0, 1.0), (0.0, 0.0))


@dataclass(frozen=True)
class Figures:
    """What was found of a pair; the fields are those of :class:`~domainvl.enhance.pairs.records.PairRecord`."""

    shift_px: Shift
    affine: tuple[float, float, float, float]
    residual_px: float
    similarity: float
    similarity_before: float

    def record(self, source: PairSource, split: Split) -> PairRecord:
        """Make the pair's line of the set."""
        return PairRecord(
            id=source.id,
            group=source.group,
            split=split,
            low=f"{LOW_FOLDER}/{source.id}.tif",
            high=f"{HIGH_FOLDER}/{source.id}.tif",
            low_source=str(source.low),
            high_source=str(source.high),
            **asdict(self),
        )


def register_pair(source: PairSource, *, settings: RegisterSettings, folder: Path) -> Figures:
    """Register a pair and write its two views.

    Args:
        source: Which files.
        settings: What is looked for, and what is good enough.
        folder: The set of pairs.

    Returns:
        What was found.

    Raises:
        ItemError: If it cannot be used: by a reason of :func:`~domainvl.enhance.pairs.fitting.read_views`, or
            ``no-valid-pixels``, ``no-match``, ``shift-too-large``, ``too-small``.
    """
    low, high = read_views(source, settings)
    _check_validity(low, high, source, settings)
    # A raster goes on around its window, so nothing need be cut off.
    elsewhere = None if source.window is None else functools.partial(read_moved, source, settings)
    low, high, figures = register_views(low, high, source, settings, elsewhere)
    _check_validity(low, high, source, settings)
    write_tiff(folder / LOW_FOLDER / f"{source.id}.tif", low)
    write_tiff(folder / HIGH_FOLDER / f"{source.id}.tif", high)
    return figures


def register_views(
    low: Raster, high: Raster, source: PairSource, settings: RegisterSettings, elsewhere: Elsewhere | None = None
) -> tuple[Raster, Raster, Figures]:
    """Find the transform between two views and apply it to the high one.

    A shift is applied in whole high pixels, so that the truth is not resampled: up to half a high pixel is left. An
    affine transform is applied by cubic interpolation; what lies outside of the high view then is not valid.

    Args:
        low: The low view.
        high: The high view, of ``settings.scale`` times its rows and columns.
        source: Where they are from, for messages.
        settings: What is looked for, and what is good enough.
        elsewhere: Reads the high view so many high rows and columns further on; None if there is no more of it.

    Returns:
        The low view and the high one, cut to what both show where there is no more of it, and what was found.

    Raises:
        ItemError: By ``no-match``, ``shift-too-large`` or ``too-small``.
    """
    fixed, moving = to_grey(low, mosaic=settings.mosaic), shrunk_grey(high, settings.scale)
    before = similarity(fixed, moving)
    plain = transform = _NOT_MOVED
    if settings.method != "none":
        shift = _find(fixed, moving, source, settings)
        plain = transform = _rounded(Affine(_NOT_MOVED.linear, shift))
        if settings.method == "affine":
            transform = _rounded(find_affine(fixed, moving, shift) or plain)
    result = _apply(low, high, transform, source, settings, elsewhere)
    after, residual_px = _judge(*result, settings)
    if transform.linear != _NOT_MOVED.linear:  # more freedom is worth having only where it brings the views nearer
        other = _apply(low, high, plain, source, settings, elsewhere)
        alike, left_px = _judge(*other, settings)
        if alike > after:
            transform, result, after, residual_px = plain, other, alike, left_px
    if settings.method != "none" and after < settings.least_similarity:
        below = math.floor(after * 1000) / 1000  # rounded, it could read as what is needed
        raise _no_match(source, f"their gradients correlate by {below:.3f}, {settings.least_similarity:g} is needed")
    figures = Figures(
        shift_px=transform.shift_px,
        affine=transform.linear,
        residual_px=round(residual_px, 4),
        similarity=round(after, 4),
        similarity_before=round(before, 4),
    )
    return *result, figures


def _find(fixed: Grey, moving: Grey, source: PairSource, settings: RegisterSettings) -> Shift:
    largest_px = settings.largest_shift_px or min(fixed.size_px) / 4
    shift = find_shift(fixed, moving)
    if shift is None:
        raise _no_match(source, f"they share less than {LEAST_OVERLAP_PX} rows or columns at any shift")
    if _length(shift) <= largest_px:
        return shift
    # What repeats, such as a facade, matches far away too; the nearer match is taken if it is one.
    nearer = find_shift(fixed, moving, largest_px=largest_px)
    if nearer is not None and _length(nearer) <= largest_px and _alike(fixed, moving, nearer, settings):
        return nearer
    if _alike(fixed, moving, shift, settings):
        raise _too_far(shift, largest_px, source)
    raise _no_match(source, f"no shift brings their gradients to a correlation of {settings.least_similarity:g}")


def _alike(fixed: Grey, moving: Grey, shift: Shift, settings: RegisterSettings) -> bool:
    shared = overlap(fixed, moving, shift)
    return shared is not None and similarity(*shared) >= settings.least_similarity


def _rounded(transform: Affine) -> Affine:
    """Leave out digits that depend on how many threads summed up; what is recorded is what is applied."""
    a, b, c, d = (round(part, 9) for part in transform.linear)
    down, along = (round(part, 4) for part in transform.shift_px)
    return Affine((a, b, c, d), (down, along))


def _length(shift: Shift) -> float:
    return math.hypot(*shift)


def _apply(
    low: Raster,
    high: Raster,
    transform: Affine,
    source: PairSource,
    settings: RegisterSettings,
    elsewhere: Elsewhere | None,
) -> tuple[Raster, Raster]:
    if transform.linear != _NOT_MOVED.linear:
        return low, _warped(high, transform, low.size_px, settings.scale)
    scale, even = settings.scale, 2 if settings.mosaic else 1
    down, along = (math.floor(part * scale + 0.5) for part in transform.shift_px)
    whole = (down, along)
    if elsewhere is not None:
        return low, elsewhere(whole) if any(whole) else high
    first = [-(-max(0, -part) // (scale * even)) * even for part in whole]
    sides = zip(low.size_px, high.size_px, whole, strict=True)
    last = [min(ours * scale, theirs - part) // scale for ours, theirs, part in sides]
    rows, columns = (max(0, end - start) for start, end in zip(first, last, strict=True))
    if min(rows, columns) < settings.least_size_px:
        raise too_small((rows, columns), source, settings)
    corner = [start * scale + part for start, part in zip(first, whole, strict=True)]
    return low.crop(first[0], first[1], rows, columns), high.crop(corner[0], corner[1], rows * scale, columns * scale)


def _warped(high: Raster, transform: Affine, size_px: tuple[int, int], scale: int) -> Raster:
    places = transform.places(*size_px, scale)
    inside = ndimage.map_coordinates(high.valid.astype(np.float32), places, order=1, mode="constant") > 0.99
    filled = fill_invalid(high.pixels, high.valid)  # a spline would carry the zeros of a gap far beyond it
    pixels = np.stack([ndimage.map_coordinates(band, places, order=3, mode="nearest") for band in filled])
    return Raster(np.where(inside, pixels, 0).astype(np.float32), inside, high.dtype)


def _judge(low: Raster, high: Raster, settings: RegisterSettings) -> tuple[float, float]:
    """Return how alike two registered views are, and the length of the shift that can still be measured."""
    fixed, moving = to_grey(low, mosaic=settings.mosaic), shrunk_grey(high, settings.scale)
    return similarity(fixed, moving), _length(refine_shift(fixed, moving, (0.0, 0.0)))


def _check_validity(low: Raster, high: Raster, source: PairSource, settings: RegisterSettings) -> None:
    """Refuse a pair of which too little is valid in both views."""
    share = float((enlarge_mask(low.valid, settings.scale) & high.valid).mean())
    if share == 0 or share < settings.least_valid:
        raise ItemError(
            "Too few valid pixels",
            reason="no-valid-pixels",
            where=source.id,
            rule=f"{share:.0%} are valid in both views, {settings.least_valid:.0%} are needed",
            action="Lower --least-valid, or leave it out",
        )


def _no_match(source: PairSource, rule: str) -> ItemError:
    action = "Look whether both show one scene; lower --least-similarity if they do"
    return ItemError("The views do not match", reason="no-match", where=source.id, rule=rule, action=action)


def _too_far(shift: Shift, largest_px: float, source: PairSource) -> ItemError:
    return ItemError(
        "The views are too far apart",
        reason="shift-too-large",
        where=source.id,
        rule=f"{_length(shift):.1f} low pixels, at most {largest_px:g}",
        action="Raise --largest-shift-px if that is right",
    )
