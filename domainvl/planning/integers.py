"""Lets code with fake tensors ask for the values of small integers: positions, labels, masks.

A fake tensor has a shape and no values, so "how many are supervised" or "is a row padded" cannot be answered by it.
Here integer and boolean tensors that depend on known ones alone are computed as well; the answer is then the real one.

This module imports torch at its top: it is imported by the rehearsal alone, inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

_LARGEST_KNOWN = 1 << 20
"""Elements; a mask for each pair of tokens is larger, and nothing asks for its values."""

_INDEXING = (
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put.default,
    torch.ops.aten.index_put_.default,
    torch.ops.aten._index_put_impl_.default,
)


class KnownIntegers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the values of small integer tensors beside their fake ones; enter it inside ``fakes``.

    Args:
        fakes: Makes the fake tensors.
    """

    def __init__(self, fakes: FakeTensorMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fakes = fakes
        self._known = WeakTensorKeyDictionary()

    def fake(self, real: torch.Tensor) -> torch.Tensor:
        """Return a fake tensor whose values are known if it holds integers."""
        fake = self._fakes.from_tensor(real)
        if _is_small_integer(real):
            self._known[fake] = real
        return fake

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operation on the fake tensors, and on the known ones if that is all it needs."""
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default:
            return self._item(args[0])
        if func in _INDEXING:
            args = (args[0], self._positions(args[1]), *args[2:])
        result = func(*args, **kwargs)
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        if made and all(_is_small_integer(tensor) for tensor in made):
            self._compute(func, args, kwargs, result)
        return result

    def _item(self, tensor: torch.Tensor) -> bool | int | float:
        if tensor in self._known:
            with unset_fake_temporarily():
                value: bool | int | float = self._known[tensor].item()
            return value
        # A loss, a norm of gradients, a count of steps: any number will do.
        return 1.0 if tensor.is_floating_point() else 1

    def _positions(self, indices: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
        """Put the positions of a mask in the mask's place: their number is the number of its true elements."""
        positions: list[torch.Tensor | None] = []
        for index in indices:
            if index is None or index.dtype != torch.bool:
                positions.append(index)
                continue
            with unset_fake_temporarily():
                columns = self._known[index].nonzero().unbind(1)
            positions += [self.fake(column) for column in columns]
        return positions

    def _compute(self, func: Callable[..., Any], args: Any, kwargs: Any, result: Any) -> None:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if not all(self._is_known(tensor) for tensor in tensors):
            for leaf in tree_leaves(result):  # something unknown was written into it, if it was known at all
                self._known.pop(leaf, None)  # type: ignore[no-untyped-call]
            return
        real_args, real_kwargs = tree_map(
            lambda leaf: self._known[leaf] if isinstance(leaf, FakeTensor) else leaf, (args, kwargs)
        )
        with unset_fake_temporarily():
            real = func(*real_args, **real_kwargs)
        for fake_leaf, real_leaf in zip(tree_leaves(result), tree_leaves(real), strict=True):
            if fake_leaf not in self._known:
                self._known[fake_leaf] = real_leaf

    def _is_known(self, tensor: torch.Tensor) -> bool:
        return tensor in self._known or not isinstance(tensor, FakeTensor)


def _is_small_integer(tensor: torch.Tensor) -> bool:
    return not tensor.is_floating_point() and tensor.numel() <= _LARGEST_KNOWN
