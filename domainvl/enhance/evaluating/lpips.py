"""LPIPS, a learned distance between pictures, from weights that the user has: nothing is downloaded.

Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018; the network and the
names of its weights as in richzhang/PerceptualSimilarity, lpips/lpips.py and lpips/pretrained_networks.py, version 0.1
with AlexNet: features of five layers, each pixel's scaled to length 1, their squared differences weighted and averaged.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from domainvl.enhance.rasters import Mask, Pixels
from domainvl.errors import CheckpointError, InputNotFoundError

LEAST_SIDE_PX = 32
"""Of smaller pictures the last layers would see nothing."""

_LAYERS = (0, 3, 6, 8, 10)
"""Where AlexNet's convolutions stand in torchvision's ``features``."""
_CHANNELS = (64, 192, 384, 256, 256)
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of ``ScalingLayer``: what AlexNet's colours are brought to, for pictures of -1 to 1."""
_EPSILON = 1e-10


class Lpips:
    """The distance, with weights loaded.

    Args:
        files: One file with all weights, or several that have them together, such as torchvision's AlexNet and the
            package's ``weights/v0.1/alex.pth``; of safetensors, or of ``torch.save`` with tensors only.

    Raises:
        InputNotFoundError: If there is no such file.
        CheckpointError: If a file cannot be read, or a weight is missing or of another shape.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        weights: dict[str, Tensor] = {}
        for file in files:
            weights |= _read(file)
        where = ", ".join(map(str, files))
        self._convolutions = _alexnet(weights, where)
        self._lines = [
            _weight(weights, (f"lin{level}.model.1.weight", f"lins.{level}.model.1.weight"), (1, channels, 1, 1), where)
            for level, channels in enumerate(_CHANNELS)
        ]

    @torch.inference_mode()
    def of(self, picture: Pixels, truth: Pixels, valid: Mask) -> float | None:
        """Return the distance of a picture to the truth, 0 for equal ones.

        What is not valid is made equal in both, and layers are averaged by how much of each place is valid.

        Args:
            picture: (bands, rows, columns), normalised. One band is seen as grey; of more than three, the first three.
            truth: The same of the truth.
            valid: (rows, columns).

        Returns:
            The distance; None where no pixel is valid or a side is shorter than ``LEAST_SIDE_PX``.
        """
        if not valid.any() or min(valid.shape) < LEAST_SIDE_PX:
            return None
        weight = torch.from_numpy(valid.astype(np.float32))[None, None]
        layers = [self._features(_as_seen(view) * weight) for view in (picture, truth)]
        distance = 0.0
        for line, of_picture, of_truth in zip(self._lines, *layers, strict=True):
            apart = functional.conv2d((_unit(of_picture) - _unit(of_truth)) ** 2, line)
            share = functional.adaptive_avg_pool2d(weight, (apart.shape[-2], apart.shape[-1]))
            distance += float((apart * share).sum() / share.sum())
        return distance

    def _features(self, batch: Tensor) -> list[Tensor]:
        found = []
        for level, convolution in enumerate(self._convolutions):
            if level in (1, 2):
                batch = functional.max_pool2d(batch, 3, 2)
            batch = functional.relu(convolution(batch))
            found.append(batch)
        return found


def _alexnet(weights: dict[str, Tensor], where: str) -> list[nn.Conv2d]:
    """Return the convolutions of AlexNet (Krizhevsky 2014, torchvision's layers)."""
    ins = (3, *_CHANNELS[:-1])
    shapes = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
    convolutions = []
    for level, (place, inside, outside, (side, stride, padding)) in enumerate(
        zip(_LAYERS, ins, _CHANNELS, shapes, strict=True), start=1
    ):
        convolution = nn.Conv2d(inside, outside, side, stride, padding)
        names = [f"net.slice{level}.{place}", f"features.{place}"]
        weight = _weight(weights, [f"{name}.weight" for name in names], (outside, inside, side, side), where)
        bias = _weight(weights, [f"{name}.bias" for name in names], (outside,), where)
        convolution.load_state_dict({"weight": weight, "bias": bias})
        convolutions.append(convolution.eval())
    return convolutions


def _weight(weights: dict[str, Tensor], names: Sequence[str], shape: tuple[int, ...], where: str) -> Tensor:
    found = next((weights[name] for name in names if name in weights), None)
    if found is None or tuple(found.shape) != shape:
        seen = "missing" if found is None else f"of shape {tuple(found.shape)}, not {shape}"
        raise CheckpointError(
            "Cannot use LPIPS weights",
            where=where,
            rule=f"{' or '.join(names)} is {seen}",
            action="Give AlexNet's features and the package's weights/v0.1/alex.pth; --lpips may be repeated",
        )
    return found.float()


def _read(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise InputNotFoundError("No LPIPS weights", where=file, rule="there is no such file", action="Give the file")
    try:
        held = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(
            "Cannot read LPIPS weights",
            where=file,
            rule=str(error).splitlines()[0] if str(error) else type(error).__name__,
            action="Give a file of safetensors, or of torch.save with tensors only",
        ) from error
    if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
        raise CheckpointError("Cannot read LPIPS weights", where=file, rule="it holds no dictionary of tensors")
    return held


def _as_seen(pixels: Pixels) -> Tensor:
    """Bring a normalised picture to the colours that AlexNet was trained on, (1, 3, rows, columns)."""
    colours = np.repeat(pixels[:1], 3, axis=0) if len(pixels) < 3 else pixels[:3]
    batch = torch.from_numpy(np.clip(colours, 0.0, 1.0))[None] * 2 - 1
    shift, scale = (torch.tensor(values)[None, :, None, None] for values in (_SHIFT, _SCALE))
    return (batch - shift) / scale


def _unit(features: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / (length + _EPSILON)
