from __future__ import annotations

import copy
import io

import numpy as np
import pydicom
import pytest
from highdicom import imread
from highdicom.spatial import get_volume_positions
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from domainvl.converters.dicom.frames import (
    FRAMES_MAX,
    GROUP,
    check_frame_count,
    frame_time_ms,
    frames_of,
    geometry_of,
    group_value,
)
from domainvl.errors import ItemError

AXIAL = [1, 0, 0, 0, 1, 0]


def header(**attributes):
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def heights(frames):
    return [frame.geometry.position_mm[2] for frame in frames]


@pytest.mark.parametrize(
    ("position", "orientation"),
    [([0, 0], AXIAL), ([0, 0, 0], [1, 0, 0]), ([0, 0, 0], [0] * 6), ([0, 0, 0], [1, 0, 0, 1, 0, 0])],
)
def test_malformed_geometry_is_none(position, orientation):
    assert geometry_of(header(ImagePositionPatient=position, ImageOrientationPatient=orientation)) is None


def test_med_20_a_classic_image_tells_what_it_differs_in():
    frames = frames_of(
        header(
            ImageType=["ORIGINAL", "PRIMARY", "M"],
            EchoNumbers=2,
            EchoTime=90,
            DiffusionBValue=1000.0,
            TemporalPositionIdentifier=3,
            AcquisitionNumber=7,
            TriggerTime=40.5,
            ImagePositionPatient=[1, 2, 3],
            ImageOrientationPatient=AXIAL,
        )
    )
    assert len(frames) == 1
    assert dict(zip(GROUP, frames[0].group, strict=True)) == {
        "image-type": "ORIGINAL\\PRIMARY\\M",
        "echo": "2",
        "b-value": "1000",
        "stack": "",
        "temporal-position": "3",
        "acquisition": "7",
        "trigger-time": "40.5",
    }
    assert frames[0].geometry.position_mm == (1, 2, 3)
    # Without a number of the echo, its time stands for it.
    assert group_value(frames_of(header(EchoTime=90.5))[0], "echo") == "90.5"


def enhanced(frames, **shared):
    """An enhanced MR of frames that are given as (z, b-value, temporal position, echo time, frame type)."""
    items = []
    for z, b_value, temporal, echo, frame_type in frames:
        content = header(StackID="1", TemporalPositionIndex=temporal, DimensionIndexValues=[1, temporal])
        item = header(
            FrameContentSequence=[content],
            PlanePositionSequence=[header(ImagePositionPatient=[0, 0, z])],
            MRDiffusionSequence=[header(DiffusionBValue=b_value)],
            MREchoSequence=[header(EffectiveEchoTime=echo)],
            MRImageFrameTypeSequence=[header(FrameType=frame_type)],
        )
        items.append(item)
    groups = header(PlaneOrientationSequence=[header(ImageOrientationPatient=AXIAL)], **shared)
    return header(
        NumberOfFrames=len(items),
        ImageType=["ORIGINAL", "PRIMARY"],
        SharedFunctionalGroupsSequence=[groups],
        PerFrameFunctionalGroupsSequence=items,
    )


def test_med_27_enhanced_frames_take_geometry_and_groups_from_shared_and_own_items():
    frames = frames_of(enhanced([(9, 0.0, 1, 90.0, ["ORIGINAL", "M"]), (3, 1000.0, 2, 120.0, ["DERIVED", "ADC"])]))
    assert heights(frames) == [9, 3]
    assert [frame.geometry.row for frame in frames] == [(1, 0, 0)] * 2
    for name, values in {
        "image-type": ["ORIGINAL\\M", "DERIVED\\ADC"],
        "b-value": ["0", "1000"],
        "echo": ["90", "120"],
        "temporal-position": ["1", "2"],
        "stack": ["1", "1"],
        "acquisition": ["", ""],
    }.items():
        assert [group_value(frame, name) for frame in frames] == values
    assert [frame.order for frame in frames] == [(1, 1), (1, 2)]


def test_med_27_what_a_frame_does_not_say_is_what_all_share():
    dataset = enhanced([(0, 0.0, 1, 90.0, ["A"])], MREchoSequence=[header(EffectiveEchoTime=55)])
    del dataset.PerFrameFunctionalGroupsSequence[0].MREchoSequence
    del dataset.PerFrameFunctionalGroupsSequence[0].MRImageFrameTypeSequence
    (frame,) = frames_of(dataset)
    assert (group_value(frame, "echo"), group_value(frame, "image-type")) == ("55", "ORIGINAL\\PRIMARY")


