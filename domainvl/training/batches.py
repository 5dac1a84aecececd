"""Which samples form which step, known before the run; and how the samples of a step become tensors.

Questions about the same images share one pass through the model: the images and all that stands before the
questions are computed once, each question sees them and itself and no other question, and positions go on
from the images for each. Loss and gradients are those of separate samples; the cost is not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from domainvl.model.encoding import ConversationEncoder, EncodedConversation
from domainvl.model.preprocessing import Preprocessing, TileReader, Tiles
from domainvl.schema import Sample, SampleFile

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""Label of a position that the loss does not count."""

LossWeighting = Literal["token", "sample", "square"]
"""Whether the loss counts all tokens alike, all samples alike, or something between."""

_EXPONENTS: dict[LossWeighting, float] = {"token": 0.0, "sample": -1.0, "square": -0.5}

_SHARED = 0
"""Segment of the tokens that all questions of a pass see; each question is a segment from 1 on."""

_PADDING = -1


def group_into_passes(samples: SampleFile, questions_per_pass: int) -> list[range]:
    """Put neighbouring samples about the same images into one pass.

    Args:
        samples: The samples; those about the same images stand beside each other in a data set.
        questions_per_pass: Most samples in a pass.

    Returns:
        Ranges of indices that cover all samples in order.
    """
    passes = []
    start = 0
    for index in range(1, len(samples) + 1):
        full = index - start == questions_per_pass
        if index == len(samples) or full or samples.image_keys[index] != samples.image_keys[start]:
            passes.append(range(start, index))
            start = index
    return passes


@dataclass(frozen=True)
class BatchPlan:
    """The order of a whole run: a function of seed and epoch, so resuming needs only the step.

    Batches are drawn at random. Batches of samples of similar length would need less padding, but length goes
    with the task: each step would then follow the gradient of one task alone, and a small model does not learn
    to look.

    Attributes:
        passes: What is computed together.
        batch_size: Samples a step, on average.
        seed: Of the shuffles.
    """

    passes: Sequence[range]
    batch_size: int
    seed: int

    @property
    def passes_per_step(self) -> int:
        """Passes that hold about ``batch_size`` samples."""
        samples = sum(len(indices) for indices in self.passes)
        return max(1, round(self.batch_size * len(self.passes) / samples))

    @property
    def steps_per_epoch(self) -> int:
        """Steps that see each sample once; the last one may be smaller."""
        return math.ceil(len(self.passes) / self.passes_per_step)

    def epoch(self, number: int) -> list[list[range]]:
        """Return the batches that see each sample once, each a list of passes."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.passes))
        size = self.passes_per_step
        return [[self.passes[index] for index in order[start : start + size]] for start in range(0, len(order), size)]


@dataclass(frozen=True)
class EncodedPass:
    """One or several samples about the same images, as the model takes them.

    Attributes:
        input_ids: Token ids: what is shared, then each question with its answer.
        supervised: For each token, whether the loss counts it.
        positions: For each token, its position in its own sample.
        segments: For each token, 0 where it is shared, else the number of its question from 1.
        tiles: Tiles of each image.
    """

    input_ids: tuple[int, ...]
    supervised: tuple[bool, ...]
    positions: tuple[int, ...]
    segments: tuple[int, ...]
    tiles: tuple[Tiles, ...]

    def weights(self, weighting: LossWeighting) -> list[float]:
        """Return what each token counts in the loss.

        With n supervised tokens in its sample, a token counts 1 (``token``), 1/n (``sample``) or 1/sqrt(n)
        (``square``), as in OpenGVLab/InternVL, internvl_chat/internvl/train/internvl_chat_finetune.py, L786-796.
        The first token of all has nothing that could predict it and counts nothing.
        """
        counted = [supervised and index > 0 for index, supervised in enumerate(self.supervised)]
        lengths = Counter(segment for segment, counts in zip(self.segments, counted, strict=True) if counts)
        exponent = _EXPONENTS[weighting]
        return [
            lengths[segment] ** exponent if counts else 0.0
            for segment, counts in zip(self.segments, counted, strict=True)
        ]


def encode_pass(
    samples: Sequence[Sample],
    encoder: ConversationEncoder,
    reader: TileReader,
    preprocessing: Preprocessing,
    rope_border: int | None = None,
) -> list[EncodedPass]:
    """Encode samples about the same images, together if their prompts begin alike up to the last image.

    Args:
        samples: About the same images.
        encoder: Of conversations.
        reader: Of tiles.
        preprocessing: How images become tiles.
        rope_border: Samples longer than this never share a pass with shorter ones, see ``LoadedModel.rope_border``.

    Returns:
        One pass, or one for each sample where they share nothing.

    Raises:
        DatasetError: If an image cannot be used.
    """
    images = samples[0].images
    tile_counts = [grid.tile_count for grid in preprocessing.grids(images)]
    tiles = tuple(reader.read(images))
    conversations = [encoder.encode(sample.turns, tile_counts) for sample in samples]
    shared = _shared_length(conversations)
    sides = {rope_border is not None and len(one.input_ids) > rope_border for one in conversations}
    if shared <= encoder.last_image_token(conversations[0].input_ids) or len(sides) > 1:
        return [_join([conversation], 0, tiles) for conversation in conversations]
    return [_join(conversations, shared, tiles)]


def _shared_length(conversations: Sequence[EncodedConversation]) -> int:
    """Count the tokens at which all begin alike, short of the token that predicts the first supervised one."""
    length = 0
    for column in zip(*(conversation.input_ids for conversation in conversations), strict=False):
        if len(set(column)) > 1:
            break
        length += 1
    first_supervised = min(conversation.supervised.index(True) for conversation in conversations)
    return min(length, first_supervised - 1)


def _join(conversations: Sequence[EncodedConversation], shared: int, tiles: tuple[Tiles, ...]) -> EncodedPass:
    input_ids = list(conversations[0].input_ids[:shared])
    supervised = [False] * shared
    positions = list(range(shared))
    segments = [_SHARED] * shared
    for number, conversation in enumerate(conversations, start=1):
        own = len(conversation.input_ids) - shared
        input_ids += conversation.input_ids[shared:]
        supervised += conversation.supervised[shared:]
        positions += range(shared, shared + own)
        segments += [number] * own
    return EncodedPass(tuple(input_ids), tuple(supervised), tuple(positions), tuple(segments), tiles)


@dataclass(frozen=True)
class Batch:
    """Passes padded to one length, on the right.

    Attributes:
        input_ids: int64 of shape (passes, tokens).
        position_ids: int64 of the same shape.
        segments: int64 of the same shape; -1 is padding.
        labels: int64 of the same shape; what each position is, or ``IGNORED``.
        weights: float32 of the same shape; what each position counts in the loss.
        tiles: Tiles of all images, in the order of their placeholders.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    segments: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    tiles: tuple[Tiles, ...]

    def attention_mask(self, dtype: torch.dtype) -> torch.Tensor:
        """Say what each token sees: what is shared, and its own question up to itself.

        Returns:
            Shape (passes, 1, tokens, tokens), 0 where a row's token sees a column's and the least number of
            ``dtype`` elsewhere.
        """
        import torch

        rows, columns = self.segments[:, :, None], self.segments[:, None, :]
        causal = torch.ones(rows.shape[1], rows.shape[1], dtype=torch.bool).tril()
        visible = causal & ((columns == _SHARED) | (columns == rows))
        mask = torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)
        return mask[:, None]


