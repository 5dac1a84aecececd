import pytest

from domainvl.converters.geotiff.grid import Tile, plan_tiles, uncovered_px


def starts(length_px: int, tile_px: int, overlap_px: int, edge: str) -> list[int]:
    tiles = plan_tiles(length_px, 1, tile_px=tile_px, overlap_px=overlap_px, edge=edge)
    return [tile.x_px for tile in tiles]


# (length, tile, overlap, edge, first columns): worked out by hand.
CASES = [
    (1024, 512, 0, "pad", [0, 512]),
    (1025, 512, 0, "pad", [0, 512, 1024]),
    (1025, 512, 0, "shift", [0, 512, 513]),
    (1025, 512, 0, "drop", [0, 512]),
    (1000, 512, 256, "pad", [0, 256, 512]),
    (1000, 512, 256, "shift", [0, 256, 488]),
    (1000, 512, 256, "drop", [0, 256]),
    (1024, 512, 256, "pad", [0, 256, 512]),
    (512, 512, 0, "drop", [0]),
    (100, 512, 0, "pad", [0]),
    (100, 512, 0, "shift", [0]),
    (100, 512, 0, "drop", [0]),
]


@pytest.mark.parametrize(("length_px", "tile_px", "overlap_px", "edge", "expected"), CASES)
def test_tiles_start_where_hand_computation_says(length_px, tile_px, overlap_px, edge, expected):
    assert starts(length_px, tile_px, overlap_px, edge) == expected


def test_tiles_run_row_by_row_from_the_upper_left_corner():
    assert plan_tiles(5, 3, tile_px=2, overlap_px=0, edge="pad") == [
        Tile(0, 0, 0, 0, 2, 2),
        Tile(0, 1, 2, 0, 2, 2),
        Tile(0, 2, 4, 0, 1, 2),
        Tile(1, 0, 0, 2, 2, 1),
        Tile(1, 1, 2, 2, 2, 1),
        Tile(1, 2, 4, 2, 1, 1),
    ]


@pytest.mark.parametrize("edge", ["pad", "shift"])
@pytest.mark.parametrize("overlap_px", [0, 3, 7])
@pytest.mark.parametrize(("width_px", "height_px"), [(1, 1), (8, 8), (9, 23), (31, 8), (40, 41)])
def test_tiles_cover_every_pixel_and_stay_inside(width_px, height_px, overlap_px, edge):
    seen = set()
    tiles = plan_tiles(width_px, height_px, tile_px=8, overlap_px=overlap_px, edge=edge)
    for tile in tiles:
        assert tile.x_px + tile.width_px <= width_px and tile.y_px + tile.height_px <= height_px
        columns = range(tile.x_px, tile.x_px + tile.width_px)
        seen |= {(x, y) for x in columns for y in range(tile.y_px, tile.y_px + tile.height_px)}
    assert len(seen) == width_px * height_px
    assert len({(tile.x_px, tile.y_px) for tile in tiles}) == len(tiles)
    assert uncovered_px(width_px, height_px, tiles) == 0


def test_pixels_outside_dropped_edges_are_counted():
    tiles = plan_tiles(10, 9, tile_px=4, overlap_px=0, edge="drop")
    assert uncovered_px(10, 9, tiles) == 10 * 9 - 8 * 8
