"""Templates render what the encoder serialises, and are recognised again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from domainvl.errors import CheckpointError
from domainvl.model.build import train_tokenizer
from domainvl.model.chat import CHAT_FORMATS, INTERNVL2_SYSTEM_MESSAGE, V1_5_SYSTEM_MESSAGES, Chat, serialise
from domainvl.model.chat_template import chat_template, recognise_chat
from domainvl.schema import Turn

AWKWARD = "Quotes \" and ' and \\n, {{ braces }} {% raw %} and a\nline break"
SYSTEM_MESSAGES = {"none": None, "2.0": INTERNVL2_SYSTEM_MESSAGE, "own": AWKWARD}
CONVERSATIONS = {
    "question": ["What is in this scene?"],
    "answer": ["Is there a nodule?", "No."],
    "ends with a question": ["A?", "a", "B?"],
    "ends with an answer": ["A?", "a", "B?", "b", "C?", "c c c"],
    "blanks": ["  leading and trailing \n", "\n an answer\t", "\n\nMulti\nline\n\n"],
    "markup": ["Detect <ref>the car</ref> & {{ x }}", "<box>[[1, 2, 3, 4]]</box>"],
    "line break at the end": ["a\n", "b\n"],
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return train_tokenizer(["a few words"] * 5, tmp_path_factory.mktemp("tokenizer"), vocabulary_size=300)


def turns(texts: Sequence[str]) -> list[Turn]:
    return [Turn(role="assistant" if index % 2 else "human", text=text) for index, text in enumerate(texts)]


def messages(texts: Sequence[str]) -> list[dict[str, Any]]:
    return [{"role": "assistant" if index % 2 else "user", "content": text} for index, text in enumerate(texts)]


def serialised(chat: Chat, texts: Sequence[str]) -> str:
    return "".join(piece.text for piece in serialise(turns(texts), chat))


def render(tokenizer: PreTrainedTokenizerFast, chat: Chat, conversation: list[dict[str, Any]]) -> str:
    prompt = conversation[-1]["role"] == "user"
    template = chat_template(chat)
    return str(
        tokenizer.apply_chat_template(
            conversation, chat_template=template, tokenize=False, add_generation_prompt=prompt
        )
    )  # fmt: skip


@pytest.mark.parametrize("texts", CONVERSATIONS.values(), ids=list(CONVERSATIONS))
@pytest.mark.parametrize("system", list(SYSTEM_MESSAGES))
@pytest.mark.parametrize("name", list(CHAT_FORMATS))
def test_renders_what_is_serialised(
    tokenizer: PreTrainedTokenizerFast, name: str, system: str, texts: list[str]
) -> None:
    chat = Chat(format=name, system_message=SYSTEM_MESSAGES[system])
    assert render(tokenizer, chat, messages(texts)) == serialised(chat, texts)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Hermes-2", "<|im_start|>system\nS<|im_end|><|im_start|>user\nQ<|im_end|><|im_start|>assistant\n"),
        ("internlm2-chat", "<s><|im_start|>system\nS<|im_end|><|im_start|>user\nQ<|im_end|><|im_start|>assistant\n"),
        ("phi3-chat", "<s><|system|>\nS<|end|><|user|>\nQ<|end|><|assistant|>\n"),
        ("internvl2_5", "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n"),
    ],
)
def test_published_shapes(tokenizer: PreTrainedTokenizerFast, name: str, expected: str) -> None:
    """mini-internvl.md section 3.5, and the ChatML of InternVL2.5."""
    assert render(tokenizer, Chat(format=name, system_message="S"), messages(["Q"])) == expected


@pytest.mark.parametrize("name", list(CHAT_FORMATS))
def test_images_in_lists_of_parts(tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    """Each image is the one token that transformers' processor replaces, on a line of its own."""
    chat = Chat(format=name)
    image = {"type": "image", "url": "a.png"}
    content = [image, image, {"type": "text", "text": "What changed?"}]
    found = render(tokenizer, chat, [{"role": "user", "content": content}])
    expected = serialised(chat, ["<image>\n<image>\nWhat changed?"]).replace("<image>", "<IMG_CONTEXT>")
    assert found == expected
    answered = [{"role": "user", "content": content}, {"role": "assistant", "content": [{"type": "text", "text": "b"}]}]
    expected = serialised(chat, ["<image>\n<image>\nWhat changed?", "b"]).replace("<image>", "<IMG_CONTEXT>")
    assert render(tokenizer, chat, answered) == expected


