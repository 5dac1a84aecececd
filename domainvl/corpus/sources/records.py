"""Reads documents that another tool has made: records of OmniCorpus, MMC4 and OBELICS in JSONL and Parquet.

Their images are looked for in the folder ``images`` beside the file, and in ``NAME_images`` of ``NAME.jsonl`` (where
allenai/mmc4's scripts/download_images.py puts them): by the SHA-256 of their address, with any extension or none, and
by the name that an MMC4 record gives them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from domainvl.corpus.exchange import from_record
from domainvl.corpus.sources.images_on_disk import read_limited
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.errors import DatasetError, ItemError
from domainvl.files import hash_file
from domainvl.interleaved import reading
from domainvl.interleaved.documents import image_name
from domainvl.schema.writer import Reject


def read_records(source: SourceFile, settings: ReadSettings) -> Iterator[Page | Reject]:
    """Read the records of a file; a :class:`~domainvl.corpus.sources.reading.Reader`.

    A document is called ``<uri of the file>#<number>``, counted from 1.

    Args:
        source: The file, ``.jsonl`` or ``.parquet``.
        settings: How.

    Yields:
        Documents in the order of the file, and records that break a rule of their format.

    Raises:
        ItemError: With reason ``decode`` if it is no Parquet, or lacks a column.
    """
    sha256 = hash_file(source.path)
    folder = _Images.beside(source, settings.max_image_bytes)
    try:
        for number, (_, record) in enumerate(reading.read_records(source.path), start=1):
            uri = f"{source.uri}#{number}"
            try:
                document = from_record(record)
            except ItemError as error:
                yield Reject(uri, "read", error.reason, str(error), error.action)
                continue
            yield Page(
                uri=uri,
                url=document.url,
                slots=document.slots,
                find_image=folder.of(record),
                sha256=sha256,
                reader="domainvl",
                format=document.origin.format if document.origin is not None else "omnicorpus",
                language=None if document.origin is None else document.origin.language,
                modified=None if document.origin is None else document.origin.modified,
                placement="natural" if document.origin is None else document.origin.placement,
                document=document,
            )
    except DatasetError as error:
        raise ItemError("Cannot read records", reason="decode", where=source.uri, rule=error.rule) from error


@dataclass(frozen=True)
class _Images:
    """The images beside a file of records.

    Attributes:
        root: The source folder: files elsewhere are not read.
        files: By name, and by name without extension.
        max_bytes: Larger ones are refused unread.
        names: What records call them, by address.
    """

    root: Path
    files: Mapping[str, Path]
    max_bytes: int
    names: Mapping[str, str]

    @classmethod
    def beside(cls, source: SourceFile, max_bytes: int) -> _Images:
        """List the images beside a file of records."""
        path = source.path
        files: dict[str, Path] = {}
        for folder in (path.parent / "images", path.with_name(f"{path.stem}_images")):
            for file in sorted(filter(Path.is_file, folder.iterdir())) if folder.is_dir() else ():
                files.setdefault(file.name, file)
                files.setdefault(file.stem, file)
        return cls(source.root.resolve(), files, max_bytes, {})

    def of(self, record: object) -> _Images:
        """Return the same with the names that a record of MMC4 gives."""
        infos = record.get("image_info") if isinstance(record, Mapping) else None
        told = [info for info in infos if isinstance(info, Mapping)] if isinstance(infos, list) else []
        names = {str(info.get("raw_url")): str(info["image_name"]) for info in told if info.get("image_name")}
        return _Images(self.root, self.files, self.max_bytes, names)

    def __call__(self, address: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            ItemError: With reason ``missing``, ``outside-source``, ``too-large`` or ``unreadable``.
        """
        path = self.files.get(image_name(address)) or self.files.get(self.names.get(address, ""))
        if path is None:
            rule = "there is no file of its name in the folder images beside the records"
            raise ItemError("Cannot use an image", reason="missing", where=address, rule=rule)
        if not path.resolve().is_relative_to(self.root):
            rule = "an image must lie inside the source folder"
            raise ItemError("Cannot use an image", reason="outside-source", where=address, rule=rule)
        return read_limited(path, self.max_bytes, what="Cannot use an image", where=address)
