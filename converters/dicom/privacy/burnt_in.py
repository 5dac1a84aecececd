"""Text that may be burnt into pixels: what a header says about the risk, and what of an ultrasound image is safe.

No header proves that an image is free of text. The rules here name the kinds of images that usually carry it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from pydicom import Dataset

from domainvl.schema.boxes import Box, clip_box

from ..headers import number_of, text_of, value_of
from ..instance import Risk

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary Capture Image Storage; the multi-frame classes are ``.1`` to ``.4`` below it (PS3.4 B.5)."""

_ULTRASOUND_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.3",
    "1.2.840.10008.5.1.4.1.1.3.1",
    "1.2.840.10008.5.1.4.1.1.6",
    "1.2.840.10008.5.1.4.1.1.6.1",
    "1.2.840.10008.5.1.4.1.1.6.2",
    "1.2.840.10008.5.1.4.1.1.6.3",
)
"""Ultrasound image storage, single and multi-frame, with the retired classes and enhanced volume (PS3.4 B.5)."""

_ULTRASOUND_MODALITIES = ("US", "IVUS", "CD", "DD", "EC")
"""Ultrasound, also intravascular, and the retired codes of colour flow, duplex and echocardiography (PS3.3
C.7.3.1.1.1)."""

_GREY_MODALITIES = ("CT", "MR", "PT", "CR", "DX", "MG", "XA", "RF")
"""Their detectors measure one value a pixel; a colour image of them was drawn by software."""

_COLOUR = ("RGB", "YBR", "PALETTE")

_SCREEN_WORDS = re.compile(r"SCREEN|CAPTURE|DOSEINFO|DOSEREPORT|PROTOCOL|SUMMARYSHEET|PHOTO")
"""Values of ImageType that vendors give to copies of a screen and to sheets with the patient's data."""

_LARGEST_REGION = 0.95
"""Regions of ultrasound that cover a larger share of the image are the image, banner and all. The widest true region
among the public files that were looked at covers 91 %."""

_LEAST_BANNER = 0.02
"""A region that begins nearer to the top edge, as a share of the rows, leaves no room for the banner, so that it holds
it: a line of text that can be read needs about 10 of 480 rows."""

_FIT_SLACK_PX = 1
"""Some devices write the edge in the place of the last pixel (Philips: MaxX1 of 800 in 800 columns). Regions that reach
further were drawn for another size of the image, and what stands in them here is not known."""

_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
_OVERLAY_BIT_POSITION = 0x0102
_OVERLAY_DATA = 0x3000


def risk_of(dataset: Dataset) -> Risk | None:
    r"""Say why the pixels of an image may show who the patient is; None where no rule of the header says so.

    Rules in order: BurnedInAnnotation is YES; secondary capture by class or ConversionType; a copy of a screen by
    ImageType, or a colour image of a modality that measures grey; ultrasound without regions, or with such that reach
    beyond it, cover nearly all of it or reach its top edge; ImageType DERIVED\SECONDARY unless BurnedInAnnotation is
    NO; an overlay in bits of the pixels.

    Args:
        dataset: The header, at least its allow-listed attributes; overlay groups are looked at where they are there.
    """
    for reason, message in _reasons(dataset):
        return Risk(reason, message)
    return None


def _reasons(dataset: Dataset) -> Iterator[tuple[str, str]]:
    annotation = text_of(dataset, "BurnedInAnnotation").upper()
    if annotation == "YES":
        yield "burnt-in", "BurnedInAnnotation is YES"
    sop_class = text_of(dataset, "SOPClassUID")
    if sop_class == _SECONDARY_CAPTURE or sop_class.startswith(f"{_SECONDARY_CAPTURE}."):
        yield "secondary-capture", "it is a secondary capture by its SOP class"
    if text_of(dataset, "ConversionType"):
        yield "secondary-capture", "it has a ConversionType, as secondary captures and scanned films do"
    image_type = image_type_of(dataset)
    if any(_SCREEN_WORDS.search(re.sub(r"[^A-Z]", "", value)) for value in image_type):
        yield "screen-capture", "ImageType names a copy of a screen or a sheet with data of the patient"
    modality = text_of(dataset, "Modality").upper()
    photometric = text_of(dataset, "PhotometricInterpretation").upper()
    if modality in _GREY_MODALITIES and photometric.startswith(_COLOUR):
        yield "screen-capture", f"it is a colour image of modality {modality}, which measures grey"
    if is_ultrasound(dataset):
        yield from _ultrasound_reasons(dataset)
    if image_type[:2] == ("DERIVED", "SECONDARY") and annotation != "NO":
        yield "derived-secondary", "ImageType is DERIVED\\SECONDARY and BurnedInAnnotation is not NO"
    if _has_overlay_in_pixels(dataset):
        yield "overlay-in-pixels", "an overlay, which may hold text, is stored in bits of the pixels"


def image_type_of(dataset: Dataset) -> tuple[str, ...]:
    """Return the values of ImageType in upper case."""
    value = value_of(dataset, "ImageType")
    parts = [value] if isinstance(value, str) else list(value or ())
    return tuple(str(part).strip().upper() for part in parts)


