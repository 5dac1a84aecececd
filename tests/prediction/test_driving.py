"""Answers about key frames and to DriveLM; boxes lie in each camera's own image."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from fake_model import FakeModel
from PIL import Image

from domainvl.conversion import convert
from domainvl.converters.drivelm import CONVERTER as DRIVELM
from domainvl.converters.drivelm import DriveLmSettings
from domainvl.converters.drivelm.generate import generate_drivelm
from domainvl.converters.nuscenes import CONVERTER as NUSCENES
from domainvl.converters.nuscenes import NuscenesSettings
from domainvl.converters.nuscenes.generate import generate_dataroot
from domainvl.errors import ExitCode, NothingToDoError, UsageError
from domainvl.evaluation.predictions import read_predictions
from domainvl.prediction.asking import Asked
from domainvl.prediction.driving import DriveLmPrediction, FramePrediction, predict_drivelm, predict_frames
from domainvl.schema import Split, Task, read_samples

FIND, WEATHER = Asked(Task.GROUNDING, "car"), Asked(Task.VQA, "What is the weather?")
TRAINED_ON_STITCHED = {
    "sources": {
        "d": {
            "role": "domain",
            "command": "convert drivelm",
            "conversion_settings": {"layout": "stitched", "draw_labels": True},
        }
    }
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nuscenes") / "root"
    generate_dataroot(folder, scene_count=2, frames_per_scene=2, seed=0)
    return folder


@pytest.fixture(scope="module")
def drivelm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drivelm") / "root"
    generate_drivelm(folder, scene_count=2, frames_per_scene=1, seed=0, questions_only=1)
    return folder


def lines_of(out):
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def frames(*questions, **options):
    return FramePrediction(questions or (FIND,), **({"given": {"layout": "multi-image"}} | options))


def test_boxes_are_in_pixels_of_the_image_that_was_asked_about(root, tmp_path):
    """The answer is where the shown image is brightest, and is compared with the file of the camera."""

    def brightest(sample, folder):
        pixels = np.asarray(Image.open(folder / sample.images[0].path).convert("L"))
        row, column = np.unravel_index(int(pixels.argmax()), pixels.shape)
        height, width = pixels.shape
        box = (column / width, row / height, (column + 1) / width, (row + 1) / height)
        return f"<box>[[{', '.join(f'{value * 1000:.4f}' for value in box)}]]</box>"

    out = tmp_path / "out.jsonl"
    result = predict_frames(root, out, FakeModel(brightest), frames())
    lines = lines_of(out)
    assert result.frames == 4
    assert len(lines) == 4 * 6
    for line in lines:
        (image,) = line["images"]
        pixels = np.asarray(Image.open(root / image["filename"]).convert("L"))
        assert image["size_px"] == [pixels.shape[1], pixels.shape[0]]
        row, column = np.unravel_index(int(pixels.argmax()), pixels.shape)
        (box,) = line["boxes"]
        assert box["channel"] == image["channel"]
        assert box["box_px"] == pytest.approx([column, row, column + 1, row + 1], abs=2e-3)


@pytest.mark.parametrize("layout", ["multi-image", "stitched"])
def test_a_model_is_shown_what_a_conversion_shows(root, tmp_path, layout):
    settings = NuscenesSettings(layout=layout, tasks="counting,caption", camera_samples_per_frame=0)
    convert(NUSCENES, root, tmp_path / "data", settings)
    trained = {
        tuple(image.pixel_sha256 for image in sample.images): (
            sample.preface,
            [image.view for image in sample.images],
        )
        for split in Split
        for sample in read_samples(tmp_path / "data", split)
    }
    model = FakeModel(lambda sample, folder: "fine")
    predict_frames(root, tmp_path / "o.jsonl", model, frames(WEATHER, given={}, settings_of=tmp_path / "data"))
    shown = {
        tuple(image.pixel_sha256 for image in sample.images): (sample.preface, [image.view for image in sample.images])
        for sample in model.asked
    }
    assert trained
    assert {key: shown[key] for key in trained} == trained


def test_frames_without_images_are_counted_and_named(root, tmp_path):
    shutil.copytree(root, tmp_path / "root")
    lines = json.loads((root / "v1.0-generated" / "sample_data.json").read_text(encoding="utf-8"))
    (tmp_path / "root" / lines[0]["filename"]).unlink()
    out = tmp_path / "out.jsonl"
    result = predict_frames(tmp_path / "root", out, FakeModel(lambda *_: "fine"), frames(WEATHER))
    assert result.left_out == {"missing-image": 1}
    assert result.exit_code is ExitCode.PARTIAL
    assert len(lines_of(out)) == 3
    shutil.rmtree(tmp_path / "root" / "samples")
    with pytest.raises(NothingToDoError, match="none of 4 can be shown"):
        predict_frames(tmp_path / "root", tmp_path / "2.jsonl", FakeModel(lambda *_: "fine"), frames(WEATHER))


def test_what_cannot_be_read_is_counted(root, tmp_path):
    replies = iter(["<box>[[0, 0, 500, 500]]</box>", "None", "somewhere", "<box>[[9, 9, 9, 9]]</box>"] * 99)
    result = predict_frames(root, tmp_path / "out.jsonl", FakeModel(lambda *_: next(replies)), frames())
    assert (result.answers, result.boxes) == (24, 6)
    assert result.unread == {"no-box": 6, "box-without-area": 6}


def test_frames_of_some_scenes_only(root, tmp_path):
    predict_frames(root, tmp_path / "o.jsonl", FakeModel(lambda *_: "fine"), frames(WEATHER, scenes=("scene-0002",)))
    assert {line["scene"] for line in lines_of(tmp_path / "o.jsonl")} == {"scene-0002"}
    with pytest.raises(UsageError, match="no scene-9"):
        predict_frames(root, tmp_path / "2.jsonl", FakeModel(lambda *_: "fine"), frames(scenes=("scene-9",)))


def test_a_layout_that_contradicts_the_training_is_refused(root, tmp_path):
    model = FakeModel(lambda *_: "fine", TRAINED_ON_STITCHED)
    with pytest.raises(UsageError, match='--layout must be "stitched"'):
        predict_frames(root, tmp_path / "out.jsonl", model, frames(WEATHER))
    predict_frames(root, tmp_path / "out.jsonl", model, frames(WEATHER, given={}))
    assert all(line["is_stitched"] for line in lines_of(tmp_path / "out.jsonl"))


def test_questions_of_drivelm_are_answered_in_the_official_form(drivelm, tmp_path):
    """The point at half and a quarter of the stitched image, 2688x896 px, lies in FRONT: x 896 to 1792, y 0 to 448."""
    questions = drivelm / "generated_val_nus_q_only.json"
    model = FakeModel(lambda *_: "The car <c1,CAM_FRONT,[500,250]>", TRAINED_ON_STITCHED)
    summary, _ = predict_drivelm(questions, tmp_path / "out", model, DriveLmPrediction(about={"team": "us"}))
    given = json.loads(questions.read_text(encoding="utf-8"))
    count = sum(
        len(pairs)
        for scene in given.values()
        for frame in scene["key_frames"].values()
        for pairs in frame["QA"].values()
    )
    written = json.loads((tmp_path / "out" / "output.json").read_text(encoding="utf-8"))
    assert summary.count == len(written) == count
    # x: 0.5 * 2688 = 1344, 448 px of 896 into the cell: half of an image of 320 px. y: 224 of 448: half of 180 px.
    assert {answer["answer"] for answer in written} == {"The car <c1,CAM_FRONT,160.0,90.0>"}
    assert json.loads((tmp_path / "out" / "submission.json").read_text(encoding="utf-8"))["team"] == "us"
    kept = read_predictions(tmp_path / "out" / "predictions.jsonl")
    assert {(one.text, one.likelihood) for one in kept} == {("The car <c1,CAM_FRONT,[500,250]>", 0.9)}


def test_an_option_that_is_named_in_words_goes_out_as_its_letter(drivelm, tmp_path):
    model = FakeModel(lambda *_: "Stopped.", TRAINED_ON_STITCHED)
    predict_drivelm(drivelm / "generated_val_nus_q_only.json", tmp_path / "out", model, DriveLmPrediction())
    written = json.loads((tmp_path / "out" / "output.json").read_text(encoding="utf-8"))
    letters = {one["answer"]: re.search(r"([A-D])\. Stopped\.", one["question"]) for one in written}
    with_option = {answer: found for answer, found in letters.items() if found is not None}
    assert with_option
    assert all(answer == found[1] for answer, found in with_option.items())


def test_a_data_set_gives_the_same_answers_as_its_file(drivelm, tmp_path):
    questions = drivelm / "generated_val_nus_q_only.json"
    convert(DRIVELM, questions, tmp_path / "data", DriveLmSettings(questions_only="placeholder"))
    outputs = []
    for number, source in enumerate((questions, tmp_path / "data")):
        model = FakeModel(lambda sample, folder: f"It is {sample.question[:9]}", TRAINED_ON_STITCHED)
        predict_drivelm(source, tmp_path / f"out{number}", model, DriveLmPrediction())
        outputs.append((tmp_path / f"out{number}" / "output.json").read_bytes())
    assert outputs[0] == outputs[1]


def test_a_data_set_of_another_layout_is_refused(drivelm, tmp_path):
    questions = drivelm / "generated_val_nus_q_only.json"
    convert(DRIVELM, questions, tmp_path / "data", DriveLmSettings(questions_only="placeholder", layout="multi-image"))
    model = FakeModel(lambda *_: "yes", TRAINED_ON_STITCHED)
    with pytest.raises(UsageError, match='--layout must be "stitched"'):
        predict_drivelm(tmp_path / "data", tmp_path / "out", model, DriveLmPrediction())
    with pytest.raises(UsageError, match="is a data set already"):
        predict_drivelm(tmp_path / "data", tmp_path / "out", model, DriveLmPrediction(given={"layout": "stitched"}))
    assert not (tmp_path / "out").exists()
