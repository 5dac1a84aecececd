"""The configuration of transformers' own image processor, in both directions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from domainvl.errors import CheckpointError
from domainvl.model.preprocessing import Preprocessing
from domainvl.model.published.config import visual_tokens

if TYPE_CHECKING:
    from transformers import InternVLConfig

_PROCESSOR = "preprocessor_config.json"


def processor_files(preprocessing: Preprocessing) -> dict[str, dict[str, Any]]:
    """Return what transformers' own processor needs to cut the same tiles, by file name."""
    side = {"height": preprocessing.tile_side_px, "width": preprocessing.tile_side_px}
    return {
        _PROCESSOR: {
            "image_processor_type": "GotOcr2ImageProcessor",
            "processor_class": "InternVLProcessor",
            "crop_to_patches": preprocessing.max_tiles > 1,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": list(preprocessing.mean),
            "image_std": list(preprocessing.std),
            "max_patches": preprocessing.max_tiles,
            "min_patches": 1,
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": side,
        },
        "processor_config.json": {
            "image_seq_length": preprocessing.tokens_per_tile,
            "processor_class": "InternVLProcessor",
        },
    }


def lacks_thumbnail(preprocessing: Preprocessing) -> bool:
    """Say whether tiles come without the thumbnail that transformers' processor always adds."""
    return preprocessing.max_tiles > 1 and not preprocessing.use_thumbnail


def native_preprocessing(folder: Path, config: InternVLConfig) -> Preprocessing:
    """Return how images become tiles for a checkpoint in transformers' layout.

    Args:
        folder: The checkpoint; without ``preprocessor_config.json`` the values are those of InternVL.
        config: Of the model.

    Raises:
        CheckpointError: If the file cannot be used.
    """
    side, patch = int(config.vision_config.image_size[0]), int(config.vision_config.patch_size[0])
    values: dict[str, Any] = {
        "tile_side_px": side,
        "tokens_per_tile": visual_tokens(side, patch),
        "resize": "fast",
    }
    path = folder / _PROCESSOR
    if not path.is_file():
        return Preprocessing(**values)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        values |= {
            "mean": content["image_mean"],
            "std": content["image_std"],
            # Published processors crop only where they are told to, and InternVL's tells it to by default.
            "max_tiles": content.get("max_patches", 12) if content.get("crop_to_patches", True) else 1,
        }
        return Preprocessing(**values)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise CheckpointError(
            "Cannot import a checkpoint",
            where=path,
            rule=f"it must hold image_mean, image_std and max_patches of 1 to 40: {str(error).splitlines()[0]}",
            action="Download the file again",
        ) from error
