"""Tables of boxes: the real ones of DeepForest, columns in any order, and rows that cannot be used."""

import pytest

from domainvl.converters.geotiff.labels.box_table import is_box_table, read_box_table
from domainvl.errors import ItemError

DEEPFOREST = "remote_sensing/weecology__DeepForest/src/deepforest/data"
HEAD = "image_path,xmin,ymin,xmax,ymax,label\n"


@pytest.fixture
def write(tmp_path):
    def write_table(text, encoding="utf-8"):
        path = tmp_path / "boxes.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write_table


def corners(labels):
    return [thing.box_px for thing in labels.objects]


def test_geo_37_boxes_of_deepforest(real_data):
    (labels,) = read_box_table(real_data / DEEPFOREST / "OSBS_029.csv", "labels/OSBS_029.csv").values()
    assert len(labels.objects) == 61
    assert {thing.name for thing in labels.objects} == {"Tree"}
    assert corners(labels)[0] == (203, 67, 227, 90)  # its first line: 203,67,227,90
    assert labels.objects[0].id == "2"  # line 2 of the file
    assert max(box[2] for box in corners(labels)) == 400  # the width of the image: an edge, not the last column


def test_geo_37_columns_in_another_order(real_data):
    # image_path,xmin,xmax,ymin,ymax,label and 1,82,103,235: read by position, it would be 103 px of negative height.
    name = "2018_SJER_3_252000_4107000_image_477"
    found = read_box_table(real_data / DEEPFOREST / f"{name}_truth.csv", "l")
    assert list(found) == [f"{name}.tif"]
    assert corners(found[f"{name}.tif"])[0] == (1, 103, 82, 235)
    assert len(found[f"{name}.tif"].objects) == 7 and not found[f"{name}.tif"].rejects


def test_scores_of_predictions_are_kept(real_data):
    name = "2018_SJER_3_252000_4107000_image_477"
    (labels,) = read_box_table(real_data / DEEPFOREST / f"{name}.csv", "l", one_class="Tree").values()
    assert labels.objects[0].attributes == {"scores": 0.61497575}
    assert {thing.name for thing in labels.objects} == {"Tree"}


def test_names_of_other_tools(write):
    path = write("filename,width,height,class,xmin,ymin,xmax,ymax,view\na.tif,9,9,ship,1,2,3,4,low\n")
    assert is_box_table(path)
    (thing,) = read_box_table(path, "l")["a.tif"].objects
    assert (thing.name, thing.box_px, thing.attributes) == ("ship", (1, 2, 3, 4), {"view": "low"})


def test_a_column_is_named(write):
    path = write("image_path,xmin,ymin,xmax,ymax,label,species\na.tif,1,2,3,4,Tree,oak\n")
    (thing,) = read_box_table(path, "l", label_field="species")["a.tif"].objects
    assert thing.name == "oak"


def test_images_that_hold_nothing(write):
    found = read_box_table(write(HEAD + "a.tif,0,0,0,0,\nb.tif,,,,,\nc.tif,1,1,2,2,Tree\n"), "l")
    assert {name: len(labels.objects) for name, labels in found.items()} == {"a.tif": 0, "b.tif": 0, "c.tif": 1}
    assert not any(labels.rejects for labels in found.values())


def test_rows_that_cannot_be_used_are_named(write):
    rows = ["a.tif,5,1,2,3,Tree", "a.tif,1,1,x,3,Tree", "a.tif,1,1,2,3,", "a.tif,1,1,2", "a.tif,1,1,2,2,Tree"]
    labels = read_box_table(write(HEAD + "\n".join(rows)), "labels/b.csv")["a.tif"]
    assert [(reject.input, reject.reason) for reject in labels.rejects] == [
        ("labels/b.csv#2", "invalid-box"),
        ("labels/b.csv#3", "invalid-box"),
        ("labels/b.csv#4", "no-class"),
        ("labels/b.csv#5", "no-class"),
    ]
    assert corners(labels) == [(1, 1, 2, 2)]


def test_geo_35_of_rows_without_numbers_the_class_is_unclear_in_the_image(write):
    rows = ["a.tif,5,1,2,3,Tree", "a.tif,1,1,x,3,Palm", "b.tif,1,1,2,2,Tree"]
    found = read_box_table(write(HEAD + "\n".join(rows)), "labels/b.csv")
    assert [(thing.name, thing.box_px) for thing in found["a.tif"].unusable] == [("Tree", (2, 1, 5, 3))]
    assert (found["a.tif"].unclear, found["b.tif"].unclear) == (("Palm",), ())


def test_blank_lines_and_long_rows_change_nothing(write):
    found = read_box_table(write(HEAD + "\n a.tif ,1,1,2,2, Tree ,,more\n\n"), "l")
    assert [(thing.name, thing.id) for thing in found["a.tif"].objects] == [("Tree", "3")]


def test_a_box_of_one_pixel_at_the_corner_is_no_empty_image(write):
    assert corners(read_box_table(write(HEAD + "a.tif,0,0,1,1,Tree\n"), "l")["a.tif"]) == [(0, 0, 1, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_path,xmin,ymin,xmax,label\n", "there is no ymax in the first line, which names image_path"),
        ("path,xmin,ymin,xmax,ymax\n", "no image_path and no label in the first line"),
        ("image_path,xmin,ymin,xmax,ymax\na.tif,1,1,2,2\n", "no label in.*Add --label-name"),
        (HEAD, "it has no rows"),
        (HEAD + ",1,1,2,2,Tree\n", "line 2: image_path is empty"),
        (HEAD + 'a.tif,1,1,2,2,"Tree' + "x" * 200_000, "no CSV"),
    ],
)
def test_what_is_wrong_as_a_whole_is_said(write, text, message):
    with pytest.raises(ItemError, match=message) as caught:
        read_box_table(write(text), "labels/b.csv")
    assert caught.value.reason == "label-file"


def test_no_utf8_is_said_to_be_that(write):
    with pytest.raises(ItemError, match="must be UTF-8"):
        read_box_table(write(HEAD + "a.tif,1,1,2,2,Grünfläche\n", "latin-1"), "l")


def test_a_byte_order_mark_does_not_hide_the_first_column(write):
    path = write(HEAD + "a.tif,1,1,2,2,Tree\n", "utf-8-sig")
    assert is_box_table(path) and list(read_box_table(path, "l")) == ["a.tif"]


def test_a_table_of_scene_labels_is_none_of_boxes(write):
    assert not is_box_table(write("scene,label\na.tif,forest\n"))
    assert not is_box_table(write(""))
