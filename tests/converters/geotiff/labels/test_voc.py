"""Pascal VOC: the real files of DeepForest, both ways to count pixels, and XML that is refused."""

import pytest

from domainvl.converters.geotiff.labels.box_table import read_box_table
from domainvl.converters.geotiff.labels.voc import read_voc
from domainvl.errors import ItemError

DEEPFOREST = "remote_sensing/weecology__DeepForest/src/deepforest/data"


def thing(name="ship", box=(1, 1, 50, 40), more=""):
    corners = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{corners}</bndbox></object>"


@pytest.fixture
def write(tmp_path):
    def write_voc(*objects, head="<filename>a.tif</filename>", before=""):
        path = tmp_path / "a.xml"
        path.write_text(f"{before}<annotation>{head}{''.join(objects)}</annotation>")
        return path

    return write_voc


def test_geo_37_the_files_of_deepforest_count_as_its_tables_do(real_data):
    name, labels = read_voc(real_data / DEEPFOREST / "OSBS_029.xml", "l")
    table = read_box_table(real_data / DEEPFOREST / "OSBS_029.csv", "l")["OSBS_029.tif"]
    assert (name, labels.size_px) == ("OSBS_029.tif", (400, 400))
    assert [found.box_px for found in labels.objects] == [found.box_px for found in table.objects]
    assert labels.objects[0].attributes == {"difficult": False, "truncated": False, "occluded": False}


def test_geo_37_two_classes_of_deepforest(real_data):
    _, labels = read_voc(real_data / DEEPFOREST / "SOAP_061.xml", "l")
    assert {found.name for found in labels.objects} == {"Alive", "Dead"}
    assert len(labels.objects) == 37


def test_the_standard_counts_from_one_and_includes_the_last_pixel(write):
    # A box over the whole of an image of 50 x 40 px, and one over its first pixel.
    path = write(thing(box=(1, 1, 50, 40)), thing(box=(1, 1, 1, 1)))
    _, labels = read_voc(path, "l", one_based=True)
    assert [found.box_px for found in labels.objects] == [(0, 0, 50, 40), (0, 0, 1, 1)]


def test_a_zero_where_pixels_are_counted_from_one_is_a_reject(write):
    _, labels = read_voc(write(thing(box=(0, 1, 5, 5))), "labels/a.xml", one_based=True)
    (reject,) = labels.rejects
    assert (reject.input, reject.reason) == ("labels/a.xml#1", "invalid-box")
    assert "--voc-one-based" in reject.action
    assert not read_voc(write(thing(box=(0, 1, 5, 5))), "l")[1].rejects


def test_geo_35_a_box_that_starts_at_zero_where_pixels_are_counted_from_one_has_a_place(write):
    _, labels = read_voc(write(thing(box=(0, 1, 50, 40))), "l", one_based=True)
    assert [(found.name, found.box_px) for found in labels.unusable] == [("ship", (-1, 0, 50, 40))]


def test_difficult_and_truncated_are_kept(write):
    path = write(thing(more="<difficult>1</difficult><truncated>0</truncated>"))
    (found,) = read_voc(path, "l")[1].objects
    assert found.attributes == {"difficult": True, "truncated": False}


def test_parts_of_objects_are_no_objects(write):
    part = "<part><name>bow</name><bndbox><xmin>1</xmin></bndbox></part>"
    assert [found.name for found in read_voc(write(thing(more=part)), "l")[1].objects] == ["ship"]


def test_an_image_without_objects_holds_nothing(write):
    assert read_voc(write(), "l")[1].objects == ()


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height></size>"])
def test_an_unknown_size_is_none(write, size):
    assert read_voc(write(head=size), "l")[1].size_px is None


def test_objects_that_cannot_be_used_are_named(write):
    path = write(thing(), thing(box=("x", 1, 2, 2)), "<object><name>ship</name></object>", thing(name=" "))
    _, labels = read_voc(path, "labels/a.xml")
    assert [(reject.input, reject.reason) for reject in labels.rejects] == [
        ("labels/a.xml#2", "invalid-box"),
        ("labels/a.xml#3", "invalid-box"),
        ("labels/a.xml#4", "no-class"),
    ]
    assert [(thing.name, thing.box_px) for thing in labels.unusable] == [("unknown class", (1, 1, 50, 40))]
    assert labels.unclear == ("ship",)


def test_one_class_for_all(write):
    assert [found.name for found in read_voc(write(thing("a"), thing("b")), "l", one_class="roof")[1].objects] == [
        "roof",
        "roof",
    ]


def test_entities_are_refused_before_they_grow(write):
    lines = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))
    bomb = f'<?xml version="1.0"?><!DOCTYPE annotation [<!ENTITY e0 "boom">{lines}]>'
    with pytest.raises(ItemError, match="DOCTYPE") as caught:
        read_voc(write(thing(name="&e9;"), before=bomb), "labels/a.xml")
    assert caught.value.reason == "label-file"


@pytest.mark.parametrize(
    ("content", "message"), [("<annotation>", "no XML"), ("", "no XML"), ("<svg/>", "starts with <annotation>, this")]
)
def test_other_files_are_refused_by_name(tmp_path, content, message):
    path = tmp_path / "a.xml"
    path.write_text(content)
    with pytest.raises(ItemError, match=message) as caught:
        read_voc(path, "labels/a.xml")
    assert "labels/a.xml" in str(caught.value) and str(tmp_path) not in str(caught.value)
