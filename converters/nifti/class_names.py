"""What the values of a mask mean: tables and files of values and names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from domainvl.errors import InputNotFoundError, UsageError

from ..tables import is_table, read_rows
from .files import NiftiFile

BACKGROUND = 0
_VALUE_COLUMNS = ("value", "index")
_YAML = (".yaml", ".yml")


def read_class_names(path: Path) -> dict[int, str]:
    """Read the names of values.

    - CSV, TSV or Excel with the columns ``value`` or ``index``, and ``name``; others are passed over. This is the table
      that BIDS 1.10 has for ``dseg`` ("Common image-derived labels").
    - JSON or YAML: an object of values and names, either way round, or one with such an object as ``labels``: the
      ``dataset.json`` of the Medical Segmentation Decathlon and of nnU-Net.

    The name of 0, the background, is passed over. Several values may be of one class.

    Raises:
        InputNotFoundError: If the file is not there.
        UsageError: If it is none of these.
    """
    if not path.is_file():
        raise InputNotFoundError("Cannot read --class-names", where=path, rule="no such file")
    try:
        if is_table(path) or path.suffix.casefold() == ".txt":
            pairs = list(_of_table(path))
        elif path.suffix.casefold() in _YAML:
            pairs = list(_of_object(path, yaml.safe_load(path.read_text(encoding="utf-8-sig"))))
        else:
            pairs = list(_of_object(path, json.loads(path.read_text(encoding="utf-8-sig"))))
    except (UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError) as error:
        raise _unusable(path, f"it cannot be parsed ({type(error).__name__})") from error
    return _checked(path, pairs)


def beside(mask: NiftiFile) -> Path | None:
    """Return the table of names beside a mask, as BIDS has it; None where there is none."""
    path = mask.path.with_name(f"{mask.stem}.tsv")
    return path if path.is_file() else None


def _of_table(path: Path) -> Iterator[tuple[str, Any]]:
    rows = read_rows(path, partial(_unusable, path))
    header = [cell.casefold() for cell in next(rows, (1, []))[1]]
    at = next((header.index(name) for name in _VALUE_COLUMNS if name in header), None)
    if at is None or "name" not in header:
        raise _unusable(path, "its first line must name the columns value (or index) and name")
    name_at = header.index("name")
    for _, cells in rows:
        if len(cells) <= max(at, name_at):
            raise _unusable(path, "each line must have a value and a name")
        yield cells[at], cells[name_at]


def _of_object(path: Path, content: Any) -> Iterator[tuple[str, Any]]:
    labels = content.get("labels", content) if isinstance(content, Mapping) else None
    if not isinstance(labels, Mapping) or not labels:
        raise _unusable(path, "it must hold values and names, or have them as labels")
    by_value = all(_number(key) is not None for key in labels)
    yield from ((key, name) if by_value else (name, key) for key, name in labels.items())


def _checked(path: Path, pairs: list[tuple[Any, Any]]) -> dict[int, str]:
    names: dict[int, str] = {}
    for text, name in pairs:
        value = _number(text)
        label = " ".join(name.split()) if isinstance(name, str) else ""
        if value is None or not label:
            raise _unusable(path, "each value must be a whole number and each name a text; regions of several values "
                            "are none")  # fmt: skip
        if names.setdefault(value, label) != label:
            raise _unusable(path, f"the value {value} has two names")
    names.pop(BACKGROUND, None)
    if not names:
        raise _unusable(path, "it must name a value other than 0, the background")
    return dict(sorted(names.items()))


def _number(text: Any) -> int | None:
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() else None


def _unusable(path: Path, rule: str) -> UsageError:
    return UsageError(
        "Cannot read --class-names", where=path, rule=rule, action='For instance: {"1": "liver", "2": "tumour"}'
    )
