"""Boxes in a table: a CSV with a box a row, as DeepForest and keras-retinanet write them.

Columns in any order: ``image_path`` (or ``filename``), ``xmin``, ``ymin``, ``xmax``, ``ymax`` and ``label`` (or
``class``). Coordinates are taken as pixel edges, 0 being the left or upper border of the image, as DeepForest writes
and reads them.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from .pixel_labels import LabelRows, PixelLabels, PixelObject, number, unusable_file
from .text_files import check_columns, read_table

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_IMAGE_COLUMNS = ("image_path", "filename")
_LABEL_COLUMNS = ("label", "class")
_IMAGE_SIZE = ("width", "height")


@dataclass(frozen=True)
class _Columns:
    """Which columns hold what; ``label`` is None where all boxes are of one class."""

    image: str
    label: str | None
    more: tuple[str, ...]


def is_box_table(path: Path) -> bool:
    """Say whether a CSV has the columns of a table of boxes."""
    with path.open("rb") as file:
        head = file.readline()
    names = next(csv.reader([head.decode("utf-8-sig", "replace")]), [])
    return {*_CORNERS} <= {name.strip() for name in names}


def read_box_table(
    path: Path, uri: str, *, label_field: str | None = None, one_class: str | None = None
) -> dict[str, PixelLabels]:
    """Read a table of boxes.

    A row whose corners are all empty or all 0 says of an image that it was looked at and holds nothing.

    Args:
        path: The file.
        uri: Its name in messages.
        label_field: Column with the class.
        one_class: The class of all boxes instead.

    Returns:
        The labels of each image, by the name that the table gives it.

    Raises:
        ItemError: If the file as a whole cannot be used.
    """
    names, rows = read_table(path, uri)
    columns = _choose_columns(names, uri, label_field, one_class)
    images: dict[str, LabelRows] = {}
    for line, row in rows:
        image = row[columns.image]
        if not image:
            raise unusable_file(f"{uri}, line {line}", f"{columns.image} is empty", "Name the image of each box")
        _add_row(images.setdefault(image, LabelRows(uri)), str(line), row, columns, one_class)
    if not images:
        raise unusable_file(uri, "it has no rows")
    return {image: rows.labels() for image, rows in images.items()}


def _choose_columns(names: list[str], uri: str, label_field: str | None, one_class: str | None) -> _Columns:
    image = next((name for name in _IMAGE_COLUMNS if name in names), _IMAGE_COLUMNS[0])
    label = label_field or next((name for name in _LABEL_COLUMNS if name in names), None)
    missing = [name for name in (image, *_CORNERS) if name not in names]
    if one_class is None and (label is None or label not in names):
        missing.append(label or _LABEL_COLUMNS[0])
    action = "Add --label-name if all boxes are of one class" if missing == [_LABEL_COLUMNS[0]] else None
    check_columns(uri, names, missing, action)
    more = tuple(name for name in names if name and name not in {image, label, *_CORNERS, *_IMAGE_SIZE})
    return _Columns(image, None if one_class is not None else label, more)


def _add_row(rows: LabelRows, line: str, row: Mapping[str, str], columns: _Columns, one_class: str | None) -> None:
    given = [row[name] for name in _CORNERS]
    corners = [number(text) for text in given]
    name = one_class if columns.label is None else row[columns.label]
    has_class = columns.label is not None and bool(name)
    if corners == [0.0] * 4 or not (any(given) or has_class):
        return  # the image was looked at, and nothing is in it
    x_min, y_min, x_max, y_max = corners
    attributes = {column: _value(text) for column in columns.more if (text := row[column])}
    rows.add(PixelObject(line, name or "", (x_min, y_min, x_max, y_max), attributes=attributes))


def _value(text: str) -> JsonValue:
    value = number(text)
    return value if math.isfinite(value) else text
