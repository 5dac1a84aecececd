"""Why the reader refuses a record: all that is wrong, part by part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from domainvl.schema.sample import IMAGE_PLACEHOLDER, SCHEMA_VERSION, Record, Sample, Split
from domainvl.schema.validation.findings import Problem, show
from domainvl.schema.validation.image_columns import ImageColumns

_REQUIRED_KEYS = ("id", "conversations", "domainvl")
_SPEAKERS = ("human", "gpt")
_SAID_AT_THE_TOP = ("id", "turns")
_IMAGE_SAID_AT_THE_TOP = ("path", "width_px", "height_px")
_SPLITS = tuple(part.value for part in Split)
_LARGE = 1e300  # beyond, an integer may not be comparable as a float


def diagnose(record: Record, columns: ImageColumns) -> Iterator[Problem]:
    """Look at a record that the reader refuses.

    Args:
        record: The object of a line.
        columns: The images that it names at its top level.

    Yields:
        What is wrong; nothing where the reader's reason is one that is not looked for here.
    """
    for key in _REQUIRED_KEYS:
        if key not in record:
            yield "key-missing", f"the key {key!r} is missing"
    truth = record.get("domainvl")
    images = truth.get("images") if isinstance(truth, dict) else None
    lists_agree = columns.agree and (not isinstance(images, list) or len(images) == len(columns.paths))
    if "conversations" in record:
        yield from _diagnose_turns(record["conversations"], len(columns.paths) if lists_agree else None)
    if "domainvl" not in record:
        return
    if not isinstance(truth, dict):
        yield "value-type", f"domainvl must be an object, got {show(truth)}"
        return
    if columns.agree and not lists_agree and isinstance(images, list):
        yield "image-lists", f"image has {len(columns.paths)} entries and domainvl.images has {len(images)}"
    if "schema_version" not in truth:
        yield "key-missing", "the key 'schema_version' is missing in domainvl"
    elif truth["schema_version"] != SCHEMA_VERSION:
        yield "schema-version", f"schema_version must be {SCHEMA_VERSION}, got {show(truth['schema_version'])}"
    yield from _check_said_twice(truth)
    yield from _diagnose_fields(record, truth)
    yield from _diagnose_objects(truth, columns)


def _check_said_twice(truth: dict[str, Any]) -> Iterator[Problem]:
    for key in _SAID_AT_THE_TOP:
        if key in truth:
            yield "key-unknown", f"domainvl.{key} must not be there: it stands at the top of the record"
    images = truth.get("images")
    for index, image in enumerate(images if isinstance(images, list) else []):
        for key in _IMAGE_SAID_AT_THE_TOP:
            if isinstance(image, dict) and key in image:
                yield (
                    "key-unknown",
                    f"domainvl.images.{index}.{key} must not be there: it stands at the top of the record",
                )


def _diagnose_turns(turns: object, image_count: int | None) -> Iterator[Problem]:
    if not isinstance(turns, list):
        yield "value-type", f"conversations must be a list, got {show(turns)}"
        return
    if not turns or len(turns) % 2:
        yield "turn-order", f"a conversation needs pairs of question and answer, got {len(turns)} turns"
    placeholders = 0
    ordered = True
    for index, turn in enumerate(turns):
        if not isinstance(turn, dict):
            yield "value-type", f"turn {index} must be an object, got {show(turn)}"
            image_count = None
            continue
        speaker, text = turn.get("from"), turn.get("value")
        yield from _diagnose_turn(turn, index)
        if ordered and speaker in _SPEAKERS and speaker != _SPEAKERS[index % 2]:
            ordered = False
            yield "turn-order", f"turn {index} must be by {_SPEAKERS[index % 2]}, got {speaker}"
        if not isinstance(text, str):
            image_count = None  # what it should have held cannot be counted
        elif speaker != "gpt":
            placeholders += text.count(IMAGE_PLACEHOLDER)
    if image_count is not None and placeholders != image_count:
        yield (
            "placeholder-count",
            f"the human turns hold {placeholders} {IMAGE_PLACEHOLDER}, and there are {image_count} images",
        )


def _diagnose_turn(turn: dict[str, Any], index: int) -> Iterator[Problem]:
    for key in ("from", "value"):
        if key not in turn:
            yield "key-missing", f"the key {key!r} is missing in turn {index}"
    speaker, text = turn.get("from"), turn.get("value")
    if "from" in turn and speaker not in _SPEAKERS:
        yield "turn-role", f"turn {index} must be by human or gpt, got {show(speaker)}"
    if "value" not in turn:
        return
    if not isinstance(text, str):
        yield "value-type", f"the text of turn {index} must be text, got {show(text)}"
    elif not text.strip():
        yield "answer-empty" if speaker == "gpt" else "turn-empty", f"turn {index} is empty, got {show(text)}"
    elif speaker == "gpt" and IMAGE_PLACEHOLDER in text:
        yield "placeholder-in-answer", f"turn {index} is an answer and holds {IMAGE_PLACEHOLDER}, got {show(text)}"


def _diagnose_fields(record: Record, truth: dict[str, Any]) -> Iterator[Problem]:
    """Let the models name all fields that are wrong; stand-ins take the place of what is checked elsewhere."""
    fields = {key: value for key, value in truth.items() if key != "schema_version"}
    fields["id"] = record.get("id", "x")
    fields["turns"] = []
    if isinstance(fields.get("images"), list):
        fields["images"] = [
            {**image, "path": "x", "width_px": 1, "height_px": 1} if isinstance(image, dict) else image
            for image in fields["images"]
        ]
    try:
        Sample.model_validate(fields)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            place = details["loc"]
            if place:  # without a place it is a rule over several fields, and the stand-ins may break it
                yield _code_of(place, details["type"]), _describe(details)
    except UnicodeEncodeError:
        return  # a rule over several fields, whose message would hold half a surrogate pair


def _code_of(place: tuple[int | str, ...], kind: str) -> str:
    if place[0] == "provenance":
        return "provenance"
    if place[0] == "objects" and place[2:3] == ("box_px",):
        return _box_code(kind)
    if place[0] == "answer":
        code = _answer_code(place, kind)
        if code is not None:
            return code
    if place[0] == "objects" and place[2:] == ("image",) and kind == "greater_than_equal":
        return "object-image"
    if place == ("question",) and kind == "string_too_short":
        return "question-empty"
    by_kind = {"missing": "key-missing", "extra_forbidden": "key-unknown", "finite_number": "number-not-finite"}
    if kind in by_kind:
        return by_kind[kind]
    return "value-type" if kind.endswith(("_type", "_parsing")) else "value-invalid"


def _box_code(kind: str) -> str:
    if kind == "finite_number":
        return "box-not-finite"
    return "box-order" if kind == "value_error" else "box-form"


def _answer_code(place: tuple[int | str, ...], kind: str) -> str | None:
    if kind.startswith("union_tag"):
        return "answer-kind"
    if place[1:2] == ("choice",) and (kind == "value_error" or (place[2:] == ("correct",) and kind != "missing")):
        return "choice-index"
    if place == ("answer", "text", "text") and kind == "string_too_short":
        return "answer-empty"
    return None


def _describe(details: Any) -> str:
    place = ".".join(str(part) for part in details["loc"])
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "missing":
        return f"the key domainvl.{place} is missing"
    # What our own validators say holds the value already.
    return f"{place}: {message}" + ("" if details["type"] == "value_error" else f", got {show(details['input'])}")


def _diagnose_objects(truth: dict[str, Any], columns: ImageColumns) -> Iterator[Problem]:
    listed = truth.get("objects", [])
    things = [thing for thing in listed if isinstance(thing, dict)] if isinstance(listed, list) else []
    ids = Counter(thing["id"] for thing in things if isinstance(thing.get("id"), str))
    for identifier, count in ids.items():
        if count > 1:
            yield "object-id-duplicate", f"{count} objects have the id {show(identifier)}"
    for thing in things:
        yield from _diagnose_place(thing, columns)
    answer = truth.get("answer")
    named = answer.get("object_ids" if answer.get("kind") == "boxes" else "about") if isinstance(answer, dict) else None
    if isinstance(named, list):
        missing = [name for name in named if isinstance(name, str) and name not in ids]
        if missing:
            yield "answer-object", f"the answer names objects that the sample does not have: {show(missing)}"
    fixed, split = truth.get("fixed_split"), truth.get("split")
    if fixed != split and fixed in _SPLITS and split in _SPLITS:
        yield "split-fixed", f"fixed_split is {fixed}, but split is {split}"


def _diagnose_place(thing: dict[str, Any], columns: ImageColumns) -> Iterator[Problem]:
    name, image = show(thing.get("id")), _whole(thing.get("image", 0))
    if image is None or image < 0:
        return
    if image >= len(columns.paths):
        yield "object-image", f"object {name} is in image {show(image)}, but there are {len(columns.paths)}"
        return
    box = thing.get("box_px")
    if not (isinstance(box, list) and len(box) == 4 and all(_is_number(value) for value in box)):
        return
    # Where the lists are of different lengths, an image may have no size.
    sizes = [column[image] if image < len(column) else None for column in (columns.widths_px, columns.heights_px)]
    for axis, size, ends in zip("xy", sizes, (box[::2], box[1::2]), strict=True):
        if size is not None and (min(ends) < 0 or max(ends) > size):
            yield "box-bounds", f"box_px of object {name} must lie in {axis} from 0 to {size}, got {show(box)}"


def _whole(value: object) -> int | None:
    """Return the whole number that the models take a value for, if any."""
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return int(value) if isinstance(value, str) and value.isdecimal() else None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_LARGE < value < _LARGE
