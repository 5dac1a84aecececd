"""InternVL's own format: our lines without the part that only we read, and its meta file.

Source: OpenGVLab/InternVL documentation (chat_data_format) and internvl_chat_finetune.py.
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
)
from domainvl.schema.exchange.rows import JsonLines, write_json
from domainvl.schema.record import to_record
from domainvl.schema.sample import Sample, Split
from domainvl.schema.writer import META_NAME


class InternVl(JsonLines):
    """``<split>.jsonl`` and ``meta.json``, which names the training rows only.

    Images are named relative to the ``root`` of the meta file: the export's folder, in which the trainer is started,
    or with references the folder of the data set. An export without training rows has no meta file.
    """

    name = "internvl"
    summary = "InternVL's trainer: torchrun ... --meta_path meta.json, started in the folder"
    boxes = "in the text, as <box>[[x1, y1, x2, y2]]</box> with integers 0 to 1000"
    image_modes: tuple[ImageMode, ...] = (ImageMode.LINK, ImageMode.COPY, ImageMode.REFERENCE)
    several_images_note: str | None = None

    def to_row(self, sample: Sample, images: Sequence[PlacedImage]) -> Row:
        """Express a sample; see :class:`~domainvl.schema.exchange.formats.Format`."""
        record = to_record(sample)
        del record["domainvl"]
        return record

    def from_row(self, row: Row, size_of: SizeOf) -> ExchangedSample:
        """Read a row back; see :class:`~domainvl.schema.exchange.formats.Format`."""
        try:
            image = row.get("image", [])
            images = (image,) if isinstance(image, str) else tuple(image)
            return ExchangedSample(row["id"], images, from_conversations(row["conversations"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError("Unreadable row", rule=f"it must be InternVL's ({error!r})") from error

    def finish(self, folder: Path, facts: ExportFacts) -> None:
        """Write the meta file."""
        length = facts.counts.get(Split.TRAIN, 0)
        if length == 0:
            return
        root = f"{facts.dataset.as_posix()}/" if facts.mode is ImageMode.REFERENCE else "./"
        entry = {
            "root": root,
            "annotation": "train.jsonl",
            "data_augment": False,
            "repeat_time": 1,
            "length": length,
        }
        write_json(folder / META_NAME, {facts.name: entry})


FORMAT: Format = InternVl()
