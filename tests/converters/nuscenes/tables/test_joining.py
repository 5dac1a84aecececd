from __future__ import annotations

import re
from pathlib import Path

import pytest
from nuscenes_tables import FRAME_US, INTRINSIC, START_US, Change, Tables

from domainvl.converters.nuscenes.scenes import Pose, Scene
from domainvl.converters.nuscenes.tables import read_scene_names
from domainvl.converters.nuscenes.tables.joining import SceneJoin
from domainvl.errors import InputNotFoundError, UsageError
from domainvl.schema import Reject, Severity

ALL = {f"scene-{scene}/{frame:04d}" for scene in ("s1", "s2") for frame in range(3)}


def join(folder: Path, *, sweeps: bool = False) -> tuple[list[Scene], list[Reject]]:
    joined = SceneJoin(folder, sweeps=sweeps)
    return list(joined.scenes()), joined.rejects()


def frames_in(scenes: list[Scene]) -> set[str]:
    return {f"{scene.name}/{frame.index:04d}" for scene in scenes for frame in scene.frames}


def test_drv_01_scenes_hold_images_of_cameras_and_cuboids(tmp_path: Path) -> None:
    scenes, rejects = join(Tables().write(tmp_path))
    assert rejects == []
    assert [scene.name for scene in scenes] == ["scene-s1", "scene-s2"]
    scene = scenes[1]
    assert (scene.token, scene.description, scene.log, scene.location) == ("s2", "Rain", "n015", "onenorth")
    assert [camera.channel for camera in scene.cameras] == ["CAM_BACK", "CAM_FRONT"]
    assert scene.cameras[1].mounting == Pose((1.5, 0.0, 1.8), (1.0, 0.0, 0.0, 0.0))
    assert [list(line) for line in scene.cameras[1].intrinsic] == INTRINSIC
    assert [(frame.index, frame.token, frame.timestamp_us) for frame in scene.frames] == [
        (place, f"s2/{place}", START_US + place * FRAME_US) for place in range(3)
    ]
    assert scene.sweeps == ()
    frame = scene.frames[2]
    assert {shot.view: shot.token for shot in frame.shots} == {"FRONT": "s2/2/CAM_FRONT", "BACK": "s2/2/CAM_BACK"}
    front = next(shot for shot in frame.shots if shot.view == "FRONT")
    assert scene.cameras[front.camera].channel == "CAM_FRONT"
    # Each image has the pose of its own moment: it is the fifth reading of its camera.
    assert front.ego == Pose((4.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))
    assert (front.filename, front.width_px, front.height_px) == ("samples/s2/2/CAM_FRONT.jpg", 800, 600)
    assert front.timestamp_us == START_US + 2 * FRAME_US + 1000
    car, cone = frame.cuboids
    assert (car.instance_token, car.category, car.attributes) == ("s2 car", "vehicle.car", ("vehicle.moving",))
    assert (car.visibility, cone.visibility, cone.attributes) == ("v80-100", None, ())
    assert (car.center_m, car.size_wlh_m) == ((12.0, 2.0, 0.5), (1.9, 4.6, 1.7))
    assert (car.rotation_wxyz, car.lidar_points) == ((1.0, 0.0, 0.0, 0.0), 7)


def test_drv_01_maps_logs_lidar_and_annotations_are_not_needed(tmp_path: Path) -> None:
    tables = Tables()
    for name in ("log", "attribute", "visibility", "sample_annotation", "instance", "category"):
        del tables.rows[name]
    tables.rows["sample_data"] = [row for row in tables.rows["sample_data"] if "CAM" in row["token"]]
    tables.rows["ego_pose"] = [row for row in tables.rows["ego_pose"] if "CAM" in row["token"]]
    scenes, rejects = join(tables.write(tmp_path))
    assert rejects == []
    assert frames_in(scenes) == ALL
    assert {frame.cuboids for scene in scenes for frame in scene.frames} == {()}
    assert [(scene.log, scene.location) for scene in scenes] == [("log", None)] * 2


def test_drv_01_a_test_split_has_empty_tables_of_annotations(tmp_path: Path) -> None:
    tables = Tables()
    tables.rows |= {"sample_annotation": [], "instance": []}
    scenes, rejects = join(tables.write(tmp_path, "v1.0-test"))
    assert rejects == []
    assert {frame.cuboids for scene in scenes for frame in scene.frames} == {()}


