"""DIOR-RSVG: numbers that count objects over all annotations, and images that official splits share."""

from __future__ import annotations

import json
from collections import defaultdict

import pytest
from converted import Converted
from PIL import Image as PillowImage

from domainvl.converters.benchmarks.miniatures import generate_dior_rsvg
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, NothingToDoError
from domainvl.schema import Split, Task

AS_PUBLISHED = {"leakage": "as-published"}


def thing(phrase, box=(100, 200, 300, 400), name="ship"):
    corners = "".join(
        f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return (
        f"<object><name>{name}</name><pose>Unspecified</pose><bndbox>{corners}</bndbox>"
        f"<description>{phrase}</description></object>"
    )


def write_xml(folder, stem, *things, size=(800, 800), filename=None):
    (folder / "Annotations" / f"{stem}.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f"<annotation><filename>{filename or f'{stem}.jpg'}</filename><source><database>DIOR</database></source>"
        f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
        f"<segmented>0</segmented>{''.join(things)}</annotation>"
    )


def write_splits(folder, **indexes):
    for split in ("train", "val", "test"):
        (folder / f"{split}.txt").write_text("".join(f"{index}\n" for index in indexes.get(split, ())))


@pytest.fixture
def rsvg(tmp_path):
    """Three images with 2, 3 and 2 objects: numbers 0 1, 2 3 4, 5 6. Written in another order than that of names."""
    folder = tmp_path / "DIOR_RSVG"
    for name in ("Annotations", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    for stem, phrases in (("00030", ("f", "g")), ("00001", ("a", "b")), ("00002", ("c", "d", "e"))):
        write_xml(folder, stem, *(thing(f"The ship {phrase}") for phrase in phrases))
        PillowImage.new("RGB", (800, 800), (50, 100, int(stem))).save(folder / "JPEGImages" / f"{stem}.jpg")
    write_splits(folder, train=(0, 2), val=(3, 5), test=(1, 4, 6))
    return folder


def test_geo_51_numbers_count_objects_in_the_order_of_paths(rsvg, tmp_path):
    write_splits(rsvg, test=(1, 4, 6))
    done = Converted("dior-rsvg", rsvg, tmp_path / "out")
    assert {sample.id: sample.question for sample in done.of_split[Split.TEST]} == {
        "dior-rsvg/1": "The ship b",
        "dior-rsvg/4": "The ship e",
        "dior-rsvg/6": "The ship g",
    }
    assert [reason for _, reason in done.reasons()] == ["in-no-split"] * 4


def test_geo_51_a_sample_has_the_box_in_pixels_and_what_the_files_say(rsvg, tmp_path):
    write_xml(rsvg, "00001", thing("An airport", (133, 237, 684, 672), "airport"), thing("b"))
    write_splits(rsvg, train=(0,))
    (sample,) = Converted("dior-rsvg", rsvg, tmp_path / "out").samples.values()
    assert (sample.task, sample.split, sample.fixed_split) == (Task.GROUNDING, Split.TRAIN, Split.TRAIN)
    (box,) = sample.answer_objects()
    assert (box.label, box.box_px) == ("airport", (133.0, 237.0, 684.0, 672.0))
    # 133/800 = 166.25, 237/800 = 296.25, 684/800 = 855, 672/800 = 840 thousandths
    assert [turn.text for turn in sample.turns] == [
        "<image>\nDetect <ref>An airport</ref>",
        "<ref>An airport</ref><box>[[166, 296, 855, 840]]</box>",
    ]
    assert sample.images[0].source.details == {
        "official_split": "train",
        "index": 0,
        "annotation": "Annotations/00001.xml",
    }


def test_geo_51_an_image_is_in_its_most_held_out_split_alone(rsvg, tmp_path):
    done = Converted("dior-rsvg", rsvg, tmp_path / "out")
    assert done.ids(Split.TEST) == ["dior-rsvg/1", "dior-rsvg/4", "dior-rsvg/6"]
    assert done.ids(Split.TRAIN) == done.ids(Split.VAL) == []
    assert done.reasons() == [
        ("train.txt index 0", "image-in-test"),
        ("train.txt index 2", "image-in-test"),
        ("val.txt index 3", "image-in-test"),
        ("val.txt index 5", "image-in-test"),
    ]
    assert done.summary.exit_code is ExitCode.DONE
    assert not any(sample.warnings for sample in done.samples.values())
    assert {sample.group for sample in done.samples.values()} == {"00001.jpg", "00002.jpg", "00030.jpg"}


def test_geo_51_validation_images_are_not_trained_on_either(rsvg, tmp_path):
    write_splits(rsvg, train=(0, 2, 3, 5), val=(1,), test=(6,))
    done = Converted("dior-rsvg", rsvg, tmp_path / "out")
    assert done.ids(Split.TRAIN) == ["dior-rsvg/2", "dior-rsvg/3"]
    assert done.ids(Split.VAL) == ["dior-rsvg/1"]
    assert [reason for _, reason in done.reasons()] == ["in-no-split", "image-in-val", "image-in-test"]


def test_geo_51_as_published_every_expression_stays_and_leaks_are_said(rsvg, tmp_path):
    done = Converted("dior-rsvg", rsvg, tmp_path / "out", **AS_PUBLISHED)
    assert done.ids(Split.TRAIN) == ["dior-rsvg/0", "dior-rsvg/2"]
    assert done.ids(Split.VAL) == ["dior-rsvg/3", "dior-rsvg/5"]
    assert done.ids(Split.TEST) == ["dior-rsvg/1", "dior-rsvg/4", "dior-rsvg/6"]
    leak = "The image of this {} sample was also trained on (--leakage as-published)"
    assert {id: sample.warnings for id, sample in done.samples.items() if sample.warnings} == {
        "dior-rsvg/1": (leak.format("test"),),
        "dior-rsvg/3": (leak.format("val"),),
        "dior-rsvg/4": (leak.format("test"),),
    }
    assert not done.rejects


def test_geo_51_no_image_is_in_two_splits_of_a_larger_set(tmp_path):
    generate_dior_rsvg(tmp_path / "in", image_count=12, seed=1)
    done = Converted("dior-rsvg", tmp_path / "in", tmp_path / "out")
    splits = defaultdict(set)
    for sample in done.samples.values():
        splits[sample.images[0].source.uri].add(sample.split)
    assert len(splits) == 12
    assert all(len(split) == 1 for split in splits.values())
    assert len(done.samples) + len(done.rejects) == 24
    assert done.manifest["licence"] is None


def test_geo_51_an_annotation_that_is_missing_ends_the_conversion(rsvg, tmp_path):
    (rsvg / "Annotations" / "00002.xml").unlink()
    with pytest.raises(DatasetError, match=r"hold 4 objects, but test.txt names index 6"):
        Converted("dior-rsvg", rsvg, tmp_path / "out")


@pytest.mark.parametrize(
    "content", ["<annotation><object>", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', ""]
)
def test_geo_51_an_annotation_that_cannot_be_read_ends_the_conversion(rsvg, tmp_path, content):
    (rsvg / "Annotations" / "00002.xml").write_text(content)
    with pytest.raises(DatasetError, match=r"00002.xml: it must be XML .* another number"):
        Converted("dior-rsvg", rsvg, tmp_path / "out")


@pytest.mark.parametrize(
    ("bad", "reason", "message"),
    [
        (thing("d", (300, 200, 300, 400)), "box-invalid", "must have an area inside the image of 800x800"),
        (thing("d", (900, 900, 950, 950)), "box-invalid", "must have an area"),
        (thing("d", (300, 200, "x", 400)), "box-invalid", "must be numbers"),
        (thing("d", (300, 200, "inf", 400)), "box-invalid", "must be finite"),
        (thing(" "), "field-missing", "description is empty"),
        (thing("d", name=""), "field-missing", "name is empty"),
        ("<object><name>ship</name></object>", "field-missing", "must have bndbox and description"),
    ],
)
def test_geo_51_a_bad_object_keeps_its_number_and_is_rejected(rsvg, tmp_path, bad, reason, message):
    write_xml(rsvg, "00002", thing("c"), bad, thing("e"))
    write_splits(rsvg, test=range(7))
    done = Converted("dior-rsvg", rsvg, tmp_path / "out")
    assert {id: sample.question for id, sample in done.samples.items()} == {
        "dior-rsvg/0": "The ship a",
        "dior-rsvg/1": "The ship b",
        "dior-rsvg/2": "c",
        "dior-rsvg/4": "e",
        "dior-rsvg/5": "The ship f",
        "dior-rsvg/6": "The ship g",
    }
    (item,) = done.rejects
    assert item["reason"] == reason
    assert message in item["message"]
    assert "index 3" in item["message"]
    assert done.summary.exit_code is ExitCode.PARTIAL


def test_geo_51_parts_are_found_by_place_where_they_have_other_names(rsvg, tmp_path):
    other = thing("d", (1, 2, 3, 4)).replace("bndbox>", "box>").replace("description>", "phrase>")
    write_xml(rsvg, "00002", thing("c"), other, thing("e"))
    sample = Converted("dior-rsvg", rsvg, tmp_path / "out", **AS_PUBLISHED).samples["dior-rsvg/3"]
    assert (sample.question, sample.objects[0].box_px) == ("d", (1.0, 2.0, 3.0, 4.0))


def test_geo_51_a_box_beyond_the_border_is_cut_and_the_sample_says_so(rsvg, tmp_path):
    write_xml(rsvg, "00001", thing("a", (-5, 700, 100, 803)), thing("b", (0, 0, 800, 800)))
    done = Converted("dior-rsvg", rsvg, tmp_path / "out", **AS_PUBLISHED)
    cut, whole = done.samples["dior-rsvg/0"], done.samples["dior-rsvg/1"]
    assert cut.objects[0].box_px == (0.0, 700.0, 100.0, 800.0)
    assert cut.warnings == ("The annotated box reached beyond the image and was cut",)
    assert "cut" not in "".join(whole.warnings)


@pytest.mark.parametrize(
    ("line", "reason", "message"),
    [("seven", "index-invalid", "got 'seven'"), ("-1", "index-invalid", "got '-1'"), ("6", "index-repeated", "test")],
)
def test_geo_51_a_bad_line_of_a_split_file_is_rejected(rsvg, tmp_path, line, reason, message):
    (rsvg / "val.txt").write_text(f"3\n{line}\n5\n")
    done = Converted("dior-rsvg", rsvg, tmp_path / "out", **AS_PUBLISHED)
    assert len(done.samples) == 7
    (item,) = done.rejects
    assert (item["input"], item["reason"], item["severity"]) == ("val.txt entry 2", reason, "failed")
    assert message in item["message"]


def test_geo_51_an_index_of_two_lists_is_in_the_more_held_out_one(rsvg, tmp_path):
    write_splits(rsvg, train=(0, 2, 3, 6), val=(2, 3, 5), test=(1, 3, 4))
    done = Converted("dior-rsvg", rsvg, tmp_path / "out", **AS_PUBLISHED)
    assert {split: done.ids(split) for split in Split} == {
        Split.TRAIN: ["dior-rsvg/0", "dior-rsvg/6"],
        Split.VAL: ["dior-rsvg/2", "dior-rsvg/5"],
        Split.TEST: ["dior-rsvg/1", "dior-rsvg/3", "dior-rsvg/4"],
    }
    assert sorted((item["input"], item["reason"]) for item in done.rejects) == [
        ("train.txt entry 2", "index-repeated"),
        ("train.txt entry 3", "index-repeated"),
        ("val.txt entry 2", "index-repeated"),
    ]


def test_geo_51_a_byte_order_mark_is_no_part_of_the_first_number(rsvg, tmp_path):
    (rsvg / "test.txt").write_text("1\n4\n6\n", encoding="utf-8-sig")
    done = Converted("dior-rsvg", rsvg, tmp_path / "out", **AS_PUBLISHED)
    assert done.ids(Split.TEST) == ["dior-rsvg/1", "dior-rsvg/4", "dior-rsvg/6"]
    assert done.rejects == []


def test_geo_51_missing_broken_and_resized_images_say_what_is_lost(rsvg, tmp_path):
    (rsvg / "JPEGImages" / "00001.jpg").unlink()
    PillowImage.new("RGB", (400, 400)).save(rsvg / "JPEGImages" / "00002.jpg")
    done = Converted("dior-rsvg", rsvg, tmp_path / "out", **AS_PUBLISHED)
    assert set(done.samples) == {"dior-rsvg/5", "dior-rsvg/6"}
    by_input = {item["input"]: item for item in done.rejects}
    assert by_input["00001.jpg"]["reason"] == "image-missing"
    assert "2 expressions" in by_input["00001.jpg"]["message"]
    assert by_input["JPEGImages/00002.jpg"]["reason"] == "size-mismatch"
    assert "(800, 800) px, the file has (400, 400) px. " in by_input["JPEGImages/00002.jpg"]["message"]
    assert "3 expressions" in by_input["JPEGImages/00002.jpg"]["message"]


def test_geo_51_a_path_as_file_name_is_not_followed(rsvg, tmp_path):
    write_xml(rsvg, "00001", thing("a"), thing("b"), filename="../../etc/00001.jpg")
    done = Converted("dior-rsvg", rsvg, tmp_path / "out", **AS_PUBLISHED)
    assert [reason for _, reason in done.reasons()] == ["row-invalid", "row-invalid"]


def test_images_are_copied_and_two_runs_give_the_same_bytes(rsvg, tmp_path):
    first = Converted("dior-rsvg", rsvg, tmp_path / "a" / "out").files()
    assert first == Converted("dior-rsvg", rsvg, tmp_path / "b" / "out").files()
    stored = {content for name, content in first.items() if name.endswith(".jpg")}
    assert stored == {path.read_bytes() for path in (rsvg / "JPEGImages").iterdir()}
    assert str(rsvg) not in json.dumps({name: str(content) for name, content in first.items()})


@pytest.mark.parametrize("name", ["Annotations", "JPEGImages", "test.txt"])
def test_an_incomplete_folder_is_refused(rsvg, tmp_path, name):
    (rsvg / name).rename(rsvg / "elsewhere")
    with pytest.raises(InputNotFoundError, match=f"{name} is missing"):
        Converted("dior-rsvg", rsvg, tmp_path / "out")


def test_without_any_image_there_is_nothing_to_do(rsvg, tmp_path):
    for path in (rsvg / "JPEGImages").iterdir():
        path.unlink()
    with pytest.raises(NothingToDoError, match="none of 3 named images"):
        Converted("dior-rsvg", rsvg, tmp_path / "out")
