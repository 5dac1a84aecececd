"""Reads web archives: a page for each HTML response, with images from the archives of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

from domainvl.corpus.sources.html import PageOrigin, read_page
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.corpus.sources.warc_records import BrokenRecord, WarcRecord, iterate_records
from domainvl.engine import attempt
from domainvl.errors import ItemError
from domainvl.schema.writer import Reject, Severity

_PAGE_TYPES = ("text/html", "application/xhtml+xml")
_SUCCESS = 200
_NOTHING = 0


class WarcImage(NamedTuple):
    """Where an archive holds an image.

    Attributes:
        path: The archive.
        offset: Where its record begins in the file.
        date: When it was fetched, ISO 8601 in UTC.
    """

    path: str
    offset: int
    date: str


def warc_image_index(paths: Sequence[Path]) -> dict[str, WarcImage]:
    """Note where archives hold images, without reading these.

    Args:
        paths: All archives of a run, whose pages may show each other's images.

    Returns:
        Places by address; of several captures of one address the latest, and of equally late ones the last.
    """
    index: dict[str, WarcImage] = {}
    for path in paths:
        for record in iterate_records(path, lambda _: False, _NOTHING):
            if isinstance(record, BrokenRecord) or not record.media_type.startswith("image/"):
                continue
            known = index.get(record.url)
            if record.status == _SUCCESS and (known is None or record.date >= known.date):
                index[record.url] = WarcImage(str(path), record.offset, record.date)
    return index


def read_warc(
    source: SourceFile, settings: ReadSettings, images: Mapping[str, WarcImage] | None = None
) -> Iterator[Page | Reject]:
    """Read the pages of an archive; see :class:`Reader`.

    Args:
        source: The archive.
        settings: How.
        images: From :func:`warc_image_index`, of all archives; of this one where None.
    """
    known = warc_image_index([source.path]) if images is None else images
    find = partial(find_warc_image, known, settings.max_image_bytes)
    for record in iterate_records(source.path, _is_page, settings.max_source_bytes):
        if isinstance(record, BrokenRecord):
            where = f"{source.uri}#{record.offset}"
            yield Reject(where, "read", "warc-record", f"a record here cannot be read: {record.rule}")
        elif record.error is not None:
            yield Reject(_uri(source, record), "read", record.error.reason, str(record.error), record.error.action)
        elif record.content is not None:
            yield _read_record(record, source, settings, find)
        elif record.media_type in _PAGE_TYPES:
            rule = f"a page must have been sent with status 200, got {record.status}"
            yield Reject(_uri(source, record), "read", "http-status", rule, severity=Severity.SKIPPED)


def find_warc_image(index: Mapping[str, WarcImage], max_bytes: int, address: str) -> bytes:
    """Return the bytes of an image.

    Args:
        index: From :func:`warc_image_index`.
        max_bytes: The most that it may have.
        address: Its address; a capture under the other of http and https will do.

    Raises:
        ItemError: With reason ``missing``, ``too-large`` or ``warc-record``.
    """
    scheme, colon, rest = address.partition(":")
    other = {"http": "https", "https": "http"}.get(scheme, scheme)
    place = index.get(address) or index.get(other + colon + rest)
    if place is None:
        raise ItemError("Cannot use an image", reason="missing", where=address, rule="no archive holds it")
    records = iterate_records(Path(place.path), lambda _: True, max_bytes, start=place.offset)
    record = next(records, None)
    if not isinstance(record, WarcRecord) or record.url not in (address, other + colon + rest):
        rule = f"its record is not at byte {place.offset}; archives must be compressed record by record"
        raise ItemError("Cannot use an image", reason="warc-record", where=address, rule=rule)
    if record.error is not None:
        raise record.error
    return record.content or b""


def _is_page(record: WarcRecord) -> bool:
    return record.media_type in _PAGE_TYPES and record.status == _SUCCESS


def _uri(source: SourceFile, record: WarcRecord) -> str:
    return f"{source.uri}#{record.id or record.offset}"


def _read_record(record: WarcRecord, source: SourceFile, settings: ReadSettings, find: partial[bytes]) -> Page | Reject:
    """Read a page; one that fails does not take the rest of the archive with it."""
    uri = _uri(source, record)
    origin = PageOrigin(uri, record.url, source.format, record.charset, record.date or None)
    outcome = attempt(lambda content: read_page(content, origin, find, settings), record.content or b"")
    if outcome.failure is not None:
        return Reject(uri, "read", outcome.failure.reason, outcome.failure.message, outcome.failure.action)
    return cast(Page, outcome.result)
