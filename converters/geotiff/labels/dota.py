"""DOTA annotations: a text file an image, a line a quadrilateral.

``x1 y1 x2 y2 x3 y3 x4 y4 class difficult``, after optional lines ``imagesource:`` and ``gsd:`` (DOTA_devkit of
CAPTAIN-WHU, dota_utils.py, which also reads lines without the last field). Coordinates are taken as they are, as
continuous pixels from the upper left corner.
"""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import JsonValue

from domainvl.schema import Point

from .pixel_labels import LabelRows, PixelLabels, PixelObject, number, unusable_file
from .text_files import read_text

_CORNER_FIELDS = 8


def read_dota(path: Path, uri: str, *, one_class: str | None = None) -> PixelLabels:
    """Read the annotation of one image; a file without lines says that it holds nothing.

    Args:
        path: The file.
        uri: Its name in messages.
        one_class: The class of all objects instead of their own.

    Raises:
        ItemError: If the file is no text, or its first line of an object has another format.
    """
    rows = LabelRows(uri)
    details: dict[str, JsonValue] = {}
    is_dota = False
    for line, text in enumerate(read_text(path, uri).splitlines(), start=1):
        fields = text.split()
        if not fields or (not is_dota and _read_header(text, details)):
            continue
        if len(fields) in (_CORNER_FIELDS + 1, _CORNER_FIELDS + 2):
            is_dota = True
            _add_line(rows, str(line), fields, one_class)
            continue
        rule = f"a line must be x1 y1 x2 y2 x3 y3 x4 y4 class difficult, got {len(fields)} fields"
        if not is_dota:
            raise unusable_file(f"{uri}, line {line}", rule)
        rows.refuse(_unnamed(str(line), fields, one_class), "invalid-row", rule)
    return rows.labels(details=details)


def _read_header(text: str, details: dict[str, JsonValue]) -> bool:
    """Take up a line of the header; its ground sampling distance may be ``null``."""
    key, colon, value = (part.strip() for part in text.partition(":"))
    if not colon or key not in ("imagesource", "gsd"):
        return False
    if key == "imagesource":
        details["image_source"] = value
    elif number(value) > 0:
        details["gsd_m"] = number(value)
    return True


def _add_line(rows: LabelRows, line: str, fields: list[str], one_class: str | None) -> None:
    name, *difficult = fields[_CORNER_FIELDS:]
    # 1 is difficult; the devkit's tiler writes 2 for objects that it cut (DOTA_devkit, issue 28).
    is_number = not difficult or difficult[0].isdecimal()
    attributes: dict[str, JsonValue] = {"difficult": int(difficult[0]) if difficult and is_number else 0}
    thing = PixelObject(
        line,
        name if one_class is None else one_class,
        rings_px=(_corners(fields),),
        is_turned_box=True,
        attributes=attributes,
    )
    if is_number:
        rows.add(thing)
    else:
        rows.refuse(thing, "invalid-row", f"difficult must be a whole number, got {difficult[0]}")


def _unnamed(line: str, fields: list[str], one_class: str | None) -> PixelObject:
    """Return what a line says of its thing whose fields after the corners are not the expected ones."""
    return PixelObject(line, one_class or "", rings_px=(_corners(fields),))


def _corners(fields: list[str]) -> tuple[Point, ...]:
    """Return the corners; NaN for what is missing."""
    values = [number(text) for text in fields[:_CORNER_FIELDS]]
    values += [math.nan] * (_CORNER_FIELDS - len(values))
    return tuple(zip(values[::2], values[1::2], strict=True))
