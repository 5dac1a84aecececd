"""NuScenes-QA: questions joined with key frames by their tokens, six views in a fixed order, val held out."""

from __future__ import annotations

import json
import shutil

import pytest
from converted import Converted

from domainvl.converters.benchmarks.generate_driving import generate_nuscenes_qa
from domainvl.converters.benchmarks.nuscenes_qa import CONVERTER
from domainvl.converters.driving.rig import VIEW_ORDER
from domainvl.converters.nuscenes.generate import VERSION, generate_dataroot
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema import Split, Task

FRAMES = 2
"""Key frames of each of three scenes; of each five questions are asked."""


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nuscenes")
    generate_dataroot(folder / "dataroot", scene_count=3, frames_per_scene=FRAMES, seed=0)
    generate_nuscenes_qa(folder / "questions", folder / "dataroot" / VERSION)
    return folder


@pytest.fixture
def dataroot(generated):
    return generated / "dataroot"


@pytest.fixture
def questions(generated, tmp_path):
    return shutil.copytree(generated / "questions", tmp_path / "questions")


@pytest.fixture
def convert(dataroot, questions, tmp_path):
    """Convert with the index kept apart, so that tests share the data root."""

    def run(name="out", **settings):
        given = {"dataroot": dataroot, "index": tmp_path / "index", **settings}
        return Converted(CONVERTER, questions, tmp_path / name, **given)

    return run


def load(folder, split="train"):
    return json.loads((folder / f"NuScenes_{split}_questions.json").read_text())["questions"]


def change(folder, what, split="train"):
    rows = load(folder, split)
    what(rows)
    (folder / f"NuScenes_{split}_questions.json").write_text(json.dumps({"info": {}, "questions": rows}))


def scene_of(dataroot):
    scenes = {row["token"]: row["name"] for row in json.loads((dataroot / VERSION / "scene.json").read_text())}
    samples = json.loads((dataroot / VERSION / "sample.json").read_text())
    return {row["token"]: scenes[row["scene_token"]] for row in samples}


def test_drv_60_questions_are_joined_with_the_six_views_of_their_key_frame(convert, dataroot, questions):
    done = convert()
    assert done.summary.exit_code is ExitCode.DONE
    tables = dataroot / VERSION
    channels = {row["token"]: row["channel"] for row in json.loads((tables / "sensor.json").read_text())}
    mounted = {
        row["token"]: channels[row["sensor_token"]]
        for row in json.loads((tables / "calibrated_sensor.json").read_text())
    }
    shots = json.loads((tables / "sample_data.json").read_text())
    file_of = {
        (row["sample_token"], mounted[row["calibrated_sensor_token"]]): row["filename"]
        for row in shots
        if row["is_key_frame"]
    }
    for split in ("train", "val"):
        for number, row in enumerate(load(questions, split), start=1):
            sample = done.samples[f"nuscenes-qa/{split}/{number}"]
            assert [image.view for image in sample.images] == list(VIEW_ORDER)
            assert sample.question == row["question"]
            for image in sample.images:
                uri = file_of[row["sample_token"], f"CAM_{image.view}"]
                assert image.source.uri == uri
                assert (done.out / image.path).read_bytes() == (dataroot / uri).read_bytes()
                details = image.source.details
                assert {key: details[key] for key in ("sample_token", "template_type", "num_hop")} == {
                    key: row[key] for key in ("sample_token", "template_type", "num_hop")
                }
            assert sample.group == scene_of(dataroot)[row["sample_token"]]
    assert len(done.samples) == 3 * FRAMES * 5


