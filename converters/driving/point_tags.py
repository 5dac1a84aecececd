"""Tags that name a thing by a point, in pixels as DriveLM writes them and in thousandths as the model does.

``<c1,CAM_FRONT,1043.2,82.2>`` is the thing c1 at a pixel of the front camera's own image (OpenDriveLab/DriveLM,
challenge/README.md). The model reads and writes ``<c1,CAM_FRONT,[551,46]>``: whole thousandths of the image that it
sees, which is the stitched one in the authors' layout (arXiv 2410.16261) or the view alone. The way back is that of
OpenGVLab/InternVL, internvl_chat/eval/domain_specific/drivelm/evaluate.py, which assumes the stitched layout.

The way there and back moves a point of a 1600x900 image by 3.3 px at most (L1) when stitched, by 1.25 px alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from domainvl.schema.boxes import Point

from .canvas import Canvas, Layout
from .rig import VIEW_ORDER, channel_of

Unit: TypeAlias = Literal["pixels", "thousandths"]
FaultReason: TypeAlias = Literal["tag-number-count", "tag-not-a-number", "unknown-camera"]

NUSCENES_SIZES_PX: Mapping[str, tuple[int, int]] = dict.fromkeys(VIEW_ORDER, (1600, 900))
"""Width and height of the images of each view of nuScenes (arXiv 1903.11027, table 2)."""

_TAG = re.compile(r"<(?P<name>c[^,<>]*),(?P<channel>[^,<>]*),(?P<numbers>[^<>]*)>")
_BRACKETS = re.compile(r"\s*\[(?P<inside>[^\[\]]*)\]\s*", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)
"""What is a number in JSON and in the pattern of evaluate.py."""


@dataclass(frozen=True)
class Tag:
    """A tag as it stands in a text.

    Attributes:
        text: The whole tag.
        start: Where it begins in the text.
        name: The thing, such as ``"c1"``, as it is written.
        channel: The camera, such as ``"CAM_FRONT"``, as it is written.
        unit: What its numbers are: thousandths where they stand in brackets.
        point: Its numbers (x, y); None where there are not two numbers.
        fault: Why it cannot be understood; None where it can.
    """

    text: str
    start: int
    name: str
    channel: str
    unit: Unit
    point: Point | None
    fault: FaultReason | None = None

    @property
    def end(self) -> int:
        """Where it ends in the text."""
        return self.start + len(self.text)


@dataclass(frozen=True)
class TagFault:
    """A tag that was left as it was.

    Attributes:
        tag: The tag.
        reason: A stable code.
        rule: What it should have been, with what was seen.
    """

    tag: Tag
    reason: FaultReason
    rule: str


@dataclass(frozen=True)
class Rewritten:
    """A text whose tags were rewritten.

    Attributes:
        text: The text.
        outside: Tags whose point lies outside their image, by more than rounding does; it was moved to the border.
        faults: Tags that were left as they were.
    """

    text: str
    outside: tuple[Tag, ...] = ()
    faults: tuple[TagFault, ...] = ()


def find_tags(text: str) -> list[Tag]:
    """Find the tags of both kinds in a text, in order, those with faults in their numbers too."""
    return list(_tags(text))


def to_model(text: str, layout: Layout, sizes_px: Mapping[str, tuple[int, int]] = NUSCENES_SIZES_PX) -> Rewritten:
    """Rewrite each tag in pixels as one in thousandths; blanks in a tag go, the rest of the text stays as it is.

    A point outside its image is kept, at the nearest point inside, as the way back would bring it: beyond the border
    begins another view. Tags that are in thousandths already stay.

    Args:
        text: The text.
        layout: What the thousandths are of.
        sizes_px: Width and height of each view's own image. The stitched image is made of these views.
    """
    canvases = {view: Canvas.of(layout, view, sizes_px) for view in sizes_px}

    def rewrite(tag: Tag, view: str, point_px: Point) -> tuple[str, bool]:
        canvas = canvases[view]
        inside_px = Canvas.clamp(point_px, sizes_px[view])
        x_px, y_px = canvas.to_canvas(view, inside_px, sizes_px[view])
        width_px, height_px = canvas.size_px
        x_1000, y_1000 = round(x_px / width_px * 1000), round(y_px / height_px * 1000)
        return f"<{tag.name.strip()},{tag.channel.strip()},[{x_1000},{y_1000}]>", inside_px != point_px

    return _rewritten(text, "pixels", sizes_px, lambda tag: tag.channel.strip(), rewrite)


def to_pixels(text: str, layout: Layout, sizes_px: Mapping[str, tuple[int, int]] = NUSCENES_SIZES_PX) -> Rewritten:
    """Rewrite each tag in thousandths as one in pixels of its own view.

    As evaluate.py of InternVL does, with the same order of operations: the point is clamped to the view's image and
    rounded to one decimal, and a camera with blanks about its name is an unknown one. Unlike there, the decimal is
    written for a clamped point too ("1600.0"): the official scorer of DriveLM sees only numbers with a decimal point.
    Tags that are in pixels already stay.

    Args:
        text: The text, such as a model's answer.
        layout: What the thousandths are of.
        sizes_px: Width and height of each view's own image. The stitched image is made of these views.
    """
    canvases = {view: Canvas.of(layout, view, sizes_px) for view in sizes_px}

    def rewrite(tag: Tag, view: str, point_1000: Point) -> tuple[str, bool]:
        canvas = canvases[view]
        x_px, y_px = Canvas.clamp(_from_1000(canvas, view, point_1000, sizes_px[view]), sizes_px[view])
        nearest_px = canvas.to_canvas(view, (x_px, y_px), sizes_px[view])
        # Rounded to whole thousandths, a point on the border may lie half of one beyond it.
        outside = any(
            abs(seen - near / side_px * 1000) > 0.5 + 1e-6
            for seen, near, side_px in zip(point_1000, nearest_px, canvas.size_px, strict=True)
        )
        return f"<{tag.name},{tag.channel},{x_px:.1f},{y_px:.1f}>", outside

    return _rewritten(text, "thousandths", sizes_px, lambda tag: tag.channel, rewrite)


def _rewritten(
    text: str,
    unit: Unit,
    sizes_px: Mapping[str, tuple[int, int]],
    channel: Callable[[Tag], str],
    rewrite: Callable[[Tag, str, Point], tuple[str, bool]],
) -> Rewritten:
    """Rewrite the tags of one unit; ``rewrite`` gives the new tag and whether its point lies outside the image."""
    views = {channel_of(view): view for view in sizes_px}
    parts: list[str] = []
    outside: list[Tag] = []
    faults: list[TagFault] = []
    done = 0
    for tag in _tags(text):
        if tag.unit != unit:
            continue
        view = views.get(channel(tag))
        if tag.point is None or view is None:
            faults.append(_fault(tag, sizes_px))
            continue
        new, is_outside = rewrite(tag, view, tag.point)
        if is_outside:
            outside.append(tag)
        parts += [text[done : tag.start], new]
        done = tag.end
    return Rewritten("".join([*parts, text[done:]]), tuple(outside), tuple(faults))


def _tags(text: str) -> Iterator[Tag]:
    for match in _TAG.finditer(text):
        brackets = _BRACKETS.fullmatch(match["numbers"])
        numbers = [part.strip() for part in (brackets["inside"] if brackets else match["numbers"]).split(",")]
        unit: Unit = "thousandths" if "[" in match["numbers"] else "pixels"
        point: Point | None = None
        fault: FaultReason | None = None
        if not all(_NUMBER.fullmatch(number) for number in numbers):
            fault = "tag-not-a-number"
        elif len(numbers) != 2:
            fault = "tag-number-count"
        else:
            point = (float(numbers[0]), float(numbers[1]))
        yield Tag(match[0], match.start(), match["name"], match["channel"], unit, point, fault)


def _fault(tag: Tag, sizes_px: Mapping[str, tuple[int, int]]) -> TagFault:
    if tag.fault == "tag-number-count":
        count = tag.text.count(",") - 1
        return TagFault(tag, tag.fault, f"a tag must hold two numbers, got {count} in {tag.text}")
    if tag.fault == "tag-not-a-number":
        return TagFault(tag, tag.fault, f"a tag must end in two numbers, got {tag.text}")
    cameras = ", ".join(channel_of(view) for view in sizes_px)
    return TagFault(tag, "unknown-camera", f"the camera must be one of {cameras}, got {tag.channel!r} in {tag.text}")


def _from_1000(canvas: Canvas, view: str, point_1000: Point, size_px: tuple[int, int]) -> Point:
    width_px, height_px = canvas.size_px
    return canvas.from_canvas(view, (point_1000[0] / 1000 * width_px, point_1000[1] / 1000 * height_px), size_px)
