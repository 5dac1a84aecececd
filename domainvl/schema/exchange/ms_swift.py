"""ms-swift's standard format, with boxes in pixels so that it writes them as each model expects.

Source: modelscope/ms-swift, docs/source_en/Customization/Custom-dataset.md (sections Multimodal and Grounding), and its
reader: swift/template/base.py (``_pre_tokenize``, ``normalize_bbox``) and swift/llm/dataset/preprocessor/core.py
(``_check_objects``). What they do:

- ``<image>`` in the messages is replaced by the next of ``images``.
- ``<ref-object>`` is replaced by the next of ``objects.ref`` and ``<bbox>`` by the next of ``objects.bbox``, over all
  messages in order. The two lists do not correspond to each other. A placeholder for which none is left stays as text.
- With ``bbox_type`` "real" a box is in pixels of the image ``images[image_id]``, one ``image_id`` for each box. It
  becomes ``round(x / width * 1000)`` for models with norm_bbox "norm1000", and pixels for the others.
- Each model's template decides what stands around: for InternVL ``<ref>name</ref>`` and ``<box>[[x1, y1, x2,
  y2]]</box>`` for each box, so that several boxes of one name come in as many ``<box>``, not in one as InternVL has it.

Paths of images are taken relative to the folder in which it is started, or to its ROOT_IMAGE_DIR. It reads the file
with ``datasets``, which takes the types of all rows from the first 10 MB and fails at a later box if those have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from domainvl.errors import DatasetError, ItemError
from domainvl.schema.boxes import Box, Box1000, to_box_1000, to_box_px
from domainvl.schema.exchange.formats import (
    ExchangedSample,
    ExportFacts,
    Format,
    ImageMode,
    PlacedImage,
    Row,
    SizeOf,
    from_messages,
    to_messages,
)
from domainvl.schema.exchange.rows import JsonLines
from domainvl.schema.sample import Object, Sample, Turn, placed_count
from domainvl.schema.wording import box_list, escape_special

_REF = "<ref-object>"
_BBOX = "<bbox>"
_BOX_1000 = r"\[\d{1,4}, \d{1,4}, \d{1,4}, \d{1,4}\]"
_MARK = re.compile(rf"<ref>(?P<name>.*?)</ref>|<box>\[(?P<boxes>{_BOX_1000}(?:, {_BOX_1000})*)\]</box>", re.DOTALL)
_LEFT_OVER = re.compile(r"</?(?:ref|box|quad)>")
_PLACEHOLDER = re.compile(rf"{_REF}|(?:{_BBOX})+")


class MsSwift(JsonLines):
    """``<split>.jsonl`` with ``id``, ``messages``, ``images`` and, where something is marked, ``objects``."""

    name = "ms-swift"
    summary = "ms-swift: swift sft --dataset train.jsonl --val_dataset val.jsonl, started in the folder"
    boxes = "as <bbox> in the text and float pixels in objects.bbox (bbox_type real); names as <ref-object>"
    image_modes: tuple[ImageMode, ...] = (ImageMode.LINK, ImageMode.COPY, ImageMode.REFERENCE)
    several_images_note: str | None = None

    def to_row(self, sample: Sample, images: Sequence[PlacedImage]) -> Row:
        """Express a sample; see :class:`~domainvl.schema.exchange.formats.Format`."""
        marks = _Marks(sample)
        turns = [Turn(role=turn.role, text=marks.take_out(turn)) for turn in sample.turns]
        row: Row = {"id": sample.id, "messages": to_messages(turns)}
        if images:
            row["images"] = [image.reference for image in images]
        if marks.refs or marks.boxes_px:
            _refuse_literal_placeholders(sample)
            row["objects"] = {
                "ref": marks.refs,
                "bbox": [list(box_px) for box_px in marks.boxes_px],
                "bbox_type": "real",
                "image_id": marks.image_ids,
            }
        return row

    def from_row(self, row: Row, size_of: SizeOf) -> ExchangedSample:
        """Read a row back; see :class:`~domainvl.schema.exchange.formats.Format`."""
        try:
            images = tuple(row.get("images") or ())
            objects = row.get("objects") or {}
            refs, boxes = iter(objects.get("ref", ())), _boxes_1000(objects, images, size_of)
            turns = [
                Turn(role=turn.role, text=_put_back(turn.text, refs, boxes)) for turn in from_messages(row["messages"])
            ]
            return ExchangedSample(row.get("id"), images, tuple(turns))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DatasetError("Unreadable row", rule=f"it must be ms-swift's ({error!r})") from error

    def finish(self, folder: Path, facts: ExportFacts) -> None:
        """Write nothing more."""


class _Marks:
    """What is taken out of a sample's text: the names of things and their boxes, in the order of the text."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self._by_box = _objects_by_box(sample)
        self._mentioned: set[str] = set()
        self._shown = range(0)
        self.refs: list[str] = []
        self.boxes_px: list[Box] = []
        self.image_ids: list[int] = []

    def take_out(self, turn: Turn) -> str:
        """Return the text of a turn with placeholders, and remember what they stand for.

        Raises:
            ItemError: If a mark is not written as InternVL writes it, or it is unknown in which image a box lies.
        """
        self._mentioned = set()
        if placed := placed_count([turn]):
            self._shown = range(self._shown.stop, self._shown.stop + placed)
        text = _MARK.sub(self._replace, turn.text)
        left_over = _LEFT_OVER.search(text)
        if left_over is not None:
            raise ItemError(
                "Cannot express a box",
                reason="box-form",
                where=self._sample.id,
                rule="the text must mark a thing as <ref>name</ref> and boxes as <box>[[x1, y1, x2, y2], ...]</box>, "
                f"got {text[left_over.start() : left_over.start() + 60]!r}",
            )
        return text

    def _replace(self, match: re.Match[str]) -> str:
        if match["name"] is not None:
            self.refs.append(match["name"])
            return _REF
        boxes = [_parse_box(text) for text in re.findall(_BOX_1000, match["boxes"])]
        for box_1000 in boxes:
            box_px, image_id = self._locate(box_1000)
            self.boxes_px.append(box_px)
            self.image_ids.append(image_id)
        return _BBOX * len(boxes)

    def _locate(self, box_1000: Box1000) -> tuple[Box, int]:
        """Find the object that a box of the text belongs to, and return its box in pixels with its image."""
        found = self._find(box_1000)
        images = self._sample.images
        if found is None and len(self._shown) != 1:
            raise ItemError(
                "Cannot express a box",
                reason="box-image-unknown",
                where=self._sample.id,
                rule=f"box {list(box_1000)} must be that of an object, to tell in which of {len(self._shown)} images "
                "it is",
            )
        image_id = self._shown.start if found is None else found.image
        width_px, height_px = images[image_id].width_px, images[image_id].height_px
        if found is not None and found.box_px is not None:
            # Plain rounding, as the reader does it, would make the box of a very small thing empty; ours is widened.
            sides_px = (width_px, height_px, width_px, height_px)
            plain = tuple(round(value / side * 1000) for value, side in zip(found.box_px, sides_px, strict=True))
            if plain == box_1000:
                return found.box_px, image_id
        return to_box_px(box_1000, width_px, height_px), image_id

    def _find(self, box_1000: Box1000) -> Object | None:
        """Return an object with this box; of the name before it if there is, and one not mentioned in this turn yet.

        It lies in an image that was shown already: a solved example does not point at what comes after it.
        """
        fitting = [thing for thing in self._by_box.get(box_1000, []) if thing.image < self._shown.stop]
        named = [thing for thing in fitting if self.refs and escape_special(thing.label) == self.refs[-1]]
        candidates = named or fitting
        found = next((thing for thing in candidates if thing.id not in self._mentioned), next(iter(candidates), None))
        if found is not None:
            self._mentioned.add(found.id)
        return found


