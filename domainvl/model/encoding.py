"""From a conversation with images to token ids, and which of them the loss counts.

The mask is right by construction: an answer is tokenised apart from the header before it, so no token lies on
the border, and the ids of a prompt are those with which the same conversation begins in training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domainvl.errors import CheckpointError, DatasetError
from domainvl.model.chat import Chat, Piece, PieceKind, serialise
from domainvl.model.stretches import stretch_encoders
from domainvl.model.tokens import IMAGE_CONTEXT, IMAGE_END, IMAGE_START
from domainvl.schema import Turn
from domainvl.schema.sample import IMAGE_PLACEHOLDER

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class EncodedConversation:
    """Token ids and, for each, whether the loss counts it."""

    input_ids: tuple[int, ...]
    supervised: tuple[bool, ...]


class ConversationEncoder:
    """Encodes conversations for one checkpoint.

    Args:
        tokenizer: Knows InternVL's special tokens.
        chat: The checkpoint's chat format.
        tokens_per_tile: Visual tokens of a tile.
    """

    def __init__(self, tokenizer: Tokenizer, chat: Chat, tokens_per_tile: int) -> None:
        self._chat = chat
        self._tokens_per_tile = tokens_per_tile
        self._after_special, self._continuing = stretch_encoders(tokenizer)
        self._vocabulary = tokenizer
        self._eats_blanks = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.rstrip}
        self._context_id = self._special_id(IMAGE_CONTEXT)

    def last_image_token(self, input_ids: Sequence[int]) -> int:
        """Return the index of the last visual token, -1 if there is none."""
        return max((index for index, token in enumerate(input_ids) if token == self._context_id), default=-1)

    def encode(self, turns: Sequence[Turn], tile_counts: Sequence[int]) -> EncodedConversation:
        """Encode a conversation.

        Args:
            turns: The conversation; if it ends with a human turn, the ids end with the assistant's header.
            tile_counts: Number of tiles of each image, in the order of the placeholders.

        Raises:
            DatasetError: If placeholders and images do not match.
        """
        pieces = serialise(turns, self._chat)
        if sum(piece.kind is PieceKind.IMAGE for piece in pieces) != len(tile_counts):
            raise _image_mismatch(turns, tile_counts)
        ids: list[int] = []
        supervised: list[bool] = []
        for piece, piece_ids in self._ids(pieces, iter(tile_counts)):
            ids += piece_ids
            supervised += [piece.answer] * len(piece_ids)
        return EncodedConversation(tuple(ids), tuple(supervised))

    def _ids(self, pieces: Sequence[Piece], tile_counts: Iterator[int]) -> Iterator[tuple[Piece, list[int]]]:
        eats_blanks, after_text = False, False
        for piece in pieces:
            if piece.kind is PieceKind.TEXT:
                # Phi-3's markers take all blanks to their right: the line break of the header, and those of the text.
                text = piece.text.lstrip() if eats_blanks else piece.text
                if not text:
                    continue
                encoder = self._continuing if after_text else self._after_special
                yield piece, encoder.encode(text, add_special_tokens=False).ids
                eats_blanks, after_text = False, True
                continue
            last = piece.text
            if piece.kind is PieceKind.IMAGE:
                last = IMAGE_END
                context = [self._context_id] * (next(tile_counts) * self._tokens_per_tile)
                yield piece, [self._special_id(IMAGE_START), *context, self._special_id(IMAGE_END)]
            else:
                yield piece, [self._special_id(piece.text)]
            eats_blanks, after_text = last in self._eats_blanks, False

    def _special_id(self, token: str) -> int:
        found = self._vocabulary.token_to_id(token)
        if found is None:
            raise CheckpointError(
                "Cannot encode a conversation",
                rule=f"the tokenizer has no {token}, which the chat format {self._chat.format} needs",
                action="Use the tokenizer that belongs to the checkpoint",
            )
        return int(found)


def _image_mismatch(turns: Sequence[Turn], tile_counts: Sequence[int]) -> DatasetError:
    placeholders = sum(turn.text.count(IMAGE_PLACEHOLDER) for turn in turns)
    return DatasetError(
        "Cannot encode a conversation",
        rule=f"placeholders and images must be equally many, got {placeholders} and {len(tile_counts)}",
        action="Write <image> once for each image, or make the data set again",
    )