def collate(passes: Sequence[EncodedPass], padding_id: int, weighting: LossWeighting = "token") -> Batch:
    """Pad some passes to one batch.

    Args:
        passes: What is computed together.
        padding_id: Token to pad with; it is never seen.
        weighting: What each token counts in the loss.
    """
    import torch

    longest = max(len(one.input_ids) for one in passes)
    input_ids = torch.full((len(passes), longest), padding_id, dtype=torch.long)
    position_ids = torch.zeros_like(input_ids)
    segments = torch.full_like(input_ids, _PADDING)
    labels = torch.full_like(input_ids, IGNORED)
    weights = torch.zeros(input_ids.shape)
    for row, one in enumerate(passes):
        length = len(one.input_ids)
        ids = torch.tensor(one.input_ids)
        input_ids[row, :length] = ids
        position_ids[row, :length] = torch.tensor(one.positions)
        segments[row, :length] = torch.tensor(one.segments)
        labels[row, :length] = torch.where(torch.tensor(one.supervised), ids, IGNORED)
        weights[row, :length] = torch.tensor(one.weights(weighting))
    tiles = tuple(part for one in passes for part in one.tiles)
    return Batch(input_ids, position_ids, segments, labels, weights, tiles)


def _is_beyond(one: EncodedPass, rope_border: int | None) -> bool:
    return rope_border is not None and max(one.positions) >= rope_border


def micro_batches(passes: Sequence[EncodedPass], size: int, rope_border: int | None = None) -> list[list[EncodedPass]]:
    """Divide the passes of a step, similar lengths together, so that little is padded.

    Args:
        passes: What the step is made of.
        size: Most samples in a part; a pass is never divided.
        rope_border: Passes longer than this are computed apart from shorter ones, see ``LoadedModel.rope_border``.
    """
    parts: list[list[EncodedPass]] = []
    room = 0
    side = None
    for one in sorted(passes, key=lambda one: (_is_beyond(one, rope_border), len(one.input_ids))):
        questions = max(one.segments)
        if questions > room or not parts or _is_beyond(one, rope_border) != side:
            parts.append([])
            room = size
        side = _is_beyond(one, rope_border)
        parts[-1].append(one)
        room -= questions
    return parts
