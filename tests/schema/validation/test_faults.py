"""One fault at a time, planted in a fresh copy of a valid data set: found under its rule, in its file and line.

The table holds a fault for every rule there is; a rule that nothing breaks would fail ``test_every_rule_is_broken``.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from domainvl.schema.images import hash_pixels
from domainvl.schema.validation import RULES, Canary, ValidationOptions, validate

TRAIN, VAL, TEST = "train.jsonl", "val.jsonl", "test.jsonl"
CANARIES = (Canary("canary 1 of names.txt", "hieronymus"),)


@dataclass(frozen=True)
class Fault:
    """What is planted, and where which rule must find it; a function of the planter gives a path that varies."""

    name: str
    rule: str
    file: str | Callable[[Any], str]
    line: int | Callable[[Any], int] | None
    plant: Callable[[Any], object]
    signed: bool = True


def line(number: int, content: bytes, name: str = TRAIN) -> Callable[[Any], None]:
    return lambda planter: planter.line(name, number, content)


def put(where: str, value: Any, number: int = 1, name: str = TRAIN) -> Callable[[Any], None]:
    """Set what stands at a path of keys and positions; a value of ... deletes it."""

    def change(record: Any) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in where.split(".")]
        for part in parents:
            record = record[part]
        if value is ...:
            del record[last]
        else:
            record[last] = value

    return lambda planter: planter.edit(name, number, change)


def turns(*texts: tuple[str, str], number: int = 1) -> Callable[[Any], None]:
    return put("conversations", [{"from": speaker, "value": text} for speaker, text in texts], number)


def put_json(name: str, where: str, value: Any) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in where.split(".")]
        for part in parents:
            content = content[part]
        if value is ...:
            del content[last]
        else:
            content[last] = value

    return lambda planter: planter.edit_json(name, change)


def remove(name: str) -> Callable[[Any], None]:
    return lambda planter: (planter.dataset / name).unlink()


def write(name: str, content: bytes) -> Callable[[Any], None]:
    return lambda planter: (planter.dataset / name).write_bytes(content)


def image_file(name: str, number: int, which: int = 0) -> Callable[[Any], str]:
    return lambda planter: planter.image(name, number, which).relative_to(planter.dataset).as_posix()


def rewrite_image(number: int, change: Callable[[bytes], bytes], name: str = TRAIN, which: int = 0) -> Callable:
    def plant(planter: Any) -> None:
        path = planter.image(name, number, which)
        path.write_bytes(change(path.read_bytes()))

    return plant


def encode(content: bytes, **options: Any) -> bytes:
    """Encode the pixels of an image file again, without loss."""
    buffer = io.BytesIO()
    PillowImage.open(io.BytesIO(content)).save(buffer, **options)
    return buffer.getvalue()


def sixteen_bit(content: bytes) -> bytes:
    grey = np.asarray(PillowImage.open(io.BytesIO(content)).convert("L")).astype(np.uint16) * 257
    buffer = io.BytesIO()
    PillowImage.fromarray(grey).save(buffer, format="PNG")
    return buffer.getvalue()


def huge(content: bytes) -> bytes:
    """The head of a PNG of 100,000 x 100,000 px (ISO/IEC 15948, 11.2.2)."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunks + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def other_size(content: bytes) -> bytes:
    buffer = io.BytesIO()
    PillowImage.open(io.BytesIO(content)).resize((20, 10)).save(buffer, format="PNG")
    return buffer.getvalue()


def other_pixels(content: bytes) -> bytes:
    pixels = np.asarray(PillowImage.open(io.BytesIO(content))).copy()
    pixels[0, 0] ^= 1
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def png_text(keyword: str, text: str) -> Callable[[bytes], bytes]:
    information = PngInfo()
    information.add_text(keyword, text)
    return lambda content: encode(content, format="PNG", pnginfo=information)


def jpeg_comment(text: bytes) -> Callable[[bytes], bytes]:
    # SOI, then a COM segment (ITU-T T.81 B.2.4.5) whose length counts itself.
    return lambda content: content[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + content[2:]


def shown_as(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any], None]:
    """Let val show the picture of train's first line, changed."""

    def plant(planter: Any) -> None:
        pixels = np.asarray(PillowImage.open(planter.image(TRAIN, 1)))
        planter.show(VAL, change(pixels))

    return plant


