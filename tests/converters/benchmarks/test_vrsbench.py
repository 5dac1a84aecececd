"""VRSBench: one JSON file a patch becomes captions, grounding and questions."""

from __future__ import annotations

import json
import zlib

import pytest
from converted import Converted
from PIL import Image as PillowImage

from domainvl.errors import ExitCode, InputNotFoundError, NothingToDoError
from domainvl.schema import CountAnswer, Split, Task, TextAnswer


def ship(**fields):
    return {
        "obj_id": 0, "obj_cls": "Ship", "obj_corner": [0.25, 0.5, 0.5, 0.5, 0.5, 0.75, 0.25, 0.75],
        "obj_coord": [0.25, 0.5, 0.5, 0.75], "is_unique": True, "obj_position": "middle-left", "obj_rel_position": "",
        "obj_size": "", "obj_rel_size": "", "flag": False, "referring_sentence": "The only ship.", **fields,
    }  # fmt: skip


def asked(number, kind, question, answer):
    return {"ques_id": number, "question": question, "type": kind, "answer": answer}


def annotation(stem, **fields):
    return {
        "image": f"{stem}.png",
        "caption": "A ship lies  near a pier.\n",
        "objects": [ship()],
        "qa_pairs": [
            asked(1, "Object existence ", "Is there a ship?", "Yes"),
            asked(2, "object quantity", "How many ships are there?", "1"),
            asked(3, "object color", "What colour is the ship?", "White"),
        ],
        **fields,
    }


def write(folder, split, stem, size=(512, 512), **fields):
    for name in (f"Annotations_{split}", f"Images_{split}"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / f"Annotations_{split}" / f"{stem}.json").write_text(json.dumps(annotation(stem, **fields)))
    colour = zlib.crc32(stem.encode()) & 0xFFFFFF
    PillowImage.new("RGB", size, f"#{colour:06x}").save(folder / f"Images_{split}" / f"{stem}.png")


@pytest.fixture
def vrs(tmp_path):
    folder = tmp_path / "VRSBench"
    write(folder, "val", "P0003_0002")
    write(folder, "train", "P0001_0000")
    write(folder, "train", "00914_0003")
    return folder


def test_geo_52_a_patch_gives_caption_grounding_and_questions(vrs, tmp_path):
    done = Converted("vrsbench", vrs, tmp_path / "out")
    prefix = "vrsbench/val/P0003_0002"
    said = {
        sample.id.removeprefix(f"{prefix}/"): (sample.task, *(turn.text for turn in sample.turns))
        for sample in done.of_split[Split.TEST]
    }
    short = "\nAnswer the question using a single word or phrase."
    assert said == {
        "caption": (Task.CAPTION, "<image>\nDescribe the image in detail", "A ship lies near a pier."),
        "refer-0": (
            Task.GROUNDING,
            "<image>\nDetect <ref>The only ship.</ref>",
            "<ref>The only ship.</ref><box>[[250, 500, 500, 750]]</box>",
        ),
        "vqa-1": (Task.PRESENCE, f"<image>\nIs there a ship?{short}", "Yes"),
        "vqa-2": (Task.COUNTING, f"<image>\nHow many ships are there?{short}", "1"),
        "vqa-3": (Task.VQA, f"<image>\nWhat colour is the ship?{short}", "White"),
    }
    assert done.samples[f"{prefix}/vqa-2"].answer == CountAnswer(count=1)
    assert len(done.samples) == 15
    assert done.summary.exit_code is ExitCode.DONE


def test_geo_52_types_ids_and_attributes_are_kept(vrs, tmp_path):
    samples = Converted("vrsbench", vrs, tmp_path / "out").samples
    details = samples["vrsbench/val/P0003_0002/vqa-1"].images[0].source.details
    assert details == {
        "official_split": "val",
        "annotation": "Annotations_val/P0003_0002.json",
        "ques_id": "1",
        "question_type": "object existence",
    }
    (thing,) = samples["vrsbench/val/P0003_0002/refer-0"].objects
    assert (thing.label, thing.box_px) == ("ship", (128.0, 256.0, 256.0, 384.0))
    assert thing.polygons_px == (((128.0, 256.0), (256.0, 256.0), (256.0, 384.0), (128.0, 384.0)),)
    assert thing.attributes == {"is_unique": True, "obj_position": "middle-left"}
    assert samples["vrsbench/val/P0003_0002/vqa-1"].objects == ()
    assert samples["vrsbench/val/P0003_0002/caption"].objects == (thing,)


