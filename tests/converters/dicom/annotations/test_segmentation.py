from __future__ import annotations

import copy
from dataclasses import replace

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from domainvl.converters.dicom.annotations.loading import load_annotation
from domainvl.converters.dicom.instance import Kind


def load(seg, places, *, components=False):
    return load_annotation(seg, Kind.SEGMENTATION, places, name="seg-1", components=components)


def blob(seed, count=6, rows=12, columns=10):
    """Masks without holes that differ from slice to slice: a bar and a step."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, rows, columns), bool)
    for mask in masks:
        top, left = rng.integers(0, rows - 4), rng.integers(0, columns - 4)
        mask[top : top + 3, left : left + 2] = True
        mask[top + 2 : top + 4, left + 1 : left + 4] = True
    return masks


def masks_of(annotation, rows=12, columns=10, *, kit):
    rings = [[ring for found in findings for ring in found.polygons_px] for findings in annotation.per_slice]
    return [kit.shown(each, rows, columns) for each in rings]


@pytest.mark.parametrize("cosines", ["AXIAL", "OBLIQUE"])
def test_med_40_frames_are_matched_by_place_and_not_by_index(kit, cosines):
    images = kit.make_series(cosines=getattr(kit, cosines))
    masks = blob(1)
    order = [4, 0, 5, 2, 1, 3]
    seg = kit.make_seg([images[index] for index in order], masks[order])
    places = [3, 1, 0, 5, 4, 2]
    annotation = load(seg, [kit.place_of(images[index]) for index in places])
    np.testing.assert_array_equal(masks_of(annotation, kit=kit), masks[places])
    assert all(names == ("Liver",) for names in annotation.classes)
    assert not annotation.rejects
    for findings, index in zip(annotation.per_slice, places, strict=True):
        (found,) = findings
        ys, xs = np.nonzero(masks[index])
        assert found.box_px == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert (found.thing, found.label, found.area_px) == ("seg-1/1", "Liver", masks[index].sum())


def test_med_40_reversed_slice_numbers_do_not_reverse_the_masks(kit):
    """The frames of the file in the other order, each with its own place."""
    images, masks = kit.make_series(), blob(2)
    seg = kit.make_seg(images[::-1], masks[::-1])
    annotation = load(seg, [kit.place_of(image) for image in images])
    np.testing.assert_array_equal(masks_of(annotation, kit=kit), masks)


def test_med_40_empty_frames_are_omitted_and_still_say_that_nothing_is_there(kit):
    images, masks = kit.make_series(), blob(3)
    masks[[0, 2, 5]] = False
    seg = kit.make_seg(images, masks)
    assert seg.NumberOfFrames == 3
    annotation = load(seg, [kit.place_of(image) for image in images])
    assert [len(findings) for findings in annotation.per_slice] == [0, 1, 0, 1, 1, 0]
    assert annotation.classes == (("Liver",),) * 6


def test_med_40_slices_beyond_what_was_segmented_are_not_searched(kit):
    images, masks = kit.make_series(), blob(4)
    seg = kit.make_seg(images[1:4], masks[1:4])
    annotation = load(seg, [kit.place_of(image) for image in images])
    assert annotation.classes == (None, ("Liver",), ("Liver",), ("Liver",), None, None)
    assert [bool(findings) for findings in annotation.per_slice] == [False, True, True, True, False, False]


def test_med_40_slices_of_another_series_between_the_frames_take_the_nearest(kit):
    """Slices 1 mm apart, frames 2.5 mm apart at 40, 42.5, 45: the frame within 1.25 mm, beyond that nothing."""
    images, masks = kit.make_series(3), blob(5, 3)
    thin = kit.make_series(8, gap=1.0, start=(-3, 5, 38.0))
    for number, image in enumerate(thin):
        image.SOPInstanceUID, image.SeriesInstanceUID = f"1.9.{number}", "1.9"
    annotation = load(kit.make_seg(images, masks), [kit.place_of(image) for image in thin])
    frames = [None, 0, 0, 0, 1, 1, 2, 2]  # of 38, 39, ... 45 mm
    for mask, frame in zip(masks_of(annotation, kit=kit), frames, strict=True):
        np.testing.assert_array_equal(mask, masks[frame] if frame is not None else np.zeros_like(mask))
    assert [names is None for names in annotation.classes] == [True] + [False] * 7


def test_med_40_coarser_grid_is_mapped_by_pixel_centres(kit):
    """A segmentation with pixels twice as large: each covers 2x2 pixels of the image."""
    images = kit.make_series(3)
    coarse = blob(6, 3, rows=6, columns=5)
    (row, column) = images[0].PixelSpacing
    shift = [0.5 * column, 0.5 * row, 0]  # the centre of a pixel twice as large
    seg = kit.make_seg(
        images,
        coarse,
        pixel_measures=hd.PixelMeasuresSequence([2 * row, 2 * column], slice_thickness=2.5, spacing_between_slices=2.5),
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", kit.AXIAL),
        plane_positions=[
            hd.PlanePositionSequence("PATIENT", np.add(shift, [float(p) for p in image.ImagePositionPatient]))
            for image in images
        ],
    )  # fmt: skip
    annotation = load(seg, [kit.place_of(image) for image in images])
    np.testing.assert_array_equal(masks_of(annotation, kit=kit), np.kron(coarse, np.ones((1, 2, 2), bool)))


def test_med_40_crop_and_other_orientation_in_the_plane(kit):
    """A segmentation whose rows run where the columns of the image run, and which covers a part of it."""
    images = kit.make_series(2, rows=12, columns=10)
    row, column = (float(value) for value in images[0].PixelSpacing)
    crop = blob(7, 2, rows=5, columns=6)
    top, left = 3, 2
    positions = []
    for image in images:
        x, y, z = (float(value) for value in image.ImagePositionPatient)
        positions.append(hd.PlanePositionSequence("PATIENT", [x + left * column, y + top * row, z]))
    seg = kit.make_seg(
        images,
        crop,
        pixel_measures=hd.PixelMeasuresSequence([column, row], slice_thickness=2.5),
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", [0, 1, 0, 1, 0, 0]),
        plane_positions=positions,
    )
    annotation = load(seg, [kit.place_of(image) for image in images])
    expected = np.zeros((2, 12, 10), bool)
    expected[:, top : top + 6, left : left + 5] = crop.transpose(0, 2, 1)
    np.testing.assert_array_equal(masks_of(annotation, kit=kit), expected)


def test_med_40_slices_across_the_frames(kit):
    """Coronal slices through an axial segmentation: rows along z, from the head down."""
    images = kit.make_series(6, rows=12, columns=10)
    volume = np.random.default_rng(8).random((6, 12, 10)) < 0.5
    seg = kit.make_seg(images, volume)
    row, column = (float(value) for value in images[0].PixelSpacing)
    x, y, z = (float(value) for value in images[0].ImagePositionPatient)
    start = (x, y + 4 * row, z + 5 * 2.5)
    cosines = (1, 0, 0, 0, 0, -1)
    coronal = kit.make_series(2, rows=6, columns=10, spacing=(2.5, column), gap=-row, cosines=cosines, start=start)
    for number, image in enumerate(coronal):
        image.SOPInstanceUID, image.SeriesInstanceUID = f"1.8.{number}", "1.8"
    annotation = load(seg, [kit.place_of(image) for image in coronal])
    areas = [findings[0].area_px for findings in annotation.per_slice]
    # The normal of these slices points to the front or back; either way the first is row 4 and the second a neighbour.
    normal_y = float(np.cross([1, 0, 0], [0, 0, -1])[1])
    second = 4 - round(normal_y)
    assert areas == [volume[:, 4].sum(), volume[:, second].sum()]
    # Exact, but for holes, which rings do not have.
    assert masks_of(annotation, 6, 10, kit=kit)[0][volume[::-1, 4]].all()
    assert annotation.classes == (("Liver",), ("Liver",))
    # One that reaches over both ends of the frames by a row: nothing is known there, and so of no class all.
    place = replace(kit.place_of(coronal[0]), rows=8)
    place = replace(place, geometry=replace(place.geometry, position_mm=(x, y + 4 * row, z + 6 * 2.5)))
    longer = load(seg, [place])
    assert longer.per_slice[0][0].area_px == volume[:, 4].sum()
    assert longer.classes == ((),)


def test_med_40_finer_grid_is_read_at_pixel_centres(kit):
    """A segmentation with three pixels for each of the image, each way: the middle one counts."""
    images = kit.make_series(2)
    fine = np.random.default_rng(19).random((2, 36, 30)) < 0.5
    row, column = images[0].PixelSpacing
    shift = [-column / 3, -row / 3, 0]
    seg = kit.make_seg(
        images,
        fine,
        pixel_measures=hd.PixelMeasuresSequence([row / 3, column / 3], slice_thickness=2.5),
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", kit.AXIAL),
        plane_positions=[
            hd.PlanePositionSequence("PATIENT", np.add(shift, [float(p) for p in image.ImagePositionPatient]))
            for image in images
        ],
    )
    annotation = load(seg, [kit.place_of(image) for image in images], components=True)
    middle = fine[:, 1::3, 1::3]
    assert [sum(f.area_px for f in findings) for findings in annotation.per_slice] == middle.sum(axis=(1, 2)).tolist()
    assert not (middle & ~np.array(masks_of(annotation, kit=kit))).any()


def test_med_40_frames_of_a_finer_grid_that_lie_between_slices_are_not_asked_for(kit):
    """Segmented on all of nine slices; five of them are given."""
    images, masks = kit.make_series(9), blob(21, 9)
    seg = kit.make_seg(images, masks)
    annotation = load(seg, [kit.place_of(image) for image in images[::2]])
    (reject,) = annotation.rejects
    assert (reject.reason, reject.severity, reject.message[:8]) == ("segment-off-slices", "skipped", "4 frames")
    assert "between slices" in reject.action and "not needed" in reject.action


def test_med_40_frames_of_a_tilted_gantry_move_in_their_plane(kit):
    images, masks = kit.make_series(4), blob(9, 4)
    seg = kit.make_seg(images, masks)
    for index, image in enumerate(images):
        image.ImagePositionPatient = [
            float(image.ImagePositionPatient[0]),
            5.0 + 1.6 * index,
            image.ImagePositionPatient[2],
        ]
    by_height = {float(image.ImagePositionPatient[2]): image for image in images}
    for group in seg.PerFrameFunctionalGroupsSequence:
        position = group.PlanePositionSequence[0]
        position.ImagePositionPatient = by_height[float(position.ImagePositionPatient[2])].ImagePositionPatient
    annotation = load(seg, [kit.place_of(image) for image in images])
    np.testing.assert_array_equal(masks_of(annotation, kit=kit), masks)


def test_med_40_segments_may_overlap(kit):
    images, one, other = kit.make_series(2), blob(10, 2), blob(11, 2)
    other |= one & (np.arange(10) < 5)
    kinds = [kit.segment(1), kit.segment(2, kind=codes.SCT.Spleen)]
    seg = kit.make_seg(images, np.stack([one, other], axis=-1), segments=kinds)
    annotation = load(seg, [kit.place_of(image) for image in images])
    for index, findings in enumerate(annotation.per_slice):
        assert [found.label for found in findings] == ["Liver", "Spleen"]
        assert [found.area_px for found in findings] == [one[index].sum(), other[index].sum()]
        np.testing.assert_array_equal(kit.shown(findings[0].polygons_px, 12, 10), one[index])
    assert annotation.classes == (("Liver", "Spleen"),) * 2


def test_med_40_a_segment_may_be_several_things_unless_parts_are_asked_for(kit):
    images = kit.make_series(1)
    kidneys = np.zeros((1, 12, 10), bool)
    kidneys[0, 2:5, 1:3] = kidneys[0, 2:5, 7:9] = True
    seg, places = kit.make_seg(images, kidneys), [kit.place_of(images[0])]
    ((both,),) = load(seg, places).per_slice
    assert (both.is_one_thing, len(both.polygons_px), both.box_px) == (False, 2, (1, 2, 9, 5))
    ((one, other),) = load(seg, places, components=True).per_slice
    assert one.is_one_thing and other.is_one_thing
    assert (one.box_px, other.box_px) == ((1, 2, 3, 5), (7, 2, 9, 5))


def test_med_40_a_segmentation_of_one_phase_says_nothing_of_the_other(kit):
    """Two phases of one series at the same places, one segmented; the second slice has nothing on it."""
    first, second, masks = kit.make_series(4), kit.make_series(4), blob(20, 4)
    masks[1] = False
    for number, image in enumerate(second):
        image.SOPInstanceUID = f"1.2.3.4.2.{number}"
    seg = kit.make_seg(first, masks)
    annotation = load(seg, [kit.place_of(image) for image in (*second, *first)])
    assert [len(findings) for findings in annotation.per_slice] == [0, 0, 0, 0, 1, 0, 1, 1]
    assert annotation.classes == (None,) * 4 + (("Liver",),) * 4
    assert not annotation.rejects
    alone = load(seg, [kit.place_of(image) for image in second])
    assert (alone.per_slice, alone.classes) == (((),) * 4, (None,) * 4)
    assert [reject.reason for reject in alone.rejects] == ["segment-off-slices"]


def test_med_40_frames_that_a_segmentation_does_not_name_are_of_another_phase(kit):
    """One file with two phases of three slices; sources are frames 1 to 3, and so the first phase."""
    images, masks = kit.make_series(3), blob(21, 3)
    seg = kit.make_seg(images, masks)
    for group in seg.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        source.ReferencedFrameNumber = int(source.ReferencedSOPInstanceUID.rpartition(".")[2])
        source.ReferencedSOPInstanceUID = "1.2.3.4.9"
    item = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
    item.ReferencedSOPInstanceUID = "1.2.3.4.9"
    seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence = [item]
    places = [
        replace(kit.place_of(image), sop_uid="1.2.3.4.9", frame=phase * 3 + index)
        for phase in (0, 1) for index, image in enumerate(images)
    ]  # fmt: skip
    without_series = copy.deepcopy(seg)
    del without_series.ReferencedSeriesSequence
    for each in (seg, without_series):
        for given, known in ((places, [True] * 3 + [False] * 3), (places[3:], [False] * 3)):
            annotation = load(each, given)
            assert [bool(findings) for findings in annotation.per_slice] == known
            assert [names == ("Liver",) for names in annotation.classes] == known
    # Where one of its frames names the image as a whole, it is about all that the image shows.
    del seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
    assert [bool(findings) for findings in load(seg, places).per_slice] == [True] * 6


def test_med_40_slices_between_those_that_are_named_are_cut_through_the_patient(kit):
    """A segmentation of every other slice of a series covers those between: nearest frames, and a known absence."""
    images, masks = kit.make_series(5), blob(22, 5)
    masks[4] = False
    seg = kit.make_seg(images[::2], masks[::2])
    annotation = load(seg, [kit.place_of(image) for image in images])
    # Frames 5 mm apart: the slices between lie exactly halfway, and belong to the lower one.
    assert annotation.classes[:3] == (("Liver",),) * 3
    # Another series at the same places is no other phase of this one.
    others = [replace(kit.place_of(image), series_uid="1.9", sop_uid=f"1.9.{n}") for n, image in enumerate(images)]
    beside = load(seg, [*(kit.place_of(image) for image in images), *others])
    assert beside.per_slice[:5] == annotation.per_slice
    np.testing.assert_array_equal(masks_of(annotation, kit=kit)[:3], masks[[0, 0, 2]])


@pytest.mark.parametrize("fractional_type", ["PROBABILITY", "OCCUPANCY"])
def test_med_40_fractional_segments_are_cut_at_one_half(kit, fractional_type):
    images = kit.make_series(1)
    shares = np.zeros((1, 12, 10), np.float32)
    # Of 200 steps: 99 are below one half, 100 are one half.
    shares[0, 1, 1:4] = [99 / 200, 100 / 200, 1.0]
    seg = kit.make_seg(images, shares, kind="FRACTIONAL", max_fractional_value=200, fractional_type=fractional_type)
    ((found,),) = load(seg, [kit.place_of(images[0])]).per_slice
    assert (found.box_px, found.area_px) == ((2, 1, 4, 2), 2)


def test_med_40_frames_that_begin_within_a_byte(kit):
    images = kit.make_series(5, rows=5, columns=7)
    masks = np.random.default_rng(17).random((5, 5, 7)) < 0.5
    annotation = load(kit.make_seg(images, masks), [kit.place_of(image) for image in images])
    assert [findings[0].area_px for findings in annotation.per_slice] == masks.sum(axis=(1, 2)).tolist()


@pytest.mark.parametrize(
    ("kind", "syntax"),
    [
        ("LABELMAP", pydicom.uid.RLELossless),
        ("LABELMAP", pydicom.uid.JPEG2000Lossless),
        ("LABELMAP", pydicom.uid.JPEGLSLossless),
        ("FRACTIONAL", pydicom.uid.RLELossless),
    ],
)
def test_med_40_compressed_segmentations(kit, kind, syntax):
    images, masks = kit.make_series(3, rows=40, columns=32), blob(18, 3, rows=40, columns=32)
    pixels = masks.astype(float) if kind == "FRACTIONAL" else masks.astype(np.uint8)
    seg = kit.make_seg(images, pixels, kind=kind, transfer_syntax_uid=syntax)
    assert seg.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(masks_of(load(seg, [kit.place_of(i) for i in images]), 40, 32, kit=kit), masks)


def test_med_40_label_maps(kit):
    images = kit.make_series(3)
    labels = np.zeros((3, 12, 10), np.uint8)
    labels[0, 2:5, 1:4], labels[0, 7:9, 6:9], labels[2, 0:2, 0:3] = 1, 2, 2
    kinds = [kit.segment(1), kit.segment(2, kind=codes.SCT.Spleen)]
    annotation = load(kit.make_seg(images, labels, kind="LABELMAP", segments=kinds), [kit.place_of(i) for i in images])
    assert [[(f.label, f.box_px) for f in findings] for findings in annotation.per_slice] == [
        [("Liver", (1, 2, 4, 5)), ("Spleen", (6, 7, 9, 9))], [], [("Spleen", (0, 0, 3, 2))]]  # fmt: skip
    assert annotation.classes == (("Liver", "Spleen"),) * 3
    assert not annotation.rejects


def test_med_40_components_are_things_of_their_own(kit):
    images = kit.make_series(1)
    mask = np.zeros((1, 12, 10), bool)
    mask[0, 1:3, 1:3] = mask[0, 3, 3] = mask[0, 8:10, 5:9] = True
    seg = kit.make_seg(images, mask)
    ((whole,),) = load(seg, [kit.place_of(images[0])]).per_slice
    assert (whole.box_px, whole.area_px, len(whole.polygons_px)) == ((1, 1, 9, 10), 13, 3)
    ((one, other),) = load(seg, [kit.place_of(images[0])], components=True).per_slice
    # The pixel at the corner belongs to the square that it touches.
    assert (one.box_px, one.area_px, other.box_px, other.area_px) == ((1, 1, 4, 4), 5, (5, 8, 9, 10), 8)
    assert one.thing != other.thing


def test_med_40_labels_are_coded_meanings_and_sides_are_attributes(kit):
    images = kit.make_series(1)
    mask = np.ones((1, 12, 10, 2), bool)
    kinds = [
        kit.segment(1, "Dr. Who", codes.SCT.Kidney, anatomic_regions=[codes.SCT.Abdomen]),
        kit.segment(2, "  left \n thing "),
    ]
    kinds[0].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
        hd.sr.CodedConcept("7771000", "SCT", "Left")
    ]
    seg = kit.make_seg(images, mask, segments=kinds)
    del seg.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0].CodeMeaning
    ((kidney, typed),) = load(seg, [kit.place_of(images[0])]).per_slice
    assert (kidney.label, kidney.attributes) == ("Kidney", {"anatomic_region": "Abdomen", "laterality": "left"})
    assert typed.label == "left thing"


def plane_image(kit, uid, rows=12, columns=10):
    """A radiograph: no place in the patient."""
    (image,) = kit.make_series(1, rows=rows, columns=columns)
    for keyword in ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(image, keyword)
    image.SOPClassUID, image.Modality, image.SOPInstanceUID = pydicom.uid.ComputedRadiographyImageStorage, "CR", uid
    return image


def test_med_40_without_frame_of_reference_by_the_image_that_is_named(kit):
    image, mask = plane_image(kit, "1.7.1"), blob(12, 1)
    seg = kit.make_seg([image], mask)
    assert "FrameOfReferenceUID" not in seg
    places = [kit.place_of(plane_image(kit, uid)) for uid in ("1.7.2", "1.7.1")]
    annotation = load(seg, places)
    assert annotation.classes == (None, ("Liver",))
    np.testing.assert_array_equal(masks_of(annotation, kit=kit)[1], mask[0])
    # Pixels that were moved on the way are not those of the image.
    both = kit.make_seg([image], mask)
    source = both.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    source.SpatialLocationsPreserved = "NO"
    moved = load(both, places)
    assert (moved.per_slice, moved.classes) == (((), ()), (None, None))
    assert [reject.reason for reject in moved.rejects] == ["segment-off-slices"]
    # Without a place there is no way to bring another size to the image.
    annotation = load(seg, [kit.place_of(plane_image(kit, "1.7.1", rows=24, columns=20))])
    assert (annotation.per_slice, annotation.classes) == (((),), (None,))
    assert [reject.reason for reject in annotation.rejects] == ["segment-size"]


def test_med_40_another_frame_of_reference_is_another_space(kit):
    images = kit.make_series(2)
    seg = kit.make_seg(images, blob(13, 2))
    strangers = copy.deepcopy(images)
    for number, image in enumerate(strangers):
        image.FrameOfReferenceUID, image.SOPInstanceUID, image.SeriesInstanceUID = "1.2.77", f"1.6.{number}", "1.6"
    annotation = load(seg, [kit.place_of(image) for image in strangers])
    assert annotation.classes == (None, None)
    assert [(reject.reason, reject.message[:8]) for reject in annotation.rejects] == [
        ("segment-off-slices", "2 frames")
    ]


def test_med_40_damaged_segmentations_are_rejects_without_texts_of_the_file(kit):
    images = kit.make_series(2)
    places = [kit.place_of(image) for image in images]
    cut = kit.make_seg(images, np.ones((2, 12, 10), bool))
    cut.PixelData = cut.PixelData[:20]
    nothing = kit.make_seg(images, blob(15, 2))
    nothing.SegmentSequence = []
    strange = kit.make_seg(images, blob(16, 2))
    strange.SegmentSequence[0].SegmentNumber = 7
    for seg, reason in ((cut, "segmentation"), (nothing, "segmentation"), (strange, "segment-undescribed")):
        annotation = load(seg, places)
        assert not any(annotation.per_slice)
        assert [reject.reason for reject in annotation.rejects] == [reason]
        assert annotation.rejects[0].input == "seg-1" and annotation.rejects[0].action
        assert "1.2.3" not in annotation.rejects[0].message


# Real files


def files(real_data):
    return real_data / "medical/ImagingDataCommons__highdicom/data/test_files"


def series_of(real_data, kit, folder):
    root = real_data / "medical/robyoung__dicom-test-files/data/dcmqi/segmentations"
    return root, [kit.read_real(path) for path in sorted((root / folder).glob("*.dcm.zst"))]


@pytest.mark.parametrize("name", ["liver.dcm.zst", "partial_overlaps.dcm.zst"])
def test_med_40_real_segmentations_agree_with_highdicom(real_data, kit, name):
    root, images = series_of(real_data, kit, "ct-3slice")
    seg = kit.read_real(root / name)
    reader = hd.seg.Segmentation.from_dataset(seg, copy=True)
    uids = [image.SOPInstanceUID for image in images[::-1]]
    annotation = load(seg, [kit.place_of(image) for image in images[::-1]])
    expected = reader.get_pixels_by_source_instance(
        uids, assert_missing_frames_are_empty=True, ignore_spatial_locations=True
    )
    numbers = sorted(reader.segment_numbers)
    for findings, planes in zip(annotation.per_slice, expected, strict=True):
        assert {int(found.thing.split("/")[1]): found.area_px for found in findings} == {
            number: planes[..., place].sum() for place, number in enumerate(numbers) if planes[..., place].any()
        }
        for found in findings:
            ys, xs = np.nonzero(planes[..., numbers.index(int(found.thing.split("/")[1]))])
            assert found.box_px == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert not annotation.rejects


@pytest.mark.parametrize("size", ["24x38x3", "23x38x3"])
def test_med_40_real_segmentation_of_a_cube(real_data, kit, size):
    root, images = series_of(real_data, kit, f"{size}/image")
    seg = kit.read_real(root / size / "seg/label.seg.zst")
    annotation = load(seg, [kit.place_of(image) for image in images])
    reader = hd.seg.Segmentation.from_dataset(seg, copy=True)
    planes = reader.get_pixels_by_source_instance(
        [i.SOPInstanceUID for i in images], assert_missing_frames_are_empty=True, ignore_spatial_locations=True
    )
    assert [sum(f.area_px for f in findings) for findings in annotation.per_slice] == planes.sum(
        axis=(1, 2, 3)
    ).tolist()
    assert all(names == ("Liver",) for names in annotation.classes)


@pytest.mark.parametrize("name", ["binary", "binary_overlap", "binary_fractional", "true_fractional"])
def test_med_40_real_segmentations_by_their_own_frames(real_data, kit, name):
    """The CT of these files is not there: slices are made from the places of the frames."""
    seg = pydicom.dcmread(files(real_data) / f"seg_image_ct_{name}.dcm")
    shared = seg.SharedFunctionalGroupsSequence[0]
    positions = {tuple(g.PlanePositionSequence[0].ImagePositionPatient) for g in seg.PerFrameFunctionalGroupsSequence}
    images = kit.make_series(
        len(positions),
        rows=seg.Rows,
        columns=seg.Columns,
        spacing=shared.PixelMeasuresSequence[0].PixelSpacing,
        cosines=[float(c) for c in shared.PlaneOrientationSequence[0].ImageOrientationPatient],
    )
    for image, position in zip(images, sorted(positions), strict=True):
        image.ImagePositionPatient, image.FrameOfReferenceUID = list(position), seg.FrameOfReferenceUID
    annotation = load(seg, [kit.place_of(image) for image in images])
    pixels = seg.pixel_array
    limit = 0.5 * seg.MaximumFractionalValue if seg.SegmentationType == "FRACTIONAL" else 1
    assert sum(found.area_px for findings in annotation.per_slice for found in findings) == (pixels >= limit).sum()
    for group, frame in zip(seg.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        place = sorted(positions).index(tuple(group.PlanePositionSequence[0].ImagePositionPatient))
        areas = [f.area_px for f in annotation.per_slice[place] if f.thing == f"seg-1/{number}"]
        assert areas == ([(frame >= limit).sum()] if (frame >= limit).any() else [])
    assert not annotation.rejects


def test_med_40_real_radiograph_and_single_frame(real_data, kit):
    seg = pydicom.dcmread(files(real_data) / "seg_image_cr_binary.dcm")
    source = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    image = plane_image(kit, source.ReferencedSOPInstanceUID, rows=16, columns=16)
    ((found,),) = load(seg, [kit.place_of(image)]).per_slice
    assert found.area_px == seg.pixel_array.sum()
    seg = pydicom.dcmread(files(real_data) / "seg_image_ct_binary_single_frame.dcm")
    ((found,),) = load(seg, [kit.place_of(pydicom.dcmread(files(real_data) / "ct_image.dcm"))]).per_slice
    assert (found.label, found.area_px) == ("Bone", seg.pixel_array.sum())


def test_med_40_segmentations_of_whole_slides_are_rejected(real_data, kit):
    found = sorted(files(real_data).glob("seg_image_sm_*.dcm"))
    assert len(found) == 6
    for path in found:
        annotation = load(pydicom.dcmread(path), [kit.place_of(image) for image in kit.make_series(2)])
        assert [reject.reason for reject in annotation.rejects] == ["whole-slide"]
        assert annotation.classes == (None, None)
