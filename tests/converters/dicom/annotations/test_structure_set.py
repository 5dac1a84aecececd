from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file

from domainvl.converters.dicom.annotations.loading import load_annotation
from domainvl.converters.dicom.instance import Kind


def structure_set(kit, structures, *, named=()):
    """A structure set of names and lists of contours; a contour is an array of points, or a pair of kind and points."""
    dataset = Dataset()
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(structures, start=1):
        region, drawn = Dataset(), Dataset()
        region.ROINumber, region.ROIName = number, name
        region.ReferencedFrameOfReferenceUID = kit.FRAME_OF_REFERENCE
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for contour in contours:
            kind, points = contour if isinstance(contour, tuple) else ("CLOSED_PLANAR", contour)
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = kind, len(points)
            item.ContourData = [f"{value:.9g}" for value in np.ravel(points)]
            drawn.ContourSequence.append(item)
        dataset.StructureSetROISequence.append(region)
        dataset.ROIContourSequence.append(drawn)
    series, study, reference = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID, series.ContourImageSequence = "1.2.3.3", []
    for uid in named:
        image = Dataset()
        image.ReferencedSOPInstanceUID = uid
        series.ContourImageSequence.append(image)
    study.RTReferencedSeriesSequence, reference.RTReferencedStudySequence = [series], [study]
    reference.FrameOfReferenceUID = kit.FRAME_OF_REFERENCE
    dataset.ReferencedFrameOfReferenceSequence = [reference]
    return dataset


def at_centres(image, points):
    """Points at the centres of pixels given as (column, row), by PS3.3 C.7.6.2.1.1, in mm."""
    cosines = np.array([float(cosine) for cosine in image.ImageOrientationPatient])
    row_mm, column_mm = (float(value) for value in image.PixelSpacing)
    columns, rows = np.array(points, float).T
    start = np.array([float(value) for value in image.ImagePositionPatient])
    return start + np.outer(columns * column_mm, cosines[:3]) + np.outer(rows * row_mm, cosines[3:])


def square(image, low, high):
    return at_centres(image, [(low, low), (high, low), (high, high), (low, high)])


def load(dataset, images, kit):
    return load_annotation(dataset, Kind.STRUCTURE_SET, [kit.place_of(image) for image in images], name="rt-1")


@pytest.mark.parametrize("cosines", ["AXIAL", "OBLIQUE"])
def test_med_41_square_ring_has_its_exact_area_and_place(kit, cosines):
    """From the centre of pixel 1 to that of pixel 7, with a hole from 3 to 5: 36 - 4 pixels."""
    images = kit.make_series(4, cosines=getattr(kit, cosines))
    dataset = structure_set(kit, [("Cord", [square(images[2], 1, 7), square(images[2], 3, 5)])])
    annotation = load(dataset, images, kit)
    assert [len(findings) for findings in annotation.per_slice] == [0, 0, 1, 0]
    (found,) = annotation.per_slice[2]
    assert (found.label, found.thing) == ("Cord", "rt-1/1")
    assert found.box_px == pytest.approx((1.5, 1.5, 7.5, 7.5), abs=1e-6)
    assert found.area_px == pytest.approx(32, abs=1e-5)
    assert len(found.polygons_px) == 1
    assert not annotation.rejects


def test_med_41_concentric_contours_alternate(kit):
    """Squares of 8, 6, 4 and 2 pixels, whatever their order: area (64 - 36) + (16 - 4), two rings outside."""
    images = kit.make_series(1)
    contours = [square(images[0], low, 9 - low) for low in (2.5, 0.5, 3.5, 1.5)]
    ((found,),) = load(structure_set(kit, [("Wall", contours)]), images, kit).per_slice
    assert found.area_px == pytest.approx(28 + 12, abs=1e-5)
    assert len(found.polygons_px) == 2
    assert found.box_px == pytest.approx((1, 1, 9, 9), abs=1e-6)


