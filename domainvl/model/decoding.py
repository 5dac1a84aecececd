"""Reading and writing tokens with the language model, many rows at a time, over keys and values that rows can share.

Unlike ``generate`` of transformers this lets several questions go on from one reading of their images, and a row
whose answer has ended costs nothing any more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

if TYPE_CHECKING:
    from transformers import InternVLForConditionalGeneration

_ROOM_TOKENS = 32
"""By how much memory for keys and values grows at a time, so that a token does not cost a copy of all before it."""

_STATES_AT_A_TIME = 256
"""Of how many tokens the probabilities of the whole vocabulary are held: 155 MB of float32 for the 1B."""


@dataclass(frozen=True)
class Written:
    """What the model wrote in a row.

    Attributes:
        ids: Its tokens, the end included if it was reached.
        log_probability: Of all of them together.
    """

    ids: tuple[int, ...]
    log_probability: float


class CachedRows:
    """Rows that the language model has read: their keys and values, and how long they are.

    The tokens of a row lie side by side, and those of all rows end in the last column. Nothing lies between the
    tokens of a row, so that windows of attention, which count columns, are right.

    Args:
        model: The model.
        layers: Keys and values of each layer.
        lengths: Tokens of each row.
    """

    def __init__(
        self, model: InternVLForConditionalGeneration, layers: Sequence[_RoomyLayer], lengths: Sequence[int]
    ) -> None:
        self._model = model
        self._cache = Cache(layers=list(layers))
        self._lengths = list(lengths)
        self._device = model.lm_head.weight.device

    @classmethod
    def empty(cls, model: InternVLForConditionalGeneration, count: int) -> CachedRows:
        """Return rows that hold nothing yet."""
        return cls(model, [_RoomyLayer() for _ in range(model.config.text_config.num_hidden_layers)], [0] * count)

    def read(self, rows: Sequence[Sequence[int]], features: torch.Tensor | None = None) -> torch.Tensor:
        """Go on with some tokens in each row.

        Args:
            rows: At least one token a row.
            features: What stands for the visual tokens, shape (tiles, tokens of a tile, width), in order of the rows.

        Returns:
            Last hidden states of these tokens, shape (rows, most tokens, width); behind the end of a row they mean
            nothing.
        """
        counts = [len(row) for row in rows]
        longest = max(counts)
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=self._device)
        return self._read(ids, counts, features)

    def read_one(self, ids: torch.Tensor) -> torch.Tensor:
        """Go on with one token in each row.

        Args:
            ids: int64 of shape (rows,).

        Returns:
            Last hidden states, shape (rows, width).
        """
        return self._read(ids[:, None], [1] * len(ids), None)[:, 0]

    def take(self, rows: Sequence[int]) -> CachedRows:
        """Return a copy of some rows, any of them as often as it is named."""
        layers = [_RoomyLayer(*held) for held in self._selected(rows)]
        return CachedRows(self._model, layers, [self._lengths[row] for row in rows])

    def keep(self, rows: Sequence[int]) -> None:
        """Become some of the rows, any of them as often as it is named; no more than a layer is held twice."""
        for layer, held in zip(self._cache.layers, self._selected(rows), strict=True):
            layer.hold(*held)
        self._lengths = [self._lengths[row] for row in rows]

    def _selected(self, rows: Sequence[int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield keys and values of some rows for each layer, without columns that none of them needs."""
        start = self._width - max(self._lengths[row] for row in rows)
        index = torch.tensor(list(rows), device=self._device)
        for layer in self._layers():
            yield layer.keys[:, :, start:].index_select(0, index), layer.values[:, :, start:].index_select(0, index)

    @property
    def _width(self) -> int:
        return int(self._cache.get_seq_length())

    def _layers(self) -> Iterator[Any]:
        yield from self._cache.layers

    def _read(self, ids: torch.Tensor, counts: Sequence[int], features: torch.Tensor | None) -> torch.Tensor:
        language_model: Any = self._model.model.language_model
        embeddings = language_model.get_input_embeddings()(ids)
        if features is not None:
            visual = (ids == self._model.config.image_token_id)[..., None]
            embeddings = embeddings.masked_scatter(visual, features.to(embeddings.dtype))
        positions = self._positions(ids.shape[1], counts)
        _forget_longer_rows(language_model, embeddings)
        hidden: torch.Tensor = language_model(
            inputs_embeds=embeddings,
            attention_mask=self._mask(ids.shape[1], counts),
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        self._lengths = [length + count for length, count in zip(self._lengths, counts, strict=True)]
        if len(set(counts)) > 1:
            self._align([ids.shape[1] - count for count in counts])
        return hidden

    def _positions(self, columns: int, counts: Sequence[int]) -> torch.Tensor:
        """Count on in each row; behind its end stands its last position, as the largest decides Phi-3's factors."""
        column = torch.arange(columns, device=self._device)
        last = torch.tensor(counts, device=self._device)[:, None] - 1
        return torch.tensor(self._lengths, device=self._device)[:, None] + torch.minimum(column, last)

    def _mask(self, columns: int, counts: Sequence[int]) -> torch.Tensor | None:
        """Say which columns hold tokens; None where all do, which quicker kernels are for."""
        width = self._width
        if min(self._lengths) == width and min(counts) == columns:
            return None
        old = (
            torch.arange(width, device=self._device)
            >= width - torch.tensor(self._lengths, device=self._device)[:, None]
        )
        new = torch.arange(columns, device=self._device) < torch.tensor(counts, device=self._device)[:, None]
        return torch.cat([old, new], dim=1)

    def _align(self, padding: Sequence[int]) -> None:
        """Move rows to the right, over the padding behind them, and leave out columns that no row needs."""
        width, wanted = self._width, max(self._lengths)
        ends = width - torch.tensor(padding, device=self._device)[:, None]
        columns = (ends - wanted + torch.arange(wanted, device=self._device)).clamp(min=0)
        row = torch.arange(len(padding), device=self._device)[:, None]
        for layer in self._layers():
            layer.hold(*(held.transpose(1, 2)[row, columns].transpose(1, 2) for held in (layer.keys, layer.values)))


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of a layer, in memory that has room for more.

    Args:
        keys: Shape (rows, heads, tokens, width of a head); None for nothing yet.
        values: Same.
    """

    def __init__(self, keys: torch.Tensor | None = None, values: torch.Tensor | None = None) -> None:
        super().__init__()
        if keys is not None and values is not None:
            self.hold(keys, values)

    def hold(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Take these in place of all so far."""
        self.lazy_initialization(keys, values)
        self._room = (keys, values)
        self.keys, self.values = keys, values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add tokens, and return all so far."""
        if not self.is_initialized:
            self.hold(key_states, value_states)
            return self.keys, self.values
        used = self.get_seq_length()
        wanted = used + key_states.shape[-2]
        if wanted > self._room[0].shape[-2]:
            self._room = (_grown(self.keys, wanted + _ROOM_TOKENS), _grown(self.values, wanted + _ROOM_TOKENS))
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, used:wanted] = new
        self.keys, self.values = (room[:, :, :wanted] for room in self._room)
        return self.keys, self.values


def _grown(held: torch.Tensor, tokens: int) -> torch.Tensor:
    rows, heads, used, width = held.shape
    room = held.new_empty(rows, heads, tokens, width)
    room[:, :, :used] = held
    return room


def _forget_longer_rows(language_model: Any, embeddings: torch.Tensor) -> None:
    """Undo by how much InternLM2 stretched its positions for a longer row before: shorter ones would be stretched too.

    transformers does so itself when a row is far from the border only (``dynamic_rope_update``).
    """
    rope = language_model.rotary_emb
    if rope.rope_type == "dynamic":
        rope(embeddings[:1, :1], position_ids=torch.zeros(1, 1, dtype=torch.long, device=embeddings.device))


def last_states(hidden: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
    """Return the state of the last token of each row.

    Args:
        hidden: From :meth:`CachedRows.read`.
        counts: Tokens of each row.

    Returns:
        Shape (rows, width).
    """
    rows = torch.arange(len(counts), device=hidden.device)
    return hidden[rows, torch.tensor(counts, device=hidden.device) - 1]


def write_greedily(
    model: InternVLForConditionalGeneration, rows: CachedRows, states: torch.Tensor, end_id: int, max_new_tokens: int
) -> list[Written]:
    """Go on with the most probable token in each row, until its end; a row that has ended leaves.

    Args:
        model: The model.
        rows: What was read; it is not of use afterwards.
        states: Of the last token of each row, shape (rows, width).
        end_id: The token that ends an answer.
        max_new_tokens: Longest answer.
    """
    ids: list[list[int]] = [[] for _ in states]
    writing = list(range(len(ids)))
    order: list[int] = []
    certainties: list[torch.Tensor] = []
    for count in range(1, max_new_tokens + 1):
        logits = model.lm_head(states).float()
        chosen = logits.argmax(dim=-1)
        certainties.append(_log_probabilities(logits, chosen))
        order += writing
        tokens = chosen.tolist()  # the one time in a step that the processor waits for the device
        for row, token in zip(writing, tokens, strict=True):
            ids[row].append(token)
        staying = [number for number, token in enumerate(tokens) if token != end_id]
        if not staying or count == max_new_tokens:
            break
        if len(staying) < len(writing):
            rows.keep(staying)
            writing = [writing[number] for number in staying]
            chosen = chosen[torch.tensor(staying, device=chosen.device)]
        states = rows.read_one(chosen)
    sums = [0.0] * len(ids)
    for row, certainty in zip(order, torch.cat(certainties).tolist(), strict=True):
        sums[row] += certainty
    return [Written(tuple(row), total) for row, total in zip(ids, sums, strict=True)]


def continuation_log_probabilities(
    model: InternVLForConditionalGeneration,
    rows: CachedRows,
    states: torch.Tensor,
    continuations: Sequence[tuple[int, Sequence[int]]],
    batch_size: int,
) -> list[float]:
    """Return how probable it is that rows go on with some tokens: the sum of the tokens' log-probabilities.

    Args:
        model: The model.
        rows: What was read; it is left as it is.
        states: Of the last token of each row, shape (rows, width).
        continuations: Number of a row, and one or more tokens.
        batch_size: Continuations at a time.
    """
    found: list[float] = []
    for start in range(0, len(continuations), batch_size):
        part = continuations[start : start + batch_size]
        # The first token follows the row's last state, each other the one before it.
        before = [[states[row][None]] for row, _ in part]
        longer = [(number, row, ids[:-1]) for number, (row, ids) in enumerate(part) if len(ids) > 1]
        if longer:
            hidden = rows.take([row for _, row, _ in longer]).read([ids for _, _, ids in longer])
            for (number, _, ids), in_row in zip(longer, hidden, strict=True):
                before[number].append(in_row[: len(ids)])
        flat = torch.cat([state for of_one in before for state in of_one])
        wanted = torch.tensor([token for _, ids in part for token in ids], device=flat.device)
        each = [
            _log_probabilities(model.lm_head(some).float(), tokens)
            for some, tokens in zip(
                torch.split(flat, _STATES_AT_A_TIME), torch.split(wanted, _STATES_AT_A_TIME), strict=True
            )
        ]
        values = iter(torch.cat(each).tolist())
        found += [math.fsum(next(values) for _ in ids) for _, ids in part]
    return found


def _log_probabilities(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return the log-probability of one token a row, shape (rows,)."""
    return logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(dim=-1)
