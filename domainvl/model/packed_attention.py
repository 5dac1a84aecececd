"""Attention over packs: which tokens of a row see which, and how each implementation is told or computes it.

A row of a pack holds several units one behind the other. transformers would find them by their positions, but builds
a mask of tokens x tokens for it, knows nothing of questions that share what stands before them, and silently takes a
row for one sample as soon as it is given a mask of ones or has a cache. So it is given what :func:`attention_inputs`
returns and decides nothing itself.

``packed_sdpa`` is an implementation of attention of its own, registered with transformers. It computes each unit
alone: no mask of tokens x tokens, no padding, a cost that is the sum over units. On a GPU in half precision packs of
plain samples go to torch's variable-length flash attention, which needs no package. Without a pack, as when answers
are generated, it is transformers' ``sdpa``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from inspect import signature
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from domainvl.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

PACKED_SDPA = "packed_sdpa"
"""Name under which transformers knows the implementation of this module."""

DENSE = ("eager", "sdpa")
"""Implementations of attention that compute a whole row against itself."""

_KEYWORD = "pack"
"""Argument that transformers hands down from the language model to its attention."""

_SMALLEST_FLASH_CAPABILITY = (8, 0)
"""Of a GPU; with the two below as in Dao-AILab/flash-attention, README.md, which torch's flash attention is."""

LARGEST_FLASH_HEAD = 256


