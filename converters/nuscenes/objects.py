"""What is to be seen in the images of a key frame: its cuboids, projected into each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from domainvl.schema import Box, Object

from ..driving.arrays import FloatArray, IndexArray
from ..driving.occlusion import contain_camera, occluded_fractions
from ..driving.projection import box_corners, into_frame, project_cuboids, rotation_matrices
from ..driving.tracks import Place, motion_of, says_motion, speeds_m_s
from .labels import STANDING, label_of
from .scenes import Cuboid, Frame, Scene, Shot
from .settings import NuscenesSettings

_BARELY_VISIBLE = ("v0-40", "none")
"""Levels, over all cameras, at which a thing is too hidden to be asked about: of nuScenes (docs/schema_nuscenes.md,
``visibility``) and of T4 ("Object is not visible"; t4-devkit, tests/sample/t4dataset, visibility.json)."""

_SEEN_SHARE = 0.1
"""From this share of the image on, a thing is seen well however little of it is inside; ours. It is as much as a car
4.5 m long and 1.5 m high covers from its side, 8.7 m away, in the front camera of nuScenes (1600x900 px, focal length
1266 px)."""


@dataclass(frozen=True)
class BoxRules:
    """From when on a thing in an image is asked about; what falls short is kept, but ignored.

    So is, by whatever rules, a cuboid that contains the camera: it is the vehicle's own or too large.

    Attributes:
        min_visible: Smallest share of it inside the image, by solid angle; a thing that is large in the image needs
            none, such as the truck beside the car, of which most lies beside the image.
        max_occluded: Largest share of it that nearer things hide.
        min_side_px: Smallest shorter side of its box.
        min_lidar_points: Fewest lidar points in it, where they are counted.
        max_distance_m: Largest distance from the vehicle; None for no limit.
    """

    min_visible: float = 0.3
    max_occluded: float = 0.7
    min_side_px: float = 8.0
    min_lidar_points: int = 0
    max_distance_m: float | None = None

    @classmethod
    def from_settings(cls, settings: NuscenesSettings) -> BoxRules:
        """Take the rules from the settings of a conversion."""
        return cls(
            settings.min_visible,
            settings.max_occluded,
            settings.min_side_px,
            settings.min_lidar_points,
            settings.max_distance_m,
        )


def speeds_of(scene: Scene) -> dict[int, dict[str, float]]:
    """Return the speed of each thing in each key frame, in m/s, by the frame's index and the thing's instance.

    What is not known is not there: nothing is NaN.
    """
    tracks: dict[str, list[tuple[int, Place]]] = defaultdict(list)
    for frame in scene.frames:
        for cuboid in frame.cuboids:
            tracks[cuboid.instance_token].append((frame.index, (frame.timestamp_us, cuboid.center_m)))
    speeds: dict[int, dict[str, float]] = {frame.index: {} for frame in scene.frames}
    for instance, track in tracks.items():
        for (index, _), speed_m_s in zip(track, speeds_m_s([place for _, place in track]), strict=True):
            if speed_m_s is not None:
                speeds[index][instance] = speed_m_s
    return speeds


def objects_of(
    scene: Scene, frame: Frame, shots: Sequence[Shot], rules: BoxRules, speeds: Mapping[int, Mapping[str, float]]
) -> list[Object]:
    """Project the cuboids of a frame into images of it, by the pose and calibration of each image.

    A thing that two images show becomes two objects, ``<instance token>/<view>``. Where a reader gives boxes of its
    own (``frame.peer_boxes_px``), they replace the projected ones; whether a thing is asked about, and everything
    else, still follows from the projection.

    Args:
        scene: The scene, for its cameras.
        frame: The key frame.
        shots: The images, in the order in which samples show them.
        rules: From when on a thing is asked about.
        speeds: What :func:`speeds_of` says of the scene.

    Returns:
        Objects by image, then by instance as the frame sorts them.
    """
    if not frame.cuboids or not shots:
        return []
    sight = _look(scene, frame, shots)
    known = speeds.get(frame.index, {})
    facts = [_facts_of(cuboid, known.get(cuboid.instance_token)) for cuboid in frame.cuboids]
    labels = [label_of(cuboid.category) for cuboid in frame.cuboids]
    peers = frame.peer_boxes_px or {}
    objects: list[Object] = []
    for image, thing, box, visible, large, truncated, around, occluded, (
        distance_m,
        bearing_deg,
        depth_m,
    ) in sight.rows():
        cuboid, view = frame.cuboids[thing], shots[image].view
        shorter_side_px = min(box[2] - box[0], box[3] - box[1])
        if shorter_side_px <= 0:
            continue
        ignore = (
            around
            or (visible < rules.min_visible and not large)
            or occluded > rules.max_occluded
            or shorter_side_px < rules.min_side_px
            or cuboid.visibility in _BARELY_VISIBLE
            or (cuboid.lidar_points is not None and cuboid.lidar_points < rules.min_lidar_points)
            or (rules.max_distance_m is not None and distance_m > rules.max_distance_m)
        )
        places = {
            "distance_m": distance_m,
            "depth_m": depth_m,
            "bearing_deg": bearing_deg,
            "occluded_fraction": occluded,
        }
        objects.append(
            Object(
                id=f"{cuboid.instance_token}/{view}",
                label=labels[thing],
                image=image,
                box_px=_peer_box(peers.get(view, {}).get(cuboid.instance_token)) or box,
                visible_fraction=visible,
                truncated=truncated,
                ignore=ignore,
                attributes={**facts[thing], **places},
            )
        )
    return objects


@dataclass(frozen=True)
class _Sight:
    """Which image shows which thing, and where; one row for each pair of them."""

    images: IndexArray
    things: IndexArray
    boxes_px: FloatArray
    visible: FloatArray
    large: npt.NDArray[np.bool_]
    """Whether it covers much of the image, of those that a border cuts."""
    truncated: npt.NDArray[np.bool_]
    around: npt.NDArray[np.bool_]
    """Whether it contains the camera."""
    occluded: FloatArray
    places: FloatArray
    """Distance and bearing from the vehicle, and depth from the camera, shape (n, 3)."""

    def rows(self) -> zip[tuple[int, int, Box, float, bool, bool, bool, float, tuple[float, float, float]]]:
        """Return the rows as Python values, rounded, so that no last bit of a machine's arithmetic shows."""
        return zip(
            self.images.tolist(),
            self.things.tolist(),
            map(tuple, self.boxes_px.round(3).tolist()),
            self.visible.round(4).tolist(),
            self.large.tolist(),
            self.truncated.tolist(),
            self.around.tolist(),
            self.occluded.round(2).tolist(),
            map(tuple, self.places.round(2).tolist()),
            strict=True,
        )


