"""LAION's aesthetic predictor: five linear layers on the features of CLIP ViT-L/14."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from domainvl.corpus.scoring.clip import Features
from domainvl.errors import CheckpointError, InputNotFoundError

if TYPE_CHECKING:
    import torch

_LAYERS = (0, 2, 4, 6, 7)
"""Indices of its linear layers, of widths 768, 1024, 128, 64, 16 and 1; between them stood dropout, which does nothing
at inference, and no activation (christophschuhmann/improved-aesthetic-predictor, simple_inference.py, class MLP)."""

_SUFFIXES = (".safetensors", ".pth", ".pt")


class AestheticPredictor:
    """Says how much people like an image on average, from 1 to 10 as the predictor was trained.

    Args:
        path: The file, such as ``sac+logos+ava1-l14-linearMSE.pth``, or a folder with one.
        width: Width of the features that it will get.

    Raises:
        InputNotFoundError: If there is no such file.
        CheckpointError: If it is no such predictor, or of another width.
    """

    def __init__(self, path: Path, *, width: int) -> None:
        file = find_predictor(path)
        tensors = _read_tensors(file)
        names = {f"layers.{layer}.{part}" for layer in _LAYERS for part in ("weight", "bias")}
        if set(tensors) != names:
            rule = f"it must hold {len(names)} tensors, layers.0.weight to layers.7.bias, got {len(tensors)}"
            raise _unusable(file, f"{rule}: {', '.join(sorted(tensors)[:3])}, ...")
        self._layers = [
            (tensors[f"layers.{layer}.weight"].double().numpy(), tensors[f"layers.{layer}.bias"].double().numpy())
            for layer in _LAYERS
        ]
        self._check_widths(file, width)

    def __call__(self, features: Features) -> npt.NDArray[np.float64]:
        """Score images.

        Args:
            features: Of shape (images, width), rows of length 1, as the predictor was trained (same file).

        Returns:
            float64 of shape (images,).
        """
        rows = features.astype(np.float64)
        for weight, bias in self._layers:
            rows = rows @ weight.T + bias
        return rows[:, 0]

    def _check_widths(self, file: Path, width: int) -> None:
        if self._layers[0][0].ndim == 2 and self._layers[0][0].shape[1] != width:
            wanted = self._layers[0][0].shape[1]
            rule = f"it takes features of width {wanted}, and those of --clip have {width}"
            action = "Give --clip the model that it was trained on; for LAION's that is CLIP ViT-L/14, of width 768"
            raise CheckpointError("Cannot use the aesthetic predictor", where=file, rule=rule, action=action)
        outputs = [weight.shape[0] for weight, _ in self._layers]
        inputs = [width, *outputs[:-1]]
        shapes = [((rows, columns), (rows,)) for rows, columns in zip([*outputs[:-1], 1], inputs, strict=True)]
        if [(weight.shape, bias.shape) for weight, bias in self._layers] != shapes:
            told = [weight.shape for weight, _ in self._layers]
            raise _unusable(file, f"each layer must take what the one before gives, and the last give 1, got {told}")


def find_predictor(path: Path) -> Path:
    """Return the file of a predictor.

    Raises:
        InputNotFoundError: If there is none, or a folder holds several.
        CheckpointError: If it is one with activations between its layers.
    """
    files = sorted(one for one in path.iterdir() if one.suffix in _SUFFIXES) if path.is_dir() else [path]
    if len(files) != 1 or not files[0].is_file():
        rule = f"there must be one file ({', '.join(_SUFFIXES)}), got {len(files)}" if path.is_dir() else "no such file"
        action = "Nothing is downloaded: fetch sac+logos+ava1-l14-linearMSE.pth yourself and name it"
        raise InputNotFoundError("Cannot use the aesthetic predictor", where=path, rule=rule, action=action)
    if "relu" in files[0].name.lower():
        raise _unusable(files[0], "its name says that it was trained with ReLU between its layers")
    return files[0]


def _read_tensors(file: Path) -> Mapping[str, torch.Tensor]:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise _unusable(file, f"it is no whole safetensors file: {error}") from error
    except Exception as error:  # damaged bytes lead an unpickler to any error at all
        raise _unusable(file, f"it must hold nothing but tensors ({type(error).__name__})") from error
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise _unusable(file, "it must be a table of tensors by name")
    return content


def _unusable(file: Path, rule: str) -> CheckpointError:
    action = "Name LAION's sac+logos+ava1-l14-linearMSE.pth, or one of the same layers"
    return CheckpointError("Cannot use the aesthetic predictor", where=file, rule=rule, action=action)
