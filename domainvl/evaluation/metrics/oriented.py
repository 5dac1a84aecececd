"""How well rotated boxes agree, and what of them can be read from an answer.

The wording writes upright boxes only, so that a model taught on our data sets answers a rotated truth with the box
around it, whose IoU with that truth is below 1 however good the answer is. Four corners, ``[[x1, y1, ..., x4, y4]]`` in
thousandths, are read for the sake of other systems. Boxes with an angle are not: the braces of GeoChat and FIT-RS mean
two things that no number tells apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from domainvl.evaluation.metrics.reading import read_boxes, read_labelled_boxes
from domainvl.evaluation.statistics.scores import FloatArray
from domainvl.schema.boxes import Box, Point
from domainvl.schema.oriented import corners_of
from domainvl.schema.sample import OrientedBox

Quad: TypeAlias = tuple[Point, Point, Point, Point]
"""Four corners in any order: what they cover is their convex hull."""

_COORDINATE = r"\s*-?[0-9]+(?:\.[0-9]*)?\s*"
_CORNERS = rf"\s*\[{_COORDINATE}(?:,{_COORDINATE}){{7}}\]\s*"
_CORNERS_LIST = re.compile(rf"\[{_CORNERS}(?:,{_CORNERS})*\]")
_LABELLED_CORNERS = re.compile(rf"<ref>([^<>]*)</ref>\s*(?:<(?:quad|box)>)?\s*({_CORNERS_LIST.pattern})")
_SINGLE_CORNERS = re.compile(_CORNERS)
_SINGLE_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]*)?")


def pairwise_quad_iou(a_quads: Sequence[Quad], b_quads: Sequence[Quad]) -> FloatArray:
    """Return the exact IoU of each quadrilateral of a with each of b; one without area has IoU 0 with every other.

    Args:
        a_quads: n quadrilaterals; n may be 0.
        b_quads: m quadrilaterals in the same unit; m may be 0.

    Returns:
        Shape (n, m).
    """
    a_hulls, b_hulls = _hulls(a_quads), _hulls(b_quads)
    ious = np.zeros((len(a_hulls), len(b_hulls)))
    for row, a in enumerate(a_hulls):
        for column, b in enumerate(b_hulls):
            shared = _area(_clip(a, b))
            ious[row, column] = shared / (_area(a) + _area(b) - shared) if shared > 0 else 0.0
    return ious


def oriented_iou(a: OrientedBox, b: OrientedBox) -> float:
    """Return the exact IoU of two rotated boxes; how each writes its angle does not matter."""
    return float(pairwise_quad_iou([corners_of(a)], [corners_of(b)])[0, 0])


def upright_quad(box: Box) -> Quad:
    """Return the corners of an upright box."""
    x_min, y_min, x_max, y_max = box
    return (x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)


def read_quads(text: str, width_px: int, height_px: int) -> list[Quad]:
    """Read the first list of corners ``[[x1, y1, x2, y2, x3, y3, x4, y4], ...]``, else the first list of upright boxes.

    Numbers are thousandths of the image; corners may lie outside it, as those of a box that its border cuts do. Nothing
    is guessed: neither 0-1 nor pixel coordinates are recognised as such.

    Args:
        text: The answer.
        width_px: Width of the image.
        height_px: Height of the image.

    Returns:
        The corners in pixels; empty if there is no such list. Upright boxes must lie inside the image.
    """
    found = _CORNERS_LIST.search(text)
    if found is None:
        quads_1000 = [upright_quad(box) for box in read_boxes(text)]
    else:
        quads_1000 = [_to_quad(corners) for corners in _SINGLE_CORNERS.findall(found[0])]
    return [_to_px(quad, width_px, height_px) for quad in quads_1000]


def read_labelled_quads(text: str) -> list[tuple[str, Quad]]:
    """Read the lists of corners that follow a ``<ref>label</ref>``, else the lists of upright boxes that do.

    Args:
        text: The answer.

    Returns:
        Each with its label as it is written, in thousandths of the image.
    """
    found = _LABELLED_CORNERS.findall(text)
    if not found:
        return [(label, upright_quad(box)) for label, box in read_labelled_boxes(text)]
    return [(label, _to_quad(corners)) for label, several in found for corners in _SINGLE_CORNERS.findall(several)]


def _to_quad(corners: str) -> Quad:
    x1, y1, x2, y2, x3, y3, x4, y4 = (float(number) for number in _SINGLE_NUMBER.findall(corners))
    return (x1, y1), (x2, y2), (x3, y3), (x4, y4)


def _to_px(quad_1000: Quad, width_px: int, height_px: int) -> Quad:
    first, second, third, fourth = ((x * width_px / 1000, y * height_px / 1000) for x, y in quad_1000)
    return first, second, third, fourth


def _hulls(quads: Sequence[Quad]) -> list[list[Point]]:
    """Return the corners of convex hulls, turning from x to y; one or none of what has no area."""
    import shapely

    polygons = [shapely.Polygon(quad) for quad in quads]
    hulls = [shapely.get_coordinates(polygon.convex_hull)[:-1].tolist() for polygon in polygons]
    return [_turned([(x, y) for x, y in hull]) for hull in hulls]


def _turned(corners: list[Point]) -> list[Point]:
    return corners if _area(corners) > 0 else corners[::-1]


def _clip(subject: list[Point], clip: list[Point]) -> list[Point]:
    """Return what two convex polygons share, one side of ``clip`` after the other (Sutherland and Hodgman, 1974).

    By hand, because the intersection of shapely 2.2 loses boxes that are equal but for rounding: it is empty for the
    box of 20.43 x 1.00001 px at -27 degrees and itself written at 63 degrees.
    """
    for start, end in zip(clip, [*clip[1:], *clip[:1]], strict=True):
        # How far each corner lies on the inner side, in units of the side's length.
        depths = [(end[0] - start[0]) * (y - start[1]) - (end[1] - start[1]) * (x - start[0]) for x, y in subject]
        kept: list[Point] = []
        for index, (x, y) in enumerate(subject):
            (before_x, before_y), before, depth = subject[index - 1], depths[index - 1], depths[index]
            if (before > 0) != (depth > 0):
                share = before / (before - depth)
                kept.append((before_x + share * (x - before_x), before_y + share * (y - before_y)))
            if depth > 0:
                kept.append((x, y))
        subject = kept
    return subject if clip else []


def _area(corners: Sequence[Point]) -> float:
    """Return the area within corners that turn from x to y, and minus the area if they turn the other way."""
    if not corners:
        return 0.0
    # Measured from a corner: far from the origin, products would lose digits.
    from_first = [(x - corners[0][0], y - corners[0][1]) for x, y in corners]
    following = [*from_first[1:], *from_first[:1]]
    return sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in zip(from_first, following, strict=True)) / 2
