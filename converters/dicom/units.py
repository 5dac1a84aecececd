"""The units of work: a stack of slices, or a file that is a video. They hold identifiers and are never written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..medical.findings import SliceTruth
from .annotations.places import SlicePlace
from .instance import FileRef, ImageFacts, Kind


@dataclass(frozen=True)
class SliceRef:
    """One slice to convert: a file, or a frame of it.

    Attributes:
        file: The file.
        source: Its pseudonymous name.
        frame: Index of the frame.
        frame_count: Number of frames in the file.
        index: Place in the series, stack by stack in geometric order, from 0.
        position_mm: Its place along the normal of its stack; None without geometry.
        place: Where it lies, for annotations.
        facts: What its header says.
        suspected: Whether its header suggests text in the pixels.
        truth: What the table of labels says; None where it does not list the slice.
    """

    file: FileRef
    source: str
    frame: int
    frame_count: int
    index: int
    position_mm: float | None
    place: SlicePlace
    facts: ImageFacts
    suspected: bool = False
    truth: SliceTruth | None = None


@dataclass(frozen=True)
class AnnotationRef:
    """An object that says something about slices.

    Attributes:
        file: The file.
        kind: What it is.
        name: Names it within its series, such as ``"seg-1"``.
        source: Its pseudonymous name.
        is_reported_here: Whether this unit lists what of it cannot be used; of the stacks that it is about, one does.
        elsewhere: The slices of the other stacks that it is about, in the unit that lists what lies on none.
    """

    file: FileRef
    kind: Kind
    name: str
    source: str
    is_reported_here: bool = True
    elsewhere: tuple[SlicePlace, ...] = ()


@dataclass(frozen=True)
class StackUnit:
    """Slices that lie behind each other.

    Attributes:
        patient: Pseudonym of the patient; the group that is never divided.
        series: Pseudonym of the series, which may have several stacks.
        slices: In geometric order.
        annotations: What says something about them.
        study: Name of its study, without identifiers.
        modality: Code, as the header has it.
        kind: What the slices are to each other, a :class:`~.series.StackKind`.
        status: How evenly they follow each other, a :class:`~..medical.regularity.Status`.
        spacing_mm: Distance of neighbours along the normal; None where there is none.
        tilt_deg: Angle between the way from slice to slice and their normal.
        split_by: What divides its series into stacks.
        warnings: What is irregular about it.
        report: Section and text of the report about its study, where this stack is the one to show it.
        report_replacements: What was taken out of that text, by kind.
        source_key: Key under which the hashes of its files are written.
        quarantined_count: Images of its series that were left out because of their headers; said of its first stack.
        study_date: Date of the study, moved; None where dates are left out.
        shows_face: Whether the pixels may show a face.
    """

    patient: str
    series: str
    slices: tuple[SliceRef, ...]
    annotations: tuple[AnnotationRef, ...]
    study: str
    modality: str
    kind: str
    status: str
    spacing_mm: float | None
    tilt_deg: float
    split_by: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    report: tuple[tuple[str, str], ...] = ()
    report_replacements: tuple[tuple[str, int], ...] = ()
    source_key: bytes = b""
    quarantined_count: int = 0
    study_date: str | None = None
    shows_face: bool = False

    @property
    def series_name(self) -> str:
        """Name of the series, without identifiers; the start of its samples' ids."""
        return f"{self.patient}/{self.series}"

    @property
    def name(self) -> str:
        """Name of the stack, without identifiers, by its slices in the series."""
        return f"{self.series_name}/{self.slices[0].index:04d}-{self.slices[-1].index:04d}"

    @property
    def files(self) -> set[Path]:
        """The files of this machine that it is read from."""
        refs = [*(thing.file for thing in self.slices), *(thing.file for thing in self.annotations)]
        return {file.path for file in refs}


@dataclass(frozen=True)
class VideoUnit:
    """A file whose pixels are a video, which is taken out as it is.

    Attributes:
        file: The file.
        source: Its pseudonymous name.
        folder: Where its bitstream goes; another folder makes it another unit.
    """

    file: FileRef
    source: str
    folder: str

    @property
    def name(self) -> str:
        """Name of the file, without identifiers."""
        return self.source

    @property
    def files(self) -> set[Path]:
        """The file of this machine that it is read from."""
        return {self.file.path}
