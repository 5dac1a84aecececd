"""What one record breaks: every rule, not only the first.

A record that the reader takes costs little: what is left to check is what the reader does not look at. One that it
refuses is looked at part by part.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import ValidationError

from domainvl.errors import DatasetError
from domainvl.schema.phrases import prompts
from domainvl.schema.record import from_record
from domainvl.schema.sample import IMAGE_PLACEHOLDER, SCHEMA_VERSION, Record, Sample, Split
from domainvl.schema.validation.findings import show
from domainvl.schema.wording import WORDING_VERSION, escape_special, word_sample

Problem: TypeAlias = tuple[str, str]
"""Code of the rule, and what is wrong."""

_TOP_KEYS = frozenset({"id", "image", "width", "height", "width_list", "height_list", "conversations", "domainvl"})
_REQUIRED_KEYS = ("id", "conversations", "domainvl")
_TURN_KEYS = frozenset({"from", "value"})
_SPEAKERS = ("human", "gpt")
_POINTING_TASKS = frozenset({"grounding", "detection", "region", "conversation"})
_POINTING_TOKEN = re.compile(r"</?(?:ref|box)>")
_SAID_AT_THE_TOP = ("id", "turns")
_IMAGE_SAID_AT_THE_TOP = ("path", "width_px", "height_px")
_SCHEME_OR_DRIVE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_SPLITS = tuple(part.value for part in Split)
_LARGEST_SIDE_PX = (1 << 31) - 1  # of a PNG (ISO/IEC 15948, 11.2.2)
_LARGE = 1e300  # beyond, an integer may not be comparable as a float


@dataclass
class ImageColumns:
    """The images of a record as its top level tells them; a value of the wrong type stands as None.

    Attributes:
        paths: Path of each image.
        widths_px: Width of each.
        heights_px: Height of each.
        problems: What is wrong with them.
    """

    paths: list[str | None] = field(default_factory=list)
    widths_px: list[int | None] = field(default_factory=list)
    heights_px: list[int | None] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def agree(self) -> bool:
        """Whether the lists are equally long."""
        return len(self.paths) == len(self.widths_px) == len(self.heights_px)


def check_record(record: Record, split: Split) -> tuple[list[Problem], ImageColumns]:
    """Check one record by itself.

    Args:
        record: The object of a line.
        split: The split in whose file the line stands.

    Returns:
        All that is wrong, and the images that it names.
    """
    columns = _image_columns(record)
    problems = list(columns.problems)
    sample = _read(record)
    if not isinstance(sample, Sample):
        found = list(_diagnose(record, columns))
        if not found and not problems:
            found = [("record-invalid", sample)]
        problems += found
    problems += _beside_the_reader(record, split)
    # Where a size or a token is wrong, the wording would only say so again.
    if isinstance(sample, Sample) and not columns.problems and not any(code == "special-token" for code, _ in problems):
        problems += _check_wording(sample)
    return problems, columns


def _read(record: Record) -> Sample | str:
    """Return the sample, or why the reader refuses it."""
    try:
        return from_record(record)
    except DatasetError as error:
        return error.rule or error.what


def path_problem(path: str) -> str | None:
    """Say what is wrong with an image path, or return None.

    A path is relative to the data set's folder, has forward slashes and stays in the folder.
    """
    if "\\" in path:
        return "it has a backslash"
    if any(character < " " for character in path):
        return "it has a control character"
    if path.startswith("/") or _SCHEME_OR_DRIVE.match(path):
        return "it is absolute"
    if posixpath.normpath(path).split("/", 1)[0] in ("", ".", ".."):
        return "it does not name a file in the data set's folder"
    return None


def _image_columns(record: Record) -> ImageColumns:
    columns = ImageColumns()
    image = record.get("image")
    if image is None:
        return columns
    many = isinstance(image, list)
    if not many and not isinstance(image, str):
        columns.problems.append(("value-type", f"image must be a path or a list of paths, got {show(image)}"))
        return columns
    for index, path in enumerate(image if many else [image]):
        columns.paths.append(_check_path(path, index, columns.problems))
    columns.widths_px = _size_column(record, "width_list" if many else "width", columns.problems)
    columns.heights_px = _size_column(record, "height_list" if many else "height", columns.problems)
    keys_missing = any(code == "key-missing" for code, _ in columns.problems)
    if not columns.agree and not keys_missing:
        counts = f"{len(columns.paths)}, {len(columns.widths_px)} and {len(columns.heights_px)}"
        columns.problems.append(("image-lists", f"image, width_list and height_list have {counts} entries"))
    return columns


def _check_path(path: object, index: int, problems: list[Problem]) -> str | None:
    if not isinstance(path, str):
        problems.append(("value-type", f"the path of image {index} must be text, got {show(path)}"))
        return None
    problem = path_problem(path)
    if problem is not None:
        problems.append(("image-path", f"the path of image {index}: {problem}, got {show(path)}"))
        return None
    return path


def _size_column(record: Record, key: str, problems: list[Problem]) -> list[int | None]:
    if key not in record:
        problems.append(("key-missing", f"the key {key!r} is missing"))
        return []
    value = record[key]
    if key.endswith("_list") and not isinstance(value, list):
        problems.append(("value-type", f"{key} must be a list, got {show(value)}"))
        return []
    column: list[int | None] = []
    for size in value if key.endswith("_list") else [value]:
        # A size in quotes or with a fraction is taken by the reader, and by InternVL's trainer it is not.
        if type(size) is not int:
            problems.append(("value-type", f"{key} must be a whole number of pixels, got {show(size)}"))
        elif not 0 < size <= _LARGEST_SIDE_PX:
            problems.append(("value-invalid", f"{key} must be from 1 to {_LARGEST_SIDE_PX}, got {show(size)}"))
        column.append(size if type(size) is int and 0 < size <= _LARGEST_SIDE_PX else None)
    return column


# What the reader does not look at.


def _beside_the_reader(record: Record, split: Split) -> Iterator[Problem]:
    extra = record.keys() - _TOP_KEYS
    if extra:
        yield "key-extra", f"the keys {_join(extra)} are not InternVL's"
    truth = record.get("domainvl")
    if isinstance(truth, dict):
        own = truth.get("split")
        if own != split.value and own in _SPLITS:
            yield "split-mismatch", f"split is {own}, but the line stands in {split.value}.jsonl"
        question = truth.get("question")
        if isinstance(question, str) and question and not question.strip():
            yield "question-empty", f"question is blank, got {show(question)}"
        provenance = truth.get("provenance")
        if isinstance(provenance, dict):
            empty = [key for key, value in provenance.items() if value == ""]
            if empty:
                yield "provenance", f"provenance.{empty[0]} is empty"
    yield from _check_tokens(record)


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


def _check_tokens(record: Record) -> Iterator[Problem]:
    pointing = _points(record.get("domainvl"))
    earlier = _earlier_count(record.get("domainvl"))
    for index, turn in enumerate(_turns(record)):
        extra = turn.keys() - _TURN_KEYS
        if extra:
            yield "key-extra", f"turn {index} has the keys {_join(extra)}, which are not InternVL's"
        text = turn.get("value")
        if not isinstance(text, str) or "<" not in text:
            continue
        rest = text.replace(IMAGE_PLACEHOLDER, "")
        if pointing or index < earlier:
            rest = _POINTING_TOKEN.sub("", rest)
        escaped = escape_special(rest)
        if escaped != rest:
            start = next(place for place, pair in enumerate(zip(rest, escaped, strict=False)) if pair[0] != pair[1])
            token = rest[start : rest.index(">", start) + 1]
            yield "special-token", f"turn {index} holds {show(token)}, which no wording of this task writes"


def _points(truth: object) -> bool:
    """Say whether the wording marks names and boxes in the turns of this record."""
    if not isinstance(truth, dict):
        return False
    answer = truth.get("answer")
    task = truth.get("task")
    return (isinstance(task, str) and task in _POINTING_TASKS) or (
        isinstance(answer, dict) and (answer.get("kind") == "boxes" or bool(answer.get("about")))
    )


def _earlier_count(truth: object) -> int:
    """Return how many turns were said before the question; names and boxes may be marked in them."""
    earlier = truth.get("earlier") if isinstance(truth, dict) else None
    return len(earlier) if isinstance(earlier, list) else 0


def _turns(record: Record) -> list[dict[str, Any]]:
    turns = record.get("conversations")
    return [turn for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []


def _check_wording(sample: Sample) -> Iterator[Problem]:
    prompt_count = len(prompts(sample.domain, sample.task))
    if (sample.phrasing or 0) >= prompt_count:
        yield "value-invalid", f"phrasing must be below {prompt_count} for this task, got {sample.phrasing}"
        return
    try:
        expected = word_sample(sample)
    except DatasetError as error:
        yield "answer-kind", f"{error.what}: {error.rule}"
        return
    if sample.provenance.wording != WORDING_VERSION or sample.turns == expected:
        return
    if len(sample.turns) != len(expected):
        yield "wording-stale", f"there are {len(sample.turns)} turns, where the wording writes {len(expected)}"
        return
    index = next(index for index, turn in enumerate(sample.turns) if turn != expected[index])
    yield (
        "wording-stale",
        f"turn {index} is {show(sample.turns[index].text)}, where the wording writes {show(expected[index].text)}",
    )


# Why the reader refuses a record.


def _diagnose(record: Record, columns: ImageColumns) -> Iterator[Problem]:
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


def _join(keys: set[str]) -> str:
    return ", ".join(show(key) for key in sorted(keys))
