from __future__ import annotations

import math

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file

from domainvl.converters.dicom.annotations.loading import load_annotation
from domainvl.converters.dicom.instance import Kind


def code(value, scheme, meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


def content(kind, relation, name, *, children=(), **values):
    item = Dataset()
    item.ValueType, item.RelationshipType = kind, relation
    if name:
        item.ConceptNameCodeSequence = code(*name)
    for keyword, value in values.items():
        setattr(item, keyword, value)
    if children:
        item.ContentSequence = list(children)
    return item


def image_of(uid, frames=(), relation="SELECTED FROM", sop_class="1.2.840.10008.5.1.4.1.1.2"):
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class, uid
    if frames:
        reference.ReferencedFrameNumber = list(frames)
    return content("IMAGE", relation, None, ReferencedSOPSequence=[reference])


def region(kind, points, *children):
    return content("SCOORD", "CONTAINS", ("111030", "DCM", "Image Region"), children=children, GraphicType=kind,
                   GraphicData=[float(value) for value in np.ravel(points)])  # fmt: skip


def region_3d(kind, points, space, name=("111030", "DCM", "Image Region")):
    return content("SCOORD3D", "CONTAINS", name, GraphicType=kind, ReferencedFrameOfReferenceUID=space,
                   GraphicData=[float(value) for value in np.ravel(points)])  # fmt: skip


def number(name, value, unit, *children):
    measured = Dataset()
    measured.NumericValue = str(value)
    measured.MeasurementUnitsCodeSequence = code(unit, "UCUM", unit)
    return content("NUM", "CONTAINS", name, children=children, MeasuredValueSequence=[measured])


def finding(meaning="Nodule"):
    return content("CODE", "CONTAINS", ("121071", "DCM", "Finding"), ConceptCodeSequence=code("1", "SCT", meaning))


def report(*groups):
    boxes = [content("CONTAINER", "CONTAINS", ("125007", "DCM", "Measurement Group"), children=each) for each in groups]
    return content("CONTAINER", None, ("126000", "DCM", "Imaging Measurement Report"), children=boxes)


def load(dataset, places, kind=Kind.STRUCTURED_REPORT):
    return load_annotation(dataset, kind, places, name="sr-1")


@pytest.fixture
def series(kit):
    images = kit.make_series(4)
    return images, [kit.place_of(image) for image in images]


def test_med_42_regions_in_the_image_and_measured_values(series):
    images, places = series
    uid = images[2].SOPInstanceUID
    derived = content(
        "CODE", "HAS CONCEPT MOD", ("121401", "DCM", "Derivation"), ConceptCodeSequence=code("1", "SCT", "Mean")
    )
    right = content("CODE", "HAS CONCEPT MOD", ("272741003", "SCT", "Laterality"),
                    ConceptCodeSequence=code("24028007", "SCT", "Right"))  # fmt: skip
    site = content("CODE", "HAS CONCEPT MOD", ("363698007", "SCT", "Finding Site"), children=[right],
                   ConceptCodeSequence=code("2", "SCT", "Lung"))  # fmt: skip
    group = [
        finding(),
        site,
        content("TEXT", "HAS OBS CONTEXT", ("112039", "DCM", "Tracking Identifier"), TextValue="of Jane Roe"),
        number(("410668003", "SCT", "Length"), 1.7, "cm"),
        number(("1", "X", "Area"), 1.7, "cm2"),
        number(("2", "X", "Attenuation"), -12.5, "[hnsf'U]", derived),
        region("POLYLINE", [(1, 2), (5, 2), (5, 8), (1, 8), (1, 2)], image_of(uid)),
    ]  # fmt: skip
    annotation = load(report(group), places)
    assert [len(findings) for findings in annotation.per_slice] == [0, 0, 1, 0]
    (found,) = annotation.per_slice[2]
    # PS3.3 C.18.6.1.1: (0, 0) is the upper left corner of the image, so that coordinates are those of pixel edges.
    assert (found.label, found.box_px, found.area_px) == ("Nodule", (1, 2, 5, 8), 24)
    assert found.polygons_px == (((1, 2), (5, 2), (5, 8), (1, 8)),)
    assert found.attributes == {
        "finding_site": "Lung", "laterality": "right", "length_mm": 17, "area_mm2": 170, "attenuation_mean_hu": -12.5
    }  # fmt: skip
    # Nobody says that there are no other nodules, or none elsewhere.
    assert annotation.classes == (None, None, (), None)
    assert not annotation.rejects and not annotation.texts


@pytest.mark.parametrize(
    ("kind", "points", "box_px", "area_px"),
    [
        ("CIRCLE", [(5, 6), (5, 8)], (3, 4, 7, 8), math.pi * 4),
        ("ELLIPSE", [(1, 5), (9, 5), (5, 3), (5, 7)], (1, 3, 9, 7), math.pi * 8),
        # Half axes 2 sqrt 2 and sqrt 2 along the diagonals: reach sqrt(4 + 1) each way.
        ("ELLIPSE", [(3, 3), (7, 7), (6, 4), (4, 6)], (5 - 5**0.5, 5 - 5**0.5, 5 + 5**0.5, 5 + 5**0.5), math.pi * 4),
    ],
)
def test_med_42_round_regions(series, kind, points, box_px, area_px):
    images, places = series
    annotation = load(report([finding(), region(kind, points, image_of(images[0].SOPInstanceUID))]), places)
    (found,) = annotation.per_slice[0]
    assert found.box_px == pytest.approx(box_px)
    assert found.area_px == pytest.approx(area_px)
    x, y = np.array(found.polygons_px[0]).T
    assert 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) == pytest.approx(area_px, rel=0.002)


