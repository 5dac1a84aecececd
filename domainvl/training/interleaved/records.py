"""OmniCorpus' record of a document: what it must be like, and the slots of text and images in it.

Source of format and invariants: OpenGVLab/OmniCorpus, mllm_llava/llava/train/datasets.py, L215-405, whose loader
asserts them at L340-345. A record that breaks one is refused with a reason to count by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from domainvl.errors import ItemError


@dataclass(frozen=True)
class ImageSlot:
    """The place of an image in a document.

    Attributes:
        url: Where the image came from; its file is named by the hash of this.
        width_px: Width that the record tells, None where it tells none.
        height_px: Height that the record tells.
        valid: False where a filter switched the image off; it then stands for nothing.
    """

    url: str
    width_px: int | None = None
    height_px: int | None = None
    valid: bool = True


Slot: TypeAlias = str | ImageSlot


@dataclass(frozen=True)
class Document:
    """A checked record.

    Attributes:
        id: Its id, by which it belongs to a split.
        slots: Texts and images in the order of the page.
    """

    id: str
    slots: tuple[Slot, ...]


def document_id(record: object) -> str:
    """Return the id of a record.

    Raises:
        ItemError: With reason ``record`` or ``id`` if there is none.
    """
    if not isinstance(record, Mapping):
        _refuse("record", f"it must be a JSON object, got {type(record).__name__}")
    general = record.get("general_metadata")
    found = general.get("id") if isinstance(general, Mapping) else None
    if not isinstance(found, str) or not found:
        _refuse("id", f"general_metadata.id must be a text that is not empty, got {found!r}")
    return found


def read_document(record: object) -> Document:
    """Check a record against the invariants of the format.

    Args:
        record: A line of JSON or a row of Parquet: ``general_metadata``, and ``images``, ``texts`` and ``metadata``, of
            which each has one entry a slot; perhaps ``valid_image`` with one entry an image.

    Raises:
        ItemError: With reason ``record``, ``id``, ``type``, ``lengths``, ``slots``, ``metadata`` or ``valid-image``.
    """
    name = document_id(record)
    fields: Mapping[str, Any] = record  # type: ignore[assignment]
    images, texts, metadata = (_list(fields, key) for key in ("images", "texts", "metadata"))
    if not len(images) == len(texts) == len(metadata):
        _refuse(
            "lengths",
            f"images, texts and metadata must be equally long, got {len(images)}, {len(texts)} and {len(metadata)}",
        )
    valid = _valid_images(fields, sum(image is not None for image in images))
    slots: list[Slot] = []
    for index, (url, text, facts) in enumerate(zip(images, texts, metadata, strict=True)):
        _check_slot(index, url, text, facts)
        if url is None:
            slots.append(text)
        else:
            width_px, height_px = (_size(facts, key, index) for key in ("width", "height"))
            slots.append(ImageSlot(url, width_px, height_px, next(valid)))
    return Document(name, tuple(slots))


def _list(fields: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = fields.get(key)
    if not isinstance(value, list):
        _refuse("type", f"{key} must be a list, got {type(value).__name__}")
    return value


def _check_slot(index: int, url: object, text: object, facts: object) -> None:
    if not isinstance(url, str | None) or not isinstance(text, str | None):
        _refuse("type", f"images and texts must hold texts and nulls, slot {index} holds others")
    if (url is None) == (text is None):
        _refuse("slots", f"each slot must have either an image or a text, slot {index} has {_both_or_none(url)}")
    if (url is None) != (facts is None):
        _refuse("metadata", f"there must be metadata for images and for nothing else, not so in slot {index}")
    if not isinstance(facts, Mapping | None):
        _refuse("type", f"metadata must hold objects and nulls, slot {index} holds {type(facts).__name__}")


def _both_or_none(url: object) -> str:
    return "none" if url is None else "both"


def _valid_images(fields: Mapping[str, Any], count: int) -> Any:
    flags = fields.get("valid_image")
    if flags is None:
        return iter([True] * count)
    if not isinstance(flags, list) or not all(isinstance(flag, bool) for flag in flags) or len(flags) != count:
        _refuse("valid-image", f"valid_image must be a list of {count} booleans, one an image, got {str(flags)[:80]}")
    return iter(flags)


def _size(facts: Mapping[str, Any], key: str, index: int) -> int | None:
    value = facts.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        _refuse("metadata", f"{key} of the image in slot {index} must be a whole number above 0, got {value!r}")
    return value


def _refuse(reason: str, rule: str) -> NoReturn:
    raise ItemError("Cannot use a document", reason=reason, rule=rule)
