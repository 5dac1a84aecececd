"""The model's view of an image, put together again, is the image as it was tiled."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from domainvl.evaluation.generating.inputs import draw_tiles, save_inputs
from domainvl.model.checkpoint import read_spec
from domainvl.schema import Split, read_samples
from domainvl.tiling import TileGrid


def test_tiles_lie_where_they_were_cut_with_the_thumbnail_beside() -> None:
    tiles = np.stack([np.full((8, 8, 3), 10 * number, np.uint8) for number in range(7)])
    drawn = np.asarray(draw_tiles(tiles, TileGrid(columns=3, rows=2, thumbnail=True)))
    assert drawn.shape == (2 * 8 + 4, 4 * 8 + 3 * 4, 3)
    for index in range(6):
        row, column = divmod(index, 3)
        assert (drawn[row * 12 : row * 12 + 8, column * 12 : column * 12 + 8] == 10 * index).all()
    assert (drawn[:8, 36:] == 60).all()
    assert (drawn[8:, 36:] == 255).all()
    assert (drawn[:, 8:12] == 255).all()


def test_each_image_is_saved_once_and_named_by_its_prompts(untrained: Path, squares: Path, tmp_path: Path) -> None:
    samples = list(read_samples(squares, Split.TEST))[:6]
    count = save_inputs(samples, squares, read_spec(untrained).preprocessing, tmp_path / "inputs")
    lines = [json.loads(line) for line in (tmp_path / "inputs" / "prompts.jsonl").read_text().splitlines()]
    assert [line["sample_id"] for line in lines] == [sample.id for sample in samples]
    assert count == len({image.path for sample in samples for image in sample.images})
    assert {path.name for path in (tmp_path / "inputs").glob("*.png")} == {
        name for line in lines for name in line["images"]
    }
    for line, sample in zip(lines, samples, strict=True):
        assert line["turns"][-1]["text"] == sample.turns[-2].text
        assert "assistant" not in {turn["role"] for turn in line["turns"]}
        with PillowImage.open(tmp_path / "inputs" / line["images"][0]) as drawn:
            with PillowImage.open(squares / sample.images[0].path) as stored:
                side = drawn.width
                expected = stored.convert("RGB").resize((side, side), PillowImage.Resampling.BICUBIC)
            assert np.abs(np.asarray(drawn, int) - np.asarray(expected, int)).max() <= 1