def test_med_41_hole_on_a_bridge(kit):
    """One contour that goes in to its hole and comes back the same way."""
    images = kit.make_series(1)
    path = [(0, 0), (8, 0), (8, 8), (0, 8), (0, 0), (2, 2), (2, 6), (6, 6), (6, 2), (2, 2)]
    ((found,),) = load(structure_set(kit, [("Wall", [at_centres(images[0], path)])]), images, kit).per_slice
    assert found.area_px == pytest.approx(64 - 16, abs=1e-5)


def test_med_41_two_parts_are_one_thing(kit):
    images = kit.make_series(1)
    parts = [square(images[0], 0, 2), square(images[0], 5, 8)]
    ((found,),) = load(structure_set(kit, [("Lung", parts)]), images, kit).per_slice
    assert (len(found.polygons_px), found.box_px) == (2, pytest.approx((0.5, 0.5, 8.5, 8.5), abs=1e-6))
    assert found.area_px == pytest.approx(4 + 9, abs=1e-5)


def test_med_41_contours_belong_to_the_slice_they_lie_in(kit):
    """Slices 2.5 mm apart: 1.2 mm off is the slice, 1.3 mm is the next one; beyond the ends it is none."""
    images = kit.make_series(3)
    step = np.array([0, 0, 1.0])
    for offset, expected in ((1.2, [1]), (1.3, [2]), (-1.3, [0]), (1.25, [1]), (-1.25, [0])):
        annotation = load(structure_set(kit, [("A", [square(images[1], 1, 5) + offset * step])]), images, kit)
        assert [index for index, findings in enumerate(annotation.per_slice) if findings] == expected
    annotation = load(structure_set(kit, [("A", [square(images[2], 1, 5) + 1.3 * step])]), images, kit)
    assert not any(annotation.per_slice)
    assert [(reject.reason, reject.severity) for reject in annotation.rejects] == [("contour-off-slices", "skipped")]


def test_med_41_denser_contours_do_not_cancel_each_other(kit):
    """Contours each millimetre on slices each 2.5 mm: the nearest is taken, not the exclusive or of all."""
    images = kit.make_series(2)
    contours = [square(images[0], 1, high) + np.array([0, 0, up]) for high, up in ((3, -0.9), (5, 0.1), (8, 1.1))]
    annotation = load(structure_set(kit, [("A", contours)]), images, kit)
    assert annotation.per_slice[0][0].area_px == pytest.approx(16, abs=1e-5)
    (reject,) = annotation.rejects
    assert (reject.reason, reject.message[:10]) == ("contour-between-slices", "2 contours")


def test_med_41_contours_outside_of_the_image_are_skipped_and_counted(kit):
    images = kit.make_series(1)
    contours = [square(images[0], 20, 25), square(images[0], 30, 35)]
    annotation = load(structure_set(kit, [("Arm", contours), ("Leg", [square(images[0], 8, 12)])]), images, kit)
    ((arm, leg),) = annotation.per_slice
    assert (arm.label, arm.clear, arm.box_px) == ("Arm", False, None)
    # What reaches over the border is whole here; the image cuts it.
    assert leg.box_px == pytest.approx((8.5, 8.5, 12.5, 12.5), abs=1e-6)
    assert [(reject.reason, reject.message[:10]) for reject in annotation.rejects] == [
        ("contour-outside", "2 contours")
    ]


def test_med_41_points_and_open_contours(kit):
    images = kit.make_series(3)
    line = at_centres(images[0], [(1, 1), (4, 4), (6, 2)])
    dataset = structure_set(
        kit, [("Iso", [("POINT", at_centres(images[1], [(3, 4)]))]), ("Wire", [("OPEN_PLANAR", line)])]
    )
    annotation = load(dataset, images, kit)
    (point,) = annotation.per_slice[1]
    assert (point.label, point.box_px) == ("Iso", None)
    assert point.point_px == pytest.approx((3.5, 4.5), abs=1e-6)
    assert [reject.reason for reject in annotation.rejects] == ["contour-open"]
    assert annotation.classes == (None, ("Iso",), None)