def test_without_tables_of_attributes_and_visibility_nothing_is_said_of_them(tmp_path: Path) -> None:
    tables = Tables()
    del tables.rows["attribute"], tables.rows["visibility"]
    scenes, rejects = join(tables.write(tmp_path))
    assert rejects == []
    cuboids = [cuboid for scene in scenes for frame in scene.frames for cuboid in frame.cuboids]
    assert {(cuboid.attributes, cuboid.visibility) for cuboid in cuboids} == {((), None)}


@pytest.mark.parametrize("name", ["scene", "sample", "sensor", "calibrated_sensor", "sample_data", "ego_pose"])
def test_a_table_that_is_needed_is_named_where_it_is_missing(tmp_path: Path, name: str) -> None:
    tables = Tables()
    del tables.rows[name]
    with pytest.raises(InputNotFoundError, match=rf"{name}\.json"):
        join(tables.write(tmp_path))


def test_annotations_need_the_tables_that_they_name(tmp_path: Path) -> None:
    tables = Tables()
    del tables.rows["instance"]
    with pytest.raises(InputNotFoundError, match=r"instance\.json"):
        join(tables.write(tmp_path))


def test_cameras_may_have_any_names(tmp_path: Path) -> None:
    tables = Tables()
    tables.row("sensor", "CAM_FRONT")["channel"] = "roof_wide"
    # Where the table does not say what a sensor is, its name does.
    del tables.row("sensor", "CAM_BACK")["modality"], tables.row("sensor", "LIDAR_TOP")["modality"]
    scenes, rejects = join(tables.write(tmp_path))
    assert rejects == []
    assert [camera.channel for camera in scenes[0].cameras] == ["CAM_BACK", "roof_wide"]
    assert {shot.view for shot in scenes[0].frames[0].shots} == {"BACK", "roof_wide"}


def test_drv_02_a_frame_without_one_image_keeps_the_others(tmp_path: Path) -> None:
    tables = Tables()
    tables.remove("sample_data", "s1/1/CAM_FRONT")
    scenes, rejects = join(tables.write(tmp_path))
    assert rejects == []
    assert [[shot.view for shot in frame.shots] for frame in scenes[0].frames] == [
        ["BACK", "FRONT"],
        ["BACK"],
        ["BACK", "FRONT"],
    ]


def test_drv_30_sweeps_are_all_images_of_cameras_in_time(tmp_path: Path) -> None:
    tables = Tables()
    tables.shuffle()
    folder = tables.write(tmp_path)
    scenes, rejects = join(folder, sweeps=True)
    assert rejects == []
    front = [shot for shot in scenes[0].sweeps if shot.view == "FRONT"]
    assert [shot.token for shot in front] == [f"s1/{place / 2:g}/CAM_FRONT" for place in range(5)]
    assert [shot.timestamp_us for shot in scenes[0].sweeps] == sorted(shot.timestamp_us for shot in scenes[0].sweeps)
    assert len(scenes[0].sweeps) == 10
    # What is known of key frames does not depend on them.
    assert [scene.frames for scene in scenes] == [scene.frames for scene in join(folder)[0]]


def set_row(table: str, token: str, **changes: object) -> Change:
    return lambda tables: tables.row(table, token).update(changes)