def test_drv_60_templates_become_tasks(convert):
    done = convert()
    told = {key: (sample.task, sample.answer) for key, sample in done.samples.items() if "/train/" in key}
    assert [told[f"nuscenes-qa/train/{number}"][0] for number in range(1, 6)] == [
        Task.PRESENCE,
        Task.COUNTING,
        Task.VQA,
        Task.VQA,
        Task.VQA,
    ]
    # The second key frame's questions are rows 6 to 10.
    assert told["nuscenes-qa/train/1"][1].text == "yes"
    assert told["nuscenes-qa/train/6"][1].text == "no"
    assert told["nuscenes-qa/train/7"][1].count == 1
    first = done.samples["nuscenes-qa/train/1"]
    views = "".join(f"{view}: <image>\n" for view in VIEW_ORDER)
    assert first.turns[0].text == (f"{views}Are there any buses?\nAnswer the question using a single word or phrase.")


def test_drv_60_the_official_val_file_is_the_test_split(convert):
    done = convert(val_fraction=0.5)
    assert {key.split("/")[1] for key in done.ids(Split.TEST)} == {"val"}
    others = [*done.of_split[Split.TRAIN], *done.of_split[Split.VAL]]
    assert {sample.id.split("/")[1] for sample in others} == {"train"}
    groups = [{sample.group for sample in samples} for samples in done.of_split.values()]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 3


def test_drv_60_questions_about_a_scene_of_both_files_are_not_trained_on(convert, questions):
    moved = load(questions, "val")[:1]
    change(questions, lambda rows: rows.extend(moved))
    done = convert()
    (reject,) = done.rejects
    assert (reject["reason"], reject["severity"]) == ("image-in-val", "skipped")
    assert done.manifest["notes"][0].startswith("1 of the 1 scenes of the official val set also occur in the official")
    kept = convert("kept", leakage="as-published")
    assert len(kept.samples) == len(done.samples) + 1


@pytest.mark.parametrize(("strict", "severity"), [(False, "skipped"), (True, "failed")])
def test_drv_60_key_frames_without_all_images_cost_their_questions(convert, generated, tmp_path, strict, severity):
    dataroot = shutil.copytree(generated / "dataroot", tmp_path / "partial")
    next(iter(sorted((dataroot / "samples" / "CAM_BACK").iterdir()))).unlink()
    done = convert(dataroot=dataroot, strict=strict)
    (reject,) = done.rejects
    assert (reject["reason"], reject["severity"]) == ("missing-image", severity)
    assert "Left out with it: 5 questions." in reject["message"]
    assert len(done.samples) == (3 * FRAMES - 1) * 5


def test_drv_60_a_key_frame_without_one_of_the_six_views_is_not_shown(convert, generated, tmp_path):
    dataroot = shutil.copytree(generated / "dataroot", tmp_path / "five")
    path = dataroot / VERSION / "sample_data.json"
    rows = json.loads(path.read_text())
    rows.remove(next(row for row in rows if row["filename"].startswith("samples/CAM_BACK_LEFT/")))
    path.write_text(json.dumps(rows))
    done = convert(dataroot=dataroot)
    (reject,) = done.rejects
    assert (reject["reason"], reject["severity"]) == ("missing-camera", "failed")
    assert "BACK_LEFT" in reject["message"]
    assert len(done.samples) == (3 * FRAMES - 1) * 5


def test_drv_60_a_damaged_image_costs_its_key_frame_only(convert, generated, tmp_path):
    dataroot = shutil.copytree(generated / "dataroot", tmp_path / "damaged")
    next(iter(sorted((dataroot / "samples" / "CAM_FRONT").iterdir()))).write_bytes(b"no image")
    done = convert(dataroot=dataroot)
    (reject,) = done.rejects
    assert reject["reason"] == "image-decode"
    assert "Left out with it: 5 questions." in reject["message"]
    assert len(done.samples) == (3 * FRAMES - 1) * 5


