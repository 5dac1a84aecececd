"""What is to be seen in the images of a key frame: its cuboids, projected into each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import JsonValue

from domainvl.schema import Object

from .labels import label_of
from .projection import FloatArray, ProjectedBox, box_corners, into_frame, project_cuboids, rotation_matrix
from .scenes import Cuboid, Frame, Shot
from .settings import NuscenesSettings

_BARELY_VISIBLE = ("v0-40", "none")
"""Levels, over all cameras, at which a thing is too hidden to be asked about: of nuScenes and of T4."""


def objects_of(frame: Frame, settings: NuscenesSettings) -> list[Object]:
    """Project the cuboids of a frame into each of its images, by the pose and calibration of that image.

    A thing that two images show becomes two objects, ``<instance token>/<view>``.
    """
    if not frame.cuboids:
        return []
    centers_m = np.array([cuboid.center_m for cuboid in frame.cuboids])
    sizes_m = np.array([cuboid.size_wlh_m for cuboid in frame.cuboids])
    rotations = np.stack([rotation_matrix(cuboid.rotation_wxyz) for cuboid in frame.cuboids])
    corners_m = box_corners(centers_m, sizes_m, rotations)
    points_m = np.concatenate([corners_m, centers_m[:, None, :]], axis=1)
    objects: list[Object] = []
    for index, shot in enumerate(frame.shots):
        boxes, distances_m = _seen_by(shot, points_m)
        for cuboid, box, distance_m in zip(frame.cuboids, boxes, distances_m, strict=True):
            thing = _to_object(cuboid, box, image=index, view=shot.view, distance_m=distance_m, settings=settings)
            if thing is not None:
                objects.append(thing)
    return objects


def _seen_by(shot: Shot, points_m: FloatArray) -> tuple[list[ProjectedBox | None], list[float]]:
    """Return the boxes in one image, and the distances of the centres from the camera.

    Args:
        shot: The image.
        points_m: Eight corners and the centre of each cuboid in the global frame, shape (n, 9, 3).
    """
    for pose in (shot.ego, shot.camera):
        points_m = into_frame(points_m, pose.translation, rotation_matrix(pose.rotation))
    boxes = project_cuboids(
        points_m[:, :8], np.array(shot.camera.camera_intrinsic), width_px=shot.width_px, height_px=shot.height_px
    )
    return boxes, np.linalg.norm(points_m[:, 8], axis=1).tolist()


def _to_object(
    cuboid: Cuboid,
    box: ProjectedBox | None,
    *,
    image: int,
    view: str,
    distance_m: float,
    settings: NuscenesSettings,
) -> Object | None:
    if box is None:
        return None
    # Rounded, so that the last bits of another machine's arithmetic do not show.
    x_min, y_min, x_max, y_max = (round(value, 3) for value in box.box_px)
    shorter_side_px = min(x_max - x_min, y_max - y_min)
    if shorter_side_px <= 0:
        return None
    attributes: dict[str, JsonValue] = {
        "category": cuboid.category,
        "distance_m": round(distance_m, 2),
        "box_source": "3d-projection",
    }
    if cuboid.visibility is not None:
        attributes["visibility"] = cuboid.visibility
    return Object(
        id=f"{cuboid.instance_token}/{view}",
        label=label_of(cuboid.category),
        image=image,
        box_px=(x_min, y_min, x_max, y_max),
        visible_fraction=round(box.visible_fraction, 4),
        truncated=box.truncated,
        ignore=box.visible_fraction < settings.min_visible
        or shorter_side_px < settings.min_side_px
        or cuboid.visibility in _BARELY_VISIBLE,
        attributes=attributes,
    )


def one_for_each_instance(objects: Sequence[Object]) -> list[Object]:
    """Keep one object a thing, a clear one where there is one: seen well in one view, the thing is known."""
    best: dict[str, Object] = {}
    for thing in objects:
        instance = thing.id.rsplit("/", 1)[0]
        if instance not in best or (best[instance].ignore and not thing.ignore):
            best[instance] = thing
    return list(best.values())
