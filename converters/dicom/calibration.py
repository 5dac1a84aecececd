"""How large a pixel is, and whether lengths may be measured with it.

Slices have a spacing in the patient (PixelSpacing). A radiograph is a shadow: its spacing at the detector is larger
than that in the patient by an unknown magnification, unless it was calibrated (PS3.3 10.7.1). Ultrasound is calibrated
region by region (PS3.3 C.8.5.5).
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from pydicom import Dataset

from .headers import number_of, numbers_of, text_of, value_of

PROJECTIONS = frozenset({"CR", "DX", "MG", "IO", "PX", "XA", "RF", "RG"})
"""Modalities (PS3.3 C.7.3.1.1.1) whose images are shadows of the patient."""

_MAGNIFICATION_MAX = 20.0
"""Micro-focus tubes magnify up to about this; a larger factor is an error, and below 1 nothing can be."""

_CENTIMETRES = 3
"""PhysicalUnitsXDirection and PhysicalUnitsYDirection (PS3.3 C.8.5.5.1.15)."""

_TWO_DIMENSIONAL = 1
"""RegionSpatialFormat of an ordinary image (PS3.3 C.8.5.5.1.1); others are Doppler, M-mode and graphics."""

_SAME = 1e-3
"""Two spacings that agree so well are one, rounded differently."""


class CalibrationKind(enum.StrEnum):
    """Where a spacing comes from."""

    PIXEL = "pixel"
    DETECTOR = "detector"
    DETECTOR_MAGNIFIED = "detector-magnified"
    FIDUCIAL = "fiducial"
    GEOMETRY = "geometry"
    ULTRASOUND_REGION = "ultrasound-region"
    NONE = "none"


@dataclass(frozen=True)
class Calibration:
    """How large a pixel is.

    Attributes:
        spacing_mm: Distances of pixel centres, between rows (y) and between columns (x); None where not known.
        kind: Where it comes from.
        can_measure: Whether a length that is measured with it holds in the patient.
        warning: Why it does not, or only about.
        pixel_shape: Height and width of a pixel in any unit, for making pixels square; None where not known.
    """

    spacing_mm: tuple[float, float] | None = None
    kind: CalibrationKind = CalibrationKind.NONE
    can_measure: bool = False
    warning: str | None = None
    pixel_shape: tuple[float, float] | None = None


def spacing_of(header: Dataset) -> Calibration:
    """Find out how large a pixel is.

    Args:
        header: The header of one frame in classic form (:func:`~.headers.frame_header`).
    """
    if text_of(header, "Modality") in PROJECTIONS:
        found = _projection(header)
    else:
        found = _ultrasound(header) or _slice(header)
    if found is not None:
        return found
    ratio = _pair(header, "PixelAspectRatio")
    return Calibration(pixel_shape=ratio, warning="the header does not say how large a pixel is")


def _pair(header: Dataset, keyword: str) -> tuple[float, float] | None:
    """Return two positive numbers, y first, as PixelSpacing, ImagerPixelSpacing and PixelAspectRatio have them."""
    values = numbers_of(header, keyword)
    return (values[0], values[1]) if len(values) == 2 and min(values) > 0 else None


def _found(
    spacing_mm: tuple[float, float], kind: CalibrationKind, *, can_measure: bool = True, warning: str | None = None
) -> Calibration:
    return Calibration(spacing_mm, kind, can_measure, warning, spacing_mm)


def _slice(header: Dataset) -> Calibration | None:
    spacing = _pair(header, "PixelSpacing")
    if spacing is not None:
        kind = text_of(header, "PixelSpacingCalibrationType").lower()
        return _found(spacing, CalibrationKind(kind) if kind in ("fiducial", "geometry") else CalibrationKind.PIXEL)
    return _scanned(header)


def _scanned(header: Dataset) -> Calibration | None:
    """Take the spacing on the film or at the detector of images that name no other."""
    for keyword in ("ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        spacing = _pair(header, keyword)
        if spacing is not None:
            return _at_detector(spacing)
    return None


def _at_detector(spacing_mm: tuple[float, float]) -> Calibration:
    warning = "the spacing holds at the detector, not in the patient: lengths are not measured"
    return _found(spacing_mm, CalibrationKind.DETECTOR, can_measure=False, warning=warning)


def _projection(header: Dataset) -> Calibration | None:
    pixel, imager = _pair(header, "PixelSpacing"), _pair(header, "ImagerPixelSpacing")
    kind = text_of(header, "PixelSpacingCalibrationType").lower()
    if pixel is not None and kind in ("fiducial", "geometry"):
        warning = "lengths hold at the depth that the spacing was calibrated for"
        return _found(pixel, CalibrationKind(kind), warning=warning)
    if pixel is not None and imager is not None and not _agree(pixel, imager):
        # PS3.3 10.7.1.3: values that differ have been corrected, by means that the header does not name.
        warning = "lengths hold at a depth that the header does not name"
        return _found(pixel, CalibrationKind.PIXEL, warning=warning)
    if imager is not None:
        return _magnified(header, imager)
    return _at_detector(pixel) if pixel is not None else _scanned(header)


def _agree(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(math.isclose(a, b, rel_tol=_SAME) for a, b in zip(one, other, strict=True))


def _magnified(header: Dataset, imager_mm: tuple[float, float]) -> Calibration:
    """Divide the spacing at the detector by the magnification, where the header estimates it."""
    factor = number_of(header, "EstimatedRadiographicMagnificationFactor")
    if factor is None or not 1.0 <= factor <= _MAGNIFICATION_MAX:
        return _at_detector(imager_mm)
    spacing = (imager_mm[0] / factor, imager_mm[1] / factor)
    warning = "lengths follow from an estimated magnification"
    return _found(spacing, CalibrationKind.DETECTOR_MAGNIFIED, warning=warning)


def _ultrasound(header: Dataset) -> Calibration | None:
    """Read the scale of the two-dimensional regions; it is in cm a pixel, and its sign is a direction."""
    scales = []
    for region in value_of(header, "SequenceOfUltrasoundRegions") or ():
        units = {number_of(region, f"PhysicalUnits{axis}Direction") for axis in "XY"}
        deltas = number_of(region, "PhysicalDeltaY"), number_of(region, "PhysicalDeltaX")
        if number_of(region, "RegionSpatialFormat") != _TWO_DIMENSIONAL or units != {_CENTIMETRES}:
            continue
        if deltas[0] and deltas[1]:
            scales.append((abs(deltas[0]) * 10.0, abs(deltas[1]) * 10.0))
    if not scales:
        return None
    if all(_agree(scales[0], scale) for scale in scales):
        return _found(scales[0], CalibrationKind.ULTRASOUND_REGION)
    warning = "regions of the image have different scales: lengths are not measured"
    return Calibration(None, CalibrationKind.ULTRASOUND_REGION, False, warning)
