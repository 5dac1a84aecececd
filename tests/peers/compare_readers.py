"""Converts a generated world with domainvl's own reader and with nuScenes' devkit, and compares what comes out.

Both must give the same samples: the same ids, questions, answers and images. Boxes are compared one by one, and where
they differ there must be a reason: the devkit leaves out the corners behind a camera, or gives no box at all. It needs
the extra ``devkit`` and no torch.

    python tests/peers/compare_readers.py
"""

from __future__ import annotations

import json
import math
import random
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from domainvl.conversion import convert
from domainvl.converters.nuscenes import CONVERTER, NuscenesSettings
from domainvl.converters.nuscenes.devkit_reader import devkit_boxes, open_devkit, read_scenes
from domainvl.converters.nuscenes.generate import VERSION, write_dataroot
from domainvl.converters.nuscenes.generated.traffic import MANOEUVRES, make_traffic_scene
from domainvl.converters.nuscenes.generated.world import KINDS, RIG, Drive, Pose, Scene, Thing
from domainvl.converters.nuscenes.scenes import frame_name
from domainvl.schema import Sample, Split, read_samples

SAME_PX = 0.01
NEAR_PLANE_M = 0.1
BESIDE = (
    (-0.4, 3.4, -1.2, 1.0),  # one edge in front of the camera
    (-0.4, 2.2, -0.5, 1.0),  # two edges
    (1.0, -2.6, 0.1, 1.0),
    (2.25, -1.5, 0.9, 1.0),  # three
    (0.0, 0.2, 0.3, 2.0),  # around the camera
    (-9.0, 0.5, 0.3, 1.0),  # behind it
    (3.5, 8.0, 0.0, 1.0),  # beside what it sees
)
"""Where a truck stands: metres ahead of the camera and to its left, how far it is turned, and how much it has grown."""

_BOX_IN_TEXT = re.compile(r"\[\s*\d+(?:\.\d+)?(?:\s*,\s*\d+(?:\.\d+)?){3}\s*\]")

Box = tuple[float, float, float, float]
BoxKey = tuple[str, str]
"""Name of the key frame, and ``<instance token>/<view>``."""


@dataclass
class Difference:
    """Boxes that differ for the same reason."""

    count: int = 0
    largest_px: float = 0.0
    places: list[str] = field(default_factory=list)

    def add(self, key: BoxKey, difference_px: float) -> None:
        self.count += 1
        self.largest_px = max(self.largest_px, difference_px)
        self.places.append(f"{' '.join(key)} {difference_px:.1f} px")


@dataclass
class Boxes:
    """Boxes of one data set, and those that do not say everywhere the same."""

    found: dict[BoxKey, Box] = field(default_factory=dict)
    unclear: set[BoxKey] = field(default_factory=set)


def main() -> int:
    print(", ".join(f"{name} {metadata.version(name)}" for name in ("domainvl", "nuscenes-devkit", "numpy", "shapely")))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "dataroot"
        write_dataroot(root, [*traffic_scenes(), beside_scene()], sweeps=("CAM_FRONT",))
        own, peer = (convert_with(reader, root, folder) for reader in ("own", "devkit"))
        wrong = compare_samples(own, peer)
        rejects = [(folder / reader / "rejects.jsonl").read_text().splitlines() for reader in ("own", "devkit")]
        print(f"rejects: {len(rejects[0])} with the own reader, {len(rejects[1])} with the devkit")
        wrong += rejects[0] != rejects[1]
        wrong += compare_boxes(own, peer, root)
    print("the readers disagree" if wrong else "the readers agree")
    return 1 if wrong else 0


def traffic_scenes() -> Iterator[Scene]:
    for number, manoeuvre in enumerate(MANOEUVRES, start=1):
        name = f"scene-{number:04d}"
        yield make_traffic_scene(name, frame_count=6, manoeuvre=manoeuvre, rng=random.Random(name))


def beside_scene() -> Scene:
    """Return a scene in which each key frame has a truck at another place beside the camera to the front."""
    drive = Drive(Pose(300.0, 400.0, 0.5), 0.0, 0.0)
    eye = drive.camera_at(RIG[1], 0)
    truck = KINDS[1]
    frames = []
    for number, (ahead_m, left_m, turned_rad, growth) in enumerate(BESIDE):
        place = eye.moved(ahead_m, left_m, turned_rad)
        width_m, length_m, height_m = (side * growth for side in truck.size_wlh_m)
        size_wlh_m = (width_m, length_m, height_m)
        frames.append((Thing(f"truck-{number}", truck, place.x_m, place.y_m, size_wlh_m, place.yaw_rad),))
    return Scene("scene-0005", drive, tuple(frames), look=1)


