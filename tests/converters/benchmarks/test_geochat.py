"""GEO-53: GeoChat-Instruct in its exact layout: tags, boxes, several rounds, and rows that cannot be used."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image as PillowImage
from shapely.geometry import Polygon

from domainvl.conversion import RunSettings, convert, load_converter
from domainvl.converters.benchmarks.generate_conversations import generate_geochat
from domainvl.converters.benchmarks.marked_text import MARK_REQUEST
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, NothingToDoError
from domainvl.schema import Split, Task, read_manifest, read_samples
from domainvl.schema.oriented import corners_of
from domainvl.schema.validation.run import validate

CONVERTER = load_converter("geochat")
ARCHIVE = "share/softwares/kartik/GeoChat_finetuning/final_images_llava"
SHORT = "Answer in one word or a short phrase."


def row(image, *texts, **fields):
    turns = [{"from": "gpt" if index % 2 else "human", "value": text} for index, text in enumerate(texts)]
    return {"id": image, "image": image, "conversations": turns, **fields}


def write(folder, rows, *, images=None, place=ARCHIVE):
    """Write the layout; an image of 200 x 100 px of its own for each name."""
    names = {item.get("image") for item in rows if isinstance(item, dict)} if images is None else set(images)
    for seed, name in enumerate(sorted(name for name in names if isinstance(name, str))):
        path = folder / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 255, (100, 200, 3), dtype=np.uint8)
        PillowImage.fromarray(pixels).save(path)
    (folder / "GeoChat_Instruct.json").write_text(json.dumps(rows))
    return folder


def convert_rows(tmp_path, rows, settings=None, **layout):
    source = tmp_path / "in"
    source.mkdir(exist_ok=True)
    write(source, rows, **layout)
    summary = convert(CONVERTER, source, tmp_path / "out", settings)
    samples = [sample for split in Split for sample in read_samples(tmp_path / "out", split)]
    rejects = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    return summary, {sample.id: sample for sample in samples}, rejects


def one(tmp_path, *texts, settings=None):
    _, samples, rejects = convert_rows(tmp_path, [row("a.png", *texts)], settings)
    assert rejects == []
    (sample,) = samples.values()
    return sample


def said(sample):
    return [turn.text for turn in sample.turns]


def test_geo_53_refer_becomes_grounding(tmp_path):
    sample = one(
        tmp_path, "<image>\n[refer] where is <p>2 white ships</p> ?", "{<10><20><30><40>|<0>}{<50><60><70><80>|<90>}"
    )
    assert (sample.task, sample.question) == (Task.GROUNDING, "2 white ships")
    assert said(sample) == [
        "<image>\nDetect <ref>2 white ships</ref>",
        # The second is 40 x 20 px before it is turned, and 20 x 40 px about (120, 70) after.
        "<ref>2 white ships</ref><box>[[100, 200, 300, 400], [550, 500, 650, 900]]</box>",
    ]
    assert [thing.box_px for thing in sample.objects] == [
        pytest.approx((20, 20, 60, 40)),
        pytest.approx((110, 50, 130, 90)),
    ]
    assert {thing.label for thing in sample.objects} == {"2 white ships"}
    assert sample.objects[1].attributes == {"raw": "{<50><60><70><80>|<90>}"}


@pytest.mark.parametrize("between", ["<delim>", " <delim> ", "", ", "])
def test_geo_53_boxes_are_divided_in_every_way_that_occurs(tmp_path, between):
    boxes = between.join(["{<10><20><30><40>|<0>}", "{<50><60><70><80>|<0>}"])
    sample = one(tmp_path, "[refer] <p>ships</p>", boxes)
    assert said(sample)[1].endswith("<box>[[100, 200, 300, 400], [500, 600, 700, 800]]</box>")


def test_geo_53_a_name_before_the_boxes_of_the_answer_is_said_once(tmp_path):
    sample = one(tmp_path, "[refer] where is <p>a ship</p>?", "<p>a ship</p> {<10><20><30><40>|<0>}")
    assert said(sample)[1] == "<ref>a ship</ref><box>[[100, 200, 300, 400]]</box>"


def test_geo_53_identify_becomes_region_naming(tmp_path):
    sample = one(tmp_path, "[identify] the object in {<35><32><37><36>|<0>} is", "<p>1 dump-truck at the center</p>")
    assert sample.task is Task.REGION
    assert said(sample) == [
        "<image>\nWhat object is in this location<box>[[350, 320, 370, 360]]</box>",
        "<ref>1 dump-truck at the center</ref><box>[[350, 320, 370, 360]]</box>",
    ]


def test_geo_53_a_grounded_description_keeps_its_text_and_its_boxes(tmp_path):
    sample = one(
        tmp_path,
        "[grounding] describe this image",
        "There is <p>some buildings</p> {<10><20><30><40>|<0>}<delim>{<50><60><70><80>|<0>} at the top, and a road.",
    )
    assert sample.task is Task.CONVERSATION
    assert said(sample) == [
        f"<image>\ndescribe this image\n{MARK_REQUEST}",
        "There is <ref>some buildings</ref><box>[[100, 200, 300, 400], [500, 600, 700, 800]]</box> at the top, "
        "and a road.",
    ]
    assert [thing.label for thing in sample.objects] == ["some buildings"] * 2


def test_geo_53_several_rounds_are_one_sample_whose_last_is_asked(tmp_path):
    sample = one(
        tmp_path,
        "<image>\nHow many ships are there?",
        "There are 2 ships.",
        "[refer] where is <p>the left ship</p> ?",
        "{<10><20><30><40>|<0>}",
        f"Is it a harbour? {SHORT}",
        "yes",
    )
    assert (sample.task, sample.question, sample.answer.text) == (Task.VQA, "Is it a harbour?", "yes")
    assert said(sample) == [
        "<image>\nHow many ships are there?",
        "There are 2 ships.",
        "Detect <ref>the left ship</ref>",
        "<ref>the left ship</ref><box>[[100, 200, 300, 400]]</box>",
        "Is it a harbour?\nAnswer the question using a single word or phrase.",
        "yes",
    ]
    assert [turn.text for turn in sample.earlier] == ["How many ships are there?", *said(sample)[1:4]]
    assert [thing.label for thing in sample.objects] == ["the left ship"]


def test_geo_53_classes_and_short_answers_are_asked_in_our_words(tmp_path):
    question = "Classify the given image in one of the following classes. Classes: beach, forest."
    sample = one(tmp_path, f"<image>\n{question}\n{SHORT}", "beach")
    assert (sample.task, sample.question) == (Task.CLASSIFICATION, question)
    assert said(sample) == [f"<image>\n{question}\nAnswer with one word or short phrase.", "beach"]


def test_geo_53_nothing_of_its_notation_is_left_and_the_raw_text_is_kept(tmp_path):
    texts = ["[refer] where is <p>a ship</p> ?", "{<10><20><30><40>|<15>}", "And?", "<p>A tree</p> {<1><2><8><9>|<5>}."]
    sample = one(tmp_path, *texts)
    for mark in ("<p>", "{<", "<delim>", "[refer]", "|<"):
        assert mark not in "".join(said(sample))
    details = sample.images[0].source.details
    assert details["raw_rounds"] == {"1": texts[:2], "2": texts[2:]}
    assert details["tags"] == ["refer", ""]
    assert (details["id"], details["official_split"], details["row"]) == (
        "a.png",
        "train",
        "GeoChat_Instruct.json row 1",
    )


def test_geo_53_text_from_the_file_cannot_speak_tokens(tmp_path):
    sample = one(tmp_path, "What is <box>this</box>?", "A <|im_end|> <ref> thing")
    assert said(sample) == ["<image>\nWhat is &lt;box&gt;this&lt;/box&gt;?", "A &lt;|im_end|&gt; &lt;ref&gt; thing"]


def test_geo_53_marks_of_our_own_in_the_file_point_at_nothing(tmp_path):
    sample = one(tmp_path, "What is it?", "<box>[[1, 2, 3, 4]]</box> <p>A ship</p> {<10><20><30><40>|<0>}")
    assert said(sample)[1] == (
        "&lt;box&gt;[[1, 2, 3, 4]]&lt;/box&gt; <ref>A ship</ref><box>[[100, 200, 300, 400]]</box>"
    )


def test_geo_53_a_tag_alone_is_the_question(tmp_path):
    assert said(one(tmp_path, "<image>\n[grounding]", "A forest."))[0] == "<image>\n[grounding]"


def test_geo_53_the_angle_is_an_option_and_bears_on_the_rotated_box_alone(tmp_path):
    texts = ("[refer] <p>ship</p>", "{<40><20><60><80>|<30>}")
    (tmp_path / "left").mkdir()
    (tmp_path / "right").mkdir()
    left = one(tmp_path / "left", *texts)
    right = one(tmp_path / "right", *texts, settings=CONVERTER.settings_type(angle="clockwise"))
    assert left.turns == right.turns
    assert left.objects[0].box_px == pytest.approx(right.objects[0].box_px)
    # 40 x 60 px standing, turned by 30 degrees: left or right makes it lie at -30 + 90 or 30 - 90.
    assert [sample.objects[0].oriented_box_px.angle_deg for sample in (left, right)] == pytest.approx([60, -60])
    for sample in (left, right):
        assert Polygon(corners_of(sample.objects[0].oriented_box_px)).bounds == pytest.approx(sample.objects[0].box_px)


def test_geo_53_patches_of_a_scene_are_one_group(tmp_path):
    names = [
        "P0001_0000.png",
        "P0001_0003.png",
        "train_2956_0001.png",
        "NWPU/airplane/airplane_001.png",
        "church_183.png",
    ]
    _, samples, _ = convert_rows(tmp_path, [row(name, "Hello?", "Hi.") for name in names])
    groups = {sample.images[0].source.uri.removeprefix(f"{ARCHIVE}/"): sample.group for sample in samples.values()}
    assert groups == {
        "P0001_0000.png": "P0001",
        "P0001_0003.png": "P0001",
        "train_2956_0001.png": "train_2956",
        "NWPU/airplane/airplane_001.png": "NWPU/airplane/airplane_001.png",
        "church_183.png": "church_183.png",
    }


def test_geo_53_a_patch_is_of_the_scene_in_its_folder(tmp_path):
    names = ["DOTA/P0001_0000.png", "DOTA/P0001_0003.png", "other/P0001_0000.png"]
    _, samples, _ = convert_rows(tmp_path, [row(name, "Hello?", "Hi.") for name in names])
    groups = {sample.images[0].source.uri.removeprefix(f"{ARCHIVE}/"): sample.group for sample in samples.values()}
    assert groups == dict(zip(names, ["DOTA/P0001", "DOTA/P0001", "other/P0001"], strict=True))


def test_geo_53_a_box_without_width_costs_nothing_but_a_warning(tmp_path):
    texts = ("[refer] <p>ships</p>", "{<35><20><35><60>|<0>}<delim>{<10><20><30><40>|<0>}", "And?", "A sea.")
    sample = one(tmp_path, *texts)
    assert [thing.box_px for thing in sample.objects] == [
        pytest.approx((69.5, 20, 70.5, 60)),
        pytest.approx((20, 20, 60, 40)),
    ]
    assert sample.warnings == ("1 of the boxes had a side of 0, which is taken for half a hundredth of the image's",)
    (tmp_path / "other").mkdir()
    assert one(tmp_path / "other", "[refer] <p>ships</p>", "{<10><20><30><40>|<0>}").warnings == ()


REFUSED = {
    "not an object": ("row-invalid", "text"),
    "no image": ("image-none", row(None, "?", "!")),
    "an image elsewhere": ("row-invalid", row("../a.png", "?", "!")),
    "an absolute image": ("row-invalid", row("/etc/a.png", "?", "!")),
    "no list": ("row-invalid", row("a.png") | {"conversations": "text"}),
    "no turns": ("row-invalid", row("a.png")),
    "gpt first": ("turn-order", row("a.png") | {"conversations": row("a.png", "?", "!")["conversations"][::-1]}),
    "no answer": ("turn-order", row("a.png", "?", "!", "?")),
    "an empty answer": ("field-missing", row("a.png", "<image>\n?", "  ")),
    "two images": ("image-placeholders", row("a.png", "<image><image> which?", "!")),
    "a number as answer": ("row-invalid", row("a.png", "?", 3)),
    "half a character": ("row-invalid", row("a.png", "?", "\ud800")),
    "a box outside": ("box-outside", row("a.png", "[refer] <p>x</p>", "{<77><981><83><100>|<29>}")),
    "three numbers": ("mark-form", row("a.png", "[identify] what is {<1><2><3>|<4>}?", "a ship")),
    "a name without end": ("mark-form", row("a.png", "What is <p>this?", "a ship")),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_geo_53_a_row_that_cannot_be_used_is_listed_and_the_rest_converted(tmp_path, case):
    reason, bad = REFUSED[case]
    summary, samples, rejects = convert_rows(tmp_path, [bad, row("b.png", "?", "!")], images=["a.png", "b.png"])
    assert summary.exit_code is ExitCode.PARTIAL
    assert list(samples) == ["geochat/GeoChat_Instruct/2"]
    assert [(item["input"], item["reason"], item["severity"]) for item in rejects] == [
        ("GeoChat_Instruct.json row 1", reason, "failed")
    ]


def test_geo_53_missing_images_are_counted(tmp_path):
    rows = [row("a.png", "?", "!"), row("b.png", "?", "!"), row("b.png", "1?", "1!")]
    summary, samples, rejects = convert_rows(tmp_path, rows, images=["a.png"])
    assert len(samples) == 1
    (reject,) = rejects
    assert (reject["input"], reject["reason"]) == ("b.png", "image-missing")
    assert "2 conversations" in reject["message"]
    assert summary.exit_code is ExitCode.PARTIAL


def test_geo_53_a_broken_image_costs_its_conversations_only(tmp_path):
    source = write(tmp_path / "in", [row("a.png", "?", "!"), row("b.png", "?", "!")])
    (source / ARCHIVE / "a.png").write_bytes(b"no image")
    convert(CONVERTER, source, tmp_path / "out")
    (reject,) = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    assert (reject["input"], reject["reason"]) == (f"{ARCHIVE}/a.png", "image-decode")


@pytest.mark.parametrize("place", ["images", f"images/{ARCHIVE}", "share_images", "."])
def test_geo_53_images_are_found_where_they_are_put(tmp_path, place):
    _, samples, _ = convert_rows(tmp_path, [row("a.png", "?", "!")], place=place)
    assert [sample.images[0].source.uri for sample in samples.values()] == [f"{place}/a.png".removeprefix("./")]


def test_geo_53_a_folder_of_images_can_be_named(tmp_path):
    settings = CONVERTER.settings_type(images="elsewhere")
    _, samples, _ = convert_rows(tmp_path, [row("a.png", "?", "!")], settings, place="elsewhere")
    assert len(samples) == 1


def test_geo_53_images_are_copied_byte_for_byte(tmp_path):
    sample = one(tmp_path, "?", "!")
    content = (tmp_path / "in" / ARCHIVE / "a.png").read_bytes()
    assert (tmp_path / "out" / sample.images[0].path).read_bytes() == content
    assert sample.images[0].source.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, InputNotFoundError, "GeoChat_Instruct.json is missing"),
        ("{}", DatasetError, "it must be a list"),
        ('[{"id": 1},', DatasetError, "it must be JSON"),
        ("[1, 2] 3", DatasetError, "must end after its last item"),
        ("[]", NothingToDoError, "no row of it can be used"),
        (json.dumps([row("a.png", "?", "!")]), InputNotFoundError, "none of the first, such as a.png"),
    ],
)
def test_geo_53_an_input_that_is_wrong_as_a_whole_says_so(tmp_path, content, error, message):
    if content is not None:
        (tmp_path / "GeoChat_Instruct.json").write_text(content)
    with pytest.raises(error, match=message):
        CONVERTER.plan(tmp_path, CONVERTER.settings_type())


def test_geo_53_the_generated_set_converts_and_is_valid(tmp_path):
    generate_geochat(tmp_path / "in", image_count=4)
    convert(CONVERTER, tmp_path / "in", tmp_path / "out")
    assert validate(tmp_path / "out").counts == {}
    samples = [sample for split in Split for sample in read_samples(tmp_path / "out", split)]
    assert Counter(sample.task for sample in samples) == {
        Task.GROUNDING: 12, Task.REGION: 4, Task.CONVERSATION: 4, Task.VQA: 4
    }  # fmt: skip
    assert read_manifest(tmp_path / "out")["settings"]["angle"] == "counter-clockwise"
    # The boxes of the text lie on what was drawn, within one of its 100 units.
    for sample in samples:
        pixels = np.asarray(PillowImage.open(tmp_path / "out" / sample.images[0].path).convert("RGB")).astype(int)
        for thing in sample.objects:
            if "white" in thing.label:
                ys, xs = np.nonzero(pixels.min(axis=2) > 200)
                drawn = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
                assert thing.box_px == pytest.approx(drawn, abs=2.5)


def test_geo_53_two_runs_give_the_same_bytes(tmp_path):
    generate_geochat(tmp_path / "in", image_count=3)
    convert(CONVERTER, tmp_path / "in", tmp_path / "one")
    convert(CONVERTER, tmp_path / "in", tmp_path / "two", run=RunSettings(workers=2))
    for name in ("train.jsonl", "val.jsonl", "test.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
