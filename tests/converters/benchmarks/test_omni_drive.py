"""OmniDrive: four folders of files by sample token become captions and conversations about six views."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest
from converted import Converted

from domainvl.converters.benchmarks.generate_driving import generate_omni_drive
from domainvl.converters.benchmarks.omni_drive import CONVERTER
from domainvl.converters.driving.rig import VIEW_ORDER
from domainvl.converters.nuscenes.generate import VERSION, generate_dataroot
from domainvl.errors import ExitCode, InputNotFoundError, NothingToDoError
from domainvl.schema import Split, Task

VIEWS = "".join(f"{view}: <image>\n" for view in VIEW_ORDER)


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """Two scenes of two key frames each, of which the second is for testing."""
    folder = tmp_path_factory.mktemp("nuscenes")
    generate_dataroot(folder / "dataroot", scene_count=2, frames_per_scene=2, seed=0)
    generate_omni_drive(folder / "data_nusc", folder / "dataroot" / VERSION)
    return folder


@pytest.fixture
def omni(generated, tmp_path):
    return shutil.copytree(generated / "data_nusc", tmp_path / "data_nusc")


@pytest.fixture
def convert(generated, omni, tmp_path):
    def run(name="out", **settings):
        given = {"dataroot": generated / "dataroot", "index": tmp_path / "index", **settings}
        return Converted(CONVERTER, omni, tmp_path / name, **given)

    return run


@pytest.fixture
def city(generated):
    """What the prompt says of where the scenes are."""
    (location,) = {row["location"] for row in json.loads((generated / "dataroot" / VERSION / "log.json").read_text())}
    return f"You are driving in {location.split('-')[0]}.\n"


def files(omni, kind, split="train"):
    return sorted((omni / kind / split).glob("*.json"))


def test_drv_61_omni_drive_makes_captions_and_conversations_of_the_four_folders(convert, city):
    done = convert()
    assert done.summary.exit_code is ExitCode.DONE
    first = "omni-drive/train/scene-0001/0000"
    said = {key.removeprefix(f"{first}/"): sample for key, sample in done.samples.items() if key.startswith(first)}
    assert {key: sample.task for key, sample in said.items()} == {
        "keywords": Task.CAPTION,
        "desc": Task.CAPTION,
        "vqa-1": Task.CONVERSATION,
        "conv": Task.CONVERSATION,
    }
    assert said["keywords"].answer.text == "keep the lane, keep speed"
    assert said["keywords"].turns[0].text == f"{VIEWS}{city}Please shortly describe your driving action."
    assert said["desc"].answer.text == "A street, frame 0."
    assert said["vqa-1"].turns[0].text == f"{VIEWS}{city}What if I speed up?"
    assert [turn.text for turn in said["conv"].turns] == [
        f"{VIEWS}{city}What is ahead?",
        "0 cars:\n- the first is near\n- others follow",
        "May I turn?",
        "No, the road is closed.",
    ]


def test_drv_61_omni_drive_asks_each_test_question_alone(convert, city):
    done = convert()
    tested = {key.split("/", 4)[-1] for key in done.ids(Split.TEST)}
    assert tested == {"keywords", "desc", "vqa-1", "conv-1", "conv-2"}
    sample = done.samples["omni-drive/val/scene-0002/0000/conv-2"]
    assert [turn.text for turn in sample.turns] == [f"{VIEWS}{city}May I turn?", "No, the road is closed."]
    assert sample.earlier == ()
    alone = convert("single", rounds="single")
    assert "omni-drive/train/scene-0001/0000/conv-2" in alone.samples
    assert not any(sample.earlier for sample in alone.samples.values())


def test_drv_61_omni_drive_names_the_city_where_the_tables_do(convert, generated, tmp_path):
    dataroot = shutil.copytree(generated / "dataroot", tmp_path / "somewhere")
    path = dataroot / VERSION / "log.json"
    logs = json.loads(path.read_text())
    path.write_text(json.dumps([{**row, "location": "singapore-onenorth"} for row in logs]))
    done = convert("there", dataroot=dataroot)
    assert {sample.preface for sample in done.samples.values()} == {"You are driving in singapore."}
    path.unlink()
    done = convert("nowhere", dataroot=dataroot)
    assert {sample.preface for sample in done.samples.values()} == {None}


def test_drv_61_omni_drive_says_where_which_view_is_in_a_stitched_image(convert, city):
    done = convert(layout="stitched")
    (turn,) = {sample.turns[0].text for key, sample in done.samples.items() if key.endswith("/keywords")}
    image, note, where, asked = turn.split("\n")
    assert (image, f"{where}\n", asked) == ("<image>", city, "Please shortly describe your driving action.")
    # Row by row, as the views are stitched.
    places = [note.index(f" {view}") for view in ("FRONT_LEFT", "FRONT,", "FRONT_RIGHT", "BACK_LEFT", "BACK,")]
    assert places == sorted(places) and note.endswith("BACK_RIGHT.")


def test_drv_40_omni_drive_can_be_split_by_log_like_nuscenes(convert, generated):
    done = convert(split_by="log", test_fraction=0.0)
    (log,) = json.loads((generated / "dataroot" / VERSION / "log.json").read_text())
    assert {sample.group for sample in done.samples.values()} == {log["logfile"]}
    assert not done.of_split[Split.TEST]
    assert "the official val set is not held out" in done.manifest["notes"][0]
    # What was published to test on is asked alone all the same.
    assert not any(sample.earlier for key, sample in done.samples.items() if key.startswith("omni-drive/val"))


def test_drv_61_omni_drive_keeps_scenes_together_and_val_for_testing(convert):
    done = convert(val_fraction=0.5)
    assert {sample.group for sample in done.of_split[Split.TEST]} == {"scene-0002"}
    assert {sample.group for split in (Split.TRAIN, Split.VAL) for sample in done.of_split[split]} == {"scene-0001"}


def test_drv_61_omni_drive_samples_name_their_file_by_its_hash(convert, omni):
    done = convert()
    for sample in done.samples.values():
        assert [image.view for image in sample.images] == list(VIEW_ORDER)
        for image in sample.images:
            details = image.source.details
            content = (omni / details["annotation"]).read_bytes()
            assert details["annotation_sha256"] == hashlib.sha256(content).hexdigest()
            assert details["sample_token"] in details["annotation"]


def test_drv_61_omni_drive_files_and_rounds_that_cannot_be_used_are_rejected_by_reason(convert, omni):
    spoiled = {}
    for kind, content, reason in (
        ("keywords", "{", "annotation-unreadable"),
        ("desc", '{"action": "Go on."}', "field-missing"),
        ("vqa", '{"question": "?"}', "row-invalid"),
    ):
        path = files(omni, kind)[0]
        path.write_text(content)
        spoiled[f"{kind}/train/{path.name}"] = reason
    path = files(omni, "conv")[0]
    pairs = json.loads(path.read_text())
    path.write_text(
        json.dumps([{"question": "Why?", "answer": " "}, pairs[0], 7, pairs[1], {"question": "\ud800", "answer": "x"}])
    )
    spoiled[f"conv/train/{path.name} round 1"] = "field-missing"
    spoiled[f"conv/train/{path.name} round 3"] = "row-invalid"
    spoiled[f"conv/train/{path.name} round 5"] = "row-invalid"
    (omni / "desc" / "train" / "not a token.json").write_text("{}")
    spoiled["desc/train/not a token.json"] = "row-invalid"
    done = convert(rounds="single")
    assert dict(done.reasons()) == spoiled
    # What is left of a file keeps its places.
    kept = {key.rpartition("/")[2] for key, sample in done.samples.items() if path.stem in str(sample.images[0].source)}
    assert kept == {"conv-2", "conv-4"}


def test_drv_61_omni_drive_key_frames_that_are_not_there_are_skipped(convert, omni):
    path = files(omni, "conv")[0]
    path.rename(path.with_name("0123456789abcdef.json"))
    done = convert()
    (reject,) = done.rejects
    assert (reject["input"], reject["reason"]) == ("sample 0123456789abcdef", "sample-unknown")
    assert "Left out with it: 1 file." in reject["message"]
    for kind in ("keywords", "desc", "vqa", "conv"):
        for split in ("train", "val"):
            for path in files(omni, kind, split):
                path.unlink()
    with pytest.raises(NothingToDoError, match="with --dataroot"):
        convert("none")


def test_a_folder_without_any_of_the_four_is_refused(generated, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputNotFoundError, match="keywords/train"):
        Converted(CONVERTER, tmp_path / "empty", tmp_path / "out", dataroot=generated / "dataroot")


def test_special_tokens_in_a_text_are_made_harmless(convert, omni):
    path = files(omni, "conv")[0]
    path.write_text(json.dumps([{"question": "What is <image>?", "answer": "A <box>, <CAM_FRONT, 0.1, 0.2>."}]))
    (sample,) = (sample for sample in convert().samples.values() if sample.question == "What is <image>?")
    assert sample.turns[0].text.endswith("What is &lt;image&gt;?")
    assert sample.turns[1].text == "A &lt;box&gt;, <CAM_FRONT, 0.1, 0.2>."


def test_drv_61_omni_drive_a_file_without_questions_is_counted(convert, omni):
    (path, *_) = files(omni, "conv")
    path.write_text("[]")
    done = convert()
    assert done.reasons() == [(f"conv/train/{path.name}", "no-question")]
    assert done.rejects[0]["severity"] == "skipped"
    assert done.summary.exit_code is ExitCode.DONE
