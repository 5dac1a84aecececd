"""Which chat format and system message belong to a published checkpoint.

The format is named in the config; the system message is not, and V1-5 and 2.0 have different ones under the same
name. It stands in the ``conversation.py`` that was published beside the weights, which is read as text here and
never run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from domainvl.errors import CheckpointError
from domainvl.model.chat import (
    CHAT_FORMATS,
    INTERNVL2_SYSTEM_MESSAGE,
    SYSTEM_PROMPTS,
    V1_5_SYSTEM_MESSAGES,
    Chat,
    named_system_message,
)
from domainvl.model.published.config import SYSTEM_MESSAGE_KEY

_ASK = f"Say which it is with --system-prompt {', '.join(SYSTEM_PROMPTS[:-1])} or {SYSTEM_PROMPTS[-1]}"

_V1_5 = re.compile(r"v1[-_.]5", re.IGNORECASE)
_INTERNVL2 = re.compile(r"internvl2[-_](?!5)", re.IGNORECASE)


def published_chat(folder: Path, config: Mapping[str, Any], system_prompt: str | None) -> Chat:
    """Find the chat format and system message of a checkpoint in the published layout.

    Args:
        folder: Holds the checkpoint.
        config: Its ``config.json``.
        system_prompt: One of :data:`SYSTEM_PROMPTS`; None to find out.

    Raises:
        CheckpointError: If the format is unknown, or it cannot be told which system message belongs to it.
    """
    name = str(config.get("template"))
    if name not in CHAT_FORMATS:
        raise CheckpointError(
            "Cannot import a checkpoint",
            where=folder / "config.json",
            rule=f"template must be one of {', '.join(CHAT_FORMATS)}, got {name!r}",
            action="Only these chat formats are known; report the checkpoint",
        )
    if system_prompt is None and SYSTEM_MESSAGE_KEY in config:
        return Chat(format=name, system_message=config[SYSTEM_MESSAGE_KEY])
    if system_prompt is None:
        written = _written(folder, name)
        if written is not None:
            _check_name(folder, written)
            return written
        system_prompt = _told_by_name(folder, config)
    if system_prompt is not None:
        return Chat(format=name, system_message=named_system_message(system_prompt, name, folder))
    raise CheckpointError(
        "Cannot import a checkpoint",
        where=folder,
        rule="its system message cannot be told: there is no conversation.py, and no name says InternVL2 or V1-5",
        action=_ASK,
    )


def _told_by_name(folder: Path, config: Mapping[str, Any]) -> str | None:
    for name in (folder.resolve().name, str(config.get("_name_or_path", ""))):
        told = _versions(name)
        if len(told) > 1:
            raise CheckpointError(
                "Cannot import a checkpoint",
                where=folder,
                rule=f"its system message cannot be told: {name!r} says {' and '.join(told)}",
                action=_ASK,
            )
        if told:
            return told[0]
    return None


def _versions(name: str) -> list[str]:
    return [version for version, pattern in (("internvl2", _INTERNVL2), ("v1-5", _V1_5)) if pattern.search(name)]


def _check_name(folder: Path, written: Chat) -> None:
    """Refuse a conversation.py that is not the one of the model that the folder is named after."""
    told = _versions(folder.resolve().name)
    known = {INTERNVL2_SYSTEM_MESSAGE: "internvl2", V1_5_SYSTEM_MESSAGES.get(written.format): "v1-5"}
    version = known.get(written.system_message)
    if told and version is not None and version not in told:
        raise CheckpointError(
            "Cannot import a checkpoint",
            where=folder,
            rule=f"its name says {told[0]}, but the system message in conversation.py is that of {version}",
            action=_ASK,
        )


def _written(folder: Path, template: str) -> Chat | None:
    """Read the system message of a template from the published conversation.py."""
    path = folder / "conversation.py"
    if not path.is_file():
        return None
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise CheckpointError("Cannot import a checkpoint", where=path, rule=f"it is not Python: {error}") from error
    for values in _conversations(tree):
        if values.get("name") == template:
            message = values.get("system_message") or None
            if message is not None and not isinstance(message, str):
                raise CheckpointError(
                    "Cannot import a checkpoint",
                    where=path,
                    rule=f"the system_message of {template} must be written out as text",
                    action=_ASK,
                )
            return Chat(format=template, system_message=message)
    return None


def _conversations(tree: ast.AST) -> Iterator[dict[str, Any]]:
    """Yield the keyword arguments of each ``Conversation(...)``: constants, or the syntax of what is none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Conversation":
            yield {
                keyword.arg: keyword.value.value if isinstance(keyword.value, ast.Constant) else keyword.value
                for keyword in node.keywords
                if keyword.arg is not None
            }
