"""Images on their way into a model: read as training reads them, made small one by one, then put into batches.

Each is brought to the model's size before the next is opened, so that memory does not grow with the size of the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from PIL import Image as PillowImage

from domainvl.errors import ItemError
from domainvl.interleaved.images import open_image
from domainvl.schema.images import shown_pixels

if TYPE_CHECKING:
    import torch

Prepared: TypeAlias = "Mapping[str, torch.Tensor]"
"""What a model takes of one image, by name; the first axis of each tensor has length 1."""


def read_rgb(path: Path, url: str) -> PillowImage.Image:
    """Read an image file in RGB; of one with transparency, the colours below it.

    Args:
        path: The file.
        url: Names it in an error.

    Raises:
        ItemError: With reason ``image-decode``, ``image-depth`` or ``too-large``.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        rule = f"it must be readable: {error.strerror}"
        raise ItemError("Cannot use an image", reason="image-decode", where=url, rule=rule) from error
    with open_image(content, url) as opened:
        return PillowImage.fromarray(shown_pixels(opened)).convert("RGB")


def prepare(image_processor: Any, image: PillowImage.Image) -> Prepared:
    """Bring an RGB image to the size and range that a model was trained on."""
    return dict(image_processor(images=image, return_tensors="pt"))


def stack(batch: Sequence[Prepared], device: torch.device) -> dict[str, torch.Tensor]:
    """Put prepared images into one batch, whose first axis counts them."""
    import torch

    return {name: torch.cat([one[name] for one in batch]).to(device) for name in batch[0]}
