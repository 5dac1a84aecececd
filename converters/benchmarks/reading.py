"""What the converters of benchmarks share: input folders, JSON rows, and rejects of what cannot be used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from domainvl.conversion import UnitResult
from domainvl.errors import DatasetError, InputNotFoundError, ItemError
from domainvl.files import hash_file
from domainvl.schema.sample import Answer, CountAnswer, Source, TextAnswer
from domainvl.schema.writer import Reject

from ..losses import left_out_with_it
from ..paths import is_inside

_COUNT = re.compile(r"0|[1-9][0-9]{0,8}")
_PUBLISHED = "Take the published file"
_SURROGATE = re.compile("[\ud800-\udfff]")


def check_input(source: Path, names: Iterable[str], *, benchmark: str, layout: str) -> None:
    """Check that files and folders are there.

    Args:
        source: The input folder.
        names: What must be in it; folders end in a slash.
        benchmark: Name of the benchmark, for the message.
        layout: What the folder must hold, for the message.

    Raises:
        InputNotFoundError: Naming the first that is missing.
    """
    for name in names:
        path = source / name
        if not (path.is_dir() if name.endswith("/") else path.is_file()):
            raise InputNotFoundError(
                f"Cannot read {benchmark}",
                where=source,
                rule=f"{name.removesuffix('/')} is missing",
                action=f"Name the folder that holds {layout}",
            )


def load_list(path: Path) -> list[Any]:
    """Read a JSON file that must hold a list.

    Raises:
        DatasetError: If it does not.
    """
    return expect_list(read_json(path), path)


def read_json(path: Path, **options: Any) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        options: Passed on to :func:`json.loads`.

    Raises:
        DatasetError: If it is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), **options)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        rule = f"it must be JSON in UTF-8 ({error})"
        raise DatasetError("Unreadable file", where=path, rule=rule, action=_PUBLISHED) from error


def expect_list(content: object, path: Path) -> list[Any]:
    """Check that what a JSON file holds is a list.

    Raises:
        DatasetError: If it is something else.
    """
    if not isinstance(content, list):
        rule = f"it must be a list, got {type(content).__name__}"
        raise DatasetError("Unreadable file", where=path, rule=rule, action=_PUBLISHED)
    return content


def text_of(row: Mapping[str, Any], key: str, where: str, *, keep_lines: bool = False) -> str:
    """Return a field as text; numbers become text, blanks are collapsed.

    Args:
        row: The fields.
        key: Which one.
        where: Names the row.
        keep_lines: Keep line breaks and blanks as they are, but for those around the text.

    Raises:
        ItemError: If it is missing, empty or of another kind.
    """
    value = row.get(key)
    if value is None:
        raise row_error("field-missing", where, f"{key} is missing")
    return clean_text(value, key, where, keep_lines=keep_lines)


def clean_text(value: object, key: str, where: str, *, keep_lines: bool = False) -> str:
    """Return a value as text; numbers become text, blanks are collapsed.

    Args:
        value: The value.
        key: Names it.
        where: Names its row.
        keep_lines: Keep line breaks and blanks as they are, but for those around the text.

    Raises:
        ItemError: If it is empty or of another kind.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise row_error("row-invalid", where, f"{key} must be text or a number, got {value!r:.80}")
    text = str(value).strip() if keep_lines else " ".join(str(value).split())
    if _SURROGATE.search(text):
        raise row_error("row-invalid", where, f"{key} must be text in Unicode, got {text!r:.80}")
    if not text:
        raise row_error("field-missing", where, f"{key} is empty")
    return text


def image_name_of(row: Mapping[str, Any], key: str, where: str) -> str:
    """Return the field that names an image, as a path below the folder of images.

    Raises:
        ItemError: If it is missing, or leads out of that folder.
    """
    name = text_of(row, key, where)
    if not is_inside(name):
        raise row_error("row-invalid", where, f"{key} must lie in the folder of images, got {name!r:.80}")
    return str(PurePosixPath(name))


def row_error(reason: str, where: str, rule: str) -> ItemError:
    """Return the error of a row that cannot be used."""
    return ItemError("Cannot use a question", reason=reason, where=where, rule=rule, action="Correct the file")


def reject_of(name: str, error: ItemError, stage: str = "plan") -> Reject:
    """Turn the error of one input into its reject."""
    return Reject(name, stage, error.reason, str(error), error.action)


def count_or_text(text: str) -> Answer:
    """Return a count where the text is exactly how a count is written, else the text as it is ("12m2", "two")."""
    return CountAnswer(count=int(text)) if _COUNT.fullmatch(text) else TextAnswer(text=text)


def image_rejected(name: str, error: ItemError, lost: str) -> UnitResult:
    """Return the result of a unit whose image cannot be used.

    Args:
        name: Names the image.
        error: Why.
        lost: What is left out with it, such as ``"100 questions"``.
    """
    message = f"{error} {left_out_with_it(lost)}"
    return UnitResult(rejects=[Reject(name, "convert", error.reason, message, error.action)])


def source_of(path: Path, uri: str, **details: Any) -> Source:
    """Describe the file of an image.

    Args:
        path: The file.
        uri: Its path in the input.
        details: What the benchmark says.
    """
    return Source(uri=uri, sha256=hash_file(path), size_bytes=path.stat().st_size, details=details)
