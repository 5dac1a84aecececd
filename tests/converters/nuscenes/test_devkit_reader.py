from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from domainvl.converters.nuscenes import devkit_reader
from domainvl.converters.nuscenes.devkit_reader import devkit_boxes, open_devkit, open_devkit_index, read_scenes
from domainvl.converters.nuscenes.generate import VERSION, generate_dataroot
from domainvl.converters.nuscenes.scenes import Scene
from domainvl.converters.nuscenes.tables import open_index, read_scene
from domainvl.errors import UsageError

TABLES = "scene sample sample_data ego_pose calibrated_sensor sensor log sample_annotation instance category attribute"


class StandIn:
    """What ``nuscenes.NuScenes`` offers and is used of it, over the same tables; the devkit itself runs in tests/peers.

    As there, images know their channel and modality, annotations their category, and samples what belongs to them.
    """

    def __init__(self, tables: Path) -> None:
        for table in (*TABLES.split(), "visibility"):
            setattr(self, table, json.loads((tables / f"{table}.json").read_text()))
        for row in self.sample:
            row["data"], row["anns"] = {}, []
        for row in self.sample_data:
            sensor = self.get("sensor", self.get("calibrated_sensor", row["calibrated_sensor_token"])["sensor_token"])
            row["channel"], row["sensor_modality"] = sensor["channel"], sensor["modality"]
            if row["is_key_frame"]:
                self.get("sample", row["sample_token"])["data"][row["channel"]] = row["token"]
        for row in self.sample_annotation:
            category = self.get("instance", row["instance_token"])["category_token"]
            row["category_name"] = self.get("category", category)["name"]
            self.get("sample", row["sample_token"])["anns"].append(row["token"])

    def __getattr__(self, table: str) -> list[dict[str, Any]]:
        raise AttributeError(table)

    def get(self, table: str, token: str) -> dict[str, Any]:
        try:
            return next(row for row in getattr(self, table) if row["token"] == token)
        except StopIteration:
            raise KeyError(token) from None


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    generate_dataroot(
        root,
        scene_count=2,
        frames_per_scene=2,
        seed=3,
        traffic=True,
        sweeps=("CAM_FRONT",),
        locations=("here", "there"),
        scenes_per_log=1,
    )
    return root


def own_scenes(dataroot: Path, folder: Path, *, sweeps: bool) -> list[Scene]:
    index = open_index(dataroot, dataroot / VERSION, sweeps=sweeps, folder=folder)
    assert not index.rejects
    return [index.read(summary.token) for summary in index.summaries]


def without_boxes(scene: Scene) -> Scene:
    frames = tuple(msgspec.structs.replace(frame, peer_boxes_px=None) for frame in scene.frames)
    return msgspec.structs.replace(scene, frames=frames)


@pytest.mark.parametrize("sweeps", [False, True])
def test_drv_01_the_devkit_s_rows_join_to_the_same_scenes(dataroot: Path, tmp_path: Path, sweeps: bool) -> None:
    peer = list(read_scenes(StandIn(dataroot / VERSION), lambda token: {}, sweeps=sweeps))
    own = own_scenes(dataroot, tmp_path, sweeps=sweeps)
    assert [without_boxes(scene) for scene in peer] == own
    # All six cameras of two key frames, and five images of one camera between them.
    assert [len(scene.sweeps) for scene in peer] == ([17, 17] if sweeps else [0, 0])


def test_boxes_of_each_image_stand_under_its_view(dataroot: Path) -> None:
    stand_in = StandIn(dataroot / VERSION)
    views = {row["token"]: row["channel"].removeprefix("CAM_") for row in stand_in.sample_data}
    box = (1.0, 2.0, 3.0, 4.0)
    for scene in read_scenes(stand_in, lambda token: {f"seen by {views[token]}": box}, sweeps=False):
        for frame in scene.frames:
            assert frame.peer_boxes_px == {shot.view: {f"seen by {shot.view}": box} for shot in frame.shots}
            assert len(frame.peer_boxes_px) == 6


def test_the_index_holds_what_was_read(dataroot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devkit_reader, "open_devkit", lambda dataroot, version: StandIn(dataroot / version))
    monkeypatch.setattr(devkit_reader, "devkit_version", lambda: "1.2.0")
    monkeypatch.setattr(devkit_reader, "devkit_boxes", lambda devkit: lambda token: {"one": (1.0, 2.0, 3.0, 4.0)})
    index = open_devkit_index(dataroot, dataroot / VERSION, sweeps=False, folder=tmp_path)
    own = own_scenes(dataroot, tmp_path / "own", sweeps=False)
    assert [summary.name for summary in index.summaries] == [scene.name for scene in own]
    for scene in own:
        found = read_scene(index.path, scene.token)
        assert without_boxes(found) == scene
        assert found.frames[0].peer_boxes_px is not None
    with_sweeps = open_devkit_index(dataroot, dataroot / VERSION, sweeps=True, folder=tmp_path)
    assert len(with_sweeps.read(own[0].token).sweeps) == 17
    # The second time, nothing is read.
    monkeypatch.setattr(devkit_reader, "open_devkit", lambda dataroot, version: pytest.fail("read again"))
    assert open_devkit_index(dataroot, dataroot / VERSION, sweeps=False, folder=tmp_path) == index
    # It stands beside that of the own reader, not in its place.
    beside = open_index(dataroot, dataroot / VERSION, sweeps=False, folder=tmp_path)
    assert beside.read(own[0].token).frames[0].peer_boxes_px is None


