"""Draws what a camera of the generated world sees: sky, trees, a road, and things as shaded solids."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from .world import HORIZON_PX, IMAGE_HEIGHT_PX, IMAGE_WIDTH_PX, Camera, FloatArray, Pose, Scene, Thing

Colour: TypeAlias = tuple[int, int, int]
Span: TypeAlias = tuple[float, float]

_OVERSAMPLING = 2
_NOISE_MARGIN_PX = 64
_ROAD_HALF_WIDTH_M = 5.5
_LINE_HALF_WIDTH_M = 0.15
_DASH_LENGTH_M = 3.0
_FARTHEST_GROUND_M = 80.0
_TALLEST_TREE_PX = 14
_NEAREST_DRAWN_M = 0.05
"""Solids are cut at this depth: what is nearer, or beside and behind the camera, has no place in a picture."""

_TYRE: Colour = (28, 28, 30)


@dataclass(frozen=True)
class _Block:
    """A part of a solid: spans of length, width and height as shares of the cuboid, and how far the top tapers."""

    length: Span
    width: Span
    height: Span
    colour: Colour
    taper: float = 1.0


_SOLIDS: dict[str, tuple[_Block, ...]] = {
    "vehicle.car": (
        _Block((-0.5, 0.5), (-0.5, 0.5), (0.0, 0.16), _TYRE),
        _Block((-0.5, 0.5), (-0.5, 0.5), (0.16, 0.58), (215, 22, 28)),
        _Block((-0.36, 0.26), (-0.46, 0.46), (0.58, 1.0), (150, 14, 24)),
    ),
    "vehicle.truck": (
        _Block((-0.5, 0.5), (-0.5, 0.5), (0.0, 0.14), _TYRE),
        _Block((-0.5, 0.24), (-0.5, 0.5), (0.14, 1.0), (36, 66, 205)),
        _Block((0.24, 0.5), (-0.5, 0.5), (0.14, 1.0), (232, 232, 236)),
    ),
    "human.pedestrian.adult": (
        _Block((-0.3, 0.3), (-0.3, 0.3), (0.0, 0.45), (120, 16, 130)),
        _Block((-0.5, 0.5), (-0.5, 0.5), (0.45, 0.84), (232, 40, 205)),
        _Block((-0.2, 0.2), (-0.2, 0.2), (0.84, 1.0), (238, 190, 160)),
    ),
    "movable_object.trafficcone": (
        _Block((-0.5, 0.5), (-0.5, 0.5), (0.0, 0.08), (240, 130, 0)),
        _Block((-0.42, 0.42), (-0.42, 0.42), (0.08, 0.45), (255, 150, 0), 0.62),
        _Block((-0.26, 0.26), (-0.26, 0.26), (0.45, 0.65), (250, 240, 225), 0.62),
        _Block((-0.16, 0.16), (-0.16, 0.16), (0.65, 1.0), (255, 150, 0), 0.1),
    ),
}


class SceneLook:
    """The light and texture of a scene.

    Args:
        scene: The scene; its ``look`` decides.
    """

    def __init__(self, scene: Scene) -> None:
        rng = random.Random(scene.look)
        self._road = scene.drive.start
        self.brightness = rng.uniform(0.78, 1.08)
        azimuth_rad = rng.uniform(-math.pi, math.pi)
        self.light_axes = np.array([[math.cos(azimuth_rad), 0.0], [math.sin(azimuth_rad), 0.0], [0.0, 1.0]])
        grey = rng.uniform(0.0, 1.0)
        self._sky = _mix((96, 156, 226), (176, 182, 190), grey)
        self._haze = _mix((198, 222, 240), (214, 214, 214), grey)
        self._ground = _mix((92, 118, 64), (138, 126, 96), rng.random())
        self._asphalt = _mix((86, 86, 90), (112, 110, 108), rng.random())
        self._trees = _mix((44, 70, 44), (74, 80, 62), rng.random())
        self._phases = [rng.uniform(0.0, 2 * math.pi) for _ in range(3)]
        shape = (IMAGE_HEIGHT_PX + _NOISE_MARGIN_PX, IMAGE_WIDTH_PX + _NOISE_MARGIN_PX, 1)
        self._noise = np.random.default_rng(scene.look).normal(0.0, 4.5, shape).astype(np.float32)

    def background(self, camera: Camera, eye: Pose) -> npt.NDArray[np.uint8]:
        """Return the view without things, shape (height, width, 3)."""
        picture = np.empty((IMAGE_HEIGHT_PX, IMAGE_WIDTH_PX, 3), dtype=np.float32)
        horizon = int(HORIZON_PX)
        picture[:horizon] = self._above(camera, eye, horizon)
        picture[horizon:] = self._below(camera, eye, horizon)
        left, top = int(abs(eye.x_m) * 37) % _NOISE_MARGIN_PX, int(abs(eye.y_m) * 41) % _NOISE_MARGIN_PX
        picture *= self.brightness
        picture += self._noise[top : top + IMAGE_HEIGHT_PX, left : left + IMAGE_WIDTH_PX]
        return np.clip(picture, 0, 255).astype(np.uint8)

    def _above(self, camera: Camera, eye: Pose, horizon: int) -> npt.NDArray[np.float32]:
        height = np.linspace(0.0, 1.0, horizon, dtype=np.float32)[:, None, None]
        above = np.repeat(self._sky + height * (self._haze - self._sky), IMAGE_WIDTH_PX, axis=1)
        azimuth_rad = eye.yaw_rad - np.arctan((np.arange(IMAGE_WIDTH_PX) + 0.5 - IMAGE_WIDTH_PX / 2) / camera.focal_px)
        waves = [
            np.sin(azimuth_rad * rate + phase) for rate, phase in zip((5.0, 13.0, 31.0), self._phases, strict=True)
        ]
        tree_px = 7.0 + 3.0 * waves[0] + 2.0 * waves[1] + waves[2]
        lowest = above[-_TALLEST_TREE_PX:]
        rows_up_px = np.arange(_TALLEST_TREE_PX, 0, -1) - 0.5
        lowest[rows_up_px[:, None] < tree_px] = self._trees
        return above

    def _below(self, camera: Camera, eye: Pose, horizon: int) -> npt.NDArray[np.float32]:
        rows_px = np.arange(horizon, IMAGE_HEIGHT_PX, dtype=np.float32)[:, None] + 0.5 - HORIZON_PX
        depth_m = camera.focal_px * camera.z_m / rows_px
        right_m = (np.arange(IMAGE_WIDTH_PX, dtype=np.float32) + 0.5 - IMAGE_WIDTH_PX / 2) / camera.focal_px * depth_m
        turn_rad = eye.yaw_rad - self._road.yaw_rad
        cos, sin = math.cos(self._road.yaw_rad), math.sin(self._road.yaw_rad)
        x_m, y_m = eye.x_m - self._road.x_m, eye.y_m - self._road.y_m
        along_m = cos * x_m + sin * y_m + math.cos(turn_rad) * depth_m + math.sin(turn_rad) * right_m
        off_centre_m = np.abs(
            cos * y_m - sin * x_m + math.sin(turn_rad) * depth_m - math.cos(turn_rad) * right_m, dtype=np.float32
        )
        dash = along_m / (2 * _DASH_LENGTH_M)
        painted = np.where(off_centre_m < _LINE_HALF_WIDTH_M, dash - np.floor(dash) < 0.5, False)
        painted |= np.abs(off_centre_m - (_ROAD_HALF_WIDTH_M - 0.5)) < _LINE_HALF_WIDTH_M
        surface = np.where(painted, 2, off_centre_m < _ROAD_HALF_WIDTH_M)
        below = np.stack([self._ground, self._asphalt, np.full(3, 205.0, np.float32)])[surface]
        haze = np.clip(depth_m / _FARTHEST_GROUND_M, 0.0, 0.6)[..., None]
        below *= 1 - haze
        below += haze * self._haze
        return below


def render(camera: Camera, eye: Pose, things: Sequence[Thing], look: SceneLook) -> Image.Image:
    """Draw one view.

    Args:
        camera: The camera.
        eye: Where it is and looks.
        things: What stands about.
        look: The scene's light and texture.

    Returns:
        An RGB picture of 320x180 px.
    """
    picture = Image.fromarray(look.background(camera, eye))
    in_view = [thing for thing in things if not _is_beside(camera, eye, thing)]
    if not in_view:
        return picture
    # Solids are drawn larger and reduced, so that their outlines fall between pixels.
    canvas = picture.resize((IMAGE_WIDTH_PX * _OVERSAMPLING, IMAGE_HEIGHT_PX * _OVERSAMPLING), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(canvas)
    for thing in sorted(in_view, key=lambda thing: -math.hypot(thing.x_m - eye.x_m, thing.y_m - eye.y_m)):
        _draw_thing(draw, camera, eye, thing, look)
    return canvas.reduce(_OVERSAMPLING)


def _is_beside(camera: Camera, eye: Pose, thing: Thing) -> bool:
    """Say whether a thing is surely out of view, judged by the ball around it."""
    forward_m = math.cos(eye.yaw_rad) * (thing.x_m - eye.x_m) + math.sin(eye.yaw_rad) * (thing.y_m - eye.y_m)
    right_m = math.sin(eye.yaw_rad) * (thing.x_m - eye.x_m) - math.cos(eye.yaw_rad) * (thing.y_m - eye.y_m)
    half_view_rad = math.atan(IMAGE_WIDTH_PX / 2 / camera.focal_px)
    beyond_edge_m = abs(right_m) * math.cos(half_view_rad) - forward_m * math.sin(half_view_rad)
    return beyond_edge_m > math.hypot(*thing.size_wlh_m[:2]) / 2


def _draw_thing(draw: ImageDraw.ImageDraw, camera: Camera, eye: Pose, thing: Thing, look: SceneLook) -> None:
    cos, sin = math.cos(eye.yaw_rad), math.sin(eye.yaw_rad)
    faces: list[tuple[float, list[tuple[float, float]], Colour]] = []
    for block in _SOLIDS[thing.kind.category]:
        corners_m = _block_corners(thing, block)
        x_m, y_m = corners_m[:, 0] - eye.x_m, corners_m[:, 1] - eye.y_m
        depth_m, right_m = x_m * cos + y_m * sin, x_m * sin - y_m * cos
        seen = np.stack([depth_m, right_m, camera.z_m - corners_m[:, 2]], axis=1)
        distances_m = np.sqrt((seen**2).sum(axis=1)).tolist()
        for face, colour in zip(_FACES, _shades(corners_m, block.colour, look), strict=True):
            outline = _outline_px(camera, seen[list(face)])
            if outline:
                faces.append((-sum(distances_m[corner] for corner in face), outline, colour))
    for _, outline, colour in sorted(faces, key=lambda face: face[0]):
        draw.polygon(outline, fill=colour)


def _outline_px(camera: Camera, corners_m: FloatArray) -> list[tuple[float, float]]:
    """Return where the corners of a face are on the larger canvas; few or none where it is cut.

    Args:
        camera: The camera.
        corners_m: Depth, way to the right and way down from the camera, in the order of the outline, shape (n, 3).
    """
    if corners_m[:, 0].min() < _NEAREST_DRAWN_M:
        corners_m = _cut(corners_m)
    columns = (IMAGE_WIDTH_PX / 2 + camera.focal_px * corners_m[:, 1] / corners_m[:, 0]) * _OVERSAMPLING - 0.5
    rows = (HORIZON_PX + camera.focal_px * corners_m[:, 2] / corners_m[:, 0]) * _OVERSAMPLING - 0.5
    return list(zip(columns.tolist(), rows.tolist(), strict=True))


def _cut(corners_m: FloatArray) -> FloatArray:
    """Cut a convex face at the nearest depth that is drawn, edge by edge (Sutherland and Hodgman 1974).

    Returns:
        The corners of what is left, shape (m, 3); none where all of it is nearer.
    """
    kept: list[FloatArray] = []
    for start, end in zip(corners_m, np.roll(corners_m, -1, axis=0), strict=True):
        if start[0] >= _NEAREST_DRAWN_M:
            kept.append(start)
        if (start[0] < _NEAREST_DRAWN_M) != (end[0] < _NEAREST_DRAWN_M):
            share = (_NEAREST_DRAWN_M - start[0]) / (end[0] - start[0])
            kept.append(start + share * (end - start))
    return np.array(kept).reshape(-1, 3)


_FACES = ((0, 1, 2, 3), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7))
"""Corner indices of the faces of a block: bottom, top, four sides."""


def _block_corners(thing: Thing, block: _Block) -> FloatArray:
    """Return the corners of a block in the global frame, bottom four first, shape (8, 3)."""
    width_m, length_m, height_m = thing.size_wlh_m
    taper = np.repeat([1.0, block.taper], 4)
    along = np.array([block.length[index] for index in (0, 1, 1, 0)] * 2) * taper * length_m
    across = np.array([block.width[index] for index in (0, 0, 1, 1)] * 2) * taper * width_m
    cos, sin = math.cos(thing.yaw_rad), math.sin(thing.yaw_rad)
    up = np.repeat(block.height, 4) * height_m
    return np.stack([thing.x_m + cos * along - sin * across, thing.y_m + sin * along + cos * across, up], axis=1)


def _shades(corners_m: FloatArray, colour: Colour, look: SceneLook) -> list[Colour]:
    """Return the colour of each face of a block: bright on top, and where a side looks along the light."""
    faces_m = corners_m[np.array(_FACES)]
    first, second = faces_m[:, 1] - faces_m[:, 0], faces_m[:, 3] - faces_m[:, 0]
    normals = first[:, [1, 2, 0]] * second[:, [2, 0, 1]] - first[:, [2, 0, 1]] * second[:, [1, 2, 0]]
    normals = np.abs(normals @ look.light_axes) / np.sqrt((normals**2).sum(axis=1, keepdims=True))
    factors = look.brightness * (0.74 + normals @ np.array([0.22, 0.26]))
    red, green, blue = colour
    return [(min(int(red * f), 255), min(int(green * f), 255), min(int(blue * f), 255)) for f in factors.tolist()]


def _mix(first: Colour, second: Colour, share: float) -> npt.NDArray[np.float32]:
    mixed: npt.NDArray[np.float32] = np.array(first, np.float32) * (1 - share) + np.array(second, np.float32) * share
    return mixed
