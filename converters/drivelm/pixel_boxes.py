"""Boxes in answers that list things, as DriveLM writes them in pixels of one view and as the model does.

"(traffic light, green, 674.86, 0.14, 723.33, 109.18)" becomes "(traffic light, green, <box>[[...]]</box>)" in
thousandths, as Mini-InternVL's authors do (arXiv 2410.16261, section 4.2.1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from domainvl.schema.boxes import Box, clip_box, to_box_1000
from domainvl.schema.wording import box_list

from ..driving.canvas import Canvas
from ..driving.canvas import Layout as CanvasLayout

_ASKED = re.compile(r"x1,\s*y1,\s*x2,\s*y2")
_VIEW = re.compile(r"\bin the (front|back)(?: (left|right))? view\b", re.IGNORECASE)
_NUMBER = r"\d+(?:\.\d+)?"
_BOX = re.compile(rf"(?<=[(,])\s*({_NUMBER}),\s*({_NUMBER}),\s*({_NUMBER}),\s*({_NUMBER})(?=\))")
_BOX_1000 = re.compile(r"<box>\[\[(\d{1,4}),\s*(\d{1,4}),\s*(\d{1,4}),\s*(\d{1,4})\]\]</box>")


def view_asked_for_boxes(question: str, views: Mapping[str, tuple[int, int]]) -> str | None:
    """Return the view of which a question wants boxes, such as ``"FRONT"``; None where it wants none.

    Args:
        question: The question.
        views: The views of the frame.
    """
    found = _VIEW.search(question)
    if found is None or not _ASKED.search(question):
        return None
    view = "_".join(part.upper() for part in found.groups() if part)
    return view if view in views else None


def boxes_to_model(text: str, view: str, layout: CanvasLayout, sizes_px: Mapping[str, tuple[int, int]]) -> str:
    """Rewrite the boxes of a list from pixels of a view to thousandths; one that is no box in its image stays.

    Args:
        text: The answer.
        view: The view.
        layout: What the thousandths are of.
        sizes_px: Width and height of each view's file.
    """
    canvas = Canvas.of(layout, view, sizes_px)

    def rewrite(match: re.Match[str]) -> str:
        x_min, y_min, x_max, y_max = (float(number) for number in match.groups())
        width_px, height_px = sizes_px[view]
        if not (x_min < x_max <= width_px and y_min < y_max <= height_px):
            return match[0]
        box_px = canvas.box_to_canvas(view, (x_min, y_min, x_max, y_max), sizes_px[view])
        return " " + box_list([to_box_1000(box_px, *canvas.size_px)])

    return _BOX.sub(rewrite, text)


def boxes_to_pixels(text: str, view: str, layout: CanvasLayout, sizes_px: Mapping[str, tuple[int, int]]) -> str:
    """Rewrite boxes in thousandths as a list in pixels of a view, with one decimal, clamped to its image.

    Args:
        text: The answer, of a model perhaps.
        view: The view.
        layout: What the thousandths are of.
        sizes_px: Width and height of each view's file.
    """
    canvas = Canvas.of(layout, view, sizes_px)

    def rewrite(match: re.Match[str]) -> str:
        return ", ".join(f"{value:.1f}" for value in _to_view(match, canvas, view, sizes_px[view]))

    return _BOX_1000.sub(rewrite, text)


def _to_view(match: re.Match[str], canvas: Canvas, view: str, size_px: tuple[int, int]) -> Box:
    x_min, y_min, x_max, y_max = (int(number) / 1000 for number in match.groups())
    whole_px = canvas.size_px
    box_px = (x_min * whole_px[0], y_min * whole_px[1], x_max * whole_px[0], y_max * whole_px[1])
    return clip_box(canvas.box_from_canvas(view, box_px, size_px), *size_px)
