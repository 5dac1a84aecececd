"""What a frozen vision encoder gives for each image, kept on disk, so that no image is encoded twice.

That holds over epochs, runs and processes. Kept is what the projector is given, so the projector can be trained. One
file holds one image in one grid of tiles. Its name is a hash of all that the content follows from, so a file is right
or not there; nothing is ever stale.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.files import write_atomically
from domainvl.schema import Image
from domainvl.tiling import TileGrid

if TYPE_CHECKING:
    import torch
    from torch import nn

    from domainvl.model.checkpoint import LoadedModel

_FORMAT = 1
"""Raised when the same key would mean another content."""

_SETTINGS = ("hidden_act", "layer_norm_eps", "num_attention_heads")
"""Of the encoder's configuration, what neither names nor shapes of its weights tell."""

_FEATURES = "features"
_CHECKSUM = "crc32"


class VisionCache:
    """Features of images under ``FOLDER/ab/<key>.safetensors``.

    Several threads may use one cache and several processes one folder: a file is written under another name and then
    renamed, and who comes second writes the same.

    Args:
        folder: Where the files are; it is made when the first one is written.
        loaded: The model. Its vision encoder is hashed here, so it must be whole and never change.
        arithmetic: Type under autocast, where it is not that of the weights.

    Attributes:
        hits: How often features were there.
        misses: How often they were not and have been written.
        broken: How many files could not be used, for they were cut off or damaged; they were removed.
    """

    def __init__(self, folder: Path, loaded: LoadedModel, arithmetic: torch.dtype | None = None) -> None:
        self._folder = folder
        self._encoder = _encoder_identity(loaded, arithmetic)
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0
        self.broken = 0

    def key(self, image: Image, grid: TileGrid) -> str:
        """Name the features of an image: by its recorded pixels, not its path, so equal images share them.

        Args:
            image: As the data set records it; that the record is true is what ``domainvl validate`` checks.
            grid: How it is cut.
        """
        return _hash({"encoder": self._encoder, "pixels": image.pixel_sha256, "grid": asdict(grid)})

    def read(self, key: str) -> torch.Tensor | None:
        """Return features as they were written, on the CPU, or None if they are not there.

        Args:
            key: As :meth:`key` gives it.
        """
        path = self._path(key)
        try:
            features = _read_checked(path)
        except FileNotFoundError:
            return None
        except _Damaged:
            with contextlib.suppress(OSError):
                path.unlink()
            with self._lock:
                self.broken += 1
            return None
        with self._lock:
            self.hits += 1
        return features

    def write(self, key: str, features: torch.Tensor) -> None:
        """Keep features, in the type that they have.

        Args:
            key: As :meth:`key` gives it.
            features: Shape (tiles of the image, tokens of a tile, width), on any device.

        Raises:
            OutputError: If they cannot be written; the disk may be full.
        """
        from safetensors.torch import save

        own = features.detach().cpu().contiguous()
        content = save({_FEATURES: own}, metadata={_CHECKSUM: _checksum(own)})
        write_atomically(self._path(key), content)
        with self._lock:
            self.misses += 1

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.safetensors"


class _Damaged(Exception):
    """A file is not what was written."""


def _read_checked(path: Path) -> torch.Tensor:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            features: torch.Tensor = file.get_tensor(_FEATURES)
            expected = (file.metadata() or {}).get(_CHECKSUM)
    except FileNotFoundError:
        raise
    except (OSError, SafetensorError) as error:
        raise _Damaged from error
    if _checksum(features) != expected:
        raise _Damaged
    return features


def _checksum(tensor: torch.Tensor) -> str:
    return f"{zlib.crc32(_as_bytes(tensor)):08x}"


def _as_bytes(tensor: torch.Tensor) -> memoryview:
    """Return the bytes of a contiguous tensor on the CPU; numpy has no bf16."""
    import torch

    content: memoryview = tensor.reshape(-1).view(torch.uint8).numpy().data
    return content


def _encoder_identity(loaded: LoadedModel, arithmetic: torch.dtype | None) -> str:
    """Hash all that decides what the encoder gives for given pixels: weights, shape, type, and how tiles are made."""
    model: Any = loaded.internvl.model
    config = model.config
    preprocessing = loaded.spec.preprocessing
    return _hash(
        {
            "format": _FORMAT,
            "weights": _hash_weights(model.vision_tower),
            "settings": {name: getattr(config.vision_config, name) for name in _SETTINGS},
            "feature_layer": config.vision_feature_layer,
            "select_strategy": config.vision_feature_select_strategy,
            "downsample_ratio": config.downsample_ratio,
            "dtype": str(model.dtype),
            "arithmetic": str(arithmetic or model.dtype),
            "preprocessing": preprocessing.model_dump(include={"tile_side_px", "resize", "mean", "std"}),
        }
    )


def _hash_weights(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(_as_bytes(tensor.detach().cpu().contiguous()))
    return digest.hexdigest()


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
