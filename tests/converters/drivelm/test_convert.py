"""DRV-50, 51, 53, 56 and 62: what of a DriveLM file becomes samples, and what is kept of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from drivelm_files import CHANNELS, LIGHT, OBJECTS, SUV, Given, make_frame, make_scenes, pair
from PIL import Image

from domainvl.converters.drivelm import CONVERTER, DriveLmSettings
from domainvl.converters.drivelm.graph_file import image_file
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, ItemError, NothingToDoError, UsageError
from domainvl.schema import Split, Task

GOING, BEHAVIOUR = "Going ahead.", "The ego vehicle is going straight. The ego vehicle is driving slowly."
STATUS = f"What is the moving status of object {SUV}?"
FRAME = make_frame(
    [pair("What matters?", f"A van {SUV}, and a lamp {LIGHT}."), pair(STATUS, GOING)],
    [pair(f"Is {LIGHT} a sign?", "Yes.")],
    [pair("What is safe?", "To brake.")],
    [pair("Predict the behavior of the ego vehicle.", BEHAVIOUR)],
)


def details(sample):
    return sample.images[0].source.details["drivelm"]


def ids(samples):
    return [details(sample)["id"] for sample in samples]


def test_drv_50_each_question_becomes_a_sample_and_the_rest_of_the_file_is_kept(given):
    frame = make_frame([pair("Q1?", "A1.", con_up=[2], new="x")], objects=OBJECTS, weather={"rain": True})
    _, (sample,), rejects = given.convert(make_scenes(frame, town="B"))

    assert rejects == []
    assert (sample.domain, sample.task, sample.question, sample.answer.text) == (
        "driving",
        Task.CONVERSATION,
        "Q1?",
        "A1.",
    )
    kept = details(sample)
    assert kept["extra"] == {"con_up": [2], "new": "x"}
    assert (kept["frame_extra"], kept["scene_extra"]) == ({"weather": {"rain": True}}, {"town": "B"})
    assert (kept["scene"], kept["frame"], kept["scene_description"]) == ("s", "f", "It drives.")
    assert [thing.attributes.get("status") for thing in sample.objects] == ["Moving", None]


def test_drv_50_a_byte_order_mark_and_missing_categories_do_no_harm(given):
    frame = make_frame(planning=[pair("Q?", "A.")])
    del frame["QA"]["behavior"]
    frame["QA"]["perception"] = None
    given.write(make_scenes(frame))
    given.source.write_bytes(b"\xef\xbb\xbf" + given.source.read_bytes())

    assert ids(given.convert()[1]) == ["s_f_0"]


def test_drv_50_questions_without_answers_are_refused_with_the_way_out(given):
    frame = make_frame([pair("Q?")], behavior=[pair("Predict it.")], objects=None)

    with pytest.raises(UsageError, match="none of its 1 key frames has an answer.*--questions-only placeholder"):
        given.convert(make_scenes(frame))


def test_drv_50_questions_without_answers_become_prompts_that_nothing_is_trained_on(given):
    options = " Please select the correct answer from the following options: A. Stopped. B. Turn left. C. Back up."
    frame = make_frame([pair("Q?"), pair(f"{STATUS}{options}")], objects=None)
    summary, samples, rejects = given.convert(
        make_scenes(frame), questions_only="placeholder", val_fraction=0.4, test_fraction=0.0
    )

    assert rejects == []
    assert [sample.split for sample in samples] == [sample.fixed_split for sample in samples] == [Split.TEST] * 2
    assert all("placeholder" in sample.warnings[-1] for sample in samples)
    # Open questions are in no score; the options stand in the text, as they do where one of them is right.
    assert [sample.task for sample in samples] == [Task.CONVERSATION] * 2
    assert samples[1].turns[0].text.endswith(options)
    assert details(samples[1])["options"] == ["Stopped.", "Turn left.", "Back up."]
    assert [details(sample)["answer"] for sample in samples] == [None, None]
    assert "mean nothing" in summary.manifest["notes"][-1]


@pytest.mark.parametrize("layout", ["stitched", "multi-image"])
def test_drv_50_options_are_worded_alike_with_and_without_an_answer(given, layout):
    answered = make_frame([pair(STATUS, GOING)], objects=None)
    _, (known,), _ = given.convert(make_scenes(answered), out=given.folder / "a", layout=layout)
    bare = make_frame([pair(STATUS)], objects=None)
    _, (unknown,), _ = given.convert(make_scenes(bare), questions_only="placeholder", layout=layout)

    assert unknown.turns[0].text.partition(" A. ")[0] == known.turns[0].text.partition(" A. ")[0]
    lettered = " ".join(f"{letter}. {text}" for letter, text in zip("ABCD", details(unknown)["options"], strict=True))
    assert unknown.turns[0].text.endswith(f" {lettered}")


@pytest.mark.parametrize(
    ("asked", "warning"),
    [
        ("What of <c1,CAM_BACK,1.0,2.0,3.0>?", "a tag in it cannot be read"),
        ("What of <c1,CAM_TOP,1.0,2.0>?", "a tag in it cannot be read"),
        ("Is it? Please select the correct answer from the following options: B. One.", "options cannot be read"),
        ("Is it? Please select the correct answer from the following options: A. One. B. One.", "options cannot be"),
    ],
)
def test_drv_57_what_must_be_submitted_is_asked_even_where_it_cannot_be_read(given, asked, warning):
    frame = make_frame([pair(asked), pair(f"Where is {SUV}?")], objects=None)
    summary, samples, rejects = given.convert(make_scenes(frame), questions_only="placeholder")

    assert (rejects, summary.exit_code, ids(samples)) == ([], ExitCode.DONE, ["s_f_0", "s_f_1"])
    assert samples[0].turns[0].text.endswith(asked)
    assert warning in samples[0].warnings[0]
    assert samples[0].task is Task.CONVERSATION
    assert samples[1].warnings == samples[0].warnings[1:]

    other = make_scenes(make_frame([pair(asked, "A"), pair("Q?", "A.")], objects=None))
    _, kept, (reject,) = given.convert(other, out=given.folder / "answered")
    assert (ids(kept), reject["input"]) == (["s_f_1"], "s_f_0")


def test_drv_50_that_a_scene_with_one_answer_loses_the_others_is_said(given):
    frame = make_frame([pair("Q0?"), pair("Q1?", "A."), pair("Q2?")])
    scenes = make_scenes(frame) | make_scenes(make_frame([pair("Q?", "A.")]), scene="t")
    summary, samples, _ = given.convert(scenes, questions_only="placeholder")

    assert sorted(ids(samples)) == ["s_f_1", "t_f_0"]
    (note,) = [note for note in summary.manifest["notes"] if "left out" in note]
    assert note.startswith("2 of 3 questions are left out of 1 scene: ")
    assert "--questions-only placeholder" in note


def test_drv_50_of_a_mixed_file_scenes_without_answers_are_listed(given):
    scenes = make_scenes(make_frame([pair("Q?", "A.")])) | make_scenes(make_frame([pair("Q?")]), scene="s2")
    summary, samples, (reject,) = given.convert(scenes)

    assert ids(samples) == ["s_f_0"]
    assert (reject["input"], reject["reason"]) == ("s2_f", "no-answer")
    assert summary.exit_code is ExitCode.PARTIAL


def test_drv_51_ids_count_over_all_categories_in_their_order(given):
    _, samples, _ = given.convert(make_scenes(FRAME))

    assert ids(samples) == [f"s_f_{number}" for number in range(5)]
    assert [sample.id for sample in samples] == [f"drivelm/s_f_{number}" for number in range(5)]
    assert [details(sample)["category"] for sample in samples] == [
        "perception",
        "perception",
        "prediction",
        "planning",
        "behavior",
    ]


def test_drv_51_what_is_left_out_does_not_move_the_ids_of_the_rest(given):
    frame = make_frame(
        [pair("Q0?", "<c1,CAM_BACK,1.0,2.0,3.0>"), pair("Q1?", "A."), pair(STATUS, "Turn around."), pair("", "A.")],
        [pair("Q4?", "<c9,CAM_BACK,1.0,2.0>"), pair("Q5?", "A."), pair("Q6?")],
        behavior=[pair("Q7?", BEHAVIOUR)],
    )
    summary, samples, rejects = given.convert(make_scenes(frame))

    assert ids(samples) == ["s_f_1", "s_f_5", "s_f_7"]
    assert [(reject["input"], reject["reason"], reject["severity"]) for reject in rejects] == [
        ("s_f_0", "bad-tag", "failed"),
        ("s_f_2", "answer-not-listed", "skipped"),
        ("s_f_3", "no-question", "failed"),
        ("s_f_4", "unknown-object", "failed"),
        ("s_f_6", "no-answer", "skipped"),
    ]
    assert summary.exit_code is ExitCode.PARTIAL


def test_drv_53_point_and_box_of_a_key_object_are_both_kept_and_neither_made_from_the_other(given):
    _, samples, _ = given.convert(make_scenes(FRAME), layout="multi-image")
    suv, light = samples[0].objects

    assert [thing.attributes["raw"] for thing in (suv, light)] == [
        {"tag": tag, **info} for tag, info in OBJECTS.items()
    ]
    assert (suv.id, suv.label, suv.attributes["box_source"]) == ("c1/BACK", "vehicle", "2d-label")
    assert samples[0].images[suv.image].view == "BACK"
    assert (suv.point_px, suv.box_px) == ((1050.5, 480.3), (940.2, 400.1, 1180.9, 570.6))
    # The lamp's box reaches the border: its point is not the centre, and stays what it was.
    assert (light.point_px, light.box_px) == ((1020.7, 90.4), (660.3, 0.0, 1400.8, 180.6))
    assert not any("point_outside_image" in thing.attributes for thing in (suv, light))


def test_drv_53_stitched_places_are_those_of_the_view_in_the_canvas(given):
    _, samples, _ = given.convert(make_scenes(FRAME), layout="stitched")
    suv = samples[0].objects[0]

    # BACK is the middle cell of the lower row: from (896, 448), 896 of 1600 and 448 of 900 px wide and high.
    assert suv.point_px == pytest.approx((896 + 1050.5 * 0.56, 448 + 480.3 * 448 / 900))
    assert suv.box_px == pytest.approx(
        (896 + 940.2 * 0.56, 448 + 400.1 * 448 / 900, 896 + 1180.9 * 0.56, 448 + 570.6 * 448 / 900)
    )


def test_drv_53_points_and_boxes_beyond_the_image_are_kept_and_flagged(given):
    tag = "<c1,CAM_FRONT,1650.5,-3.0>"
    objects = {tag: {"Category": "Vehicle", "Visual_description": "Van.", "2d_bbox": [1500.0, 0.0, 1700.0, 100.0]}}
    frame = make_frame([pair("Q?", f"See {tag}.")], objects=objects)
    _, (single,), _ = given.convert(make_scenes(frame), layout="multi-image", out=given.folder / "a")
    _, (stitched,), rejects = given.convert(layout="stitched", out=given.folder / "b")

    assert rejects == []
    for sample in (single, stitched):
        (thing,) = sample.objects
        assert thing.attributes["raw"] == {"tag": tag, **objects[tag]}
        assert thing.attributes["point_outside_image"] is True
        assert (thing.visible_fraction, thing.truncated) == (0.5, True)
        assert "outside its image" in sample.warnings[0]
    assert single.objects[0].point_px == (1650.5, -3.0)
    # On the stitched image the place beyond the border is another view's.
    assert stitched.objects[0].point_px == (1792.0, 0.0)
    assert single.objects[0].box_px == (1500.0, 0.0, 1600.0, 100.0)


@pytest.mark.parametrize("box", [None, [1, 2, 3], [5, 5, 5, 9], [2000.0, 0.0, 2100.0, 10.0], "x"])
def test_drv_53_an_object_without_a_box_in_the_image_keeps_its_point(given, box):
    objects = {SUV: {"Category": "Vehicle", "Visual_description": "Van.", "2d_bbox": box}}
    _, (sample,), rejects = given.convert(make_scenes(make_frame([pair("Q?", SUV)], objects=objects)))

    assert (rejects, sample.objects[0].box_px, sample.objects[0].ignore) == ([], None, True)
    assert sample.objects[0].attributes["raw"]["2d_bbox"] == box


def test_drv_53_the_box_of_a_list_becomes_thousandths_of_its_view(given):
    asked = "Identify all in the front view, as a list formatted as (c, s, x1, y1, x2, y2)."
    frame = make_frame([pair(asked, "See [(lamp, green, 400.0, 90.0, 800.0, 450.0), (lamp, red, 1, 2)].")])
    _, (single,), _ = given.convert(make_scenes(frame), layout="multi-image", out=given.folder / "a")
    _, (stitched,), _ = given.convert(layout="stitched", out=given.folder / "b")

    # In the view 400/1600, 90/900, ...; on the canvas FRONT begins at 896/2688 and is a third wide and half high.
    assert single.turns[-1].text == "See [(lamp, green, <box>[[250, 100, 500, 500]]</box>), (lamp, red, 1, 2)]."
    assert stitched.turns[-1].text == "See [(lamp, green, <box>[[417, 50, 500, 250]]</box>), (lamp, red, 1, 2)]."


def test_drv_56_a_graph_is_one_conversation_in_the_order_of_the_graph(given):
    _, (sample,), rejects = given.convert(make_scenes(FRAME), rounds="graph", layout="stitched")
    _, single, _ = given.convert(out=given.folder / "single", layout="stitched")

    assert rejects == []
    assert sample.id == "drivelm/s_f"
    # Each round is what the question alone would be, with images and preface before the first only.
    begin = f"<image>\n{sample.preface}\n"
    alone = [turn.text.removeprefix(begin) for one in single for turn in one.turns]
    assert [turn.text for turn in sample.turns] == [begin + alone[0], *alone[1:]]
    assert len(sample.turns) == 10
    assert [one["id"] for one in details(sample)["rounds"]] == ids(single)
    assert (details(sample)["id"], sample.task) == ("s_f_4", Task.MULTIPLE_CHOICE)


def test_drv_56_a_question_that_cannot_be_asked_is_missing_in_the_graph_alone(given):
    frame = make_frame([pair("Q0?", "A0."), pair("Q1?", "<c9,CAM_BACK,1.0,2.0>"), pair("Q2?", "A2.")])
    _, (sample,), (reject,) = given.convert(make_scenes(frame), rounds="graph")

    assert [one["id"] for one in details(sample)["rounds"]] == ["s_f_0", "s_f_2"]
    assert reject["input"] == "s_f_1"


def test_drv_62_the_card_says_non_commercial(given):
    summary, _, _ = given.convert(make_scenes(FRAME))

    card = (given.out / "card.md").read_text()
    assert summary.manifest["licence"] == "CC-BY-NC-SA-4.0"
    assert "Not for commercial use." in card
    assert "license: cc-by-nc-sa-4.0" in card
    assert "- non-commercial" in card


def test_stitched_frames_store_one_image_and_say_what_it_was_made_of(given):
    _, samples, _ = given.convert(make_scenes(FRAME), layout="stitched")

    assert len({sample.images[0].path for sample in samples}) == 1
    assert len(list((given.out / "images").rglob("*.*"))) == 1
    image = samples[0].images[0]
    assert (image.width_px, image.height_px) == (2688, 896)
    pixels = np.asarray(Image.open(given.out / image.path))
    order = ("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT")
    middles = [pixels[448 * row + 224, 896 * column + 448, 0] for row in range(2) for column in range(3)]
    assert middles == pytest.approx([40 * CHANNELS.index(channel) + 20 for channel in order], abs=2)
    assert len(image.source.details["made_of_pixel_sha256"]) == 6
    assert list(image.source.details["files"])[:2] == ["FRONT_LEFT", "FRONT"]
    assert image.source.uri == "samples/CAM_FRONT_LEFT/f.jpg"


def test_names_of_cameras_can_be_left_off(given):
    given.convert(make_scenes(FRAME), out=given.folder / "a", layout="stitched")
    given.convert(draw_labels=False, layout="stitched", out=given.folder / "b")

    corners = {
        name: np.asarray(Image.open(next((given.folder / name / "images").rglob("*.png"))))[:60, :200]
        for name in ("a", "b")
    }
    assert (corners["a"] == (255, 0, 255)).all(axis=-1).any()
    assert not (corners["b"] == (255, 0, 255)).all(axis=-1).any()


def test_views_alone_are_copied_byte_for_byte_in_the_fixed_order(given):
    _, samples, _ = given.convert(make_scenes(FRAME), layout="multi-image")
    sample = samples[0]

    assert [image.view for image in sample.images] == [
        "FRONT_LEFT",
        "FRONT",
        "FRONT_RIGHT",
        "BACK_LEFT",
        "BACK",
        "BACK_RIGHT",
    ]
    for image in sample.images:
        source = given.dataroot / image.source.uri
        assert (given.out / image.path).read_bytes() == source.read_bytes()
    assert sample.turns[0].text.startswith("FRONT_LEFT: <image>\nFRONT: <image>\n")


def test_the_prompt_says_what_a_tag_is(given):
    _, (stitched, *_), _ = given.convert(make_scenes(FRAME), out=given.folder / "a", layout="stitched")
    _, (single, *_), _ = given.convert(layout="multi-image", out=given.folder / "b")

    for sample in (stitched, single):
        assert "<c, CAM, [cx,cy]>" in sample.turns[0].text
    assert "the whole image" in stitched.turns[0].text
    assert "that camera's image" in single.turns[0].text
    # 1050.5/1600 and 480.3/900 of the view, which begins at a third and a half of the canvas.
    assert stitched.turns[1].text == "A van <c1,CAM_BACK,[552,767]>, and a lamp <c2,CAM_FRONT,[546,50]>."
    assert single.turns[1].text == "A van <c1,CAM_BACK,[657,534]>, and a lamp <c2,CAM_FRONT,[638,100]>."


def test_groups_are_scenes_by_name_where_a_table_names_them(given):
    scenes = make_scenes(FRAME) | make_scenes(FRAME, scene="other")
    given.write(scenes)
    tables = given.dataroot / "v1.0-trainval"
    tables.mkdir()
    row = {"token": "s", "name": "scene-0061", "log_token": "l", "nbr_samples": 1, "description": ""}
    (tables / "scene.json").write_text(json.dumps([row]))
    (tables / "sample.json").write_text("[]")
    summary, samples, _ = given.convert()

    assert {sample.group for sample in samples} == {"scene-0061", "other"}
    assert "1 of 2 scenes" in summary.manifest["notes"][0]


def test_a_question_may_name_an_object_that_is_no_key_object(given):
    frame = make_frame([pair("Where is <c7,CAM_FRONT,10.0,20.0>?", "Left.")])
    _, (sample,), rejects = given.convert(make_scenes(frame))

    assert rejects == []
    assert "not among the key objects" in sample.warnings[0]


def test_without_a_list_of_key_objects_every_tag_is_taken(given):
    _, samples, rejects = given.convert(make_scenes(make_frame([pair("Q?", SUV)], objects=None)))

    assert (len(samples), rejects, samples[0].warnings) == (1, [], ())


@pytest.mark.parametrize("tag", ["<c1,CAM_BACK,1.0,2.0,3.0>", "<c1,CAM_TOP,1.0,2.0>", "<c1,CAM_BACK,one,2.0>", "<c1>"])
def test_key_objects_with_a_broken_tag_are_listed_and_the_rest_stays(given, tag):
    objects = {tag: OBJECTS[SUV], LIGHT: OBJECTS[LIGHT]}
    _, (sample,), (reject,) = given.convert(make_scenes(make_frame([pair("Q?", LIGHT)], objects=objects)))

    assert (reject["input"], reject["stage"], reject["reason"]) == (f"s_f {tag}", "objects", "bad-tag")
    assert [thing.id for thing in sample.objects] == ["c2/FRONT"]


@pytest.mark.parametrize(("strict", "severity"), [(False, "skipped"), (True, "failed")])
def test_a_frame_whose_image_is_missing_is_left_out_alone(given, strict, severity):
    scenes = make_scenes(FRAME)
    scenes["s"]["key_frames"]["g"] = make_frame([pair("Q?", "A.")], images="g")
    given.write(scenes, images=("f", "g"))
    (given.dataroot / "samples" / "CAM_BACK" / "g.jpg").unlink()
    _, samples, (reject,) = given.convert(strict=strict)

    assert {details(sample)["frame"] for sample in samples} == {"f"}
    assert (reject["input"], reject["reason"], reject["severity"]) == ("s_g", "missing-image", severity)
    assert reject["message"].endswith("Left out with it: 1 question, s_g_0.")


@pytest.mark.parametrize("layout", ["stitched", "multi-image"])
def test_an_image_that_does_not_decode_costs_its_frame(given, layout):
    given.write(
        make_scenes(FRAME) | make_scenes(make_frame([pair("Q?", "A.")], images="g"), scene="t"), images=("f", "g")
    )
    broken = given.dataroot / "samples" / "CAM_BACK" / "g.jpg"
    content = broken.read_bytes()[:2000]
    broken.unlink()
    broken.write_bytes(content)
    _, _, (reject,) = given.convert(layout=layout)

    assert (reject["input"], reject["reason"]) == ("t_f", "image-decode")


def test_five_views_cannot_be_stitched_but_shown(given):
    frame = make_frame([pair("Q?", "A.")])
    del frame["image_paths"]["CAM_BACK"]
    other = make_scenes(FRAME, scene="t")
    _, samples, (reject,) = given.convert(make_scenes(frame) | other, out=given.folder / "a", layout="stitched")
    assert (reject["input"], reject["reason"]) == ("s_f", "missing-camera")

    _, samples, rejects = given.convert(layout="multi-image", out=given.folder / "b")
    # Without its view, the objects of that view are unknown; the question names none.
    assert {reject["reason"] for reject in rejects} == {"bad-tag"}
    assert len(next(sample for sample in samples if sample.group == "s").images) == 5


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("../nuscenes/samples/CAM_FRONT/a.jpg", "samples/CAM_FRONT/a.jpg"),
        ("samples/CAM_FRONT/a.jpg", "samples/CAM_FRONT/a.jpg"),
        ("./nuscenes/samples/a.jpg", "samples/a.jpg"),
        ("/data/sets/nuscenes/samples/a.jpg", "samples/a.jpg"),
        ("../../data/nuscenes/samples/a.jpg", "samples/a.jpg"),
    ],
)
def test_a_path_is_taken_from_the_data_root(path, file):
    assert image_file(path) == file


@pytest.mark.parametrize(
    "path",
    [
        *("", "..", "../nuscenes", "samples/../../x.jpg", "a\\..\\b.jpg", "a\0.jpg"),
        *("../../etc/passwd", "/etc/passwd", "../samples/a.jpg", "../nuscenes/../x.jpg"),
    ],
)
def test_a_path_does_not_leave_the_data_root(path):
    with pytest.raises(ItemError) as error:
        image_file(path)
    assert error.value.reason == "outside-dataroot"


@pytest.mark.parametrize("text", ["5.0, 990.0, 20.0, 1000.0", "5.0, 9.0, 5.0, 10.0", "5.0, 9.0, 1601.0, 10.0"])
def test_drv_53_numbers_that_are_no_box_in_the_view_stay_as_they_are(given, text):
    asked = "Identify all in the front view, as a list formatted as (c, s, x1, y1, x2, y2)."
    frame = make_frame([pair(asked, f"See [(lamp, dim, {text})]."), pair("Another?", "(a, 1.0, 2.0, 3.0, 4.0)")])
    _, samples, _ = given.convert(make_scenes(frame))

    assert [one.turns[-1].text for one in samples] == [f"See [(lamp, dim, {text})].", "(a, 1.0, 2.0, 3.0, 4.0)"]


@pytest.mark.parametrize(
    "change",
    [
        {"QA": []},
        {"QA": {"perception": "x"}},
        {"key_object_infos": []},
        {"image_paths": None},
        {"image_paths": {"CAM_FRONT": "../../etc/passwd"}},
        {"image_paths": {"CAM_FRONT": "../nuscenes/samples/../../x.jpg"}},
    ],
)
def test_a_frame_that_breaks_the_layout_is_rejected_alone(given, change):
    scenes = make_scenes(FRAME)
    scenes["s"]["key_frames"]["g"] = FRAME | change
    _, samples, (reject,) = given.convert(scenes)

    assert {details(sample)["frame"] for sample in samples} == {"f"}
    assert reject["input"] == "s_g"
    assert reject["reason"] in ("frame-invalid", "outside-dataroot", "missing-image")


def test_a_category_that_nobody_knows_is_listed(given):
    frame = make_frame([pair("Q?", "A.")])
    frame["QA"]["motion"] = [pair("M?", "A.")]
    _, samples, (reject,) = given.convert(make_scenes(frame))

    assert (ids(samples), reject["input"], reject["reason"]) == (["s_f_0"], "s_f motion", "unknown-category")


def test_a_frame_without_questions_is_listed(given):
    scenes = make_scenes(FRAME)
    scenes["s"]["key_frames"]["g"] = make_frame()
    _, _, (reject,) = given.convert(scenes)

    assert (reject["input"], reject["reason"], reject["severity"]) == ("s_g", "no-question", "skipped")


@pytest.mark.parametrize("content", ["[]", "{", '{"s": 1}', '{"s": {"key_frames": []}}', "\x00"])
def test_a_file_of_another_kind_is_refused(given, content):
    given.write({})
    given.source.write_text(content)

    with pytest.raises(DatasetError, match="JSON object of scenes"):
        given.convert()


@pytest.mark.parametrize("scene", [None, 1, [], {}, {"key_frames": None}, {"key_frames": []}, {"key_frames": {}}])
def test_drv_50_a_scene_that_is_none_is_named_and_rejected_alone(given, scene):
    summary, samples, (reject,) = given.convert({"broken": scene} | make_scenes(make_frame([pair("Q?", "A.")])))

    assert ids(samples) == ["s_f_0"]
    empty = scene == {"key_frames": {}}
    expected = ("broken", "no-key-frame", "skipped") if empty else ("broken", "scene-invalid", "failed")
    assert (reject["input"], reject["reason"], reject["severity"]) == expected
    assert summary.exit_code is (ExitCode.DONE if empty else ExitCode.PARTIAL)


def test_an_empty_file_is_nothing_to_do(given):
    with pytest.raises(NothingToDoError):
        given.convert({})


def test_the_file_is_found_in_a_folder_and_the_images_beside_it(given, plain_images):
    given.write(make_scenes(FRAME))
    given.source.rename(given.dataroot.parent / "one.json")
    given.source = given.dataroot.parent
    assert len(given.convert(out=given.folder / "a")[1]) == 5

    (given.source / "two.json").write_text("{}")
    with pytest.raises(UsageError, match="several JSON files: one.json, two.json"):
        given.convert(out=given.folder / "b")
    elsewhere = Given(given.folder / "elsewhere", plain_images)
    elsewhere.source.parent.mkdir(parents=True)
    elsewhere.source.write_text(json.dumps(make_scenes(FRAME)))
    with pytest.raises(InputNotFoundError, match="--dataroot"):
        elsewhere.convert()
    assert len(elsewhere.convert(dataroot=given.dataroot)[1]) == 5
    elsewhere.source = elsewhere.source.parent.parent / "empty"
    elsewhere.source.mkdir()
    with pytest.raises(InputNotFoundError, match="no JSON file"):
        elsewhere.convert(out=given.folder / "c")


def test_settings_of_the_plan_leave_units_as_they_were(given):
    source = given.write(make_scenes(FRAME))
    plain = DriveLmSettings()
    assert (plain.layout, plain.rounds, plain.challenge_subset) == ("stitched", "single", False)
    assert CONVERTER.plan(source, plain).units == CONVERTER.plan(source, DriveLmSettings(dataroot=given.dataroot)).units
    assert plain.public()["dataroot"] is None
    assert DriveLmSettings(dataroot=given.dataroot).public()["dataroot"] == "nuscenes"