@dataclass(frozen=True)
class UnitPlace:
    """Where one unit is in a pack.

    Tokens ``start`` to ``start + shared`` of the row are seen by all questions of the unit; behind them stand the
    questions' own tokens, one question after the other. A plain sample has ``shared=0`` and one question.

    Attributes:
        row: Row of the pack.
        start: First token in the row.
        shared: Tokens that all questions see.
        questions: Own tokens of each question.
    """

    row: int
    start: int
    shared: int
    questions: tuple[int, ...]

    @property
    def end(self) -> int:
        """First token behind the unit."""
        return self.start + self.shared + sum(self.questions)

    @property
    def longest_sample(self) -> int:
        """Tokens of the longest sample: what is shared and its own."""
        return self.shared + max(self.questions)

    @property
    def is_plain(self) -> bool:
        """Whether the unit is one sample."""
        return len(self.questions) == 1

    @property
    def calls(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """What is computed in one call each: tokens that are seen before, and questions that see them and themselves.

        Questions are computed together until their own tokens are as many as the shared ones. The shared keys then
        need not be copied for each, and at most half of what is computed are pairs of different questions, which do
        not see each other.
        """
        if self.is_plain:
            return ((0, (self.shared + self.questions[0],)),)
        together: list[tuple[int, ...]] = []
        for own in self.questions:
            if together and sum(together[-1]) + own <= self.shared:
                together[-1] += (own,)
            else:
                together.append((own,))
        return (0, (self.shared,)), *((self.shared, questions) for questions in together)


@dataclass(frozen=True)
class PackLayout:
    """Where the units of a pack are; what no unit covers is padding.

    Attributes:
        units: In the order of rows and tokens.
        rows: Of the pack.
        tokens: Of each row, padding included.

    Raises:
        ValueError: If a unit is empty, not inside its row, or not behind the one before it.
    """

    units: tuple[UnitPlace, ...]
    rows: int
    tokens: int

    def __post_init__(self) -> None:
        row, end = 0, 0
        for unit in self.units:
            end = 0 if unit.row > row else end
            if not unit.questions or min(unit.questions) < 1 or unit.shared < (len(unit.questions) > 1):
                raise ValueError(f"Questions need at least one token each, several of them one that they share: {unit}")
            if not row <= unit.row < self.rows or unit.start < end or unit.end > self.tokens:
                raise ValueError(
                    f"Units must stand in order, apart, in {self.rows} rows of {self.tokens} tokens, got {unit}"
                )
            row, end = unit.row, unit.end

    @cached_property
    def all_plain(self) -> bool:
        """Whether each unit is one sample."""
        return all(unit.is_plain for unit in self.units)

    @property
    def longest_sample(self) -> int:
        """Tokens of the longest sample."""
        return max((unit.longest_sample for unit in self.units), default=0)


def attention_pairs(layout: PackLayout, implementation: str) -> int:
    """Count the query-key pairs that an implementation computes for each head, to compare arrangements by cost.

    A dense mask is computed over whole rows, padding included, all others over each unit. Kernels that know of
    causality skip up to half of the latter; that is not counted.
    """
    if implementation in DENSE:
        return layout.rows * layout.tokens**2
    calls = [(shared, sum(questions)) for unit in layout.units for shared, questions in unit.calls]
    return sum(own * (shared + own) for shared, own in calls)


def attention_inputs(
    layout: PackLayout,
    implementation: str,
    dtype: torch.dtype,
    device: torch.device,
    *,
    sliding_window: int | None = None,
) -> dict[str, Any]:
    """Return what the language model's forward needs, besides positions that restart in each unit.

    With these arguments transformers builds no mask of its own, whether there is a cache or not.

    Args:
        layout: Of the pack.
        implementation: Name of the language model's, ``config.text_config._attn_implementation``.
        dtype: Of the arithmetic.
        device: Of the model.
        sliding_window: The language model's, None where it has none. ``packed_sdpa`` and flash attention apply it;
            with the others no sample may be longer.

    Raises:
        UsageError: If the implementation cannot compute this pack.
    """
    if implementation == PACKED_SDPA:
        return _packed_inputs(layout, dtype, device)
    if implementation == "flash_attention_2":
        return _flash_inputs(layout, device)
    if sliding_window is not None and layout.longest_sample > sliding_window:
        raise UsageError(
            f"Cannot pack with {implementation}",
            rule=f"a sample must fit the model's attention window of {sliding_window} tokens, "
            f"one has {layout.longest_sample}",
            action=f"Take {PACKED_SDPA}",
        )
    if implementation in DENSE:
        return {"attention_mask": _dense_mask(layout, implementation, dtype, device)}
    if implementation == "flex_attention":
        return {"attention_mask": _block_mask(layout, device)}
    raise UsageError("Cannot pack", rule=f"no pack can be given to attention {implementation!r}")


# --- what transformers' own implementations take


def _places(layout: PackLayout) -> Iterator[tuple[UnitPlace, bool]]:
    """Yield what covers all rows: units, and as plain units the padding; and whether it is padding."""
    row, end = 0, 0
    for unit in (*layout.units, UnitPlace(layout.rows, 0, 0, (1,))):
        while row < unit.row:
            if end < layout.tokens:
                yield UnitPlace(row, end, 0, (layout.tokens - end,)), True
            row, end = row + 1, 0
        if unit.start > end:
            yield UnitPlace(row, end, 0, (unit.start - end,)), True
        if row < layout.rows:
            yield unit, False
        end = unit.end


def _marks(layout: PackLayout, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each token its unit, and the number of its question from 1, 0 where it is shared.

    Padding counts as units, so that each token sees at least itself.
    """
    import torch

    units = np.zeros((layout.rows, layout.tokens), dtype=np.int32)
    questions = np.zeros_like(units)
    for number, (place, _) in enumerate(_places(layout)):
        units[place.row, place.start : place.end] = number
        lengths = (place.shared, *place.questions)
        questions[place.row, place.start : place.end] = np.repeat(np.arange(len(lengths)), lengths)
    return torch.from_numpy(units).to(device), torch.from_numpy(questions).to(device)


def _dense_mask(layout: PackLayout, implementation: str, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return shape (rows, 1, tokens, tokens): booleans for sdpa, for eager what is added to the scores."""
    import torch

    units, questions = _marks(layout, device)
    seen = units[:, :, None] == units[:, None, :]
    seen &= (questions[:, None, :] == 0) | (questions[:, None, :] == questions[:, :, None])
    seen = seen.tril()[:, None]
    if implementation == "sdpa":
        return seen
    return torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill(~seen, torch.finfo(dtype).min)


def _block_mask(layout: PackLayout, device: torch.device) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    units, questions = _marks(layout, device)

    def sees(row: torch.Tensor, _: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        asked = questions[row, key]
        same_question = (asked == 0) | (asked == questions[row, query])
        return (units[row, query] == units[row, key]) & same_question & (key <= query)

    # Uncompiled it passes over several tensors of tokens x tokens, which at 16k tokens is gigabytes.
    on_gpu = device.type == "cuda"
    return create_block_mask(sees, layout.rows, None, layout.tokens, layout.tokens, device=device, _compile=on_gpu)


def _boundaries(layout: PackLayout, device: torch.device) -> tuple[torch.Tensor, int]:
    """Return where places begin in the rows one behind the other, int32 with the end, and the longest place."""
    import torch

    lengths = [place.end - place.start for place, _ in _places(layout)]
    return torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32, device=device), max(lengths)


def _flash_inputs(layout: PackLayout, device: torch.device) -> dict[str, Any]:
    if not layout.all_plain:
        raise UsageError(
            "Cannot pack with flash_attention_2",
            rule="it takes no samples that share their images with other questions",
            action=f"Take {PACKED_SDPA}, or one question a pass",
        )
    boundaries, longest = _boundaries(layout, device)
    return {
        "attention_mask": None,
        "cu_seq_lens_q": boundaries,
        "cu_seq_lens_k": boundaries,
        "max_length_q": longest,
        "max_length_k": longest,
    }


# --- our own implementation


@dataclass(frozen=True)
class _Group:
    """Calls of the same shape, computed as one.

    Attributes:
        shared: Tokens that the queries see besides themselves.
        questions: Tokens of each question of a call.
        queries: For each call the part of the rows that it computes, by its number among all parts.
        keys: For each call the parts that are seen: before the queries themselves what is shared.
    """

    shared: int
    questions: tuple[int, ...]
    queries: tuple[int, ...]
    keys: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class _Pack:
    """A layout as ``packed_sdpa`` computes it: made once a pack, used by each layer.

    Attributes:
        lengths: For each row the lengths of the parts it is cut into.
        groups: What is computed.
        boundaries: int32, where samples begin in the rows one behind the other, and the end; None where
            units share tokens, which flash attention cannot compute.
        longest: Tokens of the longest sample or stretch of padding; 0 without boundaries.
        masks: Those made so far, by group and sliding window.
    """

    lengths: tuple[tuple[int, ...], ...]
    groups: tuple[_Group, ...]
    boundaries: torch.Tensor | None
    longest: int
    masks: dict[tuple[_Group, int | None], torch.Tensor] = field(default_factory=dict)

    def mask(self, group: _Group, window: int | None, device: torch.device) -> torch.Tensor | None:
        """Return which keys the queries of a call see, None where causality says it."""
        window = None if window is None or window >= group.shared + max(group.questions) else window
        if not group.shared and len(group.questions) == 1 and window is None:
            return None
        if (group, window) not in self.masks:
            self.masks[group, window] = _call_mask(group, window, device)
        return self.masks[group, window]


def _call_mask(group: _Group, window: int | None, device: torch.device) -> torch.Tensor:
    """Return booleans of shape (1, 1, queries, keys)."""
    import torch

    numbers = np.repeat(np.arange(len(group.questions) + 1), (group.shared, *group.questions))
    places = np.concatenate([np.arange(group.shared), *(group.shared + np.arange(own) for own in group.questions)])
    asking, at = numbers[group.shared :, None], places[group.shared :, None]
    seen = ((numbers == 0) | (numbers == asking)) & (places <= at)
    if window is not None:
        seen &= places > at - window
    return torch.from_numpy(seen).to(device)[None, None]


def _packed_inputs(layout: PackLayout, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """Return the pack, and a mask of four axes, for which transformers makes no other.

    Nobody should use that mask; attention that does, of another implementation say, gives NaN and no wrong loss.
    """
    import torch

    return {
        "attention_mask": torch.full((1, 1, 1, 1), math.nan, dtype=dtype, device=device),
        _KEYWORD: _cut(layout, device),
    }


def _cut(layout: PackLayout, device: torch.device) -> _Pack:
    """Cut rows into parts, and put calls of the same shape together."""
    lengths: list[list[int]] = [[] for _ in range(layout.rows)]
    found: dict[tuple[int, tuple[int, ...]], list[tuple[int, ...]]] = {}
    number = count()
    for place, is_padding in _places(layout):
        first = None
        for shared, questions in place.calls:
            part = next(number)
            lengths[place.row].append(sum(questions))
            if not is_padding:  # which nobody computes
                found.setdefault((shared, questions), []).append((part,) if first is None else (first, part))
            first = part if first is None else first
    groups = [_Group(*shape, tuple(keys[-1] for keys in parts), tuple(parts)) for shape, parts in found.items()]
    boundaries, longest = _boundaries(layout, device) if layout.all_plain else (None, 0)
    return _Pack(tuple(map(tuple, lengths)), tuple(groups), boundaries, longest)


def register_packed_attention() -> None:
    """Make ``packed_sdpa`` known to transformers; more than once is as good as once."""
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    # A compiled graph would hold for one layout, and each pack has another.
    uncompiled = torch.compiler.disable(packed_sdpa)  # type: ignore[no-untyped-call]
    AttentionInterface.register(PACKED_SDPA, uncompiled)
    AttentionMaskInterface.register(PACKED_SDPA, sdpa_mask)


def packed_sdpa(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    pack: _Pack | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Compute attention within each unit of a pack, as transformers calls it; without a pack its ``sdpa``.

    Args:
        module: The layer's attention.
        query: Shape (rows, heads, tokens, width of a head).
        key: Same, with as many or fewer heads.
        value: As ``key``.
        attention_mask: Of the rows; not used with a pack.
        dropout: Share of the weights to drop.
        scaling: Of the scores.
        sliding_window: Of the layer.
        pack: From :func:`attention_inputs`.
        **others: What else transformers passes.

    Returns:
        Shape (rows, tokens, heads, width of a head), zero where there is padding or anything finite; and no weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if pack is None:
        whole, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return whole, None
    query, key, value = _autocast(query, key, value)
    if pack.boundaries is not None and dropout == 0 and has_flash(query):
        return _flash(pack.boundaries, pack.longest, query, key, value, scaling, sliding_window), None
    queries, keys, values = (_parts(tensor, pack.lengths) for tensor in (query, key, value))
    outputs: dict[int, torch.Tensor] = {}
    for group in pack.groups:
        output, _ = sdpa_attention_forward(
            module,
            _stack(queries, [(part,) for part in group.queries]),
            _stack(keys, group.keys),
            _stack(values, group.keys),
            pack.mask(group, sliding_window, query.device),
            dropout=dropout,
            scaling=scaling,
            is_causal=True,
        )
        outputs.update(zip(group.queries, output.unbind(), strict=True))
    return _join(outputs, pack.lengths, like=query), None


def _autocast(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Put all into the type of automatic casting, which does not reach what is called here."""
    import torch

    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(kind)) for tensor in tensors)


def _parts(tensor: torch.Tensor, lengths: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """Cut shape (rows, heads, tokens, width) into shapes (heads, length, width).

    All at once: each cut of its own would make a gradient of the size of the whole.
    """
    import torch

    rows = zip(tensor.unbind(), lengths, strict=True)
    return [part for row, in_row in rows for part in torch.split(row, list(in_row), dim=1)]


def _stack(parts: Sequence[torch.Tensor], wanted: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """Put parts one behind the other and what comes of it together; shape (wanted, heads, length, width)."""
    import torch

    joined = (
        parts[numbers[0]] if len(numbers) == 1 else torch.cat([parts[number] for number in numbers], dim=1)
        for numbers in wanted
    )
    return torch.stack(list(joined))


def _join(outputs: Mapping[int, torch.Tensor], lengths: Sequence[Sequence[int]], like: torch.Tensor) -> torch.Tensor:
    """Put parts of shape (length, heads, width) into rows, zeros where there is none.

    Args:
        outputs: Parts by their number.
        lengths: For each row the lengths of its parts.
        like: The queries, shape (rows, heads, tokens, width).
    """
    import torch

    _, heads, _, width = like.shape
    number = count()
    rows = []
    for in_row in lengths:
        parts = [(outputs.get(next(number)), length) for length in in_row]
        rows.append(torch.cat([like.new_zeros(n, heads, width) if part is None else part for part, n in parts]))
    return torch.stack(rows)


def has_flash(query: torch.Tensor) -> bool:
    """Whether torch's own flash attention of several lengths takes these queries."""
    import torch

    width = query.shape[-1]
    return (
        query.is_cuda
        and query.dtype in (torch.float16, torch.bfloat16)
        and knows_windows()
        and torch.cuda.get_device_capability(query.device) >= _SMALLEST_FLASH_CAPABILITY
        and width % 8 == 0
        and width <= LARGEST_FLASH_HEAD
    )


def _flash(
    boundaries: torch.Tensor,
    longest: int,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """Compute plain samples; stretches of padding see themselves, which is finite and used by nobody."""
    from torch.nn.attention.varlen import varlen_attn

    rows, heads, tokens, width = query.shape

    def flat(tensor: torch.Tensor) -> torch.Tensor:
        """Rows one behind the other, with as many heads as the queries: not all kernels know groups of heads."""
        in_line = tensor.transpose(1, 2).reshape(rows * tokens, -1, width)
        groups = heads // in_line.shape[1]
        return in_line if groups == 1 else in_line.repeat_interleave(groups, dim=1)

    output: Any = varlen_attn(
        flat(query),
        flat(key),
        flat(value),
        boundaries,
        boundaries,
        longest,
        longest,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
    )
    return cast("torch.Tensor", output.reshape(rows, tokens, heads, width))


@cache
def knows_windows() -> bool:
    """Whether torch's attention of several lengths is there, and in a version that takes a window."""
    if find_spec("torch.nn.attention.varlen") is None:
        return False
    from torch.nn.attention.varlen import varlen_attn

    return "window_size" in signature(varlen_attn).parameters
