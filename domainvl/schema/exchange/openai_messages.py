"""OpenAI's chat messages: images are parts of the user's message, in the place of our placeholders.

Source: platform.openai.com, Vision fine-tuning (Data format): an image is given by an HTTP URL or a data URL with its
Base64 content, in messages of the user only. That guide also limits an example to 10 images of 10 MB in RGB or RGBA;
nothing is re-encoded here to keep to that.

- Embedded, an image is a data URL, which that service and every other reader takes; the file grows by a third of the
  images' size, for each sample that shows them.
- Beside the rows, it is a relative URL (RFC 3986, 4.2) with the JSONL file as its base; referred to, a file URL. Both
  are for readers on this machine; a service refuses them.
- A message without images is a string. The format keeps no id, and boxes have no form of their own; they stay as text.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from domainvl.errors import DatasetError, ItemError
from domainvl.schema.exchange.formats import (
    ExchangedSample,
    ExportFacts,
    Format,
    ImageMode,
    PlacedImage,
    Row,
    SizeOf,
    from_messages,
)
from domainvl.schema.exchange.rows import JsonLines
from domainvl.schema.sample import IMAGE_PLACEHOLDER, Sample

_MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


class OpenAiMessages(JsonLines):
    """``<split>.jsonl`` with ``messages`` alone."""

    name = "openai"
    summary = "Readers of OpenAI's chat format; with --images embed that service itself"
    boxes = "in the text, as <box>[[x1, y1, x2, y2]]</box> with integers 0 to 1000"
    image_modes: tuple[ImageMode, ...] = (ImageMode.LINK, ImageMode.COPY, ImageMode.REFERENCE, ImageMode.EMBED)
    several_images_note: str | None = None

    def to_row(self, sample: Sample, images: Sequence[PlacedImage]) -> Row:
        """Express a sample; see :class:`~domainvl.schema.exchange.formats.Format`."""
        urls = iter([_to_url(image) for image in images])
        messages: list[dict[str, Any]] = []
        for turn in sample.turns:
            if turn.role == "assistant":
                messages.append({"role": "assistant", "content": turn.text})
                continue
            before, *after = turn.text.split(IMAGE_PLACEHOLDER)
            parts = [_text_part(before)]
            for text in after:
                parts += [{"type": "image_url", "image_url": {"url": next(urls)}}, _text_part(text)]
            content = [part for part in parts if part.get("text") != ""]
            messages.append({"role": "user", "content": content if after else turn.text})
        return {"messages": messages}

    def from_row(self, row: Row, size_of: SizeOf) -> ExchangedSample:
        """Read a row back; see :class:`~domainvl.schema.exchange.formats.Format`."""
        try:
            images: list[str] = []
            messages = []
            for message in row["messages"]:
                content = message["content"]
                if not isinstance(content, str):
                    content = "".join(_read_part(part, images) for part in content)
                messages.append({"role": message["role"], "content": content})
            return ExchangedSample(None, tuple(images), from_messages(messages))
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError("Unreadable row", rule=f"it must be OpenAI's ({error!r})") from error

    def finish(self, folder: Path, facts: ExportFacts) -> None:
        """Write nothing more."""


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _to_url(image: PlacedImage) -> str:
    if image.mode is ImageMode.REFERENCE:
        return image.file.as_uri()
    if image.mode is not ImageMode.EMBED:
        return quote(image.path)
    media_type = _MEDIA_TYPES.get(Path(image.path).suffix.lower())
    if media_type is None:
        raise ItemError(
            "Cannot embed an image",
            reason="image-format",
            where=image.path,
            rule=f"its name must end in one of {', '.join(_MEDIA_TYPES)}",
        )
    return f"data:{media_type};base64,{base64.b64encode(image.read()).decode('ascii')}"


def _read_part(part: Mapping[str, Any], images: list[str]) -> str:
    if part["type"] == "text":
        return str(part["text"])
    if part["type"] != "image_url":
        raise ValueError(f"a part must be text or image_url, got {part['type']!r}")
    url = part["image_url"]["url"]
    # A data URL is kept: its path is its content.
    images.append(url if url.startswith("data:") else unquote(urlsplit(url).path))
    return IMAGE_PLACEHOLDER


FORMAT: Format = OpenAiMessages()
