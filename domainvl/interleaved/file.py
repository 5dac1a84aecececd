"""Windows of interleaved documents by index: what training takes samples from, with a count of all that was left out.

A file is read once when it is opened. Its windows are put into a temporary file without a name, so that memory does
not grow with the texts and a window is quick to reach, whatever the format of the file.
"""

from __future__ import annotations

import json
import os
import tempfile
import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from domainvl.errors import ItemError
from domainvl.files import output_errors
from domainvl.interleaved.documents import Document, TextSlot, document_id, read_document, whole_document
from domainvl.interleaved.images import ImageFolder
from domainvl.interleaved.reading import read_records, record_files
from domainvl.interleaved.windows import Part, Window, WindowCutter, WindowLimits
from domainvl.model.encoding import ConversationEncoder, DocumentPart, EncodedConversation, Mark
from domainvl.model.preprocessing import Preprocessing
from domainvl.schema import Image, Split, SplitFractions, assign_split

VAL_FRACTION = 0.02
"""Share of the documents that are held out where nobody says it."""

LISTED_PER_REASON = 100
"""Of what was left out, so much is listed one by one; all of it is counted."""


@dataclass(frozen=True)
class Skipped:
    """A document or an image that was left out.

    Attributes:
        where: File and record, and the URL of an image.
        reason: As in :attr:`InterleavedFile.skipped`.
        rule: What it should have been like.
    """

    where: str
    reason: str
    rule: str


@dataclass(frozen=True)
class InterleavedWindow:
    """A stretch of a document, ready for :meth:`ConversationEncoder.encode_document`.

    Attributes:
        document: Id of the document, which is the group.
        images: Its images in order; their paths are relative to :attr:`InterleavedFile.root`.
        parts: Texts, and a mark for each image.
        ends: Whether the document ends with it.
    """

    document: str
    images: tuple[Image, ...]
    parts: tuple[DocumentPart, ...]
    ends: bool

    def encode(self, encoder: ConversationEncoder, preprocessing: Preprocessing) -> EncodedConversation:
        """Turn it into token ids, of which the loss counts the text."""
        tile_counts = [grid.tile_count for grid in preprocessing.grids(self.images)]
        return encoder.encode_document(self.parts, tile_counts, ends=self.ends)


