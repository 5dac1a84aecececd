"""GEO-53: FIT-RS in its exact layout: centre and sides in braces, test files held out by scene, FIT-RSRC's choices."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image as PillowImage

from domainvl.conversion import RunSettings, convert, load_converter
from domainvl.converters.benchmarks.generate_conversations import generate_fit_rs
from domainvl.converters.benchmarks.marked_text import MARK_REQUEST
from domainvl.errors import ExitCode, InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema import Split, Task, read_samples
from domainvl.schema.validation.run import validate

CONVERTER = load_converter("fit-rs")
FOLDER = "imgv2_split_512_100_vaild"  # the publishers' spelling
TRAIN, TEST, CHOICES = "FIT-RS-train-1415k.json", "test_FITRS_vqa_eval.jsonl", "FIT-RSRC_Questions_2k.jsonl"
DETECT = "[detection]Detect all the ships in the image and output their locations."
NO_OBJECT = "I'm sorry, I cannot answer as the given image does not contain any given objects."


def name_of(scene, x=0, y=0):
    return f"{scene:04d}__512__{x}___{y}.png"


def row(image, *texts):
    turns = [{"from": "gpt" if index % 2 else "human", "value": text} for index, text in enumerate(texts)]
    return {"id": 1, "image": image, "conversations": turns}


def truth(image, text, answer, key="question", **fields):
    return {"question_id": 7, "image": image, key: text, "ground_truth": answer, **fields}


def write(folder, files):
    """Write files of questions, and an image of 512 x 512 px for each name in them."""
    (folder / FOLDER).mkdir(parents=True)
    for name, rows in files.items():
        text = json.dumps(rows) if name.endswith(".json") else "".join(f"{json.dumps(item)}\n" for item in rows)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        for image in {item["image"] for item in rows}:
            shade = int(image[:4]) % 200 + len(image)
            PillowImage.fromarray(np.full((512, 512, 3), shade, np.uint8)).save(folder / FOLDER / image)
    return folder


def convert_files(tmp_path, files, **settings):
    source = write(tmp_path / "in", files)
    summary = convert(CONVERTER, source, tmp_path / "out", CONVERTER.settings_type(**settings))
    samples = {sample.id: sample for split in Split for sample in read_samples(tmp_path / "out", split)}
    rejects = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    return summary, samples, rejects


def one(tmp_path, *texts):
    _, samples, rejects = convert_files(tmp_path, {TRAIN: [row(name_of(1), *texts)]})
    assert rejects == []
    (sample,) = samples.values()
    return sample


def said(sample):
    return [turn.text for turn in sample.turns]


def test_geo_53_braces_are_centre_and_sides_never_corners(tmp_path):
    answer = "There is 1 ship in the image: <rbox>({<20.00><30.00><10.00><20.00>|<90>})</rbox>"
    sample = one(tmp_path, f"<image>\n{DETECT}", answer)
    assert (sample.task, sample.question) == (Task.GROUNDING, "ship")
    # 10 x 20 units about (20, 30), turned by 90 degrees: 20 x 10 units. As corners it would be 100, 200, 200, 300.
    assert said(sample) == ["<image>\nDetect <ref>ship</ref>", "<ref>ship</ref><box>[[100, 250, 300, 350]]</box>"]
    oriented = sample.objects[0].oriented_box_px
    assert (oriented.center_x_px, oriented.center_y_px) == pytest.approx((102.4, 153.6))
    assert (oriented.width_px, oriented.height_px, oriented.angle_deg) == pytest.approx((102.4, 51.2, 0))


def test_geo_53_all_boxes_of_a_class_are_one_answer(tmp_path):
    boxes = "{<20.00><30.00><20.00><10.00>|<90>}, {<70.00><30.00><20.00><10.00>|<90>}"
    sample = one(tmp_path, DETECT, f"There are 2 ships in the image: <rbox>({boxes})</rbox>")
    assert said(sample)[1] == "<ref>ship</ref><box>[[150, 200, 250, 400], [650, 200, 750, 400]]</box>"
    assert sample.images[0].source.details["tags"] == ["detection"]


@pytest.mark.parametrize(
    "question",
    [
        "[detection]Can you locate all the large_vehicles in the image?",
        "[detection]Detect all the large_vehicles and output their locations.",
        "[detection]Provide the coordinates of all large_vehicles in the image.",
        "[detection]Locate and list the positions of all large_vehicles that appear in the image.",
        "[detection]Identify all the large_vehicles and mark their locations.",
        "[detection]I need you to detect and locate all large_vehicles present in the image.",
        "[detection]Detect the locations of all large_vehicles objects in the provided image.",
    ],
)
def test_geo_53_that_there_is_none_is_an_answer_without_boxes(tmp_path, question):
    sample = one(tmp_path, question, NO_OBJECT)
    assert said(sample) == ["<image>\nDetect <ref>large_vehicle</ref>", "None"]


def test_geo_53_a_list_that_is_not_complete_is_no_grounding(tmp_path):
    answer = (
        "There are 30 ships in the image: <rbox>({<20.00><30.00><20.00><10.00>|<90>})</rbox>"
        ", and due to the context length, the remaining objects are not listed."
    )
    sample = one(tmp_path, DETECT, answer)
    assert sample.task is Task.CONVERSATION
    assert said(sample) == [
        f"<image>\nDetect all the ships in the image and output their locations.\n{MARK_REQUEST}",
        "There are 30 ships in the image: <box>[[150, 200, 250, 400]]</box>"
        ", and due to the context length, the remaining objects are not listed.",
    ]


def test_geo_53_fewer_boxes_than_said_are_no_grounding(tmp_path):
    answer = "There are 2 ships in the image: <rbox>({<20.00><30.00><20.00><10.00>|<90>})</rbox>"
    assert one(tmp_path, DETECT, answer).task is Task.CONVERSATION


def test_geo_53_relations_keep_names_boxes_and_relation(tmp_path):
    question = "[reasoning]What is related to <ref>crane</ref><rbox>({<50.00><50.00><20.00><10.00>|<90>})</rbox>?"
    answer = "1 <ref>ship</ref><rbox>({<20.00><30.00><20.00><10.00>|<90>})</rbox> is <rel>docked at</rel> it."
    sample = one(tmp_path, question, answer)
    assert said(sample) == [
        f"<image>\nWhat is related to <ref>crane</ref><box>[[450, 400, 550, 600]]</box>?\n{MARK_REQUEST}",
        "1 <ref>ship</ref><box>[[150, 200, 250, 400]]</box> is <rel>docked at</rel> it.",
    ]
    assert [thing.label for thing in sample.objects] == ["crane", "ship"]
    assert sample.images[0].source.details["raw_rounds"] == {"1": [question, answer]}


def test_geo_53_options_become_multiple_choice(tmp_path):
    text = "What is the relation?\nA. docked at\nB. parked beside\nC. over\nAnswer with the option's letter."
    files = {CHOICES: [truth(name_of(1), text, "B", key="text", category="relationship")]}
    _, samples, rejects = convert_files(tmp_path, files)
    (sample,) = samples.values()
    assert (sample.task, sample.split, sample.question) == (Task.MULTIPLE_CHOICE, Split.TEST, "What is the relation?")
    assert sample.answer.options == ("docked at", "parked beside", "over")
    assert said(sample)[1] == "B"
    details = sample.images[0].source.details
    assert (details["category"], details["question_id"]) == ("relationship", "7")
    assert rejects == []


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Which?\nA. one", "A"),
        ("Which?\nA. one\nC. two", "A"),
        ("Which?\nA. one\nB. two", "C"),
        ("Which?\nA. one\nB. two", "one"),
        ("A. one\nB. two", "A"),
        ("Which?\nA. one\nB. two\nAnd where is it?", "A"),
    ],
)
def test_geo_53_what_is_no_clean_choice_stays_text(tmp_path, text, answer):
    _, samples, _ = convert_files(tmp_path, {CHOICES: [truth(name_of(1), text, answer, key="text")]})
    (sample,) = samples.values()
    assert said(sample) == [f"<image>\n{text}", answer]


def test_geo_53_test_files_are_held_out_and_training_is_divided_by_scene(tmp_path):
    train = [row(name_of(scene, x), "?", "!") for scene in range(1, 40) for x in (0, 412)]
    files = {TRAIN: train, f"FIT-RSFG-Bench/{TEST}": [truth(name_of(50), "?", "!")]}
    _, samples, _ = convert_files(tmp_path, files, val_fraction=0.3)
    by_split = {split: {sample.group for sample in samples.values() if sample.split is split} for split in Split}
    assert by_split[Split.TEST] == {"0050"}
    assert by_split[Split.VAL]
    assert not by_split[Split.TRAIN] & by_split[Split.VAL]
    assert {f"{scene:04d}" for scene in range(1, 40)} == by_split[Split.TRAIN] | by_split[Split.VAL]
    assert [sample.fixed_split for sample in samples.values() if sample.split is Split.TEST] == [Split.TEST]


LEAKING = {
    TRAIN: [row(name_of(1), "?", "!"), row(name_of(2, 0), "?", "!"), row(name_of(3), "?", "!")],
    TEST: [truth(name_of(2, 412), "?", "!"), truth(name_of(3), "?", "!")],
}


def test_geo_53_scenes_of_test_files_are_not_trained_on(tmp_path):
    summary, samples, rejects = convert_files(tmp_path, LEAKING, val_fraction=0.0)
    assert {sample.group for sample in samples.values() if sample.split is Split.TRAIN} == {"0001"}
    assert [(item["input"], item["reason"], item["severity"]) for item in rejects] == [
        (f"{TRAIN} row 2", "image-in-test", "skipped"),
        (f"{TRAIN} row 3", "image-in-test", "skipped"),
    ]
    assert summary.exit_code is ExitCode.DONE
    assert all(not sample.warnings for sample in samples.values())


def test_geo_53_the_published_split_is_kept_on_request_and_says_so(tmp_path):
    _, samples, rejects = convert_files(tmp_path, LEAKING, val_fraction=0.0, leakage="as-published")
    assert rejects == []
    assert Counter(sample.split for sample in samples.values()) == {Split.TRAIN: 3, Split.TEST: 2}
    assert all("also trained on" in sample.warnings[0] for sample in samples.values() if sample.split is Split.TEST)


def test_geo_53_fit_rs_vqa_of_mini_internvl(tmp_path):
    suffix = "Answer the question using a single word or phrase."
    _, samples, _ = convert_files(
        tmp_path, {"fit_rs_vqa_100k.jsonl": [row(name_of(1), f"<image>\nWhat is it?\n{suffix}", "a crane")]}
    )
    (sample,) = samples.values()
    assert (sample.id, sample.task) == ("fit-rs/fit_rs_vqa_100k/1", Task.VQA)
    assert said(sample) == [f"<image>\nWhat is it?\n{suffix}", "a crane"]


def test_geo_53_files_that_hold_the_same_questions_are_refused(tmp_path):
    subset = "FIT-RS-train-sampled-381k(subset of 1415k).json"
    source = write(tmp_path / "in", {TRAIN: [row(name_of(1), "?", "!")], subset: [row(name_of(1), "?", "!")]})
    with pytest.raises(UsageError, match="several files hold the same training questions"):
        CONVERTER.plan(source, CONVERTER.settings_type())
    plan = CONVERTER.plan(source, CONVERTER.settings_type(annotations=f"{subset}, "))
    assert [unit.rows[0].file for unit in plan.units] == [subset]


def test_geo_53_files_of_single_tasks_are_read_together(tmp_path):
    files = {
        "train_instruction_vqa_400k.json": [row(name_of(1), "?", "!")],
        "train_instruction_multiturn_50k.json": [row(name_of(1), "1?", "1!", "2?", "2!")],
    }
    _, samples, _ = convert_files(tmp_path, files)
    assert {sample.id: len(sample.turns) for sample in samples.values()} == {
        "fit-rs/train_instruction_multiturn_50k/1": 4,
        "fit-rs/train_instruction_vqa_400k/1": 2,
    }


def test_geo_53_a_bad_row_is_listed_and_the_rest_converted(tmp_path):
    bad = "There is 1 ship in the image: <rbox>({<20.00><30.00><0.00><20.00>|<90>})</rbox>"
    files = {TRAIN: [row(name_of(1), DETECT, bad), row(name_of(1), "?", "!")], TEST: [truth(name_of(2), "?", None)]}
    summary, samples, rejects = convert_files(tmp_path, files)
    assert summary.exit_code is ExitCode.PARTIAL
    assert list(samples) == ["fit-rs/FIT-RS-train-1415k/2"]
    assert [(item["input"], item["reason"]) for item in rejects] == [
        (f"{TEST} row 1", "field-missing"),
        (f"{TRAIN} row 1", "box-empty"),
    ]


def test_geo_53_missing_images_are_counted(tmp_path):
    source = write(tmp_path / "in", {TRAIN: [row(name_of(1), "?", "!"), row(name_of(2), "?", "!")]})
    (source / FOLDER / name_of(2)).unlink()
    plan = CONVERTER.plan(source, CONVERTER.settings_type())
    assert [(reject.input, reject.reason) for reject in plan.rejects] == [(name_of(2), "image-missing")]


@pytest.mark.parametrize(
    ("files", "settings", "error", "message"),
    [
        ({}, {}, InputNotFoundError, "there is no .json or .jsonl file"),
        ({}, {"annotations": TRAIN}, InputNotFoundError, f"{TRAIN} is missing"),
        ({TRAIN: []}, {}, NothingToDoError, "no row can be used"),
        ({TRAIN: [row(name_of(1), "?", "!")]}, {"images": "x"}, InputNotFoundError, "there is no folder x"),
    ],
)
def test_geo_53_an_input_that_is_wrong_as_a_whole_says_so(tmp_path, files, settings, error, message):
    source = write(tmp_path / "in", files)
    with pytest.raises(error, match=message):
        CONVERTER.plan(source, CONVERTER.settings_type(**settings))


def test_geo_53_the_generated_set_converts_is_valid_and_the_same_for_two_workers(tmp_path):
    generate_fit_rs(tmp_path / "in", image_count=4)
    convert(CONVERTER, tmp_path / "in", tmp_path / "out")
    convert(CONVERTER, tmp_path / "in", tmp_path / "two", run=RunSettings(workers=2))
    assert validate(tmp_path / "out").counts == {}
    samples = [sample for split in Split for sample in read_samples(tmp_path / "out", split)]
    assert Counter((sample.task, sample.split is Split.TEST) for sample in samples) == {
        (Task.GROUNDING, False): 3, (Task.GROUNDING, True): 1, (Task.MULTIPLE_CHOICE, True): 1
    }  # fmt: skip
    for name in ("train.jsonl", "val.jsonl", "test.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    for sample in samples:
        pixels = np.asarray(PillowImage.open(tmp_path / "out" / sample.images[0].path).convert("RGB")).astype(int)
        if sample.objects:  # the white rectangle comes first; 0.01 unit and a degree are below two pixels
            ys, xs = np.nonzero(pixels.min(axis=2) > 200)
            drawn = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
            assert sample.objects[0].box_px == pytest.approx(drawn, abs=2)
