"""Batched greedy answers, with the likelihood that the model gives to each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from domainvl.model.preprocessing import TileReader, Tiles, blank_tiles, normalise
from domainvl.schema import Sample

if TYPE_CHECKING:
    import torch

    from domainvl.model.checkpoint import LoadedModel


@dataclass(frozen=True)
class GeneratedAnswer:
    """What a model answered.

    Attributes:
        sample_id: To which sample.
        text: The answer.
        likelihood: Exponential of the mean log-probability of its tokens, the end token included; 0 to 1.
    """

    sample_id: str
    text: str
    likelihood: float


@dataclass(frozen=True)
class _Request:
    sample: Sample
    input_ids: tuple[int, ...]


def generate_answers(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    reader: TileReader,
    *,
    batch_size: int = 32,
    max_new_tokens: int = 64,
    blank_images: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[GeneratedAnswer]:
    """Answer the last question of each sample.

    Samples are taken in order of the length of their prompt, so that little is padded.

    Args:
        loaded: The model.
        samples: What to answer.
        reader: Reads the samples' images.
        batch_size: Samples at a time.
        max_new_tokens: Longest answer.
        blank_images: Show grey instead of the images, to see what can be answered without looking.
        on_progress: Called with the number of answers given and wanted.

    Yields:
        One answer a sample, not in the order of ``samples``.
    """
    encoder = loaded.encoder()
    requests = []
    for sample in samples:
        tile_counts = [grid.tile_count for grid in loaded.spec.preprocessing.grids(sample.images)]
        requests.append(_Request(sample, encoder.encode(sample.turns[:-1], tile_counts).input_ids))
    requests.sort(key=lambda request: (len(request.input_ids), request.sample.id))
    with closing(reader.read_all(request.sample.images for request in requests)) as read_ahead:
        done = 0
        for batch in _batches(requests, batch_size, loaded.rope_border, max_new_tokens):
            tiles = [part for parts in islice(read_ahead, len(batch)) for part in parts]
            if blank_images:
                tiles = blank_tiles(tiles, loaded.spec.preprocessing)
            yield from _answer_batch(loaded, batch, tiles, max_new_tokens)
            if on_progress is not None:
                done += len(batch)
                on_progress(done, len(requests))


def _batches(
    requests: Sequence[_Request], size: int, rope_border: int | None, max_new_tokens: int
) -> Iterator[list[_Request]]:
    """Divide requests that are sorted by length, so that no answer depends on what else is in its batch.

    Where the model changes its positions at a border, prompts beyond it go together, those that stay before it go
    together, and each that may cross it while it is answered goes alone.
    """
    batch: list[_Request] = []
    last = None
    for request in requests:
        length = len(request.input_ids)
        beyond = rope_border is not None and length > rope_border
        crosses = rope_border is not None and not beyond and length + max_new_tokens > rope_border
        kind = request if crosses else beyond
        if batch and (len(batch) == size or kind != last):
            yield batch
            batch = []
        batch.append(request)
        last = kind
    if batch:
        yield batch


def _answer_batch(
    loaded: LoadedModel, batch: Sequence[_Request], tiles: Sequence[Tiles], max_new_tokens: int
) -> Iterator[GeneratedAnswer]:
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    model = loaded.internvl
    end_id = int(loaded.tokenizer.convert_tokens_to_ids(loaded.spec.chat.markers.end))
    padding_id = loaded.tokenizer.pad_token_id if loaded.tokenizer.pad_token_id is not None else end_id
    input_ids, attention_mask = _pad_left([request.input_ids for request in batch], padding_id)
    log_probabilities = _GreedyLogProbabilities()
    with torch.inference_mode():
        output = model.generate(
            input_ids=input_ids.to(loaded.device),
            attention_mask=attention_mask.to(loaded.device),
            # Without any image the argument must be left out: transformers takes None for images all the same.
            **({"pixel_values": pixel_values(loaded, tiles)} if tiles else {}),
            logits_processor=LogitsProcessorList([log_probabilities]),
            generation_config=GenerationConfig(
                max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=end_id, pad_token_id=padding_id
            ),
        )
    answers = output[:, input_ids.shape[1] :].tolist()
    for row, (request, ids) in enumerate(zip(batch, answers, strict=True)):
        length = ids.index(end_id) + 1 if end_id in ids else len(ids)
        text = loaded.tokenizer.decode(
            [token for token in ids[:length] if token != end_id], skip_special_tokens=False
        ).strip()
        yield GeneratedAnswer(request.sample.id, text, log_probabilities.likelihood(row, length))


def pixel_values(loaded: LoadedModel, tiles: Sequence[Tiles]) -> torch.Tensor | None:
    """Put the tiles of a batch on the model's device, normalised; None if there are none.

    Args:
        loaded: The model.
        tiles: uint8 tiles of each image, shape (tiles, side, side, 3).

    Returns:
        Shape (all tiles, 3, side, side).
    """
    import numpy as np
    import torch

    if not tiles:
        return None
    stacked = torch.from_numpy(np.concatenate(tiles)).to(loaded.device)
    return normalise(stacked, loaded.spec.preprocessing, loaded.internvl.dtype)


def _pad_left(rows: Sequence[Sequence[int]], padding_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), padding_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, longest - len(row) :] = torch.tensor(row)
        mask[index, longest - len(row) :] = 1
    return ids, mask


class _GreedyLogProbabilities:
    """Watches greedy decoding: the chosen token is the most probable one, so its probability is the maximum.

    Unlike keeping all scores this needs one number a token, not one a token and vocabulary entry.
    """

    def __init__(self) -> None:
        self._steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._steps.append(scores.float().log_softmax(dim=-1).amax(dim=-1).cpu())
        return scores

    def likelihood(self, row: int, length: int) -> float:
        """Return the normalised likelihood of the first ``length`` tokens of one answer."""
        return math.exp(sum(float(step[row]) for step in self._steps[:length]) / max(1, length))