def _objects_by_box(sample: Sample) -> dict[Box1000, list[Object]]:
    """Sort the objects by their boxes as the text has them; those that the answer names come first."""
    found: dict[Box1000, list[Object]] = {}
    answer = sample.answer_objects()
    for thing in (*answer, *(thing for thing in sample.objects if thing not in answer)):
        if thing.box_px is not None:
            image = sample.images[thing.image]
            found.setdefault(to_box_1000(thing.box_px, image.width_px, image.height_px), []).append(thing)
    return found


def _refuse_literal_placeholders(sample: Sample) -> None:
    for turn in sample.turns:
        outside = _MARK.sub("", turn.text)
        for placeholder in (_REF, _BBOX):
            if placeholder in outside:
                raise ItemError(
                    "Cannot express a text",
                    reason="literal-placeholder",
                    where=sample.id,
                    rule=f"ms-swift would replace {placeholder}, which the text holds beside boxes, by one of them",
                )


def _parse_box(text: str) -> Box1000:
    x_min, y_min, x_max, y_max = (int(value) for value in text[1:-1].split(", "))
    return x_min, y_min, x_max, y_max


def _boxes_1000(objects: dict[str, Any], images: Sequence[str], size_of: SizeOf) -> Iterator[Box1000]:
    image_ids = objects.get("image_id") or [0] * len(objects.get("bbox", ()))
    for box, image_id in zip(objects.get("bbox", ()), image_ids, strict=True):
        width_px, height_px = size_of(images[image_id]) if objects.get("bbox_type", "real") == "real" else (1, 1)
        x_min, y_min, x_max, y_max = box
        yield to_box_1000((x_min, y_min, x_max, y_max), width_px, height_px)


def _put_back(text: str, refs: Iterator[str], boxes: Iterator[Box1000]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[0] == _REF:
            name = next(refs, None)
            return _REF if name is None else f"<ref>{name}</ref>"
        wanted = match[0].count(_BBOX)
        found = list(islice(boxes, wanted))
        return (box_list(found) if found else "") + _BBOX * (wanted - len(found))

    return _PLACEHOLDER.sub(replace, text)


FORMAT: Format = MsSwift()