class InterleavedFile:
    """The windows of the documents of one split; which split a document is in, its id alone decides.

    Args:
        path: ``.jsonl`` or ``.parquet`` with a record of OmniCorpus' format a line or row, or a folder of such files.
        encoder: Counts tokens.
        preprocessing: Counts tiles.
        split: Which documents.
        limits: How large a window may be.
        val_fraction: Share of the documents that are held out for validation.
        test_fraction: Share that is held out for testing.
        split_seed: Another seed holds out others.
        images: Folder of the images; ``images`` beside the files where None.
        withheld: Ids of documents, and pixel hashes of images, that must not be used, such as what another data set
            holds out.

    Attributes:
        paths: The files, in order.
        root: Folder that the paths of the images start from.
        image_keys: For each window a number that is equal for equal images in equal order.
        token_counts: Tokens of each window.
        tile_counts: Tiles of each window.
        document_count: Documents of the split that have a window.
        skipped: What was left out, by reason: ``document/...`` whole documents whose record breaks a rule (one
            without an id counts for training), ``image/...`` images that were switched off, ``window/...`` windows.
        listed: The first of them, each with its place and the rule; windows are only counted.

    Raises:
        InputNotFoundError: If the file or the folder of images is not there.
        UsageError: If the file is of another kind, or pyarrow is missing.
        DatasetError: If a Parquet file cannot be read or lacks a column.
    """

    def __init__(
        self,
        path: Path,
        encoder: ConversationEncoder,
        preprocessing: Preprocessing,
        *,
        split: Split = Split.TRAIN,
        limits: WindowLimits | None = None,
        val_fraction: float = VAL_FRACTION,
        test_fraction: float = 0.0,
        split_seed: int = 0,
        images: Path | None = None,
        withheld: frozenset[str] = frozenset(),
    ) -> None:
        self.paths = record_files(path)
        folder = self.paths[0].parent / "images" if images is None else images
        self.root = folder.parent
        self.image_keys: list[int] = []
        self.token_counts: list[int] = []
        self.tile_counts: list[int] = []
        self.skipped: Counter[str] = Counter()
        self.listed: list[Skipped] = []
        self.document_count = 0
        self._split = split
        self._fractions = SplitFractions(val=val_fraction, test=test_fraction, seed=split_seed)
        self._images = ImageFolder(folder)
        self._withheld = withheld
        self._keys: dict[tuple[str, ...], int] = {}
        self._offsets = [0]
        self._spool = tempfile.TemporaryFile()
        weakref.finalize(self, self._spool.close)
        cutter = WindowCutter(encoder, preprocessing, limits or WindowLimits())
        for where, record in chain.from_iterable(map(read_records, self.paths)):
            self._add(where, record, cutter)
        self.skipped.update(cutter.dropped)
        with output_errors(Path(tempfile.gettempdir())):
            self._spool.flush()

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def window(self, index: int) -> InterleavedWindow:
        """Return a window; several threads may ask at once."""
        start, stop = self._offsets[index], self._offsets[index + 1]
        fields = json.loads(os.pread(self._spool.fileno(), stop - start, start))
        return InterleavedWindow(
            document=fields["document"],
            images=tuple(Image.model_validate(image) for image in fields["images"]),
            parts=tuple(Mark.IMAGE if part is None else part for part in fields["parts"]),
            ends=fields["ends"],
        )

    def _add(self, where: str, record: object, cutter: WindowCutter) -> None:
        try:
            split = assign_split(whole_document(document_id(record)), self._fractions)
        except ItemError as error:
            if self._split is Split.TRAIN:
                self._skip("document", where, error)
            return
        if split is not self._split:
            return
        try:
            document = read_document(record)
        except ItemError as error:
            self._skip("document", where, error)
            return
        parts = self._usable(where, document)
        if self._is_withheld(document, parts):
            rule = "neither it nor an image of it may be held out by another data set"
            self._skip("document", where, ItemError("Cannot use a document", reason="held-out", rule=rule))
            return
        windows = cutter.cut(parts)
        self.document_count += bool(windows)
        for window in windows:
            self._keep(document.id, window)

    def _is_withheld(self, document: Document, parts: Sequence[Part]) -> bool:
        shown = {part.pixel_sha256 for part in parts if isinstance(part, Image)}
        return not self._withheld.isdisjoint({whole_document(document.id), *shown})

    def _usable(self, where: str, document: Document) -> list[Part]:
        parts: list[Part] = []
        for slot in document.slots:
            if isinstance(slot, TextSlot):
                parts.append(slot.text)
            elif not slot.valid:
                self.skipped["image/switched-off"] += 1
            else:
                try:
                    parts.append(self._images.image(slot))
                except ItemError as error:
                    self._skip("image", f"{where} {error.where}", error)
        return parts

    def _keep(self, document: str, window: Window) -> None:
        content = {
            "document": document,
            "images": [image.model_dump(mode="json", exclude_none=True) for image in window.images],
            "parts": [part if isinstance(part, str) else None for part in window.parts],
            "ends": window.ends,
        }
        line = json.dumps(content).encode("ascii")
        with output_errors(Path(tempfile.gettempdir())):
            self._spool.write(line)
        self._offsets.append(self._offsets[-1] + len(line))
        paths = tuple(image.path for image in window.images)
        self.image_keys.append(self._keys.setdefault(paths, len(self._keys)))
        self.token_counts.append(window.token_count)
        self.tile_counts.append(window.tile_count)

    def _skip(self, what: str, where: str, error: ItemError) -> None:
        reason = f"{what}/{error.reason}"
        self.skipped[reason] += 1
        if self.skipped[reason] <= LISTED_PER_REASON:
            self.listed.append(Skipped(where, reason, error.rule or error.what))
