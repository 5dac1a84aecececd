"""The JSON file of one patch of VRSBench: caption, objects and questions, checked one by one.

Fields: ``image``, ``caption``, ``objects`` with ``obj_id``, ``obj_cls``, ``obj_corner`` (x and y of four corners),
``obj_coord`` (x_min, y_min, x_max, y_max), ``is_unique``, ``referring_sentence`` and words for place and size;
``qa_pairs`` with ``ques_id``, ``question``, ``type``, ``answer`` (README.md and prepare_eval_all.ipynb of
github.com/lx709/VRSBench).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from domainvl.errors import ItemError
from domainvl.schema.boxes import Box, clip_box
from domainvl.schema.sample import Object
from domainvl.schema.writer import Reject

from .reading import clean_text, reject_of, row_error, text_of

_ATTRIBUTES = ("is_unique", "obj_position", "obj_rel_position", "obj_size", "obj_rel_size")


@dataclass(frozen=True)
class VrsbenchQuestion:
    """One question: number, type, text and answer."""

    id: str
    kind: str
    text: str
    answer: str


@dataclass
class Annotation:
    """What is said about one patch.

    Attributes:
        caption: Description in a few sentences.
        things: The entries of objects that are objects, by their id.
        sentences: The expression that refers to an object, by its id.
        questions: Questions that can be used.
        rejects: Entries that cannot.
    """

    caption: str | None = None
    things: dict[str, dict[str, Any]] = field(default_factory=dict)
    sentences: dict[str, str] = field(default_factory=dict)
    questions: list[VrsbenchQuestion] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


def read_annotation(path: Path, name: str, image_name: str) -> Annotation:
    """Read the file of one patch.

    Args:
        path: The file.
        name: Names it in messages.
        image_name: Name of the image beside it, which the file must name too.

    Raises:
        ItemError: If it is no JSON object or is about another image.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ItemError(
            "Cannot read an annotation",
            reason="annotation-invalid",
            where=name,
            rule=f"it must be JSON ({error}); JSON5, with commas before a closing bracket, comments or single quotes, "
            "is read by the official notebook only",
            action="Write it as plain JSON: read it with the Python package json5, write it with json",
        ) from error
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise row_error("annotation-invalid", name, f"it must be JSON ({error})") from error
    if not isinstance(content, dict):
        raise row_error("annotation-invalid", name, f"it must hold an object, got {type(content).__name__}")
    if content.get("image") not in (None, image_name):
        raise row_error(
            "image-mismatch", name, f"it is about {content['image']!r}, the image beside it is {image_name}"
        )
    annotation = Annotation()
    try:
        annotation.caption = text_of(content, "caption", name)
    except ItemError as error:
        annotation.rejects.append(reject_of(f"{name} caption", error, "convert"))
    for thing_id, thing, where in _entries(content, "objects", "obj_id", name, annotation.rejects):
        annotation.things[thing_id] = thing
        try:
            annotation.sentences[thing_id] = text_of(thing, "referring_sentence", where)
        except ItemError as error:
            annotation.rejects.append(reject_of(where, error, "convert"))
    for question_id, pair, where in _entries(content, "qa_pairs", "ques_id", name, annotation.rejects):
        try:
            kind, text, answer = (text_of(pair, key, where) for key in ("type", "question", "answer"))
            annotation.questions.append(VrsbenchQuestion(question_id, kind.lower(), text, answer))
        except ItemError as error:
            annotation.rejects.append(reject_of(where, error, "convert"))
    return annotation


def _entries(
    content: dict[str, Any], key: str, id_key: str, name: str, rejects: list[Reject]
) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield the entries of a list with their ids and names; one without an id has its place, counted from 0."""
    entries = content.get(key, [])
    if not isinstance(entries, list):
        error = row_error("row-invalid", name, f"{key} must be a list, got {type(entries).__name__}")
        rejects.append(reject_of(f"{name} {key}", error, "convert"))
        return
    seen: set[str] = set()
    for place, entry in enumerate(entries):
        where = f"{name} {key} {place}"
        try:
            if not isinstance(entry, dict):
                raise row_error("row-invalid", where, f"an entry must be an object, got {type(entry).__name__}")
            entry_id = clean_text(entry.get(id_key, place), id_key, where)
            if entry_id in seen:
                raise row_error("id-repeated", where, f"{id_key} {entry_id} was used before")
        except ItemError as error:
            rejects.append(reject_of(where, error, "convert"))
            continue
        seen.add(entry_id)
        yield entry_id, entry, where


def objects_in_image(
    annotation: Annotation, width_px: int, height_px: int, name: str
) -> tuple[list[Object], list[Reject]]:
    """Place the objects of a patch in its pixels, cut to the image as in the official evaluation.

    Args:
        annotation: What is said about the patch.
        width_px: Width of the image.
        height_px: Height of the image.
        name: Names the annotation in messages.

    Returns:
        The objects, and those that cannot be used.
    """
    objects: list[Object] = []
    rejects: list[Reject] = []
    for thing_id, thing in annotation.things.items():
        where = f"{name} object {thing_id}"
        try:
            objects.append(_object(thing_id, thing, width_px, height_px, where))
        except ItemError as error:
            rejects.append(reject_of(where, error, "convert"))
    return objects, rejects


def _object(thing_id: str, thing: dict[str, Any], width_px: int, height_px: int, where: str) -> Object:
    corners = _corners_px(thing, width_px, height_px, where)
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    whole: Box = (min(xs), min(ys), max(xs), max(ys))
    box_px = clip_box(whole, width_px, height_px)
    if not (box_px[0] < box_px[2] and box_px[1] < box_px[3]):
        rule = f"the box must have an area inside the image of {width_px}x{height_px} px, got {whole}"
        raise row_error("box-invalid", where, rule)
    attributes: dict[str, JsonValue] = {
        key: thing[key] for key in _ATTRIBUTES if isinstance(thing.get(key), str | bool) and thing[key] != ""
    }
    return Object(
        id=thing_id,
        label=text_of(thing, "obj_cls", where).lower(),
        box_px=box_px,
        polygons_px=(corners,) if len(corners) == 4 and box_px == whole else None,
        truncated=box_px != whole,
        attributes=attributes,
    )


def _corners_px(thing: dict[str, Any], width_px: int, height_px: int, where: str) -> tuple[tuple[float, float], ...]:
    """Return four corners where they are given, else two opposite ones."""
    key, count = ("obj_corner", 8) if thing.get("obj_corner") else ("obj_coord", 4)
    value = thing.get(key)
    if value is None:
        raise row_error("field-missing", where, "neither obj_corner nor obj_coord is there")
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError) as error:
        raise row_error("box-invalid", where, f"{key} must be {count} numbers, got {value!r:.100}") from error
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise row_error("box-invalid", where, f"{key} must be {count} finite numbers, got {value!r:.100}")
    return tuple((x * width_px, y * height_px) for x, y in zip(numbers[::2], numbers[1::2], strict=True))
