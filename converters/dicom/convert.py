"""One stack to samples: render each slice, ask what its header and its findings allow to be answered."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset, FileDataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from domainvl.conversion import UnitResult
from domainvl.errors import ItemError
from domainvl.schema.images import ImageStore
from domainvl.schema.questions import Question, ask_about_objects, samples_from_questions
from domainvl.schema.sample import Provenance, Sample, Source, Task, TextAnswer
from domainvl.schema.writer import Reject, Severity

from .geometry import Geometry, geometry_of, is_stored_as_displayed, plane_of
from .headers import PARSE_ERRORS, frame_header, standard_name, text_of, transfer_syntax, value_of
from .labels import to_objects
from .pixels import Rendered, decode_frame, render, spacing_details
from .plan import SliceRef, StackUnit
from .settings import DicomSettings

DOMAIN = "medical"

MODALITY_CLASSES = {
    "CT": "CT",
    "MR": "MR",
    "CR": "radiograph",
    "DX": "radiograph",
    "PX": "radiograph",
    "IO": "radiograph",
    "MG": "mammogram",
    "US": "ultrasound",
    "IVUS": "ultrasound",
    "PT": "PET",
    "NM": "scintigram",
    "XA": "fluoroscopy",
    "RF": "fluoroscopy",
    "ES": "endoscopy",
    "SM": "microscopy",
    "GM": "microscopy",
    "OP": "fundus photograph",
    "OPT": "OCT",
}
"""Readable classes of Modality codes (PS3.3 C.7.3.1.1.1); other codes, such as OT, are not asked about."""

MODALITY_QUESTION = (
    f"Classify the image within one of the given classes: {', '.join(dict.fromkeys(MODALITY_CLASSES.values()))}."
)
PLANE_QUESTION = "Which plane does this image show?"
CROSS_SECTIONAL = ("CT", "MR", "PT")


@dataclass(frozen=True)
class _LoadedFile:
    path: Path
    dataset: FileDataset
    sha256: str
    size_bytes: int


def convert_stack(
    unit: StackUnit, settings: DicomSettings, *, images: ImageStore, provenance: Provenance
) -> UnitResult:
    """Convert the slices of one stack; one that fails leaves the others as they are.

    Args:
        unit: The stack.
        settings: The converter's settings.
        images: Where pixels go.
        provenance: What makes the samples.
    """
    samples: list[Sample] = []
    rejects: list[Reject] = []
    loaded: _LoadedFile | None = None
    for thing in unit.slices:
        name = f"{unit.series_name}/{thing.index:04d}"
        try:
            # Frames of one file follow each other, so that it is read once.
            if loaded is None or loaded.path != thing.path:
                loaded = _load(thing.path)
            found, left_out = _convert_slice(unit, thing, loaded, settings, images=images, provenance=provenance)
        except ItemError as error:
            rejects.append(Reject(name, "convert", error.reason, str(error), error.action))
            continue
        samples += found
        rejects += left_out
        if not found:
            rejects.append(
                Reject(
                    name,
                    "convert",
                    "no-question",
                    "neither its modality nor a table of findings gives a question",
                    "Name a table that lists it with --labels",
                    Severity.SKIPPED,
                )
            )
    return UnitResult(samples, rejects)


def _load(path: Path) -> _LoadedFile:
    try:
        content = path.read_bytes()
        dataset = dcmread(io.BytesIO(content))
    except (InvalidDicomError, *PARSE_ERRORS) as error:
        raise ItemError(
            "Cannot read a DICOM file",
            reason="read",
            rule=f"it could be read when the headers were, and now cannot ({type(error).__name__})",
            action="Fetch the file again; it may have been cut off",
        ) from error
    return _LoadedFile(path, dataset, hashlib.sha256(content).hexdigest(), len(content))


def _convert_slice(
    unit: StackUnit,
    thing: SliceRef,
    loaded: _LoadedFile,
    settings: DicomSettings,
    *,
    images: ImageStore,
    provenance: Provenance,
) -> tuple[list[Sample], tuple[Reject, ...]]:
    header = frame_header(loaded.dataset, thing.frame)
    stored = decode_frame(loaded.dataset, thing.frame)
    rendered = render(header, stored, settings.window)
    height_px, width_px = rendered.pixels.shape[:2]
    objects, rejects = to_objects(thing.findings or (), width_px, height_px)
    geometry = geometry_of(header)
    plane = _plane(header, geometry)
    name = f"{unit.series_name}/{thing.index:04d}"
    questions: list[Question] = []
    if thing.asks_header:
        questions += _header_questions(header, plane)
    if thing.findings is not None:
        questions += ask_about_objects(objects, unit.classes, key=name)
    if not questions:
        return [], rejects
    spacing, not_square = spacing_details(header)
    details = _details(header, rendered, thing) | spacing
    source = Source(uri=thing.source, sha256=loaded.sha256, size_bytes=loaded.size_bytes, details=details)
    samples = samples_from_questions(
        questions,
        id_prefix=name,
        domain=DOMAIN,
        images=(images.put_pixels(rendered.pixels).to_image(source),),
        objects=objects,
        group=unit.patient,
        provenance=provenance,
        warnings=(*rendered.warnings, *_warnings(header, geometry, plane, not_square), *thing.warnings),
    )
    return list(samples), rejects


def _details(header: Dataset, rendered: Rendered, thing: SliceRef) -> dict[str, Any]:
    """Collect technical facts; of free text, only terms that the standard defines."""
    modality = text_of(header, "Modality")
    details: dict[str, Any] = {
        "modality": modality if modality in MODALITY_CLASSES else "other",
        "photometric_interpretation": text_of(header, "PhotometricInterpretation"),
        "transfer_syntax": standard_name(transfer_syntax(header) or UID(""), "private"),
        "rows": int(rendered.pixels.shape[0]),
        "columns": int(rendered.pixels.shape[1]),
        "slice_index": thing.index,
        **rendered.details,
    }
    if thing.spacing_mm is not None:
        details["spacing_between_slices_mm"] = round(thing.spacing_mm, 4)
    if thing.frame_count > 1:
        details |= {"frame": thing.frame + 1, "frame_count": thing.frame_count}
    return details


def _warnings(header: Dataset, geometry: Geometry | None, plane: str | None, not_square: str | None) -> Iterator[str]:
    if not_square is not None:
        yield not_square
    if plane is not None and geometry is not None and not is_stored_as_displayed(geometry, plane):
        yield f"rows and columns run otherwise than in the customary display of this plane ({plane}): not flipped"
    if text_of(header, "BurnedInAnnotation") == "YES":
        yield "the header says that text is burnt into the pixels; it may name a person"


def _plane(header: Dataset, geometry: Geometry | None) -> str | None:
    """Name the plane of a cross-sectional image; None where there is none to name."""
    modality = text_of(header, "Modality")
    if modality not in CROSS_SECTIONAL or geometry is None:
        return None
    if text_of(header, "AnatomicalOrientationType") == "QUADRUPED":
        return None
    image_type = [str(term) for term in value_of(header, "ImageType") or ()]
    # A CT localizer (PS3.3 C.8.2.1.1.1) is a projection through the whole body, and so is a PROJECTION IMAGE.
    if (modality == "CT" and "LOCALIZER" in image_type) or "PROJECTION IMAGE" in image_type:
        return None
    return plane_of(geometry)


def _header_questions(header: Dataset, plane: str | None) -> Iterator[Question]:
    modality = MODALITY_CLASSES.get(text_of(header, "Modality"))
    if modality is not None:
        yield Question("modality", Task.CLASSIFICATION, MODALITY_QUESTION, TextAnswer(text=modality))
    if plane is not None:
        yield Question("plane", Task.VQA, PLANE_QUESTION, TextAnswer(text=plane))
