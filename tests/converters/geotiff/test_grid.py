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


def windows(side_px: int, size_px: int, stride_px: int) -> set[tuple[int, int, int, int]]:
    """Return (y_min, x_min, y_max, x_max) of each tile with its padding, the order of raster-vision's boxes."""
    tiles = plan_tiles(side_px, side_px, tile_px=size_px, overlap_px=size_px - stride_px, edge="pad")
    return {(tile.y_px, tile.x_px, tile.y_px + size_px, tile.x_px + size_px) for tile in tiles}


# Side of the scene, size and stride of the windows, and where they start along each side: azavea/raster-vision,
# tests/core/test_box.py, test_get_windows, those whose windows start at the border.
RASTER_VISION = [
    (20, 10, 10, (0, 10)),
    (10, 6, 6, (0, 6)),
    (10, 5, 3, (0, 3, 6)),
    (100, 10, 10, tuple(range(0, 100, 10))),
]


@pytest.mark.parametrize(("side_px", "size_px", "stride_px", "starts_px"), RASTER_VISION)
def test_geo_11_windows_are_those_of_raster_vision(side_px, size_px, stride_px, starts_px):
    expected = {(y, x, y + size_px, x + size_px) for y in starts_px for x in starts_px}
    assert windows(side_px, size_px, stride_px) == expected


def test_geo_11_no_window_shows_only_padding_and_what_the_last_one_shows():
    """raster-vision has one more, which starts at 95 of 100 and repeats what the one at 90 shows."""
    starts_px = {x for _, x, _, _ in windows(100, 10, 5)}
    assert starts_px == set(range(0, 95, 5))


# Height and width of the windows and strides, and how many rows and columns of them cover 10 x 10:
# torchgeo, tests/samplers/test_utils.py, test_tile_to_chips, those whose sides are whole pixels and that leave no gap.
TORCHGEO = [
    ((10, 10), (1, 1), (1, 1)),
    ((10, 10), (10, 10), (1, 1)),
    ((8, 8), (1, 1), (3, 3)),
    ((6, 6), (2, 2), (3, 3)),
    ((4, 4), (3, 3), (3, 3)),
    ((8, 6), (1, 2), (3, 3)),
    ((6, 4), (2, 3), (3, 3)),
    ((3, 3), (3, 3), (4, 4)),
]


@pytest.mark.parametrize(("size_px", "stride_px", "count"), TORCHGEO)
def test_geo_11_there_are_as_many_tiles_as_torchgeo_has_chips(size_px, stride_px, count):
    found = tuple(len(starts(10, side, side - stride, "pad")) for side, stride in zip(size_px, stride_px, strict=True))
    assert found == count


def test_geo_11_a_scene_smaller_than_a_tile_gives_one():
    # torchgeo gives none (its issues 1630 and 2714).
    for edge in ("pad", "shift", "drop"):
        assert plan_tiles(3, 200, tile_px=256, overlap_px=0, edge=edge) == [Tile(0, 0, 0, 0, 3, 200)]
