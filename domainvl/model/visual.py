"""From tiles to what the language model reads of them, in two halves: the vision encoder, and the projector.

The native class does both in one call. Divided, what a frozen encoder gives can be kept
(:mod:`domainvl.model.vision_cache`) while the projector is trained.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domainvl.model.generation import pixel_values
from domainvl.model.preprocessing import Tiles

if TYPE_CHECKING:
    import torch
    from torch import nn

    from domainvl.model.checkpoint import LoadedModel
    from domainvl.model.vision_cache import VisionCache


@dataclass(frozen=True)
class VisualInput:
    """One image on its way into the model: its features if they are known, else its tiles.

    Attributes:
        tiles: uint8 of shape (tiles, side, side, 3), None where there are features.
        key: Under which its features are kept, None where there is no cache.
        features: As :func:`encode_tiles` gives them for these tiles, None where there are tiles.
    """

    tiles: Tiles | None = None
    key: str | None = None
    features: torch.Tensor | None = None


def embed(loaded: LoadedModel, images: Sequence[VisualInput], cache: VisionCache | None = None) -> torch.Tensor:
    """Return what stands for some images in the language model's input.

    Without a cache all tiles are encoded, with gradients where anything is trained. With one, those that nobody has
    encoded yet are, in one call and without gradients, and are kept; the projector has gradients.

    Args:
        loaded: The model.
        images: In the order of their placeholders; at least one.
        cache: Of a frozen encoder's features; each image then has a key.

    Returns:
        Shape (tiles of all images, tokens of a tile, width of the language model).

    Raises:
        OutputError: If features cannot be kept; the disk may be full.
    """
    import torch

    if cache is None:
        return project(loaded, encode_tiles(loaded, _pixels(loaded, [image.tiles for image in images])))
    known = {image.key: image.features for image in images if image.features is not None}
    missing: dict[str, Tiles] = {}
    for image in images:
        if image.key is None:
            raise ValueError("With a cache each image has a key")
        if image.key in known or image.tiles is None:
            continue
        found = cache.read(image.key)  # since the tiles were read, another batch or process may have encoded them
        if found is None:
            missing[image.key] = image.tiles
        else:
            known[image.key] = found
    for key, features in _encode_frozen(loaded, missing).items():
        cache.write(key, features)
        known[key] = features
    return project(loaded, torch.cat([known[image.key].to(loaded.device) for image in images]))


def image_outputs(embeddings: torch.Tensor) -> dict[str, Any]:
    """Return the arguments with which the native class takes embeddings in place of ``pixel_values``.

    Args:
        embeddings: As :func:`embed` gives them.
    """
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    return {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=embeddings)}}


def blank_contribution(loaded: LoadedModel) -> torch.Tensor:
    """Return zero, computed from one blank tile: all trained of vision encoder and projector get gradients of zero.

    With several processes, one that has no image then still takes part in what the others wait for. The random
    numbers are left as they were.

    Args:
        loaded: The model.

    Returns:
        A scalar.
    """
    import torch

    vision = loaded.internvl.config.vision_config
    tile = torch.zeros(1, vision.num_channels, *vision.image_size, device=loaded.device)
    with torch.random.fork_rng([loaded.device] if loaded.device.type == "cuda" else []):
        return project(loaded, encode_tiles(loaded, tile)).sum() * 0.0


def encode_tiles(loaded: LoadedModel, pixels: torch.Tensor) -> torch.Tensor:
    """Return what the projector is given: the features of the chosen layer, four patches to a token.

    It is ``InternVLModel.get_image_features`` of transformers up to its projector, to the last bit.

    Args:
        loaded: The model.
        pixels: Normalised tiles, shape (tiles, 3, side, side), as :func:`domainvl.model.generation.pixel_values`
            makes them.

    Returns:
        Shape (tiles, tokens of a tile, 4 * width of the encoder).
    """
    model = loaded.internvl.model
    config = model.config
    pixels = pixels.to(model.dtype)
    if config.vision_feature_layer == -1:
        features = model.vision_tower(pixel_values=pixels).last_hidden_state
    else:
        outputs = model.vision_tower(pixel_values=pixels, output_hidden_states=True)
        features = outputs.hidden_states[config.vision_feature_layer]
    if config.vision_feature_select_strategy == "default":  # else the CLS token stays, and patches are no square
        features = features[:, 1:]
    patches_per_side = int(features.shape[1] ** 0.5)
    square = features.reshape(len(features), patches_per_side, patches_per_side, -1)
    shuffled: torch.Tensor = model.pixel_shuffle(square, scale_factor=config.downsample_ratio)
    return shuffled.flatten(1, 2)


def project(loaded: LoadedModel, features: torch.Tensor) -> torch.Tensor:
    """Return the embeddings that stand in the language model's input for each visual token.

    Args:
        loaded: The model.
        features: As :func:`encode_tiles` gives them.

    Returns:
        Shape (tiles, tokens of a tile, width of the language model).
    """
    embeddings: torch.Tensor = loaded.internvl.model.multi_modal_projector(features)
    return embeddings


def _pixels(loaded: LoadedModel, tiles: Sequence[Tiles | None]) -> torch.Tensor:
    pixels = pixel_values(loaded, [one for one in tiles if one is not None])
    if pixels is None:
        raise ValueError("There are no tiles to encode")
    return pixels


def _encode_frozen(loaded: LoadedModel, tiles: Mapping[str, Tiles]) -> dict[str, torch.Tensor]:
    """Encode images without gradients, and as in evaluation: what dropout did once would be kept for ever."""
    import torch

    if not tiles:
        return {}
    with torch.no_grad(), _evaluating(loaded.internvl.model.vision_tower):
        features = encode_tiles(loaded, _pixels(loaded, list(tiles.values())))
    return dict(zip(tiles, torch.split(features, [len(one) for one in tiles.values()]), strict=True))


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)
