"""Chat formats: how a conversation is serialised for each family of language model.

Source: OpenGVLab/InternVL, internvl_chat/internvl/conversation.py, L338-410; the system messages of V1-5 from
its history, commit 0556aa8.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from domainvl.errors import CheckpointError
from domainvl.model.tokens import MARKUP
from domainvl.schema import Turn
from domainvl.schema.sample import IMAGE_PLACEHOLDER

INTERNVL2_SYSTEM_MESSAGE = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
)
"""System message of InternVL2-1B, -2B and -4B."""

V1_5_SYSTEM_MESSAGES: Mapping[str, str] = {
    "Hermes-2": "Answer the questions.",
    "internlm2-chat": "You are an AI assistant whose name is InternLM (书生·浦语).",
    "phi3-chat": "You are an AI assistant whose name is Phi-3.",
}
"""System messages of the V1-5 models, by chat format. With another one such a model answers worse (OpenGVLab/InternVL,
issues 240 and 348)."""


SYSTEM_PROMPTS = ("internvl2", "v1-5", "none")
"""What a user can say of a checkpoint from which the system message cannot be told."""


def named_system_message(system_prompt: str, name: str, where: Path) -> str | None:
    """Return the system message that goes by a name.

    Args:
        system_prompt: One of :data:`SYSTEM_PROMPTS`.
        name: Of the chat format.
        where: The checkpoint, for the message.

    Raises:
        CheckpointError: If there is no such name, or no V1-5 model has that format.
    """
    if system_prompt not in SYSTEM_PROMPTS:
        raise CheckpointError(
            "Cannot choose a system message",
            where=where,
            rule=f"it must be one of {', '.join(SYSTEM_PROMPTS)}, got {system_prompt!r}",
            action="Choose one with --system-prompt",
        )
    if system_prompt == "none":
        return None
    if system_prompt == "internvl2":
        return INTERNVL2_SYSTEM_MESSAGE
    if name not in V1_5_SYSTEM_MESSAGES:
        raise CheckpointError(
            "Cannot choose a system message",
            where=where,
            rule=f"V1-5 models have the formats {', '.join(V1_5_SYSTEM_MESSAGES)}, this one has {name}",
            action="Choose another with --system-prompt",
        )
    return V1_5_SYSTEM_MESSAGES[name]


@dataclass(frozen=True)
class ChatFormat:
    """Markers around each utterance.

    Attributes:
        bos: Begins the conversation.
        system: Before the system message.
        human: Before a question.
        assistant: Before an answer.
        end: Ends each of them; the model says it at the end of its answer.
        after_end: Stands between that and the next utterance; the model never says it.
        strips: Whether blanks around an utterance are taken off, as the official trainer does for this format.
    """

    bos: str
    system: str
    human: str
    assistant: str
    end: str
    after_end: str = ""
    strips: bool = False


_CHATML = ("<|im_start|>system\n", "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>")

CHAT_FORMATS: Mapping[str, ChatFormat] = {
    "Hermes-2": ChatFormat("", *_CHATML),
    "internlm2-chat": ChatFormat("<s>", *_CHATML, strips=True),
    "phi3-chat": ChatFormat("<s>", "<|system|>\n", "<|user|>\n", "<|assistant|>\n", "<|end|>"),
    "internvl2_5": ChatFormat("", *_CHATML, after_end="\n"),
}
"""Formats by the names that the published configs use: 1B Hermes-2, 2B internlm2-chat, 4B phi3-chat; InternVL2.5 and
later internvl2_5."""


class Chat(BaseModel):
    """The chat format and system message that belong to a checkpoint.

    Attributes:
        format: Name of the format.
        system_message: First message; without one the conversation starts with the human.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    system_message: str | None = INTERNVL2_SYSTEM_MESSAGE

    @property
    def markers(self) -> ChatFormat:
        """Return the markers of the format.

        Raises:
            CheckpointError: If the format is unknown.
        """
        if self.format not in CHAT_FORMATS:
            raise CheckpointError(
                "Unknown chat format",
                rule=f"it must be one of {', '.join(CHAT_FORMATS)}, got {self.format!r}",
                action="Use a checkpoint that this version of domainvl imported",
            )
        return CHAT_FORMATS[self.format]


class PieceKind(enum.Enum):
    """What a piece of a serialised conversation is."""

    TEXT = "text"
    SPECIAL = "special"
    IMAGE = "image"


@dataclass(frozen=True)
class Piece:
    """A piece of a serialised conversation.

    Attributes:
        kind: Ordinary text, one special token, or the place of an image.
        text: The text or the token.
        answer: Whether it is part of an answer, its end marker included: what the model is trained on.
    """

    kind: PieceKind
    text: str
    answer: bool = False


def serialise(turns: Sequence[Turn], chat: Chat) -> list[Piece]:
    """Serialise a conversation, knowing of each piece whether the model is to say it.

    Args:
        turns: Human and assistant in turn. If the last turn is human, the pieces end with the assistant's
            header, ready for the model to answer.
        chat: The checkpoint's chat format.

    Returns:
        Pieces in order. Text that follows text without a special token between them is one piece, unless one of
        them is an answer's.
    """
    return list(_joined(_pieces(turns, chat)))


def _pieces(turns: Sequence[Turn], chat: Chat) -> Iterator[Piece]:
    markers = chat.markers
    yield from _marker(markers.bos)
    if chat.system_message is not None:
        yield from _marker(markers.system)
        yield Piece(PieceKind.TEXT, chat.system_message)
        yield from _marker(markers.end + markers.after_end)
    for turn in turns:
        text = turn.text.strip() if markers.strips else turn.text
        answers = turn.role == "assistant"
        yield from _marker(markers.assistant if answers else markers.human)
        yield from _utterance(text, answers)
        yield Piece(PieceKind.SPECIAL, markers.end, answers)
        yield from _marker(markers.after_end)
    if turns and turns[-1].role == "human":
        yield from _marker(markers.assistant)


_MARKER = re.compile(r"(<\|[a-z_]+\|>|<s>)")
_UTTERANCE = re.compile("(" + "|".join(re.escape(token) for token in (*MARKUP, IMAGE_PLACEHOLDER)) + ")")


def _marker(markup: str) -> Iterator[Piece]:
    """Divide one of our own markers into special tokens and text."""
    for part in _MARKER.split(markup):
        yield Piece(PieceKind.SPECIAL if _MARKER.fullmatch(part) else PieceKind.TEXT, part)


def _utterance(text: str, answer: bool) -> Iterator[Piece]:
    """Divide what was said into markup, images and text; any other special token in it stays text."""
    for part in _UTTERANCE.split(text):
        if part == IMAGE_PLACEHOLDER:
            yield Piece(PieceKind.IMAGE, part, answer)
        else:
            yield Piece(PieceKind.SPECIAL if part in MARKUP else PieceKind.TEXT, part, answer)


def _joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Join neighbouring texts, and leave out empty ones."""
    waiting: Piece | None = None
    for piece in pieces:
        if piece.kind is PieceKind.TEXT:
            if not piece.text:
                continue
            if waiting is not None and waiting.answer == piece.answer:
                waiting = Piece(PieceKind.TEXT, waiting.text + piece.text, piece.answer)
                continue
        if waiting is not None:
            yield waiting
        waiting = piece if piece.kind is PieceKind.TEXT else None
        if waiting is None:
            yield piece
    if waiting is not None:
        yield waiting
