"""The serialised conversation, character by character."""

import pytest

from domainvl.errors import CheckpointError
from domainvl.model.chat import INTERNVL2_SYSTEM_MESSAGE, Chat, serialise
from domainvl.schema import Turn

TURNS = (
    Turn(role="human", text="How many?"),
    Turn(role="assistant", text="3"),
    Turn(role="human", text="Sure?"),
    Turn(role="assistant", text="yes"),
)

# Written by hand from the table of chat templates: nothing stands between an end token and the next role.
SERIALISED = {
    "Hermes-2": "<|im_start|>system\nS<|im_end|><|im_start|>user\nHow many?<|im_end|><|im_start|>assistant\n3<|im_end|>"
    "<|im_start|>user\nSure?<|im_end|><|im_start|>assistant\nyes<|im_end|>",
    "internlm2-chat": "<s><|im_start|>system\nS<|im_end|><|im_start|>user\nHow many?<|im_end|>"
    "<|im_start|>assistant\n3<|im_end|><|im_start|>user\nSure?<|im_end|><|im_start|>assistant\nyes<|im_end|>",
    "phi3-chat": "<s><|system|>\nS<|end|><|user|>\nHow many?<|end|><|assistant|>\n3<|end|>"
    "<|user|>\nSure?<|end|><|assistant|>\nyes<|end|>",
}


@pytest.mark.parametrize("name", SERIALISED)
def test_serialises_as_published(name: str) -> None:
    assert serialise(TURNS, Chat(format=name, system_message="S")).text == SERIALISED[name]


@pytest.mark.parametrize("name", SERIALISED)
def test_answers_span_text_and_end_marker(name: str) -> None:
    chat = Chat(format=name, system_message="S")
    conversation = serialise(TURNS, chat)
    spans = [conversation.text[start:end] for start, end in conversation.answers]
    assert spans == ["3" + chat.markers.end, "yes" + chat.markers.end]


@pytest.mark.parametrize("name", SERIALISED)
def test_prompt_is_a_prefix_of_the_whole(name: str) -> None:
    chat = Chat(format=name, system_message="S")
    whole, prompt = serialise(TURNS, chat), serialise(TURNS[:-1], chat)
    assert whole.text.startswith(prompt.text)
    assert whole.text.removeprefix(prompt.text) == "yes" + chat.markers.end


def test_system_message_is_internvl2s_or_none_at_all() -> None:
    assert Chat(format="Hermes-2").system_message == INTERNVL2_SYSTEM_MESSAGE
    assert serialise(TURNS, Chat(format="Hermes-2", system_message=None)).text.startswith("<|im_start|>user\n")


def test_unknown_format_is_named() -> None:
    with pytest.raises(CheckpointError, match="Hermes-3"):
        _ = Chat(format="Hermes-3").markers
