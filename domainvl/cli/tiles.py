"""``domainvl tiles``: into how many tiles an image is cut, and what that costs."""

from __future__ import annotations

import json
import re
from typing import Annotated

import typer

from domainvl.errors import UsageError
from domainvl.tiling import DEFAULT_MAX_TILES, TILE_SIDE_PX, TOKENS_PER_TILE, choose_grid, max_tiles_per_image

EPILOG = "Example: domainvl tiles 1600x900 --max 12 --images 6"


def tiles(
    size: Annotated[str, typer.Argument(help="Size of the image in pixels, as WIDTHxHEIGHT.")],
    max_tiles: Annotated[int, typer.Option("--max", help="Largest number of tiles, the thumbnail not counted.")] = (
        DEFAULT_MAX_TILES
    ),
    image_count: Annotated[
        int, typer.Option("--images", help="How many images of this size a sample has; they share the maximum.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the tile grid of an image, its tiles with the thumbnail, and the visual tokens."""
    match = re.fullmatch(r"(\d{1,9})[xX×](\d{1,9})", size)
    if match is None:
        raise UsageError(f"Cannot read the size {size!r}", rule="it must be WIDTHxHEIGHT in pixels, such as 1600x900")
    if image_count < 1:
        raise UsageError("Cannot share the tiles", rule=f"a sample must have at least 1 image, got {image_count}")
    share = max_tiles_per_image(max_tiles, image_count)
    grid = choose_grid(int(match[1]), int(match[2]), max_tiles=share)
    tile_count = grid.tile_count * image_count
    tokens = tile_count * TOKENS_PER_TILE
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "images": image_count,
                    "columns": grid.columns,
                    "rows": grid.rows,
                    "thumbnail": grid.thumbnail,
                    "tiles_per_image": grid.tile_count,
                    "tiles": tile_count,
                    "visual_tokens": tokens,
                    "tile_side_px": TILE_SIDE_PX,
                }
            )
        )
        return
    extra = " + thumbnail" if grid.thumbnail else ""
    if image_count > 1:
        typer.echo(f"images {image_count}, each at most {share} of {max_tiles} tiles")
        extra += " each"
    typer.echo(f"grid   {grid.columns} columns x {grid.rows} rows{extra}")
    typer.echo(f"tiles  {tile_count} of {TILE_SIDE_PX}x{TILE_SIDE_PX} px")
    typer.echo(f"tokens {tokens} ({TOKENS_PER_TILE} a tile)")