def test_drv_60_key_frames_that_the_tables_do_not_have_are_skipped_once_each(convert, questions):
    change(questions, lambda rows: [row.update(sample_token="f" * 32) for row in rows[:5]])
    done = convert()
    (reject,) = done.rejects
    assert (reject["input"], reject["reason"]) == (f"sample {'f' * 32}", "sample-unknown")
    assert reject["severity"] == "skipped"
    assert "Left out with it: 5 questions." in reject["message"]
    change(questions, lambda rows: [row.update(sample_token="f" * 32) for row in rows])
    (questions / "NuScenes_val_questions.json").unlink()
    with pytest.raises(NothingToDoError, match=r"none of the 1 key frames.*with --dataroot"):
        convert("none")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"template_type": "riddle"}, "template-unknown"),
        ({"template_type": "exist", "answer": "perhaps"}, "answer-unknown"),
        ({"template_type": "count", "answer": "many"}, "answer-unknown"),
        ({"num_hop": "one"}, "row-invalid"),
        ({"num_hop": True}, "row-invalid"),
        ({"question": ""}, "field-missing"),
        ({"sample_token": None}, "field-missing"),
    ],
)
def test_drv_60_rows_that_cannot_be_used_are_rejected_by_reason(convert, questions, fields, reason):
    change(questions, lambda rows: rows[0].update(fields))
    done = convert()
    assert done.reasons() == [("NuScenes_train_questions.json row 1", reason)]
    assert len(done.samples) == 3 * FRAMES * 5 - 1


def test_drv_60_views_can_be_stitched_to_one_image(convert):
    done = convert(layout="stitched")
    for sample in done.samples.values():
        (image,) = sample.images
        assert (image.width_px, image.height_px) == (2688, 896)
        assert image.source.details["layout"] == "stitched"
        assert {"sample_token", "template_type", "num_hop"} <= image.source.details.keys()
        # The prompt says which view is where, since they share one image.
        note = sample.turns[0].text.split("\n")[1]
        assert all(view in note for view in VIEW_ORDER)
    # One image a key frame, whatever is asked about it.
    assert len({sample.images[0].path for sample in done.samples.values()}) == 3 * FRAMES


def test_drv_60_the_data_root_may_be_the_input_itself(generated, tmp_path):
    folder = shutil.copytree(generated / "dataroot", tmp_path / "both")
    shutil.copytree(generated / "questions", folder / "questions")
    done = Converted(CONVERTER, folder, tmp_path / "out", index=tmp_path / "index")
    assert len(done.samples) == 3 * FRAMES * 5


def test_drv_62_the_card_names_both_licences_and_flags_non_commercial(convert):
    card = (convert().out / "card.md").read_text()
    assert "- non-commercial" in card
    assert "CC-BY-NC-SA-4.0" in card


def test_files_of_another_layout_are_refused(convert, questions):
    with pytest.raises(UsageError, match="with --dataroot"):
        convert(dataroot=None)
    (questions / "NuScenes_train_questions.json").write_text("[]")
    with pytest.raises(DatasetError, match="a list under questions"):
        convert()
    for path in questions.iterdir():
        path.unlink()
    with pytest.raises(InputNotFoundError, match="NuScenes_val_questions.json"):
        convert()


def test_drv_60_a_file_of_questions_may_be_named_alone(questions, dataroot, tmp_path):
    path = questions / "NuScenes_val_questions.json"
    options = {"dataroot": dataroot, "index": tmp_path / "index"}
    done = Converted(CONVERTER, path, tmp_path / "val", **options)
    assert done.samples
    assert {key.split("/")[1] for key in done.samples} == {"val"}
    other = path.rename(path.with_name("mine.json"))
    with pytest.raises(InputNotFoundError, match="Name the folder that holds them"):
        Converted(CONVERTER, other, tmp_path / "mine", **options)
    # Beside its data root it needs no option.
    inside = dataroot / "NuScenes_val_questions.json"
    inside.write_bytes(other.read_bytes())
    try:
        alone = Converted(CONVERTER, inside, tmp_path / "alone", index=tmp_path / "index")
    finally:
        inside.unlink()
    assert alone.samples.keys() == done.samples.keys()
