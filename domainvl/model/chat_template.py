"""Chat formats as the Jinja templates that other tools read, and recognising a template that came with a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.errors import CheckpointError
from domainvl.model.chat import (
    CHAT_FORMATS,
    INTERNVL2_SYSTEM_MESSAGE,
    V1_5_SYSTEM_MESSAGES,
    Chat,
    named_system_message,
    serialise,
)
from domainvl.model.tokens import IMAGE_CONTEXT
from domainvl.schema import Turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_PROBE = (("user", "A?"), ("assistant", "b"), ("user", "C?"))


def chat_template(chat: Chat) -> str:
    """Return the Jinja template of a chat format, for ``apply_chat_template`` and for servers such as vLLM.

    A message's content is text or a list of parts; an image part becomes the one token that transformers' processor
    replaces by the visual tokens.
    """
    markers = chat.markers
    end = _literal(markers.end + markers.after_end)
    blanks = " | trim" if markers.strips else ""
    system = "" if chat.system_message is None else f"{_literal(markers.system)}{_literal(chat.system_message)}{end}"
    image = _literal(IMAGE_CONTEXT + "\n")
    content = (
        "{% if message['content'] is string %}{{ message['content']" + blanks + " }}{% else %}"
        "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
        + image
        + "{% elif part['type'] == 'text' %}"
        "{{ part['text']" + blanks + " }}{% endif %}{% endfor %}{% endif %}"
    )
    return (
        f"{_literal(markers.bos)}"
        "{% if messages[0]['role'] != 'system' %}" + system + "{% endif %}"
        "{% for message in messages %}"
        "{% if message['role'] == 'system' %}" + _literal(markers.system) + "{% elif message['role'] == 'user' %}"
        f"{_literal(markers.human)}"
        "{% else %}" + _literal(markers.assistant) + "{% endif %}" + content + end + "{% endfor %}"
        "{% if add_generation_prompt %}" + _literal(markers.assistant) + "{% endif %}"
    )


def _literal(text: str) -> str:
    """Write text so that Jinja trims none of its line breaks."""
    return "{{ " + json.dumps(text, ensure_ascii=False) + " }}" if text else ""


def recognise_chat(tokenizer: PreTrainedTokenizerFast, folder: Path, system_prompt: str | None) -> Chat:
    """Find the chat format whose conversations are those of the template that came with a checkpoint.

    Args:
        tokenizer: With its template, if it brought one.
        folder: Holds the checkpoint.
        system_prompt: ``internvl2``, ``v1-5`` or ``none``, to choose another system message; None for the
            template's own.

    Raises:
        CheckpointError: If there is no template, or it is none of ours.
    """
    template = tokenizer.chat_template or _template_of_processor(folder)
    if template is None:
        raise CheckpointError(
            "Cannot import a checkpoint",
            where=folder,
            rule="it has no chat template",
            action="Download all of its files",
        )
    if not isinstance(template, str):
        raise CheckpointError(
            "Cannot import a checkpoint", where=folder, rule="its chat template must be one, got a table of several"
        )
    rendered = _render(tokenizer, template, folder)
    for chat in _candidates():
        if _text(chat) == rendered:
            if system_prompt is None:
                return chat
            return Chat(format=chat.format, system_message=named_system_message(system_prompt, chat.format, folder))
    raise CheckpointError(
        "Cannot import a checkpoint",
        where=folder,
        rule=f"its chat template is none of {', '.join(CHAT_FORMATS)}: it makes {rendered!r}",
        action="Report the checkpoint with this message",
    )


def _candidates() -> list[Chat]:
    return [
        Chat(format=name, system_message=message)
        for name in CHAT_FORMATS
        for message in (None, INTERNVL2_SYSTEM_MESSAGE, V1_5_SYSTEM_MESSAGES.get(name))
    ]


def _text(chat: Chat) -> str:
    turns = [Turn(role="human" if role == "user" else "assistant", text=text) for role, text in _PROBE]
    return "".join(piece.text for piece in serialise(turns, chat))


def _render(tokenizer: Any, template: str, folder: Path) -> str:
    from jinja2 import TemplateError

    messages = [{"role": role, "content": text} for role, text in _PROBE]
    try:
        return str(
            tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, add_generation_prompt=True)
        )
    except (TemplateError, ValueError, TypeError) as error:
        raise CheckpointError(
            "Cannot import a checkpoint", where=folder, rule=f"its chat template cannot be used: {error}"
        ) from error


def _template_of_processor(folder: Path) -> str | None:
    """Read the template where transformers 4 kept that of a processor."""
    path = folder / "chat_template.json"
    if not path.is_file():
        return None
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["chat_template"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            "Cannot import a checkpoint", where=path, rule=f"it holds no template: {error!r}"
        ) from error
