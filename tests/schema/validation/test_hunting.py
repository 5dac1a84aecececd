"""Canaries in files: whatever file it is, wherever in it they stand, they are found; and nothing else is."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib

import pytest
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from domainvl.schema.validation import Canary, ValidationOptions, validate

CANARIES = (Canary("canary 1 of names.txt", "Hieronymus^Avelina"), Canary("canary 2 of names.txt", "Dagobert"))
SECRET = "Avelina Hieronymus"


def found(dataset, canaries=CANARIES):
    report = validate(dataset, ValidationOptions(pixels=False, canaries=canaries))
    return [(finding.file, finding.line) for finding in report.findings if finding.rule == "phi-canary"], report


def png(**options) -> bytes:
    buffer = io.BytesIO()
    PillowImage.new("RGB", (4, 4)).save(buffer, format="PNG", **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def with_chunk(kind: bytes, data: bytes) -> bytes:
    content = png()
    return content[:33] + chunk(kind, data) + content[33:]


def png_with_text(*, packed: bool, international: bool) -> bytes:
    information = PngInfo()
    if international:
        information.add_itxt("Comment", SECRET, zip=packed)
    else:
        information.add_text("Comment", SECRET, zip=packed)
    return png(pnginfo=information)


def png_with_exif() -> bytes:
    exif = PillowImage.Exif()
    exif[0x013B] = SECRET
    return png(exif=exif)


def zipped(name: str, content: bytes, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
        archive.comment = comment
    return buffer.getvalue()


def tarred(name: str, content: bytes, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def gzipped(content: bytes, *, name: str) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


def tarred_by(owner: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("a")
        member.uname = owner
        archive.addfile(member, io.BytesIO())
    return buffer.getvalue()


def jpeg_with_thumbnail(comment: bytes) -> bytes:
    buffer = io.BytesIO()
    PillowImage.new("L", (16, 16)).save(buffer, format="JPEG")
    plain = buffer.getvalue()
    thumbnail = b"Exif\0\0" + plain
    segments = [(0xE1, thumbnail), (0xFE, comment)]
    inner = b"".join(bytes((0xFF, kind)) + (len(data) + 2).to_bytes(2, "big") + data for kind, data in segments)
    return plain[:2] + inner + plain[2:]


FILES = {
    "text": ("notes.txt", f"a\nb {SECRET}\n".encode(), 2),
    "hidden": (".hidden/.x", SECRET.encode(), 1),
    "no line break": ("x.bin", b"\0\1\2" + SECRET.encode() + b"\xff", 1),
    "UTF-16 little endian": ("x.txt", SECRET.encode("utf-16-le"), 1),
    "UTF-16 big endian": ("x.txt", SECRET.encode("utf-16-be"), 1),
    "Latin-1": ("x.txt", "Dägobert".encode("latin-1"), 1),
    "escaped JSON": ("x.json", b'{"a": "\\u0048ieronymus, Avelina"}', 1),
    "PNG tEXt": ("images/x.png", png_with_text(packed=False, international=False), None),
    "PNG zTXt": ("images/x.png", png_with_text(packed=True, international=False), None),
    "PNG iTXt": ("images/x.png", png_with_text(packed=False, international=True), None),
    "PNG iTXt packed": ("images/x.png", png_with_text(packed=True, international=True), None),
    "PNG eXIf": ("images/x.png", png_with_exif(), None),
    "PNG iCCP": ("images/x.png", with_chunk(b"iCCP", b"p\0\0" + zlib.compress(SECRET.encode())), None),
    "PNG chunk of no standard": ("images/x.png", with_chunk(b"zqPr", SECRET.encode()), None),
    "behind the end of a PNG": ("images/x.png", png() + SECRET.encode(), None),
    "behind the end of a JPEG": ("images/x.jpg", b"\xff\xd8\xff\xda\0\2ab\xff\xd9" + SECRET.encode(), None),
    "member of a zip": ("x.zip", zipped("a.txt", SECRET.encode()), None),
    "name in a zip": ("x.zip", zipped(f"{SECRET}.txt", b"a"), None),
    "PNG in a tar": ("x.tar", tarred("a.png", png_with_text(packed=True, international=False)), None),
    "name in a tar": ("x.tar", tarred(f"{SECRET}.txt", b"a"), None),
    "packed tar": ("x.tar.gz", tarred("a.txt", SECRET.encode(), "w:gz"), None),
    "gzip": ("x.dcm.gz", gzip.compress(SECRET.encode()), None),
    "zip in a zip": ("x.zip", zipped("b.zip", zipped("a.txt", SECRET.encode())), None),
    "behind a thumbnail": ("images/x.jpg", jpeg_with_thumbnail(SECRET.encode()), None),
    "bzip2": ("x.bz2", bz2.compress(SECRET.encode() * 50), None),
    "xz": ("x.xz", lzma.compress(SECRET.encode() * 50), None),
    "tar in xz": ("x.tar.xz", tarred("a.txt", SECRET.encode(), "w:xz"), None),
    "comment of a zip": ("x.zip", zipped("a.txt", b"a", SECRET.encode()), None),
    "name in a gzip": ("x.gz", gzipped(b"a", name=SECRET), None),
    "owner in a tar": ("x.tar", tarred_by(SECRET), None),
    "cut zip": ("x.zip", zipped("a.txt", b"a")[:-10] + SECRET.encode(), 1),
    "a long line": ("x.txt", b"x" * ((1 << 22) - 5) + SECRET.encode() + b"x" * 100, 1),
}


@pytest.mark.parametrize("name", FILES)
def test_med_60_a_canary_is_found_wherever_it_stands(dataset, name):
    path, content, line = FILES[name]
    (dataset / path).parent.mkdir(exist_ok=True, parents=True)
    (dataset / path).write_bytes(content)

    places, report = found(dataset)
    assert set(places) == {(path, line)}
    messages = [finding.message for finding in report.findings if finding.rule == "phi-canary"]
    assert not any("hieronymus" in message.lower() or "bert" in message for message in messages)


@pytest.mark.parametrize("path", [f"images/{SECRET}.png", "avelina_HIERONYMUS/x.txt", "images/dagobert"])
def test_med_60_a_canary_in_the_name_of_a_file_or_folder_is_found(dataset, path):
    target = dataset / path
    target.parent.mkdir(exist_ok=True, parents=True)
    target.write_bytes(b"x") if "." in path else target.mkdir()

    places, _ = found(dataset)
    assert path in {file for file, _ in places}
    assert all(line is None for _, line in places)


@pytest.mark.parametrize("name", ["train.jsonl", "val.jsonl", "test.jsonl", "manifest.json", "meta.json", "card.md",
                                  "croissant.json", "rejects.jsonl"])  # fmt: skip
def test_med_60_every_file_of_the_format_is_searched(dataset, name):
    lines = (dataset / name).read_bytes().count(b"\n")
    with (dataset / name).open("ab") as file:
        file.write(f"{SECRET}\n".encode())

    places, _ = found(dataset)
    assert places == [(name, lines + 1)]


def test_the_untouched_data_set_and_files_of_all_kinds_hold_none(dataset):
    for path, content, _ in FILES.values():
        clean = content.replace(SECRET.encode(), b"Nobody at all here")
        if clean != content and not path.endswith((".png", ".jpg", ".zip", ".tar", ".gz", ".xz")):
            (dataset / path).parent.mkdir(exist_ok=True, parents=True)
            (dataset / path).write_bytes(clean)
    (dataset / "x.png").write_bytes(png())
    (dataset / "x.zip").write_bytes(zipped("a.png", png()))

    places, report = found(dataset)
    assert places == []
    assert not any("canar" in what or "unpack" in what for what in report.unchecked)


def test_what_cannot_be_searched_is_counted(dataset, tmp_path):
    (dataset / "x.zip").write_bytes(zipped("a.txt", b"abc" * 1000)[:-40])
    (dataset / "x.parquet").write_bytes(b"PAR1 columns PAR1")
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", dataset / "link")

    _, report = found(dataset, (*CANARIES, Canary("identifier of row 1", "P1", identifier=True)))
    counts = sorted(count for what, count in report.unchecked.items() if "canar" in what or "too short" in what)
    assert counts == [1, 1, 2]


def nested(depth: int) -> bytes:
    content = SECRET.encode() * 50
    for _ in range(depth):
        content = zipped("a.bin", content)
    return content


def test_med_60_archives_that_lie_deeper_than_is_looked_are_counted(dataset):
    for depth in (1, 2, 3, 4, 5):
        (dataset / f"{depth}.zip").write_bytes(nested(depth))

    places, report = found(dataset)
    assert {path for path, _ in places} == {"1.zip", "2.zip", "3.zip"}
    assert [count for what, count in report.unchecked.items() if "unpack" in what] == [2]


def deflated_dicom() -> bytes:
    """Preamble and meta information as PS3.10 7.1 has them, the rest deflated (PS3.5 A.5)."""
    uid = b"1.2.840.10008.1.2.1.99"
    meta = b"\2\0\x10\0UI" + len(uid).to_bytes(2, "little") + uid
    meta = b"\2\0\0\0UL\4\0" + len(meta).to_bytes(4, "little") + meta
    packer = zlib.compressobj(wbits=-15)
    return b"\0" * 128 + b"DICM" + meta + packer.compress(SECRET.encode() * 50) + packer.flush()


@pytest.mark.parametrize(
    "content",
    [
        b"\x28\xb5\x2f\xfd zstd",
        b"\x04\x22\x4d\x18 lz4",
        b"7z\xbc\xaf\x27\x1c 7z",
        b"Rar!\x1a\x07\1 rar",
        b"%PDF-1.7 streams",
        b"PAR1 columns PAR1",
        deflated_dicom(),
        png_with_text(packed=True, international=False).replace(b"zTXtComment\0\0x", b"zTXtComment\0\0y"),
    ],
)
def test_med_60_what_is_packed_in_another_way_is_counted(dataset, content):
    (dataset / "x.bin").write_bytes(content)

    places, report = found(dataset)
    assert places == []
    assert [count for what, count in report.unchecked.items() if "unpack" in what] == [1]


@pytest.mark.parametrize("content", [b"BZh is a word", b"a DICM", b"\0" * 128 + b"DICM explicit", b"7zip, Rar"])
def test_what_only_looks_packed_is_not_counted(dataset, content):
    (dataset / "x.bin").write_bytes(content + SECRET.encode())

    places, report = found(dataset)
    assert [path for path, _ in places] == ["x.bin"]
    assert not any("unpack" in what for what in report.unchecked)
