"""Spatial blocks of rasters."""

from __future__ import annotations

from pathlib import Path

import pytest
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform

from domainvl.enhance.pairs.blocks import Cut, block_side, join_blocks
from domainvl.enhance.pairs.settings import PairSource
from domainvl.errors import UsageError

UTM = CRS.from_epsg(32633)


def _cut(name: str, east_m: float = 500_000.0, *, north_m: float = 5_000_000.0, crs: CRS = UTM, gsd: float = 10) -> Cut:
    """A raster of 2 x 3 blocks, named a to f, each of one window of 32 pixels."""
    places = [(row, column) for row in range(2) for column in range(3)]
    windows = tuple(
        PairSource(f"{name}-{letter}", f"{name}/{letter}", Path(name), Path(name), (32 * row, 32 * column, 32, 32))
        for letter, (row, column) in zip("abcdef", places, strict=True)
    )
    return Cut(windows, crs, from_origin(east_m, north_m, gsd, gsd))


def test_dates_on_one_grid_share_their_blocks() -> None:
    groups = join_blocks([_cut("june"), _cut("july")])
    assert groups == {f"{date}/{letter}": f"june/{letter}" for date in ("june", "july") for letter in "abcdef"}


def test_blocks_of_other_ground_stay_apart() -> None:
    neighbour = _cut("east", 500_000.0 + 3 * 320.0)  # begins where the other ends
    groups = join_blocks([_cut("west"), neighbour])
    assert all(name == group for name, group in groups.items())
    assert len(groups) == 12


def test_rasters_that_share_a_strip_share_its_blocks_alone() -> None:
    groups = join_blocks([_cut("west"), _cut("east", 500_000.0 + 2 * 320.0)])
    assert {name: group for name, group in groups.items() if name != group} == {
        "east/a": "west/c",
        "east/d": "west/f",
    }


def test_a_raster_over_two_blocks_makes_them_one_group() -> None:
    groups = join_blocks([_cut("june"), _cut("july", 500_000.0 + 160.0)])
    assert groups["july/a"] == groups["june/a"] == groups["june/b"] == groups["june/c"]
    assert groups["june/a"] != groups["june/d"]


def test_places_are_compared_through_their_coordinate_systems() -> None:
    (longitude,), (latitude,) = transform(UTM, "EPSG:4326", [500_000.0 + 100.0], [5_000_000.0 - 100.0])
    geographic = CRS.from_epsg(4326)
    here = _cut("other", longitude, north_m=latitude, crs=geographic, gsd=1e-6)  # 10 m in all, inside of block a
    groups = join_blocks([_cut("june"), here])
    assert {groups[f"other/{letter}"] for letter in "abcdef"} == {"june/a"}
    assert groups["june/b"] == "june/b"


def test_a_place_that_is_not_on_the_earth_is_a_message() -> None:
    local = CRS.from_wkt('LOCAL_CS["hall",UNIT["metre",1]]')
    with pytest.raises(UsageError, match="apart"):
        join_blocks([_cut("june"), _cut("hall", crs=local)])


@pytest.mark.parametrize(("windows", "side"), [(16, 4), (8, 2), (3, 1), (1, 1)])
def test_small_rasters_have_smaller_blocks(windows: int, side: int) -> None:
    assert block_side([(row, column) for row in range(windows) for column in range(windows)]) == side
