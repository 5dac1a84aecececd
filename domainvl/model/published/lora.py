"""Checkpoints of the official trainer that still carry LoRA: whole models whose keys are wrapped by peft.

``wrap_llm_lora`` and ``wrap_backbone_lora`` (OpenGVLab/InternVL,
internvl_chat/internvl/model/internvl_chat/modeling_internvl_chat.py, L103-141) put ``base_model.model.`` into
every key of the part, and scale the update by alpha / rank with alpha = 2 x rank. Merged on the way in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.errors import CheckpointError
from domainvl.model.published.tensors import TensorInfo, TensorSource

if TYPE_CHECKING:
    import torch

SCALE = 2.0
"""alpha / rank; the official wrapper always takes alpha = 2 x rank."""

_PARTS = {"language_model.": "use_llm_lora", "vision_model.": "use_backbone_lora"}
_WRAPPING = "base_model.model."
_BASE = ".base_layer."
_DOWN = ".lora_A.default.weight"
_UP = ".lora_B.default.weight"


@dataclass(frozen=True)
class _Update:
    """The two factors of one matrix's update, by their stored names."""

    down: str
    up: str


class MergedTensors:
    """A source without any wrapping: plain names, updates added to their matrices when they are read.

    The sum is taken in float32 and rounded once to the type of the checkpoint.

    Args:
        source: The tensors as they are stored.
        config: The published ``config.json``, which says whether parts are wrapped, and at which rank.

    Raises:
        CheckpointError: If names and config contradict each other, or a factor is missing or does not fit.
    """

    def __init__(self, source: TensorSource, config: Mapping[str, Any]) -> None:
        self._source = source
        self._stored: dict[str, str] = {}
        self._updates: dict[str, _Update] = {}
        for name in source.infos:
            if not _is_factor(name) and self._stored.setdefault(_plain_name(name), name) != name:
                raise self._error(name, f"{self._stored[_plain_name(name)]} is the same matrix")
        for name in source.infos:
            if name.endswith(_DOWN):
                self._add_update(name)
        self._check_factors()
        self._check_config(config)
        self.infos: Mapping[str, TensorInfo] = {plain: source.infos[name] for plain, name in self._stored.items()}

    @property
    def merged(self) -> int:
        """Number of matrices that an update is added to."""
        return len(self._updates)

    def read(self, name: str) -> torch.Tensor:
        """Return one tensor, with its update."""
        tensor = self._source.read(self._stored[name])
        if name not in self._updates:
            return tensor
        update = self._updates[name]
        down, up = self._source.read(update.down).float(), self._source.read(update.up).float()
        return (tensor.float() + SCALE * (up @ down)).to(tensor.dtype)

    def where(self, name: str) -> Path:
        """Return the file that the matrix is in."""
        return self._source.where(self._stored[name])

    def close(self) -> None:
        """Let go of the files."""
        self._source.close()

    def _add_update(self, down: str) -> None:
        up = down.removesuffix(_DOWN) + _UP
        matrix = _plain_name(down.removesuffix(_DOWN) + ".weight")
        if up not in self._source.infos:
            raise self._error(down, f"its other factor {up} is missing")
        if matrix not in self._stored:
            raise self._error(down, f"the matrix {matrix} that it belongs to is missing")
        shape = self._source.infos[self._stored[matrix]].shape
        down_shape, up_shape = self._source.infos[down].shape, self._source.infos[up].shape
        if (*up_shape[:1], *down_shape[1:]) != shape or up_shape[1:] != down_shape[:1]:
            raise self._error(
                down, f"the update {list(up_shape)} x {list(down_shape)} does not fit {matrix}, {list(shape)}"
            )
        self._updates[matrix] = _Update(down, up)

    def _check_factors(self) -> None:
        known = {name for update in self._updates.values() for name in (update.down, update.up)}
        for name in self._source.infos:
            if _is_factor(name) and name not in known:
                raise self._error(name, "only pairs of lora_A and lora_B named 'default' can be merged")

    def _check_config(self, config: Mapping[str, Any]) -> None:
        for prefix, flag in _PARTS.items():
            rank = config.get(flag) or 0
            if not isinstance(rank, int):
                raise CheckpointError("Cannot merge LoRA", rule=f"{flag} in config.json must be a rank, got {rank!r}")
            found = {
                self._source.infos[update.down].shape[0]: update.down
                for matrix, update in self._updates.items()
                if matrix.startswith(prefix)
            }
            if rank and not found:
                raise CheckpointError(
                    "Cannot merge LoRA",
                    rule=f"{flag} is {rank} in config.json, but no tensor of {prefix}* has lora_A",
                    action="Set it to 0 if the checkpoint is merged already",
                )
            for shape, down in found.items():
                if shape != rank:
                    raise self._error(down, f"its rank must be the {rank} that {flag} in config.json says, got {shape}")

    def _error(self, name: str, rule: str) -> CheckpointError:
        return CheckpointError(
            "Cannot merge LoRA",
            where=f"{self._source.where(name)}, tensor {name}",
            rule=rule,
            action="Copy the checkpoint again, or merge it with the trainer that wrote it",
        )


def _is_factor(name: str) -> bool:
    return ".lora_" in name


def _plain_name(name: str) -> str:
    """Take peft's wrapping out of a name."""
    for part in _PARTS:
        if name.startswith(part + _WRAPPING):
            name = part + name.removeprefix(part + _WRAPPING)
    return name.replace(_BASE, ".")
