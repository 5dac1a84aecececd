"""Which format a label file is of, and which scene its labels are for."""

import json
import pickle
from pathlib import Path

import pytest

from domainvl.converters.geotiff.labels.pixel_sources import (
    PixelLabelOptions,
    look_at_pixel_labels,
    pixel_label_kind,
)
from domainvl.errors import NothingToDoError, UsageError

DEEPFOREST = "remote_sensing/weecology__DeepForest/src/deepforest/data"
HEAD = "image_path,xmin,ymin,xmax,ymax,label\n"
XVIEW = '{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": null, "properties": {%s}}]}'
BOX = '"bounds_imcoords": "1,1,2,2", "type_id": 11, "image_id": "a.tif"'


def voc(*names, filename="a.tif"):
    corners = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>"
    objects = "".join(f"<object><name>{name}</name>{corners}</object>" for name in names)
    return f"<annotation><filename>{filename}</filename>{objects}</annotation>"


@pytest.fixture
def write(tmp_path):
    def write_files(**files) -> Path:
        folder = tmp_path / "labels"
        for name, content in files.items():
            path = folder / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return folder

    return write_files


@pytest.fixture
def table(write):
    def write_table(*rows, head=HEAD):
        return write(b_dot_csv=head + "\n".join(rows) + "\n") / "b.csv"

    return write_table


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", HEAD, "box-table"),
        ("a.csv", "scene,label\n", None),
        ("a.xml", "", "voc"),
        ("a.txt", "", "dota"),
        ("a.json", '{"images": []}', "coco"),
        ("a.json", '{"type": "FeatureCollection"}', None),
        ("a.json", XVIEW % BOX, "xview"),
        ("a.GeoJSON", XVIEW % BOX, "xview"),
        ("a.geojson", XVIEW % '"class": "barn"', None),
        ("a.gpkg", "", None),
    ],
)
def test_a_format_is_known_by_its_look(tmp_path, name, content, kind):
    (tmp_path / name).write_text(content)
    assert pixel_label_kind(tmp_path / name) == kind
    assert pixel_label_kind(tmp_path) == kind


def test_what_gdal_keeps_beside_a_scene_is_no_label_file(write):
    assert pixel_label_kind(write(**{"a.tif.aux.xml": "", "a.tif": ""})) is None


def test_a_folder_of_several_formats_is_refused(write):
    with pytest.raises(UsageError, match="several formats are in it: dota, voc"):
        pixel_label_kind(write(a_dot_xml="", b_dot_txt=""))


@pytest.mark.parametrize("name", ["OSBS_029.csv", "OSBS_029.xml"])
def test_geo_37_deepforest_finds_its_scene(real_data, name):
    source = look_at_pixel_labels(real_data / DEEPFOREST / name)
    matched = source.match(["OSBS_029.tif", "australia.tif"])
    assert source.classes == ("Tree",)
    assert list(source.sources) == [f"labels/{name}"]
    assert {uri: len(labels.objects) for uri, labels in matched.labels.items()} == {"OSBS_029.tif": 61}
    assert matched.rejects == ()


def test_geo_37_voc_of_an_image_by_its_own_name(real_data):
    source = look_at_pixel_labels(real_data / DEEPFOREST / "SOAP_061.xml")
    assert source.classes == ("Alive", "Dead")
    assert len(source.match(["plots/SOAP_061.png"]).labels["plots/SOAP_061.png"].objects) == 37


@pytest.mark.parametrize(
    "named", ["2020/a.tif", "a.tif", "a", "2020/a", "data/2020/a.tif", "2020\\a.tif", "./2020/a.tif"]
)
def test_scenes_by_path_name_or_stem(table, named):
    matched = look_at_pixel_labels(table(f"{named},1,1,2,2,Tree")).match(["2020/a.tif", "2020/b.tif"])
    assert list(matched.labels) == ["2020/a.tif"] and matched.rejects == ()


@pytest.mark.parametrize("named", ["2019/a.tif", "b.tif", "a.png", "A.tif"])
def test_labels_without_a_scene_are_rejects(table, named):
    matched = look_at_pixel_labels(table(f"{named},1,1,2,2,Tree")).match(["2020/a.tif"])
    assert not matched.labels
    assert [(reject.input, reject.reason) for reject in matched.rejects] == [(f"labels/b.csv#{named}", "no-such-scene")]


def test_a_name_that_several_scenes_have_is_given_to_none(table):
    matched = look_at_pixel_labels(table("a.tif,1,1,2,2,Tree")).match(["2019/a.tif", "2020/a.tif"])
    assert not matched.labels
    assert [(reject.input, reject.reason) for reject in matched.rejects] == [
        ("2019/a.tif", "ambiguous-labels"),
        ("2020/a.tif", "ambiguous-labels"),
    ]


def test_a_whole_path_is_no_doubt(table):
    rows = ["a.tif,1,1,2,2,Tree", "sub/a.tif,3,3,4,4,Tree"]
    matched = look_at_pixel_labels(table(*rows)).match(["a.tif", "sub/a.tif"])
    assert {uri: labels.objects[0].box_px for uri, labels in matched.labels.items()} == {
        "a.tif": (1, 1, 2, 2),
        "sub/a.tif": (3, 3, 4, 4),
    }


