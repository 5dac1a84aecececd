"""Weights of transformers in a local folder, to start a specialist from; never fetched, and no code of theirs run."""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from domainvl.errors import CheckpointError
from domainvl.model.preprocessing import IMAGENET_MEAN, IMAGENET_STD

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Mean and standard deviation of each channel, in units of full scale."""


def load_local(auto_class: Any, folder: Path, *, marker: str = "config.json", **settings: Any) -> Any:
    """Load a model of transformers from a folder.

    Args:
        auto_class: Class with ``from_pretrained``.
        folder: With the marker and weights: safetensors, or a .bin, which transformers reads as tensors only.
        marker: File that must be in it.
        **settings: Changes of the configuration, and further arguments of ``from_pretrained``.

    Raises:
        CheckpointError: If it is no such folder.
    """
    if not (folder / marker).is_file():
        rule = f"{marker} is missing" if folder.is_dir() else "there is no such folder"
        raise CheckpointError(
            "Cannot start from weights", where=folder, rule=rule, action="Name a folder that save_pretrained wrote"
        )
    try:
        with _without_advice():
            return auto_class.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **settings)
    except (OSError, ValueError, ImportError, RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            "Cannot start from weights",
            where=folder,
            rule=str(error).strip().splitlines()[0],
            action="Name a folder whose model this kind of specialist can be made of",
        ) from error


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Keep transformers from listing the layers that start anew: the classes of another data set always do."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def image_statistics(folder: Path) -> Statistics:
    """Return how the images of a checkpoint are normalised: as its preprocessor_config.json says, else as ImageNet's.

    Raises:
        CheckpointError: If that file cannot be read.
    """
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return IMAGENET_MEAN, IMAGENET_STD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        mean = tuple(float(value) for value in content.get("image_mean", IMAGENET_MEAN))
        std = tuple(float(value) for value in content.get("image_std", IMAGENET_STD))
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError("Cannot start from weights", where=path, rule=str(error)) from error
    if len(mean) != 3 or len(std) != 3:
        raise CheckpointError("Cannot start from weights", where=path, rule=f"3 channels are needed, got {len(mean)}")
    return mean, std


def local_name(folder: Path) -> str:
    """Return what stands as the pretraining of a specialist that started from a folder; tells no path."""
    return f"local weights: {folder.resolve().name}"


def statistics_of(details: Any) -> Statistics:
    """Read statistics from the details of a specialist."""
    mean, std = (tuple(float(value) for value in details[name]) for name in ("mean", "std"))
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