def test_med_41_a_structure_set_says_of_nothing_that_it_is_absent(kit):
    """Contours on every other slice, and every image named: what has no contour on a slice may be there."""
    images = kit.make_series(6)
    sparse = [square(images[index], 1, 5) for index in (1, 3)]
    dense = [square(images[index], 1, 5) for index in (2, 3, 4)]
    structures = [("Sparse", sparse), ("Dense", dense), ("Undrawn", [])]
    annotation = load(structure_set(kit, structures, named=[image.SOPInstanceUID for image in images]), images, kit)
    assert annotation.classes == (None, ("Sparse",), ("Dense",), ("Dense", "Sparse"), ("Dense",), None)
    for findings, classes in zip(annotation.per_slice, annotation.classes, strict=True):
        assert {found.label for found in findings} == set(classes or ())
    assert [reject.reason for reject in annotation.rejects] == ["structure-empty"]


def test_med_41_a_contour_across_the_slices_leaves_its_structure_uncertain_on_these(kit):
    """Slices at 40, 42.5, 45 and 47.5 mm; a contour that stands from 38 to 44 mm, and one in the plane of each."""
    images = kit.make_series(4)
    upright = np.array([[0, 5, 38], [4, 5, 38], [4, 5, 44], [0, 5, 44]], float)
    flat = [square(image, 1, 5) for image in images]
    annotation = load(structure_set(kit, [("Both", [*flat, upright]), ("Flat", flat)]), images, kit)
    # 44 mm is within half a spacing of the slice at 45 mm.
    assert annotation.classes == (("Flat",),) * 3 + (("Both", "Flat"),)
    assert [reject.reason for reject in annotation.rejects] == ["contour-off-slices"]


def test_med_41_a_structure_may_be_several_things_unless_parts_are_asked_for(kit):
    images = kit.make_series(2)
    parts = [square(images[1], 5, 8), square(images[1], 0, 2)]
    dataset = structure_set(kit, [("Kidneys", parts), ("Iso", [("POINT", at_centres(images[1], [(3, 4)]))])])
    kidneys, point = load(dataset, images, kit).per_slice[1]
    assert (len(kidneys.polygons_px), kidneys.is_one_thing, point.is_one_thing) == (2, False, True)
    places = [kit.place_of(image) for image in images]
    annotation = load_annotation(dataset, Kind.STRUCTURE_SET, places, name="rt-1", components=True)
    one, other, _ = annotation.per_slice[1]
    assert [(found.thing, found.is_one_thing) for found in (one, other)] == [("rt-1/1/2.1", True), ("rt-1/1/2.2", True)]
    assert [found.area_px for found in (one, other)] == pytest.approx([4, 9], abs=1e-5)
    assert one.box_px == pytest.approx((0.5, 0.5, 2.5, 2.5), abs=1e-6)
    assert other.box_px == pytest.approx((5.5, 5.5, 8.5, 8.5), abs=1e-6)


def test_med_41_contours_of_one_phase_say_nothing_of_the_other(kit):
    """Two phases of one series at the same places, of which the set names the first."""
    first, second = kit.make_series(3), kit.make_series(3)
    for number, image in enumerate(second):
        image.SOPInstanceUID = f"1.2.3.4.2.{number}"
    structures = [("A", [square(image, 1, 5) for image in first])]
    dataset = structure_set(kit, structures, named=[image.SOPInstanceUID for image in first])
    annotation = load(dataset, [*second, *first], kit)
    assert [len(findings) for findings in annotation.per_slice] == [0, 0, 0, 1, 1, 1]
    assert annotation.classes == (None,) * 3 + (("A",),) * 3
    assert not annotation.rejects
    alone = load(dataset, second, kit)
    assert (alone.per_slice, alone.classes) == (((),) * 3, (None,) * 3)
    assert [reject.message[:10] for reject in alone.rejects] == ["3 contours"]
    # Where it names no image it is about all at the place.
    anywhere = load(structure_set(kit, structures), [*second, *first], kit)
    assert [len(findings) for findings in anywhere.per_slice] == [1] * 6


