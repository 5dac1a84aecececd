"""The key objects of a frame: a tag with a point, and a box that is not derived from it.

In DriveLM's data the point is not the centre of the box: its x differs by up to 126 px in the official sample. Both are
kept as they are, and neither is made from the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from domainvl.schema import Object, Reject
from domainvl.schema.boxes import Box, Point, clip_box

from ..driving.canvas import Canvas
from ..driving.point_tags import Tag, find_tags, to_model
from ..driving.rig import view_of
from .views import Views

_BOX = "2d_bbox"
_UNNAMED = "object"


@dataclass(frozen=True)
class KeyObjects:
    """What is known of the key objects of a frame.

    Attributes:
        objects: The objects, in the order of the file.
        tags: What their tags say: name, camera and point; None where the file does not list key objects.
        rejects: Those that could not be used.
    """

    objects: tuple[Object, ...]
    tags: frozenset[tuple[str, str, Point | None]] | None
    rejects: tuple[Reject, ...]

    def lists(self, tag: Tag) -> bool:
        """Whether a tag of a text is that of a key object; True where nobody knows."""
        return self.tags is None or _said(tag) in self.tags


def read_key_objects(infos: Mapping[str, Any] | None, views: Views, where: str) -> KeyObjects:
    """Read ``key_object_infos``.

    Args:
        infos: What the file says of each object, by its tag.
        views: The images of the frame.
        where: Names the frame in rejects.
    """
    if infos is None:
        return KeyObjects((), None, ())
    objects: list[Object] = []
    known: set[tuple[str, str, Point | None]] = set()
    rejects: list[Reject] = []
    for key, info in infos.items():
        problem = _problem(key, info, views)
        if problem is not None:
            action = "Correct the file; questions that name it are left out too"
            rejects.append(Reject(f"{where} {key[:80]}", "objects", "bad-tag", problem, action))
            continue
        tag = find_tags(key)[0]
        known.add(_said(tag))
        objects.append(_object(tag, info, views, taken={thing.id for thing in objects}))
    return KeyObjects(tuple(objects), frozenset(known), tuple(rejects))


def _problem(key: str, info: object, views: Views) -> str | None:
    """Say what is wrong with the tag of a key object, or with what is said of it."""
    faults = to_model(key, views.layout, views.sizes_px).faults
    if faults:
        return faults[0].rule
    found = find_tags(key)
    if len(found) != 1 or found[0].text != key.strip() or found[0].unit != "pixels":
        return f"a key object must be named by one tag, such as <c1,CAM_FRONT,1043.2,82.2>, got {key[:80]!r}"
    return None if isinstance(info, dict) else f"what is said of a key object must be an object, got {info!r:.80}"


def _said(tag: Tag) -> tuple[str, str, Point | None]:
    return tag.name.strip(), tag.channel.strip(), tag.point


def _object(tag: Tag, info: Mapping[str, Any], views: Views, *, taken: set[str]) -> Object:
    name, channel, point_px = _said(tag)
    view = view_of(channel)
    size_px = views.sizes_px[view]
    raw: dict[str, JsonValue] = {"tag": tag.text, **info}
    attributes: dict[str, JsonValue] = {"box_source": "2d-label", "raw": raw}
    for attribute, key in (("category", "Category"), ("status", "Status"), ("description", "Visual_description")):
        if isinstance(info.get(key), str):
            attributes[attribute] = info[key]
    inside_px = point_px and Canvas.clamp(point_px, size_px)
    if inside_px != point_px:
        attributes["point_outside_image"] = True
    if views.layout == "stitched":
        point_px = inside_px  # beyond the border begins another view
    box_px, visible_fraction = _visible(_box(info.get(_BOX)), size_px)
    return Object(
        id=_unused(f"{name}/{view}", taken),
        label=(str(info.get("Category") or "").strip() or _UNNAMED).lower(),
        image=views.image_of(view),
        box_px=box_px and views.place_box(view, box_px),
        point_px=point_px and views.place_point(view, point_px),
        visible_fraction=visible_fraction,
        truncated=visible_fraction < 1.0,
        ignore=box_px is None,
        attributes=attributes,
    )


def _box(value: object) -> Box | None:
    """Return a box of four finite numbers in order; None for anything else."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    if not all(isinstance(side, int | float) and math.isfinite(side) for side in value):
        return None
    x_min, y_min, x_max, y_max = (float(side) for side in value)
    return (x_min, y_min, x_max, y_max) if x_min < x_max and y_min < y_max else None


def _visible(box_px: Box | None, size_px: tuple[int, int]) -> tuple[Box | None, float]:
    """Return the part of a box that lies in the image, None if there is none, and its share of the whole."""
    if box_px is None:
        return None, 1.0
    x_min, y_min, x_max, y_max = clip_box(box_px, *size_px)
    if not (x_min < x_max and y_min < y_max):
        return None, 0.0
    whole = (box_px[2] - box_px[0]) * (box_px[3] - box_px[1])
    return (x_min, y_min, x_max, y_max), min(1.0, (x_max - x_min) * (y_max - y_min) / whole)


def _unused(identifier: str, taken: set[str]) -> str:
    number, found = 1, identifier
    while found in taken:
        number += 1
        found = f"{identifier}#{number}"
    return found
