"""Answers as a DICOM structured report: Comprehensive SR by TID 1500 "Measurement Report" (PS3.16).

Each answer is a measurement group that references the stored images it is about: TID 1410 with a closed polyline in
image coordinates for each box, else TID 1501. A group holds question and answer in full as TEXT (the templates are
extensible), and where the answer is one of known words as a code too. Codes of SNOMED CT are used where a term has the
very words, else those of the private scheme 99DOMAINVL: the start of the SHA-256 of the full text, whose meaning is cut
to the 64 characters of LO (PS3.5 6.2).

The likelihood of an answer is no probability of a finding, so that it has a private code and says so.

Flags (PS3.3 C.17.2): VerificationFlag UNVERIFIED, as no person has attested to it. PreliminaryFlag PRELIMINARY, as it
is not the definitive means of communicating results. CompletionFlag COMPLETE where every image that was to be asked
about was, and no answer was cut off, else PARTIAL.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from domainvl.errors import UsageError
from domainvl.prediction.answering import ModelIdentity
from domainvl.prediction.series_answers import FoundBox, ImageRef, SeriesAnswer

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept
    from pydicom import Dataset

Group: TypeAlias = Any
"""A measurement group of highdicom: planar, or of whole images; it is a sequence of one item."""

SCHEME = "99DOMAINVL"
"""Private designators begin with 99 (PS3.3 Table 8.1-1, coding scheme designator)."""

_LO_CHARS = 64
_CODE_DIGITS = 12

_PROCEDURES = {
    "CT": ("77477000", "Computed tomography"),
    "MR": ("113091000", "Magnetic resonance imaging"),
    "PT": ("82918005", "Positron emission tomography"),
    "US": ("310169008", "Ultrasonography"),
    "MG": ("71651007", "Mammography"),
    "CR": ("168537006", "Plain radiography"),
    "DX": ("168537006", "Plain radiography"),
}
"""SNOMED CT codes of imaging procedures by modality, where the images name no procedure."""

_IMAGING = ("363679005", "Imaging procedure")

_TYPE_2 = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime",
)  # fmt: skip
"""Attributes of patient and study that may be empty, and that de-identified files may lack."""

_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")


@dataclass(frozen=True)
class ReportFacts:
    """What a report says besides answers.

    Attributes:
        model: Which model answered.
        parameters: How its images were made, a line each.
        is_complete: Whether every image that was to be asked about was, to the end.
        at: When the answers were given; the report says it without an offset, as the images say their times.
    """

    model: ModelIdentity
    parameters: Sequence[str]
    is_complete: bool
    at: datetime


def check_evidence(images: Sequence[Dataset]) -> None:
    """Check that a report can reference images.

    Raises:
        UsageError: If some of them lack an identifier, or they are of several studies.
    """
    lacking = [image for image in images if any(not image.get(name) for name in _NEEDED)]
    if lacking:
        missing = sorted({name for image in lacking for name in _NEEDED if not image.get(name)})
        raise UsageError(
            "Cannot write a structured report",
            rule="each image must have the UIDs of study, series, class and instance; "
            f"{len(lacking)} of {len(images)} lack {', '.join(missing)}",
            action="Add --no-sr to get JSON alone",
        )
    studies = {str(image.StudyInstanceUID) for image in images}
    if len(studies) > 1:
        raise UsageError(
            "Cannot write a structured report",
            rule=f"its images must be of one study, got {len(studies)}",
            action="Ask about one study at a time",
        )


def write_report(answers: Sequence[SeriesAnswer], images: Sequence[Dataset], facts: ReportFacts) -> bytes:
    """Write a structured report.

    Its UIDs follow from its content, the time included (2.25 and 128 bits of a SHA-256, PS3.5 B.2): the same answers of
    the same model at the same time are the same object, and any other ones another.

    Args:
        answers: The answers.
        images: Headers of all images that they are about; patient and study are copied from the first.
        facts: What else is said.

    Returns:
        A DICOM file in Explicit VR Little Endian, text in UTF-8.

    Raises:
        UsageError: If the images cannot be referenced.
    """
    check_evidence(images)
    with warnings.catch_warnings():
        # Of a patient's name with one component, which is copied as it is.
        warnings.filterwarnings("ignore", category=UserWarning, module="highdicom")
        return _written(answers, images, facts)


def _written(answers: Sequence[SeriesAnswer], images: Sequence[Dataset], facts: ReportFacts) -> bytes:
    import highdicom as hd
    from pydicom import Dataset
    from pydicom.sr.codedict import codes
    from pydicom.valuerep import DA, DT, TM

    evidence = [_with_empty(image) for image in images]
    identity = _digest(answers, evidence, facts)
    model = facts.model
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=_uid("device", model.weights_sha256),
        name=f"domainvl {model.name}",
        manufacturer_name="domainvl",
        model_name=model.name,
        serial_number=model.weights_sha256,
    )
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(
            observer_device_context=hd.sr.ObserverContext(codes.DCM.Device, device)
        ),
        procedure_reported=_procedures(evidence[0]),
        imaging_measurements=[
            group
            for number, answer in enumerate(answers, start=1)
            for group in _Groups(answer, number, facts, identity).make()
        ],
        title=codes.DCM.ImagingMeasurementReport,
    )
    report = hd.sr.ComprehensiveSR(
        evidence=evidence,
        content=content,
        series_instance_uid=_uid("series", identity),
        series_number=1,
        sop_instance_uid=_uid("instance", identity),
        instance_number=1,
        manufacturer="domainvl",
        manufacturer_model_name=_short(model.name),
        software_versions=model.domainvl,
        device_serial_number=model.weights_sha256,
        is_complete=facts.is_complete,
        is_final=False,
        is_verified=False,
        series_description="Answers of a model, not verified by a person",
        specific_character_set="ISO_IR 192",
    )
    for name, value in (("Date", DA(facts.at.date())), ("Time", TM(facts.at.time()))):
        for what in ("Content", "Series", "InstanceCreation"):
            setattr(report, f"{what}{name}", value)
    for equipment in report.get("ContributingEquipmentSequence", ()):
        equipment.ContributionDateTime = DT(facts.at.replace(tzinfo=None))
    scheme = Dataset()
    scheme.CodingSchemeDesignator = SCHEME
    scheme.CodingSchemeName = "domainvl: text of questions and answers"
    scheme.CodingSchemeResponsibleOrganization = "domainvl"
    report.CodingSchemeIdentificationSequence = [scheme]
    written = io.BytesIO()
    report.save_as(written, enforce_file_format=True)
    return written.getvalue()


def private_code(text: str) -> CodedConcept:
    """Return the code of a text in the private scheme; its meaning is cut to 64 characters."""
    from highdicom.sr import CodedConcept

    return CodedConcept(hashlib.sha256(text.encode()).hexdigest()[:_CODE_DIGITS], SCHEME, _short(text))


def _short(text: str) -> str:
    """Make a text fit into LO: one line of 64 characters without a backslash, which divides values."""
    plain = " ".join(text.replace("\\", "/").split())
    return plain if len(plain) <= _LO_CHARS else plain[: _LO_CHARS - 3].rstrip() + "..."


def code_of(text: str) -> CodedConcept:
    """Return the SNOMED CT code of a term that has these very words, whatever their case; else a private one.

    Only those terms count that DICOM's context groups use.
    """
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    keyword = "".join(word[:1].upper() + word[1:] for word in text.split())
    known = getattr(codes.SCT, keyword, None) if keyword.isidentifier() else None
    if known is None or known.meaning.casefold() != text.strip().casefold():
        return private_code(text)
    return CodedConcept(known.value, known.scheme_designator, known.meaning)


class _Groups:
    """Makes the measurement groups of one answer."""

    def __init__(self, answer: SeriesAnswer, number: int, facts: ReportFacts, identity: str) -> None:
        import highdicom as hd

        self._answer = answer
        self._name = f"answer {number}"
        self._identity = identity
        known = facts.model.record()
        self._algorithm = hd.sr.AlgorithmIdentification(
            name=f"domainvl {facts.model.name}",
            version=facts.model.weights_sha256,
            # One item: there is a group a box, and every item of every group takes a millisecond to make.
            parameters=["; ".join([*(f"{name}: {value}" for name, value in known.items()), *facts.parameters])],
        )

    def make(self) -> list[Group]:
        """Return one group a box, or one for an answer without any."""
        if self._answer.boxes:
            return [self._of_box(box, number) for number, box in enumerate(self._answer.boxes, start=1)]
        return [self._of_images()]

    def _of_images(self) -> Group:
        import highdicom as hd

        images = [
            hd.sr.SourceImageForMeasurementGroup(image.sop_class_uid, image.sop_instance_uid, _frames(image))
            for image in self._answer.images
        ]
        made = hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=self._tracking(self._name),
            algorithm_id=self._algorithm,
            measurements=[self._likelihood()],
            qualitative_evaluations=self._evaluations(),
            source_images=images,
        )
        return self._with_text(made)

    def _of_box(self, found: FoundBox, number: int) -> Group:
        import highdicom as hd
        import numpy as np

        image = self._answer.images[0]
        left, top, right, bottom = found.box_px
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
        region = hd.sr.ImageRegion(
            graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
            graphic_data=corners,
            source_image=hd.sr.SourceImageForRegion(image.sop_class_uid, image.sop_instance_uid, _frames(image)),
        )
        made = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=self._tracking(f"{self._name}, box {number}"),
            referenced_region=region,
            finding_type=code_of(found.label),
            algorithm_id=self._algorithm,
            measurements=[self._likelihood()],
            qualitative_evaluations=self._evaluations(),
        )
        return self._with_text(made)

    def _tracking(self, name: str) -> Any:
        import highdicom as hd

        return hd.sr.TrackingIdentifier(uid=_uid("tracking", self._identity, name), identifier=name)

    def _likelihood(self) -> Any:
        import highdicom as hd
        from pydicom.sr.codedict import codes

        return hd.sr.Measurement(
            name=private_code("Likelihood of the answer's tokens, no probability"),
            value=self._answer.likelihood,
            unit=codes.UCUM.NoUnits,
        )

    def _evaluations(self) -> list[Any]:
        """Return the answer as a code, where it is one of known words."""
        import highdicom as hd

        if self._answer.value is None:
            return []
        return [hd.sr.QualitativeEvaluation(private_code(self._answer.question), code_of(self._answer.value))]

    def _with_text(self, made: Group) -> Group:
        """Add question and answer in full."""
        import highdicom as hd

        for name, text in (
            ("Question that was asked", self._answer.question),
            ("Answer as the model wrote it", self._answer.text or "(empty)"),
        ):
            item = hd.sr.TextContentItem(private_code(name), text, hd.sr.RelationshipTypeValues.CONTAINS)
            made[0].ContentSequence.append(item)
        return made


def _frames(image: ImageRef) -> list[int] | None:
    return None if image.frame is None else [image.frame]


def _with_empty(image: Dataset) -> Dataset:
    """Return a header that has the attributes which may be empty; the others stay as they are."""
    from copy import copy

    filled = copy(image)
    for name in _TYPE_2:
        if name not in filled:
            setattr(filled, name, None)
    return filled


def _procedures(image: Dataset) -> list[CodedConcept]:
    """Return the procedures that an image names, else one for its modality."""
    from highdicom.sr import CodedConcept

    items = [*image.get("ProcedureCodeSequence", ()), *image.get("RequestedProcedureCodeSequence", ())]
    named = [
        CodedConcept(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)
        for item in items
        if all(item.get(name) for name in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))
    ]
    value, meaning = _PROCEDURES.get(str(image.get("Modality", "")), _IMAGING)
    return named or [CodedConcept(value, "SCT", meaning)]


def _digest(answers: Sequence[SeriesAnswer], images: Sequence[Dataset], facts: ReportFacts) -> str:
    """Hash all that a report says."""
    content = [
        [answer.record() for answer in answers],
        sorted(str(image.SOPInstanceUID) for image in images),
        facts.model.record(),
        list(facts.parameters),
        facts.is_complete,
        facts.at.isoformat(),
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _uid(*parts: str) -> str:
    return f"2.25.{int(hashlib.sha256('/'.join(parts).encode()).hexdigest()[:32], 16)}"
