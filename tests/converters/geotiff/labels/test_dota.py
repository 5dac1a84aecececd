"""DOTA: lines as the devkit reads them, its header, and lines that cannot be used."""

import pytest
import shapely

from domainvl.converters.geotiff.labels.dota import read_dota
from domainvl.errors import ItemError

HEAD = "imagesource:GoogleEarth\ngsd:0.266578848023\n"
# Two lines of DOTA's own example P0770 (CAPTAIN-WHU/DOTA_devkit, example/labelTxt).
FIELD = "856 696 1469 1008 1341 1298 716 988 ground-track-field 0\n"
POOL = "1148 658 1255 711 1217 787 1110 735 swimming-pool 1\n"


@pytest.fixture
def read(tmp_path):
    def write_and_read(text, **options):
        path = tmp_path / "P0770.txt"
        path.write_text(text)
        return read_dota(path, "labels/P0770.txt", **options)

    return write_and_read


def test_geo_37_quads_with_difficult_and_header(read):
    labels = read(HEAD + FIELD + POOL)
    first, second = labels.objects
    assert first.rings_px == (((856, 696), (1469, 1008), (1341, 1298), (716, 988)),)
    assert (first.name, first.attributes) == ("ground-track-field", {"difficult": 0})
    assert (second.name, second.attributes) == ("swimming-pool", {"difficult": 1})
    assert (first.id, second.id) == ("3", "4")
    assert labels.details == {"image_source": "GoogleEarth", "gsd_m": 0.266578848023}
    assert shapely.Polygon(first.rings_px[0]).is_valid


def test_geo_37_the_header_and_difficult_are_optional(read):
    labels = read("1 1 5 1 5 5 1 5 ship\n")
    assert labels.objects[0].attributes == {"difficult": 0}
    assert labels.details == {}


@pytest.mark.parametrize("gsd", ["null", "", "0", "NaN"])
def test_an_unknown_gsd_is_none(read, gsd):
    assert "gsd_m" not in read(f"imagesource:GF2\ngsd:{gsd}\n" + FIELD).details


def test_an_image_without_objects_holds_nothing(read):
    assert read("").objects == read(HEAD).objects == ()


def test_lines_that_cannot_be_used_are_named(read):
    bad = ["1 1 5 1 5 5 1 x ship 0", "1 1 5 1 5 5 1 5 ship maybe", "1 1 5 1 ship 0"]
    labels = read(FIELD + "\n".join(bad))
    assert [(reject.input, reject.reason) for reject in labels.rejects] == [
        ("labels/P0770.txt#2", "invalid-box"),
        ("labels/P0770.txt#3", "invalid-row"),
        ("labels/P0770.txt#4", "invalid-row"),
    ]
    assert len(labels.objects) == 1
    assert [(thing.name, thing.box_px) for thing in labels.unusable] == [("ship", (1, 1, 5, 5))]
    assert labels.unclear == ("ship", "unknown class")


def test_geo_35_a_class_of_two_words_is_unknown_and_its_place_known(read):
    labels = read(FIELD + "1 1 5 1 5 5 1 5 large vehicle 0\n")
    assert [(thing.name, thing.box_px) for thing in labels.unusable] == [("unknown class", (1, 1, 5, 5))]


def test_geo_37_quads_are_boxes_from_which_no_area_follows(read):
    assert all(thing.is_turned_box for thing in read(FIELD + POOL).objects)


@pytest.mark.parametrize("text", ["0 0.5 0.5 0.1 0.1\n", "These are the labels of\n", "<html>\n"])
def test_other_text_is_refused_as_a_whole(read, text):
    with pytest.raises(ItemError, match="line 1: a line must be x1 y1"):
        read(text)


def test_one_class_for_all(read):
    assert {thing.name for thing in read(FIELD + POOL, one_class="thing").objects} == {"thing"}
