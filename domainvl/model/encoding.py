"""From a conversation with images to token ids, and which of them the loss counts.

The mask is right by construction: an answer is tokenised apart from the header before it, so no token lies on
the border, and the ids of a prompt are those with which the same conversation begins in training.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from domainvl.errors import CheckpointError, DatasetError
from domainvl.model.chat import Chat, Piece, PieceKind, serialise
from domainvl.model.stretches import stretch_encoders
from domainvl.model.tokens import IMAGE_CONTEXT, IMAGE_END, IMAGE_START
from domainvl.schema import Turn
from domainvl.schema.sample import IMAGE_PLACEHOLDER

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Mark(enum.Enum):
    """What stands in a document where there is no text."""

    IMAGE = "image"


DocumentPart: TypeAlias = str | Literal[Mark.IMAGE]
"""A piece of a document's text, or the place of an image."""

END_OF_TEXT = ("<|endoftext|>", "</s>")
"""What ends a text for the language models under InternVL: Qwen2 and Phi-3 have the first (Phi-3 knows the second as
well, which is not its own), InternLM2 has the second."""


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

    def encode_document(
        self, parts: Sequence[DocumentPart], tile_counts: Sequence[int], *, ends: bool = True
    ) -> EncodedConversation:
        """Encode a document, or a part of one, with its images in place and without any chat markers.

        It begins with the token that begins a conversation, where the chat format has one. Special tokens and markup
        that are written in the text are ordinary characters, and no blank is taken off. Each text is tokenised by
        itself, so that the lengths of parts add up. The loss counts the text and its end (OmniCorpus, arXiv 2406.08418,
        section 5.1: the loss is on text alone), never an image, nor a first token, which nothing predicts.

        Args:
            parts: Texts and images in order.
            tile_counts: Number of tiles of each image.
            ends: Whether the document ends here; the end-of-text token follows then.

        Raises:
            DatasetError: If the marks and the images do not match.
            CheckpointError: If the tokenizer lacks a token.
        """
        marks = sum(part is Mark.IMAGE for part in parts)
        if marks != len(tile_counts):
            raise DatasetError(
                "Cannot encode a document",
                rule=f"marks of images and images must be equally many, got {marks} and {len(tile_counts)}",
            )
        counts = iter(tile_counts)
        ids = [self._special_id(self._chat.markers.bos)] if self._chat.markers.bos else []
        supervised = [False] * len(ids)
        after_text = False
        for part in parts:
            if not part:
                continue
            if isinstance(part, str):
                part_ids = self.text_ids(part, after_text=after_text)
            else:
                part_ids = self._image_ids(next(counts))
            after_text = isinstance(part, str)
            ids += part_ids
            supervised += [after_text] * len(part_ids)
        if ends:
            ids.append(self._end_of_text_id())
            supervised.append(True)
        supervised[:1] = [False] * len(supervised[:1])
        return EncodedConversation(tuple(ids), tuple(supervised))

    def text_ids(self, text: str, *, after_text: bool) -> list[int]:
        """Tokenise one text of a document as :meth:`encode_document` does.

        Args:
            text: The text.
            after_text: Whether it goes on from other text.
        """
        encoder = self._continuing if after_text else self._after_special
        ids: list[int] = encoder.encode(text, add_special_tokens=False).ids
        return ids

    def _image_ids(self, tile_count: int) -> list[int]:
        context = [self._context_id] * (tile_count * self._tokens_per_tile)
        return [self._special_id(IMAGE_START), *context, self._special_id(IMAGE_END)]

    def _end_of_text_id(self) -> int:
        known = [token for token in END_OF_TEXT if self._vocabulary.token_to_id(token) is not None]
        return self._special_id(known[0] if known else END_OF_TEXT[0])

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
                yield piece, self._image_ids(next(tile_counts))
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
