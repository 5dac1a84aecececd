"""Reads headers defensively, and flattens those of multi-frame files to one header a frame."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian

PARSE_ERRORS = (
    AttributeError,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom and its plugins raise on malformed files. Their texts may quote the file and are never passed on."""

IDENTIFIER_TAGS = (
    "PatientID",
    "IssuerOfPatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "InstanceNumber",
)
"""Read to group and order, and never written."""

TECHNICAL_TAGS = (
    "SOPClassUID",
    "ImageType",
    "Modality",
    "AnatomicalOrientationType",
    "BurnedInAnnotation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "PixelAspectRatio",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PresentationLUTShape",
    "PaletteColorLookupTableUID",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
)
"""The allow-list: rendering and questions see a header that holds nothing else."""

FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")

PLAN_TAGS = (*IDENTIFIER_TAGS, *TECHNICAL_TAGS, *FUNCTIONAL_GROUPS)
"""All that is read of a header before the pixels are."""

GEOMETRY_TAGS = ("ImagePositionPatient", "ImageOrientationPatient")

_FRAME_MACROS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
)
"""Functional group macros (PS3.3 C.7.6.16.2) whose attributes classic images hold at the top level."""


def value_of(dataset: Dataset, keyword: str) -> Any:
    """Return an attribute's value, or None where it is absent, empty or unreadable."""
    try:
        value = dataset.get(keyword)
    except PARSE_ERRORS:
        return None
    return None if value == "" else value


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return an attribute as stripped text, empty where there is none."""
    value = value_of(dataset, keyword)
    return "" if value is None else str(value).strip()


def numbers_of(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return an attribute as finite numbers, an empty tuple where it is absent or holds anything else."""
    value = value_of(dataset, keyword)
    if value is None:
        return ()
    try:
        numbers = tuple(float(number) for number in (value if hasattr(value, "__iter__") else [value]))
    except PARSE_ERRORS:
        return ()
    return numbers if all(math.isfinite(number) for number in numbers) else ()


def number_of(dataset: Dataset, keyword: str) -> float | None:
    """Return the first number of an attribute, None where there is none."""
    numbers = numbers_of(dataset, keyword)
    return numbers[0] if numbers else None


def transfer_syntax(dataset: Dataset) -> UID | None:
    """Return the transfer syntax of a file, None where it names none."""
    syntax = text_of(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID")
    return UID(syntax) if syntax else None


def is_little_endian(dataset: Dataset) -> bool:
    """Whether the words of binary values stand low byte first; only one syntax, long retired, has it otherwise."""
    return transfer_syntax(dataset) != ExplicitVRBigEndian


def frame_count(dataset: Dataset) -> int:
    """Return the number of frames; 1 for files that do not say."""
    return max(1, int(number_of(dataset, "NumberOfFrames") or 1))


def frame_header(dataset: Dataset, frame: int, keywords: Collection[str] = TECHNICAL_TAGS) -> Dataset:
    """Copy the allow-listed part of a header as it holds for one frame.

    Args:
        dataset: The file's header.
        frame: Index of the frame, from 0.
        keywords: What of the allow-list is wanted.

    Returns:
        A header in the form of a classic single-frame image, with its transfer syntax in ``file_meta``.
    """
    header = Dataset()
    header.file_meta = FileMetaDataset()
    if syntax := transfer_syntax(dataset):
        header.file_meta.TransferSyntaxUID = syntax
    for keyword in keywords:
        if keyword in dataset:
            header[keyword] = dataset[keyword]
    for keyword, index in zip(FUNCTIONAL_GROUPS, (0, frame), strict=True):
        items = value_of(dataset, keyword) or ()
        if index >= len(items):
            continue
        for macro in _FRAME_MACROS:
            for element in (value_of(items[index], macro) or [Dataset()])[0]:
                if element.keyword in keywords:
                    header[element.keyword] = element
    return header


def standard_name(uid: UID, fallback: str) -> str:
    """Return the name that the standard gives a UID; ``fallback`` for one that it does not know."""
    return fallback if uid.is_private or uid.name == str(uid) else uid.name
