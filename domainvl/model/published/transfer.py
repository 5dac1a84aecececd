"""Moving all tensors of a checkpoint from one layout to the other, proven complete before the first is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.errors import CheckpointError
from domainvl.model.published.layout import Binding
from domainvl.model.published.tensors import TensorInfo, TensorSource

if TYPE_CHECKING:
    import torch
    from torch import nn

_COMPUTED = re.compile(r"\.(rotary_emb\.inv_freq|embeddings\.position_ids)$")
"""Buffers that older code saved and every class computes again."""

Shapes = Mapping[str, tuple[int, ...]]


def model_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that a model's checkpoint must hold; one that is tied is held once."""
    tied = set(getattr(model, "all_tied_weights_keys", {}))
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if name not in tied}


@dataclass(frozen=True)
class Transfer:
    """What will be written.

    Attributes:
        infos: Type and shape of each tensor, in the order in which they come.
        left_out: Stored tensors that are no parameters and are computed again.
    """

    infos: dict[str, TensorInfo]
    left_out: tuple[str, ...]
    _source: TensorSource
    _bindings: tuple[Binding, ...]
    _joining: bool

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(info.parameters for info in self.infos.values())

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Read, transform and yield one tensor after another."""
        for binding in self._bindings:
            if self._joining:
                yield binding.stored, binding.join([self._source.read(name) for name in binding.native])
            else:
                yield from zip(binding.native, binding.split(self._source.read(binding.stored)), strict=True)


def to_native(bindings: Sequence[Binding], source: TensorSource, expected: Shapes, folder: Path) -> Transfer:
    """Plan the way into transformers' layout.

    Args:
        bindings: What each stored tensor is.
        source: The stored tensors.
        expected: Every tensor of the model that the config describes, by native name.
        folder: The checkpoint, for messages.

    Raises:
        CheckpointError: If a stored tensor is unknown or of another shape than the config says, or one that the
            config says is missing.
    """
    by_stored = {binding.stored: binding for binding in bindings}
    left_out = tuple(name for name in source.infos if name not in by_stored and _COMPUTED.search(name))
    unknown = [name for name in source.infos if name not in by_stored and name not in left_out]
    if unknown:
        raise _error(
            folder,
            f"config.json has no place for the tensor {unknown[0]} in {source.where(unknown[0]).name}{_more(unknown)}",
        )
    used = [by_stored[name] for name in source.infos if name in by_stored]
    infos: dict[str, TensorInfo] = {}
    for binding in used:
        stored = source.infos[binding.stored]
        for name, shape in zip(binding.native, binding.native_shapes(stored.shape), strict=True):
            _check(name, binding.stored, shape, stored, expected, source.where(binding.stored))
            if name in infos:
                raise _error(folder, f"two tensors are the same weight, {name}; one of them is {binding.stored}")
            infos[name] = TensorInfo(stored.dtype, shape)
    missing = [name for name in expected if name not in infos]
    if missing:
        stored_name = next((b.stored for b in bindings if missing[0] in b.native), missing[0])
        raise _error(folder, f"config.json asks for the tensor {stored_name}, which is missing{_more(missing)}")
    return Transfer(infos, left_out, source, tuple(used), _joining=False)


def to_published(bindings: Sequence[Binding], source: TensorSource, folder: Path) -> Transfer:
    """Plan the way out of transformers' layout.

    Args:
        bindings: What each tensor that is to be written is made of.
        source: The native tensors.
        folder: The checkpoint, for messages.

    Raises:
        CheckpointError: If a native tensor is missing, or has no place in the published layout.
    """
    needed = {name: binding for binding in bindings for name in binding.native}
    for found, wanted, rule in (
        (source.infos, needed, "the published layout has no place for the tensor"),
        (needed, source.infos, "this tensor is missing:"),
    ):
        stray = [name for name in found if name not in wanted]
        if stray:
            raise _error(folder, f"{rule} {stray[0]}{_more(stray)}")
    order = list(dict.fromkeys(needed[name] for name in source.infos))
    infos = {binding.stored: _joined_info(binding, source, folder) for binding in order}
    return Transfer(infos, (), source, tuple(order), _joining=True)


def _joined_info(binding: Binding, source: TensorSource, folder: Path) -> TensorInfo:
    parts = [source.infos[name] for name in binding.native]
    if len({part.dtype for part in parts}) > 1:
        raise _error(folder, f"{binding.native[0]} and what it is fused with must be of one type")
    if len(parts) == 1:
        return parts[0]
    return TensorInfo(parts[0].dtype, (sum(part.shape[0] for part in parts), *parts[0].shape[1:]))


def _check(
    name: str, stored_name: str, shape: tuple[int, ...], stored: TensorInfo, expected: Shapes, where: Path
) -> None:
    if name not in expected:
        raise _error(where, f"transformers' class has no place for the tensor {stored_name}")
    if shape != expected[name] or not stored.dtype.is_floating_point:
        raise _error(
            where,
            f"the tensor {stored_name} is {list(stored.shape)} of {stored.dtype}; config.json makes it "
            f"{'a part of ' if shape != stored.shape else ''}{list(expected[name])}, of floating point",
        )


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _error(where: Path, rule: str) -> CheckpointError:
    return CheckpointError(
        "The tensors and the config of a checkpoint contradict each other",
        where=where,
        rule=rule,
        action="Download the checkpoint again, all of its files",
    )
