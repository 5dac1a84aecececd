"""Chat formats: how a conversation is serialised for each family of language model.

Source: OpenGVLab/InternVL, internvl_chat/internvl/conversation.py, L338-410. Nothing stands between the end
token of one utterance and the role header of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from domainvl.errors import CheckpointError
from domainvl.schema import Turn

INTERNVL2_SYSTEM_MESSAGE = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
)
"""System message of InternVL2-1B, -2B and -4B."""


@dataclass(frozen=True)
class ChatFormat:
    """Markers around each utterance."""

    bos: str
    system: str
    human: str
    assistant: str
    end: str


CHAT_FORMATS = {
    "Hermes-2": ChatFormat("", "<|im_start|>system\n", "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>"),
    "internlm2-chat": ChatFormat(
        "<s>", "<|im_start|>system\n", "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>"
    ),
    "phi3-chat": ChatFormat("<s>", "<|system|>\n", "<|user|>\n", "<|assistant|>\n", "<|end|>"),
}
"""Formats by the names that the published configs use: 1B Hermes-2, 2B internlm2-chat, 4B phi3-chat."""


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
                "Unknown chat format", rule=f"it must be one of {', '.join(CHAT_FORMATS)}, got {self.format!r}"
            )
        return CHAT_FORMATS[self.format]


@dataclass(frozen=True)
class Conversation:
    """A serialised conversation.

    Attributes:
        text: All of it.
        answers: Character spans of the answers, each with its end marker: what the model is trained on.
    """

    text: str
    answers: tuple[tuple[int, int], ...]


def serialise(turns: Sequence[Turn], chat: Chat) -> Conversation:
    """Serialise a conversation, remembering where the answers stand.

    Args:
        turns: Human and assistant in turn. If the last turn is human, the text ends with the assistant's
            header, ready for the model to answer.
        chat: The checkpoint's chat format.
    """
    markers = chat.markers
    text = markers.bos
    if chat.system_message is not None:
        text += markers.system + chat.system_message + markers.end
    answers = []
    for turn in turns:
        if turn.role == "human":
            text += markers.human + turn.text + markers.end
            continue
        text += markers.assistant
        start = len(text)
        text += turn.text + markers.end
        answers.append((start, len(text)))
    if turns and turns[-1].role == "human":
        text += markers.assistant
    return Conversation(text, tuple(answers))
