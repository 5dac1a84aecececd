"""The header pass: which object each file holds, and what is left out and why. No pixels are read."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from pydicom import Dataset, FileDataset

from domainvl.errors import ItemError
from domainvl.files import hash_file
from domainvl.schema.writer import Reject, Severity

from ..annotations.references import references_of
from ..frames import check_frame_count, frames_of
from ..headers import number_of, text_of
from ..instance import FileRef, Instance, Kind
from ..privacy.burnt_in import risk_of
from ..privacy.face import face_risk_of
from ..privacy.identifiers import Identifier, identifiers_of
from ..privacy.pseudonyms import Pseudonyms
from .content import HEAD_BYTES as CONTENT_BYTES
from .content import Content, content_of
from .deflated import largest_size
from .facts import image_facts
from .kinds import kind_of
from .leaving_out import Leavings, LeftOut
from .parsing import HEAD_BYTES, HEADER_ERRORS, parse_bytes, parse_header
from .quiet import quiet_pydicom
from .reading import FileReader
from .repeats import DUPLICATE, SERIES_OF_TWO_PATIENTS, content_hash, series_of_two_patients, without_repeats

_DATE = re.compile(r"\d{8}")


@dataclass(frozen=True)
class HeaderPass:
    """What the files of a source hold.

    Attributes:
        instances: Images, videos and annotations, one an instance of a patient's series.
        rejects: What was left out.
        identifiers: What names people, by StudyInstanceUID, where it was asked for.
        files: Which files the names of rejects stand for; they may name people.
    """

    instances: list[Instance]
    rejects: list[Reject]
    identifiers: Mapping[str, tuple[Identifier, ...]]
    files: Mapping[str, tuple[FileRef, ...]]


def read_headers(refs: Collection[FileRef], *, collect_identifiers: bool, pseudonyms: Pseudonyms) -> HeaderPass:
    """Read the header of each file.

    A series whose images name several patients becomes one series a patient, and is reported for each.

    Args:
        refs: The files, in the order in which their archives are best read.
        collect_identifiers: Gather what names people, which takes about as long again.
        pseudonyms: Gives names to what is left out.
    """
    work = _Work(pseudonyms, collect_identifiers)
    with FileReader() as reader, quiet_pydicom():
        for ref in refs:
            work.read(ref, reader)
        kept, repeated = without_repeats(work.instances, reader)
        for instance in repeated:
            work.leavings.add(instance.file, DUPLICATE, content=content_hash(instance, reader))
    for instance in series_of_two_patients(kept):
        name = f"{pseudonyms.of(*instance.patient)}/{pseudonyms.of('series', instance.study_uid, instance.series_uid)}"
        work.leavings.note(name, SERIES_OF_TWO_PATIENTS)
    return HeaderPass(
        instances=kept,
        rejects=work.leavings.rejects,
        identifiers={study: tuple(sorted(found)) for study, found in sorted(work.identifiers.items())},
        files=work.leavings.files,
    )


class _Work:
    """What was read so far."""

    def __init__(self, pseudonyms: Pseudonyms, collect_identifiers: bool) -> None:
        self.instances: list[Instance] = []
        self.leavings = Leavings(pseudonyms)
        self.identifiers: dict[str, set[Identifier]] = {}
        self._collect_identifiers = collect_identifiers

    def read(self, ref: FileRef, reader: FileReader) -> None:
        """Read one file."""
        try:
            if ref.member:
                self._read_packed(ref, reader)
                return
            with ref.path.open("rb") as file:
                head = file.read(HEAD_BYTES)
                content = content_of(head[:CONTENT_BYTES])
                if content is Content.DICOM:
                    self._take(ref, os.fstat(file.fileno()).st_size, None, lambda: parse_header(file, head))
                    return
            if content is Content.GZIP:
                self._read_packed(ref, reader)
            else:
                self.leavings.add(ref, _why_no_dicom(content, ref))
        except ItemError as error:
            self.leavings.add(ref, _left_out_for(error))
        except OSError as error:
            self.leavings.add(ref, _unreadable(error))

    def _read_packed(self, ref: FileRef, reader: FileReader) -> None:
        # What is no DICOM may be of any size, and only its head is unpacked.
        content = content_of(reader.head(ref)[:CONTENT_BYTES])
        if content is not Content.DICOM:
            self.leavings.add(ref, _why_no_dicom(content, ref, packed=True))
            return
        unpacked = reader.read(ref)
        sha256 = hashlib.sha256(unpacked).hexdigest()
        self._take(ref, len(unpacked), sha256, lambda: parse_bytes(unpacked))

    def _take(self, ref: FileRef, size_bytes: int, sha256: str | None, parse: Callable[[], FileDataset]) -> None:
        try:
            dataset = parse()
            if self._collect_identifiers:
                study = text_of(dataset, "StudyInstanceUID")
                self.identifiers.setdefault(study, set()).update(identifiers_of(dataset))
            outcome = _instance_of(dataset, ref, size_bytes)
        except ItemError as error:
            outcome = _left_out_for(error)
        except HEADER_ERRORS as error:
            outcome = _broken_header(error)
        if isinstance(outcome, LeftOut):
            self.leavings.add(ref, outcome, content=sha256)
        else:
            self.instances.append(outcome if outcome.sop_uid else _named_by_content(outcome, sha256))


def _named_by_content(instance: Instance, sha256: str | None) -> Instance:
    """Give an object without SOPInstanceUID a name that depends on nothing but its bytes."""
    sop_uid = f"sha256:{sha256 or hash_file(instance.file.path)}"
    patient = instance.patient if instance.patient[1:] != ("",) else (instance.patient[0], sop_uid)
    return replace(instance, sop_uid=sop_uid, patient=patient)


def _instance_of(dataset: FileDataset, ref: FileRef, size_bytes: int) -> Instance | LeftOut:
    kind = kind_of(dataset)
    if isinstance(kind, LeftOut):
        return kind
    has_pixels = kind in (Kind.IMAGE, Kind.VIDEO)
    study_uid, series_uid = text_of(dataset, "StudyInstanceUID"), text_of(dataset, "SeriesInstanceUID")
    sop_uid = text_of(dataset, "SOPInstanceUID")
    instance = Instance(
        file=ref,
        kind=kind,
        sop_uid=sop_uid,
        study_uid=study_uid,
        series_uid=series_uid,
        patient=_patient(dataset, study_uid, series_uid, sop_uid),
        patient_name=text_of(dataset, "PatientName"),
        frame_of_reference_uid=text_of(dataset, "FrameOfReferenceUID"),
        accession_number=text_of(dataset, "AccessionNumber"),
        study_date=_date(text_of(dataset, "StudyDate")),
        instance_number=number_of(dataset, "InstanceNumber"),
        size_bytes=size_bytes,
    )
    if not has_pixels:
        return replace(instance, references=references_of(dataset))
    if kind is Kind.IMAGE:
        check_frame_count(dataset, largest_size(dataset, size_bytes))
    return replace(
        instance,
        facts=image_facts(dataset),
        frames=frames_of(dataset) if kind is Kind.IMAGE else (),
        risk=risk_of(dataset),
        face_risk=face_risk_of(dataset),
    )


def _patient(dataset: Dataset, study_uid: str, series_uid: str, sop_uid: str) -> tuple[str, ...]:
    """Return what identifies the patient: PatientID with its issuer, else the next smaller thing that has a name."""
    patient_id = text_of(dataset, "PatientID")
    if patient_id:
        return "patient", text_of(dataset, "IssuerOfPatientID"), patient_id
    if study_uid:
        return "study", study_uid
    return ("series", series_uid) if series_uid else ("instance", sop_uid)


def _date(text: str) -> str:
    digits = text.replace(".", "")  # as ACR-NEMA wrote dates (PS3.5 6.2)
    return digits if _DATE.fullmatch(digits) else ""


def _why_no_dicom(content: Content, ref: FileRef, *, packed: bool = False) -> LeftOut:
    """Say what a file is instead."""
    if content is Content.NIFTI:
        return LeftOut("not-dicom", "the file holds NIfTI", "Convert it with the converter nifti")
    if content in _UNPACK_WITH and not packed:
        return LeftOut(
            "compression",
            f"the file is compressed with {content}, which is not read",
            f"Unpack it with: {_UNPACK_WITH[content]}",
            Severity.FAILED,
        )
    if content in _CONTAINERS:
        return LeftOut(
            "archive-nested",
            f"a {content} file inside of an archive or of another compressed file is not read",
            "Unpack the outer one and name the folder",
            Severity.FAILED,
        )
    if content is Content.EMPTY:
        return LeftOut("not-dicom", "the file is empty")
    return LeftOut("not-dicom", "the file has no DICM prefix after its preamble, and does not start as a data set does")


_UNPACK_WITH = {
    Content.ZSTD: "zstd -d -r FOLDER",
    Content.BZIP2: "bunzip2 FILE",
    Content.XZ: "unxz FILE",
    Content.SEVEN_ZIP: "7z x FILE",
    Content.RAR: "unrar x FILE",
}
_CONTAINERS = (*_UNPACK_WITH, Content.ZIP, Content.TAR, Content.GZIP)


def _unreadable(error: OSError) -> LeftOut:
    return LeftOut(
        "read",
        f"the file cannot be read ({type(error).__name__})",
        "Make it readable for this user, or fetch it again",
        Severity.FAILED,
    )


def _left_out_for(error: ItemError) -> LeftOut:
    return LeftOut(error.reason, error.rule or error.what, error.action, Severity.FAILED)


def _broken_header(error: Exception) -> LeftOut:
    return LeftOut(
        "header",
        f"the header could not be read ({type(error).__name__})",
        "Fetch the file again; it may have been cut off",
        Severity.FAILED,
    )
