"""One input, enlarged tile by tile; no more than a row of tiles is in memory.

Without a reference the output of a network depends on no more than ``overlap_px`` of surroundings, so tiles are read
with that margin and their middles set side by side: the result is that of the whole. With a reference the attention
looks at all of a tile, so neighbours differ everywhere; they overlap, and fade into each other with a raised cosine.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainvl.enhance.applying.modes import FORCED, Enhancement, Mode, enhanced_earlier
from domainvl.enhance.applying.output import Output, as_png, plan_output, writing
from domainvl.enhance.applying.reference import ReferenceGrid
from domainvl.enhance.applying.source import Part, Source, open_source
from domainvl.enhance.applying.tiles import Box, Span, boxes, even_spans, fade, full_spans
from domainvl.enhance.rasters import Pixels
from domainvl.errors import DomainvlError, ItemError, StoppedError

_BLEND_SHARE = 8
"""Tiles reach this part of their side into each other, where they are blended."""

OnTile = Callable[[int, int], None]
"""Called with the tiles done and the tiles that there are."""


@dataclass
class Facts:
    """What became of an input.

    Attributes:
        low_size_px: Its rows and columns.
        high_size_px: The output's.
        bands: The output's bands with colours.
        dtype: The output's type.
        marked_by: What marks missing pixels.
        tiles: How many tiles were enlarged.
        empty_tiles: How many had no valid pixel.
        tiles_without_reference: How many the reference did not reach, which were enlarged with zero offsets.
        notes: What could not be kept as it was.
    """

    low_size_px: tuple[int, int]
    high_size_px: tuple[int, int]
    bands: int
    dtype: str
    marked_by: str
    tiles: int = 0
    empty_tiles: int = 0
    tiles_without_reference: int = 0
    notes: list[str] = field(default_factory=list)


def enhance_file(
    path: Path, tiff: Path, enhancement: Enhancement, *, png: Path | None, medical: bool, on_tile: OnTile
) -> Facts:
    """Enlarge one input.

    Args:
        path: A picture or a raster that GDAL reads.
        tiff: TIFF to make.
        enhancement: What enlarges, and how.
        png: PNG to make of it, for a picture; None for none.
        medical: Whether the input is medical and was let through.
        on_tile: Called after each tile.

    Raises:
        ItemError: If the input or the reference cannot be used.
        OutputError: If the output cannot be written.
    """
    with open_source(path) as source:
        enhancement.check_input(source.bands, source.dtype, path, alpha=source.alpha)
        far = None
        if enhancement.low_range is not None:
            far = enhancement.check_values(source.sample(), source.dtype, path)
        bands = enhancement.upscaler.out_bands or source.bands
        dtype = enhancement.out_type(source.dtype)
        plan = plan_output(source, bands=bands, dtype=dtype, scale=enhancement.scale, picture=png is not None)
        facts = Facts(source.size_px, plan.size_px, bands, plan.dtype.name, plan.mark.value, notes=list(plan.notes))
        if enhancement.low_type is not None and source.dtype != enhancement.low_type:
            facts.notes.append(f"values are {source.dtype}, the enhancer was trained on {enhancement.low_type}")
        if far is not None:
            facts.notes.append(far)
        if source.turned:
            facts.notes.append("turned as its Exif orientation says")
        earlier = enhanced_earlier(source.dataset.tags())
        if earlier is not None:
            facts.notes.append("the input had been enhanced before: its detail may be invented already")
            medical = medical or _is_let_through(earlier, enhancement, path)
        tags = enhancement.tags(medical=medical, earlier=earlier)
        with (
            _reference(enhancement, source, bands) as reference,
            writing(tiff, source, plan, scale=enhancement.scale, tags=tags) as output,
        ):
            scene = _Scene(source, enhancement, reference, bands, facts)
            if enhancement.mode is Mode.ZERO:
                scene.set_side_by_side(output, on_tile)
            else:
                scene.blend(output, on_tile)
        if not facts.tiles:
            raise ItemError(
                "Nothing to enhance", reason="empty", where=path, rule="no pixel of it is valid", action="Leave it out"
            )
    if png is not None:
        as_png(tiff, png)
    return facts


def _is_let_through(earlier: str, enhancement: Enhancement, path: Path) -> bool:
    """Whether what was enhanced before was medical; it is refused unless medical inputs are let through."""
    if FORCED not in earlier:
        return False
    if not enhancement.forced:
        raise ItemError(
            "Medical images are not enhanced",
            reason="medical",
            where=path,
            rule=f"its tags say that it is one ({earlier})",
            action="Leave it out; for research on just this, give --force-medical",
        )
    return True


def _reference(enhancement: Enhancement, source: Source, bands: int) -> closing[ReferenceGrid] | nullcontext[None]:
    if enhancement.reference is None:
        return nullcontext()
    return closing(ReferenceGrid(enhancement.reference, source, bands=bands, scale=enhancement.scale))


class _Scene:
    """An input that is being enlarged."""

    def __init__(
        self, source: Source, enhancement: Enhancement, reference: ReferenceGrid | None, bands: int, facts: Facts
    ) -> None:
        self._source = source
        self._enhancement = enhancement
        self._upscaler = enhancement.upscaler
        self._reference = reference
        self._bands = bands
        self._facts = facts

    def set_side_by_side(self, output: Output, on_tile: OnTile) -> None:
        """Enlarge tiles with their surroundings and keep their middles."""
        rows, columns = (full_spans(length, self._enhancement.tile_px) for length in self._source.size_px)
        total = len(rows) * len(columns)
        for number, core in enumerate(boxes(rows, columns), start=1):
            outer = core.grown(self._upscaler.overlap_px, self._source.size_px)
            part = self._source.read(outer)
            inside = core.within(outer)
            picture = self._enlarge(part, outer)
            high = core.times(self._upscaler.scale)
            if picture is not None:
                picture = picture[(slice(None), *inside.times(self._upscaler.scale).index)]
            output.write(high, picture, *self._marks(part, inside))
            on_tile(number, total)

    def blend(self, output: Output, on_tile: OnTile) -> None:
        """Enlarge tiles that overlap and fade them into each other, a row of tiles at a time."""
        scale, size_px, tile_px = self._upscaler.scale, self._source.size_px, self._enhancement.tile_px
        blend_px = tile_px // _BLEND_SHARE
        rows, columns = (even_spans(length, tile_px) for length in size_px)
        total, width = len(rows) * len(columns), size_px[1]
        done = 0
        carried = np.zeros((self._bands, 0, width * scale), np.float32)
        for row in rows:
            band = row.grown(blend_px, size_px[0])
            sums = np.zeros((self._bands, band.length * scale, width * scale), np.float32)
            sums[:, : carried.shape[1]] += carried
            for column in columns:
                core = Box(row, column)
                self._add(sums, band, core, blend_px)
                done += 1
                on_tile(done, total)
            last = row.stop == size_px[0]
            ready = Span(band.start, row.stop if last else row.stop - blend_px)
            self._write_rows(output, sums, ready)
            carried = sums[:, ready.length * scale :].copy()

    def _add(self, sums: Pixels, band: Span, core: Box, blend_px: int) -> None:
        """Add a tile, weighted, to the row of tiles that it is in."""
        scale, size_px = self._upscaler.scale, self._source.size_px
        kept = core.grown(blend_px, size_px)
        outer = kept.grown(self._upscaler.overlap_px, size_px)
        picture = self._enlarge(self._source.read(outer), outer)
        if picture is None:
            return
        picture = picture[(slice(None), *kept.within(outer).times(scale).index)]
        down = fade(core.rows, blend_px, size_px[0], scale)
        across = fade(core.columns, blend_px, size_px[1], scale)
        place = Box(kept.rows.within(band), kept.columns).times(scale)
        sums[(slice(None), *place.index)] += picture * (down[:, None] * across[None, :])

    def _write_rows(self, output: Output, sums: Pixels, rows: Span) -> None:
        """Write rows that no further tile adds to, in pieces as wide as a tile."""
        scale = self._upscaler.scale
        for column in full_spans(self._source.size_px[1], self._enhancement.tile_px):
            low = Box(rows, column)
            part = self._source.read(low)
            place = Box(Span(0, rows.length), column).times(scale)
            picture = sums[(slice(None), *place.index)]
            output.write(low.times(scale), picture, *self._marks(part, low.within(low)))

    def _enlarge(self, part: Part, outer: Box) -> Pixels | None:
        """Enlarge a window; None if no pixel of it is valid."""
        low = part.raster
        if not low.valid.any():
            self._facts.empty_tiles += 1
            return None
        self._facts.tiles += 1
        reference = self._upscaler.own_colours(low) if self._enhancement.mode is Mode.SELF else None
        if self._reference is not None:
            reference = self._reference.read(outer)
            if not reference.valid.any():
                self._facts.tiles_without_reference += 1
                reference = None
        try:
            picture = self._upscaler.upscale(low, reference=reference)
        except (ItemError, StoppedError):
            raise
        except DomainvlError as error:
            where = f"{self._source.path}, rows {outer.rows.start} to {outer.rows.stop}, "
            where += f"columns {outer.columns.start} to {outer.columns.stop}"
            raise ItemError(
                error.what, reason="enhancer", where=where, rule=error.rule, action="Leave the input out, or mend it"
            ) from error
        return picture

    def _marks(self, part: Part, inside: Box) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any] | None]:
        """Return which values of the output are known and its alpha band: those of the nearest pixel of the input."""
        known = part.known[(slice(None), *inside.index)]
        if len(known) != self._bands:
            known = np.asarray(known.any(axis=0, keepdims=True))
        alpha = part.alpha
        if alpha is not None:
            alpha = self._larger(_alpha_as(alpha, self._enhancement.out_type(self._source.dtype))[inside.index])
        return self._larger(known), alpha

    def _larger(self, planes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        scale = self._upscaler.scale
        return np.asarray(planes.repeat(scale, axis=-2).repeat(scale, axis=-1))


def _alpha_as(alpha: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Bring an alpha band to another type; its highest value stays that of what is seen wholly."""
    if alpha.dtype == dtype:
        return alpha
    highest = [1.0 if one.kind == "f" else float(np.iinfo(one).max) for one in (alpha.dtype, dtype)]
    scaled = alpha.astype(np.float64) * (highest[1] / highest[0])
    return np.asarray(scaled if dtype.kind == "f" else np.ceil(scaled)).astype(dtype)
