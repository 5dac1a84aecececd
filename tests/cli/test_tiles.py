"""``domainvl tiles``: grid, tiles and visual tokens, as text and as JSON."""

from __future__ import annotations

import json

import pytest

from domainvl.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # 4 x 2 tiles and a thumbnail, 256 tokens each.
        (["1600x900", "--max", "12"], {"columns": 4, "rows": 2, "thumbnail": True, "tiles": 9, "visual_tokens": 2304}),
        (["1600x900"], {"columns": 4, "rows": 2, "thumbnail": True, "tiles": 9, "visual_tokens": 2304}),
        (["2688x896"], {"columns": 6, "rows": 2, "thumbnail": True, "tiles": 13, "visual_tokens": 3328}),
        (["448X448"], {"columns": 1, "rows": 1, "thumbnail": False, "tiles": 1, "visual_tokens": 256}),
        (["900×1600", "--max", "2"], {"columns": 1, "rows": 2, "thumbnail": True, "tiles": 3, "visual_tokens": 768}),
    ],
)
def test_as_json(capsys, arguments, expected):
    assert main(["tiles", *arguments, "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == expected | {
        "tile_side_px": 448,
        "images": 1,
        "tiles_per_image": expected["tiles"],
    }


@pytest.mark.parametrize(
    ("arguments", "columns", "rows", "tiles_per_image", "tiles", "visual_tokens"),
    [
        # The six cameras of nuScenes: 12 // 6 = 2 tiles and a thumbnail each.
        (["1600x900", "--images", "6"], 2, 1, 3, 18, 4608),
        (["1600x900", "--images", "5", "--max", "40"], 4, 2, 9, 45, 11520),
        # More images than tiles: one each, and no thumbnail.
        (["1600x900", "--images", "13"], 1, 1, 1, 13, 3328),
    ],
)
def test_several_images_share_the_maximum(capsys, arguments, columns, rows, tiles_per_image, tiles, visual_tokens):
    assert main(["tiles", *arguments, "--json"]) == 0

    shown = json.loads(capsys.readouterr().out)
    assert shown["images"] == int(arguments[2])
    assert (shown["columns"], shown["rows"]) == (columns, rows)
    assert (shown["tiles_per_image"], shown["tiles"]) == (tiles_per_image, tiles)
    assert shown["visual_tokens"] == visual_tokens


def test_several_images_as_text(capsys):
    assert main(["tiles", "1600x900", "--images", "6"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "images 6, each at most 2 of 12 tiles",
        "grid   2 columns x 1 rows + thumbnail each",
        "tiles  18 of 448x448 px",
        "tokens 4608 (256 a tile)",
    ]


def test_as_text(capsys):
    assert main(["tiles", "1600x900", "--max", "12"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "grid   4 columns x 2 rows + thumbnail",
        "tiles  9 of 448x448 px",
        "tokens 2304 (256 a tile)",
    ]


def test_a_single_tile_has_no_thumbnail(capsys):
    assert main(["tiles", "300x300"]) == 0

    assert capsys.readouterr().out.splitlines()[0] == "grid   1 columns x 1 rows"


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["1600"], "'1600'"),
        (["1600x"], "'1600x'"),
        (["1600x900x3"], "'1600x900x3'"),
        (["1.5x2"], "'1.5x2'"),
        (["0x900"], "0x900"),
        (["1600x900", "--max", "0"], "got 0"),
        (["1600x900", "--max", "41"], "1 to 40, got 41"),
        (["1600x900", "--max", "41", "--images", "6"], "1 to 40, got 41"),
        (["1600x900", "--images", "0"], "got 0"),
        ([f"{'9' * 400}x1"], "999"),
        ([f"1x{'9' * 5000}"], "999"),
    ],
)
def test_what_makes_no_sense_is_two(capsys, arguments, seen):
    assert main(["tiles", *arguments]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: Cannot ")
    assert seen in captured.err
    assert "Traceback" not in captured.err
