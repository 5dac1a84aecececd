"""Web archives give a page a response, with images of all archives, whatever is broken in between."""

from __future__ import annotations

import gzip
import pickle
import zlib
from pathlib import Path

import brotli
import pytest

from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.corpus.sources.warc import read_warc, warc_image_index
from domainvl.errors import ItemError
from domainvl.interleaved.documents import ImageSlot, TextSlot
from domainvl.schema.writer import Reject

SETTINGS = ReadSettings()


def record(
    url: str,
    body: bytes,
    media_type: str = "text/html",
    *,
    date: str = "2024-01-02T03:04:05Z",
    status: str = "200 OK",
    headers: str = "",
    kind: str = "response",
) -> bytes:
    """A record as ISO 28500 lays it out."""
    http = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\n{headers}\r\n".encode()
    block = body if kind == "resource" else http + body
    told = media_type if kind == "resource" else f"application/http; msgtype={kind}"
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{zlib.crc32(url.encode() + body):08x}>\r\n"
        f"WARC-Date: {date}\r\nWARC-Target-URI: {url}\r\nContent-Type: {told}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def page_of(name: str, image: str = "x.png") -> bytes:
    return f"<html lang='fr'><body><p>Page {name} of the archive.</p><img src='{image}'></body></html>".encode()


def write(path: Path, records: list[bytes], *, is_gzip: bool = True) -> SourceFile:
    path.write_bytes(b"".join(gzip.compress(one) if is_gzip else one for one in records))
    return SourceFile(path, path.name, path.parent, "warc")


def texts(found: list[Page | Reject]) -> list[str]:
    pages = [page for page in found if isinstance(page, Page)]
    return [slot.text for page in pages for slot in page.slots if isinstance(slot, TextSlot)]


def reasons(found: list[Page | Reject]) -> list[str]:
    return [one.reason for one in found if isinstance(one, Reject)]


@pytest.mark.parametrize("is_gzip", [True, False])
def test_pages_and_their_images(tmp_path: Path, is_gzip: bool) -> None:
    first = [
        record("http://a.org/", b"", kind="request"),
        record("https://a.org/dir/1.html", page_of("one", "../img/a.png"), "text/html; charset=utf-8"),
        record("https://a.org/2.html", "<p>Été</p>".encode("latin-1"), "text/html; charset=iso-8859-1"),
        record("https://a.org/data.json", b"{}", "application/json"),
    ]
    second = [record("https://a.org/img/a.png", b"PNG", "image/png"), record("r:1", b"<p>R</p>", kind="resource")]
    sources = [
        write(tmp_path / "1.warc.gz", first, is_gzip=is_gzip),
        write(tmp_path / "2.warc", second, is_gzip=is_gzip),
    ]
    index = pickle.loads(pickle.dumps(warc_image_index([source.path for source in sources])))
    found = [page for source in sources for page in read_warc(source, SETTINGS, index)]
    assert texts(found) == ["Page one of the archive.", "Été", "R"] and reasons(found) == []
    page = found[0]
    assert isinstance(page, Page)
    assert (page.url, page.modified) == ("https://a.org/dir/1.html", "2024-01-02T03:04:05+00:00")
    assert (page.language, page.format, page.uri[:21]) == ("fr", "warc", "1.warc.gz#urn:uuid:" + page.uri[19:21])
    (image,) = [slot for slot in page.slots if isinstance(slot, ImageSlot)]
    assert image.url == "https://a.org/img/a.png" and page.find_image(image.url) == b"PNG"
    assert page.find_image("http://a.org/img/a.png") == b"PNG"
    with pytest.raises(ItemError) as caught:
        page.find_image("https://a.org/none.png")
    assert caught.value.reason == "missing"


def test_the_latest_capture_of_an_image_wins(tmp_path: Path) -> None:
    url = "https://a.org/a.png"
    captures = [("2023", b"old"), ("2025", b"new"), ("2024", b"mid")]
    records = [record(url, body, "image/png", date=f"{year}-01-01T00:00:00Z") for year, body in captures]
    records.append(record(url, b"gone", "image/png", date="2026-01-01T00:00:00Z", status="404 Not Found"))
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
        paths = [tmp_path / f"{index}.warc.gz" for index in order]
        for index, path in zip(order, paths, strict=True):
            write(path, [records[index]])
        assert warc_image_index(paths)[url].date == "2025-01-01T00:00:00+00:00"
        (page,) = read_warc(
            write(tmp_path / "page.warc.gz", [record("https://a.org/", page_of("p", "a.png"))]),
            SETTINGS,
            warc_image_index(paths),
        )
        assert isinstance(page, Page) and page.find_image(url) == b"new"


