"""COCO annotations: one JSON for all images.

``bbox`` is [x, y, width, height] from the upper left corner of the image, counted from 0; ``segmentation`` is a list of
polygons, or a run-length mask for crowds (cocodataset.org, data format).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from domainvl.schema import Box, Point, Reject, Severity

from .pixel_labels import LabelRows, PixelLabels, PixelObject, number, reject_row, unusable_file
from .text_files import read_text

_MEMBERS = ("images", "annotations", "categories")


class CocoFile:
    """What a COCO file holds.

    Args:
        path: The file.
        uri: Its name in messages.
        one_class: The class of all objects instead of their own.

    Attributes:
        images: The labels of each image, by file name; one without annotations holds nothing.
        classes: All categories, those without annotations too: they were looked for.
        rejects: Annotations that belong to no image.

    Raises:
        ItemError: If the file as a whole cannot be used.
    """

    def __init__(self, path: Path, uri: str, *, one_class: str | None = None) -> None:
        content = _read(path, uri)
        self._uri = uri
        self._one_class = one_class
        self._names = {_get(row, "id"): str(_get(row, "name") or "") for row in content["categories"]}
        self._rows = {_get(row, "id"): LabelRows(uri) for row in content["images"]}
        self._masks = dict.fromkeys(self._rows, 0)
        self.classes = {one_class} if one_class is not None else {name for name in self._names.values() if name}
        self.rejects: list[Reject] = []
        for index, row in enumerate(content["annotations"]):
            self._add(index, row)
        self.images = self._labels_by_name(content["images"])

    def _add(self, index: int, row: Any) -> None:
        name = str(_get(row, "id") if _get(row, "id") is not None else f"annotations[{index}]")
        image = _get(row, "image_id")
        rows = self._rows.get(image)
        if rows is None:
            message = f"there is no image with the id {image!r}"
            self.rejects.append(reject_row(self._uri, name, "no-such-image", message))
            return
        rings = _rings(_get(row, "segmentation"))
        self._masks[image] += rings is None
        category = _get(row, "category_id")
        known = self._one_class or self._names.get(category)
        thing = PixelObject(
            name,
            known or "",
            None if rings else _box(_get(row, "bbox")),
            rings or (),
            ignored=bool(_get(row, "iscrowd")),
            attributes=_attributes(row),
        )
        if known is None:
            rows.refuse(thing, "unknown-class", f"there is no category with the id {category!r}")
        else:
            rows.add(thing)

    def _labels_by_name(self, images: Sequence[Any]) -> dict[str, PixelLabels]:
        labels: dict[str, PixelLabels] = {}
        for index, row in enumerate(images):
            name, image = str(_get(row, "file_name") or ""), _get(row, "id")
            if not name or name in labels:
                rule = "file_name is missing" if not name else f"{name} is there twice"
                raise unusable_file(f"{self._uri}, images[{index}]", rule)
            if self._masks[image]:
                message = f"{self._masks[image]} of its objects have run-length masks, which are not read"
                self._rows[image].reject(
                    name, "run-length-mask", f"{message}; their boxes are used", None, Severity.SKIPPED
                )
            width, height = number(_get(row, "width")), number(_get(row, "height"))
            size_px = (int(width), int(height)) if width >= 1 and height >= 1 else None
            labels[name] = self._rows[image].labels(size_px=size_px)
        return labels


def _read(path: Path, uri: str) -> dict[str, list[Any]]:
    try:
        content = json.loads(read_text(path, uri))
    except (ValueError, RecursionError) as error:
        raise unusable_file(uri, f"it is no JSON ({error})") from error
    members = content if isinstance(content, dict) else {}
    missing = [name for name in _MEMBERS if not isinstance(members.get(name), list)]
    if missing:
        raise unusable_file(
            uri, f"a COCO file has the lists {', '.join(_MEMBERS)}; there is no {' and no '.join(missing)}"
        )
    ids = [_get(row, "id") for row in members["images"]]
    if None in ids or len(set(map(repr, ids))) < len(ids):
        raise unusable_file(uri, "each image must have an id of its own")
    return members


def _get(row: Any, name: str) -> Any:
    """Return a member of an object, None where it is none or has none; ids that cannot be keys count as missing."""
    value = row.get(name) if isinstance(row, Mapping) else None
    return None if name.endswith("id") and isinstance(value, list | dict) else value


def _box(bbox: Any) -> Box:
    x, y, width, height = map(number, bbox) if isinstance(bbox, list) and len(bbox) == 4 else [math.nan] * 4
    return x, y, x + width, y + height


def _rings(segmentation: Any) -> tuple[tuple[Point, ...], ...] | None:
    """Return the rings of polygons, none where there is no segmentation; None for a run-length mask."""
    if isinstance(segmentation, dict):
        return None
    if not isinstance(segmentation, list):
        return ()
    rings = []
    for part in segmentation:
        if part == []:  # an editor left it
            continue
        values = [number(value) for value in part] if isinstance(part, list) else []
        if len(values) % 2:
            values.append(math.nan)  # a corner that lacks a number: the rules of a ring will say so
        rings.append(tuple(zip(values[::2], values[1::2], strict=True)))
    return tuple(rings)


def _attributes(row: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return area and score, and what tools such as CVAT put under ``attributes``."""
    found = {name: row.get(name) for name in ("area", "score")}
    more = row.get("attributes")
    if isinstance(more, dict):
        found |= more
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, str | int | float) and (isinstance(value, str) or math.isfinite(value))
    }
