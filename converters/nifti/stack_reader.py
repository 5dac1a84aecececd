"""Reads the slices of one volume: stored values, scale, grey levels, display."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from pydantic import JsonValue

from domainvl.errors import ItemError
from domainvl.schema.questions import Question
from domainvl.schema.sample import Source, Task, TextAnswer

from ..dicom.header_questions import MODALITY_CLASSES, MODALITY_QUESTION, PLANE_QUESTION
from ..medical.display import Display, Turn, display_of
from ..medical.looks import CT_OUTSIDE_FIELD_HU, Levels, Look, OwnVoi, Rendered, View, render_levels
from ..medical.looks import Source as GreySource
from ..medical.stack import Shown, ShownView
from ..medical.volumes import MaximumProjection
from ..medical.windows import LINEAR_EXACT, Window
from .cutting import Cut
from .header import VolumeHeader
from .settings import NiftiSettings
from .units import VolumeUnit
from .voxels import Raw, Voxels


class NiftiStackReader:
    """Shows the slices of a volume.

    Args:
        unit: The volume.
        settings: The converter's settings.
        voxels: Its voxels.
        cut: How it is cut.
        sha256: Hash of its file.
    """

    def __init__(self, unit: VolumeUnit, settings: NiftiSettings, voxels: Voxels, cut: Cut, *, sha256: str) -> None:
        self._unit = unit
        self._settings = settings
        self._voxels = voxels
        self._cut = cut
        self._sha256 = sha256
        self._size_bytes = unit.file.pixels.stat().st_size
        self._look = Look.parse(settings.windows, settings.pack, settings.percentiles)
        self._grey = _grey_source(voxels.header, settings.modality)

    def show(self, place: int) -> Shown:
        """Read and show a slice.

        Raises:
            ItemError: If its pixels are so far from square that the header must be wrong.
        """
        raw = self._raw(place)
        if raw.ndim == 3:
            return self._shown(place, _colour(raw))
        rendered = render_levels(self._levels(raw), self._look, self._grey)
        return self._shown(place, replace(rendered, details={"rescale": _rescale(self._voxels.header)}))

    def project(self, places: Sequence[int]) -> Shown:
        """Show the maximum-intensity projection of some slices.

        Raises:
            ItemError: If the volume is in colour.
        """
        projection = MaximumProjection()
        for place in places:
            raw = self._raw(place)
            if raw.ndim == 3:
                raise ItemError(
                    "Cannot project a slab",
                    reason="colour",
                    rule="its voxels are in colour, of which none is the largest",
                    action="Convert it in another of --forms",
                )
            levels = self._levels(raw)
            projection.add(levels.values.astype(np.float32), levels.background)
        values, background = projection.result()
        rendered = render_levels(Levels(values.astype(np.float64), background), self._look, self._grey)
        of: list[JsonValue] = list(places)
        details: dict[str, JsonValue] = {"rescale": _rescale(self._voxels.header), "projection": {"maximum_of": of}}
        return self._shown(places[0], replace(rendered, details=details))

    def _raw(self, place: int) -> Raw:
        return self._voxels.slice(self._cut, self._cut.order[place], self._unit.volume)

    def _levels(self, raw: Raw) -> Levels:
        values = self._voxels.scaled(raw)
        background = ~np.isfinite(values)
        if self._settings.modality == "CT":
            background |= values <= CT_OUTSIDE_FIELD_HU
        return Levels(np.where(np.isfinite(values), values, 0.0), background)

    def _shown(self, place: int, rendered: Rendered) -> Shown:
        header, cut = self._voxels.header, self._cut
        display = self._display(place)
        views = []
        for view in rendered.views:
            pixels = display.apply(view.pixels)
            size = {"rows": pixels.shape[0], "columns": pixels.shape[1]}
            views.append(ShownView(view.name or None, pixels, {**view.details, **size}))
        return Shown(
            views=tuple(views),
            map=display.map,
            source=Source(
                uri=self._unit.source,
                sha256=self._sha256,
                size_bytes=self._size_bytes,
                details=self._details(place, rendered, display),
            ),
            spacing_mm=display.spacing_mm,
            can_measure=cut.spacing_mm is not None and header.has_unit,
            questions=tuple(self._questions()),
            warnings=rendered.warnings,
        )

    def _display(self, place: int) -> Display:
        cut = self._cut
        return display_of(
            cut.rows,
            cut.columns,
            cut.geometries[place] if cut.geometries else None,
            cut.plane,
            cut.spacing_mm,
            keep_aspect=self._settings.keep_aspect,
            turn=Turn() if self._settings.display == "stored" else None,
        )

    def _questions(self) -> Iterator[Question]:
        """Ask what is known of the whole volume; the key of each question is the name of its task."""
        modality = MODALITY_CLASSES.get(self._settings.modality)
        if modality is not None:
            yield Question("modality", Task.CLASSIFICATION, MODALITY_QUESTION, TextAnswer(text=modality))
        if self._cut.named_plane is not None:
            yield Question("plane", Task.VQA, PLANE_QUESTION, TextAnswer(text=self._cut.named_plane))

    def _details(self, place: int, rendered: Rendered, display: Display) -> dict[str, JsonValue]:
        """Collect technical facts."""
        unit, header, cut = self._unit, self._voxels.header, self._cut
        details: dict[str, JsonValue] = {
            "modality": self._settings.modality,
            "format": header.format,
            "data_type": "RGB" if header.is_colour else header.dtype.name,
            "orientation": header.codes,
            "slice_index": place,
            "slice": {"axis": cut.axis + 1, "number": cut.order[place] + 1, "count": header.shape[cut.axis]},
            **rendered.details,
        }
        if cut.spacing_mm is not None:
            details["pixel_spacing_mm"] = [round(side, 6) for side in cut.spacing_mm]
        if described := display.describe():
            details["display"] = described
        tilt: dict[str, JsonValue] = {"tilt_deg": round(cut.regularity.tilt_deg, 2)} if cut.regularity.tilt_deg else {}
        details["geometry"] = {"status": cut.regularity.status.value, **tilt}
        if cut.regularity.spacing_mm is not None:
            details["spacing_between_slices_mm"] = round(cut.regularity.spacing_mm, 4)
        if cut.positions_mm:
            details["position_mm"] = cut.positions_mm[place]
        if unit.volume_count > 1:
            details |= {"volume": unit.volume, "volume_count": unit.volume_count}
        return details


def _grey_source(header: VolumeHeader, modality: str) -> GreySource:
    """Return what the look depends on; the range to be displayed of the header is the file's own window."""
    own: tuple[OwnVoi, ...] = ()
    if header.window is not None:
        low, high = header.window
        own = (OwnVoi(Window((low + high) / 2, high - low, LINEAR_EXACT), index=0),)
    return GreySource(modality, own)


def _colour(raw: Raw) -> Rendered:
    return Rendered((View("", np.ascontiguousarray(raw)),))


def _rescale(header: VolumeHeader) -> JsonValue:
    return None if header.slope is None else {"slope": header.slope, "intercept": header.intercept}
