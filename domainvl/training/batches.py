"""Which samples form which step, known before the run; and how the samples of a step become tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from domainvl.model.encoding import ConversationEncoder, EncodedConversation
from domainvl.model.preprocessing import Preprocessing, TileReader, Tiles
from domainvl.schema import Sample

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""Label of a position that the loss does not count."""

_WINDOW_BATCHES = 16


@dataclass(frozen=True)
class BatchPlan:
    """The order of a whole run: a function of seed, epoch and lengths, so resuming needs only the step.

    Samples are shuffled, sorted by length within windows of some batches and cut into batches, whose order
    is shuffled again: batches hold samples of similar length and little is padded.

    Attributes:
        lengths: A measure of length for each sample.
        batch_size: Samples a step.
        seed: Of the shuffles.
    """

    lengths: Sequence[int]
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps in one pass; the last batch may be smaller."""
        return math.ceil(len(self.lengths) / self.batch_size)

    def epoch(self, number: int) -> list[list[int]]:
        """Return the batches of one pass, each a list of sample indices."""
        generator = np.random.default_rng([self.seed, number])
        order = generator.permutation(len(self.lengths))
        window = self.batch_size * _WINDOW_BATCHES
        batches = []
        for start in range(0, len(order), window):
            part = sorted(order[start : start + window].tolist(), key=lambda index: (self.lengths[index], index))
            batches += [part[first : first + self.batch_size] for first in range(0, len(part), self.batch_size)]
        return [batches[index] for index in generator.permutation(len(batches))]


def estimate_length(sample: Sample, preprocessing: Preprocessing) -> int:
    """Estimate the number of tokens of a sample without tokenising it: visual tokens and a quarter of the text."""
    tiles = sum(grid.tile_count for grid in preprocessing.grids(sample.images))
    return tiles * preprocessing.tokens_per_tile + sum(len(turn.text) for turn in sample.turns) // 4


@dataclass(frozen=True)
class EncodedSample:
    """A sample as the model takes it."""

    conversation: EncodedConversation
    tiles: tuple[Tiles, ...]

    @property
    def supervised_count(self) -> int:
        """Number of tokens that the loss counts; the first token has nothing that could predict it."""
        return sum(self.conversation.supervised[1:])


def encode_sample(
    sample: Sample, encoder: ConversationEncoder, reader: TileReader, preprocessing: Preprocessing
) -> EncodedSample:
    """Encode a sample's conversation and read its tiles.

    Raises:
        DatasetError: If an image cannot be used.
    """
    tile_counts = [grid.tile_count for grid in preprocessing.grids(sample.images)]
    return EncodedSample(encoder.encode(sample.turns, tile_counts), tuple(reader.read(sample.images)))


@dataclass(frozen=True)
class Batch:
    """Samples padded to one length, on the right.

    Attributes:
        input_ids: int64 of shape (samples, tokens).
        attention_mask: int64, 1 where there is a token.
        labels: int64; what each position is, or ``IGNORED``.
        tiles: Tiles of all images, in the order of their placeholders.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    tiles: tuple[Tiles, ...]


def collate(samples: Sequence[EncodedSample], padding_id: int) -> Batch:
    """Pad some samples to one batch."""
    import torch

    longest = max(len(sample.conversation.input_ids) for sample in samples)
    input_ids = torch.full((len(samples), longest), padding_id, dtype=torch.long)
    attention_mask = torch.zeros_like(input_ids)
    labels = torch.full_like(input_ids, IGNORED)
    for row, sample in enumerate(samples):
        ids = torch.tensor(sample.conversation.input_ids)
        supervised = torch.tensor(sample.conversation.supervised)
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
        labels[row, : len(ids)] = torch.where(supervised, ids, IGNORED)
    return Batch(input_ids, attention_mask, labels, tuple(part for sample in samples for part in sample.tiles))