def test_med_27_gradients_of_one_b_value_are_told_apart():
    dataset = enhanced([(0, 1000.0, 1, 90.0, ["A"])] * 2)
    for item, direction in zip(dataset.PerFrameFunctionalGroupsSequence, ([1, 0, 0], [0, 1, 0]), strict=True):
        item.MRDiffusionSequence[0].DiffusionGradientDirectionSequence = [
            header(DiffusionGradientOrientation=direction)
        ]
    one, other = (group_value(frame, "b-value") for frame in frames_of(dataset))
    assert one != other


def test_med_27_frames_without_an_item_of_their_own_have_no_place():
    dataset = enhanced([(0, 0.0, 1, 90.0, ["A"])])
    dataset.NumberOfFrames = 3
    assert [frame.geometry is None for frame in frames_of(dataset)] == [False, True, True]


@pytest.mark.parametrize(("spacing_mm", "expected"), [(4.0, [10, 14, 18]), (-4.0, [10, 6, 2])])
def test_med_27_the_slices_of_a_reconstructed_nm_image_follow_its_signed_spacing(spacing_mm, expected):
    dataset = header(
        Modality="NM",
        ImageType=["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
        NumberOfFrames=3,
        SpacingBetweenSlices=spacing_mm,
        DetectorInformationSequence=[header(ImagePositionPatient=[0, 0, 10], ImageOrientationPatient=AXIAL)],
    )
    assert heights(frames_of(dataset)) == expected
    dataset.SliceVector = [3, 2, 1]
    assert heights(frames_of(dataset)) == expected[::-1]
    dataset.SliceVector, dataset.TimeSlotVector = [1, 1, 2], [1, 2, 1]
    gated = frames_of(dataset)
    assert heights(gated) == [expected[0], expected[0], expected[1]]
    assert [group_value(frame, "temporal-position") for frame in gated] == ["1", "2", "1"]


@pytest.mark.parametrize("image_type", [["ORIGINAL", "PRIMARY", "TOMO"], ["ORIGINAL", "PRIMARY"], None])
def test_med_27_views_of_an_nm_camera_are_no_slices(image_type):
    dataset = header(
        NumberOfFrames=2,
        SpacingBetweenSlices=4.0,
        ImageType=image_type,
        DetectorInformationSequence=[header(ImagePositionPatient=[0, 0, 10], ImageOrientationPatient=AXIAL)],
    )
    assert [frame.geometry for frame in frames_of(dataset)] == [None, None]


def test_med_27_planes_of_a_dose_follow_their_offsets(wheel):
    dataset = pydicom.dcmread(wheel("rtdose.dcm"), stop_before_pixels=True)
    first = [float(number) for number in dataset.ImagePositionPatient]
    # Offsets 0, 5, ... 70 mm along the normal of an axial plane.
    assert heights(frames_of(dataset)) == pytest.approx([first[2] + 5 * i for i in range(15)])
    # The other form: offsets are z coordinates.
    dataset.GridFrameOffsetVector = [100.0 + i for i in range(15)]
    assert heights(frames_of(dataset)) == pytest.approx([100.0 + i for i in range(15)])


def test_med_24_frames_that_no_header_places_get_no_geometry():
    # One position for many frames that are no cine: not that of all.
    dataset = header(NumberOfFrames=4, ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=AXIAL)
    assert [frame.geometry for frame in frames_of(dataset)] == [None] * 4
    dataset.FrameTime = 40.0
    assert heights(frames_of(dataset)) == [0, 0, 0, 0]
    assert [frame.order for frame in frames_of(dataset)] == [(0,), (1,), (2,), (3,)]


def test_a_claim_of_too_many_frames_is_refused_before_memory_is_used():
    with pytest.raises(ItemError) as error:
        check_frame_count(header(NumberOfFrames=FRAMES_MAX + 1), 1 << 40)
    assert error.value.reason == "frame-count"


@pytest.mark.parametrize(
    ("syntax", "bits", "frames", "size_bytes", "fits"),
    [
        (ExplicitVRLittleEndian, 16, 10, 10 * 128, True),  # 8 x 8 pixels of 2 bytes
        (ExplicitVRLittleEndian, 16, 10, 10 * 128 - 1, False),
        (ExplicitVRLittleEndian, 1, 10, 10 * 8, True),
        (ExplicitVRLittleEndian, 1, 10, 10 * 8 - 1, False),
        (ExplicitVRLittleEndian, 16, 1, 0, True),  # a single frame that is cut off is found when it is decoded
        (JPEGBaseline8Bit, 8, 10, 100, True),  # ten items of 8 bytes and what they hold (PS3.5 A.4)
        (JPEGBaseline8Bit, 8, 10, 99, False),
        ("1.2.3.4.5.99", 8, 10, 640, True),
    ],
)
def test_med_51_frames_are_compared_with_the_space_for_them(dataset, syntax, bits, frames, size_bytes, fits):
    made = dataset(BitsAllocated=bits, NumberOfFrames=frames)
    made.file_meta.TransferSyntaxUID = syntax
    if fits:
        check_frame_count(made, size_bytes)
        return
    with pytest.raises(ItemError) as caught:
        check_frame_count(made, size_bytes)
    assert caught.value.reason == "frame-count"
    assert f"{size_bytes:,} are there" in str(caught.value)


@pytest.mark.parametrize(
    ("attributes", "time_ms"),
    [
        ({"FrameTime": "33.333", "CineRate": 15}, 33.333),
        ({"FrameTimeVector": [0, 30, 50]}, 40),
        ({"RecommendedDisplayFrameRate": 25}, 40),
        ({"CineRate": 20}, 50),
        ({"FrameTime": 0, "RecommendedDisplayFrameRate": 0}, None),
        ({}, None),
    ],
)
def test_med_27_the_time_of_a_frame_comes_from_frame_time_or_a_rate(attributes, time_ms):
    assert frame_time_ms(header(**attributes)) == (None if time_ms is None else pytest.approx(time_ms))


def test_med_27_real_enhanced_ct_lies_where_highdicom_says(real_data):
    path = real_data / "medical/pydicom__pydicom-data/data_store/data/eCT_Supplemental.dcm"
    volume = imread(path).get_volume_geometry()
    placed = frames_of(pydicom.dcmread(path, stop_before_pixels=True))
    assert len(placed) == 2
    for frame in placed:
        index = volume.map_reference_to_indices(np.array([frame.geometry.position_mm]))[0]
        assert index == pytest.approx([round(index[0]), 0, 0], abs=1e-6)
        assert abs(np.dot(frame.geometry.normal(), volume.unit_vectors()[0])) == pytest.approx(1)


def test_med_27_real_multi_frame_mr_lies_where_highdicom_says(real_data):
    folder = real_data / "medical/icometrix__dicom2nifti/tests/data/siemens_multiframe/anatomical/001"
    (path,) = folder.iterdir()
    frames = frames_of(pydicom.dcmread(path, stop_before_pixels=True))
    first = frames[0].geometry
    positions = [frame.geometry.position_mm for frame in frames]
    spacing_mm, indices = get_volume_positions(positions, (*first.row, *first.column))
    assert spacing_mm == pytest.approx(0.9, abs=1e-4)
    assert sorted(indices) == list(range(8))
    # The header numbers the slices itself, in the second of its dimension indices.
    assert [frame.order[1] for frame in frames] == list(range(1, 9))


def test_med_27_a_real_multi_frame_without_functional_groups_has_no_invented_place(real_data):
    path = real_data / "medical/pydicom__pydicom-data/data_store/data/emri_small.dcm"
    frames = frames_of(pydicom.dcmread(path, stop_before_pixels=True))
    assert [frame.geometry for frame in frames] == [None] * 10


def test_med_27_a_thousand_frames_are_read_in_less_than_a_second(real_data):
    path = real_data / "medical/pydicom__pydicom-data/data_store/data/eCT_Supplemental.dcm"
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    first = dataset.PerFrameFunctionalGroupsSequence[0]
    items = []
    for number in range(1000):
        items.append(copy.deepcopy(first))
        items[-1].PlanePositionSequence[0].ImagePositionPatient = [0, 0, 1.5 * number]
    dataset.PerFrameFunctionalGroupsSequence, dataset.NumberOfFrames = items, 1000
    file = io.BytesIO()
    dataset.save_as(file)
    # As read from a file, with values that are not parsed yet.
    again = pydicom.dcmread(io.BytesIO(file.getvalue()))
    frames = frames_of(again)
    assert heights(frames) == [1.5 * number for number in range(1000)]
