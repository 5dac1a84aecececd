"""What an input holds, from headers alone: the base of the plan and of a look before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from domainvl.errors import NothingToDoError
from domainvl.schema.writer import Reject, Severity

from .inputs.files import find_files
from .inputs.header_pass import HeaderPass, read_headers
from .instance import FileRef, Instance, Kind
from .privacy.identifiers import Identifier
from .privacy.pseudonyms import Pseudonyms
from .series import Stack, stacks_of
from .settings import DicomSettings

_ANNOTATIONS = (Kind.SEGMENTATION, Kind.STRUCTURE_SET, Kind.STRUCTURED_REPORT, Kind.KEY_OBJECTS)
_FOR_PROCESSING = "FOR PROCESSING"


@dataclass(frozen=True)
class Series:
    """The images of one series.

    Attributes:
        instances: All of its images, those that are left out too.
        stacks: The stacks of those that are converted.
    """

    instances: tuple[Instance, ...]
    stacks: tuple[Stack, ...]

    @property
    def first(self) -> Instance:
        """An image of it, for what all of them share."""
        return self.instances[0]

    def quarantined_count(self, settings: DicomSettings) -> int:
        """Count the images that are left out because their headers suspect text in the pixels."""
        return sum(instance.risk is not None for instance in self.instances) if settings.burnt_in == "quarantine" else 0


@dataclass(frozen=True)
class Survey:
    """What lies in an input.

    Attributes:
        file_count: Number of files that were looked at.
        series: Its series, sorted by pseudonym.
        annotations: Segmentations, contours, structured reports and key objects.
        videos: Files whose pixels are a video.
        identifiers: Text that names people, by StudyInstanceUID, where it was asked for.
        left_out_files: Which files the names of rejects stand for.
        rejects: What is left out.
        notes: What concerns the whole.
    """

    file_count: int
    series: tuple[Series, ...]
    annotations: tuple[Instance, ...]
    videos: tuple[Instance, ...]
    identifiers: Mapping[str, tuple[Identifier, ...]]
    left_out_files: Mapping[str, tuple[FileRef, ...]]
    rejects: tuple[Reject, ...]
    notes: tuple[str, ...]


def survey_input(source: Path, settings: DicomSettings, pseudonyms: Pseudonyms) -> Survey:
    """Read all headers of an input.

    Raises:
        NothingToDoError: If there is no file, or none that holds an image.
    """
    settings_files = (settings.deid_key, settings.labels, settings.reports, settings.reid_map, settings.exclude_hashes)
    leave_out = [path for path in settings_files if path is not None]
    limit_bytes = int(settings.unpack_limit_gb * 1e9)
    files = find_files(source, leave_out, unpack_limit_bytes=limit_bytes, pseudonyms=pseudonyms)
    headers = read_headers(
        files.refs,
        collect_identifiers=settings.reports is not None or settings.reid_map is not None,
        pseudonyms=pseudonyms,
    )
    rejects = [*files.rejects, *headers.rejects]
    images = [instance for instance in headers.instances if instance.kind is Kind.IMAGE]
    videos = [instance for instance in headers.instances if instance.kind is Kind.VIDEO]
    if not images and not videos:
        raise _no_image(source, len(files.refs), rejects)
    kept = []
    for instance in images:
        left_out = why_left_out(instance, settings)
        if left_out is None:
            kept.append(instance)
        else:
            rejects.append(Reject(instance_name(instance, pseudonyms), "plan", *left_out))
    return Survey(
        file_count=len(files.refs),
        series=tuple(_series(images, kept, pseudonyms)),
        annotations=tuple(instance for instance in headers.instances if instance.kind in _ANNOTATIONS),
        videos=tuple(videos),
        identifiers=headers.identifiers,
        left_out_files={**files.files, **headers.files},
        rejects=tuple(rejects),
        notes=tuple(_notes(kept, headers)),
    )


def why_left_out(instance: Instance, settings: DicomSettings) -> tuple[str, str, str, Severity] | None:
    """Say why an image is not converted: reason, message, action and severity; None where it is."""
    if instance.risk is not None and settings.burnt_in == "quarantine":
        action = "Look at it; if it names nobody, convert it with --burnt-in allow"
        return instance.risk.reason, instance.risk.message, action, Severity.SKIPPED
    if instance.facts is not None and instance.facts.presentation_intent == _FOR_PROCESSING:
        if settings.for_processing == "skip":
            message = "its values are those of the detector (PresentationIntentType FOR PROCESSING), not for the eye"
            return (
                "for-processing",
                message,
                "Use the FOR PRESENTATION images, or --for-processing convert",
                (Severity.SKIPPED),
            )
    return None


def instance_name(instance: Instance, pseudonyms: Pseudonyms) -> str:
    """Name an instance without identifiers, as its source is named in samples."""
    return f"{series_name(instance, pseudonyms)}/{pseudonyms.of('instance', instance.sop_uid)}"


def series_name(instance: Instance, pseudonyms: Pseudonyms) -> str:
    """Name the series of an instance without identifiers, with its patient."""
    patient = pseudonyms.of(*instance.patient)
    return f"{patient}/{pseudonyms.of('series', *series_key(instance))}"


def study_name(instance: Instance, pseudonyms: Pseudonyms) -> str:
    """Name the study of an instance without identifiers, with its patient: two patients share none."""
    return f"{pseudonyms.of(*instance.patient)}/{pseudonyms.of('study', instance.study_uid or instance.sop_uid)}"


def series_key(instance: Instance) -> tuple[str, ...]:
    """Return what identifies the series of an instance; one without UIDs is a series of its own."""
    if instance.study_uid or instance.series_uid:
        return instance.study_uid, instance.series_uid
    return instance.study_uid, instance.series_uid, instance.sop_uid


def _series(images: Sequence[Instance], kept: Sequence[Instance], pseudonyms: Pseudonyms) -> list[Series]:
    by_name: dict[str, list[Instance]] = {}
    for instance in images:
        by_name.setdefault(series_name(instance, pseudonyms), []).append(instance)
    stacks: dict[str, list[Stack]] = {}
    for stack in stacks_of(kept):
        stacks.setdefault(series_name(stack.slices[0].instance, pseudonyms), []).append(stack)
    return [Series(tuple(by_name[name]), tuple(stacks.get(name, ()))) for name in sorted(by_name)]


def _notes(kept: Sequence[Instance], headers: HeaderPass) -> list[str]:
    faces = {instance.patient for instance in kept if instance.face_risk}
    if not faces:
        return []
    return [
        f"the heads of {len(faces)} patients are shown: a face can be recognised from CT or MR of the head; "
        "--blur-faces blurs it"
    ]


def _no_image(source: Path, file_count: int, rejects: Sequence[Reject]) -> NothingToDoError:
    counts = Counter(reject.reason for reject in rejects)
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    return NothingToDoError(
        "There is no DICOM image",
        where=source,
        rule=f"{file_count} files were looked at" + (f": {reasons}" if reasons else ""),
        action="Name a folder or an archive with DICOM files",
    )
