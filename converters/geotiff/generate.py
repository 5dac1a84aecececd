"""Generates scenes with known truth in the format of real ones: four Sentinel-2 bands and a GeoJSON of labels.

Fields with texture, noise and an illumination of their own carry four kinds of objects. A scene is made of four
quadrants, so that at ``tile_px=128`` each tile has its own small set of objects.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform as transform_coordinates

from domainvl.errors import UsageError

SCENE_PX = 256
QUADRANT_PX = 128
GSD_M = 10.0
LABELS_NAME = "labels.geojson"
CLASS_FIELD = "class"

_BANDS = ("B02", "B03", "B04", "B08")
_CRS = CRS.from_epsg(32633)
_LONLAT = CRS.from_epsg(4326)
_ORIGIN_M = (300_000.0, 5_700_000.0)
_SPACING_M = 3_000.0
_SCENES_A_ROW = 40
_LONLAT_DECIMALS = 7  # about a centimetre, a thousandth of a pixel
_MAX_SCENES = 4_000  # beyond, rows would leave the UTM zone's usual latitudes

# Digital numbers of B02, B03, B04, B08: reflectance times 10000, the scale of Sentinel-2 Level-2A products.
_CROP_DN = (750.0, 1500.0, 900.0, 3300.0)
_SOIL_DN = (1150.0, 1650.0, 2150.0, 2500.0)
_NOISE_DN = 60.0
_STRIPE_DN = 110.0
_OBJECT_NOISE_DN = 40.0

_Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Look:
    """How a class looks: digital numbers, whether its outline is round, and the ratio of its sides."""

    dn: tuple[float, float, float, float]
    round: bool
    min_ratio: float


_LOOKS = {
    "brickfield": _Look((650.0, 1350.0, 3900.0, 3300.0), round=False, min_ratio=0.8),
    "greenhouse": _Look((4100.0, 4000.0, 1500.0, 2600.0), round=False, min_ratio=0.5),
    "pond": _Look((1500.0, 600.0, 300.0, 120.0), round=True, min_ratio=0.6),
    "storage tank": _Look((4600.0, 4600.0, 4600.0, 4700.0), round=True, min_ratio=1.0),
}
CLASSES = tuple(_LOOKS)

# How many objects of each class a quadrant has (the classes in random order) and how often. Of a class chosen at
# random there are 0, 1, 2 or 3 in about 53, 33, 9 and 5 of 100 quadrants.
_MIXES = (
    ((1, 1, 0, 0), 0.30),
    ((2, 1, 0, 0), 0.20),
    ((3, 1, 0, 0), 0.14),
    ((1, 1, 1, 0), 0.10),
    ((1, 0, 0, 0), 0.08),
    ((2, 2, 0, 0), 0.08),
    ((3, 0, 0, 0), 0.07),
    ((0, 0, 0, 0), 0.03),
)
_MIN_SIDE_PX = 30.0
_MAX_SIDE_PX = 60.0
_GAP_PX = 3.0
_STICK_OUT_SHARE = 0.08
_STICK_OUT_PX = 5.0
_TRIES = 60
_SHRINK = 0.9


@dataclass(frozen=True)
class _Thing:
    """One object: class, centre and sides in pixels of the scene."""

    name: str
    x_px: float
    y_px: float
    width_px: float
    height_px: float

    def outline(self) -> _Floats:
        """Return its corners, shape (n, 2), clockwise on screen."""
        if _LOOKS[self.name].round:
            angles = np.linspace(0.0, 2.0 * math.pi, 32, endpoint=False)
            offsets = np.column_stack([np.cos(angles), np.sin(angles)])
        else:
            offsets = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
        return offsets * (self.width_px / 2, self.height_px / 2) + (self.x_px, self.y_px)


def generate_scenes(out: Path, *, scene_count: int, seed: int) -> None:
    """Write ``scene_0000.tif`` and so on, and ``labels.geojson`` with their objects in longitude and latitude.

    Args:
        out: Folder, made where it is missing.
        scene_count: Number of scenes, 1 to 4000.
        seed: Equal seeds give equal files; the first scenes do not depend on how many follow.

    Raises:
        UsageError: If ``scene_count`` is out of range.
    """
    if not 1 <= scene_count <= _MAX_SCENES:
        raise UsageError("Cannot generate scenes", rule=f"scene_count must be 1 to {_MAX_SCENES}, got {scene_count}")
    out.mkdir(parents=True, exist_ok=True)
    features: list[dict[str, Any]] = []
    with rasterio.Env():
        for index in range(scene_count):
            rng = np.random.default_rng([seed, index])
            things = _place_things(rng)
            left_m = _ORIGIN_M[0] + index % _SCENES_A_ROW * _SPACING_M
            top_m = _ORIGIN_M[1] - index // _SCENES_A_ROW * _SPACING_M
            _write_scene(out / f"scene_{index:04d}.tif", _render(rng, things), left_m, top_m)
            features += _features(things, left_m, top_m)
    collection = {"type": "FeatureCollection", "features": features}
    (out / LABELS_NAME).write_text(json.dumps(collection, separators=(",", ":")) + "\n", encoding="utf-8")


def _place_things(rng: np.random.Generator) -> list[_Thing]:
    things: list[_Thing] = []
    for quadrant, (x_px, y_px) in enumerate([(0, 0), (QUADRANT_PX, 0), (0, QUADRANT_PX), (QUADRANT_PX, QUADRANT_PX)]):
        # The last mix is empty; the first quadrant has another, because a scene without labels is no scene.
        mixes = _MIXES if quadrant else _MIXES[:-1]
        weights = np.array([weight for _, weight in mixes])
        counts = mixes[rng.choice(len(mixes), p=weights / weights.sum())][0]
        names = [name for name, count in zip(rng.permutation(CLASSES), counts, strict=True) for _ in range(count)]
        things += _place_in_quadrant(rng, [str(name) for name in names], x_px, y_px, things)
    return things


def _place_in_quadrant(
    rng: np.random.Generator, names: Sequence[str], x_px: int, y_px: int, others: Sequence[_Thing]
) -> list[_Thing]:
    """Place objects without overlap; where they do not fit, all are placed again, a little smaller."""
    max_side_px = _MAX_SIDE_PX
    while True:
        placed: list[_Thing] = []
        for name in names:
            thing = _place(rng, name, x_px, y_px, max_side_px, [*others, *placed])
            if thing is None:
                break
            placed.append(thing)
        if len(placed) == len(names):
            return placed
        max_side_px = max(max_side_px * _SHRINK, _MIN_SIDE_PX)


def _place(
    rng: np.random.Generator, name: str, x_px: int, y_px: int, max_side_px: float, others: Sequence[_Thing]
) -> _Thing | None:
    long_px = rng.uniform(_MIN_SIDE_PX, max_side_px)
    short_px = max(long_px * rng.uniform(_LOOKS[name].min_ratio, 1.0), _MIN_SIDE_PX)
    width_px, height_px = (long_px, short_px) if rng.random() < 0.5 else (short_px, long_px)
    # A few pass the border of their quadrant: real tiles cut objects too.
    margin_px = -_STICK_OUT_PX if rng.random() < _STICK_OUT_SHARE else 1.0
    free_px = (QUADRANT_PX - 2 * margin_px - width_px, QUADRANT_PX - 2 * margin_px - height_px)
    for draw_x, draw_y in rng.random((_TRIES, 2)).tolist():
        thing = _Thing(
            name,
            x_px + margin_px + width_px / 2 + draw_x * free_px[0],
            y_px + margin_px + height_px / 2 + draw_y * free_px[1],
            width_px,
            height_px,
        )
        if not any(_too_close(thing, other) for other in others):
            return thing
    return None


def _too_close(one: _Thing, other: _Thing) -> bool:
    gap_x_px = abs(one.x_px - other.x_px) - (one.width_px + other.width_px) / 2
    gap_y_px = abs(one.y_px - other.y_px) - (one.height_px + other.height_px) / 2
    return max(gap_x_px, gap_y_px) < _GAP_PX


def _render(rng: np.random.Generator, things: Sequence[_Thing]) -> npt.NDArray[np.uint16]:
    """Draw a scene: digital numbers of shape (4, 256, 256), never 0, which is nodata."""
    scene = _background(rng)
    for thing in things:
        _draw(rng, scene, thing)
    scene *= np.float32(rng.uniform(0.8, 1.15))
    return np.clip(scene, 1.0, 10_000.0).astype(np.uint16)


def _background(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Draw fields between random borders, each between crop and soil, with stripes of its own direction."""
    axis = np.arange(SCENE_PX)
    columns = np.searchsorted(np.sort(rng.integers(20, SCENE_PX - 20, 4)), axis)
    rows = np.searchsorted(np.sort(rng.integers(20, SCENE_PX - 20, 4)), axis)
    field = (rows[:, np.newaxis], columns[np.newaxis, :])
    soil = rng.uniform(0.0, 1.0, (5, 5)).astype(np.float32)[field]
    waves = rng.uniform(0.3, 1.1, (5, 5)).astype(np.float32)[field]
    upright = rng.random((5, 5))[field] < 0.5
    stripes = np.sin(waves * np.where(upright, axis[np.newaxis, :], axis[:, np.newaxis]).astype(np.float32))
    texture = _STRIPE_DN * stripes + _NOISE_DN * rng.standard_normal((SCENE_PX, SCENE_PX), dtype=np.float32)
    crop_dn, soil_dn = (np.array(dn, dtype=np.float32)[:, np.newaxis, np.newaxis] for dn in (_CROP_DN, _SOIL_DN))
    scene: npt.NDArray[np.float32] = crop_dn + (soil_dn - crop_dn) * soil + texture.astype(np.float32)
    return scene


