"""Records of web archives (ISO 28500, WARC), read one by one within limits, and past those that are broken."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, BinaryIO

from domainvl.corpus.extras import require
from domainvl.errors import ItemError

_GZIP_START = re.compile(rb"\x1f\x8b\x08")  # RFC 1952, 2.3.1: magic and deflate
_PLAIN_START = re.compile(rb"WARC/1\.[01]\r?\n[\w-]+:")
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20
_OVERLAP_BYTES = 256  # longer than any match of the patterns above that is worth finding
_SUCCESS = 200
_COMPRESSED = ("content-encoding", "transfer-encoding")


@dataclass(frozen=True)
class WarcRecord:
    """A response, or a resource that was stored as it is.

    Attributes:
        offset: Where it begins in the file.
        id: Its ``WARC-Record-ID``.
        url: Its ``WARC-Target-URI``.
        date: Its ``WARC-Date``, ISO 8601 in UTC.
        media_type: Such as ``text/html``, in small letters; empty if it tells none.
        charset: Encoding that HTTP told.
        status: HTTP's status; 200 of a resource.
        content: What was sent, without transfer and content encodings; None where it was not asked for.
        error: Why it was asked for and is not there.
    """

    offset: int
    id: str
    url: str
    date: str
    media_type: str
    charset: str | None
    status: int
    content: bytes | None = None
    error: ItemError | None = None


@dataclass(frozen=True)
class BrokenRecord:
    """A stretch of an archive that cannot be read.

    Attributes:
        offset: Where the last record before it begins, or it itself.
        rule: What is wrong.
    """

    offset: int
    rule: str


def iterate_records(
    path: Path, is_wanted: Callable[[WarcRecord], bool], max_bytes: int, *, start: int = 0
) -> Iterator[WarcRecord | BrokenRecord]:
    """Read the responses and resources of an archive.

    Args:
        path: The archive; gzip is recognised.
        is_wanted: Says whether the content of a record, known without it, is to be read.
        max_bytes: Longer contents are not read; what is compressed is unpacked no further.
        start: Where to begin, at a record.

    Yields:
        Records in their order; once for each stretch that is broken, what is wrong with it. Reading goes on at the next
        record.
    """
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP_MAGIC
        position: int | None = start
        is_broken = False
        while position is not None:
            reached = position
            try:
                for record in _read_from(file, position, is_wanted, max_bytes):
                    reached, is_broken = record.offset, False
                    yield record
                return
            except (OSError, ValueError) as error:
                if not is_broken:
                    yield BrokenRecord(reached, str(error))
                is_broken = True
            position = _next_start(file, reached + 1, _GZIP_START if is_gzip else _PLAIN_START)


def _read_from(
    file: BinaryIO, start: int, is_wanted: Callable[[WarcRecord], bool], max_bytes: int
) -> Iterator[WarcRecord]:
    """Read on from a place.

    Raises:
        OSError: At a record that is broken.
    """
    warc = require("fastwarc.warc")
    file.seek(start)
    kinds = warc.WarcRecordType.response | warc.WarcRecordType.resource
    for raw in warc.ArchiveIterator(file, record_types=kinds, parse_http=True, auto_decode="all", strict_mode=False):
        record = _describe(raw)
        if record.url and is_wanted(record):
            yield _with_content(record, raw, max_bytes)
        else:
            yield record


def _describe(raw: Any) -> WarcRecord:
    http = raw.http_headers
    told = (raw.http_content_type if http is not None else raw.headers.get("Content-Type")) or ""
    date = ""
    with contextlib.suppress(ValueError, TypeError, AttributeError):  # no date, or none that can be read
        date = raw.record_date.astimezone(UTC).isoformat(timespec="seconds")
    return WarcRecord(
        offset=raw.stream_pos,
        id=(raw.headers.get("WARC-Record-ID") or "").strip("<>"),
        url=(raw.headers.get("WARC-Target-URI") or "").strip("<>"),  # WARC 1.0 writers put brackets around it
        date=date,
        media_type=told.partition(";")[0].strip().lower(),
        charset=raw.http_charset if http is not None else None,
        status=(http.status_code or 0) if http is not None else _SUCCESS,
    )


def _with_content(record: WarcRecord, raw: Any, max_bytes: int) -> WarcRecord:
    """Read the content of a record.

    Raises:
        OSError: If it ends before its time.
    """
    if raw.content_length > max_bytes:
        return _fail(record, "too-large", f"a record may have {max_bytes:,} bytes, got {raw.content_length:,}")
    expected = raw.content_length
    content = raw.reader.read(max_bytes + 1)
    if len(content) > max_bytes:
        return _fail(record, "too-large", f"a record may have {max_bytes:,} bytes unpacked, got more")
    http = raw.http_headers
    is_packed = http is not None and any(http.get(name) for name in _COMPRESSED)
    if not is_packed and len(content) < expected:
        raise OSError(f"a record ends after {len(content):,} of {expected:,} bytes")
    return WarcRecord(**{**vars(record), "content": content})


def _fail(record: WarcRecord, reason: str, rule: str) -> WarcRecord:
    error = ItemError("Cannot read a record", reason=reason, where=record.url, rule=rule, action="Raise the limit")
    return WarcRecord(**{**vars(record), "error": error})


def _next_start(file: BinaryIO, position: int, pattern: re.Pattern[bytes]) -> int | None:
    """Find where the next record may begin."""
    held, held_at = b"", position
    file.seek(position)
    while chunk := file.read(_CHUNK_BYTES):
        window = held + chunk
        found = pattern.search(window)
        if found is not None:
            return held_at + found.start()
        held = window[-_OVERLAP_BYTES:]
        held_at += len(window) - len(held)
    return None