def convert_with(reader: str, root: Path, folder: Path) -> dict[str, Sample]:
    """Convert and return the samples by id: all views of all frames, so that all boxes are in some sample."""
    settings = NuscenesSettings.model_validate(
        {
            "reader": reader,
            "index": folder / f"index-{reader}",
            "camera_samples_per_frame": 6,
            "questions_per_task": 3,
            "clip_s": 1.5,
            "clip_fps": 4.0,
        }
    )
    convert(CONVERTER, root, folder / reader, settings)
    samples = [sample for split in Split for sample in read_samples(folder / reader, split)]
    return {sample.id: sample for sample in samples}


def compare_samples(own: dict[str, Sample], peer: dict[str, Sample]) -> int:
    """Print and count the samples that are not the same but for the numbers of boxes."""
    missing = sorted(own.keys() ^ peer.keys())
    differing = [
        name for name in sorted(own.keys() & peer.keys()) if without_boxes(own[name]) != without_boxes(peer[name])
    ]
    print(f"samples: {len(own)} with the own reader, {len(peer)} with the devkit")
    print(f"  in one of them only: {len(missing)} {' '.join(missing[:3])}")
    print(f"  in both, but not the same: {len(differing)} {' '.join(differing[:3])}")
    tasks = sorted({sample.task.value for sample in own.values()})
    print(f"  tasks: {', '.join(tasks)}")
    return len(missing) + len(differing) + (not own)


def without_boxes(sample: Sample) -> dict[str, Any]:
    """Return a sample without the numbers of its boxes, and without the settings, which name the reader."""
    record = sample.model_dump(mode="json", exclude={"provenance"})
    for thing in record["objects"]:
        thing["box_px"] = None
    for turn in (*record["turns"], *record["earlier"]):
        turn["text"] = _BOX_IN_TEXT.sub("[box]", turn["text"])
    return record


def boxes_of(samples: dict[str, Sample]) -> Boxes:
    """Collect the boxes of key frames."""
    boxes = Boxes()
    for sample in samples.values():
        scene, frame = sample.id.split("/")[:2]
        if not frame.isdigit():
            continue  # a clip
        for thing in sample.objects:
            key = (f"{scene}/{frame}", thing.id)
            if thing.box_px is not None and boxes.found.setdefault(key, thing.box_px) != thing.box_px:
                boxes.unclear.add(key)
    return boxes


def compare_boxes(own: dict[str, Sample], peer: dict[str, Sample], root: Path) -> int:
    """Print where boxes differ and why; count those that differ without a reason."""
    own_boxes, peer_boxes = boxes_of(own), boxes_of(peer)
    world = World(root)
    devkit = open_devkit(root, VERSION)
    given = dict(devkits_boxes(devkit))
    reasons = {
        "equal": Difference(),
        "the devkit gives none": Difference(),
        "corners behind the camera": Difference(),
        "corners behind the camera, the devkit gives one where nothing is seen": Difference(),
        "WITHOUT A REASON": Difference(),
        "NOT TAKEN FROM THE DEVKIT": Difference(),
    }
    for key in sorted(own_boxes.found.keys() | given.keys()):
        ours, theirs = own_boxes.found.get(key), given.get(key)
        shown = difference_px(ours, theirs) if ours and theirs else 0.0
        reasons[reason(ours, theirs, shown, world.reaches_behind(*key))].add(key, shown)
        # With --reader devkit its box is what the sample has; ours stands in where it gives none.
        expected = theirs or ours
        if ours and expected and difference_px(peer_boxes.found.get(key, (0.0,) * 4), expected) > 0.001:
            reasons["NOT TAKEN FROM THE DEVKIT"].add(
                key, difference_px(peer_boxes.found.get(key, (0.0,) * 4), expected)
            )
    print(f"boxes: {len(own_boxes.found)} of the own reader, {len(given)} of the devkit")
    for name, difference in reasons.items():
        print(f"  {name}: {difference.count}, at most {difference.largest_px:.3f} px")
        if name != "equal":
            print("".join(f"    {place}\n" for place in difference.places), end="")
    unclear = len(own_boxes.unclear | peer_boxes.unclear)
    print(f"  not the same in all samples: {unclear}")
    unexplained = reasons["WITHOUT A REASON"].count + reasons["NOT TAKEN FROM THE DEVKIT"].count
    # A world in which nothing crosses the plane of a camera would show nothing.
    return unexplained + unclear + (reasons["corners behind the camera"].count == 0) + (reasons["equal"].count == 0)