def _draw(rng: np.random.Generator, scene: npt.NDArray[np.float32], thing: _Thing) -> None:
    """Paint one object over the scene; pixels at its border are mixed by the share that it covers."""
    left_px = max(math.floor(thing.x_px - thing.width_px / 2) - 1, 0)
    right_px = min(math.ceil(thing.x_px + thing.width_px / 2) + 1, SCENE_PX)
    top_px = max(math.floor(thing.y_px - thing.height_px / 2) - 1, 0)
    bottom_px = min(math.ceil(thing.y_px + thing.height_px / 2) + 1, SCENE_PX)
    across_px = np.abs(np.arange(left_px, right_px) + 0.5 - thing.x_px)
    down_px = np.abs(np.arange(top_px, bottom_px) + 0.5 - thing.y_px)[:, np.newaxis]
    half_x_px, half_y_px = thing.width_px / 2, thing.height_px / 2
    look = _LOOKS[thing.name]
    if look.round:
        radius = np.hypot(across_px / half_x_px, down_px / half_y_px)
        cover = np.clip((1.0 - radius) * min(half_x_px, half_y_px) + 0.5, 0.0, 1.0)
    else:
        cover = np.clip(half_x_px - across_px + 0.5, 0.0, 1.0) * np.clip(half_y_px - down_px + 0.5, 0.0, 1.0)
    noise = _OBJECT_NOISE_DN * rng.standard_normal(cover.shape, dtype=np.float32)
    colour = np.array(look.dn, dtype=np.float32)[:, np.newaxis, np.newaxis] * np.float32(rng.uniform(0.92, 1.08))
    part = scene[:, top_px:bottom_px, left_px:right_px]
    part += (colour + noise - part) * cover.astype(np.float32)


