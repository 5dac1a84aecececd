from __future__ import annotations

import pydicom
import pytest
from pydicom.dataset import Dataset

from domainvl.converters.dicom.calibration import CalibrationKind, spacing_of
from domainvl.converters.medical.display import display_of


def header(**attributes):
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def region(delta_x, delta_y, *, units=3, form=1):
    return header(
        RegionSpatialFormat=form,
        PhysicalUnitsXDirection=units,
        PhysicalUnitsYDirection=units,
        PhysicalDeltaX=delta_x,
        PhysicalDeltaY=delta_y,
    )


PIXEL, IMAGER = [0.2, 0.1], [0.3, 0.15]
CASES = [
    # Slices: PixelSpacing holds in the patient.
    ({"Modality": "CT", "PixelSpacing": PIXEL}, "pixel", (0.2, 0.1), True),
    ({"Modality": "OT", "NominalScannedPixelSpacing": PIXEL}, "detector", (0.2, 0.1), False),
    # Radiographs: at the detector, unless it is corrected.
    ({"Modality": "DX", "ImagerPixelSpacing": IMAGER}, "detector", (0.3, 0.15), False),
    ({"Modality": "CR", "PixelSpacing": PIXEL}, "detector", (0.2, 0.1), False),
    ({"Modality": "DX", "PixelSpacing": IMAGER, "ImagerPixelSpacing": IMAGER}, "detector", (0.3, 0.15), False),
    ({"Modality": "DX", "PixelSpacing": PIXEL, "ImagerPixelSpacing": IMAGER}, "pixel", (0.2, 0.1), True),
    (
        {"Modality": "DX", "PixelSpacing": PIXEL, "ImagerPixelSpacing": IMAGER,
         "PixelSpacingCalibrationType": "FIDUCIAL"},
        "fiducial", (0.2, 0.1), True,
    ),
    (
        {"Modality": "XA", "PixelSpacing": PIXEL, "PixelSpacingCalibrationType": "GEOMETRY"},
        "geometry", (0.2, 0.1), True,
    ),
    (
        {"Modality": "MG", "ImagerPixelSpacing": IMAGER, "EstimatedRadiographicMagnificationFactor": 1.5},
        "detector-magnified", (0.2, 0.1), True,
    ),
    (
        {"Modality": "MG", "ImagerPixelSpacing": IMAGER, "EstimatedRadiographicMagnificationFactor": 0.5},
        "detector", (0.3, 0.15), False,
    ),
    (
        {"Modality": "MG", "ImagerPixelSpacing": IMAGER, "EstimatedRadiographicMagnificationFactor": 1000},
        "detector", (0.3, 0.15), False,
    ),
    # Ultrasound: cm a pixel, with a sign for the direction.
    (
        {"Modality": "US", "SequenceOfUltrasoundRegions": [region(0.01, 0.02)]},
        "ultrasound-region", (0.2, 0.1), True,
    ),
    (
        {"Modality": "US", "PixelSpacing": [9, 9],
         "SequenceOfUltrasoundRegions": [region(0.01, -0.02), region(1, 1, units=4), region(5, 5, form=3)]},
        "ultrasound-region", (0.2, 0.1), True,
    ),
    (
        {"Modality": "US", "SequenceOfUltrasoundRegions": [region(0.01, 0.02), region(0.03, 0.03)]},
        "ultrasound-region", None, False,
    ),
    ({"Modality": "US", "SequenceOfUltrasoundRegions": [region(0, 0)]}, "none", None, False),
    # Nothing, or nonsense.
    ({"Modality": "DX"}, "none", None, False),
    ({"Modality": "CT", "PixelSpacing": [0, 0.5]}, "none", None, False),
    ({"Modality": "CT", "PixelSpacing": [0.5]}, "none", None, False),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "kind", "spacing_mm", "can_measure"), CASES)
def test_med_26_a_spacing_says_where_it_holds(attributes, kind, spacing_mm, can_measure):
    found = spacing_of(header(**attributes))
    assert found.kind == CalibrationKind(kind)
    assert found.spacing_mm == (None if spacing_mm is None else pytest.approx(spacing_mm))
    assert found.can_measure is can_measure
    # Whoever may not measure is told why.
    assert can_measure or found.warning


def test_med_25_an_aspect_ratio_makes_pixels_square_and_measures_nothing():
    # PixelAspectRatio is vertical to horizontal.
    found = spacing_of(header(Modality="CT", PixelAspectRatio=["4", "3"]))
    assert (found.spacing_mm, found.can_measure, found.pixel_shape) == (None, False, (4, 3))
    display = display_of(30, 30, None, None, found.spacing_mm, pixel_shape=found.pixel_shape)
    assert display.resized_px == (30, 40)


def test_med_26_real_ultrasound_is_calibrated_by_its_region(wheel):
    found = spacing_of(pydicom.dcmread(wheel("examples_ybr_color.dcm"), stop_before_pixels=True))
    # PhysicalDeltaX of 0.05104970559477806 cm.
    assert found.kind is CalibrationKind.ULTRASOUND_REGION
    assert found.spacing_mm == pytest.approx((0.5104970559477806, 0.5104970559477806))


def test_med_26_a_real_radiograph_is_not_measured(real_data):
    path = real_data / "medical/pydicom__pydicom-data/data_store/data/RG1_J2KI.dcm"
    found = spacing_of(pydicom.dcmread(path, stop_before_pixels=True))
    assert not found.can_measure
