"""From a conversation with images to token ids, and which of them the loss counts.

The mask is right by construction: answers are spans of characters, and a token counts if it lies inside
one. A token that straddles the border of an answer is an error, never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domainvl.errors import DatasetError
from domainvl.model.chat import Chat, serialise
from domainvl.schema import Turn
from domainvl.schema.sample import IMAGE_PLACEHOLDER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

IMAGE_START = "<img>"
IMAGE_CONTEXT = "<IMG_CONTEXT>"
IMAGE_END = "</img>"

ADDED_TOKENS = (
    IMAGE_START,
    IMAGE_END,
    IMAGE_CONTEXT,
    "<quad>",
    "</quad>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
)
"""InternVL's special tokens in the order in which they were added to the tokenizers."""


@dataclass(frozen=True)
class EncodedConversation:
    """Token ids and, for each, whether the loss counts it."""

    input_ids: tuple[int, ...]
    supervised: tuple[bool, ...]


class ConversationEncoder:
    """Encodes conversations for one checkpoint.

    Args:
        tokenizer: A fast tokenizer that knows InternVL's special tokens.
        chat: The checkpoint's chat format.
        tokens_per_tile: Visual tokens of a tile.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, chat: Chat, tokens_per_tile: int) -> None:
        self._tokenizer = tokenizer
        self._chat = chat
        self._tokens_per_tile = tokens_per_tile
        self._context_id = int(tokenizer.convert_tokens_to_ids(IMAGE_CONTEXT))

    def last_image_token(self, input_ids: Sequence[int]) -> int:
        """Return the index of the last visual token, -1 if there is none."""
        return max((index for index, token in enumerate(input_ids) if token == self._context_id), default=-1)

    def encode(self, turns: Sequence[Turn], tile_counts: Sequence[int]) -> EncodedConversation:
        """Encode a conversation.

        Args:
            turns: The conversation; if it ends with a human turn, the ids end with the assistant's header.
            tile_counts: Number of tiles of each image, in the order of the placeholders.

        Raises:
            DatasetError: If placeholders and images do not match, or a token straddles the border of an answer.
        """
        # One context token an image is tokenised and repeated afterwards: 3,328 of them as text are slow.
        marked = [
            turn.model_copy(
                update={"text": turn.text.replace(IMAGE_PLACEHOLDER, f"{IMAGE_START}{IMAGE_CONTEXT}{IMAGE_END}")}
            )
            for turn in turns
        ]
        conversation = serialise(marked, self._chat)
        encoding = self._tokenizer(conversation.text, add_special_tokens=False, return_offsets_mapping=True)
        ids: list[int] = []
        supervised: list[bool] = []
        remaining = list(reversed(tile_counts))
        for token_id, (start, end) in zip(encoding["input_ids"], encoding["offset_mapping"], strict=True):
            repeats = 1
            if token_id == self._context_id:
                if not remaining:
                    raise _image_mismatch(turns, tile_counts)
                repeats = remaining.pop() * self._tokens_per_tile
            ids += [token_id] * repeats
            supervised += [_inside(start, end, conversation.answers)] * repeats
        if remaining:
            raise _image_mismatch(turns, tile_counts)
        return EncodedConversation(tuple(ids), tuple(supervised))


def _inside(start: int, end: int, answers: Sequence[tuple[int, int]]) -> bool:
    for answer_start, answer_end in answers:
        if answer_start <= start and end <= answer_end:
            return True
        if start < answer_start < end or start < answer_end < end:
            raise DatasetError(
                "Cannot mask a conversation",
                rule="no token may lie across the border of an answer; the answer must not start or end with blanks",
            )
    return False


def _image_mismatch(turns: Sequence[Turn], tile_counts: Sequence[int]) -> DatasetError:
    placeholders = sum(turn.text.count(IMAGE_PLACEHOLDER) for turn in turns)
    return DatasetError(
        "Cannot encode a conversation",
        rule=f"placeholders and images must be equally many, got {placeholders} and {len(tile_counts)}",
    )