def test_status_and_size(tmp_path: Path) -> None:
    records = [
        record("https://a.org/404", page_of("none"), status="404 Not Found"),
        record("https://a.org/big", b"x" * 3000),
        record("https://a.org/ok", page_of("ok")),
        record("https://a.org/big.png", b"x" * 3000, "image/png"),
    ]
    source = write(tmp_path / "a.warc.gz", records)
    found = list(read_warc(source, ReadSettings(max_source_bytes=2000, max_image_bytes=2000)))
    assert reasons(found) == ["http-status", "too-large"] and texts(found) == ["Page ok of the archive."]
    assert isinstance(found[2], Page)
    with pytest.raises(ItemError) as caught:
        found[2].find_image("https://a.org/big.png")
    assert caught.value.reason == "too-large"


PACKED = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "deflate": zlib.compress,
}


@pytest.mark.parametrize("encoding", sorted(PACKED))
def test_content_encodings_are_unpacked_within_limits(tmp_path: Path, encoding: str) -> None:
    header = f"Content-Encoding: {encoding}\r\n"
    bomb = PACKED[encoding](b"<p>" + b"a" * 30_000_000)
    assert len(bomb) < 100_000
    records = [
        record("https://a.org/1", PACKED[encoding](page_of("packed")), headers=header),
        record("https://a.org/2", bomb, headers=header),
        record("https://a.org/3", page_of("behind")),
    ]
    found = list(read_warc(write(tmp_path / "a.warc.gz", records), ReadSettings(max_source_bytes=200_000)))
    assert texts(found) == ["Page packed of the archive.", "Page behind of the archive."]
    assert reasons(found) == ["too-large"]


def test_chunked_transfer(tmp_path: Path) -> None:
    page = page_of("chunked")
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (page[:20], page[20:])) + b"0\r\n\r\n"
    records = [record("https://a.org/1", body, headers="Transfer-Encoding: chunked\r\n")]
    assert texts(list(read_warc(write(tmp_path / "a.warc.gz", records), SETTINGS))) == ["Page chunked of the archive."]


def damaged(packed: bytes) -> bytes:
    half = len(packed) // 2
    return packed[:half] + bytes(byte ^ 0xFF for byte in packed[half : half + 8]) + packed[half + 8 :]


@pytest.mark.parametrize("which", [0, 1, 2, 3])
def test_a_damaged_record_is_counted_and_the_rest_is_read(tmp_path: Path, which: int) -> None:
    names = ["one", "two", "three", "four"]
    packed = [gzip.compress(record(f"https://a.org/{name}", page_of(name))) for name in names]
    packed[which] = damaged(packed[which])
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"".join(packed))
    found = list(read_warc(SourceFile(path, "a.warc.gz", tmp_path, "warc"), SETTINGS))
    assert texts(found) == [f"Page {name} of the archive." for index, name in enumerate(names) if index != which]
    assert reasons(found) == ["warc-record"]


def test_plain_archives_with_junk_and_short_records(tmp_path: Path) -> None:
    one, two, three = (record(f"https://a.org/{name}", page_of(name)) for name in ("one", "two", "three"))
    path = tmp_path / "a.warc"
    source = SourceFile(path, "a.warc", tmp_path, "warc")
    path.write_bytes(one + b"junk\r\nmore junk\r\n" + two)
    found = list(read_warc(source, SETTINGS))
    assert (texts(found), reasons(found)) == (["Page one of the archive.", "Page two of the archive."], ["warc-record"])
    path.write_bytes(one + two[:-60] + three)
    found = list(read_warc(source, SETTINGS))
    assert texts(found)[0] == "Page one of the archive." and texts(found)[-1] == "Page three of the archive."
    path.write_bytes(one + two[:-60])
    found = list(read_warc(source, SETTINGS))
    assert (texts(found), reasons(found)) == (["Page one of the archive."], ["warc-record"])


@pytest.mark.parametrize("content", [b"junk" * 1000, b"\x1f\x8b\x08junk" * 100, b"WARC/1.0\r\nWARC-Type: x\r\n"])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(content)
    found = list(read_warc(SourceFile(path, "a.warc.gz", tmp_path, "warc"), SETTINGS))
    assert texts(found) == [] and set(reasons(found)) <= {"warc-record"}


def test_a_page_that_cannot_be_read_does_not_take_the_rest(tmp_path: Path) -> None:
    records = [
        record("https://a.org/1", b"\0\1\2" * 100),
        record("https://a.org/2", b""),
        record("https://a.org/3", b"<div>" * 5000),
        record("https://a.org/4", page_of("four")),
    ]
    found = list(read_warc(write(tmp_path / "a.warc.gz", records), SETTINGS))
    assert (reasons(found), texts(found)) == (["decode", "empty", "too-deep"], ["Page four of the archive."])