def is_ultrasound(dataset: Dataset) -> bool:
    """Whether an image is ultrasound, by modality or class."""
    modality = text_of(dataset, "Modality").upper()
    return modality in _ULTRASOUND_MODALITIES or text_of(dataset, "SOPClassUID") in _ULTRASOUND_CLASSES


def _ultrasound_reasons(dataset: Dataset) -> Iterator[tuple[str, str]]:
    boxes = ultrasound_boxes(dataset)
    if not boxes:
        rule = "its regions reach beyond the image" if _regions(dataset) else "its header gives no regions to cut it to"
        yield "ultrasound-without-regions", f"it is ultrasound and {rule}"
        return
    columns, rows = number_of(dataset, "Columns") or 0.0, number_of(dataset, "Rows") or 0.0
    kept_px = shapely.union_all([shapely.box(*box) for box in boxes]).area
    if kept_px > _LARGEST_REGION * rows * columns or min(box[1] for box in boxes) < _LEAST_BANNER * rows:
        yield (
            "ultrasound-without-regions",
            "it is ultrasound and its regions cover nearly all of the image or reach its top edge, banner and all",
        )


def _has_overlay_in_pixels(dataset: Dataset) -> bool:
    stored, high = number_of(dataset, "BitsStored"), number_of(dataset, "HighBit")
    if stored is None or high is None:
        return False
    for group in _OVERLAY_GROUPS:
        # Overlay data of its own lies apart; bits beyond those stored are masked when the pixels are decoded.
        if (group, _OVERLAY_BIT_POSITION) not in dataset or (group, _OVERLAY_DATA) in dataset:
            continue
        position = dataset[group, _OVERLAY_BIT_POSITION].value
        if isinstance(position, int) and high - stored < position <= high:
            return True
    return False


def ultrasound_boxes(header: Dataset) -> tuple[Box, ...]:
    """Return the regions of an ultrasound image, all of them, as boxes in stored pixels.

    RegionLocationMaxX1 and MaxY1 name the last pixel inside (PS3.3 C.8.5.5.1.1, .2), so that the edge lies one further.

    Args:
        header: Needs SequenceOfUltrasoundRegions, Rows and Columns.

    Returns:
        Boxes within the image, in the order of the header; those that are empty or incomplete are left out. None at
        all where one reaches beyond the image: regions of another size of the image say nothing of this one.
    """
    rows, columns = number_of(header, "Rows"), number_of(header, "Columns")
    regions = _regions(header)
    if rows is None or columns is None or not all(_fits(box, columns, rows) for box in regions):
        return ()
    boxes = (clip_box(box, int(columns), int(rows)) for box in regions)
    return tuple(box for box in boxes if box[0] < box[2] and box[1] < box[3])


def _regions(header: Dataset) -> list[Box]:
    """The complete regions as they are written, with the edge behind the last pixel."""
    boxes: list[Box] = []
    for region in value_of(header, "SequenceOfUltrasoundRegions") or ():
        corners = [number_of(region, f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        numbers = [corner for corner in corners if corner is not None]
        if len(numbers) == len(corners):
            x_min, y_min, x_max, y_max = numbers
            boxes.append((x_min, y_min, x_max + 1, y_max + 1))
    return boxes


def _fits(box: Box, columns: float, rows: float) -> bool:
    x_min, y_min, x_max, y_max = box
    return x_min >= 0 and y_min >= 0 and x_max <= columns + _FIT_SLACK_PX and y_max <= rows + _FIT_SLACK_PX


def keep_only(
    pixels: npt.NDArray[Any], boxes: Sequence[Box], *, colour: bool, blank: int | float = 0
) -> npt.NDArray[Any]:
    """Blank everything outside of some boxes, all frames alike.

    Args:
        pixels: ``(rows, columns)``, with channels behind them where ``colour`` and with frames before them where
            there are several; any type.
        boxes: What stays, in pixels; a pixel that a box touches is inside. Without boxes nothing stays.
        colour: Whether the last axis is channels.
        blank: Value of what does not stay.

    Returns:
        A copy.

    Raises:
        ValueError: If there are fewer axes than a picture has.
    """
    axis = pixels.ndim - (3 if colour else 2)
    if axis < 0:
        raise ValueError(f"pixels need rows and columns{' and channels' if colour else ''}, got shape {pixels.shape}")
    inside = np.zeros(pixels.shape[axis : axis + 2], np.bool_)
    for box in boxes:
        x_min, y_min, x_max, y_max = box
        inside[_first(y_min) : _last(y_max), _first(x_min) : _last(x_max)] = True
    outside = ~inside[..., None] if colour else ~inside
    return np.where(outside, np.asarray(blank, pixels.dtype), pixels)


def crop_box(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around all; what lies between them is inside and is blanked by :func:`keep_only`.

    Raises:
        ValueError: If there is none.
    """
    x_mins, y_mins, x_maxs, y_maxs = zip(*boxes, strict=True)
    return min(x_mins), min(y_mins), max(x_maxs), max(y_maxs)


def _first(edge_px: float) -> int:
    return max(int(np.floor(edge_px)), 0)


def _last(edge_px: float) -> int:
    return max(int(np.ceil(edge_px)), 0)
