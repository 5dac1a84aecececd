"""DRV-52 and 57: answers go back as the challenge reads them, points within the bound of their layout."""

from __future__ import annotations

import json
import re

import pytest
from drivelm_files import LIGHT, SUV, make_frame, make_scenes, pair

from domainvl.conversion import answers as answers_module
from domainvl.conversion.answers import AnsweringConverter, write_answers
from domainvl.converters.drivelm import CONVERTER
from domainvl.converters.drivelm.completeness import missing_answers
from domainvl.errors import DatasetError, ExitCode, NothingToDoError, UsageError
from domainvl.evaluation.metrics.reading import read_choice
from domainvl.schema import Reject, Severity, Split, read_samples
from domainvl.schema.operations import merge_datasets

STILL = "The ego vehicle is going straight. The ego vehicle is not moving."
BOUND_PX = {"stitched": 3.3, "multi-image": 1.25}
CAMERAS = ("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT")
NUMBERS = re.compile(r"\d+\.\d+")
"""What the official evaluation takes for a number (OpenDriveLab/DriveLM, challenge/evaluation.py)."""


@pytest.fixture(autouse=True)
def drivelm_is_installed(monkeypatch):
    monkeypatch.setattr(answers_module, "load_converter", {"drivelm": CONVERTER}.__getitem__)


def answers(given, predictions=None, *, split=Split.TRAIN, **more):
    out = given.folder / "answers"
    summary = write_answers(given.out, out, split=split, predictions=predictions, overwrite=True, **more)
    return summary, json.loads((out / "output.json").read_text()), json.loads((out / "submission.json").read_text())


def numbers(text):
    return [float(number) for number in NUMBERS.findall(text)]


def words(text):
    return re.sub(r"-?\d+(\.\d+)?", "#", text)


def test_drv_57_the_converter_writes_answers():
    assert isinstance(CONVERTER, AnsweringConverter)


@pytest.mark.parametrize("layout", ["stitched", "multi-image"])
def test_drv_52_references_come_back_within_the_bound_and_with_one_decimal(given, layout):
    grid = [(x, y) for x in (0.0, 0.4, 133.7, 800.0, 1066.6, 1599.9, 1600.0) for y in (0.0, 0.3, 450.0, 677.7, 900.0)]
    tags = [f"<c{number},{camera},{x},{y}>" for camera in CAMERAS for number, (x, y) in enumerate(grid)]
    frame = make_frame([pair(f"What of {tag}?", f"It is {tag}.") for tag in tags], objects=None)
    given.convert(make_scenes(frame), layout=layout)
    summary, output, _ = answers(given)

    assert summary.exit_code is ExitCode.DONE
    assert [row["id"] for row in output] == [f"s_f_{number}" for number in range(len(tags))]
    for row, tag in zip(output, tags, strict=True):
        assert (row["question"], row["gt_answers"]) == (f"What of {tag}?", f"It is {tag}.")
        assert words(row["answer"]) == words(row["gt_answers"])
        there, back = numbers(row["gt_answers"]), numbers(row["answer"])
        assert len(there) == len(back) == 2
        assert sum(abs(one - other) for one, other in zip(there, back, strict=True)) <= BOUND_PX[layout]
        assert all(re.fullmatch(r"\d+\.\d", number) for number in NUMBERS.findall(row["answer"]))


@pytest.mark.parametrize("layout", ["stitched", "multi-image"])
def test_drv_57_the_box_of_a_list_comes_back_to_its_view(given, layout):
    asked = "Identify all in the front view, as a list formatted as (c, s, x1, y1, x2, y2)."
    answer = "See [(lamp, green, 674.11, 0.14, 723.33, 109.18), (lamp, red, 1.0, 2.0, 1600.0, 900.0)]."
    given.convert(make_scenes(make_frame([pair(asked, answer)])), layout=layout)
    _, (row,), _ = answers(given)

    assert words(row["answer"]) == words(answer)
    there, back = numbers(answer), numbers(row["answer"])
    for corner in range(0, 8, 2):
        assert sum(abs(there[corner + side] - back[corner + side]) for side in (0, 1)) <= BOUND_PX[layout]


