"""ShareGPT as LLaMA-Factory reads it, with the ``dataset_info.json`` that it looks for.

Source: hiyouga/LLaMA-Factory, data/README.md (Sharegpt Format, Multimodal Image Dataset) and its reader:
src/llamafactory/data/converter.py (``SharegptDatasetConverter``, ``_find_medias``) and
src/llamafactory/data/mm_plugin.py (``_validate_messages``). What they do:

- Human and gpt alternate; rows of another order are skipped.
- Paths are taken relative to the folder of ``dataset_info.json`` (``media_dir`` is ``dataset_dir`` if it is not set).
- There must be as many ``<image>`` in all messages as images, and as many ``<video>`` and ``<audio>`` as videos and
  audios; the reader stops at a row that breaks this. A text that holds one of the latter two can therefore not be said.
- It reads the file with ``datasets``, which takes the types of all rows from the first 10 MB and fails at a later image
  if those have none.
- Boxes have no form of their own; they stay as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from domainvl.errors import DatasetError, ItemError
from domainvl.schema.exchange.formats import (
    ExchangedSample,
    ExportFacts,
    Format,
    ImageMode,
    PlacedImage,
    Row,
    SizeOf,
    from_conversations,
    to_conversations,
)
from domainvl.schema.exchange.rows import JsonLines, write_json
from domainvl.schema.sample import Sample

_OTHER_PLACEHOLDERS = ("<video>", "<audio>")


class ShareGpt(JsonLines):
    """``<split>.jsonl`` with ``id``, ``conversations`` and ``images``, described by ``dataset_info.json``."""

    name = "sharegpt"
    summary = "LLaMA-Factory: dataset_dir: FOLDER, dataset: NAME_train, eval_dataset: NAME_val"
    boxes = "in the text, as <box>[[x1, y1, x2, y2]]</box> with integers 0 to 1000"
    image_modes: tuple[ImageMode, ...] = (ImageMode.LINK, ImageMode.COPY, ImageMode.REFERENCE)
    several_images_note: str | None = None

    def to_row(self, sample: Sample, images: Sequence[PlacedImage]) -> Row:
        """Express a sample; see :class:`~domainvl.schema.exchange.formats.Format`."""
        for placeholder in _OTHER_PLACEHOLDERS:
            if any(placeholder in turn.text for turn in sample.turns):
                raise ItemError(
                    "Cannot express a text",
                    reason="literal-placeholder",
                    where=sample.id,
                    rule=f"LLaMA-Factory would take {placeholder}, which the text holds, for a file that is not there",
                )
        return {
            "id": sample.id,
            "conversations": to_conversations(sample.turns),
            "images": [image.reference for image in images],
        }

    def from_row(self, row: Row, size_of: SizeOf) -> ExchangedSample:
        """Read a row back; see :class:`~domainvl.schema.exchange.formats.Format`."""
        try:
            return ExchangedSample(
                row.get("id"), tuple(row.get("images") or ()), from_conversations(row["conversations"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError("Unreadable row", rule=f"it must be LLaMA-Factory's ({error!r})") from error

    def finish(self, folder: Path, facts: ExportFacts) -> None:
        """Write ``dataset_info.json``; its names go into a list separated by commas, so they hold none."""
        name = re.sub(r"[^\w.-]+", "_", facts.name)
        info = {
            f"{name}_{split.value}": {
                "file_name": f"{split.value}.jsonl",
                "formatting": "sharegpt",
                "columns": {"messages": "conversations", "images": "images"},
            }
            for split in facts.counts
        }
        write_json(folder / "dataset_info.json", info)


FORMAT: Format = ShareGpt()
