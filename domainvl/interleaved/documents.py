"""An interleaved document: texts and images in the order of the page, in a superset of OmniCorpus' record format.

Source of format and invariants: OpenGVLab/OmniCorpus, mllm_llava/llava/train/datasets.py, L215-405, whose loader
asserts them at L340-345; names of the metadata: the data card of OmniCorpus-CC. A record that breaks an invariant is
refused with a reason to count by.

What OmniCorpus has no place for stands under the key ``domainvl``, which its loader does not read: the kind of each
text, the alternative text of each image, where the document came from, further scores. Records of others lack it.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, NoReturn, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from domainvl.errors import ItemError

PROBABILITIES = ("fluency_prob", "non_advertisement_prob", "porn_prob", "politics_prob", "toxic_prob")
"""What OmniCorpus' text classifiers say of a document (data card of OmniCorpus-CC)."""

Record: TypeAlias = dict[str, Any]

MAX_COUNT = 2**63 - 1
"""What columns of whole numbers can hold; JSON has larger ones."""

_Count: TypeAlias = Annotated[int, Field(ge=-MAX_COUNT, le=MAX_COUNT)]


class TextKind(enum.StrEnum):
    """What a text is on its page: OmniCorpus' tags (arXiv 2406.08418, section 3.2), and captions, which it lacks."""

    TEXT = "text"
    HEADER = "header"
    LIST = "list"
    QUOTE = "quote"
    CODE = "code"
    TABLE = "table"
    CAPTION = "caption"
    DETAIL = "detail"


@dataclass(frozen=True)
class TextSlot:
    """A paragraph, heading, list item, table row or caption.

    Attributes:
        text: The text; not empty.
        kind: What it is.
        level: Rank of a heading, 1 to 6.
        page: Page of a paged document, from 1.
        start_s: Where it begins in a video, in seconds.
        end_s: Where it ends.
    """

    text: str
    kind: TextKind = TextKind.TEXT
    level: int | None = None
    page: int | None = None
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class Similarity:
    """How alike an image and a stretch of text are.

    Attributes:
        slot: Index of the slot with the text; -1 for the alternative text of the image.
        begin: First character of the stretch.
        end: Character behind its last.
        score: Cosine of their features.
    """

    slot: _Count
    begin: _Count
    end: _Count
    score: float


@dataclass(frozen=True)
class ImageSlot:
    """The place of an image in a document.

    Attributes:
        url: Where the image came from; its file is named by the hash of this (:func:`image_name`).
        width_px: Width that the record tells, None where it tells none.
        height_px: Height that the record tells.
        byte_count: Size of the file.
        d_hash: Difference hash, 16 hexadecimal digits.
        p_hash: Perceptual hash, 16 hexadecimal digits.
        d_hash_dup_count: In how many documents of the corpus an image has this difference hash.
        p_hash_dup_count: The same for the perceptual hash.
        aesthetic_prob: What the aesthetic predictor says; LAION's is a score from 1 to 10, no probability.
        unsafe_prob: Probability that it is not safe for work.
        valid: False where a filter switched the image off; it then stands for nothing.
        alt: Its alternative text.
        page: Page of a paged document, from 1.
        start_s: Its time in a video, in seconds.
        similar: Texts that it was compared with.
    """

    url: str
    width_px: int | None = None
    height_px: int | None = None
    byte_count: int | None = None
    d_hash: str | None = None
    p_hash: str | None = None
    d_hash_dup_count: int | None = None
    p_hash_dup_count: int | None = None
    aesthetic_prob: float | None = None
    unsafe_prob: float | None = None
    valid: bool = True
    alt: str | None = None
    page: int | None = None
    start_s: float | None = None
    similar: tuple[Similarity, ...] = ()


Slot: TypeAlias = TextSlot | ImageSlot


@dataclass(frozen=True)
class Origin:
    """Where a document came from and how it was read.

    Attributes:
        format: ``html``, ``warc``, ``pdf``, ``docx``, ``dicom-sr``, ``markdown``, ``video``, ``mmc4``, ``obelics``, ...
        uri: Path of the source below the folder that was given, or its address.
        sha256: Hash of the source's bytes.
        reader: What read it, with its version, such as ``trafilatura 2.3.1``.
        language: ISO 639 code that the source tells, such as ``en`` or ``zh-CN``.
        modified: When the source was last changed, ISO 8601 in UTC; of two near-duplicates the later one is kept.
        placement: ``natural`` where images stand as on the page, ``retrieval`` where they were placed by similarity,
            ``none`` where the source tells no place of them.
    """

    format: str
    uri: str
    sha256: str | None = None
    reader: str | None = None
    language: str | None = None
    modified: str | None = None
    placement: str = "natural"


