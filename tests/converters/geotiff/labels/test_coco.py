"""COCO: boxes, polygons, crowds, masks that are not read, and references that lead nowhere."""

import json

import pytest

from domainvl.converters.geotiff.labels.coco import CocoFile
from domainvl.errors import ItemError
from domainvl.schema import Severity

IMAGES = [{"id": 1, "file_name": "a.tif", "width": 100, "height": 80}, {"id": 2, "file_name": "b.tif"}]
CATEGORIES = [{"id": 7, "name": "ship"}, {"id": 9, "name": "harbor"}]


@pytest.fixture
def read(tmp_path):
    def write_and_read(*annotations, images=IMAGES, categories=CATEGORIES, **options):
        path = tmp_path / "labels.json"
        path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
        return CocoFile(path, "labels/labels.json", **options)

    return write_and_read


def row(number=1, **more):
    return {"id": number, "image_id": 1, "category_id": 7, "bbox": [10, 20, 30, 40], **more}


def test_a_box_is_corner_and_size(read):
    (thing,) = read(row(area=1200, iscrowd=0)).images["a.tif"].objects
    assert (thing.id, thing.name, thing.box_px) == ("1", "ship", (10, 20, 40, 60))
    assert thing.attributes == {"area": 1200} and not thing.ignored


def test_classes_are_all_categories_and_images_all_images(read):
    found = read(row())
    assert found.classes == {"ship", "harbor"}
    assert found.images["a.tif"].size_px == (100, 80)
    assert found.images["b.tif"].size_px is None and found.images["b.tif"].objects == ()


def test_polygons_come_before_boxes(read):
    parts = [[10, 20, 40, 20, 40, 60], [50, 50, 60, 50, 60, 60, 50, 60]]
    (thing,) = read(row(segmentation=parts)).images["a.tif"].objects
    assert thing.rings_px == (((10, 20), (40, 20), (40, 60)), ((50, 50), (60, 50), (60, 60), (50, 60)))
    assert thing.box_px is None


@pytest.mark.parametrize("segmentation", [[], [[]], [[], []]])
def test_an_empty_segmentation_leaves_the_box(read, segmentation):
    assert read(row(segmentation=segmentation)).images["a.tif"].objects[0].box_px == (10, 20, 40, 60)


def test_an_empty_part_beside_another_is_none(read):
    (thing,) = read(row(segmentation=[[], [10, 20, 40, 20, 40, 60]])).images["a.tif"].objects
    assert thing.rings_px == (((10, 20), (40, 20), (40, 60)),)


def test_geo_35_annotations_that_cannot_be_used_stay_known_by_their_place(read):
    found = read(row(1, category_id=3), row(2, bbox=[5, 5, 0, 9]), row(3, bbox=None), row(1), row(1))
    labels = found.images["a.tif"]
    assert [(thing.name, thing.box_px) for thing in labels.unusable] == [
        ("unknown class", (10, 20, 40, 60)),
        ("ship", (4.5, 5, 5.5, 14)),
        ("ship", (10, 20, 40, 60)),  # a second annotation with the id 1
    ]
    assert labels.unclear == ("ship",)
    assert found.images["b.tif"].unclear == ()


def test_run_length_masks_are_counted_and_their_boxes_used(read):
    mask = {"counts": [0, 10], "size": [80, 100]}
    labels = read(row(1, segmentation=mask, iscrowd=1), row(2, segmentation=mask)).images["a.tif"]
    assert [(thing.box_px, thing.ignored) for thing in labels.objects] == [
        ((10, 20, 40, 60), True),
        ((10, 20, 40, 60), False),
    ]
    (reject,) = labels.rejects
    assert (reject.reason, reject.severity) == ("run-length-mask", Severity.SKIPPED)
    assert reject.message.startswith("2 of its objects")


def test_scores_and_attributes_of_tools_are_kept(read):
    (thing,) = read(row(score=0.9, attributes={"occluded": True, "list": [1]})).images["a.tif"].objects
    assert thing.attributes == {"score": 0.9, "occluded": True}


def test_references_that_lead_nowhere_are_rejects(read):
    found = read(row(1, image_id=5), row(2, category_id=5), row(3, image_id=[1]))
    assert [(reject.input, reject.reason) for reject in found.rejects] == [
        ("labels/labels.json#1", "no-such-image"),
        ("labels/labels.json#3", "no-such-image"),
    ]
    assert [reject.reason for reject in found.images["a.tif"].rejects] == ["unknown-class"]


def test_annotations_that_cannot_be_used_are_named(read):
    bad = [
        row(1, bbox=[1, 1, 0, 5]),
        row(2, bbox=[1, 1, 5]),
        row(3, segmentation=[[1, 1, 5, 5]]),
        row(4, segmentation=[[1, 1, 5, 5, 1, 5, 7]]),
        row(5, bbox=[1, 1, True, 5]),
        row(6),
        row(6),
        "nothing",
    ]
    found = read(*bad)
    labels = found.images["a.tif"]
    assert [(reject.input.rpartition("#")[2], reject.reason) for reject in labels.rejects] == [
        *((str(number), "invalid-box") for number in range(1, 6)),
        ("6", "same-id"),
    ]
    assert [reject.input for reject in found.rejects] == ["labels/labels.json#annotations[7]"]
    assert [thing.id for thing in labels.objects] == ["6"]


def test_one_class_for_all(read):
    found = read(row(category_id=5), one_class="thing")
    assert found.classes == {"thing"} and found.images["a.tif"].objects[0].name == "thing"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "no images and no annotations and no categories"),
        ('{"images": [], "annotations": {}, "categories": []}', "no annotations"),
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"images": [{"id": 1}, {"id": 1}], "annotations": [], "categories": []}', "an id of its own"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', r"images\[0\]: file_name is missing"),
        (
            '{"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "a"}],'
            '"annotations": [], "categories": []}',
            "a is there twice",
        ),
    ],
)
def test_what_is_wrong_as_a_whole_is_said(tmp_path, content, message):
    path = tmp_path / "labels.json"
    path.write_text(content)
    with pytest.raises(ItemError, match=message):
        CocoFile(path, "labels/labels.json")