def test_drv_57_output_has_the_published_keys_and_letters_for_choices(given):
    status = f"What is the moving status of object {SUV}?"
    frame = make_frame([pair(status, "Stopped."), pair("Q?", "A.")], behavior=[pair("Predict it.", STILL)])
    _, samples, _ = given.convert(make_scenes(frame))
    _, output, _ = answers(given)

    assert [set(row) for row in output] == [{"id", "question", "answer", "gt_answers"}] * 3
    for row, sample in ((output[0], samples[0]), (output[2], samples[2])):
        assert row["answer"] == row["gt_answers"] == "ABCD"[sample.answer.correct]
    # The letter means something only with the options that were drawn: as the challenge's own files have them.
    a, b, c, d = samples[0].answer.options
    options = f" Please select the correct answer from the following options: A. {a} B. {b} C. {c} D. {d}"
    assert output[0]["question"] == status + options
    assert output[1] == {"id": "s_f_1", "question": "Q?", "answer": "A.", "gt_answers": "A."}


def test_drv_57_submission_says_who_submits_and_holds_the_output(given):
    given.convert(make_scenes(make_frame([pair("Q?", "A.")])))
    about = {
        "method": "M",
        "team": "T",
        "authors": ["One", "Two"],
        "email": "a@b.c",
        "institution": "I",
        "country": "C",
    }
    summary, output, submission = answers(given, about=about)

    assert submission == about | {"results": output}
    # The order of prepare_submission.py.
    assert list(submission) == ["method", "team", "authors", "email", "institution", "country", "results"]
    assert summary.notes == []


def test_drv_57_what_is_not_said_of_a_submission_is_named(given):
    given.convert(make_scenes(make_frame([pair("Q?", "A.")])))
    summary, _, submission = answers(given, about={"team": "T"})

    assert (submission["team"], submission["authors"], submission["method"]) == ("T", [""], "")
    assert "does not say method, authors, email, institution, country" in summary.notes[0]


@pytest.mark.parametrize("about", [{"teem": "T"}, {"authors": "One"}, {"team": 3}])
def test_drv_57_what_a_submission_has_no_place_for_is_refused(given, about):
    given.convert(make_scenes(make_frame([pair("Q?", "A.")])))
    with pytest.raises(UsageError, match=f"{next(iter(about))}: "):
        answers(given, about=about)
    assert not (given.folder / "answers").exists()


def test_drv_57_predictions_are_changed_back_and_the_rest_is_left_as_it_was(given):
    status = f"What is the moving status of object {SUV}?"
    frame = make_frame([pair("Q0?", f"See {LIGHT}."), pair(status, "Stopped."), pair(status, "Stopped.")])
    _, samples, _ = given.convert(make_scenes(frame), layout="stitched")
    text = "  A thing <c1,CAM_FRONT,[500,250]> and <c2, CAM_FRONT,[1,2]> at [3, 4], <c3,CAM_FRONT,[1000,0]>.\n"
    said = {samples[0].id: text, samples[1].id: "b", samples[2].id: "I cannot say."}
    _, output, _ = answers(given, said, read_choice=lambda answer, options: 1 if answer == "b" else None)

    # 500 of 1000 is 1344 px of the canvas, 448 into FRONT's cell of 896; 250 is 224 of 448 px. An unknown camera stays.
    assert (
        output[0]["answer"]
        == "A thing <c1,CAM_FRONT,800.0,450.0> and <c2, CAM_FRONT,[1,2]> at [3, 4], <c3,CAM_FRONT,1600.0,0.0>."
    )
    assert output[0]["gt_answers"] == f"See {LIGHT}."
    assert [row["answer"] for row in output[1:]] == ["B", "I cannot say."]


def test_drv_57_questions_without_answers_can_be_predicted_but_not_referred_to(given):
    options = " Please select the correct answer from the following options: A. Stopped. B. Turn left."
    asked = [f"What of {SUV}?", f"What is the moving status of object {SUV}?{options}"]
    frame = make_frame([pair(question) for question in asked], objects=None)
    _, samples, _ = given.convert(make_scenes(frame), questions_only="placeholder", layout="stitched")

    with pytest.raises(NothingToDoError, match="no answer was published"):
        answers(given, split=Split.TEST)
    said = {samples[0].id: "<c1,CAM_BACK,[500,750]>", samples[1].id: "B"}
    summary, output, _ = answers(given, said, split=Split.TEST, read_choice=lambda answer, options: "AB".index(answer))
    assert summary.exit_code is ExitCode.DONE
    assert [row["question"] for row in output] == asked
    assert [(row["answer"], row["gt_answers"]) for row in output] == [("<c1,CAM_BACK,800.0,450.0>", ""), ("B", "")]