ONE = "s1/0/CAM_FRONT"
COSTS_ITS_FRAME: dict[str, tuple[Change, str, str]] = {
    "ego pose": (set_row("sample_data", ONE, ego_pose_token="nowhere"), "dangling-token", "ego pose nowhere"),
    "camera": (
        set_row("sample_data", ONE, calibrated_sensor_token="nowhere"),
        "dangling-token",
        "calibrated sensor nowhere",
    ),
    "instance": (
        set_row("sample_annotation", "s1/0/car", instance_token="nowhere"),
        "dangling-token",
        "instance nowhere",
    ),
    "zero pose": (set_row("ego_pose", ONE, rotation=[0, 0, 0, 0]), "bad-rotation", "ego pose"),
    "zero cuboid": (set_row("sample_annotation", "s1/0/car", rotation=[0, 0, 0, 0]), "bad-rotation", "annotation"),
    "flat cuboid": (set_row("sample_annotation", "s1/0/car", size=[0, 1, 1]), "bad-size", r"got \[0.0, 1.0, 1.0\]"),
    "negative": (set_row("sample_annotation", "s1/0/car", size=[1, 1, -1]), "bad-size", r"got \[1.0, 1.0, -1.0\]"),
    "parent": (set_row("sample_data", ONE, filename="a/../../x.jpg"), "outside-dataroot", r"a/\.\./\.\./x\.jpg"),
    "absolute": (set_row("sample_data", ONE, filename="/etc/x.jpg"), "outside-dataroot", "/etc/x"),
    "endless image": (set_row("sample_data", ONE, width=2**40), "bad-image-size", "got 1099511627776, 600"),
    "endless side": (set_row("sample_annotation", "s1/0/car", size=[1, 1e200, 1]), "bad-size", r"1e\+200"),
    "no side": (set_row("sample_annotation", "s1/0/car", size=[1, 1e-200, 1]), "bad-size", "1e-200"),
    "long quaternion": (set_row("sample_annotation", "s1/0/car", rotation=[1e200, 0, 0, 0]), "bad-rotation", "length"),
    "short quaternion": (set_row("ego_pose", ONE, rotation=[0.5, 0.5, 0.5, 0]), "bad-rotation", "0.9 to 1.1"),
    "far pose": (set_row("ego_pose", ONE, translation=[0, 1e300, 0]), "bad-position", "ego pose s1/0/CAM_FRONT"),
    "far cuboid": (set_row("sample_annotation", "s1/0/car", translation=[-2e8, 0, 0]), "bad-position", "within 1e"),
    "no size": (set_row("sample_data", ONE, width=0), "bad-image-size", "got 0, 600"),
    "null size": (set_row("sample_data", ONE, height=None), "bad-image-size", "got 800, None"),
    "camera twice": (
        lambda tables: tables.repeat("sample_data", ONE, token="again", next=""),
        "duplicate-camera",
        "'FRONT': 2",
    ),
    "instance twice": (
        lambda tables: tables.repeat("sample_annotation", "s1/0/car", token="again"),
        "duplicate-instance",
        "s1 car",
    ),
    "no such next": (
        lambda tables: (set_row("sample", "s1/0", next="nowhere")(tables), set_row("sample", "s1/1", prev="")(tables)),
        "dangling-token",
        "next names sample nowhere",
    ),
    "next of another scene": (
        lambda tables: (set_row("sample", "s1/0", next="s2/1")(tables), set_row("sample", "s1/1", prev="")(tables)),
        "link-across-scenes",
        "s2/1",
    ),
    "itself": (
        lambda tables: (set_row("sample", "s1/0", next="s1/0")(tables), set_row("sample", "s1/1", prev="")(tables)),
        "link-loop",
        "lead back",
    ),
}


@pytest.mark.parametrize("case", COSTS_ITS_FRAME)
def test_drv_04_what_does_not_join_costs_its_frame_only(tmp_path: Path, case: str) -> None:
    change, reason, message = COSTS_ITS_FRAME[case]
    tables = Tables()
    change(tables)
    scenes, (reject,) = join(tables.write(tmp_path))
    assert frames_in(scenes) == ALL - {"scene-s1/0000"}
    # Others keep their places.
    assert [frame.index for frame in scenes[0].frames] == [1, 2]
    assert (reject.input, reject.stage, reject.reason) == ("scene-s1/0000", "plan", reason)
    assert reject.severity is Severity.FAILED
    assert reject.action
    assert re.search(message, reject.message)


LINKS: dict[str, tuple[Change, set[str], str]] = {
    # The time of the second is before the first: which of the two is wrong, nobody knows.
    "backwards": (
        set_row("sample", "s1/1", timestamp=START_US - 5),
        {"scene-s1/0000", "scene-s1/0001"},
        "backwards-timestamp",
    ),
    "same time": (
        set_row("sample", "s1/1", timestamp=START_US),
        {"scene-s1/0000", "scene-s1/0001"},
        "backwards-timestamp",
    ),
    "loop": (
        lambda tables: (set_row("sample", "s1/2", next="s1/0")(tables), set_row("sample", "s1/0", prev="s1/2")(tables)),
        {"scene-s1/0000", "scene-s1/0002"},
        "link-loop",
    ),
    # The first names the third, which names the second.
    "one-sided": (set_row("sample", "s1/0", next="s1/2"), {"scene-s1/0000", "scene-s1/0001"}, "one-sided-link"),
}


