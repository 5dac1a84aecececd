"""LLaVA's format: one JSON array of id, image and conversations.

Sources: haotian-liu/LLaVA, docs/Finetune_Custom_Data.md and llava/train/train.py (``LazySupervisedDataset``,
``preprocess_multimodal``); LLaVA-VL/LLaVA-NeXT, llava/train/train.py, for samples with several images. What they do:

- ``image`` is joined to ``--image_folder``; a sample without images has no such key.
- LLaVA-1.5 takes a string only: it stops with a TypeError at a list. LLaVA-NeXT takes a list too, one ``<image>`` each.
- Both move the ``<image>`` of a turn that has one to its beginning and strip the rest (LLaVA-NeXT only where it does
  not stand there already), so "Frame1: <image>" becomes "<image>" and "Frame1:"; the file keeps it where it was.
- Boxes have no form of their own; they stay as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from domainvl.errors import DatasetError
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
from domainvl.schema.exchange.rows import JsonArray
from domainvl.schema.sample import Sample


class Llava(JsonArray):
    """``<split>.json``; ``image`` is a path, or a list of paths where there are several."""

    name = "llava"
    summary = "LLaVA's trainers: --data_path train.json --image_folder FOLDER"
    boxes = "in the text, as <box>[[x1, y1, x2, y2]]</box> with integers 0 to 1000"
    image_modes: tuple[ImageMode, ...] = (ImageMode.LINK, ImageMode.COPY, ImageMode.REFERENCE)
    several_images_note: str | None = "a list of images is read by LLaVA-NeXT, not by LLaVA-1.5"

    def to_row(self, sample: Sample, images: Sequence[PlacedImage]) -> Row:
        """Express a sample; see :class:`~domainvl.schema.exchange.formats.Format`."""
        row: Row = {"id": sample.id}
        references = [image.reference for image in images]
        if references:
            row["image"] = references[0] if len(references) == 1 else references
        row["conversations"] = to_conversations(sample.turns)
        return row

    def from_row(self, row: Row, size_of: SizeOf) -> ExchangedSample:
        """Read a row back; see :class:`~domainvl.schema.exchange.formats.Format`."""
        try:
            image = row.get("image", [])
            images = (image,) if isinstance(image, str) else tuple(image)
            return ExchangedSample(row.get("id"), images, from_conversations(row["conversations"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError("Unreadable row", rule=f"it must be LLaVA's ({error!r})") from error

    def finish(self, folder: Path, facts: ExportFacts) -> None:
        """Write nothing more."""


FORMAT: Format = Llava()
