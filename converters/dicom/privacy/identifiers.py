"""The identifiers in a header: what PS3.15 table E.1-1 removes or replaces, gathered to be looked for elsewhere.

They scrub the text of reports and fill the re-identification map. They are never written to a data set.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag
from pydicom.valuerep import VR

from ..headers import PARSE_ERRORS

_MAX_VALUE_BYTES = 1 << 14
"""Longer values are pictures, curves and essays; LO, SH, PN and UI end at 64 to 324 characters (PS3.5 6.2)."""

_STANDARD_UID = "1.2.840.10008."
"""Root of the UIDs that the standard itself gives to classes and codes (PS3.6 annex A); they name no instance."""


class IdentifierKind(enum.StrEnum):
    """What an identifier names."""

    NAME = "name"
    ID = "id"
    UID = "uid"
    DATE = "date"
    PLACE = "place"
    CONTACT = "contact"
    TEXT = "text"
    PRIVATE = "private"


NAMING_KINDS = (
    IdentifierKind.NAME,
    IdentifierKind.ID,
    IdentifierKind.UID,
    IdentifierKind.CONTACT,
    IdentifierKind.PLACE,
)
"""Kinds whose values tell who, which or where wherever they stand; others are words of any meaning, or days."""


@dataclass(frozen=True, order=True)
class Identifier:
    """One value of a header that may name a person.

    Attributes:
        kind: What it names.
        text: The value; a person's name as the header has it, ``FAMILY^GIVEN``; a date as ``YYYYMMDD``.
        keyword: Attribute that it stands in; empty for private ones.
    """

    kind: IdentifierKind
    text: str
    keyword: str = ""


_BY_VR = {
    VR.PN: IdentifierKind.NAME,
    VR.UI: IdentifierKind.UID,
    VR.DA: IdentifierKind.DATE,
    VR.DT: IdentifierKind.DATE,
    VR.AE: IdentifierKind.PLACE,
    VR.LO: IdentifierKind.TEXT,
    VR.SH: IdentifierKind.TEXT,
    VR.ST: IdentifierKind.TEXT,
    VR.LT: IdentifierKind.TEXT,
    VR.UT: IdentifierKind.TEXT,
    VR.UC: IdentifierKind.TEXT,
    VR.UR: IdentifierKind.TEXT,
}
"""Value representations whose values may name someone. Times of day, ages and numbers name no one by themselves."""

# Rows of PS3.15 table E.1-1 whose value representation does not tell what they name.
_IDS = frozenset(
    """
    AccessionNumber AdmissionID AdmittingDiagnosesID BarcodeValue CassetteID ClinicalTrialProtocolID
    ClinicalTrialSeriesID ClinicalTrialSiteID ClinicalTrialSubjectID ClinicalTrialSubjectReadingID
    ClinicalTrialTimePointID ContainerIdentifier DetectorID DeviceSerialNumber DeviceAlternateIdentifier
    FillerOrderNumberImagingServiceRequest GantryID GeneratorID InsurancePlanIdentification InterpretationID
    LensSerialNumber ManufacturerDeviceIdentifier MedicalRecordLocator OtherPatientIDs PatientID
    PerformedProcedureStepID PlacerOrderNumberImagingServiceRequest PlateID RequestedProcedureID ResultsID
    ScheduledProcedureStepID SecondaryCaptureDeviceID ServiceEpisodeID SlideIdentifier SourceSerialNumber
    SpecimenAccessionNumber SpecimenIdentifier StudyID UniqueDeviceIdentifier XRayDetectorID XRaySourceID
    """.split()
)
_PLACES = frozenset(
    """
    BranchOfService CountryOfResidence ClinicalTrialCoordinatingCenterName ClinicalTrialSiteName
    CurrentPatientLocation HumanPerformerOrganization InstitutionAddress InstitutionName
    InstitutionalDepartmentName IssuerOfAdmissionID IssuerOfPatientID OrderEntererLocation PatientAddress
    PatientInstitutionResidence PerformedLocation PerformedStationName PersonAddress ReferringPhysicianAddress
    RegionOfResidence RequestedProcedureLocation RequestingService ResponsibleOrganization
    ScheduledPatientInstitutionResidence ScheduledProcedureStepLocation ScheduledStationName
    ScheduledStudyLocation StationName TreatmentMachineName VerifyingOrganization
    """.split()
)
_CONTACTS = frozenset(
    """
    OrderCallbackPhoneNumber OrderCallbackTelecomInformation PatientTelecomInformation PatientTelephoneNumbers
    PersonTelecomInformation PersonTelephoneNumbers ReferringPhysicianTelephoneNumbers
    """.split()
)

# Text that table E.1-1 leaves as it is: what a device or a code says.
_TECHNICAL = frozenset(
    """
    AlgorithmName AlgorithmVersion CodeMeaning CodeValue CodingSchemeDesignator CodingSchemeName
    CodingSchemeVersion ContrastBolusRoute ConvolutionKernel DataPointLabel
    DimensionDescriptionLabel DimensionOrganizationUID FilterType ImplementationClassUID ImplementationVersionName
    LongCodeValue LUTExplanation LUTLabel Manufacturer ManufacturerModelName MappingResource
    MeasurementUnitsCodeValue ModalityLUTType PaletteColorLookupTableUID PositionReferenceIndicator
    RadionuclideCodeValue
    Radiopharmaceutical ReceiveCoilName RescaleType SegmentAlgorithmName SegmentDescription SegmentLabel
    SequenceName SeriesType SoftwareVersions SpecificCharacterSet TimezoneOffsetFromUTC TransmitCoilName
    URNCodeValue WindowCenterWidthExplanation
    """.split()
)

_DATE = re.compile(r"\d{8}")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]{3,}")


def identifiers_of(
    dataset: Dataset, kinds: Collection[IdentifierKind] = tuple(IdentifierKind)
) -> tuple[Identifier, ...]:
    """Gather the identifiers of a header: its attributes, nested sequences, private attributes, and file meta.

    Args:
        dataset: A whole header, not one that was read for some attributes only.
        kinds: Which are wanted; fewer are faster.

    Returns:
        Each once, sorted. Dates are cut to the day. UIDs of the standard are left out; private values are in as they
        are, numbers excepted.
    """
    found = set(_identifiers_in(dataset, kinds))
    meta = getattr(dataset, "file_meta", None)
    if isinstance(meta, Dataset):
        found.update(_identifiers_in(meta, kinds))
    return tuple(sorted(found))


def _identifiers_in(dataset: Dataset, kinds: Collection[IdentifierKind]) -> Iterator[Identifier]:
    for tag in list(dataset.keys()):
        vr = _vr_of(dataset, tag)
        kind = IdentifierKind.PRIVATE if tag.is_private else _kind_of(tag, vr)
        if vr != VR.SQ and (kind not in kinds or _length_of(dataset, tag) > _MAX_VALUE_BYTES):
            continue
        try:
            element = dataset[tag]
        except PARSE_ERRORS:
            continue  # what cannot be read cannot be passed on either
        if isinstance(element.value, DicomSequence):
            for item in element.value:
                yield from _identifiers_in(item, kinds)
        elif kind in kinds and kind is not None:
            keyword = "" if tag.is_private else element.keyword
            for text in _texts(kind, element.value):
                yield Identifier(kind, text, keyword)


def _vr_of(dataset: Dataset, tag: BaseTag) -> str:
    vr = dataset.get_item(tag).VR
    if vr is not None and vr != VR.UN:
        return str(vr)
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return VR.UN


def _length_of(dataset: Dataset, tag: BaseTag) -> int:
    element = dataset.get_item(tag)
    return element.length if isinstance(element, RawDataElement) else 0


def _kind_of(tag: BaseTag, vr: str) -> IdentifierKind | None:
    keyword = keyword_for_tag(tag)
    if keyword in _TECHNICAL:
        return None
    for kind, keywords in (
        (IdentifierKind.ID, _IDS),
        (IdentifierKind.PLACE, _PLACES),
        (IdentifierKind.CONTACT, _CONTACTS),
    ):
        if keyword in keywords:
            return kind
    return _BY_VR.get(VR(vr)) if vr in VR.__members__ else None


def _texts(kind: IdentifierKind, value: object) -> Iterator[str]:
    for part in value if isinstance(value, (MultiValue, list, tuple)) else (value,):
        if isinstance(part, bytes):
            yield from (run.strip() for run in _PRINTABLE.findall(part.decode("latin-1")))
        elif kind is IdentifierKind.PRIVATE and isinstance(part, (int, float)):
            continue  # a number without a name of its own is a measurement
        elif text := str(part or "").strip():
            yield from _refined(kind, text)


def _refined(kind: IdentifierKind, text: str) -> Iterator[str]:
    if kind is IdentifierKind.NAME:
        # PS3.5 6.2: alphabetic, ideographic and phonetic groups of one name.
        yield from (group.strip() for group in text.split("=") if group.strip(" ^"))
    elif kind is IdentifierKind.DATE:
        if day := _DATE.match(text.replace("-", "").replace(".", "")):
            yield day[0]
    elif kind is IdentifierKind.UID:
        if not text.startswith(_STANDARD_UID):
            yield text
    else:
        yield text
