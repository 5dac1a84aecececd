"""What the header pass keeps of a file. It holds identifiers and never leaves the plan."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from ..medical.geometry import Geometry


@dataclass(frozen=True, order=True)
class FileRef:
    """Where the bytes of one DICOM file are.

    Attributes:
        path: A file of this machine.
        member: Name inside ``path`` where that is an archive; empty for a plain file.
    """

    path: Path
    member: str = ""


class Kind(enum.StrEnum):
    """What an object is to the converter."""

    IMAGE = "image"
    VIDEO = "video"
    SEGMENTATION = "segmentation"
    STRUCTURE_SET = "structure-set"
    STRUCTURED_REPORT = "structured-report"
    KEY_OBJECTS = "key-objects"


@dataclass(frozen=True)
class FrameFacts:
    """Where one frame lies, and what tells it from others of its series.

    Attributes:
        geometry: Its place in the patient, if the header says so.
        group: What must be equal within a stack besides orientation, size and spacing: image type, echo, b-value,
            acquisition, temporal position; each as text, empty where it is not given.
        order: Numbers that order frames at one place, such as dimension indices; compared after the place.
    """

    geometry: Geometry | None
    group: tuple[str, ...] = ()
    order: tuple[float, ...] = ()


@dataclass(frozen=True)
class ImageFacts:
    """What a table of series says about an image.

    Attributes:
        modality: Code such as ``"CT"``.
        body_part: BodyPartExamined, as the header has it.
        rows: Rows of pixels.
        columns: Columns of pixels.
        spacing_mm: Distance between rows (y) and between columns (x); None where the header says neither.
        image_type: Values of ImageType.
        photometric: PhotometricInterpretation.
        transfer_syntax: UID.
        bits_stored: BitsStored; None where the header does not say.
        windows: Windows of the file as ``center/width``, in its order.
        presentation_intent: PresentationIntentType.
        laterality: ImageLaterality or Laterality.
        view_position: ViewPosition.
        frame_time_ms: Time between frames of a cine; None for others.
    """

    modality: str
    body_part: str
    rows: int
    columns: int
    spacing_mm: tuple[float, float] | None
    image_type: tuple[str, ...]
    photometric: str
    transfer_syntax: str
    bits_stored: int | None = None
    windows: tuple[str, ...] = ()
    presentation_intent: str = ""
    laterality: str = ""
    view_position: str = ""
    frame_time_ms: float | None = None


@dataclass(frozen=True)
class References:
    """What an annotation is about.

    Attributes:
        series_uids: Series that it names.
        sop_uids: Instances that it names.
    """

    series_uids: frozenset[str] = frozenset()
    sop_uids: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Risk:
    """Why the pixels of an image may show who the patient is.

    Attributes:
        reason: A stable code to count by, such as ``"burnt-in"``.
        message: What the header says, without quoting what may name a person.
    """

    reason: str
    message: str


@dataclass(frozen=True)
class Instance:
    """One DICOM object.

    Attributes:
        file: Where it is.
        kind: What it is.
        sop_uid: SOPInstanceUID; ``"sha256:..."`` of the file where there is none.
        study_uid: StudyInstanceUID, or empty.
        series_uid: SeriesInstanceUID, or empty.
        patient: What identifies the patient, else the study, else series or file; the first value says which.
        frame_of_reference_uid: FrameOfReferenceUID, or empty.
        accession_number: AccessionNumber, or empty.
        study_date: StudyDate as ``YYYYMMDD``, or empty.
        instance_number: InstanceNumber.
        size_bytes: Size of the file, unpacked.
        patient_name: PatientName, or empty.
        facts: For images.
        frames: For images, one a frame.
        references: For annotations.
        risk: For images whose header suggests text in the pixels.
        face_risk: Whether the pixels may show a face (head CT or MR).
    """

    file: FileRef
    kind: Kind
    sop_uid: str
    study_uid: str
    series_uid: str
    patient: tuple[str, ...]
    frame_of_reference_uid: str = ""
    accession_number: str = ""
    study_date: str = ""
    instance_number: float | None = None
    size_bytes: int = 0
    patient_name: str = ""
    facts: ImageFacts | None = None
    frames: tuple[FrameFacts, ...] = ()
    references: References = References()
    risk: Risk | None = None
    face_risk: bool = False