def _look(scene: Scene, frame: Frame, shots: Sequence[Shot]) -> _Sight:
    """Project all cuboids into all images at once: numpy's cost is by call here, not by number."""
    cameras = [scene.cameras[shot.camera] for shot in shots]
    count, shot_count = len(frame.cuboids), len(shots)
    rotations = rotation_matrices(
        np.array(
            [cuboid.rotation_wxyz for cuboid in frame.cuboids]
            + [shot.ego.rotation_wxyz for shot in shots]
            + [camera.mounting.rotation_wxyz for camera in cameras]
        )
    )
    own, of_vehicle, of_camera = np.split(rotations, [count, count + shot_count])
    centers_m = np.array([cuboid.center_m for cuboid in frame.cuboids])
    corners_m = box_corners(centers_m, np.array([cuboid.size_wlh_m for cuboid in frame.cuboids]), own)
    points_m = np.concatenate([centers_m[:, None], corners_m], axis=1).reshape(1, count * 9, 3)
    vehicle_m = np.array([shot.ego.translation_m for shot in shots])
    in_vehicle_m = into_frame(points_m, vehicle_m[:, None], of_vehicle)
    mounting_m = np.array([camera.mounting.translation_m for camera in cameras])
    in_camera_m = into_frame(in_vehicle_m, mounting_m[:, None], of_camera).reshape(-1, 9, 3)
    places = np.empty((shot_count * count, 3))
    x_m, y_m = in_vehicle_m[:, ::9, 0].ravel(), in_vehicle_m[:, ::9, 1].ravel()
    places[:, 0] = np.hypot(x_m, y_m)
    places[:, 1] = np.degrees(np.arctan2(y_m, x_m))
    places[:, 2] = in_camera_m[:, 0, 2]
    intrinsics = np.array([camera.intrinsic for camera in cameras], dtype=np.float64).repeat(count, axis=0)
    boxes = project_cuboids(
        in_camera_m[:, 1:],
        intrinsics,
        width_px=np.array([shot.width_px for shot in shots]).repeat(count),
        height_px=np.array([shot.height_px for shot in shots]).repeat(count),
    )
    seen = np.flatnonzero(boxes.seen)
    images, boxes_px = seen // count, boxes.boxes_px[seen]
    occluded = occluded_fractions(in_camera_m[seen, 1:], boxes_px, images, intrinsics[seen])
    return _Sight(
        images,
        seen % count,
        boxes_px,
        boxes.visible_fraction[seen],
        boxes.image_share[seen] >= _SEEN_SHARE,
        boxes.truncated[seen],
        contain_camera(in_camera_m[seen, 1:]),
        occluded,
        places[seen],
    )


def _facts_of(cuboid: Cuboid, speed_m_s: float | None) -> dict[str, JsonValue]:
    """Return what is known of a thing whichever image shows it."""
    facts: dict[str, JsonValue] = {"category": cuboid.category, "box_source": "3d-projection"}
    if speed_m_s is not None:
        facts["speed_m_s"] = round(speed_m_s, 2)
    motion = motion_of(cuboid.attributes, speed_m_s)
    if motion is not None and label_of(cuboid.category) not in STANDING:
        facts["motion"] = motion
    if cuboid.attributes:
        facts["attribute"] = next(filter(says_motion, cuboid.attributes), cuboid.attributes[0])
    if cuboid.visibility is not None:
        facts["visibility"] = cuboid.visibility
    if cuboid.lidar_points is not None:
        facts["lidar_points"] = cuboid.lidar_points
    return facts


def _peer_box(box_px: Box | None) -> Box | None:
    """Round a box that a reader gives; None where there is none or it has no area."""
    if box_px is None:
        return None
    x_min, y_min, x_max, y_max = (round(value, 3) for value in box_px)
    return (x_min, y_min, x_max, y_max) if x_min < x_max and y_min < y_max else None
