"""Whose a file is, and by which name it may be mentioned: paths can name patients and are never written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from domainvl.errors import UsageError

from ..dicom.privacy.pseudonyms import Pseudonyms
from .files import NiftiFile
from .pairing import case_of

_BIDS_SUBJECT = re.compile(r"(?:^|[/_])sub-([A-Za-z0-9+]+)(?=[/_.]|$)")
"""An entity of BIDS 1.10 ("Filenames", ``sub-<label>``)."""

_NOBODY = re.compile(
    r"(images?|imgs?|volumes?|vols?|scans?|niftis?|nii|data|raw|source|train(ing)?|test(ing)?|val(idation)?|dev|"
    r"ct|mri?|pet|pt|anat|func|dwi|perf|images?(Tr|Ts|Val|Va)|fold[-_]?\d*)",
    flags=re.IGNORECASE,
)
"""Names of folders that divide a data set and name no patient, such as those of the Medical Segmentation Decathlon."""

BY_EXPRESSION = "--patient-from"
BY_BIDS, BY_FOLDER, BY_FILE = "sub-XXX in the path", "the uppermost folder", "the name of the file"


@dataclass(frozen=True)
class Patient:
    """Whose a file is.

    Attributes:
        identifier: What identifies the patient; it may be a name.
        told_by: What of the path it was taken from.
    """

    identifier: str
    told_by: str


@dataclass(frozen=True)
class Named:
    """The names of a file.

    Attributes:
        patient: Pseudonym of its patient.
        source: Its own pseudonym, with that of its patient.
    """

    patient: str
    source: str


def parse_expression(text: str | None) -> re.Pattern[str] | None:
    """Read the setting ``patient_from``.

    Raises:
        UsageError: If it is no regular expression with exactly one group.
    """
    if text is None:
        return None
    try:
        expression = re.compile(text)
    except re.error as error:
        raise UsageError("Cannot use --patient-from", rule=f"it is no regular expression: {error}") from error
    if expression.groups != 1:
        raise UsageError(
            "Cannot use --patient-from",
            rule=f"it must have one group, which finds the patient, got {expression.groups}",
            action="For instance: --patient-from '^([^/_]+)_'",
        )
    return expression


def patient_of(file: NiftiFile, expression: re.Pattern[str] | None) -> Patient | None:
    """Tell whose a file is by its path; None where an expression that was given finds nothing.

    Args:
        file: The file.
        expression: See :func:`parse_expression`. Without one: ``sub-XXX`` as BIDS has it, else the uppermost folder
            that is no usual division of a data set, else the name of the file without its contrast or channel.
    """
    if expression is not None:
        match = expression.search(file.relative)
        found = "" if match is None else (match[1] or "")
        return Patient(found, BY_EXPRESSION) if found else None
    subject = _BIDS_SUBJECT.search(file.relative)
    if subject is not None:
        return Patient(subject[1], BY_BIDS)
    for folder in file.relative.split("/")[:-1]:
        if not _NOBODY.fullmatch(folder):
            return Patient(folder, BY_FOLDER)
    return Patient(case_of(file.stem), BY_FILE)


def name_files(patients: Sequence[tuple[NiftiFile, Patient]], pseudonyms: Pseudonyms | None) -> dict[NiftiFile, Named]:
    """Give each file its names.

    Args:
        patients: All files and whose they are.
        pseudonyms: With them, names are keyed hashes, the same in every run with that key. Without, patients are
            numbered from 1 in the order of what identifies them, and the files of each in the order of their paths.
    """
    if pseudonyms is not None:
        found = {}
        for file, patient in patients:
            name = pseudonyms.of("patient", patient.identifier)
            found[file] = Named(name, f"{name}/{pseudonyms.of('file', file.relative)}")
        return found
    numbers = {name: number for number, name in enumerate(sorted({patient.identifier for _, patient in patients}), 1)}
    counts: dict[str, int] = {}
    result = {}
    for file, patient in sorted(patients, key=lambda entry: entry[0]):
        counts[patient.identifier] = counts.get(patient.identifier, 0) + 1
        name = f"patient-{numbers[patient.identifier]:04d}"
        result[file] = Named(name, f"{name}/file-{counts[patient.identifier]:04d}")
    return result