def test_geo_52_two_decimals_become_exact_thousandths(vrs, tmp_path):
    write(vrs, "val", "P0003_0002", objects=[ship(obj_corner=None, obj_coord=[0.37, 0.01, 0.58, 0.99])])
    sample = Converted("vrsbench", vrs, tmp_path / "out").samples["vrsbench/val/P0003_0002/refer-0"]
    assert sample.turns[1].text.endswith("<box>[[370, 10, 580, 990]]</box>")
    assert sample.objects[0].box_px == pytest.approx((0.37 * 512, 0.01 * 512, 0.58 * 512, 0.99 * 512))
    assert sample.objects[0].polygons_px is None


def test_geo_52_corners_are_more_exact_than_coordinates_and_go_first(vrs, tmp_path):
    # 171/512 and so on: corners in whole pixels of the patch, of which obj_coord has two decimals left.
    corner = [171 / 512, 302 / 512, 147 / 512, 309 / 512, 131 / 512, 213 / 512, 148 / 512, 205 / 512]
    write(vrs, "val", "P0003_0002", objects=[ship(obj_corner=corner, obj_coord=[0.26, 0.4, 0.33, 0.6])])
    (thing,) = Converted("vrsbench", vrs, tmp_path / "out").samples["vrsbench/val/P0003_0002/refer-0"].objects
    assert thing.box_px == (131.0, 205.0, 171.0, 309.0)


def test_geo_52_boxes_are_cut_to_the_image_as_the_official_evaluation_does(vrs, tmp_path):
    corner = [-0.25, 0.5, 0.5, 0.5, 0.5, 1.25, -0.25, 1.25]
    write(vrs, "val", "P0003_0002", size=(256, 128), objects=[ship(obj_corner=corner)])
    (thing,) = Converted("vrsbench", vrs, tmp_path / "out").samples["vrsbench/val/P0003_0002/refer-0"].objects
    assert (thing.box_px, thing.truncated, thing.polygons_px) == ((0.0, 64.0, 128.0, 128.0), True, None)


def test_geo_52_the_val_folder_is_the_test_split_and_scenes_are_groups(vrs, tmp_path):
    for number in range(20):
        write(vrs, "train", f"P0001_{number:04}", size=(8, 8))
        write(vrs, "train", f"0{number:04}_0001", size=(8, 8))
    done = Converted("vrsbench", vrs, tmp_path / "out", val_fraction=0.5)
    assert {sample.group for sample in done.of_split[Split.TEST]} == {"P0003"}
    assert all(sample.fixed_split is Split.TEST for sample in done.of_split[Split.TEST])
    val, train = ({sample.group for sample in done.of_split[split]} for split in (Split.VAL, Split.TRAIN))
    assert val
    assert train
    assert val.isdisjoint(train)
    patches = {sample.id.split("/")[2] for sample in done.samples.values() if sample.group == "P0001"}
    assert len(patches) == 20


def test_geo_52_scenes_that_are_tested_on_are_not_trained_on(vrs, tmp_path):
    write(vrs, "train", "P0003_0007")
    done = Converted("vrsbench", vrs, tmp_path / "out")
    assert done.reasons() == [("Annotations_train/P0003_0007.json", "image-in-val")]
    assert done.rejects[0]["severity"] == "skipped"
    published = Converted("vrsbench", vrs, tmp_path / "published", leakage="as-published")
    assert len(published.samples) == 20
    assert {sample.group for sample in published.of_split[Split.TEST]} == {"P0003 (official val)"}
    assert all("also trained on" in sample.warnings[0] for sample in published.of_split[Split.TEST])


def test_geo_52_the_card_says_that_images_are_for_academic_use(vrs, tmp_path):
    done = Converted("vrsbench", vrs, tmp_path / "out")
    card = (done.out / "card.md").read_text()
    assert "academic use only (images of DOTA-v2 and DIOR)" in card
    assert "CC-BY-4.0" in card


