"""Shows what it costs to bring 200,000 polygons to the tiles of a scene, beside a loop over shapely's intersection.

Makes a GeoPackage of random building-like polygons in longitude and latitude over a scene of 19 x 19 tiles of 512 px in
UTM, and prints CPU-seconds for each step: all at once, and by rows of tiles as the converter goes. Run as
``python tests/benchmarks/label_join.py [--polygons N]``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyogrio
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform as transform_coordinates
from shapely.affinity import translate

from domainvl.converters.geotiff.georeference import SceneGrid, StoredPixels
from domainvl.converters.geotiff.grid import Tile, plan_tiles
from domainvl.converters.geotiff.labels.placement import place_geometries
from domainvl.converters.geotiff.labels.vectors import (
    LabelReader,
    bounds_in_labels,
    look_at_vector_file,
    place_vector_labels,
)
from domainvl.converters.geotiff.objects import CutSettings, LabelIndex
from domainvl.schema import Object

TILE_PX = 512
TILES_A_SIDE = 19
GSD_M = 0.5
LOOP_SHARE = 50
"""One of so many polygons goes through the loop."""

# An L of unit size: corners of a building with a wing.
L_SHAPE = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.0), (0.1, 0.0), (0.1, 0.5), (-0.5, 0.5), (-0.5, -0.5)])
VALID = np.ones((TILE_PX, TILE_PX), dtype=bool)
SETTINGS = CutSettings()

_ResultT = TypeVar("_ResultT")


def scene_grid() -> SceneGrid:
    side_px = TILES_A_SIDE * TILE_PX
    crs, transform = CRS.from_epsg(32633), Affine(GSD_M, 0, 400_000, 0, -GSD_M, 5_600_000)
    stored = StoredPixels(side_px, side_px, crs, transform)
    return SceneGrid(side_px, side_px, crs, transform, stored, Affine.identity())


def write_buildings(path: Path, grid: SceneGrid, count: int) -> None:
    rng = np.random.default_rng(0)
    sides_px = rng.uniform(4, 20, (count, 2)) / GSD_M
    angle = rng.uniform(0, np.pi, count)[:, None]
    x, y = (L_SHAPE * sides_px[:, None]).transpose(2, 0, 1)
    middles_px = rng.uniform(0, grid.width_px, (count, 2))
    corners_px = np.stack(
        [
            x * np.cos(angle) - y * np.sin(angle) + middles_px[:, :1],
            x * np.sin(angle) + y * np.cos(angle) + middles_px[:, 1:],
        ],
        axis=-1,
    )
    on_map = grid.to_map(corners_px.reshape(-1, 2))
    lonlat = np.column_stack(transform_coordinates(grid.crs, "EPSG:4326", *on_map.T))
    names = np.array(["house", "barn", "shed"], dtype=object)[rng.integers(0, 3, count)]
    pyogrio.raw.write(
        path,
        shapely.to_wkb(shapely.polygons(lonlat.reshape(corners_px.shape))),
        [names, rng.uniform(2, 30, count)],
        ["class", "height_m"],
        driver="GPKG",
        crs="EPSG:4326",
        geometry_type="Polygon",
    )


def count_objects(index: LabelIndex, tiles: list[Tile]) -> int:
    return sum(len(index.objects_in(tile, VALID, settings=SETTINGS).objects) for tile in tiles)


def make_object() -> Object:
    corners = ((1.0, 2.0), (9.0, 2.0), (9.0, 5.0), (5.0, 5.0), (5.0, 8.0), (1.0, 8.0))
    return Object(id="7", label="house", box_px=(1, 2, 9, 8), polygons_px=(corners,), attributes={"height_m": 3.0})


def timed(what: str, work: Callable[[], _ResultT]) -> _ResultT:
    start_s = time.process_time()
    result = work()
    print(f"  {what:52}{time.process_time() - start_s:8.2f} CPU-s")
    return result


def all_at_once(path: Path, grid: SceneGrid) -> None:
    tiles = plan_tiles(grid.width_px, grid.height_px, tile_px=TILE_PX, overlap_px=0, edge="pad")
    file = look_at_vector_file(path, path.name, field="class", one_class=None, layer=None)
    box_px = (0.0, 0.0, float(grid.width_px), float(grid.height_px))
    around = [bounds_in_labels(file, grid, box_px)]
    found = timed("read (GeoPackage, by place)", lambda: LabelReader().read(file, around))
    crs = CRS.from_user_input(file.crs)
    timed("place (repair, reproject, to pixels)", lambda: place_geometries(found.geometries, crs, grid))
    labels, _ = timed("read and place as the converter calls it", lambda: place_vector_labels(file, grid, uri="s"))
    index = timed(f"join and clip, {len(tiles)} tiles", lambda: LabelIndex(labels, tiles))
    timed("the same, each label to its best tile", lambda: LabelIndex(labels, tiles, assign="best"))
    count = timed("objects of all tiles, one tile after the other", lambda: count_objects(index, tiles))
    timed(f"  of that the model, for {count} objects", lambda: [make_object() for _ in range(count)].clear())
    sample = labels.rows(np.arange(0, len(labels), LOOP_SHARE))
    start_s = time.process_time()
    for tile in tiles:
        frame = shapely.box(tile.x_px, tile.y_px, tile.x_px + tile.width_px, tile.y_px + tile.height_px)
        for area in sample.areas_px:
            if area.intersects(frame):
                translate(area.intersection(frame), -tile.x_px, -tile.y_px)
    loop_s = (time.process_time() - start_s) * LOOP_SHARE
    print(f"  {'join and clip by a loop over shapely, extrapolated':52}{loop_s:8.2f} CPU-s")


def by_rows(path: Path, grid: SceneGrid) -> None:
    tiles = plan_tiles(grid.width_px, grid.height_px, tile_px=TILE_PX, overlap_px=0, edge="pad")
    file = look_at_vector_file(path, path.name, field="class", one_class=None, layer=None)

    def convert() -> int:
        count = 0
        for row in range(TILES_A_SIDE):
            band = [tile for tile in tiles if tile.row == row]
            rows_px = (band[0].y_px, band[-1].y_px + band[-1].height_px)
            labels, _ = place_vector_labels(file, grid, uri="scene", rows_px=rows_px)
            index = LabelIndex(labels, band)
            count += count_objects(index, band)
        return count

    timed("read to objects, a row of tiles at a time", convert)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--polygons", type=int, default=200_000)
    count = parser.parse_args().polygons
    grid = scene_grid()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "buildings.gpkg"
        write_buildings(path, grid, count)
        print(f"{count} polygons, {TILES_A_SIDE**2} tiles; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        all_at_once(path, grid)
        by_rows(path, grid)


if __name__ == "__main__":
    main()