def test_drv_57_of_a_graph_the_last_question_is_answered_and_that_is_said(given):
    scenes = make_scenes(make_frame([pair("Q0?", "A0."), pair("Q1?", "A1.")]))
    given.convert(scenes, rounds="graph")
    summary, output, _ = answers(given)

    assert summary.notes[0].startswith("1 of 1 answers are to the last question of a graph; the 1 question before")
    given.convert(scenes, out=given.folder / "single")
    assert not any(
        "graph" in note
        for note in write_answers(given.folder / "single", given.folder / "other", split=Split.TRAIN).notes
    )

    assert output == [{"id": "s_f_1", "question": "Q1?", "answer": "A1.", "gt_answers": "A1."}]


def test_drv_57_a_sample_that_does_not_say_what_it_was_is_an_error(given):
    given.convert(make_scenes(make_frame([pair("Q0?", "A0.")])))
    path = given.out / "train.jsonl"
    path.write_text(path.read_text().replace('"drivelm":{', '"other":{'))

    with pytest.raises(DatasetError, match="Make the data set again with domainvl convert drivelm"):
        answers(given)


SCENE, OTHER, FRAME, LATER = "a" * 32, "b" * 32, "c" * 32, "d" * 32
"""Tokens as nuScenes has them."""


def rejects_of(summary):
    return [json.loads(line) for line in (summary.out / "rejects.jsonl").read_text().splitlines()]


def predicted(given, *, split=Split.TEST):
    samples = [sample for sample in read_samples(given.out, split)]
    return answers(given, {sample.id: "No." for sample in samples}, split=split)


def test_drv_57_what_cannot_be_read_is_submitted_too(given):
    options = "Please select the correct answer from the following options:"
    asked = ["What of <c1,CAM_BACK,1.0,2.0,3.0>?", f"Is it? {options} C. One.", f"Is it? {options} A. One. B. Two."]
    given.convert(make_scenes(make_frame([pair(text) for text in asked], objects=None)), questions_only="placeholder")
    samples = list(read_samples(given.out, Split.TEST))
    said = dict(zip([sample.id for sample in samples], ["Left.", "C", "Two."], strict=True))
    summary, output, _ = answers(given, said, split=Split.TEST, read_choice=read_choice)

    assert (summary.exit_code, summary.failed) == (ExitCode.DONE, {})
    assert [(row["id"], row["question"], row["answer"]) for row in output] == [
        ("s_f_0", asked[0], "Left."),
        ("s_f_1", asked[1], "C"),
        ("s_f_2", asked[2], "B"),
    ]


def test_drv_57_official_ids_without_a_sample_are_listed_and_end_with_eight(given):
    frames = {
        FRAME: make_frame([pair("Q0?"), pair("")], [pair("Q2?")], objects=None),
        LATER: make_frame([pair("Q0?"), pair("Q1?")], objects=None, images="gone"),
    }
    scenes = {SCENE: {"key_frames": frames}, OTHER: {"key_frames": {LATER: frames[LATER]}}}
    given.convert(scenes, questions_only="placeholder")
    summary, output, _ = predicted(given)

    asked = [f"{SCENE}_{FRAME}_{number}" for number in range(3)]
    lost = [f"{scene}_{LATER}_{number}" for scene in (SCENE, OTHER) for number in range(2)]
    assert [row["id"] for row in output] == [asked[0], asked[2]]
    assert summary.failed == {"not-in-dataset": 5}
    assert summary.exit_code is ExitCode.PARTIAL
    assert sorted(reject["input"] for reject in rejects_of(summary)) == sorted([asked[1], *lost])
    by_id = {reject["input"]: reject for reject in rejects_of(summary)}
    assert "no-question" in by_id[asked[1]]["message"]
    assert "missing-image" in by_id[lost[0]]["message"]
    assert by_id[lost[0]]["action"].startswith("Fetch the part")
    assert any(note.startswith("The files are not complete: 5 ") for note in summary.notes)


def test_drv_57_frames_and_scenes_that_cannot_be_read_are_missing_in_a_submission(given):
    frames = {FRAME: make_frame([pair("Q?")], objects=None), LATER: {"QA": []}}
    given.convert({SCENE: {"key_frames": frames}, OTHER: None}, questions_only="placeholder")
    summary, _, _ = predicted(given)

    assert {reject["input"] for reject in rejects_of(summary)} == {f"{SCENE}_{LATER}", OTHER}
    assert summary.exit_code is ExitCode.PARTIAL