def test_med_42_lines_and_points_have_no_box(series):
    """A measured line says how long a thing is, and its box would not be that of the thing."""
    images, places = series
    uid = images[1].SOPInstanceUID
    line = content("SCOORD", "INFERRED FROM", ("121055", "DCM", "Path"), GraphicType="POLYLINE",
                   GraphicData=[1.0, 2.0, 5.0, 2.0], children=[image_of(uid)])  # fmt: skip
    groups = [
        [finding("Mass"), number(("410668003", "SCT", "Length"), 12.5, "mm", line)],
        [finding("Calcification"), region("POINT", [(3, 4)], image_of(uid))],
        [finding("Cluster"), region("MULTIPOINT", [(3, 4), (5, 6)], image_of(uid))],
    ]
    annotation = load(report(*groups), places)
    mass, calcification, cluster = annotation.per_slice[1]
    assert (mass.box_px, mass.point_px, mass.attributes) == (None, (3, 2), {"length_mm": 12.5})
    assert (calcification.box_px, calcification.point_px) == (None, (3, 4))
    # What cannot be drawn is known to be there, and not where.
    assert (cluster.box_px, cluster.point_px, cluster.clear) == (None, None, True)
    assert [reject.reason for reject in annotation.rejects] == ["measurement-graphic"]


def test_med_42_regions_in_the_patient(kit):
    images = kit.make_series(4, cosines=kit.OBLIQUE)
    places = [kit.place_of(image) for image in images]
    cosines = np.array(images[0].ImageOrientationPatient, float)
    normal = np.cross(cosines[:3], cosines[3:])
    start = np.array(images[2].ImagePositionPatient, float)
    # Centres of the pixels (1, 2), (5, 2), (5, 8) and (1, 8), 1 mm above the slice; spacing is 0.6 and 0.8 mm.
    corners = [
        start + c * 0.6 * cosines[:3] + r * 0.8 * cosines[3:] + normal for c, r in ((1, 2), (5, 2), (5, 8), (1, 8))
    ]
    space = kit.FRAME_OF_REFERENCE
    groups = [
        [finding(), region_3d("POLYGON", [*corners, corners[0]], space)],
        [finding("Tip"), region_3d("POINT", corners[:1], space)],
        [finding("Else"), region_3d("POINT", corners[:1], "1.2.77")],
        [finding("Far"), region_3d("POINT", [start + 10 * normal], space)],
    ]
    annotation = load(report(*groups), places)
    assert [[found.label for found in findings] for findings in annotation.per_slice] == [[], [], ["Nodule", "Tip"], []]
    nodule, tip = annotation.per_slice[2]
    assert nodule.box_px == pytest.approx((1.5, 2.5, 5.5, 8.5), abs=1e-6)
    assert nodule.area_px == pytest.approx(24, abs=1e-6)
    assert tip.point_px == pytest.approx((1.5, 2.5), abs=1e-6)
    assert [(r.reason, r.message[0]) for r in annotation.rejects] == [("measurement-off-slices", "2")]


