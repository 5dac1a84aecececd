from __future__ import annotations

import json
import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domainvl.conversion import convert
from domainvl.converters.nuscenes import CONVERTER
from domainvl.converters.nuscenes.generate import VERSION, generate_dataroot, write_dataroot
from domainvl.converters.nuscenes.render import SceneLook, render
from domainvl.converters.nuscenes.world import KINDS, RIG, Drive, Kind, Pose, Scene, Thing, make_scene
from domainvl.schema import Object, Split, read_samples

TABLES = (
    "attribute calibrated_sensor category ego_pose instance log map sample sample_annotation sample_data scene sensor "
    "visibility"
).split()

# Field names that hold tokens, and the tables they lead to, as the schema of nuScenes has them.
LINKS = {
    "attribute_tokens": "attribute",
    "calibrated_sensor_token": "calibrated_sensor",
    "category_token": "category",
    "ego_pose_token": "ego_pose",
    "first_annotation_token": "sample_annotation",
    "first_sample_token": "sample",
    "instance_token": "instance",
    "last_annotation_token": "sample_annotation",
    "last_sample_token": "sample",
    "log_token": "log",
    "log_tokens": "log",
    "sample_token": "sample",
    "scene_token": "scene",
    "sensor_token": "sensor",
    "visibility_token": "visibility",
}


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("generated")
    generate_dataroot(root, scene_count=6, frames_per_scene=3, seed=5)
    return root


@pytest.fixture(scope="module")
def tables(dataroot: Path) -> dict[str, list[dict]]:
    return {path.stem: json.loads(path.read_text()) for path in (dataroot / VERSION).iterdir()}


def test_all_tables_are_there(tables: dict[str, list[dict]]) -> None:
    assert sorted(tables) == TABLES
    assert len(tables["scene"]) == 6
    assert len(tables["sample"]) == 18
    assert len(tables["sample_data"]) == len(tables["ego_pose"]) == 18 * 6


def test_every_token_leads_somewhere(tables: dict[str, list[dict]]) -> None:
    tokens = {name: {row["token"] for row in rows} for name, rows in tables.items()}
    assert all(len(tokens[name]) == len(rows) for name, rows in tables.items())
    checked = Counter()
    for name, rows in tables.items():
        for row in rows:
            for field, value in row.items():
                if field in ("prev", "next"):
                    assert value == "" or value in tokens[name], (name, field)
                elif field.endswith(("_token", "_tokens")):
                    wanted = value if isinstance(value, list) else [value]
                    assert set(wanted) <= tokens[LINKS[field]], (name, field)
                    checked[field] += len(wanted)
    assert set(checked) == set(LINKS)


@pytest.mark.parametrize("name", ["sample", "sample_annotation", "sample_data"])
def test_chains_lead_there_and_back(tables: dict[str, list[dict]], name: str) -> None:
    rows = {row["token"]: row for row in tables[name]}
    linked = [row for row in rows.values() if row["next"]]
    assert linked
    assert all(rows[row["next"]]["prev"] == row["token"] for row in linked)


def test_instances_count_their_annotations(tables: dict[str, list[dict]]) -> None:
    counts = Counter(row["instance_token"] for row in tables["sample_annotation"])
    assert counts == {row["token"]: row["nbr_annotations"] for row in tables["instance"]}


def test_files_are_there_and_as_large_as_said(dataroot: Path, tables: dict[str, list[dict]]) -> None:
    for row in tables["sample_data"]:
        with Image.open(dataroot / row["filename"]) as image:
            assert (image.format, image.size) == ("JPEG", (row["width"], row["height"]))
    assert all((dataroot / row["filename"]).is_file() for row in tables["map"])
    assert len(list(dataroot.glob("samples/*/*"))) == len(tables["sample_data"])


def test_cameras_of_one_frame_fire_at_different_times_from_different_poses(tables: dict[str, list[dict]]) -> None:
    first = tables["sample"][0]["token"]
    poses = {row["token"]: row for row in tables["ego_pose"]}
    used = [poses[row["ego_pose_token"]] for row in tables["sample_data"] if row["sample_token"] == first]
    assert len({pose["timestamp"] for pose in used}) == 6
    assert len({tuple(pose["translation"]) for pose in used}) == 6