@pytest.mark.parametrize("case", LINKS)
def test_drv_04_links_that_contradict_time_or_each_other_cost_their_ends(tmp_path: Path, case: str) -> None:
    change, lost, reason = LINKS[case]
    tables = Tables()
    change(tables)
    scenes, rejects = join(tables.write(tmp_path))
    assert {reject.input for reject in rejects} == lost
    assert {reject.reason for reject in rejects} == {reason}
    assert frames_in(scenes) == ALL - lost


def test_drv_04_frames_without_links_must_differ_in_time(tmp_path: Path) -> None:
    tables = Tables()
    for row in tables.rows["sample"]:
        del row["prev"], row["next"]
    tables.row("sample", "s1/1")["timestamp"] = START_US
    tables.rows["sample"].reverse()
    scenes, (reject,) = join(tables.write(tmp_path))
    assert (reject.input, reject.reason) == ("scene-s1/0001", "duplicate-timestamp")
    assert frames_in(scenes) == ALL - {"scene-s1/0001"}


@pytest.mark.parametrize("missing", ["prev", "next"])
def test_links_in_one_direction_are_enough(tmp_path: Path, missing: str) -> None:
    tables = Tables()
    for row in tables.rows["sample"]:
        row[missing] = ""
    assert join(tables.write(tmp_path))[1] == []


@pytest.mark.parametrize("sweeps", [False, True])
def test_drv_04_images_whose_links_run_backwards(tmp_path: Path, sweeps: bool) -> None:
    tables = Tables()
    # Between key frames an image costs itself; two key frames linked against time cost both.
    tables.row("sample_data", "s1/0.5/CAM_FRONT")["timestamp"] = START_US - 1
    tables.row("sample_data", "s2/0/CAM_BACK")["next"] = "s2/1/CAM_BACK"
    tables.row("sample_data", "s2/1/CAM_BACK").update(timestamp=START_US - 1, next="")
    scenes, rejects = join(tables.write(tmp_path), sweeps=sweeps)
    assert frames_in(scenes) == ALL - {"scene-s2/0000", "scene-s2/0001"}
    found = {(reject.input, reject.reason) for reject in rejects}
    own = {("sample_data s1/0.5/CAM_FRONT", "backwards-timestamp")} if sweeps else set()
    assert found - {("sample_data s2/0.5/CAM_BACK", "backwards-timestamp")} == own | {
        ("scene-s2/0000", "backwards-timestamp"),
        ("scene-s2/0001", "backwards-timestamp"),
    }
    assert "s1/0.5/CAM_FRONT" not in {shot.token for shot in scenes[0].sweeps}


@pytest.mark.parametrize(
    ("table", "token"),
    [
        ("scene", "s1"),
        ("sample", "s1/0"),
        ("sample_data", "s1/0/CAM_FRONT"),
        ("ego_pose", "s1/0/CAM_FRONT"),
        ("sensor", "CAM_FRONT"),
        ("calibrated_sensor", "mounted CAM_FRONT"),
        ("sample_annotation", "s1/0/car"),
        ("instance", "s1 car"),
        ("category", "c-car"),
        ("attribute", "a-moving"),
        ("visibility", "4"),
        ("log", "log"),
    ],
)
def test_drv_04_of_rows_with_one_token_the_first_stays(tmp_path: Path, table: str, token: str) -> None:
    whole, _ = join(Tables().write(tmp_path / "whole"))
    tables = Tables()
    # Further rows say something else, as far as the format allows.
    other = {"translation": [0.5, 0.5, 0.5], "name": "other", "level": "other", "channel": "CAM_X", "location": "other"}
    changes = {name: value for name, value in other.items() if name in tables.row(table, token)}
    tables.repeat(table, token, **changes)
    tables.repeat(table, token, **changes)
    scenes, rejects = join(tables.write(tmp_path / "merged"))
    assert scenes == whole
    assert [(reject.input, reject.reason) for reject in rejects] == [(f"{table} {token}", "duplicate-token")] * 2


def test_drv_04_scenes_with_one_name_and_scenes_without_frames(tmp_path: Path) -> None:
    tables = Tables()
    tables.row("scene", "s2")["name"] = "scene-s1"
    tables.add("scene", token="s3", name="scene-s3", log_token="log")
    scenes, rejects = join(tables.write(tmp_path))
    assert [scene.token for scene in scenes] == ["s1"]
    assert [(reject.input, reject.reason) for reject in rejects] == [
        ("scene s2", "duplicate-scene"),
        ("scene scene-s3", "empty-scene"),
    ]


