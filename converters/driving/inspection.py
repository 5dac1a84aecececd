"""What looks at driving data before it is converted have in common: counts as text, boxes to draw, visual tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from domainvl.schema import Object, Sample
from domainvl.schema.boxes import Box
from domainvl.tiling import DEFAULT_MAX_TILES, TOKENS_PER_TILE, choose_grid, max_tiles_per_image


def listed(counts: Iterable[tuple[str, int]]) -> str:
    """Return names with their counts, one a line, the most frequent first; ``"none"`` where there are none."""
    ordered = sorted(counts, key=lambda item: (-item[1], item[0]))
    return "\n".join(f"{count} {name}" for name, count in ordered) or "none"


def boxes_to_draw(objects: Sequence[Object], image: int = 0) -> list[tuple[Box, str, bool]]:
    """Return box, label and whether it is ignored, of each object of an image that has a box.

    Args:
        objects: Objects of one or more images.
        image: The place of the image among them.
    """
    return [(thing.box_px, thing.label, thing.ignore) for thing in objects if thing.image == image and thing.box_px]


def visual_tokens(sample: Sample) -> int:
    """Return the visual tokens of a sample as the model cuts its images by default; a frame of a clip is one tile."""
    limit = max_tiles_per_image(DEFAULT_MAX_TILES, len(sample.images))
    tiles = [
        1 if image.frame is not None else choose_grid(image.width_px, image.height_px, max_tiles=limit).tile_count
        for image in sample.images
    ]
    return sum(tiles) * TOKENS_PER_TILE


def tokens_note(samples: int, tokens: int) -> str:
    """Say how many samples and visual tokens there would be."""
    return f"{samples} samples, {tokens} visual tokens at {TOKENS_PER_TILE} a tile of the model"
