"""xView: boxes in a property, numbers of classes, and numbers that mean nothing."""

import json

import pytest

from domainvl.converters.geotiff.labels.xview import XVIEW_CLASSES, is_xview, read_xview
from domainvl.errors import ItemError
from domainvl.schema import Severity


def feature(bounds="2671,838,2714,869", type_id=73, image_id="2355.tif", **more):
    properties = {"bounds_imcoords": bounds, "type_id": type_id, "image_id": image_id, "feature_id": 377368, **more}
    ring = [[-90.5, 14.5], [-90.4, 14.5], [-90.4, 14.6], [-90.5, 14.5]]
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}


@pytest.fixture
def write(tmp_path):
    def write_geojson(*features):
        path = tmp_path / "xView_train.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        return path

    return write_geojson


def test_geo_53_boxes_are_pixels_of_the_image(write):
    # The first feature of the file as others quote it: bounds_imcoords 2671,838,2714,869, type_id 73.
    found = read_xview(write(feature(), feature("1,2,3,4", 18, "100.tif"), feature("5,6,7,8", 18)), "labels/x.geojson")
    assert list(found) == ["2355.tif", "100.tif"]
    first, second = found["2355.tif"].objects
    assert (first.name, first.box_px) == ("Building", (2671, 838, 2714, 869))
    assert (second.name, second.box_px) == ("Small Car", (5, 6, 7, 8))
    assert first.id != second.id


def test_geo_53_there_are_sixty_classes():
    assert len(XVIEW_CLASSES) == len(set(XVIEW_CLASSES.values())) == 60
    some = {11: "Fixed-wing Aircraft", 18: "Small Car", 53: "Engineering Vehicle", 86: "Storage Tank", 94: "Tower"}
    assert {number: XVIEW_CLASSES[number] for number in some} == some
    assert (min(XVIEW_CLASSES), max(XVIEW_CLASSES)) == (11, 94)


def test_geo_53_numbers_without_meaning_are_left_out_and_listed(write):
    found = read_xview(
        write(feature(type_id=75), feature(type_id=82), feature(type_id=14), feature()), "labels/x.geojson"
    )
    labels = found["2355.tif"]
    assert [(reject.reason, reject.severity) for reject in labels.rejects] == [
        ("unknown-class", Severity.SKIPPED),
        ("unknown-class", Severity.SKIPPED),
        ("unknown-class", Severity.FAILED),
    ]
    assert "type_id 75" in labels.rejects[0].message
    assert len(labels.objects) == 1
    # An artefact is nothing; what has another number is there.
    assert [(thing.name, thing.box_px) for thing in labels.unusable] == [("unknown class", (2671, 838, 2714, 869))]


@pytest.mark.parametrize("bounds", ["1,2,3", "", "5,5,1,1", "a,b,c,d", []])
def test_boxes_that_are_none_are_rejects(write, bounds):
    labels = read_xview(write(feature(bounds), feature()), "l")["2355.tif"]
    assert [reject.reason for reject in labels.rejects] == ["invalid-box"]
    assert len(labels.objects) == 1
    if bounds == "5,5,1,1":
        assert [(thing.name, thing.box_px) for thing in labels.unusable] == [("Building", (1, 1, 5, 5))]
    else:
        assert (labels.unusable, labels.unclear) == ((), ("Building",))


def test_one_class_for_all(write):
    assert read_xview(write(feature(type_id=75)), "l", one_class="thing")["2355.tif"].objects[0].name == "thing"


def test_it_is_told_apart_from_other_geojson(tmp_path, write):
    assert is_xview(write(feature()))
    other = tmp_path / "other.geojson"
    other.write_text('{"type": "FeatureCollection", "features": []}')
    assert not is_xview(other)


@pytest.mark.parametrize(("content", "message"), [("{", "no GeoJSON"), (None, "no bounds_imcoords is there")])
def test_what_is_wrong_as_a_whole_is_said(tmp_path, write, content, message):
    path = write({**feature(), "properties": {"image_id": "a.tif", "type_id": 11}})
    if content is not None:
        path.write_text(content)
    with pytest.raises(ItemError, match=message) as caught:
        read_xview(path, "labels/x.geojson")
    assert str(tmp_path) not in str(caught.value)
