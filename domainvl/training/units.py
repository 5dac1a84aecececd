"""What is computed together and never divided: one sample, or several questions about the same images.

Questions about the same images share one pass through the model: the images and all that stands before the questions
are computed once, each question sees them and itself and no other question, and positions go on from the images for
each. Loss and gradients are those of separate samples; the cost is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from domainvl.model.encoding import ConversationEncoder, EncodedConversation
from domainvl.schema import Image

LossWeighting = Literal["token", "sample", "square"]
"""Whether the loss counts all tokens alike, all samples alike, or something between."""

_EXPONENTS: dict[LossWeighting, float] = {"token": 0.0, "sample": -1.0, "square": -0.5}


@dataclass(frozen=True)
class EncodedUnit:
    """One or several samples about the same images, as the model takes them, without the pixels.

    Attributes:
        input_ids: Token ids: what is shared, then each question with its answer. The first is never supervised, nor is
            the first of a question: nothing stands before them that could predict them.
        supervised: For each token, whether the loss counts it.
        shared: How many tokens all questions see; 0 for a single sample.
        questions: How many tokens each question has of its own.
        images: The images, in the order of their placeholders.
        tile_counts: Tiles of each image.
        max_tiles: The limit by which they were chosen.
        names: Ids of the samples.
    """

    input_ids: tuple[int, ...]
    supervised: tuple[bool, ...]
    shared: int
    questions: tuple[int, ...]
    images: tuple[Image, ...]
    tile_counts: tuple[int, ...]
    max_tiles: int
    names: tuple[str, ...]

    @property
    def longest_sample(self) -> int:
        """Tokens of the longest sample."""
        return self.shared + max(self.questions)

    def positions(self) -> list[int]:
        """Return the position of each token in its own sample."""
        return [*range(self.shared), *(self.shared + index for own in self.questions for index in range(own))]

    def weights(self, weighting: LossWeighting) -> list[float]:
        """Return what each token counts in the loss.

        With n supervised tokens in its sample, a token counts 1 (``token``), 1/n (``sample``) or 1/sqrt(n)
        (``square``), as in OpenGVLab/InternVL, internvl_chat/internvl/train/internvl_chat_finetune.py, L786-796.
        """
        weights = [0.0] * self.shared
        start = self.shared
        for own in self.questions:
            counted = self.supervised[start : start + own]
            weight = float(sum(counted)) ** _EXPONENTS[weighting] if any(counted) else 0.0
            weights += [weight if counts else 0.0 for counts in counted]
            start += own
        return weights


def join(
    conversations: Sequence[EncodedConversation],
    names: Sequence[str],
    encoder: ConversationEncoder,
    *,
    images: tuple[Image, ...],
    tile_counts: Sequence[int],
    max_tiles: int,
    rope_border: int | None = None,
) -> list[EncodedUnit]:
    """Join samples about the same images, if their prompts begin alike up to the last image.

    Args:
        conversations: The samples.
        names: Their ids.
        encoder: That encoded them.
        images: That they are about.
        tile_counts: Tiles of each image.
        max_tiles: The limit by which those were chosen.
        rope_border: Samples longer than this never share a pass with shorter ones, see ``LoadedModel.rope_border``.

    Returns:
        One unit, or one for each sample where they share nothing.
    """

    def unit(part: Sequence[EncodedConversation], part_names: Sequence[str], shared: int) -> EncodedUnit:
        first = part[0]
        return EncodedUnit(
            first.input_ids[:shared] + tuple(token for one in part for token in one.input_ids[shared:]),
            (False,) * shared + tuple(flag for one in part for flag in _own_flags(one, shared)),
            shared,
            tuple(len(one.input_ids) - shared for one in part),
            images,
            tuple(tile_counts),
            max_tiles,
            tuple(part_names),
        )

    if len(conversations) > 1:
        shared = _shared_length(conversations)
        sides = {rope_border is not None and len(one.input_ids) > rope_border for one in conversations}
        if shared > encoder.last_image_token(conversations[0].input_ids) and shared > 0 and len(sides) == 1:
            return [unit(conversations, names, shared)]
    return [unit([one], [name], 0) for one, name in zip(conversations, names, strict=True)]


def _own_flags(conversation: EncodedConversation, shared: int) -> tuple[bool, ...]:
    return (False, *conversation.supervised[shared + 1 :])


def _shared_length(conversations: Sequence[EncodedConversation]) -> int:
    """Count the tokens at which all begin alike, short of the token that predicts the first supervised one."""
    length = 0
    for column in zip(*(conversation.input_ids for conversation in conversations), strict=False):
        if len(set(column)) > 1:
            break
        length += 1
    first_supervised = min(conversation.supervised.index(True) for conversation in conversations)
    return min(length, first_supervised - 1)
