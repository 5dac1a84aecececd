"""What one key frame of a DriveLM file says: its pairs of question and answer, its key objects, its images.

The layout (OpenDriveLab/DriveLM, docs/data_prep_nus.md): ``QA`` holds lists of ``{"Q", "A", "C", "con_up", "con_down",
"cluster", "layer"}`` by category, ``key_object_infos`` what is known of each object by its tag, ``image_paths`` a file
for each camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import JsonValue

from domainvl.errors import ItemError

PERCEPTION, PREDICTION, PLANNING, BEHAVIOR = "perception", "prediction", "planning", "behavior"

CATEGORIES = (PERCEPTION, PREDICTION, PLANNING, BEHAVIOR)
"""The order in which the questions of a frame are counted (OpenDriveLab/DriveLM, challenge/evaluation.py)."""

_KNOWN = frozenset({"QA", "key_object_infos", "image_paths"})


@dataclass(frozen=True)
class Pair:
    """A question and its answer, as the file has them.

    Attributes:
        category: What it is about, one of :data:`CATEGORIES`.
        row: Its place among all questions of the frame in the file, from 0.
        question: The question.
        answer: The answer; None where the file has none.
        tag: How the challenge scores it (extract_data.py), where that is known.
        extra: What else the file says of it, without what is null.
    """

    category: str
    row: int
    question: str
    answer: str | None
    tag: tuple[int, ...] = ()
    extra: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Frame:
    """One key frame.

    Attributes:
        pairs: The questions, in the order of :data:`CATEGORIES`.
        key_objects: What is known of each object, by its tag; None where the file does not list them.
        image_paths: File of each camera, by channel, as the file has it.
        other_categories: Categories of questions beside :data:`CATEGORIES`, sorted; nothing says how they are counted.
        extra: What else the file says of the frame.
    """

    pairs: tuple[Pair, ...]
    key_objects: Mapping[str, Any] | None
    image_paths: Mapping[str, str]
    other_categories: tuple[str, ...] = ()
    extra: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def is_answered(self) -> bool:
        """Whether any of its questions has an answer."""
        return any(pair.answer is not None for pair in self.pairs)


def read_frame(content: bytes | str | msgspec.Raw) -> Frame:
    """Read the JSON of a frame.

    Raises:
        ItemError: If it is not in the layout of DriveLM.
    """
    try:
        frame = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _error(f"it must be JSON ({error})") from error
    if not isinstance(frame, dict):
        raise _error(f"it must be an object, got {type(frame).__name__}")
    questions = _questions(frame.get("QA"))
    return Frame(
        pairs=_pairs(questions),
        key_objects=_objects(frame.get("key_object_infos")),
        image_paths=_image_paths(frame.get("image_paths")),
        other_categories=tuple(sorted(set(questions) - set(CATEGORIES))),
        extra={key: value for key, value in frame.items() if key not in _KNOWN},
    )


def _questions(content: object) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise _error(f"QA must be an object with lists of questions, got {type(content).__name__}")
    return content


def _pairs(content: Mapping[str, Any]) -> tuple[Pair, ...]:
    pairs: list[Pair] = []
    for category in CATEGORIES:
        listed = content.get(category) or []
        if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
            raise _error(f"QA.{category} must be a list of objects")
        pairs += [_pair(category, len(pairs) + place, item) for place, item in enumerate(listed)]
    return tuple(pairs)


def _pair(category: str, row: int, item: Mapping[str, Any]) -> Pair:
    tag = item.get("tag")
    return Pair(
        category=category,
        row=row,
        question=_text(item.get("Q")) or "",
        answer=_text(item.get("A")),
        tag=tuple(number for number in tag if isinstance(number, int)) if isinstance(tag, list) else (),
        extra={key: value for key, value in item.items() if key not in ("Q", "A", "tag") and value is not None},
    )


def _text(value: object) -> str | None:
    """Return a text as it is; None where nothing is said."""
    return value if isinstance(value, str) and value.strip() else None


def _objects(content: object) -> Mapping[str, Any] | None:
    if content is None:
        return None
    if not isinstance(content, dict):
        raise _error(f"key_object_infos must be an object, got {type(content).__name__}")
    return content


def _image_paths(content: object) -> Mapping[str, str]:
    if not isinstance(content, dict) or not content or not all(isinstance(path, str) for path in content.values()):
        raise _error("image_paths must name a file for each camera")
    return content


def _error(rule: str) -> ItemError:
    return ItemError("Cannot read a key frame", reason="frame-invalid", rule=rule, action="Correct the file")