def test_without_the_devkit_it_is_said_how_to_install_it(
    dataroot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_found(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setitem(sys.modules, "nuscenes", None)
    with pytest.raises(UsageError, match=r"nuscenes-devkit is not installed.*domainvl\[devkit\]"):
        open_devkit(dataroot, VERSION)
    monkeypatch.setattr(metadata, "version", not_found)
    with pytest.raises(UsageError, match=r"nuscenes-devkit is not installed.*--reader own"):
        open_devkit_index(dataroot, dataroot / VERSION, sweeps=False, folder=tmp_path)


@pytest.mark.parametrize("error", [AssertionError("map mask"), FileNotFoundError("log.json"), KeyError("token")])
def test_what_the_devkit_stops_at_is_said(
    dataroot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Stops:
        def __init__(self, **options: object) -> None:
            raise error

    monkeypatch.setitem(sys.modules, "nuscenes", type("Package", (), {"NuScenes": Stops}))
    monkeypatch.setattr(devkit_reader, "devkit_version", lambda: "1.2.0")
    with pytest.raises(UsageError, match=f"{type(error).__name__}.*--reader own"):
        open_devkit_index(dataroot, dataroot / VERSION, sweeps=False, folder=tmp_path)


@pytest.mark.parametrize(
    ("table", "column", "value", "said"),
    [
        ("sample_data", "ego_pose_token", "nowhere", "KeyError: 'nowhere'"),
        ("sample_annotation", "attribute_tokens", ["nowhere"], "KeyError: 'nowhere'"),
        ("ego_pose", "translation", [0.0, 0.0], "ValueError: not enough values"),
        ("ego_pose", "rotation", None, "TypeError"),
    ],
)
def test_what_stops_it_while_scenes_are_read_is_said_too(
    dataroot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, column: str, value: object, said: str
) -> None:
    def broken(dataroot: Path, version: str) -> StandIn:
        stand_in = StandIn(dataroot / version)
        getattr(stand_in, table)[-1][column] = value
        return stand_in

    monkeypatch.setattr(devkit_reader, "open_devkit", broken)
    monkeypatch.setattr(devkit_reader, "devkit_version", lambda: "1.2.0")
    monkeypatch.setattr(devkit_reader, "devkit_boxes", lambda devkit: lambda token: {})
    with pytest.raises(UsageError, match=f"{said}.*--reader own"):
        open_devkit_index(dataroot, dataroot / VERSION, sweeps=True, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


class Corners:
    """A cuboid of the devkit, of which only the corners are used; they lie in the plane 1 m ahead."""

    def __init__(self, token: str, *corners_px: tuple[float, float], depth_m: float = 1.0) -> None:
        self.token = token
        self._corners_m = np.array([(x, y, depth_m) for x, y in corners_px], dtype=float).T.reshape(3, -1)

    def corners(self) -> np.ndarray[Any, Any]:
        return self._corners_m


def test_a_hull_without_an_area_in_the_image_has_no_box(monkeypatch: pytest.MonkeyPatch) -> None:
    # In an image of 100x50 px, the devkit's script stops where hull and image have no area in common but touch.
    cuboids = [
        Corners("inside", (10, 10), (30, 10), (30, 20), (10, 20)),
        Corners("across", (90, 10), (130, 10), (130, 20), (90, 20)),
        Corners("a line", (10, 10), (20, 20), (30, 30)),
        Corners("a point", (10, 10), (10, 10)),
        Corners("along the border", (100, 10), (120, 10), (120, 20), (100, 20)),
        Corners("at a corner", (100, 50), (120, 50), (120, 60), (100, 60)),
        Corners("behind", (10, 10), (30, 10), (30, 20), depth_m=-1.0),
    ]
    asked: list[list[float]] = []

    class Devkit:
        def get(self, table: str, token: str) -> dict[str, Any]:
            return {"width": 100, "height": 50} if table == "sample_data" else {"instance_token": token}

        def get_sample_data(self, token: str, box_vis_level: object) -> tuple[str, list[Corners], list[list[float]]]:
            return "", cuboids, np.eye(3).tolist()

    def script(points: list[list[float]], size: tuple[int, int]) -> tuple[float, float, float, float] | None:
        assert size == (100, 50)
        asked.extend(points)
        return (1, 2, 3, 4) if points else None

    def view_points(points: np.ndarray[Any, Any], view: object, normalize: bool) -> np.ndarray[Any, Any]:
        return points / points[2]

    modules = {
        "nuscenes": {},
        "nuscenes.scripts": {},
        "nuscenes.scripts.export_2d_annotations_as_json": {"post_process_coords": script},
        "nuscenes.utils": {},
        "nuscenes.utils.geometry_utils": {"BoxVisibility": SimpleNamespace(NONE=0), "view_points": view_points},
    }
    for name, members in modules.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**members))  # type: ignore[arg-type]
    assert devkit_boxes(Devkit())("image") == {"inside": (1, 2, 3, 4), "across": (1, 2, 3, 4)}
    assert asked == [[10, 10], [30, 10], [30, 20], [10, 20], [90, 10], [130, 10], [130, 20], [90, 20]]