def reason(ours: Box | None, theirs: Box | None, shown_px: float, behind: bool) -> str:
    """Say why two boxes differ."""
    if theirs is None:
        return "the devkit gives none" if behind else "WITHOUT A REASON"
    if ours is None:
        return "corners behind the camera, the devkit gives one where nothing is seen" if behind else "WITHOUT A REASON"
    if shown_px <= SAME_PX:
        return "equal"
    return "corners behind the camera" if behind else "WITHOUT A REASON"


def difference_px(first: Box | tuple[float, ...], second: Box) -> float:
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def devkits_boxes(devkit: Any) -> Iterator[tuple[BoxKey, Box]]:
    """Yield the devkit's own boxes that have an area."""
    for scene in read_scenes(devkit, devkit_boxes(devkit), sweeps=False):
        for frame in scene.frames:
            for view, boxes in (frame.peer_boxes_px or {}).items():
                for instance, box in boxes.items():
                    if min(box[2] - box[0], box[3] - box[1]) > 0.0005:
                        yield (frame_name(scene.name, frame.index), f"{instance}/{view}"), box


class World:
    """Tells which things reach behind a camera, straight from the tables: the generated world is flat and level."""

    def __init__(self, root: Path) -> None:
        def rows(table: str) -> list[dict[str, Any]]:
            return list(json.loads((root / VERSION / f"{table}.json").read_text()))

        scenes = {row["token"]: row["name"] for row in rows("scene")}
        samples: dict[str, list[tuple[int, str]]] = {}
        for row in rows("sample"):
            samples.setdefault(row["scene_token"], []).append((row["timestamp"], row["token"]))
        self._names = {
            token: frame_name(scenes[scene], index)
            for scene, frames in samples.items()
            for index, (_, token) in enumerate(sorted(frames))
        }
        poses = {row["token"]: row for row in rows("ego_pose")}
        mountings = {row["token"]: row for row in rows("calibrated_sensor")}
        channels = {row["token"]: row["channel"] for row in rows("sensor")}
        self._annotations = {
            (self._names[row["sample_token"]], row["instance_token"]): row for row in rows("sample_annotation")
        }
        self._eyes: dict[tuple[str, str], tuple[float, float, float]] = {}
        for row in rows("sample_data"):
            if row["is_key_frame"]:
                pose, mounting = poses[row["ego_pose_token"]], mountings[row["calibrated_sensor_token"]]
                view = channels[mounting["sensor_token"]].removeprefix("CAM_")
                self._eyes[self._names[row["sample_token"]], view] = eye(pose, mounting)

    def reaches_behind(self, frame: str, thing: str) -> bool:
        """Say whether a corner lies nearer to the plane of the camera than anything is projected from."""
        instance, view = thing.split("/")
        row, (x_m, y_m, yaw_rad) = self._annotations[frame, instance], self._eyes[frame, view]
        width_m, length_m, _ = row["size"]
        turned_rad = yaw(row["rotation"])
        for along_m in (-length_m / 2, length_m / 2):
            for across_m in (-width_m / 2, width_m / 2):
                corner_x_m = row["translation"][0] + math.cos(turned_rad) * along_m - math.sin(turned_rad) * across_m
                corner_y_m = row["translation"][1] + math.sin(turned_rad) * along_m + math.cos(turned_rad) * across_m
                if math.cos(yaw_rad) * (corner_x_m - x_m) + math.sin(yaw_rad) * (corner_y_m - y_m) < NEAR_PLANE_M:
                    return True
        return False


def eye(pose: dict[str, Any], mounting: dict[str, Any]) -> tuple[float, float, float]:
    """Return where a level camera is and looks in the ground plane."""
    yaw_rad = yaw(pose["rotation"])
    ahead_m, left_m, _ = mounting["translation"]
    x_m = pose["translation"][0] + math.cos(yaw_rad) * ahead_m - math.sin(yaw_rad) * left_m
    y_m = pose["translation"][1] + math.sin(yaw_rad) * ahead_m + math.cos(yaw_rad) * left_m
    # A camera that looks ahead is turned by (0.5, -0.5, 0.5, -0.5); turned further by a yaw, w and z tell how far.
    w, _, _, z = mounting["rotation"]
    return x_m, y_m, yaw_rad + 2 * math.atan2(w + z, w - z)


def yaw(rotation: list[float]) -> float:
    """Return the heading of a level pose."""
    w, _, _, z = rotation
    return 2 * math.atan2(z, w)


if __name__ == "__main__":
    sys.exit(main())