@pytest.mark.parametrize(
    ("fields", "lost", "reason", "message"),
    [
        ({"caption": None}, {"caption"}, "field-missing", "caption is missing"),
        ({"objects": "ship"}, {"refer-0"}, "row-invalid", "objects must be a list"),
        ({"objects": ["ship"]}, {"refer-0"}, "row-invalid", "an entry must be an object"),
        ({"objects": [ship(obj_corner=[0.1] * 7)]}, {"refer-0"}, "box-invalid", "must be 8 finite numbers"),
        ({"objects": [ship(obj_corner=["a"] * 8)]}, {"refer-0"}, "box-invalid", "must be 8 numbers"),
        ({"objects": [ship(obj_corner=7)]}, {"refer-0"}, "box-invalid", "must be 8 numbers"),
        ({"objects": [ship(obj_corner=[float("nan")] * 8)]}, {"refer-0"}, "box-invalid", "finite"),
        ({"objects": [ship(obj_corner=[0.5] * 8)]}, {"refer-0"}, "box-invalid", "must have an area"),
        ({"objects": [ship(obj_corner=None, obj_coord=None)]}, {"refer-0"}, "field-missing", "neither obj_corner"),
        ({"objects": [ship(obj_cls="")]}, {"refer-0"}, "field-missing", "obj_cls is empty"),
        ({"objects": [ship(referring_sentence="")]}, {"refer-0"}, "field-missing", "referring_sentence is empty"),
        ({"qa_pairs": [asked(1, "image", "Is it?", "")]}, {"vqa-1", "vqa-2", "vqa-3"}, "field-missing", "answer is"),
        ({"qa_pairs": [asked(1, "a", "b", "c")] * 2}, {"vqa-2", "vqa-3"}, "id-repeated", "ques_id 1 was used before"),
    ],
)
def test_geo_52_a_bad_entry_is_rejected_and_the_others_go_on(vrs, tmp_path, fields, lost, reason, message):
    prefix = "vrsbench/val/P0003_0002/"
    write(vrs, "val", "P0003_0002", **fields)
    done = Converted("vrsbench", vrs, tmp_path / "out")
    names = {id.removeprefix(prefix) for id in done.samples if id.startswith(prefix)}
    assert names == {"caption", "refer-0", "vqa-1", "vqa-2", "vqa-3"} - lost
    (item,) = done.rejects
    assert item["reason"] == reason
    assert message in item["message"]
    assert item["input"].startswith("Annotations_val/P0003_0002.json ")


@pytest.mark.parametrize(
    ("content", "reason"),
    [("{", "annotation-invalid"), ("[]", "annotation-invalid"), ('{"image": "P9.png"}', "image-mismatch")],
)
def test_geo_52_a_bad_file_is_rejected_and_the_others_go_on(vrs, tmp_path, content, reason):
    (vrs / "Annotations_val" / "P0003_0002.json").write_text(content)
    done = Converted("vrsbench", vrs, tmp_path / "out")
    assert done.reasons() == [("Annotations_val/P0003_0002.json", reason)]
    assert len(done.samples) == 10


def test_geo_52_a_file_of_json5_says_what_it_is(vrs, tmp_path):
    path = vrs / "Annotations_val" / "P0003_0002.json"
    path.write_text(path.read_text().rstrip().removesuffix("}") + ",}")  # read by json5, and no JSON
    (item,) = Converted("vrsbench", vrs, tmp_path / "out").rejects
    assert (item["input"], item["reason"]) == ("Annotations_val/P0003_0002.json", "annotation-invalid")
    assert "JSON5" in item["message"]
    assert "read it with the Python package json5" in item["action"]


def test_geo_52_missing_broken_and_unused_images_are_listed(vrs, tmp_path):
    (vrs / "Images_train" / "00914_0003.png").rename(vrs / "Images_train" / "extra.png")
    path = vrs / "Images_val" / "P0003_0002.png"
    path.write_bytes(path.read_bytes()[:-40])
    done = Converted("vrsbench", vrs, tmp_path / "out")
    assert done.reasons() == [
        ("Annotations_train/00914_0003.json", "image-missing"),
        ("Images_train/extra.png", "no-annotation"),
        ("Annotations_val/P0003_0002.json", "image-decode"),
    ]
    assert len(done.samples) == 5


def test_images_are_copied_and_two_runs_give_the_same_bytes(vrs, tmp_path):
    first = Converted("vrsbench", vrs, tmp_path / "a" / "out").files()
    assert first == Converted("vrsbench", vrs, tmp_path / "b" / "out").files()
    stored = {content for name, content in first.items() if name.endswith(".png")}
    assert stored == {path.read_bytes() for path in vrs.glob("Images_*/*.png")}


def test_an_incomplete_folder_is_refused(vrs, tmp_path):
    (vrs / "Images_val").rename(vrs / "elsewhere")
    with pytest.raises(InputNotFoundError, match="Images_val is missing"):
        Converted("vrsbench", vrs, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputNotFoundError, match="neither a folder Annotations_train"):
        Converted("vrsbench", tmp_path / "empty", tmp_path / "out")


def test_without_any_image_there_is_nothing_to_do(vrs, tmp_path):
    for path in vrs.glob("Images_*/*.png"):
        path.unlink()
    with pytest.raises(NothingToDoError, match="no annotation has its image"):
        Converted("vrsbench", vrs, tmp_path / "out")


def test_an_answer_in_words_stays_text(vrs, tmp_path):
    write(vrs, "val", "P0003_0002", qa_pairs=[asked(2, "object quantity", "How many?", "Two")])
    sample = Converted("vrsbench", vrs, tmp_path / "out").samples["vrsbench/val/P0003_0002/vqa-2"]
    assert (sample.task, sample.answer) == (Task.COUNTING, TextAnswer(text="Two"))
