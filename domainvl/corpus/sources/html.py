"""Reads web pages: from bytes to slots in page order, the main body alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from domainvl.corpus.sources.decoding import DecodedPage, decode_page
from domainvl.corpus.sources.extractors import find_extractor
from domainvl.corpus.sources.images_on_disk import ImagesOnDisk, page_address, read_limited
from domainvl.corpus.sources.page_body import select_body
from domainvl.corpus.sources.page_tables import arrange
from domainvl.corpus.sources.page_tree import LeftOut, mark_page, parse_page
from domainvl.corpus.sources.reading import ImageFinder, Page, ReadSettings, SourceFile
from domainvl.schema.writer import Reject, Severity

_MODIFIED = ("article:modified_time", "og:updated_time", "article:published_time", "last-modified", "dcterms.modified")
"""Names of meta elements that tell when a page was changed, the most telling first (ogp.me; DCMI Metadata Terms)."""


def read_html(source: SourceFile, settings: ReadSettings) -> Iterator[Page | Reject]:
    """Read a page that is a file; see :class:`Reader`.

    Raises:
        ItemError: With reason ``too-large``, ``unreadable``, ``empty``, ``decode``, ``too-deep`` or ``too-many-slots``.
    """
    content = read_limited(source.path, settings.max_source_bytes, what="Cannot read a page", where=source.uri)
    origin = PageOrigin(source.uri, page_address(source, settings), source.format)
    yield read_page(content, origin, ImagesOnDisk.of(source, settings), settings)


@dataclass(frozen=True)
class PageOrigin:
    """Where a page came from.

    Attributes:
        uri: As in :attr:`Page.uri`.
        url: As in :attr:`Page.url`.
        format: As in :attr:`Page.format`.
        charset: Encoding that the protocol told.
        modified: When it was last changed or fetched, ISO 8601 in UTC; what the page itself tells where None.
    """

    uri: str
    url: str
    format: str
    charset: str | None = None
    modified: str | None = None


def read_page(content: bytes, origin: PageOrigin, find_image: ImageFinder, settings: ReadSettings) -> Page:
    """Read a page.

    Args:
        content: Its bytes.
        origin: Where it came from.
        find_image: Way to the images that are not in the page itself.
        settings: How.

    Raises:
        ItemError: With reason ``empty``, ``decode``, ``too-deep`` or ``too-many-slots``.
        UsageError: If the extractor is unknown or not installed.
    """
    extractor = find_extractor(settings.extractor)
    decoded = decode_page(content, origin.charset)
    tree = parse_page(decoded.text)
    language, modified = _language(tree), origin.modified or _modified(tree)
    page = mark_page(tree, origin.url)
    body = select_body(page, extractor.kept(page, origin.url))
    slots = arrange([page.slots[index] for index in body], [page.blocks[index] for index in body])
    return Page(
        uri=origin.uri,
        url=origin.url,
        slots=tuple(slots),
        find_image=hold_images(page.held, find_image),
        sha256=hashlib.sha256(content).hexdigest(),
        reader=extractor.version,
        format=origin.format,
        language=language,
        modified=modified,
        rejects=tuple(notes(origin.uri, decoded, page.left_out)),
    )


def hold_images(held: Mapping[str, bytes], others: ImageFinder) -> ImageFinder:
    """Find images that are in the page itself before others.

    Args:
        held: Bytes by address.
        others: Way to the rest.
    """

    def find(address: str) -> bytes:
        return held[address] if address in held else others(address)

    return find


def notes(uri: str, decoded: DecodedPage, left_out: Sequence[LeftOut]) -> Iterator[Reject]:
    """Yield what is to be told of a page: what was not of its encoding, and what has no slot."""
    if decoded.replaced_count:
        rule = f"{decoded.replaced_count} blocks are not {decoded.encoding}; they were read as windows-1252 or replaced"
        yield Reject(uri, "read", "encoding", rule, "Declare the encoding that the page has", Severity.SKIPPED)
    for one in left_out:
        yield Reject(f"{uri} {one.address}".strip(), "read", one.reason, one.rule, severity=Severity.SKIPPED)


def _language(tree: Any) -> str | None:
    told = (tree.get("lang") or tree.get("xml:lang") or "").strip()
    return told or None


def _modified(tree: Any) -> str | None:
    """Return when the page says that it was changed; a day is midnight, and a time without a zone is UTC."""
    told = {
        (meta.get("property") or meta.get("name") or meta.get("http-equiv") or "").lower(): meta.get("content") or ""
        for meta in tree.iter("meta")
    }
    for name in _MODIFIED:
        try:
            moment = datetime.fromisoformat(told.get(name, "").strip())
            zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
            return zoned.astimezone(UTC).isoformat(timespec="seconds")
        except (ValueError, OverflowError):
            continue
    return None
