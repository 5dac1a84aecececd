"""Between a Sample and its line of JSONL.

The record is a superset of InternVL's chat data format (OpenGVLab/InternVL documentation,
chat_data_format): its trainer reads ``image``, ``width``/``height`` (or the ``_list`` forms) and
``conversations``; everything else stands under ``domainvl``, which it ignores.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from domainvl.errors import DatasetError
from domainvl.schema.sample import SCHEMA_VERSION, Image, Object, Record, Sample

_SPEAKERS = {"human": "human", "assistant": "gpt"}
_ROLES = {speaker: role for role, speaker in _SPEAKERS.items()}

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

_ABOVE = frozenset({"path", "width_px", "height_px"})
"""What of an image stands at the top of the record; said twice, it could disagree."""

_FIRST = frozenset({"domain", "task", "question", "answer", "earlier", "preface", "phrasing"})
"""Fields of a sample that stand before its images under ``domainvl``."""

_LAST = frozenset(Sample.model_fields) - _FIRST - {"id", "turns", "images", "objects"}
"""Fields that stand behind its objects."""


def to_record(sample: Sample) -> Record:
    """Turn a sample into the object of its JSONL line."""
    record = _top(sample)
    unsaid = {"id", "turns"} if sample.earlier else {"id", "turns", "earlier"}
    truth = sample.model_dump(mode="json", exclude=unsaid, exclude_none=True)
    for image_dump in truth["images"]:
        for key in _ABOVE:
            del image_dump[key]
    record["domainvl"] = {"schema_version": SCHEMA_VERSION, **truth}
    return record


class SampleLines:
    """Writes samples as JSON, of which many share images and objects: each of those is written out once.

    What :func:`json.loads` makes of a text is the record of :func:`to_record`, its keys in the same order. Images and
    objects are held for as long as this is.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Image | Object, str]] = {}

    def line(self, sample: Sample) -> str:
        """Return a sample as JSON in one line."""
        first = _to_json(sample, include=_FIRST if sample.earlier else _FIRST - {"earlier"})
        images = ",".join([self._text(image) for image in sample.images])
        objects = ",".join([self._text(thing) for thing in sample.objects])
        return (
            f'{to_line(_top(sample))[:-1]},"domainvl":{{"schema_version":{SCHEMA_VERSION},{first[1:-1]},'
            f'"images":[{images}],"objects":[{objects}],{_to_json(sample, include=_LAST)[1:]}}}'
        )

    def _text(self, part: Image | Object) -> str:
        # The part is held with its text, so that no other can get its number.
        known = self._known.get(id(part))
        if known is None:
            known = (part, _to_json(part, exclude=_ABOVE if isinstance(part, Image) else frozenset()))
            self._known[id(part)] = known
        return known[1]


def _to_json(part: BaseModel, *, include: frozenset[str] | None = None, exclude: frozenset[str] = frozenset()) -> str:
    """Write what is known of a part; pydantic does it quickest, but refuses file names that are not UTF-8."""
    wanted = None if include is None else set(include)
    try:
        return part.model_dump_json(include=wanted, exclude=set(exclude), exclude_none=True)
    except PydanticSerializationError:
        return to_line(part.model_dump(mode="json", include=wanted, exclude=set(exclude), exclude_none=True))


def _top(sample: Sample) -> Record:
    """Return what trainers read."""
    record: Record = {"id": sample.id}
    if len(sample.images) == 1:
        image = sample.images[0]
        record |= {"image": image.path, "width": image.width_px, "height": image.height_px}
    elif sample.images:
        record |= {
            "image": [image.path for image in sample.images],
            "width_list": [image.width_px for image in sample.images],
            "height_list": [image.height_px for image in sample.images],
        }
    record["conversations"] = [{"from": _SPEAKERS[turn.role], "value": turn.text} for turn in sample.turns]
    return record


def image_paths(record: Record) -> list[str]:
    """Return the paths of a record's images, in order."""
    return _image_columns(record)[0]


def to_line(record: Record) -> str:
    """Serialise a record to its JSONL line, without the line break."""
    return _ENCODER.encode(record)


def from_record(record: Record) -> Sample:
    """Rebuild a sample from the object of a JSONL line.

    Raises:
        DatasetError: Naming the field, the rule and the value seen.
    """
    try:
        fields = _fields_of(record)
    except (KeyError, TypeError, ValueError) as error:
        missing = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise DatasetError(
            "Unreadable sample", rule=missing, action="Make the data set again with domainvl convert"
        ) from error
    try:
        return Sample.model_validate(fields)
    except UnicodeEncodeError as error:  # a rule's message would hold half a surrogate pair, and cannot
        raise DatasetError(
            f"Invalid sample {record.get('id')!a}",
            rule="it breaks a rule, and holds text that is not Unicode",
            action="Run domainvl validate",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise DatasetError(
            f"Invalid sample {record.get('id')!r}",
            rule=f"{place}: {message}" if place else message,
            action="Make the data set again with domainvl convert",
        ) from error


def _fields_of(record: Record) -> dict[str, Any]:
    truth = dict(record["domainvl"])
    version = truth.pop("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema_version must be {SCHEMA_VERSION}, got {version}")
    paths, widths, heights = _image_columns(record)
    if not len(paths) == len(widths) == len(heights) == len(truth["images"]):
        raise ValueError(
            f"image, width, height and domainvl.images must be equally long, got "
            f"{len(paths)}, {len(widths)}, {len(heights)} and {len(truth['images'])}"
        )
    below = truth.keys() | {f"images.{key}" for image in truth["images"] for key in image}
    doubled = below & {"id", "turns", "images.path", "images.width_px", "images.height_px"}
    if doubled:
        raise ValueError(f"what stands at the top of the record must not stand below too, got {min(doubled)}")
    truth["images"] = [
        {"path": path, "width_px": width, "height_px": height, **image}
        for path, width, height, image in zip(paths, widths, heights, truth["images"], strict=True)
    ]
    truth["id"] = record["id"]
    turns = []
    for utterance in record["conversations"]:
        role = _ROLES.get(utterance["from"])
        if role is None:
            raise ValueError(f"'from' must be human or gpt, got {utterance['from']!r}")
        turns.append({"role": role, "text": utterance["value"]})
    truth["turns"] = turns
    return truth


def _image_columns(record: Record) -> tuple[list[str], list[int], list[int]]:
    image = record.get("image")
    if image is None:
        return [], [], []
    if isinstance(image, str):
        return [image], [record["width"]], [record["height"]]
    return list(image), list(record["width_list"]), list(record["height_list"])
