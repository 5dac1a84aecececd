"""DRV-40: DriveLM's scenes go where those of nuScenes go, as far as its tables say what they are called."""

from __future__ import annotations

import json

import pytest
from drivelm_files import make_frame, make_scenes, pair

from domainvl.errors import ExitCode, UsageError
from domainvl.schema import Split

TRAIN, HELD_OUT, MADE_UP = "scene-0001", "scene-0003", "drive-7"
"""The first two are of the official training and validation set (nuscenes-devkit, splits.py)."""


def write_tables(given, names, version="v1.0-trainval"):
    """Write the tables of scenes and logs; each scene's token is its name with a T before it."""
    folder = given.dataroot / version
    folder.mkdir(parents=True)
    scenes = [{"token": f"T{name}", "name": name, "log_token": f"log of {name}"} for name in names]
    logs = [{"token": f"log of {name}", "logfile": f"file of {name}", "location": "here"} for name in names]
    (folder / "scene.json").write_text(json.dumps(scenes))
    (folder / "log.json").write_text(json.dumps(logs))


def scenes(*names, images="f"):
    made = {}
    for name in names:
        made |= make_scenes(make_frame([pair("Q?", "A.")], images=images), scene=f"T{name}")
    return made


def places(samples):
    """Group and split of each scene."""
    return {sample.images[0].source.details["drivelm"]["scene"]: (sample.group, sample.split) for sample in samples}


def about_splits(summary):
    """The notes on splits; another one says that the scenes of these tests share their images."""
    return [note for note in summary.manifest.get("notes", []) if "under several names" not in note]


def test_drv_40_beside_the_tables_of_nuscenes_the_official_lists_decide(given):
    write_tables(given, [TRAIN, HELD_OUT])
    summary, samples, rejects = given.convert(scenes(TRAIN, HELD_OUT), test_fraction=0.9)

    assert rejects == []
    assert places(samples) == {f"T{TRAIN}": (TRAIN, Split.TRAIN), f"T{HELD_OUT}": (HELD_OUT, Split.TEST)}
    assert about_splits(summary) == []
    _, samples, _ = given.convert(split_by="scene", test_fraction=0.9, out=given.folder / "by-scene")
    assert places(samples)[f"T{TRAIN}"] == (TRAIN, Split.TEST)


def test_drv_40_a_file_of_the_training_set_alone_has_no_test_split_and_says_so(given):
    write_tables(given, [TRAIN])
    summary, _, _ = given.convert(scenes(TRAIN))

    (note,) = about_splits(summary)
    assert "the test split is empty" in note and "--split-by scene" in note


def test_drv_40_the_full_set_counts_before_the_mini_set(given):
    # scene-0553 is of the validation set, but of the training half of the mini set.
    write_tables(given, ["scene-0553"], "v1.0-mini")
    _, samples, _ = given.convert(scenes("scene-0553"))
    assert places(samples) == {"Tscene-0553": ("scene-0553", Split.TRAIN)}

    write_tables(given, ["scene-0553"])
    _, samples, _ = given.convert(out=given.folder / "full")
    assert places(samples) == {"Tscene-0553": ("scene-0553", Split.TEST)}


def test_drv_40_other_tables_are_split_by_scene_or_as_asked_for(given):
    write_tables(given, [TRAIN, MADE_UP])
    _, samples, _ = given.convert(scenes(TRAIN, MADE_UP))
    assert {group for group, _ in places(samples).values()} == {TRAIN, MADE_UP}

    _, samples, _ = given.convert(split_by="log", out=given.folder / "log")
    assert {group for group, _ in places(samples).values()} == {f"file of {TRAIN}", f"file of {MADE_UP}"}
    _, samples, _ = given.convert(split_by="location", out=given.folder / "location")
    assert {group for group, _ in places(samples).values()} == {"here"}
    _, samples, (reject,) = given.convert(split_by="official", out=given.folder / "official")
    assert places(samples) == {f"T{TRAIN}": (TRAIN, Split.TRAIN)}
    assert (reject["input"], reject["reason"], reject["severity"]) == (MADE_UP, "no-official-split", "skipped")


def test_drv_40_without_tables_a_scene_is_called_by_its_token_and_the_set_must_not_be_merged(given):
    summary, samples, _ = given.convert(scenes(TRAIN, HELD_OUT))

    assert {group for group, _ in places(samples).values()} == {f"T{TRAIN}", f"T{HELD_OUT}"}
    (note,) = about_splits(summary)
    assert note.startswith("2 of 2 scenes are called by their token")
    assert "cannot be merged safely" in note
    for split_by in ("log", "location", "official"):
        with pytest.raises(UsageError, match=f"--split-by {split_by} needs nuScenes' tables.*v1.0-trainval"):
            given.convert(split_by=split_by, out=given.folder / split_by)


def test_drv_40_a_scene_that_the_tables_do_not_name_is_split_by_token_or_left_out(given):
    write_tables(given, [TRAIN])
    summary, samples, rejects = given.convert(scenes(TRAIN, HELD_OUT))
    # Nothing says that the other one is not of the validation set: the official lists cannot decide.
    assert (rejects, {group for group, _ in places(samples).values()}) == ([], {TRAIN, f"T{HELD_OUT}"})
    assert about_splits(summary)[0].startswith("1 of 2 scenes are called by their token")

    summary, samples, (reject,) = given.convert(split_by="official", out=given.folder / "official")
    assert places(samples).keys() == {f"T{TRAIN}"}
    assert (reject["input"], reject["reason"], reject["severity"]) == (f"T{HELD_OUT}", "unknown-scene", "failed")
    assert "Left out with it: 1 key frame." in reject["message"]
    assert summary.exit_code is ExitCode.PARTIAL


def test_drv_40_scenes_that_were_not_fetched_do_not_matter(given):
    """As with v1.0-mini and the file of the whole training set."""
    write_tables(given, [TRAIN])
    summary, samples, (reject,) = given.convert(scenes(TRAIN) | scenes(HELD_OUT, images="elsewhere"))

    assert places(samples) == {f"T{TRAIN}": (TRAIN, Split.TRAIN)}
    assert (reject["input"], reject["reason"], reject["severity"]) == (f"T{HELD_OUT}", "unknown-scene", "skipped")
    assert summary.exit_code is ExitCode.DONE


def test_nothing_is_trained_on_a_placeholder_wherever_its_scene_goes(given):
    write_tables(given, [TRAIN])
    frame = make_frame([pair("Q?")], objects=None)
    _, (sample,), _ = given.convert(make_scenes(frame, scene=f"T{TRAIN}"), questions_only="placeholder")
    assert (sample.group, sample.split) == (TRAIN, Split.TEST)
