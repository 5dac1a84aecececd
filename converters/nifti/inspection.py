"""A look at volumes before they are converted: a line a file, and a sheet of slices with what is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from domainvl.conversion import Inspection
from domainvl.conversion.contact_sheet import SheetTile, draw_sheet
from domainvl.errors import ItemError
from domainvl.schema.sample import Object
from domainvl.schema.writer import Reject

from ..medical.findings import to_objects
from .convert import open_volume, what_is_known
from .cutting import cut_of
from .header import VolumeHeader
from .plan import PlannedFile, survey_volumes
from .settings import NiftiSettings
from .units import VolumeUnit

COLUMNS = ("file", "size", "volumes", "spacing mm", "axes", "values", "window of the file", "slices", "masks")

_SHEET_SLICES = 12
_SLICES_A_VOLUME = 3
_NAMES_SHOWN = 4
_UNKNOWN = "-"


def inspect_volumes(source: Path, settings: NiftiSettings) -> Inspection:
    """Look at volumes. Nothing is written, and no key is needed.

    Args:
        source: File or folder.
        settings: The converter's settings, as the conversion would have them.

    Raises:
        UsageError: If the input or a setting is wrong as a whole.
        NothingToDoError: If there is no volume.
    """
    survey = survey_volumes(source, settings)
    rejects = list(survey.plan.rejects)
    firsts = [file.units[0] for file in survey.files if file.units]
    tiles = list(_sheet_tiles(firsts, settings, rejects))
    return Inspection(
        COLUMNS,
        [_row(file, settings) for file in survey.files],
        survey.plan.notes,
        rejects,
        draw_sheet(tiles) if tiles else None,
    )


def _row(file: PlannedFile, settings: NiftiSettings) -> tuple[str, ...]:
    header = file.header
    cut = cut_of(header, settings.plane)
    count = "1" if header.volume_count == 1 else f"{len(file.units)} of {header.volume_count}"
    slices = f"{len(cut.order)} {cut.named_plane or 'oblique' if cut.geometries else 'as stored'}"
    return (
        file.named.source.replace("/", "\n"),
        " x ".join(map(str, header.shape)),
        count,
        _UNKNOWN if header.spacing_mm is None else " x ".join(f"{side:.4g}" for side in header.spacing_mm),
        header.codes,
        _values(header),
        "none" if header.window is None else f"{header.window[0]:g} to {header.window[1]:g}",
        f"{slices}\n{cut.regularity.status.value}",
        _masks(file),
    )


def _values(header: VolumeHeader) -> str:
    name = "RGB" if header.is_colour else header.dtype.name
    return name if header.slope is None else f"{name} x {header.slope:g} {header.intercept:+g}"


def _masks(file: PlannedFile) -> str:
    masks = file.units[0].masks if file.units else ()
    lines = []
    for mask in masks:
        names = list(dict.fromkeys(name for _, name in mask.names))
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        lines.append(", ".join(names[:_NAMES_SHOWN]) + more if names else "values without names")
    return "\n".join(lines) or "none"


def _sheet_tiles(units: Sequence[VolumeUnit], settings: NiftiSettings, rejects: list[Reject]) -> Iterator[SheetTile]:
    """Show some slices of the first volume of each file, those with findings first, until the sheet is full."""
    room = _SHEET_SLICES
    for unit in units:
        if room <= 0:
            return
        try:
            tiles = list(_tiles_of(unit, settings, min(_SLICES_A_VOLUME, room), rejects))
        except ItemError as error:
            rejects.append(Reject(unit.name, "inspect", error.reason, str(error), error.action))
            continue
        room -= len(tiles)
        yield from tiles


def _tiles_of(unit: VolumeUnit, settings: NiftiSettings, wanted: int, rejects: list[Reject]) -> Iterator[SheetTile]:
    with open_volume(unit, settings) as (header, cut, reader):
        known = what_is_known(unit, header, cut, settings)
        rejects += known.rejects
        count = len(cut.order)
        spread = sorted({(2 * part + 1) * count // (2 * wanted) for part in range(wanted)})
        found = [place for place, truth in enumerate(known.truths) if truth is not None and truth.findings]
        for place in found[:: max(1, len(found) // wanted)][:wanted] or spread:
            name = f"{unit.name[-24:]} {place:04d}"
            shown = reader.show(place)
            truth = known.truths[place]
            objects = to_objects(truth, shown.map, key=name)[0] if truth is not None else ()
            yield SheetTile(name, shown.views[0].pixels, _boxes(objects))


def _boxes(objects: Sequence[Object]) -> list[tuple[tuple[float, float, float, float], str, bool]]:
    return [(thing.box_px, thing.label, thing.ignore) for thing in objects if thing.box_px is not None]