def copied_file(planter: Any) -> None:
    """Let val show the pixels of train's first line from a file of its own."""
    source = planter.image(TRAIN, 1)
    target = planter.dataset / "images" / "copy.png"
    target.write_bytes(encode(source.read_bytes(), format="PNG", compress_level=9))
    pixels = np.asarray(PillowImage.open(source))
    planter.swap_image(VAL, "images/copy.png", 90, 64, hash_pixels(pixels))


def made_of_another(planter: Any) -> None:
    """Let val show an image that was made of the picture of train's first line."""
    pixels = np.asarray(PillowImage.open(planter.image(TRAIN, 1)))
    put("domainvl.images.0.source.details.made_of_pixel_sha256", ["0" * 64, hash_pixels(pixels)], 1, VAL)(planter)


def same_ground(*dates: str | None) -> Callable[[Any], None]:
    def plant(planter: Any) -> None:
        for name, date in zip((TRAIN, TEST), dates, strict=True):
            details = {"transform": [10.0, 0.0, 5e5, 0.0, -10.0, 4e6], "crs": "EPSG:32633", "date": date}
            put("domainvl.images.0.source.details", details, 1, name)(planter)

    return plant


def blank_in_two(planter: Any) -> None:
    blank = np.full((30, 40), 128, np.uint8)
    planter.show(VAL, blank)
    planter.show(TEST, blank)


def held_out_first(planter: Any) -> None:
    meta = json.loads((planter.dataset / "meta.json").read_text())
    meta["held-out"] = meta["small"] | {"annotation": "test.jsonl", "length": 4}
    (planter.dataset / "meta.json").write_text(json.dumps(meta))


def forget_licence(planter: Any) -> None:
    planter.edit_json("manifest.json", lambda manifest: manifest.update(licence=None))
    card = planter.dataset / "card.md"
    card.write_text(card.read_text().replace("license: cc0-1.0", "license: unknown"))


def details(value: Any, number: int = 1) -> Callable[[Any], None]:
    return put("domainvl.images.0.source.details.note", value, number)


BOX = "domainvl.objects.0.box_px"
IMAGE = "<image>\n"
SHORT = "\nAnswer the question using a single word or phrase."
PAIR = "Image-1: <image>\nImage-2: <image>\n"