def test_drv_57_what_is_left_out_of_another_split_is_not_missing(given):
    known = {FRAME: make_frame([pair("Q?", "A.")]), LATER: {"QA": []}}
    bare = {FRAME: make_frame([pair("Q?")], objects=None)}
    given.convert({SCENE: {"key_frames": known}, OTHER: {"key_frames": bare}}, questions_only="placeholder")

    assert predicted(given)[0].exit_code is ExitCode.DONE
    summary, _, _ = predicted(given, split=Split.TRAIN)
    assert [reject["input"] for reject in rejects_of(summary)] == [f"{SCENE}_{LATER}"]


def test_drv_57_a_question_that_the_reference_cannot_hold_either_does_no_harm(given):
    status = f"What is the moving status of object {SUV}?"
    given.convert(make_scenes(make_frame([pair("Q?", "A."), pair(status, "Turn around."), pair("Q2?")])))
    summary, _, _ = predicted(given, split=Split.TRAIN)

    assert (summary.exit_code, summary.failed, summary.skipped) == (ExitCode.DONE, {}, {"not-in-dataset": 2})


def test_drv_57_rejects_of_other_converters_and_frames_that_ask_nothing_are_not_missing():
    named = ["a_b.tif", "scene-0061/0003", "s", f"{SCENE}_{FRAME} <c1>", f"{SCENE} x"]
    others = [Reject(name, "read", "x", "x") for name in named]
    empty = Reject(f"{SCENE}_{FRAME}", "convert", "no-question", "x", severity=Severity.SKIPPED)
    unread = Reject(f"{SCENE}_{FRAME}", "convert", "missing-image", "x", severity=Severity.SKIPPED)
    assert missing_answers([*others, empty, unread], [], []) == []


def test_drv_57_a_question_that_two_samples_answer_is_refused(given):
    scenes = make_scenes(make_frame([pair("Q0?", "A0."), pair("Q1?", "A1.")]))
    given.convert(scenes, out=given.folder / "single")
    given.convert(scenes, out=given.folder / "graph", rounds="graph")
    merge_datasets([given.folder / "single", given.folder / "graph"], given.out)

    with pytest.raises(UsageError, match=r"drivelm/s_f_1 and drivelm/s_f are both about s_f_1.*one by one.*--rounds"):
        answers(given)
    assert not (given.folder / "answers").exists()


def test_drv_57_tags_that_cannot_be_changed_back_are_counted_listed_and_left(given):
    texts = [
        "<c1,CAM_FRONT,[1,2,3]> and <c2,CAM_TOP,[1,2]>, <c3,CAM_TOP,[3,4]>",
        "<c1,CAM_FRONT,[x,2]> and <c2,CAM_FRONT,500,250>, <c3,CAM_FRONT,500.0,250.0>",
        "<c1,CAM_FRONT,[100,800]>",
        "<c1,CAM_FRONT,[500,250]>",
    ]
    given.convert(make_scenes(make_frame([pair("Q?", "A.")] * 4)), layout="stitched")
    samples = list(read_samples(given.out, Split.TRAIN))
    said = dict(zip([sample.id for sample in samples], texts, strict=True))
    summary, output, _ = answers(given, said)

    assert [row["answer"] for row in output] == [*texts[:2], "<c1,CAM_FRONT,0.0,900.0>", "<c1,CAM_FRONT,800.0,450.0>"]
    counts = {
        "tag-not-a-number": 1, "tag-number-count": 1, "tag-outside": 1, "tag-without-brackets": 1, "unknown-camera": 2,
    }  # fmt: skip
    assert (summary.skipped, summary.failed, summary.exit_code) == (counts, {}, ExitCode.DONE)
    assert summary.notes[0].startswith("6 tags could not be changed back")
    assert "2 x unknown-camera" in summary.notes[0]
    assert "no decimal point" in summary.notes[0]
    first = rejects_of(summary)[0]
    assert first["input"] == samples[0].id
    assert "two numbers, got 3 in <c1,CAM_FRONT,[1,2,3]>" in first["message"]


def test_drv_57_what_asks_nothing_and_scenes_refused_for_having_no_answers_are_not_missing(given):
    frames = {FRAME: make_frame([pair("Q?", "A.")]), LATER: make_frame()}
    bare = {FRAME: make_frame([pair("Q?")], objects=None)}
    _, _, rejects = given.convert({SCENE: {"key_frames": frames}, OTHER: {"key_frames": bare}})

    assert [reject["reason"] for reject in rejects] == ["no-answer", "no-question"]
    summary, _, _ = predicted(given, split=Split.TRAIN)
    assert (summary.exit_code, rejects_of(summary)) == (ExitCode.DONE, [])
