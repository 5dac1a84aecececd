"""Rigs with other cameras work as they are; tables that break the format are refused by table and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from nuscenes_sets import Change, edit, keep, make_set, rows_of, tables_of
from PIL import Image

from domainvl.errors import ExitCode, InputNotFoundError, UsageError
from domainvl.schema.validation import Severity, validate

NAMES = {
    "CAM_FRONT_LEFT": "pinhole_left",
    "CAM_FRONT": "pinhole_main",
    "CAM_FRONT_RIGHT": "CAM_TELE",
    "CAM_BACK": "rear",
}


@pytest.fixture
def other_rig(driving: Path) -> Path:
    """Four cameras with names of their own, one without the prefix of nuScenes."""
    wanted = {row["token"] for row in rows_of(driving, "sensor") if row["channel"] in NAMES}
    keep(driving, "sensor", lambda row: row["token"] in wanted)
    mounted = {row["token"] for row in rows_of(driving, "calibrated_sensor") if row["sensor_token"] in wanted}
    keep(driving, "calibrated_sensor", lambda row: row["token"] in mounted)
    keep(driving, "sample_data", lambda row: row["calibrated_sensor_token"] in mounted)
    edit(driving, "sensor", lambda rows: [row.update(channel=NAMES[row["channel"]]) for row in rows])
    return driving


@pytest.mark.parametrize("layout", ["multi-image", "stitched"])
def test_a_rig_of_four_cameras_with_other_names_works(other_rig: Path, tmp_path: Path, layout: str) -> None:
    made = make_set(other_rig, tmp_path, layout=layout, camera_samples_per_frame=4)
    assert made.summary.exit_code is ExitCode.DONE
    assert validate(made.folder).count(Severity.ERROR) == 0
    assert len(made.frames) == 24
    counting = [sample for sample in made.samples if "/counting" in sample.id]
    assert counting
    for sample in counting:
        assert sample.question.endswith(" in the four views?")
        if layout == "multi-image":
            # No view of nuScenes among them: by name.
            assert [image.view for image in sample.images] == ["TELE", "pinhole_left", "pinhole_main", "rear"]
        else:
            (image,) = sample.images
            assert (image.width_px, image.height_px) == (2 * 896, 2 * 448)
    views = {thing.id.rsplit("/", 1)[1] for sample in made.samples for thing in sample.objects}
    assert views <= {"TELE", "pinhole_left", "pinhole_main", "rear"}
    assert "pinhole_main" in views
    alone = {str(sample.images[0].view) for sample in made.samples if sample.id.count("/") == 3}
    assert len(alone) > 2


@pytest.mark.parametrize(("clip_camera", "view"), [(None, "TELE"), ("pinhole_main", "pinhole_main"), ("rear", "rear")])
def test_clips_of_a_rig_without_a_front_camera_are_of_its_first_or_the_one_named(
    other_rig: Path, tmp_path: Path, clip_camera: str | None, view: str
) -> None:
    made = make_set(other_rig, tmp_path, clip_camera=clip_camera, tasks="clip-behaviour,scene")
    assert {image.view for sample in made.samples for image in sample.images} == {view}
    assert len(made.clips) == 4
    assert made.rejects == []


def test_a_camera_of_clips_that_is_not_used_is_refused(other_rig: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--clip-camera must be one of .* got FRONT. They are TELE, pinhole_left"):
        make_set(other_rig, tmp_path, clip_camera="CAM_FRONT")


def test_a_camera_that_takes_fewer_images_costs_frames_and_no_clip_of_others(other_rig: Path, tmp_path: Path) -> None:
    """A scene of which the camera of clips has no image has none, and that is no failure."""
    names = {row["token"]: row["scene_token"] for row in rows_of(other_rig, "sample")}
    first_scene = rows_of(other_rig, "scene")[0]["token"]
    keep(
        other_rig,
        "sample_data",
        lambda row: "/CAM_BACK/" not in row["filename"] or names[row["sample_token"]] != first_scene,
    )
    made = make_set(other_rig, tmp_path, clip_camera="rear")
    assert {name.split("/")[0] for name in made.clips} == {"scene-0002", "scene-0003", "scene-0004"}
    told = {reject["input"]: (reject["reason"], reject["severity"]) for reject in made.rejects}
    assert told["scene-0001/clips"] == ("too-few-images", "skipped")
    assert told["scene-0001/scene"] == ("missing-image", "skipped")
    assert told["scene-0001/0000"] == ("missing-camera", "skipped")
    assert made.summary.exit_code is ExitCode.DONE


def test_a_single_camera_works(driving: Path, tmp_path: Path) -> None:
    made = make_set(driving, tmp_path, cameras="FRONT", layout="stitched")
    for sample in made.samples:
        assert {image.view for image in sample.images} == {"FRONT"}
    (asked,) = {sample.question for sample in made.samples if "/0001/caption" in sample.id}
    assert "which view" in asked
    counting = next(sample for sample in made.samples if "/counting" in sample.id)
    assert counting.turns[0].text.startswith("<image>\nThis is the FRONT view of the ego vehicle.\n")
    assert counting.question.endswith(" in the image?")


def test_images_of_another_size_and_format_work(driving: Path, tmp_path: Path) -> None:
    """Half as large, as PNG: boxes are half as large too."""
    whole = make_set(driving, tmp_path / "whole", tasks="caption", camera_samples_per_frame=0)

    def halve(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if "/CAM_BACK/" in row["filename"]:
                path = driving / row["filename"]
                with Image.open(path) as image:
                    image.resize((160, 90)).save(path.with_suffix(".png"))
                row.update(width=160, height=90, filename=row["filename"].replace(".jpg", ".png"))

    def refocus(rows: list[dict[str, Any]]) -> None:
        sensors = {row["token"]: row["channel"] for row in rows_of(driving, "sensor")}
        for row in rows:
            if sensors[row["sensor_token"]] == "CAM_BACK":
                matrix = [[value / 2 for value in line] for line in row["camera_intrinsic"][:2]]
                row["camera_intrinsic"] = [*matrix, [0.0, 0.0, 1.0]]

    edit(driving, "sample_data", halve)
    edit(driving, "calibrated_sensor", refocus)
    made = make_set(driving, tmp_path, tasks="caption", camera_samples_per_frame=0)
    compared = 0
    for name, sample in made.by_id.items():
        assert Path(sample.images[4].path).suffix == ".png"
        before = {thing.id: thing.box_px for thing in whole.by_id[name].objects if thing.id.endswith("/BACK")}
        for thing in sample.objects:
            if thing.id in before:
                assert thing.box_px is not None
                assert [2 * value for value in thing.box_px] == pytest.approx(before[thing.id], abs=0.01)
                compared += 1
    assert compared > 10


def first(**columns: Any) -> Change:
    return lambda rows: rows[0].update(columns)


def without(column: str) -> Change:
    return lambda rows: rows[0].pop(column)


MATRIX = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    ("table", "change", "field", "wanted"),
    [
        ("ego_pose", first(rotation=MATRIX), "rotation", r"4 numbers \(w, x, y, z\)"),
        ("calibrated_sensor", first(rotation=MATRIX), "rotation", r"4 numbers \(w, x, y, z\)"),
        ("sample_annotation", first(rotation=MATRIX), "rotation", r"4 numbers \(w, x, y, z\)"),
        ("sample", first(timestamp=1600000000.25), "timestamp", "a whole number of 0 or more"),
        ("sample_data", first(timestamp=1600000000.25), "timestamp", "a whole number of 0 or more"),
        ("sample_data", first(timestamp="1600000000000000"), "timestamp", "a whole number of 0 or more"),
        ("sample_data", first(ego_pose_token=None), "ego_pose_token", "a text"),
        ("sample_data", first(is_key_frame=1), "is_key_frame", "true or false"),
        ("ego_pose", first(translation=[1.0, 2.0]), "translation", "3 numbers"),
        ("ego_pose", first(translation=None), "translation", "3 numbers"),
        ("sample_annotation", first(size={"w": 1}), "size", "3 numbers"),
        ("scene", first(name=17), "name", "a text"),
    ],
)
def test_a_table_that_breaks_the_format_is_refused_by_table_row_and_field(
    dataroot: Path, tmp_path: Path, table: str, change: Change, field: str, wanted: str
) -> None:
    edit(dataroot, table, change)
    with pytest.raises(UsageError, match=rf"{table}\.json, row 1: {field} must be {wanted}"):
        make_set(dataroot, tmp_path)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("table", "field"),
    [("sample_data", "ego_pose_token"), ("sample_data", "timestamp"), ("ego_pose", "rotation"), ("scene", "name")],
)
def test_a_column_that_is_not_there_is_named(dataroot: Path, tmp_path: Path, table: str, field: str) -> None:
    edit(dataroot, table, without(field))
    with pytest.raises(UsageError, match=rf"{table}\.json, row 1: {field} is missing"):
        make_set(dataroot, tmp_path)


@pytest.mark.parametrize("table", ["ego_pose", "calibrated_sensor", "sample", "sample_data", "scene", "sensor"])
def test_a_table_that_is_needed_is_named(dataroot: Path, tmp_path: Path, table: str) -> None:
    (tables_of(dataroot) / f"{table}.json").unlink()
    with pytest.raises(InputNotFoundError, match=rf"{table}\.json: there is no such file"):
        make_set(dataroot, tmp_path)


def test_a_table_that_is_cut_off_is_named(dataroot: Path, tmp_path: Path) -> None:
    path = tables_of(dataroot) / "ego_pose.json"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UsageError, match=r"ego_pose\.json: the array is cut off or malformed after row"):
        make_set(dataroot, tmp_path)


def test_numbers_that_are_not_finite_are_refused(dataroot: Path, tmp_path: Path) -> None:
    edit(dataroot, "sample_annotation", first(translation=[float("nan"), 0.0, 0.0]))
    assert "NaN" in (tables_of(dataroot) / "sample_annotation.json").read_text()
    with pytest.raises(UsageError, match=r"sample_annotation\.json, row 1: translation must be 3 numbers"):
        make_set(dataroot, tmp_path)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"camera_intrinsic": []}, "no-intrinsic"),
        ({"camera_distortion": [0.1, 0.0, 0.0, 0.0, 0.0]}, "distorted-camera"),
        ({"rotation": [0, 0, 0, 0]}, "bad-rotation"),
    ],
)
def test_a_camera_that_cannot_be_projected_into_is_told_once(
    dataroot: Path, tmp_path: Path, columns: dict[str, Any], reason: str
) -> None:
    edit(dataroot, "calibrated_sensor", first(**columns))
    made = make_set(dataroot, tmp_path)
    (reject,) = (reject for reject in made.rejects if reject["reason"] == reason)
    assert "6 images of CAM_FRONT_LEFT are left out" in reject["message"]
    assert {tuple(image.view for image in sample.images) for sample in made.samples if "/counting" in sample.id} == {
        ("FRONT", "FRONT_RIGHT", "BACK_LEFT", "BACK", "BACK_RIGHT")
    }
    assert made.summary.exit_code is ExitCode.PARTIAL
    assert json.dumps(made.manifest)
