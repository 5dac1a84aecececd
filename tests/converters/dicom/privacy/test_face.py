"""Faces: heads are known by their headers, and the blur reaches the face and nothing behind it."""

from __future__ import annotations

import itertools

import numpy as np
import pydicom
import pytest

from domainvl.converters.dicom.privacy.face import blur_face, face_risk_of, otsu
from domainvl.converters.medical.geometry import Geometry

SIZE_MM = 240
CENTRE_MM = 120.0


def header(**attributes):
    dataset = pydicom.Dataset()
    for keyword, value in {"Modality": "CT", **attributes}.items():
        setattr(dataset, keyword, value)
    return dataset


def region(code: str) -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.CodeValue = code
    return item


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"BodyPartExamined": "HEAD"}, True),
        ({"BodyPartExamined": "HEADNECK"}, True),
        ({"BodyPartExamined": "CHEST"}, False),
        ({"BodyPartExamined": "HEART"}, False),
        ({}, False),
        ({"Modality": "MR", "SeriesDescription": "t1 mprage BRAIN sag"}, True),
        ({"Modality": "MR", "ProtocolName": "Temporal Bones"}, True),
        ({"Modality": "PT", "StudyDescription": "Whole body FDG"}, True),
        ({"Modality": "MR", "StudyDescription": "early femoral head necrosis"}, False),
        ({"Modality": "MR", "StudyDescription": "femoral head, then brain"}, True),
        ({"Modality": "MR", "StudyDescription": "Yearly control, near ear"}, True),
        ({"Modality": "DX", "BodyPartExamined": "SKULL"}, False),
        ({"AnatomicRegionSequence": [region("12738006")]}, True),
        ({"AnatomicRegionSequence": [region("T-D1100")]}, True),
        ({"AnatomicRegionSequence": [region("51185008")]}, False),  # thorax
    ],
)
def test_med_63_heads_are_known_by_their_headers(attributes, expected):
    assert face_risk_of(header(**attributes)) is expected


def head_mm() -> np.ndarray:
    """An axial head of 1 mm pixels, nose up: skin, brain with a texture, air; the front is the first row."""
    rows, columns = np.mgrid[0:SIZE_MM, 0:SIZE_MM].astype(float)
    skull = ((rows - CENTRE_MM) / 95) ** 2 + ((columns - CENTRE_MM) / 75) ** 2 < 1
    nose = (np.abs(columns - CENTRE_MM) < 12) & (rows > 8) & (rows < CENTRE_MM)
    texture = 100 + 60 * np.sin(rows / 2) * np.sin(columns / 2)
    return np.where(skull | nose, texture, 0).astype(np.uint8)


AXIAL = Geometry((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def test_med_63_the_front_is_blurred_and_the_rest_is_as_it_was():
    head = head_mm()
    blurred = blur_face(head, AXIAL, (1.0, 1.0))

    changed = blurred != head
    assert changed[8:22, 110:130].mean() > 0.9  # the nose
    assert not changed[120:].any()  # the back half
    assert not changed[60:180, 80:160].any()  # the brain
    # The edge of the nose was a step of its whole brightness between two pixels.
    step = np.abs(np.diff(blurred[:40, 120].astype(int))).max()
    assert step < 0.3 * np.abs(np.diff(head[:40, 120].astype(int))).max()


def test_med_63_wherever_the_front_lies_the_same_face_is_blurred():
    """Flips and transposes of the stored slice with the direction cosines that go with them."""
    head = head_mm()
    expected = blur_face(head, AXIAL, (1.0, 1.0))
    for flip_rows, flip_columns, transposed in itertools.product([False, True], repeat=3):
        row, column = (-1.0 if flip_columns else 1.0, 0.0, 0.0), (0.0, -1.0 if flip_rows else 1.0, 0.0)

        def store(pixels, flip_rows=flip_rows, flip_columns=flip_columns, transposed=transposed):
            stored = pixels[::-1] if flip_rows else pixels
            stored = stored[:, ::-1] if flip_columns else stored
            return stored.T if transposed else stored

        geometry = Geometry((0.0, 0.0, 0.0), *((column, row) if transposed else (row, column)))
        found = blur_face(np.ascontiguousarray(store(head)), geometry, (1.0, 1.0))
        assert np.abs(found.astype(int) - store(expected).astype(int)).max() <= 2


def test_med_63_millimetres_count_and_not_pixels():
    head = head_mm()
    whole = (blur_face(head, AXIAL, (1.0, 1.0)) != head)[:, 120]  # down the middle of the nose
    squeezed = np.ascontiguousarray(head[::2])  # rows 2 mm apart
    half = (blur_face(squeezed, AXIAL, (2.0, 1.0)) != squeezed)[:, 120]

    assert 20 <= whole.sum() <= 26  # 8 mm of air and 15 mm of nose
    assert abs(2 * half.sum() - whole.sum()) <= 4


def test_med_63_sagittal_is_blurred_and_coronal_is_not():
    sagittal = Geometry((0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0))
    coronal = Geometry((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0))
    head = np.ascontiguousarray(head_mm().T)  # nose to the left
    changed = blur_face(head, sagittal, (1.0, 1.0)) != head

    assert changed[110:130, 8:22].mean() > 0.9
    assert not changed[:, 120:].any()
    assert blur_face(head, coronal, (1.0, 1.0)) is None


def test_an_empty_slice_has_no_head_and_colour_is_blurred_alike():
    assert blur_face(np.zeros((50, 50), np.uint8), AXIAL, (1.0, 1.0)) is None
    head = head_mm()
    colour = blur_face(np.repeat(head[..., None], 3, axis=2), AXIAL, (1.0, 1.0))
    assert (colour == blur_face(head, AXIAL, (1.0, 1.0))[..., None]).all()


def test_otsu_divides_two_heaps():
    """By hand: between 10 and 200 every threshold from 10 on divides equally, and the first is taken."""
    assert otsu(np.array([10] * 50 + [200] * 50, np.uint8)) == 10
    assert 59 <= otsu(np.array([*range(40, 60), *range(180, 200)], np.uint8)) < 180
