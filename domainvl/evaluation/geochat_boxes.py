"""Boxes as GeoChat writes them in answers, in the form that is scored here.

``<p>ship</p> {<x1><y1><x2><y2>|<angle>}`` has the corners of a box in hundredths of the image before it is turned about
its middle by so many degrees (mbzuai-oryx/GeoChat, geochat_demo.py: corners become pixels first and are turned then).
Models that VRSBench compares write ``{<x1><y1><x2><y2>}`` (lx709/VRSBench). The upright box around the turned one is
what our data sets teach and score; it does not depend on the side to which the box is turned, of which GeoChat does not
say anything.
"""

from __future__ import annotations

import re

from domainvl.schema.boxes import Box, clip_box, to_box_1000
from domainvl.schema.oriented import corners_of
from domainvl.schema.sample import OrientedBox
from domainvl.schema.wording import box_list, reference

_UNITS = 100.0
"""Units along a side of the image."""

_NUMBER = r"<\s*(-?\d+(?:\.\d+)?)\s*>"
_BOX = rf"\{{{_NUMBER}{_NUMBER}{_NUMBER}{_NUMBER}(?:\|{_NUMBER})?\}}"
_ONE_BOX = re.compile(_BOX)
_PLAIN_BOX = _BOX.replace("(-?", "(?:-?")
_BOXES = re.compile(rf"{_PLAIN_BOX}(?:\s*(?:<delim>|,)?\s*{_PLAIN_BOX})*")
_NAME = re.compile(r"<p>(.*?)</p>\s*", re.DOTALL)


def to_our_boxes(text: str, width_px: int, height_px: int) -> str:
    """Write the boxes of an answer in thousandths and its names as ours; the rest of the text stays.

    ``<p>ship</p> {<10><20><30><40>|<0>}`` becomes ``<ref>ship</ref><box>[[100, 200, 300, 400]]</box>``. A box outside
    the image is moved to its border; what is not written as a box stays as it is, to be counted as unreadable.

    Args:
        text: The answer.
        width_px: Width of the image that it is about.
        height_px: Height of the image.
    """

    def rewrite(match: re.Match[str]) -> str:
        boxes = [_upright_px(found, width_px, height_px) for found in _ONE_BOX.finditer(match[0])]
        return box_list([to_box_1000(box, width_px, height_px) for box in boxes])

    named = _NAME.sub(lambda match: reference(match[1].strip()), text)
    return _BOXES.sub(rewrite, named)


def _upright_px(match: re.Match[str], width_px: int, height_px: int) -> Box:
    x1, y1, x2, y2 = (float(number) for number in match.groups()[:4])
    angle_deg = float(match[5]) if match[5] is not None else 0.0
    x_min, x_max = sorted((x1 * width_px / _UNITS, x2 * width_px / _UNITS))
    y_min, y_max = sorted((y1 * height_px / _UNITS, y2 * height_px / _UNITS))
    if angle_deg % 180 == 0 or x_min == x_max or y_min == y_max:
        return clip_box((x_min, y_min, x_max, y_max), width_px, height_px)
    turned = OrientedBox(
        center_x_px=(x_min + x_max) / 2,
        center_y_px=(y_min + y_max) / 2,
        width_px=x_max - x_min,
        height_px=y_max - y_min,
        angle_deg=angle_deg,
    )
    xs, ys = zip(*corners_of(turned), strict=True)
    return clip_box((min(xs), min(ys), max(xs), max(ys)), width_px, height_px)