@dataclass(frozen=True)
class Document:
    """A checked record.

    Attributes:
        id: Its id, by which it belongs to a split.
        slots: Texts and images in the order of the page.
        url: Its address.
        domain: Host names, or fields such as ``medical``.
        probabilities: What text classifiers say of it, by the names in :data:`PROBABILITIES`.
        scores: What other classifiers say, by the user's names.
        origin: None in records of others.
    """

    id: str
    slots: tuple[Slot, ...]
    url: str = ""
    domain: tuple[str, ...] = ()
    probabilities: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    origin: Origin | None = None

    @property
    def texts(self) -> tuple[TextSlot, ...]:
        """Its texts in order."""
        return tuple(slot for slot in self.slots if isinstance(slot, TextSlot))

    @property
    def images(self) -> tuple[ImageSlot, ...]:
        """Its images in order, those that are switched off too."""
        return tuple(slot for slot in self.slots if isinstance(slot, ImageSlot))


def keep_slots(slots: Sequence[Slot], kept: Sequence[tuple[int, Slot]]) -> tuple[Slot, ...]:
    """Put together what is left of a document, so that similarities go on pointing at the texts they are about.

    Args:
        slots: Slots of the document as it was.
        kept: For each slot that is left, in order, the index that it had and what it is now.

    Returns:
        The slots that are left. Similarities to texts that are gone or were changed are left out; those to the
        alternative text of the image itself stay.
    """
    if not any(isinstance(slot, ImageSlot) and slot.similar for _, slot in kept):
        return tuple(slot for _, slot in kept)
    places = {at: place for place, (at, slot) in enumerate(kept) if isinstance(slot, TextSlot) and slot == slots[at]}
    return tuple(_with_places(slot, places) for _, slot in kept)


def _with_places(slot: Slot, places: Mapping[int, int]) -> Slot:
    if isinstance(slot, TextSlot) or not slot.similar:
        return slot
    similar = [
        one if one.slot < 0 else replace(one, slot=places[one.slot])
        for one in slot.similar
        if one.slot < 0 or one.slot in places
    ]
    return replace(slot, similar=tuple(similar))