def test_med_42_frames_that_are_named(kit):
    (image,) = kit.make_series(1)
    places = [kit.place_of(image, frame) for frame in range(3)]
    uid = image.SOPInstanceUID
    square = [(1, 1), (3, 1), (3, 3), (1, 3)]
    annotation = load(report([finding(), region("POLYLINE", square, image_of(uid, [3]))]), places)
    assert [len(findings) for findings in annotation.per_slice] == [0, 0, 1]
    # A region is closed even where its first point does not stand again at the end.
    assert (annotation.per_slice[2][0].box_px, annotation.per_slice[2][0].area_px) == ((1, 1, 3, 3), 4)
    annotation = load(report([finding(), region("POLYLINE", square, image_of(uid))]), places)
    assert [len(findings) for findings in annotation.per_slice] == [1, 1, 1]


def test_med_42_groups_about_a_whole_image(series):
    images, places = series
    uid = images[0].SOPInstanceUID
    density = content("CODE", "CONTAINS", ("9", "X", "Breast composition"), ConceptCodeSequence=code("c", "X", "Dense"))
    groups = [
        [density, image_of(uid, relation="CONTAINS")],
        [finding("Effusion"), image_of(uid, relation="CONTAINS")],
        [region("POINT", [(3, 4)], image_of(uid))],
        [finding("Tumour"), image_of("1.9", relation="CONTAINS", sop_class="1.2.840.10008.5.1.4.1.1.66.4")],
    ]
    annotation = load(report(*groups), places)
    assert annotation.described == ((("Breast composition", "Dense"),), (), (), ())
    ((effusion,), *_) = annotation.per_slice
    assert (effusion.label, effusion.box_px, effusion.clear) == ("Effusion", None, True)
    assert [reject.reason for reject in annotation.rejects] == ["measurement-unnamed", "measurement-of-segment"]


def test_med_42_values_that_cannot_be_told_apart(series):
    images, places = series
    length = ("410668003", "SCT", "Length")
    empty = content("NUM", "CONTAINS", length)
    group = [finding(), number(length, 3, "mm"), number(length, 4, "mm"), empty,
             image_of(images[0].SOPInstanceUID, relation="CONTAINS")]  # fmt: skip
    annotation = load(report(group), places)
    assert annotation.per_slice[0][0].attributes == {"length_mm": 3}
    assert [reject.reason for reject in annotation.rejects] == ["measurement-repeated", "measurement-value"]


def test_med_42_texts_of_plain_reports_with_their_sections():
    heading = ("121070", "DCM", "Findings")
    tree = content("CONTAINER", None, ("18748-4", "LN", "Diagnostic imaging report"), children=[
        content("TEXT", "HAS OBS CONTEXT", ("121008", "DCM", "Person Observer Name"), TextValue="Jane Roe"),
        content("CONTAINER", "CONTAINS", heading, children=[
            content("TEXT", "CONTAINS", ("121071", "DCM", "Finding"), TextValue="Lungs clear."),
            content("TEXT", "CONTAINS", ("121071", "DCM", "Finding"), TextValue="No effusion."),
        ]),
        content("TEXT", "CONTAINS", ("121077", "DCM", "Conclusion"), TextValue="Normal."),
    ])  # fmt: skip
    assert load(tree, []).texts == (
        ("Findings", "Lungs clear."),
        ("Findings", "No effusion."),
        ("Conclusion", "Normal."),
    )