FAULTS = [
    # Lines
    Fault("blank line", "line-blank", TRAIN, 2, lambda p: p.line(TRAIN, 1, p.lines(TRAIN)[0] + b"\n")),
    Fault("no JSON", "line-not-json", TRAIN, 1, line(1, b"{\n")),
    Fault("half a line", "line-not-json", TRAIN, 2, lambda p: p.line(TRAIN, 2, p.lines(TRAIN)[1][:300] + b"\n")),
    Fault("two objects", "line-not-json", TRAIN, 4, lambda p: p.line(TRAIN, 4, b"{} {}\n")),
    Fault("nested too deeply", "line-not-json", TRAIN, 4, line(4, b"[" * 100_000 + b"\n")),
    Fault("not UTF-8", "line-not-utf8", TRAIN, 3, lambda p: p.line(TRAIN, 3, b"\xff" + p.lines(TRAIN)[2])),
    Fault("a list", "line-not-object", TEST, 1, line(1, b"[]\n", TEST)),
    Fault("null", "line-not-object", TEST, 2, line(2, b"null\n", TEST)),
    Fault("no last line break", "line-break-missing", VAL, 2, lambda p: p.line(VAL, 2, p.lines(VAL)[1].rstrip())),
    Fault("NaN in the details", "number-not-finite", TRAIN, 1, details(float("nan"))),
    Fault("too large a number", "number-not-finite", TRAIN, 1,
          lambda p: p.line(TRAIN, 1, p.lines(TRAIN)[0].replace(b'_fraction":1.0', b'_fraction":1e999'))),
    Fault("no id", "key-missing", TRAIN, 3, put("id", ..., 3)),
    Fault("no conversations", "key-missing", TRAIN, 3, put("conversations", ..., 3)),
    Fault("no domainvl", "key-missing", TRAIN, 3, put("domainvl", ..., 3)),
    Fault("no width", "key-missing", TRAIN, 3, put("width", ..., 3)),
    Fault("no heights", "key-missing", TRAIN, 5, put("height_list", ..., 5)),
    Fault("no answer", "key-missing", TRAIN, 3, put("domainvl.answer", ..., 3)),
    Fault("no group", "key-missing", TRAIN, 8, put("domainvl.group", ..., 8)),
    Fault("no speaker", "key-missing", TRAIN, 3, put("conversations.0.from", ..., 3)),
    Fault("unknown key", "key-unknown", TRAIN, 2, put("domainvl.colour", "red", 2)),
    Fault("unknown key of an object", "key-unknown", TRAIN, 2, put("domainvl.objects.1.bbox", [1, 2, 3, 4], 2)),
    Fault("size said twice", "key-unknown", TRAIN, 2, put("domainvl.images.0.width_px", 90, 2)),
    Fault("foreign key at the top", "key-extra", TRAIN, 2, put("source", "web", 2)),
    Fault("foreign key of a turn", "key-extra", TRAIN, 2, put("conversations.0.weight", 1, 2)),
    Fault("id is a number", "value-type", TRAIN, 2, put("id", 7, 2)),
    Fault("width in quotes", "value-type", TRAIN, 2, put("width", "90", 2)),
    Fault("width with a fraction", "value-type", TRAIN, 2, put("width", 90.0, 2)),
    Fault("label is a number", "value-type", TRAIN, 2, put("domainvl.objects.0.label", 7, 2)),
    Fault("domainvl is text", "value-type", TRAIN, 8, put("domainvl", "x", 8)),
    Fault("conversations is text", "value-type", TRAIN, 2, put("conversations", "x", 2)),
    Fault("image is a number", "value-type", TRAIN, 8, put("image", 7, 8)),
    Fault("width of zero", "value-invalid", TRAIN, 2, put("width", 0, 2)),
    Fault("no such split", "value-invalid", TRAIN, 2, put("domainvl.split", "trian", 2)),
    Fault("visible more than all", "value-invalid", TRAIN, 2, put("domainvl.objects.0.visible_fraction", 1.5, 2)),
    Fault("other schema version", "schema-version", TRAIN, 2, put("domainvl.schema_version", 2, 2)),
    Fault("no converter", "provenance", TRAIN, 2, put("domainvl.provenance.converter", ..., 2)),
    Fault("empty settings hash", "provenance", TRAIN, 2, put("domainvl.provenance.settings_sha256", "", 2)),
    # Turns
    Fault("speaker user", "turn-role", TRAIN, 1, put("conversations.0.from", "user")),
    Fault("answer before question", "turn-order", TRAIN, 1, turns(("gpt", "a lung"), ("human", IMAGE + "What?"))),
    Fault("question without answer", "turn-order", TRAIN, 1, turns(("human", IMAGE + "What?"))),
    Fault("no turns", "turn-order", TRAIN, 8, turns(number=8)),
    Fault("empty question turn", "turn-empty", TRAIN, 1,
          turns(("human", IMAGE + "What?"), ("gpt", "it"), ("human", " \n"), ("gpt", "it"))),
    Fault("empty answer turn", "answer-empty", TRAIN, 1, put("conversations.1.value", " ")),
    Fault("empty answer", "answer-empty", TRAIN, 1, put("domainvl.answer.text", "")),
    Fault("empty question", "question-empty", TRAIN, 1, put("domainvl.question", "")),
    Fault("blank question", "question-empty", TRAIN, 1,
          lambda p: (put("domainvl.question", " ")(p), put("domainvl.provenance.wording", "other")(p))),
    Fault("no placeholder", "placeholder-count", TRAIN, 1, turns(("human", "What?"), ("gpt", "it"))),
    Fault("one placeholder too many", "placeholder-count", TRAIN, 5,
          turns(("human", PAIR + "What is <image>?"), ("gpt", "it"), number=5)),
    Fault("placeholder in an answer", "placeholder-in-answer", TRAIN, 1, put("conversations.1.value", "<image>")),
    Fault("unescaped end of turn", "special-token", TRAIN, 1,
          put("conversations.0.value", IMAGE + "What is <|im_end|>?" + SHORT)),
    Fault("unescaped box", "special-token", TRAIN, 1, put("conversations.0.value", IMAGE + "What is in <box>?")),
    Fault("truth and conversation differ", "wording-stale", TRAIN, 1, put("conversations.1.value", "a liver")),
    Fault("box of the conversation is old", "wording-stale", TRAIN, 2,
          put("conversations.1.value", "<ref>pond</ref><box>[[1, 2, 3, 4]]</box>", 2)),
    Fault("more turns than the wording writes", "wording-stale", TRAIN, 1,
          turns(("human", IMAGE + "What?"), ("gpt", "it"), ("human", "Sure?"), ("gpt", "yes"))),
    Fault("text for a choice", "answer-kind", TRAIN, 3, put("domainvl.answer", {"kind": "text", "text": "water"}, 3)),
    Fault("unknown kind of answer", "answer-kind", TRAIN, 3, put("domainvl.answer", {"kind": "essay"}, 3)),
    Fault("answer names no object", "answer-object", TRAIN, 2, put("domainvl.answer.object_ids", ["1", "9"], 2)),
    Fault("choice beyond the options", "choice-index", TRAIN, 3, put("domainvl.answer.correct", 2, 3)),
    Fault("choice below the options", "choice-index", TRAIN, 3, put("domainvl.answer.correct", -1, 3)),
    # Objects
    Fault("box of three numbers", "box-form", TRAIN, 1, put(BOX, [1, 2, 3])),
    Fault("box of words", "box-form", TRAIN, 1, put(BOX, ["left", "top", "right", "bottom"])),
    Fault("NaN in a box", "box-not-finite", TRAIN, 1, put(BOX, [1, 2, float("nan"), 4])),
    Fault("infinity in a box", "box-not-finite", TRAIN, 1, put(BOX, [1, 2, 3, float("inf")])),
    Fault("x swapped", "box-order", TRAIN, 1, put(BOX, [40, 5, 10, 30])),
    Fault("flat box", "box-order", TRAIN, 1, put(BOX, [10, 5, 40, 5])),
    Fault("box right of the image", "box-bounds", TRAIN, 1, put(BOX, [10, 5, 90.5, 30])),
    Fault("box below the image", "box-bounds", TRAIN, 1, put(BOX, [10, 5, 40, 64.01])),
    Fault("box left of the image", "box-bounds", TRAIN, 1, put(BOX, [-0.5, 5, 40, 30])),
    Fault("box above the image", "box-bounds", TRAIN, 1, put(BOX, [10, -1, 40, 30])),
    Fault("box beyond the second image", "box-bounds", TRAIN, 6, put(BOX, [1, 2, 46, 4], 6)),
    Fault("two objects of one id", "object-id-duplicate", TRAIN, 1, put("domainvl.objects.1.id", "1")),
    Fault("object in no image", "object-image", TRAIN, 6, put("domainvl.objects.0.image", 2, 6)),
    Fault("object in image -1", "object-image", TRAIN, 6, put("domainvl.objects.0.image", -1, 6)),
    # Images
    Fault("one width too few", "image-lists", TRAIN, 5, put("width_list", [99], 5)),
    Fault("images told once too often", "image-lists", TRAIN, 8,
          put("domainvl.images", [{"pixel_sha256": "0", "source": {"uri": "a"}}], 8)),
    Fault("absolute path", "image-path", TRAIN, 1, put("image", "/data/a.png")),
    Fault("path on a drive", "image-path", TRAIN, 1, put("image", "C:/data/a.png")),
    Fault("address", "image-path", TRAIN, 1, put("image", "https://example.org/a.png")),
    Fault("path out of the folder", "image-path", TRAIN, 1, put("image", "images/../../a.png")),
    Fault("backslashes", "image-path", TRAIN, 1, put("image", "images\\a.png")),
    Fault("zero byte in a path", "image-path", TRAIN, 1, put("image", "images/a\0.png")),
    Fault("empty path", "image-path", TRAIN, 1, put("image", "")),
    Fault("one bad path of two", "image-path", TRAIN, 5, put("image.0", "../b.jpg", 5)),
    Fault("image deleted", "image-missing", TRAIN, 5, lambda p: p.image(TRAIN, 5, 0).unlink()),
    Fault("image is a folder", "image-missing", TEST, 1,
          lambda p: (p.image(TEST, 1).unlink(), p.image(TEST, 1).mkdir())),
    Fault("image of no bytes", "image-empty", VAL, 1, rewrite_image(1, lambda content: b"", VAL)),
    Fault("half a PNG", "image-truncated", TRAIN, 1, rewrite_image(1, lambda content: content[: len(content) // 2])),
    Fault("half a JPEG", "image-truncated", VAL, 1,
          rewrite_image(1, lambda content: content[: len(content) // 2], VAL)),
    Fault("only a PNG's head", "image-truncated", TRAIN, 1, rewrite_image(1, lambda content: content[:20])),
    Fault("a web page", "image-unreadable", TRAIN, 1, rewrite_image(1, lambda content: b"<html>404</html>")),
    Fault("more pixels than Pillow takes", "image-too-large", TRAIN, 1, rewrite_image(1, huge)),
    Fault("sixteen bits", "image-depth", TRAIN, 1, rewrite_image(1, sixteen_bit)),
    Fault("a bitmap file", "image-format", TRAIN, 1,
          rewrite_image(1, lambda content: encode(content, format="BMP"))),
    Fault("width of the record", "image-size", TEST, 2, put("width", 55, 2, TEST)),
    Fault("height in a list", "image-size", TRAIN, 5, put("height_list.1", 41, 5)),
    Fault("size of the file", "image-size", TEST, 1, rewrite_image(1, other_size, TEST)),
    Fault("one pixel changed", "image-pixels", TEST, 1, rewrite_image(1, other_pixels, TEST)),
    Fault("hash of the record", "image-pixels", TRAIN, 4, put("domainvl.images.0.pixel_sha256", "f" * 64, 4)),
    Fault("stray image", "image-unreferenced", "images/stray.png", None, write("images/stray.png", b"x")),
    # Sets
    Fault("id again in a split", "id-duplicate", TRAIN, 7, put("id", "a/what", 7)),
    Fault("id again in another split", "id-duplicate", VAL, 2, put("id", "a/what", 2, VAL)),
    Fault("split of another file", "split-mismatch", TEST, 3, put("domainvl.split", "train", 3, TEST)),
    Fault("split against the source's", "split-fixed", VAL, 1, put("domainvl.fixed_split", "test", 1, VAL)),
    Fault("group in two splits", "group-in-two-splits", TEST, 4, put("domainvl.group", "a", 4, TEST)),
    Fault("same file in two splits", "image-in-two-splits", VAL, 1, shown_as(lambda pixels: pixels)),
    Fault("same pixels in two splits", "image-in-two-splits", VAL, 1, copied_file),
    Fault("made of pixels of another split", "image-in-two-splits", VAL, 1, made_of_another),
    Fault("brighter copy in another split", "near-duplicate", VAL, 1,
          shown_as(lambda pixels: (pixels * 1.1).astype(np.uint8))),
    Fault("smaller copy in another split", "near-duplicate", VAL, 1, shown_as(lambda pixels: pixels[::2, ::2])),
    Fault("blank image in two splits", "blank-image-in-two-splits", TEST, 1, blank_in_two),
    Fault("same ground in two splits", "ground-in-two-splits", TEST, 1, same_ground(None, "2021-06-01")),
    Fault("same ground at two dates", "dated-ground-in-two-splits", TEST, 1, same_ground("2020-06-01", "2021-06-01")),
    # Files
    Fault("no manifest", "file-missing", "manifest.json", None, remove("manifest.json")),
    Fault("no meta file", "file-missing", "meta.json", None, remove("meta.json")),
    Fault("no rejects", "file-missing", "rejects.jsonl", None, remove("rejects.jsonl")),
    Fault("no card", "file-missing", "card.md", None, remove("card.md")),
    Fault("no Croissant", "file-missing", "croissant.json", None, remove("croissant.json"), signed=False),
    Fault("no held-out file", "file-missing", VAL, None, lambda p: (p.image(VAL, 1).unlink(), remove(VAL)(p))),
    Fault("manifest is no JSON", "file-unreadable", "manifest.json", None, write("manifest.json", b"{")),
    Fault("meta file is no UTF-8", "file-unreadable", "meta.json", None, write("meta.json", b'{"\xff": 1}')),
    Fault("Croissant is a list", "file-unreadable", "croissant.json", None,
          write("croissant.json", b"[]"), signed=False),
    Fault("manifest without versions", "manifest-keys", "manifest.json", None,
          put_json("manifest.json", "versions", ...)),
    Fault("source without hash", "manifest-keys", "manifest.json", None,
          put_json("manifest.json", "sources.0.sha256", ...)),
    Fault("counts of words", "manifest-keys", "manifest.json", None, put_json("manifest.json", "counts", "many")),
    Fault("one sample more counted", "manifest-counts", "manifest.json", None,
          put_json("manifest.json", "counts.0.count", 99)),
    Fault("one sample fewer counted", "manifest-counts", "manifest.json", None,
          put_json("manifest.json", "counts.0.count", 3)),
    Fault("another task counted", "manifest-counts", "manifest.json", None,
          put_json("manifest.json", "counts.0.task", "caption")),
    Fault("one group more counted", "manifest-groups", "manifest.json", None,
          put_json("manifest.json", "groups.test", 4)),
    Fault("one reject more counted", "manifest-rejects", "manifest.json", None,
          put_json("manifest.json", "rejects.1.count", 3)),
    Fault("a reject removed", "manifest-rejects", "manifest.json", None, line(1, b"", "rejects.jsonl")),
    Fault("a reject without reason", "reject-line", "rejects.jsonl", 2, put("reason", ..., 2, "rejects.jsonl")),
    Fault("a reject of no kind", "reject-line", "rejects.jsonl", 3, put("severity", "lost", 3, "rejects.jsonl")),
    Fault("a reject that is no JSON", "reject-line", "rejects.jsonl", 3, line(3, b"broken\n", "rejects.jsonl")),
    Fault("no licence", "licence-missing", "manifest.json", None, forget_licence),
    Fault("meta file names nothing", "meta-entry", "meta.json", None, write("meta.json", b"{}")),
    Fault("meta file without root", "meta-entry", "meta.json", None, put_json("meta.json", "small.root", ...)),
    Fault("meta file names another file", "meta-entry", "meta.json", None,
          put_json("meta.json", "small.annotation", "other.jsonl")),
    Fault("meta file names the test split", "meta-held-out", "meta.json", None, held_out_first),
    Fault("meta file counts others", "meta-length", "meta.json", None, put_json("meta.json", "small.length", 14)),
    Fault("card without header", "card-header", "card.md", 1, write("card.md", b"# small\n")),
    Fault("card of another licence", "card-header", "card.md", 1,
          lambda p: write("card.md", (p.dataset / "card.md").read_bytes().replace(b"cc0-1.0", b"mit"))(p)),
    Fault("Croissant without a split", "croissant-files", "croissant.json", None,
          put_json("croissant.json", "distribution.1", ...)),
    Fault("Croissant names a stranger", "croissant-files", "croissant.json", None,
          put_json("croissant.json", "distribution.1.contentUrl", "extra.jsonl")),
    Fault("file changed after signing", "croissant-sha256", "croissant.json", None,
          lambda p: p.edit(TRAIN, 8, lambda record: None), signed=False),
    # Identifiers
    Fault("UID of an instance", "phi-uid", TRAIN, 1, details("1.2.840.113619.2.55.3.604688")),
    Fault("UID made of a UUID", "phi-uid", TRAIN, 1, details("2.25.329800735698586629295641978511506172918")),
    Fault("name of a patient", "phi-person-name", TRAIN, 1, details("seen: Ashdown^Avelina")),
    Fault("name in the question and its turn", "phi-person-name", TRAIN, 8, lambda p: (
        put("domainvl.question", "Is Ashdown^Avelina well?", 8)(p),
        put("conversations.0.value", "Is Ashdown^Avelina well?" + SHORT, 8)(p),
    )),
    Fault("number of a patient", "phi-patient-id", TRAIN, 1, details("Patient ID: AS-0-000001")),
    Fault("number under a key", "phi-patient-id", TRAIN, 1,
          put("domainvl.images.0.source.details.PatientID", 1234567)),
    Fault("date of birth", "phi-date", TRAIN, 1, details("born 1940-04-17")),
    Fault("e-mail", "phi-email", TRAIN, 1, details("ask a.ashdown@clinic.example")),
    Fault("telephone", "phi-phone", TRAIN, 1, details("ask +49 30 1234567")),
    Fault("home folder", "phi-user-path", TRAIN, 1, put("domainvl.images.0.source.uri", "/home/avelina/a.tif")),
    Fault("Windows profile", "phi-user-path", TRAIN, 1, details("C:\\Users\\Avelina\\a.tif")),
    Fault("canary in a line", "phi-canary", TRAIN, 1, details("asked by HIERONYMUS")),
    Fault("canary behind escapes", "phi-canary", TRAIN, 1, lambda p: p.line(
        TRAIN, 1, p.lines(TRAIN)[0].replace(b'"note":"whole"', b'"note":"\\u0048ieronymus"'))),
    Fault("canary in the manifest", "phi-canary", "manifest.json", 2, put_json("manifest.json", "name", "Hieronymus")),
    Fault("canary in a reject", "phi-canary", "rejects.jsonl", 2, put("input", "hieronymus.dcm", 2, "rejects.jsonl")),
    Fault("canary in the card", "phi-canary", "card.md",
          lambda p: (p.dataset / "card.md").read_text().split("\n").index("# small") + 1,
          lambda p: write("card.md", (p.dataset / "card.md").read_bytes().replace(b"# small", b"# Hieronymus"))(p)),
    Fault("canary in a PNG text", "phi-canary", image_file(TRAIN, 1), None,
          rewrite_image(1, png_text("Author", "Hieronymus"))),
    Fault("canary in a JPEG comment", "phi-canary", image_file(TRAIN, 5), None,
          rewrite_image(5, jpeg_comment(b"by Hieronymus"))),
    Fault("name in a JPEG comment", "phi-person-name", image_file(VAL, 1), None,
          rewrite_image(1, jpeg_comment(b"Ashdown^Avelina"), VAL)),
]  # fmt: skip

# Found by tests of their own: a fault of theirs breaks another rule too, or cannot be planted in a file.
ELSEWHERE = {"image-folder-full", "samples-none", "record-invalid"}


def options_for(rule: str) -> ValidationOptions:
    return ValidationOptions(canaries=CANARIES) if rule.startswith("phi-") else ValidationOptions()


def found_in(dataset: Path, options: ValidationOptions) -> set[tuple[str, str, int | None]]:
    return {(finding.rule, finding.file, finding.line) for finding in validate(dataset, options).findings}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found_and_nothing_else(planter, fault):
    file = fault.file(planter) if callable(fault.file) else fault.file
    line = fault.line(planter) if callable(fault.line) else fault.line
    fault.plant(planter)
    if fault.signed:
        planter.sign()

    assert found_in(planter.dataset, options_for(fault.rule)) == {(fault.rule, file, line)}


@pytest.mark.parametrize("pixels", [True, False])
def test_the_untouched_data_set_has_no_findings(pristine, pixels):
    report = validate(pristine, ValidationOptions(pixels=pixels, identifiers=True, canaries=CANARIES))

    assert (list(report.findings), dict(report.counts), report.samples) == ([], {}, 14)


def test_every_rule_is_broken():
    assert {fault.rule for fault in FAULTS} | ELSEWHERE == set(RULES)
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


# What decoding alone can tell; a size and a hash are told by records, and a file without bytes by its size.
DECODED = {
    "image-truncated", "image-unreadable", "image-too-large", "image-depth", "image-format", "image-size",
    "image-pixels",
}  # fmt: skip


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.rule.startswith("image-")], ids=lambda fault: fault.name
)
def test_without_pixels_what_needs_decoding_is_not_looked_at(planter, fault):
    fault.plant(planter)
    planter.sign()

    found = found_in(planter.dataset, ValidationOptions(pixels=False))

    assert found == (set() if fault.rule in DECODED else {(fault.rule, fault.file, fault.line)})


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.rule.startswith("phi-")], ids=lambda fault: fault.name
)
def test_identifiers_are_looked_for_on_request_only(planter, fault):
    fault.plant(planter)
    planter.sign()

    assert found_in(planter.dataset, ValidationOptions()) == set()
