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

    assert json.loads(capsys.readouterr().out) == expected | {"tile_side_px": 448}


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
