"""Reads conversations about images in LLaVA's JSON, and rows of question and truth as evaluation files have them.

LLaVA's layout (haotian-liu/LLaVA, docs/Finetune_Custom_Data.md): a list of ``{"id", "image", "conversations"}`` with
turns ``{"from": "human" or "gpt", "value"}``, ``<image>`` in the first. Evaluation files of GeoChat and FIT-RS are
JSON lines of ``{"question_id", "image", "question" or "text", "ground_truth", "category"}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from domainvl.errors import DatasetError, InputNotFoundError, ItemError
from domainvl.schema.sample import IMAGE_PLACEHOLDER
from domainvl.schema.writer import Reject

from .reading import reject_of, row_error, text_of

TRAIN, TEST = "train", "test"
"""Names of official splits."""

_SPEAKERS = ("human", "gpt")
_DETAILS = ("id", "question_id", "category", "source")
_BLANKS = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LOOKED_AT = 100
"""So many named images are looked for to find the folder that they are in."""


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation about one image, as the file has it.

    Attributes:
        file: Name of the file.
        number: Place in the file, from 1.
        official_split: Name of the official split.
        image: The image, relative to the folder of images.
        rounds: Question and answer, in order; placeholders of images are taken away.
        details: What else the row says.
    """

    file: str
    number: int
    official_split: str
    image: str
    rounds: tuple[tuple[str, str], ...]
    details: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """Names it in a reject."""
        return f"{self.file} row {self.number}"


def read_rows(path: Path, official_split: str, rejects: list[Reject]) -> Iterator[Row]:
    """Read the rows of a file, one at a time.

    Args:
        path: A JSON list (``.json``) or one JSON object a line (``.jsonl``).
        official_split: The split that the file belongs to.
        rejects: Takes the rows that cannot be used.

    Raises:
        DatasetError: If the file is not JSON in this form.
    """
    for number, content in enumerate(_items(path), start=1):
        try:
            yield _check(content, path.name, number, official_split)
        except ItemError as error:
            rejects.append(reject_of(f"{path.name} row {number}", error))


def find_images(source: Path, named: Sequence[str], folders: Iterable[str], given: str | None) -> Path:
    """Find the folder that holds the images.

    Args:
        source: The input folder.
        named: Names of images.
        folders: Where they may be, below the input, likeliest first.
        given: Where the user says they are.

    Raises:
        InputNotFoundError: If there is no such folder, or none that has some of the first images.
    """
    if given is not None:
        if (source / given).is_dir():
            return source / given
        raise InputNotFoundError("Cannot find the images", where=source, rule=f"there is no folder {given}")
    tried = list(folders)
    for folder in tried:
        if any((source / folder / name).is_file() for name in named[:_LOOKED_AT]):
            return source / folder
    raise InputNotFoundError(
        "Cannot find the images",
        where=source,
        rule=f"none of the first, such as {named[0] if named else 'none'}, is in any of: {', '.join(tried)}",
        action="Name the folder, relative to the input, with --images",
    )


def _items(path: Path) -> Iterator[Any]:
    """Yield the values of a file without building all of them at once."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        yield from _lines(text) if path.suffix == ".jsonl" else _list_items(text)
    except (ValueError, RecursionError) as error:  # not JSON, or not UTF-8
        raise DatasetError("Unreadable file", where=path.name, rule=f"it must be JSON ({error})") from error


def _lines(text: str) -> Iterator[Any]:
    for line in text.splitlines():
        if line.strip():
            yield json.loads(line)


def _list_items(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    place = _skip(text, 0)
    if text[place : place + 1] != "[":
        raise ValueError(f"it must be a list, and starts with {text[place : place + 10]!r}")
    place = _skip(text, place + 1)
    if text[place : place + 1] != "]":
        while True:
            item, place = decoder.raw_decode(text, place)
            yield item
            place = _skip(text, place)
            if text[place : place + 1] != ",":
                break
            place = _skip(text, place + 1)
    if text[place : place + 1] != "]" or _skip(text, place + 1) != len(text):
        raise ValueError(f"the list must end after its last item, at character {place}")


def _skip(text: str, place: int) -> int:
    match = _BLANKS.match(text, place)
    return place if match is None else match.end()


def _check(content: object, file: str, number: int, official_split: str) -> Row:
    where = f"{file} row {number}"
    if not isinstance(content, dict):
        raise row_error("row-invalid", where, f"a row must be an object, got {type(content).__name__}")
    image = content.get("image")
    if image is None:
        raise row_error("image-none", where, "it is about no image")
    details = tuple((key, text_of(content, key, where)) for key in _DETAILS if content.get(key) is not None)
    rounds = _conversation(content["conversations"], where) if "conversations" in content else _pair(content, where)
    return Row(file, number, official_split, _image_name(image, where), rounds, details)


def _image_name(image: object, where: str) -> str:
    if not isinstance(image, str) or not image.strip():
        raise row_error("row-invalid", where, f"image must be one name, got {image!r}")
    parts = PurePosixPath(image).parts
    if image.startswith("/") or ".." in parts or "\0" in image or not _is_unicode(image):
        raise row_error("row-invalid", where, f"image must lie in the folder of images, got {image!r}")
    return "/".join(parts)


def _pair(content: dict[str, Any], where: str) -> tuple[tuple[str, str], ...]:
    key = "question" if "question" in content else "text"
    return ((_text(content.get(key), key, where), _text(content.get("ground_truth"), "ground_truth", where)),)


def _conversation(turns: object, where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise row_error("row-invalid", where, f"conversations must be a list of turns, got {turns!r:.80}")
    speakers = [turn.get("from") for turn in turns]
    if len(turns) % 2 or any(speaker != _SPEAKERS[index % 2] for index, speaker in enumerate(speakers)):
        raise row_error("turn-order", where, f"human and gpt must take turns, human first, got {speakers!r:.80}")
    placeholders = sum(str(turn.get("value")).count(IMAGE_PLACEHOLDER) for turn in turns)
    if placeholders > 1:
        raise row_error(
            "image-placeholders", where, f"one {IMAGE_PLACEHOLDER} stands for the image, got {placeholders}"
        )
    texts = [_text(turn.get("value"), f"turn {index}", where) for index, turn in enumerate(turns)]
    return tuple(zip(texts[::2], texts[1::2], strict=True))


def _text(value: object, name: str, where: str) -> str:
    """Return a text with its line breaks but without the placeholder of the image.

    Raises:
        ItemError: If nothing is left.
    """
    if not isinstance(value, str):
        raise row_error(
            "field-missing" if value is None else "row-invalid", where, f"{name} must be text, got {value!r}"
        )
    if not _is_unicode(value):
        raise row_error("row-invalid", where, f"{name} must be Unicode, got half of a surrogate pair")
    text = value.replace(IMAGE_PLACEHOLDER, "").strip()
    if not text:
        raise row_error("field-missing", where, f"{name} is empty")
    return text


def _is_unicode(text: str) -> bool:
    return not _SURROGATE.search(text)
