"""What a scene is once its tables are joined: key frames with the images of all cameras and the cuboids of all things.

Plain records that pack to bytes (msgspec); the index on disk holds one packed :class:`Scene` a scene. Translations are
in metres, rotations are quaternions (w, x, y, z), timestamps are in microseconds (nuscenes-devkit,
docs/schema_nuscenes.md).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

Vector3: TypeAlias = tuple[float, float, float]
Quaternion: TypeAlias = tuple[float, float, float, float]


class Pose(msgspec.Struct, frozen=True, array_like=True):
    """Where a frame of coordinates lies in the one that it is mounted in."""

    translation_m: Vector3
    rotation_wxyz: Quaternion


class Camera(msgspec.Struct, frozen=True, array_like=True):
    """A camera: its channel, how it is mounted on the vehicle, and its 3x3 matrix in pixels."""

    channel: str
    mounting: Pose
    intrinsic: tuple[Vector3, Vector3, Vector3]


class Shot(msgspec.Struct, frozen=True, array_like=True):
    """One image of one camera, with the vehicle's pose at that moment: cameras of a rig do not fire together.

    Attributes:
        token: Its token in ``sample_data``.
        view: The camera's view, such as ``"FRONT"``.
        camera: Index into the scene's cameras.
        filename: Its file, relative to the data root.
        timestamp_us: When it was taken.
        width_px: Width of the image, from the table.
        height_px: Height of the image, from the table.
        ego: The vehicle's pose when it was taken.
    """

    token: str
    view: str
    camera: int
    filename: str
    timestamp_us: int
    width_px: int
    height_px: int
    ego: Pose


class Cuboid(msgspec.Struct, frozen=True, array_like=True):
    """One labelled thing in one key frame.

    Attributes:
        instance_token: The thing, the same in all frames of the scene.
        category: Its category, such as ``"vehicle.car"``.
        attributes: Names of its attributes, such as ``"vehicle.moving"``.
        visibility: How much of it all cameras together see, such as ``"v80-100"``; None where the tables do not say.
        center_m: Its centre in the global frame.
        size_wlh_m: Width, length and height.
        rotation_wxyz: Its rotation in the global frame.
        lidar_points: Lidar points in it; None where the tables do not say.
    """

    instance_token: str
    category: str
    attributes: tuple[str, ...]
    visibility: str | None
    center_m: Vector3
    size_wlh_m: Vector3
    rotation_wxyz: Quaternion
    lidar_points: int | None = None


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """A key frame.

    Attributes:
        index: Its place among all key frames of the scene in time, from 0; frames that did not join are counted.
        token: Its token in ``sample``.
        timestamp_us: Its time.
        shots: Its images, each of another view, in no particular order.
        cuboids: The things in it, sorted by instance.
        peer_boxes_px: Of each view the box of each instance, where a reader gives boxes of its own (the devkit's);
            None where they are to be projected.
    """

    index: int
    token: str
    timestamp_us: int
    shots: tuple[Shot, ...]
    cuboids: tuple[Cuboid, ...]
    peer_boxes_px: dict[str, dict[str, tuple[float, float, float, float]]] | None = None


class Scene(msgspec.Struct, frozen=True, array_like=True):
    """A drive of some seconds.

    Attributes:
        token: Its token.
        name: Its name, such as ``"scene-0061"``; unique in the data set.
        description: What the table says happens; empty where it says nothing.
        log: Name of the log file that it was cut from, or the log's token where there is no table of logs.
        location: Where it was driven, such as ``"singapore-onenorth"``; None where the tables do not say.
        cameras: The cameras of its images.
        frames: Its key frames in time; those that could not be joined are missing.
        sweeps: All images of all cameras in time, key frames too; empty where the index was made without sweeps.
    """

    token: str
    name: str
    description: str
    log: str
    location: str | None
    cameras: tuple[Camera, ...]
    frames: tuple[Frame, ...]
    sweeps: tuple[Shot, ...] = ()


def frame_name(scene: str, index: int) -> str:
    """Name a key frame, in sample ids and rejects."""
    return f"{scene}/{index:04d}"