def _write_scene(path: Path, pixels: npt.NDArray[np.uint16], left_m: float, top_m: float) -> None:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=SCENE_PX,
        height=SCENE_PX,
        count=len(_BANDS),
        dtype="uint16",
        crs=_CRS,
        transform=from_origin(left_m, top_m, GSD_M, GSD_M),
        nodata=0,
        tiled=True,
        blockxsize=QUADRANT_PX,
        blockysize=QUADRANT_PX,
        compress="deflate",
        predictor=2,
        zlevel=1,
    ) as dataset:
        dataset.descriptions = _BANDS
        dataset.write(pixels)


def _features(things: Sequence[_Thing], left_m: float, top_m: float) -> list[dict[str, Any]]:
    """Describe objects as GeoJSON; exterior rings run counter-clockwise, as RFC 7946 section 3.1.6 asks."""
    # The scene shows nothing outside itself, so what sticks out of it is not labelled either.
    outlines = [np.clip(thing.outline(), 0.0, SCENE_PX) for thing in things]
    corners = np.concatenate(outlines)
    lons, lats = transform_coordinates(_CRS, _LONLAT, left_m + corners[:, 0] * GSD_M, top_m - corners[:, 1] * GSD_M)
    points = [[round(lon, _LONLAT_DECIMALS), round(lat, _LONLAT_DECIMALS)] for lon, lat in zip(lons, lats, strict=True)]
    features = []
    start = 0
    for thing, outline in zip(things, outlines, strict=True):
        ring = points[start : start + len(outline)][::-1]
        start += len(outline)
        features.append(
            {
                "type": "Feature",
                "properties": {CLASS_FIELD: thing.name},
                "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
            }
        )
    return features
