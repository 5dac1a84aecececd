"""SLAKE: both languages, official splits, and boxes and masks as grounding."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from converted import Converted
from PIL import Image as PillowImage

from domainvl.converters.benchmarks.generate_medical_vqa import ORGANS, SIDE_PX, generate_slake
from domainvl.converters.benchmarks.slake import CONVERTER
from domainvl.converters.benchmarks.slake_files import read_mask, read_mask_names
from domainvl.errors import ExitCode, InputNotFoundError, ItemError, UsageError
from domainvl.schema import Split, Task

QUESTIONS = 4
"""Official questions about an image of the miniature, one of them in Chinese."""


@pytest.fixture
def slake(tmp_path):
    folder = tmp_path / "slake"
    generate_slake(folder, image_count=12, seed=0)
    return folder


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def change(path, **fields):
    """Change the first row of a file of questions."""
    rows = load(path)
    rows[0].update(fields)
    path.write_text(json.dumps(rows), encoding="utf-8")


def of_task(done, task):
    return [sample for sample in done.samples.values() if sample.task is task]


def test_med_73_official_splits_and_both_languages(slake, tmp_path):
    done = Converted(CONVERTER, slake, tmp_path / "out", tasks="vqa")
    assert done.summary.exit_code is ExitCode.DONE
    counts = {split: len(samples) for split, samples in done.of_split.items()}
    assert counts == {Split.TRAIN: 8 * QUESTIONS, Split.VAL: 2 * QUESTIONS, Split.TEST: 2 * QUESTIONS}
    for split, file in ((Split.TRAIN, "train"), (Split.VAL, "validate"), (Split.TEST, "test")):
        rows = {f"slake/{row['qid']}": row for row in load(slake / f"{file}.json")}
        assert rows.keys() == set(done.ids(split))
        for sample in done.of_split[split]:
            row, details = rows[sample.id], sample.images[0].source.details
            assert (sample.question, sample.answer.text) == (row["question"], row["answer"])
            assert sample.images[0].source.uri == f"imgs/{row['img_name']}"
            for key in ("q_lang", "answer_type", "content_type", "base_type", "modality", "location", "triple"):
                assert details[key] == row[key]
            assert sample.group == row["img_name"]
            assert sample.fixed_split is split
    assert done.manifest.get("notes", []) == []


@pytest.mark.parametrize(("lang", "each"), [("en", 3), ("zh", 1)])
def test_med_73_one_language_keeps_its_questions_and_counts_the_others(slake, tmp_path, lang, each):
    done = Converted(CONVERTER, slake, tmp_path / "out", tasks="vqa", lang=lang)
    assert {sample.images[0].source.details["q_lang"] for sample in done.samples.values()} == {lang}
    assert len(done.samples) == 12 * each
    assert Counter(reason for _, reason in done.reasons()) == {"other-language": 12 * (QUESTIONS - each)}
    assert {reject["severity"] for reject in done.rejects} == {"skipped"}


def test_med_73_boxes_become_grounding_in_the_split_of_their_image(slake, tmp_path):
    done = Converted(CONVERTER, slake, tmp_path / "out")
    grounding = of_task(done, Task.GROUNDING)
    expected = {
        (f"xmlab{number}", label): (x, y, x + width, y + height)
        for number in range(12)
        for entry in load(slake / "imgs" / f"xmlab{number}" / "detection.json")
        for label, (x, y, width, height) in entry.items()
    }
    found = {}
    for sample in grounding:
        (thing,) = sample.answer_objects()
        found[sample.id.split("/")[1], sample.question] = thing.box_px
        assert sample.split == sample.images[0].source.details["official_split"]
        assert thing.label == sample.question
        # The generator fills the box with an ellipse, whose hull is at most a pixel smaller on each side.
        assert thing.attributes["mask_iou"] > 0.85
        assert sample.warnings == ()
    assert found == expected
    assert {sample.split for sample in grounding} == set(Split)


def area_px(ring):
    """The shoelace formula."""
    x, y = np.array(ring).T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def test_med_73_masks_become_polygons_of_the_same_area(slake, tmp_path):
    done = Converted(CONVERTER, slake, tmp_path / "out")
    values = {name: value for value, name in ORGANS.items()}
    for sample in of_task(done, Task.GROUNDING):
        (thing,) = sample.answer_objects()
        mask = np.asarray(PillowImage.open(slake / "imgs" / sample.id.split("/")[1] / "mask.png"))
        assert sum(map(area_px, thing.polygons_px)) == (mask == values[thing.label]).sum() > 0


def test_med_73_a_class_that_only_the_mask_has_is_grounded_by_the_extent_of_its_pixels(slake, tmp_path):
    folder = slake / "imgs" / "xmlab5"
    (folder / "detection.json").write_text("[]")
    mask = np.zeros((SIDE_PX, SIDE_PX), dtype=np.uint8)
    mask[10:20, 5:9] = mask[40:50, 60:70] = 70
    save_mask(folder, mask)
    done = Converted(CONVERTER, slake, tmp_path / "out")
    (thing,) = done.samples["slake/xmlab5/grounding-mask-liver"].answer_objects()
    assert thing.box_px == (5, 10, 70, 50)
    assert sorted(map(area_px, thing.polygons_px)) == [40, 100]
    assert thing.attributes == {"from": "mask.png"}


def test_med_73_regions_go_to_the_box_that_they_lie_in(slake, tmp_path):
    folder = slake / "imgs" / "xmlab5"
    mask = np.zeros((SIDE_PX, SIDE_PX), dtype=np.uint8)
    for x in (10, 30, 70):
        mask[20:30, x : x + 10] = 70
    PillowImage.fromarray(mask).save(folder / "mask.png")
    boxes = [{"Liver": [8, 18, 34, 14]}, {"liver": [68, 18, 14, 14]}]
    (folder / "detection.json").write_text(json.dumps(boxes))
    done = Converted(CONVERTER, slake, tmp_path / "out", tasks="detection")
    first, second = done.samples["slake/xmlab5/detection"].answer_objects()
    assert [len(thing.polygons_px) for thing in (first, second)] == [2, 1]
    # Hulls are 30x10 in 34x14 and 10x10 in 14x14.
    assert first.attributes["mask_iou"] == pytest.approx(300 / 476, abs=1e-3)
    assert second.attributes["mask_iou"] == pytest.approx(100 / 196, abs=1e-3)


def test_med_73_a_box_that_its_mask_contradicts_is_warned_of(slake, tmp_path):
    # Corners where corner and sides belong: what a wrong reading of the layout would look like.
    folder = slake / "imgs" / "xmlab5"
    mask = np.zeros((SIDE_PX, SIDE_PX), dtype=np.uint8)
    mask[40:50, 40:50] = 70
    mask[0:4, 90:96] = 70
    PillowImage.fromarray(mask).save(folder / "mask.png")
    (folder / "detection.json").write_text(json.dumps([{"Liver": [40, 40, 50, 50]}]))
    done = Converted(CONVERTER, slake, tmp_path / "out", tasks="grounding")
    (sample,) = [sample for sample in done.samples.values() if sample.id.startswith("slake/xmlab5/")]
    # The region of 10x10 px lies in the box of 50x50 px: 100 / 2500.
    assert sample.warnings == ("Box and mask of an object disagree (IoU 0.04); the box is the one asked for",)
    assert done.reasons() == [("xmlab5/mask.png", "region-outside-boxes")]


def test_a_box_beyond_the_image_is_cut_and_says_so(slake, tmp_path):
    folder = slake / "imgs" / "xmlab5"
    (folder / "mask.png").unlink()
    (folder / "detection.json").write_text(json.dumps([{"Liver": [80, 80, 40, 10]}]))
    done = Converted(CONVERTER, slake, tmp_path / "out", tasks="grounding")
    sample = done.samples["slake/xmlab5/grounding-0"]
    (thing,) = sample.answer_objects()
    assert (thing.box_px, thing.truncated) == ((80, 80, SIDE_PX, 90), True)
    assert "was cut" in sample.warnings[0]


@pytest.mark.parametrize(
    ("content", "reason", "where"),
    [
        ("{", "detection-invalid", "xmlab5/detection.json"),
        ("{}", "detection-invalid", "xmlab5/detection.json"),
        ('[{"Liver": [1, 2, 3]}]', "box-invalid", "xmlab5/detection.json entry 0"),
        ('[{"Liver": [1, 2, "a", 3]}]', "box-invalid", "xmlab5/detection.json entry 0"),
        ('[{"Liver": [1, 2, NaN, 3]}]', "box-invalid", "xmlab5/detection.json entry 0"),
        ('[{"Liver": [1, 2, 0, 3]}]', "box-invalid", "xmlab5/detection.json entry 0"),
        ('[{"Liver": [200, 2, 10, 3]}]', "box-invalid", "xmlab5/detection.json entry 0"),
        ('[{"Liver": null}]', "box-invalid", "xmlab5/detection.json entry 0"),
        ('[{"Liver": [1, 2, 3, 3], "Heart": [1, 2, 3, 3]}]', "row-invalid", "xmlab5/detection.json entry 0"),
    ],
)
def test_a_bad_box_is_rejected_and_the_questions_stay(slake, tmp_path, content, reason, where):
    folder = slake / "imgs" / "xmlab5"
    (folder / "mask.png").unlink()
    (folder / "detection.json").write_text(content)
    done = Converted(CONVERTER, slake, tmp_path / "out")
    assert done.reasons() == [(where, reason)]
    assert sum("xmlab5" in sample.images[0].source.uri for sample in done.samples.values()) == QUESTIONS


def save_mask(folder, pixels, mode=None):
    image = PillowImage.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(folder / "mask.png")


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((SIDE_PX, SIDE_PX), 71, np.uint8), "mask-values"),
        (np.zeros((SIDE_PX, SIDE_PX + 1), np.uint8), "mask-size"),
        (np.arange(SIDE_PX * SIDE_PX * 3, dtype=np.uint8).reshape(SIDE_PX, SIDE_PX, 3), "mask-format"),
    ],
)
def test_a_bad_mask_is_rejected_and_the_boxes_stay(slake, tmp_path, pixels, reason):
    save_mask(slake / "imgs" / "xmlab5", pixels)
    done = Converted(CONVERTER, slake, tmp_path / "out")
    assert done.reasons() == [("xmlab5/mask.png", reason)]
    assert "slake/xmlab5/grounding-0" in done.samples


def test_a_grey_mask_in_colour_reads_as_the_grey_one(tmp_path):
    values = np.zeros((6, 8), np.uint8)
    values[1:3, 2:7] = 70
    for mode in (None, "RGB", "RGBA"):
        save_mask(tmp_path, values, mode)
        regions = read_mask(tmp_path / "mask.png", "mask", {70: "Liver"}, (8, 6))
        assert {label: sorted(map(sorted, rings)) for label, rings in regions.items()} == {
            "Liver": [[(2.0, 1.0), (2.0, 3.0), (7.0, 1.0), (7.0, 3.0)]]
        }


def test_a_mask_that_is_no_image_is_an_error(tmp_path):
    (tmp_path / "mask.png").write_bytes(b"none")
    with pytest.raises(ItemError) as error:
        read_mask(tmp_path / "mask.png", "mask", {}, (8, 6))
    assert error.value.reason == "mask-decode"


def test_without_mask_names_only_boxes_are_used_and_a_note_says_so(slake, tmp_path):
    (slake / "mask.txt").unlink()
    done = Converted(CONVERTER, slake, tmp_path / "out")
    assert all(thing.polygons_px is None for sample in done.samples.values() for thing in sample.objects)
    assert of_task(done, Task.GROUNDING)
    assert "mask.txt gives no names" in done.manifest["notes"][0]


def test_in_chinese_nothing_is_asked_in_english_and_a_note_says_so(slake, tmp_path):
    done = Converted(CONVERTER, slake, tmp_path / "out", lang="zh")
    assert {sample.task for sample in done.samples.values()} == {Task.VQA}
    assert "English names" in done.manifest["notes"][0]


def test_region_and_detection_on_request(slake, tmp_path):
    done = Converted(CONVERTER, slake, tmp_path / "out", tasks="region,detection")
    assert {sample.task for sample in done.samples.values()} == {Task.REGION, Task.DETECTION}
    assert len(of_task(done, Task.DETECTION)) == 12


@pytest.mark.parametrize("tasks", ["", "vqa,presence", "boxes"])
def test_other_tasks_are_refused(slake, tmp_path, tasks):
    with pytest.raises(UsageError, match="--tasks"):
        Converted(CONVERTER, slake, tmp_path / "out", tasks=tasks)


def test_med_71_an_image_of_two_splits_is_kept_for_testing(slake, tmp_path):
    shared = load(slake / "test.json")[0]["img_name"]
    change(slake / "train.json", img_name=shared)
    done = Converted(CONVERTER, slake, tmp_path / "out")
    assert [reason for _, reason in done.reasons()] == ["image-in-test"]
    assert "1 of the 2 images of the official test set" in done.manifest["notes"][0]
    published = Converted(CONVERTER, slake, tmp_path / "published", leakage="as-published")
    assert published.reasons() == []
    assert all(
        "also trained on" in sample.warnings[0]
        for sample in published.samples.values()
        if sample.split is Split.TEST and sample.images[0].source.uri == f"imgs/{shared}"
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"answer": None}, "field-missing"),
        ({"answer": ""}, "field-missing"),
        ({"answer": ["a"]}, "row-invalid"),
        ({"q_lang": "fr"}, "language-unknown"),
        ({"img_name": "../../secret.jpg"}, "row-invalid"),
        ({"qid": 1}, "qid-repeated"),
        ({"img_name": "xmlab99/source.jpg"}, "image-missing"),
    ],
)
def test_a_bad_row_is_rejected_and_the_others_go_on(slake, tmp_path, fields, reason):
    change(slake / "test.json", **fields)
    done = Converted(CONVERTER, slake, tmp_path / "out", tasks="vqa")
    assert [reason for _, reason in done.reasons()] == [reason]
    assert len(done.samples) == 12 * QUESTIONS - 1
    assert done.summary.exit_code is ExitCode.PARTIAL


def test_numbers_as_answers_become_text(slake, tmp_path):
    change(slake / "test.json", answer=2)
    done = Converted(CONVERTER, slake, tmp_path / "out", tasks="vqa")
    assert "2" in {sample.answer.text for sample in done.of_split[Split.TEST]}


def test_a_test_set_alone_is_enough(slake, tmp_path):
    for name in ("train", "validate"):
        (slake / f"{name}.json").unlink()
    done = Converted(CONVERTER, slake, tmp_path / "out", tasks="vqa")
    assert {sample.split for sample in done.samples.values()} == {Split.TEST}
    assert Counter(reason for _, reason in done.reasons()) == {"no-question": 10}


def test_an_incomplete_folder_is_refused(slake, tmp_path):
    (slake / "imgs").rename(slake / "elsewhere")
    with pytest.raises(InputNotFoundError, match="imgs is missing"):
        Converted(CONVERTER, slake, tmp_path / "out")
    (slake / "elsewhere").rename(slake / "imgs")
    for name in ("train", "validate", "test"):
        (slake / f"{name}.json").unlink()
    with pytest.raises(InputNotFoundError, match="none of train.json"):
        Converted(CONVERTER, slake, tmp_path / "out")


@pytest.mark.parametrize("text", ["Liver\n", "x:Liver\n", "70:\n", "300:Liver\n", "70:Liver\n70:Heart\n"])
def test_mask_names_that_cannot_be_read_cost_the_masks_only(slake, tmp_path, text):
    (slake / "mask.txt").write_text(text)
    done = Converted(CONVERTER, slake, tmp_path / "out")
    assert done.reasons() == [("mask.txt", "mask-names")]
    assert done.summary.exit_code is ExitCode.PARTIAL
    assert len(of_task(done, Task.VQA)) == 12 * QUESTIONS
    assert of_task(done, Task.GROUNDING)
    assert all(thing.polygons_px is None for sample in done.samples.values() for thing in sample.objects)


def test_med_73_a_name_for_the_background_changes_nothing(slake, tmp_path):
    before = Converted(CONVERTER, slake, tmp_path / "before")
    names = slake / "mask.txt"
    names.write_text("0:Background\n" + names.read_text())
    assert read_mask_names(names) == ORGANS
    after = Converted(CONVERTER, slake, tmp_path / "after")
    assert after.reasons() == []
    assert after.samples == before.samples


def test_a_mask_of_far_too_many_pixels_is_rejected(slake, tmp_path, monkeypatch):
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", SIDE_PX * SIDE_PX)
    save_mask(slake / "imgs" / "xmlab5", np.zeros((SIDE_PX * 2, SIDE_PX + 1), np.uint8))
    done = Converted(CONVERTER, slake, tmp_path / "out")
    assert done.reasons() == [("xmlab5/mask.png", "mask-decode")]
