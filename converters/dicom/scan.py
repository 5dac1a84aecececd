"""The header pass: which files are images, which instance each holds, and what was left out and why."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from domainvl.files import hash_file
from domainvl.schema.writer import Reject, Severity

from .deid import Pseudonyms
from .geometry import Geometry, geometry_of
from .headers import (
    GEOMETRY_TAGS,
    PARSE_ERRORS,
    PLAN_TAGS,
    frame_count,
    frame_header,
    number_of,
    standard_name,
    text_of,
)

_log = logging.getLogger(__name__)

NOT_IMAGERY = {
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.30": "Parametric Map Storage",
    "1.2.840.10008.5.1.4.1.1.481.2": "RT Dose Storage",
}
"""SOP classes (PS3.4 B.5) that have pixels and show labels or computed quantities, not an examination."""


@dataclass(frozen=True)
class Instance:
    """One image file, with identifiers that must not leave the plan.

    Attributes:
        path: The file.
        sha256: Hash of the file where it was needed to tell files apart, else empty.
        patient: What identifies the patient, else the study, else the series or file.
        series: What identifies the series.
        sop_uid: SOPInstanceUID, or the file's hash where there is none.
        instance_number: InstanceNumber.
        frames: Where each frame lies.
    """

    path: Path
    sha256: str
    patient: tuple[str, ...]
    series: tuple[str, ...]
    sop_uid: str
    instance_number: float | None
    frames: tuple[Geometry | None, ...]


def files_below(source: Path, leave_out: Collection[Path]) -> list[Path]:
    """List all files at or below ``source``, sorted, less those that are settings and no input."""
    candidates = [source] if source.is_file() else sorted(source.rglob("*"))
    excluded = {path.resolve() for path in leave_out}
    return [path for path in candidates if path.is_file() and path.resolve() not in excluded]


def scan(files: Collection[Path], pseudonyms: Pseudonyms) -> tuple[list[Instance], list[Reject]]:
    """Read the header of each file.

    Returns:
        The image instances and the files that were left out, in no particular order.
    """
    instances: list[Instance] = []
    rejects: list[Reject] = []
    for path in files:
        outcome = _read(path)
        if isinstance(outcome, Instance):
            instances.append(outcome)
        else:
            rejects.append(_reject(path, outcome, pseudonyms))
    kept, repeated = _without_repeats(instances)
    again = _LeftOut(
        "duplicate-instance",
        "another file holds an instance of the same SOPInstanceUID; the largest file was kept",
        "Remove one of them if it is the wrong one",
    )
    rejects += [_reject(instance.path, again, pseudonyms) for instance in repeated]
    return kept, rejects


@dataclass(frozen=True)
class _LeftOut:
    """Why a file is no input; says nothing that the file's header or name says."""

    reason: str
    message: str
    action: str | None = None
    severity: Severity = Severity.SKIPPED


def _reject(path: Path, why: _LeftOut, pseudonyms: Pseudonyms) -> Reject:
    try:
        content = hash_file(path)
    except OSError:
        content = str(path)
    name = f"file-{pseudonyms.of('file', content)}"
    # Only the local log joins the two: the name of the file may be the name of a person.
    _log.info("%s is %s (%s)", name, path, why.reason)
    return Reject(name, "plan", why.reason, why.message, why.action, why.severity)


def _read(path: Path) -> Instance | _LeftOut:
    try:
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=list(PLAN_TAGS))
    except InvalidDicomError:
        return _LeftOut("not-dicom", "the file has no DICM prefix after its preamble (PS3.10 7.1)")
    except PARSE_ERRORS as error:
        return _LeftOut(
            "header",
            f"the header could not be read ({type(error).__name__})",
            "Fetch the file again; it may have been cut off",
            Severity.FAILED,
        )
    left_out = _why_no_image(dataset)
    if left_out is not None:
        return left_out
    sop_uid = text_of(dataset, "SOPInstanceUID")
    sha256 = "" if sop_uid else hash_file(path)
    sop_uid = sop_uid or f"sha256:{sha256}"
    study, series = text_of(dataset, "StudyInstanceUID"), text_of(dataset, "SeriesInstanceUID")
    patient = text_of(dataset, "PatientID")
    if patient:
        identity: tuple[str, ...] = ("patient", text_of(dataset, "IssuerOfPatientID"), patient)
    else:
        identity = ("study", study) if study else ("series", series) if series else ("instance", sop_uid)
    return Instance(
        path=path,
        sha256=sha256,
        patient=identity,
        series=(study, series) if study or series else (study, series, sop_uid),
        sop_uid=sop_uid,
        instance_number=number_of(dataset, "InstanceNumber"),
        frames=tuple(geometry_of(frame_header(dataset, frame, GEOMETRY_TAGS)) for frame in range(frame_count(dataset))),
    )


def _why_no_image(dataset: Dataset) -> _LeftOut | None:
    uid = text_of(dataset, "SOPClassUID")
    if uid in NOT_IMAGERY:
        return _LeftOut("no-imagery", f"{NOT_IMAGERY[uid]} shows labels or computed quantities, no examination")
    if number_of(dataset, "Rows") and number_of(dataset, "Columns"):
        return None
    if not uid and hasattr(dataset, "file_meta"):
        uid = text_of(dataset.file_meta, "MediaStorageSOPClassUID")
    name = standard_name(UID(uid), "an object of a private class") if uid else "an object without a class"
    return _LeftOut("no-image", f"{name} without rows and columns holds no image")


def _without_repeats(instances: list[Instance]) -> tuple[list[Instance], list[Instance]]:
    by_uid: dict[tuple[str, ...], list[Instance]] = {}
    for instance in instances:
        by_uid.setdefault((*instance.patient, *instance.series, instance.sop_uid), []).append(instance)
    kept: list[Instance] = []
    repeated: list[Instance] = []
    for same in by_uid.values():
        if len(same) > 1:
            # The largest file is the least likely to have been cut off.
            same = sorted(same, key=lambda instance: (-instance.path.stat().st_size, hash_file(instance.path)))
        kept.append(same[0])
        repeated += same[1:]
    return kept, repeated


def series_of(instances: Collection[Instance]) -> Iterator[list[Instance]]:
    """Group instances by patient and series; neither the order of groups nor that within them means anything."""
    groups: dict[tuple[str, ...], list[Instance]] = {}
    for instance in instances:
        groups.setdefault((*instance.patient, *instance.series), []).append(instance)
    yield from groups.values()