def test_same_seed_same_bytes_and_scenes_do_not_depend_on_their_number(dataroot: Path, tmp_path: Path) -> None:
    generate_dataroot(tmp_path / "again", scene_count=6, frames_per_scene=3, seed=5)
    files = sorted(path.relative_to(dataroot) for path in dataroot.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path / "again") for path in tmp_path.rglob("*") if path.is_file())
    assert all((dataroot / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)

    generate_dataroot(tmp_path / "fewer", scene_count=1, frames_per_scene=3, seed=5)
    fewer = sorted((tmp_path / "fewer" / "samples").rglob("*.jpg"))
    assert len(fewer) == 18
    assert all(path.read_bytes() == (dataroot / path.relative_to(tmp_path / "fewer")).read_bytes() for path in fewer)

    generate_dataroot(tmp_path / "other", scene_count=1, frames_per_scene=3, seed=6)
    other = (tmp_path / "other" / VERSION / "sample_annotation.json").read_text()
    assert other != (tmp_path / "fewer" / VERSION / "sample_annotation.json").read_text()


def test_frames_hold_two_to_five_things_and_every_count_from_none_to_three() -> None:
    scenes = [make_scene(f"scene-{index}", frame_count=2, rng=random.Random(index)) for index in range(60)]
    frames = [frame for scene in scenes for frame in scene.frames]
    sizes = Counter(len(frame) for frame in frames)
    assert max(sizes) == 5
    assert sum(count for size, count in sizes.items() if size >= 2) >= 0.95 * len(frames)
    counts = Counter(sum(thing.kind == kind for thing in frame) for frame in frames for kind in KINDS)
    assert sorted(counts) == [0, 1, 2, 3]
    assert min(counts.values()) >= 0.08 * sum(counts.values())
    distances_m = [
        math.dist((eye.x_m, eye.y_m), (thing.x_m, thing.y_m))
        for scene in scenes
        for index, frame in enumerate(scene.frames)
        for thing in frame
        for eye in [scene.drive.at(0.5 * index)]
    ]
    assert max(distances_m) < 17


def test_a_thing_stays_where_it_is() -> None:
    scene = make_scene("scene", frame_count=4, rng=random.Random(1))
    places: dict[str, set[tuple[float, float, float]]] = {}
    for frame in scene.frames:
        for thing in frame:
            places.setdefault(thing.name, set()).add((thing.x_m, thing.y_m, thing.yaw_rad))
    assert all(len(place) == 1 for place in places.values())
    assert any(sum(thing.name == name for frame in scene.frames for thing in frame) > 1 for name in places)


# Turned by 20 degrees and moving fast, so that an error in any pose shows.
DRIVE = Drive(Pose(400.0, 900.0, math.radians(20)), 20.0, 0.3)


def lone_thing(
    kind: Kind, camera_index: int, *, distance_m: float, aside_m: float = 0.0, turn_rad: float = 0.4
) -> Thing:
    """Put a thing before a camera, where that camera is when it fires for the second key frame."""
    eye = DRIVE.camera_at(RIG[camera_index], 1)
    place = eye.moved(distance_m, aside_m)
    return Thing("lone", kind, place.x_m, place.y_m, kind.size_wlh_m, eye.yaw_rad + 0.4)


def convert_lone(thing: Thing, folder: Path) -> dict[str, Object]:
    """Convert a scene whose second frame holds one thing; return it by view."""
    write_dataroot(folder / "root", [Scene("scene-0001", DRIVE, ((), (thing,)), look=3)])
    convert(CONVERTER, folder / "root", folder / "set")
    samples = [sample for split in Split for sample in read_samples(folder / "set", split)]
    sample = next(sample for sample in samples if sample.id == "scene-0001/0001/counting")
    return {str(sample.images[thing.image].view): thing for thing in sample.objects}


def drawn_box(thing: Thing, camera_index: int) -> tuple[int, int, int, int]:
    """Return the extents of the pixels that a thing changes in a picture."""
    camera, look = RIG[camera_index], SceneLook(Scene("scene-0001", DRIVE, (), look=3))
    eye = DRIVE.camera_at(camera, 1)
    changed = (np.asarray(render(camera, eye, [thing], look)) != look.background(camera, eye)).any(axis=2)
    rows, columns = np.nonzero(changed)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


# A truck fills its cuboid; the pixels that it touches reach over its outline by one and a rounding. The others
# are drawn narrower at one end, where the corners of their cuboids stick out a little.
TOLERANCE_PX = {
    "vehicle.truck": 1.5,
    "vehicle.car": 2.0,
    "human.pedestrian.adult": 2.0,
    "movable_object.trafficcone": 3.5,
}


@pytest.mark.parametrize("camera_index", range(6))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.category)
def test_projected_box_is_where_the_pixels_are(tmp_path: Path, kind: Kind, camera_index: int) -> None:
    thing = lone_thing(kind, camera_index, distance_m=kind.farthest_m, aside_m=-1.0)
    found = convert_lone(thing, tmp_path)[RIG[camera_index].channel.removeprefix("CAM_")]
    assert found.box_px == pytest.approx(drawn_box(thing, camera_index), abs=TOLERANCE_PX[kind.category])
    assert found.visible_fraction == 1.0


def test_projected_box_is_cut_where_the_picture_ends(tmp_path: Path) -> None:
    truck = KINDS[1]
    thing = lone_thing(truck, 1, distance_m=9.0, aside_m=5.0)
    found = convert_lone(thing, tmp_path)["FRONT"]
    assert found.box_px == pytest.approx(drawn_box(thing, 1), abs=1.5)
    assert found.box_px is not None
    assert found.box_px[0] == 0.0
    assert found.truncated
    assert 0.2 < found.visible_fraction < 0.95


def test_boxes_follow_each_camera_s_own_pose(tmp_path: Path) -> None:
    """With the pose of the key frame instead, 20 m/s move a box by more than 5 px in 43 ms (DRV-13)."""
    thing = lone_thing(KINDS[1], 5, distance_m=12.0)
    right = convert_lone(thing, tmp_path / "right")["BACK_LEFT"]
    assert right.box_px == pytest.approx(drawn_box(thing, 5), abs=1.5)

    root = tmp_path / "right" / "root"
    shots = json.loads((root / VERSION / "sample_data.json").read_text())
    poses = {row["token"]: row for row in json.loads((root / VERSION / "ego_pose.json").read_text())}
    front_left = {row["sample_token"]: poses[row["ego_pose_token"]] for row in shots if "FRONT_LEFT" in row["filename"]}
    for row in shots:
        pose = front_left[row["sample_token"]]
        poses[row["ego_pose_token"]].update(translation=pose["translation"], rotation=pose["rotation"])
    (root / VERSION / "ego_pose.json").write_text(json.dumps(list(poses.values())))
    convert(CONVERTER, root, tmp_path / "wrong")
    samples = [sample for split in Split for sample in read_samples(tmp_path / "wrong", split)]
    wrong = next(
        thing
        for sample in samples
        for thing in sample.objects
        if len(sample.images) == 6 and thing.id.endswith("/BACK_LEFT")
    )
    assert wrong.box_px is not None
    assert right.box_px is not None
    assert abs(wrong.box_px[0] - right.box_px[0]) > 5
