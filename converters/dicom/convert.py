"""One unit to samples: what is known about its slices, the slices, and what was done to protect people."""

from __future__ import annotations

import io
from pathlib import Path

from pydicom import dcmread

from domainvl.conversion import UnitResult
from domainvl.errors import ItemError
from domainvl.files import write_atomically
from domainvl.schema.images import ImageStore
from domainvl.schema.sample import Provenance
from domainvl.schema.writer import Reject, Severity

from ..medical.geometry import runs_along_axis
from ..medical.regularity import Status
from ..medical.report_sections import ask_for_report
from ..medical.stack import SliceFacts, StackFacts
from ..medical.stack_samples import convert_stack as samples_of_stack
from .calibration import PROJECTIONS
from .header_questions import MODALITY_CLASSES
from .headers import frame_header
from .inputs.quiet import quiet_pydicom
from .inputs.reading import FileReader
from .knowledge import Known, what_is_known
from .privacy.handling import PixelHandling
from .series import StackKind
from .settings import DicomSettings
from .stack_reader import DicomStackReader, plane_of_image
from .units import StackUnit, VideoUnit
from .video import extract_video

_NOT_BEHIND_EACH_OTHER = (Status.COPLANAR, Status.DUPLICATE_POSITIONS)


def convert_unit(
    unit: StackUnit | VideoUnit, settings: DicomSettings, *, images: ImageStore, provenance: Provenance
) -> UnitResult:
    """Convert a stack, or take out a video.

    Args:
        unit: Which.
        settings: The converter's settings.
        images: Where pixels go.
        provenance: What makes the samples.

    Raises:
        ItemError: If a video cannot be taken out.
    """
    if isinstance(unit, VideoUnit):
        return UnitResult(rejects=[_take_out(unit)])
    with FileReader() as files, quiet_pydicom():
        handling = PixelHandling(settings, quarantined_count=unit.quarantined_count, shows_face=unit.shows_face)
        reader = DicomStackReader(unit, settings, files, handling)
        known = what_is_known(unit, settings, files)
        stack = facts_of_stack(unit, reader, known)
        result = samples_of_stack(stack, reader, settings, images, provenance)
        while handling.begins_again():
            # Text was found after other pictures of its file or stack had passed. No sample of this round is written,
            # and the writer removes images that no sample shows.
            result = samples_of_stack(stack, reader, settings, images, provenance)
    log = handling.log(attribute_count=reader.attribute_count, text_replacements=dict(unit.report_replacements))
    return UnitResult(result.samples, (*known.rejects, *result.rejects), log.to_facts())


def facts_of_stack(unit: StackUnit, reader: DicomStackReader, known: Known) -> StackFacts:
    """Return what is known of a stack before it is shown: its name, patient, slices, plane and what is asked."""
    first = unit.slices[0]
    plane = None
    if first.place.geometry is not None:
        try:
            plane = plane_of_image(frame_header(reader.load(first.file), first.frame), first.place.geometry)
        except ItemError:
            plane = None  # showing the slice fails for the same reason, and is listed there
    what = "radiograph" if unit.modality in PROJECTIONS else "study"
    return StackFacts(
        name=unit.series_name,
        group=unit.patient,
        slices=tuple(
            SliceFacts(ref.index, ref.position_mm, known.truths[place], place in known.key_places)
            for place, ref in enumerate(unit.slices)
        ),
        plane=plane,
        along_axis=None if first.place.geometry is None else runs_along_axis(first.place.geometry),
        modality=MODALITY_CLASSES.get(unit.modality),
        is_cine=_is_recording(unit),
        is_volume=unit.kind == StackKind.VOLUME and unit.status not in _NOT_BEHIND_EACH_OTHER,
        are_slices=first.place.geometry is not None,
        reports=tuple(ask_for_report(dict(unit.report), what=what)) if unit.report else (),
        report_on_slices=unit.modality in PROJECTIONS,
        warnings=unit.warnings,
    )


def _is_recording(unit: StackUnit) -> bool:
    """Whether slices follow each other in time; frames of one file do only where the header says how quickly."""
    timed = unit.slices[0].facts.frame_time_ms is not None
    return unit.kind == StackKind.TIME or (unit.kind == StackKind.FRAMES and timed)


def _take_out(unit: VideoUnit) -> Reject:
    """Write the bitstream of a video, byte for byte."""
    with FileReader() as files, quiet_pydicom():
        content, suffix = extract_video(dcmread(io.BytesIO(files.read(unit.file)), force=True))
    name = unit.source.replace("/", "-") + suffix
    write_atomically(Path(unit.folder) / name, content)
    return Reject(
        unit.name,
        "convert",
        "video-extracted",
        f"its bitstream is the file {name} in --videos; it makes no sample",
        "Convert its frames with a tool for videos",
        Severity.SKIPPED,
    )
