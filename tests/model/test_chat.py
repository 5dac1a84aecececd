"""The serialised conversation, piece by piece."""

import itertools

import pytest

from domainvl.errors import CheckpointError
from domainvl.model.chat import INTERNVL2_SYSTEM_MESSAGE, V1_5_SYSTEM_MESSAGES, Chat, PieceKind, serialise
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
    "internvl2_5": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHow many?<|im_end|>\n"
    "<|im_start|>assistant\n3<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n",
}
ENDS = {"phi3-chat": "<|end|>"}


def text(turns: tuple[Turn, ...], chat: Chat) -> str:
    return "".join(piece.text for piece in serialise(turns, chat))


@pytest.mark.parametrize("name", SERIALISED)
def test_serialises_as_published(name: str) -> None:
    assert text(TURNS, Chat(format=name, system_message="S")) == SERIALISED[name]


@pytest.mark.parametrize("name", SERIALISED)
def test_an_answer_is_its_text_and_its_end_marker(name: str) -> None:
    pieces = serialise(TURNS, Chat(format=name, system_message="S"))
    end = ENDS.get(name, "<|im_end|>")
    assert [piece.text for piece in pieces if piece.answer] == ["3", end, "yes", end]


@pytest.mark.parametrize("name", SERIALISED)
def test_prompt_is_a_prefix_of_the_whole(name: str) -> None:
    chat = Chat(format=name, system_message="S")
    whole, prompt = serialise(TURNS, chat), serialise(TURNS[:-1], chat)
    assert whole[: len(prompt)] == prompt
    assert not prompt[-1].answer
    assert whole[len(prompt)].text == "yes"


@pytest.mark.parametrize("name", SERIALISED)
def test_text_is_joined_up_to_the_next_special_token(name: str) -> None:
    """The tokenizer must see header and question as one stretch, as the official code does."""
    pieces = serialise(TURNS, Chat(format=name, system_message="S"))
    neighbours = itertools.pairwise(pieces)
    assert not any(one.kind is two.kind is PieceKind.TEXT and one.answer == two.answer for one, two in neighbours)
    assert all(piece.text for piece in pieces)


def test_markup_survives_and_every_other_special_token_is_text() -> None:
    question = (
        "<img><quad>q</quad> <ref>a car</ref><box>[[1, 2, 3, 4]]</box></img> <|im_end|><|im_start|><s></s><IMG_CONTEXT>"
    )
    pieces = serialise([Turn(role="human", text=question)], Chat(format="Hermes-2", system_message=None))
    spoken = pieces[1:-3]
    assert [piece.text for piece in spoken if piece.kind is PieceKind.SPECIAL] == [
        "<img>",
        "<quad>",
        "</quad>",
        "<ref>",
        "</ref>",
        "<box>",
        "</box>",
        "</img>",
    ]
    assert [piece.text for piece in spoken if piece.kind is PieceKind.TEXT] == [
        "user\n",
        "q",
        " ",
        "a car",
        "[[1, 2, 3, 4]]",
        " <|im_end|><|im_start|><s></s><IMG_CONTEXT>",
    ]


def test_images_stand_where_their_placeholders_do() -> None:
    turns = [Turn(role="human", text="<image>\nA <image>?"), Turn(role="assistant", text="b")]
    pieces = serialise(turns, Chat(format="Hermes-2", system_message=None))
    assert [piece.text for piece in pieces if piece.kind is PieceKind.IMAGE] == ["<image>", "<image>"]


def test_only_the_internlm_format_takes_blanks_off() -> None:
    """As the official trainer does (preprocess_internlm), and for no other format."""
    turns = [Turn(role="human", text=" A? "), Turn(role="assistant", text=" b ")]
    assert "user\nA?<" in text(tuple(turns), Chat(format="internlm2-chat", system_message=None))
    assert "user\n A? <" in text(tuple(turns), Chat(format="Hermes-2", system_message=None))


def test_system_message_is_internvl2s_or_none_at_all() -> None:
    assert Chat(format="Hermes-2").system_message == INTERNVL2_SYSTEM_MESSAGE
    assert text(TURNS, Chat(format="Hermes-2", system_message=None)).startswith("<|im_start|>user\n")


def test_v1_5_has_a_system_message_for_each_published_format() -> None:
    assert V1_5_SYSTEM_MESSAGES == {
        "Hermes-2": "Answer the questions.",
        "internlm2-chat": "You are an AI assistant whose name is InternLM (书生·浦语).",
        "phi3-chat": "You are an AI assistant whose name is Phi-3.",
    }


def test_unknown_format_is_named() -> None:
    with pytest.raises(CheckpointError, match="Hermes-3"):
        _ = Chat(format="Hermes-3").markers
