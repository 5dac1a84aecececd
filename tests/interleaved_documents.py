"""Small interleaved documents on disk."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage


def url_of(name: str) -> str:
    return f"https://example.org/{name}"


def file_name(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def png(size_px: tuple[int, int], grey: int = 7) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(np.full(size_px[::-1], grey, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def record_of(name: str, *slots: str | tuple[str, int, int], **fields: Any) -> dict[str, Any]:
    """A record: a text is a text, a triple is an image with its name and size."""
    is_text = [isinstance(slot, str) for slot in slots]
    return {
        "general_metadata": {"url": url_of(name), "id": name, "domain": ["example.org"]},
        "images": [None if text else url_of(slot[0]) for slot, text in zip(slots, is_text, strict=True)],
        "texts": [slot if text else None for slot, text in zip(slots, is_text, strict=True)],
        "metadata": [
            None if text else {"width": slot[1], "height": slot[2]} for slot, text in zip(slots, is_text, strict=True)
        ],
    } | fields


def write_documents(folder: Path, records: Iterable[Any], images: Sequence[tuple[str, int, int]] = ()) -> Path:
    """Write ``documents.jsonl`` and the images beside it; one extension or none."""
    (folder / "images").mkdir(parents=True)
    for number, (name, width_px, height_px) in enumerate(images):
        path = folder / "images" / (file_name(url_of(name)) + ("", ".png", ".jpg")[number % 3])
        path.write_bytes(png((width_px, height_px), number % 256))
    path = folder / "documents.jsonl"
    lines = (record if isinstance(record, str) else json.dumps(record, ensure_ascii=False) for record in records)
    path.write_text("".join(line + "\n" for line in lines), "utf-8")
    return path
