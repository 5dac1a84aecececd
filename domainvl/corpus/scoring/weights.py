"""Models of transformers in local folders: whether one is there, loading it whole, telling which it was.

Nothing is ever downloaded, no code of a checkpoint is run, and no file is unpickled: weights must be safetensors.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from domainvl.errors import CheckpointError, InputNotFoundError
from domainvl.files import hash_file

CONFIG_NAME = "config.json"

_DECISIVE = ("*.json", "*.safetensors", "*.txt", "*.model")
"""Files of a checkpoint that decide what it says: weights, settings, vocabularies."""


def check_folder(folder: Path, option: str) -> None:
    """Refuse what is no checkpoint with safetensors weights, before anything is loaded.

    Args:
        folder: The checkpoint.
        option: What named it, such as ``--clip``.

    Raises:
        InputNotFoundError: If there is no such folder.
        CheckpointError: If it has no config.json, or no safetensors file.
    """
    what = f"Cannot load the model of {option}"
    action = "Nothing is downloaded: fetch the model yourself and name the folder that it lies in"
    if not folder.is_dir():
        raise InputNotFoundError(what, where=folder, rule="there is no such folder", action=action)
    if not (folder / CONFIG_NAME).is_file():
        raise CheckpointError(what, where=folder, rule=f"{CONFIG_NAME} is missing", action=action)
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    if pickled:
        rule = f"its weights must be safetensors, got {pickled[0]}, which can hold code"
        action = "Fetch the safetensors file of the model, or convert it with transformers where you trust it"
        raise CheckpointError(what, where=folder, rule=rule, action=action)
    raise CheckpointError(what, where=folder, rule="there are no weights (*.safetensors) in it", action=action)


def load_weights(auto_class: Any, folder: Path, option: str) -> Any:
    """Load a model in float32, ready to be asked; all its weights must be there.

    Args:
        auto_class: Class of transformers with ``from_pretrained``.
        folder: A folder that :func:`check_folder` accepts.
        option: What named it.

    Raises:
        InputNotFoundError: If there is no such folder.
        CheckpointError: If it is no such model, or a part of it would start from random numbers.
    """
    import torch

    check_folder(folder, option)
    with _explained(folder, option):
        model, info = auto_class.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    lacking = sorted([*info["missing_keys"], *(str(key) for key in info["mismatched_keys"])])
    if lacking:
        raise CheckpointError(
            f"Cannot load the model of {option}",
            where=folder,
            rule=f"all weights of a {type(model).__name__} must be in it, {len(lacking)} are not, such as {lacking[0]}",
            action="Name a model that was trained for this; a part that is missing would answer at random",
        )
    return model.eval()


def load_processor(auto_class: Any, folder: Path, option: str) -> Any:
    """Load a tokenizer or an image processor.

    Args:
        auto_class: Class of transformers with ``from_pretrained``.
        folder: The checkpoint.
        option: What named it.

    Raises:
        CheckpointError: If its files are not there.
    """
    with _explained(folder, option):
        return auto_class.from_pretrained(folder, local_files_only=True)


def identity(path: Path) -> dict[str, str]:
    """Tell which model a folder or file holds, without telling where it lies.

    Returns:
        Its ``name``, and as ``sha256`` a hash over the names and hashes of all files that decide what it says.
    """
    files = [path] if path.is_file() else sorted({file for pattern in _DECISIVE for file in path.glob(pattern)})
    lines = "".join(f"{file.name} {hash_file(file)}\n" for file in files if file.is_file())
    return {"name": path.resolve().name, "sha256": hashlib.sha256(lines.encode("utf-8", "replace")).hexdigest()}


@contextlib.contextmanager
def exact_inference() -> Iterator[None]:
    """Compute without gradients and in whole float32.

    On a GPU cuDNN would round what convolutions take to 10 bits (TF32) without being asked: torch's notes on CUDA
    semantics, section on TF32.
    """
    import torch

    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


@contextlib.contextmanager
def _explained(folder: Path, option: str) -> Iterator[None]:
    """Turn what transformers says of a folder into our error, and keep its list of missing layers out of the output."""
    from safetensors import SafetensorError
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"Cannot load the model of {option}",
            where=folder,
            rule=(str(error).strip().splitlines() or [type(error).__name__])[0],
            action="Name a folder that save_pretrained wrote, with its tokenizer or image processor",
        ) from error
    finally:
        logging.set_verbosity(verbosity)
