"""What the model sees: its tiles as pictures and its prompts as text, so that a surprise can be looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from domainvl.files import output_errors, write_atomically
from domainvl.model.preprocessing import Preprocessing, TileReader, Tiles
from domainvl.schema import Sample
from domainvl.tiling import TileGrid

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

INPUTS_FOLDER = "inputs"
_GAP_PX = 4
_GAP_GREY = 255


def save_inputs(samples: Sequence[Sample], dataset: Path, preprocessing: Preprocessing, out: Path) -> int:
    """Write a picture of the tiles of each image, and ``prompts.jsonl`` with what is asked about which.

    The tiles lie as they were cut, with white between them; the thumbnail, if there is one, beside them.

    Args:
        samples: What is asked.
        dataset: Folder of the data set.
        preprocessing: How images become tiles.
        out: Folder to make.

    Returns:
        Number of pictures.

    Raises:
        OutputError: If they cannot be written.
    """
    reader = TileReader(dataset, preprocessing)
    names: dict[tuple[str, TileGrid], str] = {}
    lines = []
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for sample in samples:
            grids = preprocessing.grids(sample.images)
            keys = [(image.path, grid) for image, grid in zip(sample.images, grids, strict=True)]
            new = {key: index for index, key in enumerate(keys) if key not in names}
            tiles = reader.read(sample.images) if new else []
            for key, index in new.items():
                names[key] = f"{len(names):06d}.png"
                draw_tiles(tiles[index], key[1]).save(out / names[key])
            lines.append(
                {
                    "sample_id": sample.id,
                    "images": [names[key] for key in keys],
                    "tiles": [grid.tile_count for grid in grids],
                    "turns": [turn.model_dump() for turn in sample.turns[:-1]],
                }
            )
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_atomically(out / "prompts.jsonl", text.encode())
    return len(names)


def draw_tiles(tiles: Tiles, grid: TileGrid) -> PillowImage:
    """Lay tiles out as they were cut from their image.

    Args:
        tiles: uint8 of shape (tiles, side, side, 3), row by row, the thumbnail last.
        grid: Columns, rows and whether there is a thumbnail.
    """
    from PIL import Image

    side = tiles.shape[1]
    step = side + _GAP_PX
    columns = grid.columns + int(grid.thumbnail)
    canvas = np.full((grid.rows * step - _GAP_PX, columns * step - _GAP_PX, 3), _GAP_GREY, np.uint8)
    for index, tile in enumerate(tiles):
        is_thumbnail = grid.thumbnail and index == len(tiles) - 1
        row, column = (0, grid.columns) if is_thumbnail else divmod(index, grid.columns)
        canvas[row * step : row * step + side, column * step : column * step + side] = tile
    return Image.fromarray(canvas)
