"""The tile grid equals that of InternVL's official code, and a few cases worked out by hand."""

from __future__ import annotations

import itertools
import json
import random
from fractions import Fraction

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


def all_grids(max_tiles):
    sides = range(1, max_tiles + 1)
    return [(columns, rows) for columns in sides for rows in sides if columns * rows <= max_tiles]


def grid_by_definition(width_px, height_px, max_tiles):
    """Of the grids nearest in aspect ratio: the largest that the pixels fill by more than half, or the smallest."""
    differences = {grid: abs(width_px / height_px - grid[0] / grid[1]) for grid in all_grids(max_tiles)}
    nearest = [grid for grid in differences if differences[grid] == min(differences.values())]
    by_area = sorted(nearest, key=lambda grid: grid[0] * grid[1])
    filled = [grid for grid in by_area[1:] if width_px * height_px > 448 * 448 * grid[0] * grid[1] / 2]
    return (filled or by_area)[-1 if filled else 0]


def disagreements(sizes):
    wrong = []
    for width_px, height_px, max_tiles in sizes:
        grid = choose_grid(width_px, height_px, max_tiles=max_tiles)
        expected = grid_by_definition(width_px, height_px, max_tiles)
        if (grid.columns, grid.rows) != expected:
            wrong.append((width_px, height_px, max_tiles, grid, expected))
    return wrong


def test_equals_the_definition_on_thousands_of_sizes():
    generator = random.Random(0)
    sizes = [(generator.randint(1, 6000), generator.randint(1, 6000), generator.randint(1, 40)) for _ in range(4000)]

    assert disagreements(sizes) == []


def test_equals_the_definition_where_two_aspect_ratios_are_equally_near():
    sizes = []
    for max_tiles in (2, 5, 6, 12, 24, 40):
        ratios = sorted({Fraction(columns, rows) for columns, rows in all_grids(max_tiles)})
        middles = [(narrow + wide) / 2 for narrow, wide in itertools.pairwise(ratios)]
        sizes += [
            (middle.numerator * scale, middle.denominator * scale, max_tiles)
            for middle in [*ratios, *middles]
            for scale in (1, 30, 300, 1500)
        ]

    assert len(sizes) > 1000
    assert disagreements(sizes) == []


def test_no_tie_is_between_grids_of_equal_area():
    """The official code leaves their order to chance: it sorts a set by area."""
    for max_tiles in range(1, MAX_TILES_LIMIT + 1):
        areas = {}
        for columns, rows in all_grids(max_tiles):
            areas.setdefault(Fraction(columns, rows), set()).add(columns * rows)
        for (_, narrow), (_, wide) in itertools.pairwise(sorted(areas.items())):
            assert not narrow & wide


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


@pytest.mark.parametrize("max_tiles", [0, 41])
def test_an_impossible_maximum_is_not_shared(max_tiles):
    with pytest.raises(UsageError, match=f"1 to 40, got {max_tiles}"):
        max_tiles_per_image(max_tiles, 6)
