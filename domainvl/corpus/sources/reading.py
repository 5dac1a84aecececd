"""What every reader of sources gives: pages of slots, with a way to the bytes of their images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from domainvl.interleaved.documents import Document, Slot
from domainvl.schema.writer import Reject

ImageFinder: TypeAlias = Callable[[str], bytes]
"""Returns the bytes of the image at an address; raises ItemError with a reason (``missing``, ``remote``,
``outside-source``, ``too-large``, ...) where they cannot be had."""


@dataclass(frozen=True)
class SourceFile:
    """One file among the sources.

    Attributes:
        path: Where it lies.
        uri: Name of the source folder and the path below it, with forward slashes, such as ``book/page.html``.
        root: The source folder: nothing outside it is read on its account.
        format: As in :attr:`Origin.format`.
    """

    path: Path
    uri: str
    root: Path
    format: str


@dataclass(frozen=True)
class ReadSettings:
    """What decides how sources are read.

    Attributes:
        extractor: Of pages: ``trafilatura``, ``resiliparse`` or ``magic-html``.
        max_source_bytes: Larger pages and documents are refused unread.
        max_image_bytes: Larger image files are refused unread.
        max_images: Most images of a document; those behind keep their places, switched off, and are counted.
        base_url: Address that the root folder of each source stands for; relative paths count from it.
        frame_step_s: Of videos, a frame is taken at each subtitle, but not more often than this.
    """

    extractor: str = "trafilatura"
    max_source_bytes: int = 50_000_000
    max_image_bytes: int = 50_000_000
    max_images: int = 5000
    base_url: str | None = None
    frame_step_s: float = 2.0


@dataclass(frozen=True)
class Page:
    """One document that a reader found.

    Attributes:
        uri: Of the source, and of the part of it where it holds several, such as ``crawl.warc.gz#<urn:uuid:...>``.
        url: Address of the document; images' addresses are absolute with respect to it.
        slots: Texts and images in the order of the page; images know url and alt alone.
        find_image: Way to the bytes of its images.
        sha256: Hash of the bytes that it was read from.
        reader: What read it, with its version.
        format: As in :attr:`Origin.format`.
        language: ISO 639 code that the source tells.
        modified: When the source was last changed, ISO 8601 in UTC.
        rejects: What was left out of it.
        placement: ``natural``, or ``none`` where the source has no layout: images then stand behind the texts.
        document: What a record said, whose id, host names and scores are kept; None where the source is no record.
    """

    uri: str
    url: str
    slots: tuple[Slot, ...]
    find_image: ImageFinder
    sha256: str
    reader: str
    format: str
    language: str | None = None
    modified: str | None = None
    rejects: tuple[Reject, ...] = field(default=())
    placement: str = "natural"
    document: Document | None = None


class Reader(Protocol):
    """Reads the documents of a source file."""

    def __call__(self, source: SourceFile, settings: ReadSettings) -> Iterator[Page | Reject]:
        """Read a file.

        Args:
            source: The file.
            settings: How.

        Yields:
            Documents in the order of the file, and what could not be read of it.

        Raises:
            ItemError: If nothing of the file can be read: reasons ``too-large``, ``decode``, ``encrypted``, ...
        """
        ...