def test_drv_04_rows_that_belong_to_no_frame_are_reported(tmp_path: Path) -> None:
    tables = Tables()
    tables.repeat("sample_annotation", "s1/0/car", token="a", sample_token="gone")
    tables.repeat("sample_data", "s1/0/CAM_BACK", token="b", sample_token="lost", next="", filename="b.jpg")
    tables.row("sample", "s2/2")["scene_token"] = "nowhere"
    tables.row("sample", "s2/1")["next"] = ""
    tables.row("sample", "s2/2")["prev"] = ""
    scenes, rejects = join(tables.write(tmp_path))
    assert frames_in(scenes) == ALL - {"scene-s2/0002"}
    assert [(reject.input, reject.reason) for reject in rejects] == [
        ("sample gone", "dangling-token"),
        ("sample lost", "dangling-token"),
        ("sample s2/2", "dangling-token"),
    ]


def test_drv_04_names_that_no_table_has_are_reported_and_the_cuboid_is_used_without(tmp_path: Path) -> None:
    tables = Tables()
    tables.row("sample_annotation", "s1/0/car").update(attribute_tokens=["gone", "a-moving"], visibility_token="9")
    scenes, rejects = join(tables.write(tmp_path))
    assert frames_in(scenes) == ALL
    car = scenes[0].frames[0].cuboids[0]
    assert (car.attributes, car.visibility) == (("vehicle.moving",), None)
    assert [(reject.input, reject.reason) for reject in rejects] == [
        ("sample_annotation s1/0/car", "dangling-token")
    ] * 2
    assert "attribute gone" in rejects[0].message
    assert "visibility 9" in rejects[1].message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"camera_intrinsic": []}, "no-intrinsic"),
        ({"camera_intrinsic": None}, "no-intrinsic"),
        ({"camera_intrinsic": [[800, 0, 400, 0], [0, 800, 300, 0], [0, 0, 1, 0]]}, "no-intrinsic"),
        ({"camera_intrinsic": [[0, 0, 400], [0, 800, 300], [0, 0, 1]]}, "no-intrinsic"),
        ({"camera_intrinsic": [[800, 0, 400], [0, 0, 300], [0, 0, 1]]}, "no-intrinsic"),
        ({"camera_intrinsic": [[800, 0, 400], [0, 800, 300], [0, 0, 2]]}, "no-intrinsic"),
        ({"camera_intrinsic": [[800, 0, 400], [0, 800, 300], [0.1, 0, 1]]}, "no-intrinsic"),
        ({"camera_distortion": [0.1, 0, 0, 0, 0]}, "distorted-camera"),
        ({"camera_intrinsic": [[800, 0, 400], [0, 1e-320, 300], [0, 0, 1]]}, "no-intrinsic"),
        ({"camera_intrinsic": [[1e7, 0, 400], [0, 800, 300], [0, 0, 1]]}, "no-intrinsic"),
        ({"camera_intrinsic": [[800, 0, -1e300], [0, 800, 300], [0, 0, 1]]}, "no-intrinsic"),
        ({"rotation": [0, 0, 0, 0]}, "bad-rotation"),
        ({"rotation": [0, 0, 0, 1e200]}, "bad-rotation"),
        ({"translation": [0, 0, 1e300]}, "bad-position"),
    ],
)
def test_drv_04_a_camera_that_cannot_be_projected_into_costs_its_images_and_is_told_once(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    tables = Tables()
    tables.row("calibrated_sensor", "mounted CAM_BACK").update(changes)
    scenes, (reject,) = join(tables.write(tmp_path))
    assert frames_in(scenes) == ALL
    assert [camera.channel for camera in scenes[0].cameras] == ["CAM_FRONT"]
    assert {shot.view for scene in scenes for frame in scene.frames for shot in frame.shots} == {"FRONT"}
    assert (reject.input, reject.reason) == ("calibrated_sensor mounted CAM_BACK", reason)
    assert "6 images of CAM_BACK" in reject.message


def test_a_camera_without_distortion_may_say_so(tmp_path: Path) -> None:
    tables = Tables()
    tables.row("calibrated_sensor", "mounted CAM_BACK")["camera_distortion"] = [0.0] * 5
    assert join(tables.write(tmp_path))[1] == []


def test_drv_04_rounded_rotations_far_maps_and_long_vehicles_are_used(tmp_path: Path) -> None:
    tables = Tables()
    # A turn by 90 degrees with one digit has the length 0.99; coordinates are those of UTM in the north of Norway.
    tables.row("ego_pose", ONE).update(rotation=[0.7, 0, 0, 0.7], translation=[600_000, 7_900_000, 12])
    tables.row("sample_annotation", "s1/0/car")["size"] = [25, 400, 60]
    tables.row("calibrated_sensor", "mounted CAM_BACK")["camera_intrinsic"] = [[1, 0, 400], [0, 1e6, 300], [0, 0, 1]]
    scenes, rejects = join(tables.write(tmp_path))
    assert rejects == []
    assert frames_in(scenes) == ALL


def shared(*tokens: str) -> Tables:
    """Give images one file."""
    tables = Tables()
    for token in tokens:
        tables.row("sample_data", token)["filename"] = "samples/shared.jpg"
    return tables


@pytest.mark.parametrize(
    ("tokens", "lost"),
    [
        ((ONE, "s1/0/CAM_BACK"), {"scene-s1/0000"}),
        ((ONE, "s1/1/CAM_FRONT"), {"scene-s1/0000", "scene-s1/0001"}),
        ((ONE, "s2/1/CAM_BACK", "s2/2/CAM_BACK"), {"scene-s1/0000", "scene-s2/0001", "scene-s2/0002"}),
    ],
)
@pytest.mark.parametrize("sweeps", [False, True])
def test_drv_04_key_frames_with_one_file_are_lost(
    tmp_path: Path, tokens: tuple[str, ...], lost: set[str], sweeps: bool
) -> None:
    """One picture cannot be that of two views or of two moments, and nobody knows of which it is."""
    scenes, rejects = join(shared(*tokens).write(tmp_path), sweeps=sweeps)
    assert {(reject.input, reject.reason) for reject in rejects} == {(name, "shared-file") for name in lost}
    assert frames_in(scenes) == ALL - lost
    assert all(f"'samples/shared.jpg' for {len(tokens)} images" in reject.message for reject in rejects)


def test_drv_04_an_image_between_key_frames_with_the_file_of_one_costs_itself(tmp_path: Path) -> None:
    folder = shared(ONE, "s1/0.5/CAM_FRONT").write(tmp_path)
    scenes, (reject,) = join(folder, sweeps=True)
    assert (reject.input, reject.reason) == ("sample_data s1/0.5/CAM_FRONT", "shared-file")
    assert frames_in(scenes) == ALL
    assert "s1/0.5/CAM_FRONT" not in {shot.token for shot in scenes[0].sweeps}
    assert join(folder)[1] == []
    # Two key frames and one between them: it may be that of any.
    scenes, rejects = join(shared(ONE, "s1/1/CAM_FRONT", "s1/0.5/CAM_FRONT").write(tmp_path), sweeps=True)
    assert [reject.input for reject in rejects] == [
        "sample_data s1/0.5/CAM_FRONT",
        "scene-s1/0000",
        "scene-s1/0001",
    ]
    assert frames_in(scenes) == ALL - {"scene-s1/0000", "scene-s1/0001"}
    # Of two between key frames, nobody knows whose it is; here they are of one camera after one key frame.
    tables = shared("s1/1.5/CAM_BACK", "s1/0.5/CAM_BACK")
    tables.row("sample_data", "s1/1.5/CAM_BACK")["sample_token"] = "s1/0"
    scenes, rejects = join(tables.write(tmp_path), sweeps=True)
    assert [reject.input for reject in rejects] == ["sample_data s1/0.5/CAM_BACK", "sample_data s1/1.5/CAM_BACK"]
    assert frames_in(scenes) == ALL


@pytest.mark.parametrize("name", ["", " \t\n"])
def test_drv_04_a_scene_without_a_name_is_lost(tmp_path: Path, name: str) -> None:
    tables = Tables()
    tables.row("scene", "s1")["name"] = name
    folder = tables.write(tmp_path)
    scenes, (reject,) = join(folder)
    assert [scene.token for scene in scenes] == ["s2"]
    assert (reject.input, reject.reason) == ("scene s1", "empty-name")
    assert repr(name) in reject.message
    names = read_scene_names(folder)
    assert set(names.scenes) == {"s2"}
    assert names.rejects == (reject,)


def test_what_stands_in_the_place_of_a_table_that_may_be_missing_is_refused(tmp_path: Path) -> None:
    tables = Tables()
    del tables.rows["attribute"]
    folder = tables.write(tmp_path)
    (folder / "attribute.json").mkdir()
    with pytest.raises(UsageError, match=r"attribute\.json: it must be a file, but it is a folder"):
        join(folder)
    (folder / "attribute.json").rmdir()
    (folder / "attribute.json").symlink_to("nowhere.json")
    with pytest.raises(InputNotFoundError, match=r"attribute\.json: there is no such file"):
        join(folder)


def test_of_several_faults_of_a_frame_one_is_told_with_the_number_of_others(tmp_path: Path) -> None:
    tables = Tables()
    for token in ("s1/0/car", "s1/0/cone"):
        tables.row("sample_annotation", token)["size"] = [0, 0, 0]
    tables.rows["sample_annotation"].reverse()
    _, (reject,) = join(tables.write(tmp_path))
    assert "annotation s1/0/car must have sides of 0.001 m" in reject.message
    assert "(and 1 more)" in reject.message


@pytest.mark.parametrize("sweeps", [False, True])
def test_drv_04_scenes_do_not_depend_on_the_order_of_rows(tmp_path: Path, sweeps: bool) -> None:
    tables = Tables()
    expected = join(tables.write(tmp_path / "first"), sweeps=sweeps)
    for seed in range(3):
        tables.shuffle(seed)
        assert join(tables.write(tmp_path / f"{seed}"), sweeps=sweeps) == expected


@pytest.mark.parametrize("sweeps", [False, True])
def test_drv_04_rejects_do_not_depend_on_the_order_of_rows(tmp_path: Path, sweeps: bool) -> None:
    tables = Tables()
    for case in ("ego pose", "instance", "flat cuboid"):
        COSTS_ITS_FRAME[case][0](tables)
    tables.row("sample", "s2/1")["timestamp"] = START_US - 9
    tables.row("calibrated_sensor", "mounted CAM_BACK")["camera_intrinsic"] = []
    expected = join(tables.write(tmp_path / "first"), sweeps=sweeps)
    assert len(expected[1]) == 4
    for seed in range(3):
        tables.shuffle(seed)
        assert join(tables.write(tmp_path / f"{seed}"), sweeps=sweeps) == expected


def test_drv_04_t4_tables_join(real_data: Path) -> None:
    folder = real_data / "driving" / "tier4__t4-devkit" / "tests" / "sample" / "t4dataset" / "annotation"
    scenes, rejects = join(folder, sweeps=True)
    assert rejects == []
    (scene,) = scenes
    assert (scene.name, scene.log, scene.location) == ("minimal_test_scene", "minimal_test_log.bag", "test_location")
    assert [{shot.view for shot in frame.shots} for frame in scene.frames] == [{"FRONT", "BACK"}] * 3
    # Counted in the table by hand: two boxes of a car, one of a pedestrian, one of a bicycle.
    cuboids = [cuboid for frame in scene.frames for cuboid in frame.cuboids]
    assert sorted(cuboid.category for cuboid in cuboids) == ["bicycle", "car", "car", "pedestrian"]
    assert {cuboid.visibility for cuboid in cuboids} <= {"full", "most", "partial", "none"}
    assert len(scene.sweeps) == 6


def test_drv_04_t4_tables_with_one_token_broken_lose_one_frame(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "driving" / "tier4__t4-devkit" / "tests" / "sample" / "t4dataset" / "annotation"
    for path in folder.iterdir():
        text = path.read_text()
        if path.stem == "sample_annotation":
            text = text.replace('"instance_token": "90bbf29d816e58181741b05a2b662d5f"', '"instance_token": "gone"', 1)
        (tmp_path / path.name).write_text(text)
    scenes, (reject,) = join(tmp_path)
    assert (reject.reason, len(scenes[0].frames)) == ("dangling-token", 2)


def test_drv_04_a_broken_row_names_its_table(tmp_path: Path) -> None:
    tables = Tables()
    del tables.row("sample_data", ONE)["ego_pose_token"]
    row = tables.rows["sample_data"].index(tables.row("sample_data", ONE)) + 1
    with pytest.raises(UsageError, match=rf"sample_data\.json, row {row}: ego_pose_token is missing"):
        join(tables.write(tmp_path))
