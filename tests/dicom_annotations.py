"""Writes what is drawn on series of :mod:`dicom_series`: segmentations, contours, measurements and key objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from dicom_series import save
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    RTStructureSetStorage,
)

_NEEDED = "PatientName PatientBirthDate PatientSex StudyID AccessionNumber StudyDate StudyTime ReferringPhysicianName"


def write_segmentation(
    path: Path, images: Sequence[Dataset], masks: np.ndarray, kinds: Sequence[str], *, uid: str = "1.2.3.5"
) -> Path:
    """A binary segmentation as highdicom writes it.

    Args:
        path: The file.
        images: The slices that it is of.
        masks: Booleans of shape (slices, rows, columns, segments).
        kinds: Keywords of SNOMED CT, such as ``"Liver"``.
        uid: SeriesInstanceUID, and the start of SOPInstanceUID.
    """
    sources = [pydicom.Dataset(image) for image in images]
    for source, image in zip(sources, images, strict=True):
        source.file_meta = image.file_meta
        for keyword in _NEEDED.split():
            if keyword not in source:
                setattr(source, keyword, "")
        source.SliceThickness = source.get("SliceThickness", 5)
    segments = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label="typed by hand",
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=getattr(codes.SCT, kind),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, kind in enumerate(kinds, start=1)
    ]
    made = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=masks.astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=segments,
        series_instance_uid=uid,
        series_number=9,
        sop_instance_uid=f"{uid}.1",
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
    )
    return save(made, path)


def write_structures(
    path: Path,
    image: Dataset,
    structures: Sequence[tuple[str, Sequence[np.ndarray]]],
    *,
    uid: str = "1.2.3.6",
    charset: str | list[str] | None = None,
) -> Path:
    """A structure set (PS3.3 C.8.8.6) of names and closed contours in mm of the patient.

    Args:
        path: The file.
        image: One of the slices; its series and its frame of reference are named.
        structures: ROIName and contours, each of shape (points, 3).
        uid: SeriesInstanceUID, and the start of SOPInstanceUID.
        charset: SpecificCharacterSet.
    """
    made = _document(image, RTStructureSetStorage, "RTSTRUCT", uid)
    if charset is not None:
        made.SpecificCharacterSet = charset
    made.StructureSetROISequence, made.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(structures, start=1):
        made.StructureSetROISequence.append(
            _item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=image.FrameOfReferenceUID)
        )
        drawn = [
            _item(
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(points),
                ContourData=[f"{value:.9g}" for value in np.ravel(points)],
            )
            for points in contours
        ]
        made.ROIContourSequence.append(_item(ReferencedROINumber=number, ContourSequence=drawn))
    series = _item(SeriesInstanceUID=image.SeriesInstanceUID)
    study = _item(RTReferencedSeriesSequence=[series])
    made.ReferencedFrameOfReferenceSequence = [
        _item(FrameOfReferenceUID=image.FrameOfReferenceUID, RTReferencedStudySequence=[study])
    ]
    return save(made, path)


def write_measurement(
    path: Path, image: Dataset, finding: str, polyline: Sequence[tuple[float, float]], length_mm: float
) -> Path:
    """A report of TID 1500 with one region in the pixels of a slice (PS3.3 C.18.6) and its length."""
    region = _content(
        "SCOORD", "CONTAINS", ("111030", "DCM", "Image Region"), GraphicType="POLYLINE",
        GraphicData=[value for point in polyline for value in point],
        ContentSequence=[_reference(image, "SELECTED FROM")],
    )  # fmt: skip
    value = _item(
        NumericValue=str(length_mm), MeasurementUnitsCodeSequence=[_code("mm", "UCUM", "millimeter")]
    )  # fmt: skip
    length = _content("NUM", "CONTAINS", ("410668003", "SCT", "Length"), MeasuredValueSequence=[value])
    named = _content(
        "CODE", "CONTAINS", ("121071", "DCM", "Finding"), ConceptCodeSequence=[_code("27925004", "SCT", finding)]
    )
    group = _content(
        "CONTAINER", "CONTAINS", ("125007", "DCM", "Measurement Group"), ContinuityOfContent="SEPARATE",
        ContentSequence=[named, region, length],
    )  # fmt: skip
    text = _content("TEXT", "CONTAINS", ("121073", "DCM", "Impression"), TextValue="Seen by ZQCANARY")
    measurements = _content(
        "CONTAINER", "CONTAINS", ("126010", "DCM", "Imaging Measurements"), ContinuityOfContent="SEPARATE",
        ContentSequence=[group],
    )  # fmt: skip
    made = _document(image, ComprehensiveSRStorage, "SR", "1.2.3.7")
    made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
    made.ConceptNameCodeSequence = [_code("126000", "DCM", "Imaging Measurement Report")]
    made.ContentSequence = [measurements, text]
    return _with_evidence(made, image, path)


def write_key_objects(path: Path, image: Dataset) -> Path:
    """A key object selection document (PS3.3 C.17.6.2) that names one slice."""
    made = _document(image, KeyObjectSelectionDocumentStorage, "KO", "1.2.3.8")
    made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
    made.ConceptNameCodeSequence = [_code("113000", "DCM", "Of Interest")]
    made.ContentSequence = [_reference(image, "CONTAINS")]
    return _with_evidence(made, image, path)


def _document(image: Dataset, sop_class: str, modality: str, uid: str) -> Dataset:
    made = _item(
        SOPClassUID=sop_class, SOPInstanceUID=f"{uid}.1", SeriesInstanceUID=uid, Modality=modality,
        StudyInstanceUID=image.StudyInstanceUID, PatientID=image.PatientID, PatientName=image.PatientName,
    )  # fmt: skip
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def _with_evidence(made: Dataset, image: Dataset, path: Path) -> Path:
    named = _item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)
    series = _item(SeriesInstanceUID=image.SeriesInstanceUID, ReferencedSOPSequence=[named])
    study = _item(StudyInstanceUID=image.StudyInstanceUID, ReferencedSeriesSequence=[series])
    made.CurrentRequestedProcedureEvidenceSequence = [study]
    return save(made, path)


def _reference(image: Dataset, relation: str) -> Dataset:
    named = _item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)
    return _item(ValueType="IMAGE", RelationshipType=relation, ReferencedSOPSequence=[named])


def _content(kind: str, relation: str, concept: tuple[str, str, str], **values: object) -> Dataset:
    return _item(ValueType=kind, RelationshipType=relation, ConceptNameCodeSequence=[_code(*concept)], **values)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    return _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _item(**values: object) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made
