"""Files that hold the same instance, and series that two patients share."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from domainvl.errors import ItemError

from ..instance import Instance
from .leaving_out import LeftOut
from .reading import FileReader

DUPLICATE = LeftOut(
    "duplicate-instance",
    "another file holds an instance of the same SOPInstanceUID; the largest file was kept",
    "Remove one of them if it is the wrong one",
)

SERIES_OF_TWO_PATIENTS = LeftOut(
    "series-of-two-patients",
    "its images name several patients; each patient's images are converted as a series of their own",
    "If these are one person, give the images one PatientID: now the person may be in training and test data at once",
)


def without_repeats(instances: Iterable[Instance], reader: FileReader) -> tuple[list[Instance], list[Instance]]:
    """Keep one file of each instance of a patient's series.

    The largest is kept, which is the least likely to have been cut off; of equally large ones the same one whatever
    they are called.

    Returns:
        Those that are kept, and the others.
    """
    by_uid: dict[tuple[object, ...], list[Instance]] = {}
    for instance in instances:
        key = (instance.patient, instance.study_uid, instance.series_uid, instance.sop_uid)
        by_uid.setdefault(key, []).append(instance)
    kept: list[Instance] = []
    repeated: list[Instance] = []
    for same in by_uid.values():
        best = same[0]
        if len(same) > 1:
            size_bytes = max(instance.size_bytes for instance in same)
            largest = [instance for instance in same if instance.size_bytes == size_bytes]
            best = min(largest, key=lambda instance: content_hash(instance, reader)) if len(largest) > 1 else largest[0]
        kept.append(best)
        repeated += [instance for instance in same if instance is not best]
    return kept, repeated


def content_hash(instance: Instance, reader: FileReader) -> str:
    """Return the SHA-256 of an instance's bytes, unpacked; empty where they cannot be read any more."""
    try:
        return hashlib.sha256(reader.read(instance.file)).hexdigest()
    except ItemError:
        return ""


def series_of_two_patients(instances: Collection[Instance]) -> list[Instance]:
    """Return an instance of each patient of each series that names several, in a fixed order."""
    by_series: dict[str, dict[tuple[str, ...], Instance]] = {}
    for instance in instances:
        if instance.series_uid:
            by_series.setdefault(instance.series_uid, {}).setdefault(instance.patient, instance)
    shared = [patients for patients in by_series.values() if len(patients) > 1]
    return sorted(
        (one for patients in shared for one in patients.values()), key=lambda one: (one.series_uid, one.patient)
    )