def image_name(url: str) -> str:
    """Name the file of an image: SHA-256 of the address, without extension (mllm_llava/llava/train/datasets.py)."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()


_WINDOW = re.compile(r"#w\d+\Z")


def window_id(document: str, number: int) -> str:
    """Name a window of a document that is a record of its own; windows are counted from 1."""
    return f"{document}#w{number}"


def whole_document(name: str) -> str:
    """Return the id of the document that a window is of, and other ids as they are: splits divide no document."""
    return _WINDOW.sub("", name)


def document_id(record: object) -> str:
    """Return the id of a record.

    Raises:
        ItemError: With reason ``record`` or ``id`` if there is none.
    """
    found = _general(record).get("id")
    if not isinstance(found, str) or not found:
        _refuse("id", f"general_metadata.id must be a text that is not empty, got {found!r}")
    return found


def _general(record: object) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        _refuse("record", f"it must be a JSON object, got {type(record).__name__}")
    general = record.get("general_metadata")
    return general if isinstance(general, Mapping) else {}


def read_document(record: object) -> Document:
    """Check a record against the invariants of the format.

    Args:
        record: A line of JSON or a row of Parquet: ``general_metadata``, and ``images``, ``texts`` and ``metadata``, of
            which each has one entry a slot; perhaps ``valid_image`` with one entry an image, and ``domainvl``.

    Raises:
        ItemError: With reason ``record``, ``id``, ``type``, ``lengths``, ``slots``, ``metadata``, ``valid-image`` or
            ``domainvl``.
    """
    name = document_id(record)
    general = _general(record)
    fields: Mapping[str, Any] = record  # type: ignore[assignment]
    images, texts, metadata = (_list(fields, key) for key in ("images", "texts", "metadata"))
    if not len(images) == len(texts) == len(metadata):
        _refuse(
            "lengths",
            f"images, texts and metadata must be equally long, got {len(images)}, {len(texts)} and {len(metadata)}",
        )
    valid = _valid_images(fields, sum(image is not None for image in images))
    ours = _ours(fields, len(images))
    slots: list[Slot] = []
    for index, (url, text, facts) in enumerate(zip(images, texts, metadata, strict=True)):
        _check_slot(index, url, text, facts)
        told = ours.slots[index] if ours is not None else _SlotFacts()
        slots.append(told.text_slot(text) if url is None else _image_slot(index, url, facts, next(valid), told))
    domain = general.get("domain")
    return Document(
        id=name,
        slots=tuple(slots),
        url=general["url"] if isinstance(general.get("url"), str) else "",
        domain=tuple(str(one) for one in domain) if isinstance(domain, list) else (),
        probabilities={key: value for key in PROBABILITIES if (value := _number(general, key)) is not None},
        scores={score.name: score.value for score in ours.scores} if ours is not None else {},
        origin=ours.origin if ours is not None else None,
    )


def to_record(document: Document) -> Record:
    """Write a document as a record; :func:`read_document` is its inverse."""
    slots = document.slots
    return {
        "general_metadata": {
            "url": document.url,
            "id": document.id,
            "domain": list(document.domain),
            **{key: document.probabilities.get(key) for key in PROBABILITIES},
        },
        "images": [slot.url if isinstance(slot, ImageSlot) else None for slot in slots],
        "texts": [slot.text if isinstance(slot, TextSlot) else None for slot in slots],
        "metadata": [_image_metadata(slot) if isinstance(slot, ImageSlot) else None for slot in slots],
        "valid_image": [slot.valid for slot in document.images],
        "domainvl": {
            "origin": None if document.origin is None else dict(vars(document.origin)),
            "scores": [{"name": key, "value": value} for key, value in sorted(document.scores.items())],
            "slots": [_slot_facts(slot) for slot in slots],
        },
    }


@dataclass(frozen=True)
class _SlotFacts:
    """What ``domainvl.slots`` says of a slot."""

    kind: TextKind | None = None
    level: _Count | None = None
    page: _Count | None = None
    start_s: float | None = None
    end_s: float | None = None
    alt: str | None = None
    similar: tuple[Similarity, ...] = ()

    def text_slot(self, text: str) -> TextSlot:
        return TextSlot(text, self.kind or TextKind.TEXT, self.level, self.page, self.start_s, self.end_s)


@dataclass(frozen=True)
class _Score:
    name: str
    value: float


@dataclass(frozen=True)
class _Ours:
    """The part of a record under ``domainvl``."""

    slots: tuple[_SlotFacts, ...]
    origin: Origin | None = None
    scores: tuple[_Score, ...] = ()


_OURS = TypeAdapter(_Ours)


def _ours(fields: Mapping[str, Any], slot_count: int) -> _Ours | None:
    told = fields.get("domainvl")
    if told is None:
        return None
    try:
        ours = _OURS.validate_python(told)
    except ValidationError as error:
        first = error.errors()[0]
        _refuse("domainvl", f"domainvl.{'.'.join(map(str, first['loc']))}: {first['msg']}")
    if len(ours.slots) != slot_count:
        _refuse("domainvl", f"domainvl.slots must have {slot_count} entries, one a slot, got {len(ours.slots)}")
    return ours


def _slot_facts(slot: Slot) -> dict[str, Any]:
    text = slot if isinstance(slot, TextSlot) else None
    image = slot if isinstance(slot, ImageSlot) else None
    return {
        "kind": text.kind.value if text else None,
        "level": text.level if text else None,
        "page": slot.page,
        "start_s": slot.start_s,
        "end_s": text.end_s if text else None,
        "alt": image.alt if image else None,
        "similar": [dict(vars(one)) for one in image.similar] if image else [],
    }


def _image_metadata(slot: ImageSlot) -> dict[str, Any]:
    return {
        "img_url_sha": image_name(slot.url),
        "width": slot.width_px,
        "height": slot.height_px,
        "bytes": slot.byte_count,
        "d_hash": slot.d_hash,
        "p_hash": slot.p_hash,
        "d_hash_dup_count": slot.d_hash_dup_count,
        "p_hash_dup_count": slot.p_hash_dup_count,
        "aesthetic_prob": slot.aesthetic_prob,
        "unsafe_prob": slot.unsafe_prob,
    }


def _image_slot(index: int, url: str, facts: Mapping[str, Any], valid: bool, told: _SlotFacts) -> ImageSlot:
    return ImageSlot(
        url=url,
        width_px=_count(facts, "width", index, least=1),
        height_px=_count(facts, "height", index, least=1),
        byte_count=_count(facts, "bytes", index),
        d_hash=_text(facts, "d_hash"),
        p_hash=_text(facts, "p_hash"),
        d_hash_dup_count=_count(facts, "d_hash_dup_count", index),
        p_hash_dup_count=_count(facts, "p_hash_dup_count", index),
        aesthetic_prob=_number(facts, "aesthetic_prob"),
        unsafe_prob=_number(facts, "unsafe_prob"),
        valid=valid,
        alt=told.alt,
        page=told.page,
        start_s=told.start_s,
        similar=told.similar,
    )


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


def _valid_images(fields: Mapping[str, Any], count: int) -> Iterator[bool]:
    flags = fields.get("valid_image")
    if flags is None:
        return iter([True] * count)
    if not isinstance(flags, list) or not all(isinstance(flag, bool) for flag in flags) or len(flags) != count:
        _refuse("valid-image", f"valid_image must be a list of {count} booleans, one an image, got {str(flags)[:80]}")
    return iter(flags)


def _count(facts: Mapping[str, Any], key: str, index: int, *, least: int = 0) -> int | None:
    value = facts.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_COUNT:
        rule = f"{key} of the image in slot {index} must be a whole number from {least} to 2^63 - 1, got {value!r:.40}"
        _refuse("metadata", rule)
    return value


def _text(facts: Mapping[str, Any], key: str) -> str | None:
    value = facts.get(key)
    return value if isinstance(value, str) else None


def _number(facts: Mapping[str, Any], key: str) -> float | None:
    value = facts.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        _refuse("metadata", f"{key} must be a number that 64 bits can hold")


def _refuse(reason: str, rule: str) -> NoReturn:
    raise ItemError("Cannot use a document", reason=reason, rule=rule)
