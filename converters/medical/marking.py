"""Draws where a thing is on an image: its contour, a half-transparent mask or a box, in a colour that stands out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter
from pydantic import JsonValue

from domainvl.schema.questions import MarkForm, Question, ask_about_one_marked
from domainvl.schema.sample import Object

from .tasks import parse_marks

_COLOURS = ((255, 0, 0), (0, 255, 0), (0, 255, 255), (255, 255, 0), (255, 0, 255))
"""Red, green, cyan, yellow and magenta; each is at least 208 (255 * sqrt(2 / 3)) away from every grey."""

_CONTRAST_PERCENTILE = 10.0
"""A colour is as good as it stands out from all but a tenth of the pixels that it replaces."""

_LINE_SHARE = 0.004
"""Width of a line as a share of the shorter side: 2 px of 512, which still shows after a resize to 448."""

_OPACITY = 0.5

Pixels = npt.NDArray[np.uint8]
Region = npt.NDArray[np.bool_]


def mark(pixels: Pixels, thing: Object, form: MarkForm) -> Pixels:
    """Draw where a thing is.

    Contours and boxes are drawn around the region, so that they hide nothing of it; where it reaches the border of the
    image, along the inside of the border. Only exterior rings are known of a thing: a hole is covered by a mask and not
    outlined.

    Args:
        pixels: uint8 of shape (height, width) or (height, width, 3); it stays as it is.
        thing: With ``polygons_px`` for a contour or a mask, with ``box_px`` for a box, in pixels of this image.
        form: How it is drawn.

    Returns:
        uint8 of shape (height, width, 3).

    Raises:
        ValueError: If the thing has not what the form needs, or covers no pixel of the image.
    """
    rgb = np.repeat(pixels[..., np.newaxis], 3, axis=2) if pixels.ndim == 2 else pixels.copy()
    region = _region(thing, form, rgb.shape[:2])
    drawn = region if form == "mask" else _outline(region)
    under = rgb[drawn]
    colour = np.asarray(_colour(under), np.float64)
    opacity = _OPACITY if form == "mask" else 1.0
    rgb[drawn] = np.rint(opacity * colour + (1 - opacity) * under).astype(np.uint8)
    return rgb


def marked_question(
    pixels: Pixels, objects: Sequence[Object], classes: Iterable[str], *, key: str, marks: str
) -> tuple[Question, Pixels, dict[str, JsonValue]] | None:
    """Mark one thing on an image and ask what it is.

    Args:
        pixels: uint8 of shape (height, width) or (height, width, 3).
        objects: All labelled objects of the image, the ignored ones too.
        classes: Classes that the options are drawn from.
        key: Names the image; equal keys choose the same thing and form.
        marks: The setting of this name.

    Returns:
        The question, the image with the mark, and what is marked where and how; None where there is nothing to mark or
        no other class.

    Raises:
        UsageError: If ``marks`` cannot be read.
    """
    marked = ask_about_one_marked(objects, classes, key=key, forms=parse_marks(marks))
    if marked is None:
        return None
    thing = marked.thing
    details: dict[str, JsonValue] = {
        "form": marked.form,
        "object": thing.id,
        "box_px": None if thing.box_px is None else [round(side, 2) for side in thing.box_px],
    }
    return marked.question, mark(pixels, thing, marked.form), details


def line_width_px(shape: tuple[int, ...]) -> int:
    """Return the width of lines on an image of a shape that begins with height and width."""
    return max(1, round(_LINE_SHARE * min(shape[:2])))


def _region(thing: Object, form: MarkForm, shape: tuple[int, ...]) -> Region:
    """Return the pixels whose middle lies in the thing; those that it touches, where it holds no middle."""
    import rasterio.features

    rings = _rings(thing, form)
    shapes = [{"type": "Polygon", "coordinates": [[*ring, ring[0]]]} for ring in rings]
    for all_touched in (False, True):
        if shapes:
            burnt = rasterio.features.rasterize(shapes, out_shape=shape, all_touched=all_touched, dtype=np.uint8)
            region: Region = np.asarray(burnt, dtype=np.bool_)
            if region.any():
                return region
    raise ValueError(f"object {thing.id} has nothing in the image that can be marked by a {form}")


def _rings(thing: Object, form: MarkForm) -> list[tuple[tuple[float, float], ...]]:
    if form != "box":
        return [ring for ring in thing.polygons_px or () if len(ring) >= 3]
    if thing.box_px is None:
        return []
    x_min, y_min, x_max, y_max = thing.box_px
    return [((x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max))]


def _outline(region: Region) -> Region:
    """Return a line around a region, and along the border of the image where the region reaches it."""
    width_px = line_width_px(region.shape)
    grown = Image.fromarray(region.astype(np.uint8)).filter(ImageFilter.MaxFilter(2 * width_px + 1))
    border = np.ones_like(region)
    border[width_px:-width_px, width_px:-width_px] = False
    outline: Region = (np.asarray(grown) > 0) & (~region | border)
    return outline


def _colour(under: Pixels) -> tuple[int, int, int]:
    """Choose the colour that stands out most from pixels of shape (n, 3); the first of equal ones."""
    distances = [np.linalg.norm(under.astype(np.float64) - colour, axis=1) for colour in _COLOURS]
    contrasts = [float(np.percentile(distance, _CONTRAST_PERCENTILE)) for distance in distances]
    return _COLOURS[contrasts.index(max(contrasts))]