@pytest.mark.parametrize("default", list(SYSTEM_MESSAGES))
@pytest.mark.parametrize("name", list(CHAT_FORMATS))
def test_a_system_message_of_the_user_replaces_the_default(
    tokenizer: PreTrainedTokenizerFast, name: str, default: str
) -> None:
    given = [{"role": "system", "content": "Be brief."}, *messages(["A?", "a"])]
    chat = Chat(format=name, system_message=SYSTEM_MESSAGES[default])
    assert render(tokenizer, chat, given) == serialised(Chat(format=name, system_message="Be brief."), ["A?", "a"])


ALL_CHATS = [
    Chat(format=name, system_message=message)
    for name in CHAT_FORMATS
    for message in {None: 0, INTERNVL2_SYSTEM_MESSAGE: 0, V1_5_SYSTEM_MESSAGES.get(name): 0}
]


@pytest.mark.parametrize("chat", ALL_CHATS, ids=lambda chat: f"{chat.format} {str(chat.system_message)[:12]}")
def test_our_templates_are_recognised(tokenizer: PreTrainedTokenizerFast, tmp_path: Path, chat: Chat) -> None:
    tokenizer.chat_template = chat_template(chat)
    assert recognise_chat(tokenizer, tmp_path, None) == chat


@pytest.mark.parametrize(
    ("prompt", "message"),
    [("none", None), ("internvl2", INTERNVL2_SYSTEM_MESSAGE), ("v1-5", V1_5_SYSTEM_MESSAGES["phi3-chat"])],
)
def test_the_user_chooses_another_system_message(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, prompt: str, message: str | None
) -> None:
    tokenizer.chat_template = chat_template(Chat(format="phi3-chat", system_message="nobody knows this"))
    with pytest.raises(CheckpointError, match="its chat template is none of"):
        recognise_chat(tokenizer, tmp_path, None)
    tokenizer.chat_template = chat_template(Chat(format="phi3-chat"))
    assert recognise_chat(tokenizer, tmp_path, prompt) == Chat(format="phi3-chat", system_message=message)


def test_a_format_that_v1_5_never_had(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    tokenizer.chat_template = chat_template(Chat(format="internvl2_5", system_message=None))
    with pytest.raises(CheckpointError, match="internvl2_5"):
        recognise_chat(tokenizer, tmp_path, "v1-5")


def test_the_template_of_an_older_processor(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    chat = Chat(format="internvl2_5", system_message=None)
    tokenizer.chat_template = None
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": chat_template(chat)}))
    assert recognise_chat(tokenizer, tmp_path, None) == chat


@pytest.mark.parametrize("content", ["", "{}", "[]", "3"])
def test_a_damaged_template_file(tokenizer: PreTrainedTokenizerFast, tmp_path: Path, content: str) -> None:
    tokenizer.chat_template = None
    (tmp_path / "chat_template.json").write_text(content)
    with pytest.raises(CheckpointError, match="chat_template.json: it holds no template"):
        recognise_chat(tokenizer, tmp_path, None)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "it has no chat template"),
        ("{{ messages[0]['content'] }}", r"its chat template is none of Hermes-2, .*it makes 'A\?'"),
        ("{% for", "its chat template cannot be used"),
        ("{{ raise_exception('only one turn') }}", "its chat template cannot be used: only one turn"),
        ("{{ messages[0].nothing.more }}", "its chat template cannot be used"),
        ("{{ messages + 1 }}", "its chat template cannot be used"),
        ({"default": "{{ messages }}"}, "its chat template"),
    ],
)
def test_other_templates_are_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, template: Any, message: str
) -> None:
    tokenizer.chat_template = template
    with pytest.raises(CheckpointError, match=message):
        recognise_chat(tokenizer, tmp_path, None)


def test_a_template_cannot_reach_out_of_its_sandbox(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    tokenizer.chat_template = (
        "{{ messages.__class__.__mro__[1].__subclasses__() }}"
        f"{{{{ cycler.__init__.__globals__.os.mkdir('{marker}') }}}}"
    )
    with pytest.raises(CheckpointError, match="its chat template cannot be used"):
        recognise_chat(tokenizer, tmp_path, None)
    assert not marker.exists()
