"""Which system message belongs to a checkpoint: read from text, told by name, or asked for."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from published_checkpoints import conversation_py

from domainvl.errors import CheckpointError
from domainvl.model.chat import INTERNVL2_SYSTEM_MESSAGE
from domainvl.model.published.prompt import published_chat

INTERNVL2 = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
)
V1_5 = {
    "Hermes-2": "Answer the questions.",
    "internlm2-chat": "You are an AI assistant whose name is InternLM (书生·浦语).",
    "phi3-chat": "You are an AI assistant whose name is Phi-3.",
}
"""mini-internvl.md section 3.5."""


def folder(tmp_path: Path, name: str = "download", conversation: str | None = None) -> Path:
    path = tmp_path / name
    path.mkdir()
    if conversation is not None:
        (path / "conversation.py").write_text(conversation, encoding="utf-8")
    return path


@pytest.mark.parametrize("template", list(V1_5))
@pytest.mark.parametrize("version", ["internvl2", "v1-5"])
@pytest.mark.parametrize("told_by", ["user", "file", "folder", "_name_or_path"])
def test_six_variants(tmp_path: Path, template: str, version: str, told_by: str) -> None:
    message = INTERNVL2 if version == "internvl2" else V1_5[template]
    published = {"internvl2": "InternVL2-2B", "v1-5": "Mini-InternVL-Chat-2B-V1-5"}[version]
    path = folder(
        tmp_path,
        published if told_by == "folder" else "download",
        conversation_py(template, message) if told_by == "file" else None,
    )
    config = {"template": template}
    if told_by == "_name_or_path":
        config["_name_or_path"] = f"OpenGVLab/{published}"
    chat = published_chat(path, config, version if told_by == "user" else None)
    assert (chat.format, chat.system_message) == (template, message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("InternVL2-1B", INTERNVL2),
        ("Mini-InternVL2-4B-DA-Drivelm", INTERNVL2),
        ("models--OpenGVLab--InternVL2-8B", INTERNVL2),
        ("internvl2_2b_finetune", INTERNVL2),
        ("InternVL-Chat-V1-5", V1_5["Hermes-2"]),
        ("internvl_chat_v1_5_lora", V1_5["Hermes-2"]),
        ("internvl-v1.5", V1_5["Hermes-2"]),
        ("InternVL2_5-2B", None),
        ("InternVL2-5-2B", None),
        ("internvl2.5-1b", None),
        ("InternVL3-1B", None),
        ("my-run", None),
    ],
)
def test_what_a_name_tells(tmp_path: Path, name: str, message: str | None) -> None:
    """InternVL2.5 has another message than InternVL2: it must not be taken for it."""
    path = folder(tmp_path, name)
    if message is None:
        with pytest.raises(CheckpointError, match=r"cannot be told.*--system-prompt internvl2, v1-5 or none"):
            published_chat(path, {"template": "Hermes-2"}, None)
    else:
        assert published_chat(path, {"template": "Hermes-2"}, None).system_message == message


def test_a_name_that_says_two_things_tells_nothing(tmp_path: Path) -> None:
    path = folder(tmp_path, "InternVL2-2B-from-V1-5")
    with pytest.raises(CheckpointError, match=r"'InternVL2-2B-from-V1-5' says internvl2 and v1-5.*--system-prompt"):
        published_chat(path, {"template": "Hermes-2"}, None)


def test_a_message_of_another_version_than_the_name_says_is_asked_about(tmp_path: Path) -> None:
    path = folder(tmp_path, "Mini-InternVL-Chat-2B-V1-5")
    (path / "conversation.py").write_text(conversation_py("internlm2-chat", INTERNVL2_SYSTEM_MESSAGE))
    with pytest.raises(CheckpointError, match=r"name says v1-5, but .* conversation.py is that of internvl2"):
        published_chat(path, {"template": "internlm2-chat"}, None)
    assert published_chat(path, {"template": "internlm2-chat"}, "v1-5").system_message == V1_5["internlm2-chat"]
    (path / "conversation.py").write_text(conversation_py("internlm2-chat", "Be brief."))
    assert published_chat(path, {"template": "internlm2-chat"}, None).system_message == "Be brief."


def test_the_name_of_the_folder_comes_before_that_in_the_config(tmp_path: Path) -> None:
    config = {"template": "Hermes-2", "_name_or_path": "OpenGVLab/InternVL2-1B"}
    assert published_chat(folder(tmp_path, "run-V1-5"), config, None).system_message == V1_5["Hermes-2"]


def test_the_file_comes_before_names(tmp_path: Path) -> None:
    path = folder(tmp_path, "InternVL2-2B", conversation_py("internlm2-chat", "Own message."))
    assert published_chat(path, {"template": "internlm2-chat"}, None).system_message == "Own message."


def test_the_user_comes_before_the_file(tmp_path: Path) -> None:
    path = folder(tmp_path, "x", conversation_py("internlm2-chat"))
    assert published_chat(path, {"template": "internlm2-chat"}, "none").system_message is None
    found = published_chat(path, {"template": "internlm2-chat"}, "v1-5")
    assert found.system_message == V1_5["internlm2-chat"]


def test_a_template_that_the_file_lacks_is_told_by_name(tmp_path: Path) -> None:
    path = folder(tmp_path, "InternVL2-1B", conversation_py("phi3-chat", "Not this."))
    assert published_chat(path, {"template": "Hermes-2"}, None).system_message == INTERNVL2


def test_an_empty_message_is_none(tmp_path: Path) -> None:
    path = folder(tmp_path, "x", conversation_py("Hermes-2", ""))
    assert published_chat(path, {"template": "Hermes-2"}, None).system_message is None


def test_messages_in_pieces_are_whole(tmp_path: Path) -> None:
    text = "Conversation(name='Hermes-2', system_message='You are '\n'an \\u0041I.')"
    assert (
        published_chat(folder(tmp_path, "x", text), {"template": "Hermes-2"}, None).system_message == "You are an AI."
    )


@pytest.mark.parametrize("expression", ["MESSAGE", "'a' + 'b'", "'x'.upper()", "f'{1}'"])
def test_a_message_that_is_no_literal_is_not_taken_for_none(tmp_path: Path, expression: str) -> None:
    text = f"MESSAGE = 'hello'\nConversation(name='Hermes-2', system_message={expression})"
    with pytest.raises(CheckpointError, match="system"):
        published_chat(folder(tmp_path, "x", text), {"template": "Hermes-2"}, None)


def test_the_file_is_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "run"
    _, _, registered = conversation_py("Hermes-2").partition("\n\n\nconv_templates")
    malicious = f"import os\nos.mkdir({str(marker)!r})\nConversation = dict\nconv_templates" + registered.replace(
        "template.name", "template['name']"
    )
    path = folder(tmp_path, "x", malicious)
    assert published_chat(path, {"template": "Hermes-2"}, None).system_message == INTERNVL2
    assert not marker.exists()
    runpy.run_path(str(path / "conversation.py"), run_name="conversation")  # it would do what it says
    assert marker.exists()


@pytest.mark.parametrize("content", [b"def (", b"\xff\xfe\x00", b"a = \x00", b"-" * 200_000 + b"1"])
def test_a_file_that_is_no_python(tmp_path: Path, content: bytes) -> None:
    path = folder(tmp_path, "x")
    (path / "conversation.py").write_bytes(content)
    with pytest.raises(CheckpointError, match="conversation.py: it is not Python"):
        published_chat(path, {"template": "Hermes-2"}, None)


@pytest.mark.parametrize("config", [{}, {"template": None}, {"template": "vicuna_v1.1"}, {"template": ["Hermes-2"]}])
def test_unknown_formats(tmp_path: Path, config: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match=r"config.json: template must be one of Hermes-2, .* got"):
        published_chat(folder(tmp_path), config, "none")


def test_v1_5_had_no_format_of_later_models(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="--system-prompt"):
        published_chat(folder(tmp_path), {"template": "internvl2_5"}, "v1-5")
