"""First phase: what of each document is compared with others, as a table with a row a document."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainvl.corpus.deduplicating.settings import DedupSettings
from domainvl.corpus.deduplicating.shingles import Shingler, hash_text, normalise, words_of
from domainvl.corpus.deduplicating.signatures import band_keys, signatures
from domainvl.corpus.extras import require
from domainvl.corpus.folder import Corpus, DocumentGroup
from domainvl.corpus.stage import UnitOutput
from domainvl.interleaved.documents import Document, ImageSlot, TextKind, TextSlot

SIGNS = "signs"
"""Name of the table."""

NEVER_MODIFIED_US = np.iinfo(np.int64).min
"""Stands for the time of a document whose source tells none: it is older than all others."""

_DIGEST_BYTES = 16
_BOILERPLATE_KINDS = frozenset({TextKind.TEXT, TextKind.LIST, TextKind.QUOTE, TextKind.DETAIL})
"""Headings, captions, tables and code are alike in many documents because of what they are."""


@dataclass(frozen=True)
class SignWork:
    """Makes the table of a unit of a corpus; its columns are those of :func:`sign_table`.

    Attributes:
        corpus: The corpus.
        settings: What decides what is compared.
    """

    corpus: Corpus
    settings: DedupSettings

    def __call__(self, unit: DocumentGroup, images: Path) -> UnitOutput:
        """Read documents and make their table."""
        documents = self.corpus.read_group(unit)
        table = sign_table(documents, self.settings)
        keys = {name: len(table.column(name).combine_chunks().values) for name in ("paragraphs", "d_hash", "p_hash")}
        return UnitOutput(tables={SIGNS: table}, info={"rows": len(documents), "keys": keys})


def sign_table(documents: Sequence[Document], settings: DedupSettings) -> Any:
    """Put what is compared of documents into an Arrow table.

    Returns:
        Columns ``id``; ``name``, see :func:`source_name`; ``modified_us``, microseconds since 1970, least where
        unknown; ``exact``, a hash of texts and images; ``shingles``, sets of 32 bits each, of ``shingle_count``;
        ``band_00`` and on, keys of the bands, 0 where a document is shorter than a shingle; ``paragraphs``,
        ``image_ids``, ``d_hash`` and ``p_hash``, sets of hashes.
    """
    pa = require("pyarrow")
    shingler = Shingler(settings.shingle_words)
    sets = [shingler.shingles(_document_words(document)) for document in documents]
    # 32 bits are enough to tell how alike two documents are, and half as much to store.
    halves = [np.unique((shingles >> np.uint64(32)).astype(np.uint32)) for shingles in sets]
    columns: dict[str, Any] = {
        "id": pa.array([document.id for document in documents], pa.string()),
        "name": pa.array([source_name(document) for document in documents], pa.string()),
        "modified_us": pa.array([_modified_us(document) for document in documents], pa.int64()),
        "exact": pa.array([_exact_digest(document) for document in documents], pa.binary(_DIGEST_BYTES)),
        "shingle_count": pa.array([len(shingles) for shingles in halves], pa.int64()),
        "shingles": _list_column(halves),
        "paragraphs": _hash_column([paragraph_keys(document, settings).values() for document in documents]),
        "image_ids": _list_column([_image_set(document) for document in documents]),
        "d_hash": _hash_column([_image_hashes(document, "d_hash") for document in documents]),
        "p_hash": _hash_column([_image_hashes(document, "p_hash") for document in documents]),
    }
    keys = np.zeros((len(documents), settings.bands), dtype=np.uint64)
    long_enough = [index for index, shingles in enumerate(sets) if len(shingles)]
    keys[long_enough] = band_keys(signatures([sets[index] for index in long_enough], settings.permutations), settings)
    columns |= {band_name(band): pa.array(keys[:, band]) for band in range(settings.bands)}
    return pa.table(columns)


def band_name(band: int) -> str:
    """Name the column of a band."""
    return f"band_{band:02d}"


def source_name(document: Document) -> str:
    """Name where a document is from, for messages: its source, or else its address, or else its id."""
    return (document.origin.uri if document.origin is not None else None) or document.url or document.id


def paragraph_keys(document: Document, settings: DedupSettings) -> dict[int, int]:
    """Return the hash of each paragraph that may be boilerplate, by the index of its slot.

    Not those beside an image, which may be what the image shows in words that many documents use; not short ones.
    """
    if not settings.max_paragraph_documents:
        return {}
    found = {}
    for index, slot in enumerate(document.slots):
        beside = document.slots[max(index - 1, 0) : index + 2]
        if not isinstance(slot, TextSlot) or slot.kind not in _BOILERPLATE_KINDS:
            continue
        if any(isinstance(other, ImageSlot) for other in beside):
            continue
        text = normalise(slot.text)
        if len(words_of(text)) >= settings.min_paragraph_words:
            found[index] = hash_text(text)
    return found


def _image_hashes(document: Document, name: str) -> Iterator[int]:
    """Yield the hashes of a document's images as numbers, where there are any.

    Args:
        document: The document.
        name: ``d_hash`` or ``p_hash``.
    """
    for slot in document.images:
        number = hash_number(getattr(slot, name))
        if number is not None:
            yield number


def hash_number(digits: str | None) -> int | None:
    """Read a hash of 64 bits; None where it is none: records of others may hold hashes of another kind."""
    try:
        number = int(digits or "", 16)
    except ValueError:
        return None
    return number if 0 <= number < 1 << 64 else None


def _document_words(document: Document) -> list[str]:
    return words_of(normalise(" ".join(slot.text for slot in document.texts)))


def _exact_digest(document: Document) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for slot in document.slots:
        if isinstance(slot, TextSlot):
            told = f"text\0{normalise(slot.text)}\0"
        elif slot.valid:
            told = f"image\0{_image_identity(slot)}\0"
        else:
            continue
        digest.update(told.encode("utf-8", "surrogatepass"))
    return digest.digest()


def _image_identity(slot: ImageSlot) -> str:
    """Name what an image shows where its hashes are known, so that another address of it is the same image."""
    if slot.d_hash is None or slot.p_hash is None:
        return slot.url
    return f"{slot.d_hash} {slot.p_hash} {slot.byte_count}"


def _image_set(document: Document) -> npt.NDArray[np.uint32]:
    found = [hash_text(_image_identity(slot)) >> 32 for slot in document.images if slot.valid]
    return np.unique(np.array(found, dtype=np.uint32))


def _modified_us(document: Document) -> int:
    told = document.origin.modified if document.origin is not None else None
    try:
        time = datetime.fromisoformat(told or "")
    except ValueError:
        return NEVER_MODIFIED_US
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1e6)


def _hash_column(hashes: Sequence[Any]) -> Any:
    return _list_column([np.unique(np.array(list(found), dtype=np.uint64)) for found in hashes])


def _list_column(sets: Sequence[npt.NDArray[Any]]) -> Any:
    pa = require("pyarrow")
    begins = np.cumsum([0, *(len(values) for values in sets)], dtype=np.int32)
    values = np.concatenate(sets) if sets else np.empty(0, dtype=np.uint64)
    return pa.ListArray.from_arrays(pa.array(begins), pa.array(values))
