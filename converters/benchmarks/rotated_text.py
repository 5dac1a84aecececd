"""Rotated boxes as GeoChat and FIT-RS write them in text: two meanings of the same braces.

Both write ``{<a><b><c><d>|<angle>}`` with 100 units along each side of the image:

- **GeoChat**: ``{<x1><y1><x2><y2>|<angle>}``, integers. (x1, y1) and (x2, y2) are the corners of the box before it is
  turned about its middle by so many degrees (mbzuai-oryx/GeoChat, geochat_demo.py: corners become pixels first and are
  turned then). How the angle was normalised, and to which side it turns, was never documented (GeoChat issue 5). The
  demo draws every box with ``rotate_bbox``, whose ``cv2.getRotationMatrix2D`` turns counter-clockwise on screen;
  another function of that file, ``bbox_and_angle_to_polygon``, turns clockwise and is not used. So counter-clockwise
  is assumed, and the other reading is on offer. Both give the same upright box around the rotated one.
- **FIT-RS**: ``{<cx><cy><w><h>|<angle>}``, centre and sides with two decimals. The angle turns clockwise on screen,
  lies in (0, 90] and is cut to whole degrees, so that it may be up to one degree too small (Luo-Z13/SkySenseGPT,
  Tools/process_data_RS_Object_Detection.py and Eval_scripts/batch_geochat_complex_compre.py; MMRotate's ``oc``).

No number tells the two apart: ``{<20><20><40><40>|<90>}`` is a box in either. The notation is therefore an argument
everywhere and is never guessed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from domainvl.errors import ItemError
from domainvl.schema.boxes import Box, Point, clip_box
from domainvl.schema.oriented import corners_of, in_convention
from domainvl.schema.sample import OrientedBox

UNITS = 100.0
"""Units along a side of the image, in both notations."""

_NUMBER = r"<\s*-?\d+(?:\.\d+)?\s*>"
BRACES = rf"\{{(?:{_NUMBER}){{4}}(?:\|{_NUMBER})?\}}"
"""Matches one box in either notation."""

_ONE_BOX = re.compile(BRACES)
_VALUE = re.compile(r"-?\d+(?:\.\d+)?")
_LEAST_SIDE = 0.5
"""Side, in units, of a box whose corners are one whole number: before rounding they were less than a unit apart."""

_ROUNDING = 1e-6
"""An angle this little below a whole degree is that degree."""


@dataclass(frozen=True)
class BoxNotation:
    """What the numbers in braces mean.

    Attributes:
        name: Whose notation it is.
        corners: Whether the first four are the corners before turning; else they are centre, width and height.
        clockwise: Whether the angle turns clockwise on screen.
        decimals: How many decimals the first four have; the angle has none.
    """

    name: str
    corners: bool
    clockwise: bool
    decimals: int


GEOCHAT = BoxNotation("GeoChat", corners=True, clockwise=False, decimals=0)
GEOCHAT_CLOCKWISE = BoxNotation("GeoChat", corners=True, clockwise=True, decimals=0)
FIT_RS = BoxNotation("FIT-RS", corners=False, clockwise=True, decimals=2)


def find_boxes(text: str) -> list[str]:
    """Return the boxes in a text, each with its braces."""
    return _ONE_BOX.findall(text)


def parse_box(text: str, notation: BoxNotation, width_px: int, height_px: int) -> OrientedBox:
    """Read one box; a side that the rounding of corners made 0 becomes half a unit (see :func:`is_line`).

    Args:
        text: The box with its braces.
        notation: What the numbers mean.
        width_px: Width of the image.
        height_px: Height of the image.

    Returns:
        The box in pixels, with the angle clockwise on screen and from -90 to 90 degrees (``le90``).

    Raises:
        ItemError: If it is not written as a box, has no area, or its middle lies outside the image.
    """
    center, sides, turned = _read(text, notation)
    if min(sides) <= 0 and not notation.corners:
        raise _box_error("box-empty", text, f"its sides must be above 0, got {sides[0]:g} x {sides[1]:g}")
    width, height = (side or _LEAST_SIDE for side in sides)
    # Both sets keep what is more than half visible, and of such a box the middle is visible; one unit for rounding.
    if not all(-1 <= value <= UNITS + 1 for value in center):
        raise _box_error("box-outside", text, f"its middle must lie within 0 to 100, got {center}")
    box = OrientedBox(
        center_x_px=center[0] * width_px / UNITS,
        center_y_px=center[1] * height_px / UNITS,
        width_px=width * width_px / UNITS,
        height_px=height * height_px / UNITS,
        angle_deg=turned if notation.clockwise else -turned,
    )
    return in_convention(box, "le90")


def is_line(text: str, notation: BoxNotation) -> bool:
    """Say whether a side of a box is 0 because its corners were rounded to one number.

    Raises:
        ItemError: If it is not written as a box.
    """
    return notation.corners and min(_read(text, notation)[1]) == 0


def write_box(box: OrientedBox, notation: BoxNotation, width_px: int, height_px: int) -> str:
    """Write one box.

    The angle is brought to (0, 90] in its own sense of turning, as both sets have it. GeoChat's integers are rounded
    and never make a box empty.

    Args:
        box: The box in pixels, with the angle clockwise on screen, in any convention.
        notation: How to write it.
        width_px: Width of the image.
        height_px: Height of the image.
    """
    if not notation.clockwise:
        box = box.model_copy(update={"angle_deg": -box.angle_deg})
    box = in_convention(box, "oc")
    x, y = box.center_x_px / width_px * UNITS, box.center_y_px / height_px * UNITS
    width, height = box.width_px / width_px * UNITS, box.height_px / height_px * UNITS
    if notation.corners:
        (x_min, x_max), (y_min, y_max) = _whole_range(x, width), _whole_range(y, height)
        values, angle_deg = (x_min, y_min, x_max, y_max), round(box.angle_deg)
    else:
        values, angle_deg = (x, y, width, height), math.floor(box.angle_deg + _ROUNDING)
    numbers = "".join(f"<{value:.{notation.decimals}f}>" for value in values)
    return f"{{{numbers}|<{angle_deg}>}}"


def enclosing_box_px(box: OrientedBox, width_px: int, height_px: int) -> tuple[Box, bool]:
    """Return the upright box around a rotated one, cut to the image, and whether the image cuts it.

    Args:
        box: The rotated box.
        width_px: Width of the image.
        height_px: Height of the image.

    Raises:
        ItemError: If nothing of it lies in the image.
    """
    xs, ys = zip(*corners_of(box), strict=True)
    whole = (min(xs), min(ys), max(xs), max(ys))
    inside = clip_box(whole, width_px, height_px)
    if not (inside[0] < inside[2] and inside[1] < inside[3]):
        raise _box_error("box-outside", f"{whole} px", f"a part must lie in the image of {width_px}x{height_px} px")
    tolerance_px = _ROUNDING * max(width_px, height_px)
    return inside, any(abs(cut - uncut) > tolerance_px for cut, uncut in zip(inside, whole, strict=True))


def _read(text: str, notation: BoxNotation) -> tuple[Point, Point, float]:
    """Return the middle of a box and its sides in hundredths of the image, and its angle as written."""
    if _ONE_BOX.fullmatch(text) is None:
        raise _box_error("box-form", text, "it must be written {<number><number><number><number>|<angle>}")
    first, second, third, fourth, *angle = (float(value) for value in _VALUE.findall(text))
    turned = angle[0] if angle else 0.0
    if not notation.corners:
        return (first, second), (third, fourth), turned
    return ((first + third) / 2, (second + fourth) / 2), (abs(third - first), abs(fourth - second)), turned


def _whole_range(middle: float, side: float) -> tuple[float, float]:
    low, high = round(middle - side / 2), round(middle + side / 2)
    return (low, high) if high > low else (math.floor(middle), math.floor(middle) + 1)


def _box_error(reason: str, text: str, rule: str) -> ItemError:
    return ItemError("Cannot use a box", reason=reason, where=text, rule=rule, action="Correct the file")