def test_a_scene_with_two_labels_gets_none(table):
    matched = look_at_pixel_labels(table("a.tif,1,1,2,2,Tree", "a,1,1,2,2,Tree")).match(["a.tif"])
    assert not matched.labels
    assert [(reject.input, reject.reason) for reject in matched.rejects] == [("a.tif", "ambiguous-labels")]


def test_a_file_an_image_goes_by_its_name_then_by_what_it_says(write):
    folder = write(a_dot_xml=voc("ship", filename="old.tif"), c_dot_xml=voc("barn", filename="b.tif"))
    matched = look_at_pixel_labels(folder).match(["a.tif", "b.tif", "old.tif"])
    assert {uri: labels.objects[0].name for uri, labels in matched.labels.items()} == {"a.tif": "ship", "b.tif": "barn"}


def test_one_bad_file_costs_its_scene_only(write):
    folder = write(a_dot_xml="<annotation>", b_dot_xml=voc("ship"), sub__c_dot_xml=voc("barn"))
    source = look_at_pixel_labels(folder)
    matched = source.match(["a.tif", "b.tif", "c.tif"])
    assert source.classes == ("barn", "ship")
    assert list(source.sources) == ["labels/a.xml", "labels/b.xml", "labels/sub/c.xml"]
    assert list(matched.labels) == ["b.tif", "c.tif"]
    assert [(reject.input, reject.reason) for reject in matched.rejects] == [("a.tif", "label-file")]
    assert "no XML" in matched.rejects[0].message


def test_the_one_file_must_be_readable(write):
    with pytest.raises(UsageError, match="no XML"):
        look_at_pixel_labels(write(a_dot_xml="<annotation>") / "a.xml")
    with pytest.raises(UsageError, match="no table of boxes, COCO"):
        look_at_pixel_labels(write(x_dot_gpkg="") / "x.gpkg")


def test_a_table_without_any_object_is_nothing_to_do(table):
    with pytest.raises(NothingToDoError, match="no object that can be used"):
        look_at_pixel_labels(table("a.tif,5,5,1,1,Tree"))


def test_classes_are_all_that_were_looked_for(write):
    coco = {
        "images": [{"id": 1, "file_name": "a.tif"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}],
        "categories": [{"id": 1, "name": "ship"}, {"id": 2, "name": "harbor"}],
    }
    folder = write(c_dot_json=json.dumps(coco))
    assert look_at_pixel_labels(folder).classes == ("harbor", "ship")
    xview = look_at_pixel_labels(write(x_dot_geojson=XVIEW % BOX) / "x.geojson")
    assert len(xview.classes) == 60
    assert xview.match(["a.tif"]).labels["a.tif"].objects[0].name == "Fixed-wing Aircraft"


def test_a_folder_of_tables(write):
    folder = write(a_dot_csv=HEAD + "a.tif,1,1,2,2,Tree\n", b_dot_csv=HEAD + "b.tif,1,1,2,2,Palm\n")
    source = look_at_pixel_labels(folder)
    assert source.classes == ("Palm", "Tree")
    assert list(source.match(["a.tif", "b.tif"]).labels) == ["a.tif", "b.tif"]


def test_options_reach_the_readers(write, table):
    folder = write(v__a_dot_xml=voc("ship")) / "v"
    source = look_at_pixel_labels(folder, PixelLabelOptions(voc_one_based=True))
    assert source.match(["a.tif"]).labels["a.tif"].objects[0].box_px == (0, 0, 5, 5)
    path = table("a.tif,1,1,2,2,Tree,oak", head=HEAD.replace("label", "label,species"))
    assert look_at_pixel_labels(path, PixelLabelOptions(label_field="species")).classes == ("oak",)
    assert look_at_pixel_labels(path, PixelLabelOptions(one_class="plant")).classes == ("plant",)


def test_dota_of_a_folder(write):
    folder = write(P0001_dot_txt="gsd:0.5\n1 1 5 1 5 5 1 5 ship 0\n", P0002_dot_txt="", README_dot_txt="Hello you\n")
    matched = look_at_pixel_labels(folder).match(["images/P0001.png", "images/P0002.png"])
    assert {uri: len(labels.objects) for uri, labels in matched.labels.items()} == {
        "images/P0001.png": 1,
        "images/P0002.png": 0,
    }
    assert [(reject.input, reject.reason) for reject in matched.rejects] == [("labels/README.txt", "no-such-scene")]


def test_the_same_files_give_the_same_labels_wherever_they_lie(tmp_path, write):
    folder = write(b_dot_xml=voc("ship"), a_dot_xml=voc("barn"))
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    there = look_at_pixel_labels(moved).match(["a.tif", "b.tif"])
    moved.rename(folder)
    assert pickle.dumps(look_at_pixel_labels(folder).match(["a.tif", "b.tif"]).labels) == pickle.dumps(there.labels)
    assert str(tmp_path) not in str(there)
