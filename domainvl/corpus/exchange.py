"""Records of other interleaved corpora: MMC4 and OBELICS, read as documents and written from them.

OmniCorpus' records are :mod:`domainvl.interleaved.documents`' own. Sources of the formats: the README of allenai/mmc4
(section "Documents"), the data card of HuggingFaceM4/OBELICS and OBELICS' paper (arXiv 2306.16527, appendix A.1).

What the others have no place for is lost on the way there: kinds and ranks of texts, pages and times, hashes and scores
of images, origin and scores of documents, images that are switched off. MMC4 keeps no more of the place of an image
than its sentence; OBELICS joins texts that follow each other. The id is written as a further field, ``id``, and read
again.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

from domainvl.errors import ItemError
from domainvl.interleaved.documents import (
    MAX_COUNT,
    Document,
    ImageSlot,
    Origin,
    Record,
    Similarity,
    Slot,
    TextSlot,
    image_name,
    read_document,
    to_record,
)

_PARAGRAPHS = "\n\n"
_END_OF_DOCUMENT = "END_OF_DOCUMENT_TOKEN_TO_BE_REPLACED"
"""What OBELICS has where a page seems to begin another article (arXiv 2306.16527, appendix A.1.2); it is no text."""

_ID_DIGITS = 32


class RecordFormat(enum.StrEnum):
    """A format of records."""

    OMNICORPUS = "omnicorpus"
    MMC4 = "mmc4"
    OBELICS = "obelics"


def recognise(record: object) -> RecordFormat:
    """Say which format a record has by its fields.

    Raises:
        ItemError: With reason ``record`` if it has none of those known.
    """
    if isinstance(record, Mapping):
        if "text_list" in record and "image_info" in record:
            return RecordFormat.MMC4
        if all(key in record for key in ("images", "texts", "metadata")):
            general = _from_json(record.get("general_metadata"))
            is_ours = isinstance(general, Mapping) and "id" in general and "domain" in general
            return RecordFormat.OMNICORPUS if is_ours else RecordFormat.OBELICS
    _refuse("record", "it must have the fields of OmniCorpus, MMC4 or OBELICS")


def from_record(record: object) -> Document:
    """Read a record of any of the formats.

    Raises:
        ItemError: With the reasons of :func:`recognise`, :func:`~domainvl.interleaved.documents.read_document`,
            :func:`from_mmc4` and :func:`from_obelics`.
    """
    readers = {
        RecordFormat.OMNICORPUS: read_document,
        RecordFormat.MMC4: from_mmc4,
        RecordFormat.OBELICS: from_obelics,
    }
    return readers[recognise(record)](record)


def to_format(document: Document, record_format: RecordFormat) -> Record:
    """Write a document as a record of a format.

    Raises:
        ItemError: With reason ``no-text`` if MMC4 is asked for and there is no text that an image could belong to.
    """
    writers = {RecordFormat.OMNICORPUS: to_record, RecordFormat.MMC4: to_mmc4, RecordFormat.OBELICS: to_obelics}
    return writers[record_format](document)


def from_mmc4(record: object) -> Document:
    """Read a record of MMC4: each image stands before the sentence that it is matched to.

    Args:
        record: ``text_list``, ``image_info`` (each ``raw_url``, ``matched_text_index``), ``url``, and perhaps
            ``similarity_matrix``, of which row and column are image and sentence.

    Raises:
        ItemError: With reason ``type``, ``matched-text`` or ``similarity``.
    """
    fields = _fields(record)
    sentences = _texts(fields.get("text_list"), "text_list")
    images = fields.get("image_info")
    if not isinstance(images, list) or not all(isinstance(image, Mapping) for image in images):
        _refuse("type", "image_info must be a list of objects")
    places = [_matched(image, len(sentences)) for image in images]
    order = sorted(range(len(images)), key=lambda index: places[index])  # sorted keeps the order of equal ones
    before: dict[int, list[ImageSlot]] = {}
    for index in order:
        before.setdefault(places[index], []).append(ImageSlot(_text(images[index], "raw_url")))
    slots: list[Slot] = []
    at: dict[int, int] = {}
    for sentence, text in enumerate(sentences):
        slots += before.get(sentence, ())
        if text.strip():
            at[sentence] = len(slots)
            slots.append(TextSlot(text))
    rows = _similarities(fields, sentences, at, len(images))
    image_slots = iter(order)
    placed = tuple(
        slot if isinstance(slot, TextSlot) else ImageSlot(slot.url, similar=rows[next(image_slots)]) for slot in slots
    )
    return _document(fields.get("id"), _optional_text(fields, "url"), placed, Origin("mmc4", "", placement="retrieval"))


def to_mmc4(document: Document) -> Record:
    """Write a document as a record of MMC4.

    An image belongs to the text that follows it, one at the end to the last. ``matched_sim`` and entries of
    ``similarity_matrix`` are null where the image was not compared with the text. ``image_name`` is
    :func:`~domainvl.interleaved.documents.image_name`.

    Raises:
        ItemError: With reason ``no-text`` if there is none.
    """
    texts = document.texts
    if not texts:
        _refuse("no-text", "a record of MMC4 must have a sentence, got none")
    images: list[Record] = []
    matrix: list[list[float | None]] = []
    slots_of_texts = [index for index, slot in enumerate(document.slots) if isinstance(slot, TextSlot)]
    text_count = 0
    for slot in document.slots:
        if isinstance(slot, TextSlot):
            text_count += 1
        elif slot.valid:
            matched = min(text_count, len(texts) - 1)
            row = _row(slot, slots_of_texts)
            matrix.append(row)
            images.append(
                {
                    "image_name": image_name(slot.url),
                    "raw_url": slot.url,
                    "matched_text_index": matched,
                    "matched_sim": row[matched],
                    "face_detections": None,
                }
            )
    return {
        "id": document.id,
        "url": document.url,
        "text_list": [text.text for text in texts],
        "image_info": images,
        "similarity_matrix": matrix,
        "could_have_url_duplicate": 0,
    }


def from_obelics(record: object) -> Document:
    """Read a record of OBELICS.

    Args:
        record: ``images`` and ``texts``, of which each has null where the other has not; ``metadata`` and
            ``general_metadata``, objects or their JSON.

    Raises:
        ItemError: With reason ``type``, ``lengths`` or ``slots``.
    """
    fields = _fields(record)
    images, texts = fields.get("images"), fields.get("texts")
    metadata = _from_json(fields.get("metadata"))
    if not isinstance(images, list) or not isinstance(texts, list):
        _refuse("type", "images and texts must be lists")
    if not isinstance(metadata, list) or not len(images) == len(texts) == len(metadata):
        _refuse("lengths", "images, texts and metadata must be equally long lists")
    slots: list[Slot] = []
    for index, (url, text, facts) in enumerate(zip(images, texts, metadata, strict=True)):
        if isinstance(url, str) and text is None:
            slots.append(_obelics_image(url, facts))
        elif isinstance(text, str) and url is None:
            paragraphs = (paragraph.strip() for paragraph in text.split(_PARAGRAPHS))
            slots += [TextSlot(one) for one in paragraphs if one and one != _END_OF_DOCUMENT]
        else:
            _refuse("slots", f"each slot must have either an image or a text, not so slot {index}")
    general = _from_json(fields.get("general_metadata"))
    told: Mapping[str, Any] = general if isinstance(general, Mapping) else {}
    return _document(told.get("id"), _optional_text(told, "url"), tuple(slots), Origin("obelics", ""))


def to_obelics(document: Document) -> Record:
    """Write a document as a record of OBELICS; texts that follow each other become one, divided by an empty line."""
    images: list[str | None] = []
    texts: list[str | None] = []
    metadata: list[Record | None] = []
    for slot in document.slots:
        if isinstance(slot, ImageSlot):
            if slot.valid:
                images.append(slot.url)
                texts.append(None)
                metadata.append(_obelics_facts(slot, document))
        elif texts and texts[-1] is not None:
            texts[-1] += f"{_PARAGRAPHS}{slot.text}"
        else:
            images.append(None)
            texts.append(slot.text)
            metadata.append(None)
    return {
        "images": images,
        "texts": texts,
        "metadata": json.dumps(metadata, ensure_ascii=False),
        "general_metadata": json.dumps({"id": document.id, "url": document.url}, ensure_ascii=False),
    }


def _obelics_image(url: str, facts: object) -> ImageSlot:
    told: Mapping[str, Any] = facts if isinstance(facts, Mapping) else {}
    sides = [told.get(key) for key in ("original_width", "original_height")]
    width_px, height_px = (side if isinstance(side, int) and 0 < side <= MAX_COUNT else None for side in sides)
    return ImageSlot(url, width_px=width_px, height_px=height_px, alt=_optional_text(told, "alt_text") or None)


def _obelics_facts(slot: ImageSlot, document: Document) -> Record:
    facts: Record = {"document_url": document.url, "unformatted_src": slot.url, "src": slot.url}
    further = {"alt_text": slot.alt, "original_width": slot.width_px, "original_height": slot.height_px}
    return facts | {key: value for key, value in further.items() if value is not None}


def _document(told_id: object, url: str, slots: tuple[Slot, ...], origin: Origin) -> Document:
    """Make a document; one without an id gets the hash of its address and its slots."""
    host = host_of(url)
    digest = hashlib.sha256()
    for part in (url, *(slot.text if isinstance(slot, TextSlot) else slot.url for slot in slots)):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    name = told_id if isinstance(told_id, str) and told_id else digest.hexdigest()[:_ID_DIGITS]
    return Document(name, slots, url=url, domain=(host,) if host else (), origin=origin)


def host_of(url: str) -> str | None:
    """Return the host of an address; None where it has none, or is no address."""
    try:
        return urlsplit(url).hostname
    except ValueError:  # such as a host in brackets that is no address
        return None


def _row(slot: ImageSlot, slots_of_texts: Sequence[int]) -> list[float | None]:
    scores: dict[int, float] = {}
    for one in slot.similar:
        scores[one.slot] = max(one.score, scores.get(one.slot, one.score))
    return [scores.get(index) for index in slots_of_texts]


def _similarities(
    fields: Mapping[str, Any], sentences: Sequence[str], at: Mapping[int, int], image_count: int
) -> list[tuple[Similarity, ...]]:
    """Return what each image was compared with; ``at`` has the slots of sentences."""
    matrix = fields.get("similarity_matrix")
    if matrix is None:
        return [()] * image_count
    is_matrix = isinstance(matrix, list) and all(isinstance(row, list) for row in matrix)
    if not is_matrix or len(matrix) != image_count or any(len(row) != len(sentences) for row in matrix):
        _refuse("similarity", f"similarity_matrix must have {image_count} rows of {len(sentences)} numbers")
    try:
        return _scored(matrix, sentences, at)
    except OverflowError:
        _refuse("similarity", "similarity_matrix must have numbers that 64 bits can hold")


def _scored(
    matrix: Sequence[Sequence[object]], sentences: Sequence[str], at: Mapping[int, int]
) -> list[tuple[Similarity, ...]]:
    return [
        tuple(
            Similarity(at[sentence], 0, len(sentences[sentence]), float(score))
            for sentence, score in enumerate(row)
            if sentence in at and isinstance(score, int | float)
        )
        for row in matrix
    ]


def _matched(image: Mapping[str, Any], sentence_count: int) -> int:
    index = image.get("matched_text_index")
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < sentence_count:
        _refuse("matched-text", f"matched_text_index must be one of {sentence_count} sentences, got {index!r}")
    return index


def _fields(record: object) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        _refuse("record", f"it must be a JSON object, got {type(record).__name__}")
    return record


def _texts(value: object, key: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        _refuse("type", f"{key} must be a list of texts")
    return value


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        _refuse("type", f"{key} must be a text that is not empty, got {value!r}")
    return value


def _optional_text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""


def _from_json(value: object) -> object:
    """Read a column that is JSON text in some files and an object in others."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _refuse(reason: str, rule: str) -> NoReturn:
    raise ItemError("Cannot use a record", reason=reason, rule=rule)
