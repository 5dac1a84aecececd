"""Follows the bytes of all live tensors of a piece of code, and remembers the moment at which they are most.

It sees every operation that torch dispatches: new storages are counted when they appear and until they are freed;
views, and results that are their own input, are not counted twice. What a kernel allocates and frees within one
operation is not seen. torch.distributed._tools.mem_tracker does alike; it is private to torch, wants the modules to be
called as a whole, and keeps statistics of each module that are not needed here.

This module imports torch at its top: it is imported by the rehearsal alone, inside functions.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from domainvl.planning.footprint import Footprint, Kind


class MemoryTracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts live tensors while it is entered; it may be entered again and again.

    Args:
        granularity_bytes: Each storage is rounded up to a multiple of this; the CUDA caching allocator has 512
            (pytorch/pytorch, c10/cuda/CUDACachingAllocator.cpp, kMinBlockSize).

    Attributes:
        phase: What new tensors are for.
    """

    def __init__(self, granularity_bytes: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.phase = Kind.WORKING
        self._granularity_bytes = granularity_bytes
        self._entries: dict[int, _Entry] = {}
        self._live: Counter[Kind] = Counter()
        self._live_bytes = 0
        self._peak: Counter[Kind] = Counter()
        self._peak_bytes = 0

    @property
    def live(self) -> Footprint:
        """What is held now."""
        return Footprint(dict(+self._live))

    @property
    def peak(self) -> Footprint:
        """What was held when most was held."""
        return Footprint(dict(+self._peak))

    def restart(self) -> None:
        """Forget the peak."""
        self._peak, self._peak_bytes = self._live.copy(), self._live_bytes

    def claim(self, tensors: Iterable[torch.Tensor], kind: Kind) -> None:
        """Say what some tensors are for; those not counted yet are counted from now on."""
        for tensor in tensors:
            self._count(tensor)
            entry = self._entries[tensor.untyped_storage()._cdata]
            self._live[entry.kind] -= entry.size_bytes
            self._live[kind] += entry.size_bytes
            entry.kind = kind

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operation and count what it made."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf)
        return result

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._entries:
            return
        rounded = -(-storage.nbytes() // self._granularity_bytes) * self._granularity_bytes
        entry = _Entry(self.phase, rounded)
        entry.reference = weakref.ref(storage, lambda _: self._forget(key, entry))
        self._entries[key] = entry
        self._live[entry.kind] += rounded
        self._live_bytes += rounded
        if self._live_bytes > self._peak_bytes:
            self._peak, self._peak_bytes = self._live.copy(), self._live_bytes

    def _forget(self, key: int, entry: _Entry) -> None:
        if self._entries.get(key) is entry:
            del self._entries[key]
        self._live[entry.kind] -= entry.size_bytes
        self._live_bytes -= entry.size_bytes


class _Entry:
    """One storage."""

    __slots__ = ("kind", "reference", "size_bytes")

    def __init__(self, kind: Kind, size_bytes: int) -> None:
        self.kind = kind
        self.size_bytes = size_bytes
        self.reference: weakref.ref[Any] | None = None
