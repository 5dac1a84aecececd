"""A look at series before they are converted: a line a series, and a sheet of slices with what is known of them."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydicom.uid import UID

from domainvl.conversion import Inspection
from domainvl.conversion.contact_sheet import SheetTile, draw_sheet
from domainvl.errors import ItemError
from domainvl.schema.sample import Object
from domainvl.schema.writer import Reject

from ..medical.findings import to_objects
from .decode import decoder_status
from .header_questions import MODALITY_CLASSES
from .headers import standard_name
from .inputs.quiet import quiet_pydicom
from .inputs.reading import FileReader
from .instance import ImageFacts, Instance
from .knowledge import what_is_known
from .plan import check_settings, plan_survey
from .privacy.handling import PixelHandling
from .privacy.pseudonyms import Pseudonyms, read_key
from .series import Stack
from .settings import DicomSettings
from .stack_reader import DicomStackReader
from .survey import Series, Survey, series_name, survey_input, why_left_out
from .units import StackUnit, VideoUnit

COLUMNS = (
    "series",
    "modality",
    "images",
    "stacks: slices",
    "geometry",
    "spacing mm",
    "size px",
    "windows of the file",
    "transfer syntax",
    "privacy",
)
_SHEET_SLICES = 12
_SLICES_A_STACK = 3
_WINDOWS_SHOWN = 3
_UNKNOWN = "-"


def inspect_series(source: Path, settings: DicomSettings) -> Inspection:
    """Look at series. Nothing is written, and without a key names are drawn for this look alone.

    Args:
        source: File or folder.
        settings: The converter's settings, as the conversion would have them.

    Raises:
        UsageError: If the input or a setting is wrong as a whole.
        NothingToDoError: If there is no image.
    """
    check_settings(settings)
    key = read_key(settings.deid_key) if settings.deid_key is not None else secrets.token_bytes(32)
    pseudonyms = Pseudonyms(key)
    survey = survey_input(source, settings, pseudonyms)
    plan = plan_survey(survey, settings, key)
    stacks = [unit for unit in plan.units if isinstance(unit, StackUnit)]
    rejects = list(plan.rejects)
    tiles = list(_sheet_tiles(stacks, settings, rejects))
    return Inspection(
        COLUMNS,
        [row for series in survey.series for row in _rows(series, settings, pseudonyms)],
        [*_notes(survey, plan.units), *plan.notes],
        rejects,
        draw_sheet(tiles) if tiles else None,
    )


def _rows(series: Series, settings: DicomSettings, pseudonyms: Pseudonyms) -> Iterator[tuple[str, ...]]:
    """Give one row a stack; what holds for the whole series stands in the first."""
    facts = [instance.facts for instance in series.instances if instance.facts is not None]
    of_series = (
        (
            series_name(series.first, pseudonyms).replace("/", "\n"),
            _listed(_modality(fact.modality) for fact in facts),
            str(len(series.instances)),
        ),
        (
            _listed(f"{fact.columns} x {fact.rows}" for fact in facts),
            _windows(facts),
            "\n".join(dict.fromkeys(_syntaxes(facts))),
            _privacy(series.instances, settings),
        ),
    )
    of_stacks = [
        (f"{stack.kind.value}: {len(stack.slices)}", _geometry(stack), _spacing(stack)) for stack in series.stacks
    ]
    for number, of_stack in enumerate(of_stacks or [("none", _UNKNOWN, _UNKNOWN)]):
        first, last = of_series if number == 0 else (("",) * len(of_series[0]), ("",) * len(of_series[1]))
        yield (*first, *of_stack, *last)


def _modality(code: str) -> str:
    """Return a code of the standard; in its place a header may hold anything."""
    return code if code in MODALITY_CLASSES else "other"


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted({value for value in values if value})) or _UNKNOWN


def _geometry(stack: Stack) -> str:
    regularity = stack.regularity
    parts = [regularity.status.value]
    if regularity.missing_count:
        parts.append(f"{regularity.missing_count} missing")
    if regularity.tilt_deg:
        parts.append(f"{regularity.tilt_deg:.1f} degrees")
    if stack.split_by:
        parts.append(f"split by {', '.join(stack.split_by)}")
    return "; ".join(parts)


def _spacing(stack: Stack) -> str:
    facts = stack.slices[0].instance.facts
    in_plane = None if facts is None else facts.spacing_mm
    between = stack.regularity.spacing_mm
    sides = _UNKNOWN if in_plane is None else f"{in_plane[0]:.4g} x {in_plane[1]:.4g}"
    return sides if between is None else f"{sides}, {between:.4g} apart"


def _windows(facts: Sequence[ImageFacts]) -> str:
    counts = Counter(window for fact in facts for window in fact.windows)
    shown = [window for window, _ in counts.most_common(_WINDOWS_SHOWN)]
    if len(counts) > _WINDOWS_SHOWN:
        shown.append(f"{len(counts) - _WINDOWS_SHOWN} more")
    return ", ".join(shown) or "none"


def _syntaxes(facts: Sequence[ImageFacts]) -> Iterator[str]:
    """Name the transfer syntaxes, and say which cannot be decoded; whether one can may depend on the bits."""
    for uid, bits in sorted({(fact.transfer_syntax, fact.bits_stored or 0) for fact in facts}):
        name = standard_name(UID(uid), "private") if uid else "none"
        problem = decoder_status(uid, bits or None)
        yield name if problem is None else f"{name}: cannot be decoded ({problem})"


def _privacy(instances: Sequence[Instance], settings: DicomSettings) -> str:
    risks = Counter(instance.risk.reason for instance in instances if instance.risk is not None)
    verb = "left out" if settings.burnt_in == "quarantine" else "converted all the same"
    lines = [f"{count} x {reason}, {verb}" for reason, count in sorted(risks.items())]
    other = Counter(
        left_out[0]
        for instance in instances
        if instance.risk is None and (left_out := why_left_out(instance, settings)) is not None
    )
    lines += [f"{count} x {reason}, left out" for reason, count in sorted(other.items())]
    if any(instance.face_risk for instance in instances):
        lines.append("face blurred" if settings.blur_faces else "face can be recognised")
    return "\n".join(lines) or "none found in headers"


def _notes(survey: Survey, units: Sequence[StackUnit | VideoUnit]) -> Iterator[str]:
    stacks = [unit for unit in units if isinstance(unit, StackUnit)]
    slices = sum(len(unit.slices) for unit in stacks)
    patients = len({unit.patient for unit in stacks})
    planned = f"{slices} slices in {len(stacks)} stacks of {patients} patients would be converted"
    yield f"{survey.file_count} files: {planned}"
    kinds = Counter(annotation.kind.value for annotation in survey.annotations)
    if kinds:
        yield "annotations: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    if survey.videos:
        yield f"{len(survey.videos)} files are videos"


def _sheet_tiles(stacks: Sequence[StackUnit], settings: DicomSettings, rejects: list[Reject]) -> Iterator[SheetTile]:
    """Show some slices of each stack, those with findings first, until the sheet is full."""
    room = _SHEET_SLICES
    for unit in stacks:
        if room <= 0:
            return
        tiles = list(_tiles_of(unit, settings, min(_SLICES_A_STACK, room), rejects))
        room -= len(tiles)
        yield from tiles


def _tiles_of(unit: StackUnit, settings: DicomSettings, wanted: int, rejects: list[Reject]) -> Iterator[SheetTile]:
    with FileReader() as files, quiet_pydicom():
        handling = PixelHandling(settings, quarantined_count=0, shows_face=unit.shows_face)
        reader = DicomStackReader(unit, settings, files, handling)
        known = what_is_known(unit, settings, files)
        rejects += known.rejects
        count = len(unit.slices)
        spread = [(2 * part + 1) * count // (2 * wanted) for part in range(wanted)]
        with_findings = [place for place, truth in enumerate(known.truths) if truth is not None and truth.findings]
        places = with_findings[:: max(1, len(with_findings) // wanted)][:wanted] or sorted(set(spread))
        for place in places:
            name = f"{_modality(unit.modality)} {unit.series[:6]} {unit.slices[place].index:04d}"
            try:
                shown = reader.show(place)
            except ItemError as error:
                rejects.append(
                    Reject(
                        f"{unit.series_name}/{unit.slices[place].index:04d}",
                        "inspect",
                        error.reason,
                        str(error),
                        error.action,
                    )
                )
                continue
            truth = known.truths[place]
            objects = to_objects(truth, shown.map, key=name)[0] if truth is not None else ()
            yield SheetTile(name, shown.views[0].pixels, _boxes(objects))


def _boxes(objects: Sequence[Object]) -> list[tuple[tuple[float, float, float, float], str, bool]]:
    return [(thing.box_px, thing.label, thing.ignore) for thing in objects if thing.box_px is not None]
