"""Reads headers defensively, and flattens those of multi-frame files to one header a frame."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from domainvl.errors import ItemError

PARSE_ERRORS = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom and its plugins raise on malformed files. Their texts may quote the file and are never passed on."""

_UNCOMPRESSED = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}
"""By whether value representations are implicit and bytes little endian, as pydicom has read them."""

TECHNICAL_TAGS = (
    "SOPClassUID",
    "ImageType",
    "Modality",
    "AnatomicalOrientationType",
    "BurnedInAnnotation",
    "BodyPartExamined",
    "ImageLaterality",
    "Laterality",
    "ViewPosition",
    "PatientOrientation",
    "PatientPosition",
    "FieldOfViewHorizontalFlip",
    "PresentationIntentType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "PixelSpacingCalibrationType",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "EstimatedRadiographicMagnificationFactor",
    "PixelAspectRatio",
    "SliceThickness",
    "SpacingBetweenSlices",
    "GantryDetectorTilt",
    "EchoNumbers",
    "EchoTime",
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "DiffusionBValue",
    "FrameTime",
    "FrameTimeVector",
    "RecommendedDisplayFrameRate",
    "CineRate",
    "SequenceOfUltrasoundRegions",
    "ConversionType",
    "Units",
    "DecayCorrection",
    "CorrectedImage",
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
    "WindowCenterWidthExplanation",
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

_FRAME_MACROS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
)
"""Functional group macros (PS3.3 C.7.6.16.2) whose attributes classic images hold at the top level."""


_DECISIVE = frozenset({"RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"})
"""Where these are damaged, stored values would silently mean something else. What decoding needs is checked there."""


def value_of(dataset: Dataset, keyword: str) -> Any:
    """Return an attribute's value, or None where it is absent, empty or unreadable."""
    # By number: by keyword, pydicom would look up each one thrice.
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset.keys():
        return None
    try:
        value = dataset[tag].value
    except PARSE_ERRORS:
        return None
    return None if isinstance(value, str) and not value else value


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return an attribute as stripped text, empty where there is none."""
    value = value_of(dataset, keyword)
    return "" if value is None else str(value).strip()


def numbers_of(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return an attribute as finite numbers, an empty tuple where it is absent or holds anything else."""
    value = value_of(dataset, keyword)
    # A damaged element may hold bytes where its numbers should be, or a text of which each letter would count.
    if value is None or isinstance(value, bytes):
        return ()
    is_list = hasattr(value, "__iter__") and not isinstance(value, str)
    try:
        numbers = tuple(float(number) for number in (value if is_list else [value]))
    except PARSE_ERRORS:
        return ()
    return numbers if all(math.isfinite(number) for number in numbers) else ()


def is_malformed(dataset: Dataset, keyword: str) -> bool:
    """Whether an attribute that should hold numbers or items is there, and holds something else."""
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset.keys():
        return False
    element = _element(dataset, tag)
    if element is None:
        return True
    return not element.is_empty and not isinstance(element.value, Sequence) and not numbers_of(dataset, keyword)


def number_of(dataset: Dataset, keyword: str) -> float | None:
    """Return the first number of an attribute, None where there is none."""
    numbers = numbers_of(dataset, keyword)
    return numbers[0] if numbers else None


def transfer_syntax(dataset: Dataset) -> UID | None:
    """Return the transfer syntax of a file, None where it names none and none follows.

    A file without meta information (PS3.10 7.1) is a bare data set. How its elements are written shows while they are
    read; that gives its transfer syntax where its pixels are not compressed.
    """
    meta = getattr(dataset, "file_meta", None)
    syntax = "" if meta is None else text_of(meta, "TransferSyntaxUID")
    return UID(syntax) if syntax else _syntax_as_read(dataset)


def _syntax_as_read(dataset: Dataset) -> UID | None:
    """Return the uncompressed transfer syntax (PS3.5 A.1 to A.3) that a data set was read in."""
    # Compressed pixels are of undefined length, which no others are (PS3.5 A.4).
    if "PixelData" in dataset and dataset["PixelData"].is_undefined_length:
        return None
    encoding: Any = getattr(dataset, "original_encoding", None)
    return _UNCOMPRESSED.get(encoding)


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
        A header in the form of a classic single-frame image, with its transfer syntax in ``file_meta``. Elements that
        cannot be read are left out, as if the file did not have them.

    Raises:
        ItemError: By ``header`` if one cannot be read without which stored values would mean something else.
    """
    header = Dataset()
    header.file_meta = FileMetaDataset()
    if syntax := transfer_syntax(dataset):
        header.file_meta.TransferSyntaxUID = syntax
    _copy(dataset, header, keywords)
    for keyword, index in zip(FUNCTIONAL_GROUPS, (0, frame), strict=True):
        items = value_of(dataset, keyword) or ()
        if index >= len(items):
            continue
        for macro in _FRAME_MACROS:
            if found := value_of(items[index], macro):
                _copy(found[0], header, keywords)
    return header


def _copy(source: Dataset, header: Dataset, keywords: Collection[str]) -> None:
    """Copy the elements that are wanted and can be read."""
    present = source.keys()
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        if tag is None or tag not in present:
            continue
        if keyword in _DECISIVE and is_malformed(source, keyword):
            raise _unreadable(keyword)
        element = _element(source, tag)
        if element is not None:
            header[tag] = element


def _element(source: Dataset, tag: int) -> DataElement | None:
    try:
        return source[tag]
    except PARSE_ERRORS:
        return None


def _unreadable(keyword: str) -> ItemError:
    return ItemError(
        "Cannot read a header",
        reason="header",
        rule=f"{keyword} is malformed, and without it the pixels would mean something else",
        action="Write the file again with a tool that repairs its header",
    )


def standard_name(uid: UID, fallback: str) -> str:
    """Return the name that the standard gives a UID; ``fallback`` for one that it does not know."""
    return fallback if uid.is_private or uid.name == str(uid) else uid.name