def test_med_41_another_frame_of_reference_is_another_space(kit):
    images = kit.make_series(2)
    dataset = structure_set(kit, [("A", [square(images[0], 1, 5)])], named=[image.SOPInstanceUID for image in images])
    for image in images:
        image.FrameOfReferenceUID = "1.2.77"
    annotation = load(dataset, images, kit)
    assert annotation.classes == (None, None) and not any(annotation.per_slice)


def test_med_41_malformed_contours(kit):
    images = kit.make_series(2)
    flat = at_centres(images[0], [(1, 1), (4, 4), (6, 6)])
    dataset = structure_set(kit, [("A", [square(images[0], 1, 5)]), ("B", [flat, square(images[1], 1, 5)]), (" ", [])])
    dataset.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2"]
    annotation = load(dataset, images, kit)
    assert [[found.label for found in findings] for findings in annotation.per_slice] == [[], ["B"]]
    # Of B a part could not be read: that this is all of it is not said.
    assert annotation.classes == (None, ())
    assert {(reject.reason, reject.message[0]) for reject in annotation.rejects} == {
        ("contour-malformed", "2"), ("structure-unnamed", "1")}  # fmt: skip


def inside(points, rows, columns):
    """Pixels whose centres see an odd number of edges to their right."""
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    crossings = np.zeros((rows, columns), int)
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y1 != y2:
            crossings += ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return crossings % 2 == 1


def test_med_41_real_structure_set_agrees_with_counted_crossings(real_data, kit):
    folder = real_data / "medical/dicompyler__dicompyler-core/tests/testdata/example_data"
    image, dataset = pydicom.dcmread(folder / "ct.0.dcm"), pydicom.dcmread(folder / "rtss.dcm")
    annotation = load(dataset, [image], kit)
    ((body,),) = annotation.per_slice
    assert (body.label, body.attributes) == ("BODY", {"roi_type": "external"})
    height = float(image.ImagePositionPatient[2])
    mask, outlines = np.zeros((512, 512), bool), []
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        if abs(points[0, 2] - height) < 0.01:  # the set rounds to 0.01 mm
            pixels = (points[:, :2] - np.array(image.ImagePositionPatient, float)[:2]) / float(image.PixelSpacing[0])
            mask ^= inside(pixels, 512, 512)
            outlines.append(pixels)
    assert body.area_px == pytest.approx(mask.sum(), rel=0.002)
    # Rings have no holes.
    filled = kit.shown(body.polygons_px, 512, 512)
    assert not (mask & ~filled).any()
    corners = np.vstack(outlines) + 0.5
    assert body.box_px == pytest.approx((*corners.min(axis=0), *corners.max(axis=0)), abs=1e-6)
    counts = {reject.reason: int(reject.message.split()[0]) for reject in annotation.rejects}
    total = sum(len(item.get("ContourSequence", [])) for item in dataset.ROIContourSequence)
    on_slice = sum(
        abs(float(contour.ContourData[2]) - height) < 0.01
        for item in dataset.ROIContourSequence for contour in item.get("ContourSequence", [])
    )  # fmt: skip
    assert counts == {"contour-off-slices": total - on_slice, "structure-empty": 1}


def test_med_41_structure_set_of_the_wheel(kit):
    """Three rectangles and two points, without images: slices are made where they lie."""
    dataset = pydicom.dcmread(get_testdata_file("rtstruct.dcm", download=False), force=True)
    images = kit.make_series(3, rows=300, columns=300, spacing=(2, 2), gap=10.0, start=(-300, -300, -200))
    for image in images:
        image.FrameOfReferenceUID = dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID
    annotation = load(dataset, images, kit)
    for findings, contour in zip(annotation.per_slice, dataset.ROIContourSequence[0].ContourSequence, strict=True):
        (found,) = findings
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        x, y = ((points[:, axis] + 300) / 2 + 0.5 for axis in (0, 1))
        assert found.box_px == pytest.approx((x.min(), y.min(), x.max(), y.max()))
        shoelace = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
        assert found.area_px == pytest.approx(shoelace)
