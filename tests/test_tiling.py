"""The tile grid equals that of InternVL's official code, and a few cases worked out by hand."""

from __future__ import annotations

import json

import pytest

from domainvl.errors import ExitCode, UsageError
from domainvl.tiling import MAX_TILES_LIMIT, TOKENS_PER_TILE, TileGrid, choose_grid, max_tiles_per_image


def test_equals_every_row_of_the_official_code(golden):
    rows = json.loads((golden / "tile_grids.json").read_text())

    wrong = []
    for width_px, height_px, max_tiles, columns, rows_of_grid in rows:
        grid = choose_grid(width_px, height_px, max_tiles=max_tiles)
        if (grid.columns, grid.rows) != (columns, rows_of_grid):
            wrong.append((width_px, height_px, max_tiles, grid))

    assert len(rows) >= 6000
    assert {row[2] for row in rows} == {6, 12, 24, 40}
    assert wrong == []


@pytest.mark.parametrize(
    ("width_px", "height_px", "max_tiles", "columns", "rows"),
    [
        # 16:9 = 1.778. Nearest of at most 6 tiles is 2:1; of at most 12, 4:2 ties with 2:1 and there are pixels enough.
        (1600, 900, 6, 2, 1),
        (1600, 900, 12, 4, 2),
        (1600, 900, 24, 5, 3),
        (1600, 900, 40, 7, 4),
        # Portrait, 0.5625: 1:2 is off by 0.0625, 2:3 by 0.104.
        (900, 1600, 12, 2, 4),
        # The stitched six views of DriveLM: 3:1 ties with 6:2.
        (2688, 896, 12, 6, 2),
        # Beyond every candidate.
        (100_000, 1, 12, 12, 1),
        (1, 100_000, 12, 1, 12),
        (1, 1, 40, 1, 1),
        (5000, 5000, 1, 1, 1),
        (5000, 5000, 40, 6, 6),
    ],
)
def test_grids_by_hand(width_px, height_px, max_tiles, columns, rows):
    grid = choose_grid(width_px, height_px, max_tiles=max_tiles)

    assert (grid.columns, grid.rows) == (columns, rows)


@pytest.mark.parametrize(
    ("width_px", "height_px", "columns", "rows"),
    [
        # On a tie a grid of n tiles needs more than 0.5 * 448 * 448 * n = 100352 n pixels.
        (633, 633, 1, 1),  # 400689 < 4 * 100352 = 401408
        (634, 634, 2, 2),  # 401956
        (950, 950, 2, 2),  # 902500 < 9 * 100352 = 903168
        (951, 951, 3, 3),  # 904401
        (1266, 633, 2, 1),  # 801378 < 8 * 100352 = 802816
        (1268, 634, 4, 2),  # 803912
    ],
)
def test_a_tie_goes_to_the_larger_grid_only_with_pixels_enough(width_px, height_px, columns, rows):
    grid = choose_grid(width_px, height_px, max_tiles=12)

    assert (grid.columns, grid.rows) == (columns, rows)


def test_the_area_rule_follows_the_tile_side():
    # 4 tiles of 112 px need more than 0.5 * 112 * 112 * 4 = 25088 pixels: 158 px squared is 24964, 159 is 25281.
    assert choose_grid(158, 158, max_tiles=4, tile_side_px=112) == TileGrid(1, 1, thumbnail=False)
    assert choose_grid(159, 159, max_tiles=4, tile_side_px=112) == TileGrid(2, 2, thumbnail=True)


def test_the_thumbnail_counts_as_a_tile_and_a_single_tile_has_none():
    drivelm = choose_grid(2688, 896, max_tiles=12)
    assert drivelm.thumbnail
    assert drivelm.tile_count == 13
    assert drivelm.tile_count * TOKENS_PER_TILE == 3328

    assert choose_grid(2688, 896, max_tiles=12, use_thumbnail=False).tile_count == 12

    single = choose_grid(448, 448, max_tiles=12)
    assert single == TileGrid(1, 1, thumbnail=False)
    assert single.tile_count == 1


@pytest.mark.parametrize("max_tiles", range(1, MAX_TILES_LIMIT + 1))
def test_any_maximum_up_to_the_limit_is_kept(max_tiles):
    for width_px, height_px in [(4000, 3000), (3000, 4000), (9000, 1000), (5000, 5000)]:
        grid = choose_grid(width_px, height_px, max_tiles=max_tiles)

        assert 1 <= grid.columns * grid.rows <= max_tiles
        assert grid.tile_count == grid.columns * grid.rows + (grid.columns * grid.rows > 1)


@pytest.mark.parametrize(
    ("width_px", "height_px", "max_tiles", "seen"),
    [(0, 5, 12, "0x5"), (5, 0, 12, "5x0"), (-1, 5, 12, "-1x5"), (5, 5, 0, "got 0"), (5, 5, 41, "got 41")],
)
def test_impossible_arguments_are_refused_with_the_value_seen(width_px, height_px, max_tiles, seen):
    with pytest.raises(UsageError, match=seen) as caught:
        choose_grid(width_px, height_px, max_tiles=max_tiles)

    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("max_tiles", "image_count", "share"), [(12, 1, 12), (12, 6, 2), (12, 5, 2), (12, 13, 1), (6, 2, 3), (12, 0, 12)]
)
def test_several_images_share_the_maximum(max_tiles, image_count, share):
    assert max_tiles_per_image(max_tiles, image_count) == share