def test_med_42_key_objects_name_slices(series):
    images, places = series
    named = [image_of(images[index].SOPInstanceUID, relation="CONTAINS") for index in (2, 0)]
    text = content("TEXT", "CONTAINS", ("113012", "DCM", "Key Object Description"), TextValue="see here")
    note = content("CONTAINER", None, ("113000", "DCM", "Of Interest"), children=[text, *named, image_of("1.9")])
    annotation = load(note, places, Kind.KEY_OBJECTS)
    assert annotation.key_slices == (0, 2)
    assert annotation.texts == (("Key Object Description", "see here"),)
    assert annotation.classes == (None,) * 4
    assert [reject.reason for reject in annotation.rejects] == ["key-objects-off-slices"]
    note.ConceptNameCodeSequence = code("113001", "DCM", "Rejected for Quality Reasons")
    annotation = load(note, places, Kind.KEY_OBJECTS)
    assert annotation.key_slices == ()
    assert [reject.reason for reject in annotation.rejects] == ["key-objects-rejected"]


def test_med_42_key_objects_as_highdicom_writes_them(kit):
    images = kit.make_series(3)
    title = pydicom.sr.codedict.codes.DCM.OfInterest
    document = hd.ko.KeyObjectSelectionDocument(
        evidence=images,
        content=hd.ko.KeyObjectSelection(document_title=title, referenced_objects=images[1:2]),
        series_instance_uid="1.2.3.8", series_number=1, sop_instance_uid="1.2.3.8.1", instance_number=1,
        manufacturer="m", manufacturer_model_name="m", software_versions="1", device_serial_number="1",
    )  # fmt: skip
    annotation = load(kit.written(document), [kit.place_of(image) for image in images], Kind.KEY_OBJECTS)
    assert annotation.key_slices == (1,)


# Real files


def test_med_42_real_reports_agree_with_highdicom(real_data, kit):
    folder = real_data / "medical/ImagingDataCommons__highdicom/data/test_files"
    place = kit.place_of(pydicom.dcmread(folder / "ct_image.dcm"))
    checked = 0
    for name in ("sr_document.dcm", "sr_document_with_multiple_groups.dcm"):
        annotation = load(pydicom.dcmread(folder / name), [place])
        expected = {}
        for group in hd.sr.srread(folder / name).content.get_planar_roi_measurement_groups():
            (values,) = (group.get_measurements(),)
            expected[group.finding_type.meaning] = (
                group.roi,
                {v.name.meaning: (v.value, v.unit.value) for v in values},
            )
        found = {thing.label: thing for thing in annotation.per_slice[0]}
        assert found.keys() == expected.keys()
        for label, (roi, values) in expected.items():
            thing = found[label]
            points = roi.value
            if roi.graphic_type.value == "CIRCLE":
                radius = np.linalg.norm(points[1] - points[0])
                box = (*(points[0] - radius), *(points[0] + radius))
            else:
                box = (*points.min(axis=0), *points.max(axis=0))
            assert thing.box_px == pytest.approx(box)
            for meaning, (value, unit) in values.items():
                factor, suffix = {"cm2": (100, "mm2"), "mm": (1, "mm")}[unit]
                assert thing.attributes[f"{meaning.lower().replace(' ', '_')}_{suffix}"] == pytest.approx(
                    value * factor
                )
            checked += 1
    assert checked == 3
    # The group about the whole image, and the point that is 38 mm away from it.
    assert annotation.described == ((("Anatomical position (finding)", "Level of T4/T5 intervertebral disc"),),)
    assert [reject.reason for reject in annotation.rejects] == ["measurement-off-slices"]


def test_med_42_real_report_about_a_segment(real_data, kit):
    path = real_data / "medical/robyoung__dicom-test-files/data/dcmqi/sr-example/sr.dcm.zst"
    annotation = load(kit.read_real(path), [kit.place_of(image) for image in kit.make_series(2)])
    assert [reject.reason for reject in annotation.rejects] == ["measurement-of-segment"]


@pytest.mark.parametrize(("name", "count"), [("reportsi.dcm", 1), ("test-SR.dcm", 5)])
def test_med_42_reports_of_the_wheel(name, count):
    annotation = load(pydicom.dcmread(get_testdata_file(name, download=False), force=True), [])
    assert len(annotation.texts) == count
    assert all(heading and text for heading, text in annotation.texts)
