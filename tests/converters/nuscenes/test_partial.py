"""Data roots of which a part is missing: tables that are not needed, images that were not fetched, other sensors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from nuscenes_sets import Made, edit, keep, make_set, rows_of, shots_of, tables_of

from domainvl.errors import ExitCode, NothingToDoError
from domainvl.schema import Sample
from domainvl.schema.validation import Severity, validate


def asked(samples: list[Sample]) -> list[tuple[str, str, str]]:
    return [(sample.id, sample.turns[0].text, sample.turns[1].text) for sample in samples]


def test_drv_01_maps_logs_and_visibility_are_not_needed(standing_set: Made, dataroot: Path, tmp_path: Path) -> None:
    shutil.rmtree(dataroot / "maps")
    for table in ("map", "log", "visibility"):
        (tables_of(dataroot) / f"{table}.json").unlink()
    made = make_set(dataroot, tmp_path)
    assert asked(made.samples) == asked(standing_set.samples)
    assert made.rejects == []


def test_drv_01_without_attributes_it_is_asked_what_speeds_tell(traffic: Path, driving: Path, tmp_path: Path) -> None:
    (tables_of(driving) / "attribute.json").unlink()
    made = make_set(driving, tmp_path)
    things = [thing for sample in made.samples for thing in sample.objects]
    assert not any("attribute" in thing.attributes for thing in things)
    assert {thing.attributes.get("motion") for thing in things} >= {"moving", "not moving"}
    assert made.summary.exit_code is ExitCode.DONE


def test_drv_01_where_nothing_is_labelled_nothing_is_said_to_be_absent(driving: Path, tmp_path: Path) -> None:
    """The first scene without labels, and in the second two key frames, as in tables that were cut by hand."""
    tokens = {row["name"]: row["token"] for row in rows_of(driving, "scene")}
    frames: dict[str, list[str]] = {}
    for row in sorted(rows_of(driving, "sample"), key=lambda row: row["timestamp"]):
        frames.setdefault(row["scene_token"], []).append(row["token"])
    bare = {*frames[tokens["scene-0001"]], *frames[tokens["scene-0002"]][2:4]}
    keep(driving, "sample_annotation", lambda row: row["sample_token"] not in bare)
    made = make_set(driving, tmp_path, tasks="counting,presence", questions_per_task=5, camera_samples_per_frame=6)

    asked_about = {"/".join(sample.id.split("/")[:2]) for sample in made.samples}
    assert asked_about.isdisjoint({*(f"scene-0001/{n:04d}" for n in range(6)), "scene-0002/0002", "scene-0002/0003"})
    assert {"scene-0002/0001", "scene-0002/0004", "scene-0003/0002"} <= asked_about
    # Elsewhere both are denied.
    assert {"0", "no"} <= {sample.turns[1].text for sample in made.samples}


def lidar_rows(rows: list[dict[str, Any]]) -> None:
    """Sweeps of a lidar and a radar, of which no file is there."""
    first = dict(rows[0])
    for number in range(200):
        sensor = ("LIDAR_TOP", "RADAR_FRONT")[number % 2]
        rows.append(
            {
                **first,
                "token": f"{sensor}-{number}",
                "calibrated_sensor_token": sensor,
                "filename": f"sweeps/{sensor}/{number}.pcd.bin",
                "ego_pose_token": "none",
                "height": 0,
                "width": 0,
                "fileformat": "pcd",
            }
        )


def test_drv_01_lidar_and_radar_are_not_touched(standing_set: Made, dataroot: Path, tmp_path: Path) -> None:
    for sensor, modality in (("LIDAR_TOP", "lidar"), ("RADAR_FRONT", "radar")):
        row = {"token": sensor, "channel": sensor, "modality": modality}
        edit(dataroot, "sensor", lambda rows, row=row: rows.append(row))
        mounting = {
            "token": sensor,
            "sensor_token": sensor,
            "translation": [0, 0, 0],
            "rotation": [1, 0, 0, 0],
            "camera_intrinsic": [],
        }
        edit(dataroot, "calibrated_sensor", lambda rows, row=mounting: rows.append(row))
    edit(dataroot, "sample_data", lidar_rows)
    made = make_set(dataroot, tmp_path)
    assert asked(made.samples) == asked(standing_set.samples)
    assert made.rejects == []


@pytest.mark.parametrize("how", ["no rows", "no tables"])
def test_drv_01_a_test_split_without_annotations_works(
    driving: Path, tmp_path: Path, traffic_set: Made, how: str
) -> None:
    for table in ("sample_annotation", "instance", "category", "attribute", "visibility"):
        if how == "no tables":
            (tables_of(driving) / f"{table}.json").unlink()
        elif table in ("sample_annotation", "instance"):
            edit(driving, table, list.clear)
    tables_of(driving).rename(driving / "v1.0-test")
    made = make_set(driving, tmp_path)
    kinds = {"behaviour", "behaviour-speed", "clip-behaviour", "clip-behaviour-speed", "scene"}
    wanted = [sample for sample in traffic_set.samples if sample.id.rsplit("/", 1)[1] in kinds]
    assert sorted(asked(made.samples)) == sorted(asked(wanted))
    assert not any(sample.objects for sample in made.samples)
    assert made.summary.exit_code is ExitCode.DONE
    assert {reject["reason"] for reject in made.rejects} == {"no-question"}
    assert validate(made.folder).count(Severity.ERROR) == 0


def test_drv_01_without_annotations_and_with_questions_about_things_only_nothing_is_to_do(
    dataroot: Path, tmp_path: Path
) -> None:
    edit(dataroot, "sample_annotation", list.clear)
    with pytest.raises(NothingToDoError, match="No question about the key frame"):
        make_set(dataroot, tmp_path, tasks="counting,caption")


@pytest.mark.parametrize("version", ["v1.0-mini", "v1.0-trainval", "v1.0-test"])
def test_drv_01_all_versions_are_read(standing_set: Made, dataroot: Path, tmp_path: Path, version: str) -> None:
    tables_of(dataroot).rename(dataroot / version)
    made = make_set(dataroot, tmp_path)
    # Scenes may go to other splits, the official ones.
    assert sorted(asked(made.samples)) == sorted(asked(standing_set.samples))
    assert made.rejects == []
    assert any(source["uri"] == f"{version}/scene.json" for source in made.manifest["sources"])


def without_back(root: Path) -> set[str]:
    """Delete the images of one camera in three key frames; return the frames."""
    shots = [row for row in shots_of(root, "BACK")]
    for place in (1, 4, 9):
        (root / shots[place]["filename"]).unlink()
    # Six key frames a scene.
    return {"scene-0001/0001", "scene-0001/0004", "scene-0002/0003"}


@pytest.mark.parametrize("strict", [False, True])
def test_drv_02_one_of_six_cameras_missing_in_three_frames_flags_three_frames(
    driving: Path, tmp_path: Path, traffic_set: Made, strict: bool
) -> None:
    lost = without_back(driving)
    made = make_set(driving, tmp_path, strict=strict)
    told = [reject for reject in made.rejects if reject["reason"] == "missing-image"]
    assert {reject["input"] for reject in told} == lost
    assert len(told) == 3
    assert {reject["severity"] for reject in told} == {"failed" if strict else "skipped"}
    assert all("1 of 6 images are not on disk: BACK" in reject["message"] for reject in told)
    assert made.frames == traffic_set.frames - lost
    counted = {(row["reason"], row["severity"]): row["count"] for row in made.manifest["rejects"]}
    assert counted["missing-image", "failed" if strict else "skipped"] == 3
    assert made.summary.exit_code is (ExitCode.PARTIAL if strict else ExitCode.DONE)
    # Other frames are asked as if nothing was missing.
    kept = {sample.id: sample.turns for sample in made.samples if "/clip" not in sample.id}
    assert kept == {
        sample.id: sample.turns
        for sample in traffic_set.samples
        if "/clip" not in sample.id and "/".join(sample.id.split("/")[:2]) not in lost
    }
    assert validate(made.folder).count(Severity.ERROR) == 0


def test_drv_02_without_that_camera_all_frames_are_whole(driving: Path, tmp_path: Path, traffic_set: Made) -> None:
    without_back(driving)
    made = make_set(driving, tmp_path, cameras="FRONT_LEFT,FRONT,FRONT_RIGHT,BACK_LEFT,BACK_RIGHT")
    assert made.frames == traffic_set.frames
    assert made.reasons()["missing-image"] == 0
    assert any("in the five views" in sample.question for sample in made.samples)


@pytest.mark.parametrize("strict", [False, True])
def test_drv_02_a_camera_that_the_tables_lack_in_a_frame_is_told(
    standing_set: Made, dataroot: Path, tmp_path: Path, strict: bool
) -> None:
    edit(dataroot, "sample_data", lambda rows: rows.pop(0))
    made = make_set(dataroot, tmp_path, strict=strict, tasks="counting,caption")
    (reject,) = made.rejects
    assert (reject["input"], reject["reason"]) == ("scene-0001/0000", "missing-camera")
    assert reject["severity"] == ("failed" if strict else "skipped")
    assert "no image of FRONT_LEFT" in reject["message"]
    assert made.frames == standing_set.frames - {"scene-0001/0000"}
    assert made.summary.exit_code is (ExitCode.PARTIAL if strict else ExitCode.DONE)


def test_drv_02_a_scene_of_which_no_image_was_fetched_is_told_frame_by_frame(driving: Path, tmp_path: Path) -> None:
    """As where one of the ten archives of the full set was fetched."""
    names = {row["token"]: row["scene_token"] for row in rows_of(driving, "sample")}
    scenes = {row["token"]: row["name"] for row in rows_of(driving, "scene")}
    for row in rows_of(driving, "sample_data"):
        if scenes[names[row["sample_token"]]] != "scene-0002":
            (driving / row["filename"]).unlink()
    made = make_set(driving, tmp_path)
    assert {sample.group for sample in made.samples} == {"scene-0002"}
    missing = [reject for reject in made.rejects if reject["reason"] == "missing-image"]
    assert {reject["input"].split("/")[0] for reject in missing} == {"scene-0001", "scene-0003", "scene-0004"}
    frames = {f"scene-000{scene}/{frame:04d}" for scene in (1, 3, 4) for frame in range(6)}
    assert frames < {reject["input"] for reject in missing}
    assert {reject["severity"] for reject in made.rejects} == {"skipped"}
    assert made.summary.exit_code is ExitCode.DONE


def test_drv_02_where_no_image_was_fetched_nothing_is_to_do(dataroot: Path, tmp_path: Path) -> None:
    shutil.rmtree(dataroot / "samples")
    with pytest.raises(NothingToDoError, match=r"6 of 6 images are not on disk.*Fetch the part of the data set"):
        make_set(dataroot, tmp_path)
