"""Joins what several tiles say about one object: non-maximum suppression that knows the borders of tiles.

All boxes are in pixels of the scene's grid, and only boxes of one label are compared. A box is *cut* where it touches a
border of its tile that is none of the scene: the object may go on beyond it. In this order:

1. A box that an answer repeats is dropped.
2. Uncut boxes of different answers are one object from an IoU of :attr:`MergeSettings.same_iou` on; the likeliest
   stays. What one answer tells apart stays apart.
3. A cut box of which an uncut one of another tile covers the share :attr:`MergeSettings.covered` is a piece of that one
   and is dropped. The share is that of the cut box: a small object inside a large cut one must not put it out.
4. Cut boxes of tiles that overlap are pieces of one object if they agree in what both tiles show (IoU there).
   Cut boxes of tiles that only touch are pieces of one object if both touch the common border at the same place, unless
   both have the size that whole objects of their label usually have: a row of equal objects may end on the border.
   Pieces become the box around them all, and its likelihood is that of the least likely piece.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal, TypeAlias

import numpy as np

from domainvl.evaluation.metrics.boxes import IOU_THRESHOLD, box_iou
from domainvl.schema import Box

Side: TypeAlias = Literal["left", "top", "right", "bottom"]

_SIDES: tuple[Side, ...] = ("left", "top", "right", "bottom")
_OPPOSITE: dict[Side, Side] = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}

_USUAL_SIZE = (0.9, 1.1)
"""A piece whose sides are within these shares of the usual ones of its label looks like a whole object."""

_LEAST_WHOLE = 3
"""Fewer whole objects do not tell what is usual."""


@dataclass(frozen=True)
class Window:
    """What a tile shows of a scene.

    Attributes:
        name: Of the tile.
        box_px: Its borders, without padding.
        inner: Those of its borders that are none of the scene.
    """

    name: str
    box_px: Box
    inner: frozenset[Side]


@dataclass(frozen=True)
class Detection:
    """A box that an answer gave, or what several became.

    Attributes:
        box_px: The box.
        label: What it is of.
        likelihood: Of the answer, 0 to 1.
        window: The tile; of a joined box that of its likeliest piece.
        question: Which question was asked.
        cut: Borders of the tile at which the object may go on.
        pieces: How many boxes it was joined from.
    """

    box_px: Box
    label: str
    likelihood: float
    window: Window
    question: str
    cut: frozenset[Side] = frozenset()
    pieces: int = 1

    @property
    def answer(self) -> tuple[str, str]:
        """Which answer it is from."""
        return self.window.name, self.question


@dataclass(frozen=True)
class MergeSettings:
    """When boxes are taken for one object.

    Attributes:
        same_iou: Least IoU.
        covered: Least share of a cut box that an uncut one covers.
        touch_px: Distance from a border of a tile within which a box touches it.
    """

    same_iou: float = IOU_THRESHOLD
    covered: float = 0.5
    touch_px: float = 2.0


@dataclass(frozen=True)
class Merged:
    """What is left.

    Attributes:
        detections: One an object, from top to bottom and left to right.
        repeated: Boxes dropped because their own answer had them already.
        suppressed: Boxes dropped because another tile shows the same object.
        joined: Pieces that became other boxes.
    """

    detections: tuple[Detection, ...]
    repeated: int
    suppressed: int
    joined: int


def make_window(name: str, box_px: Box, scene_px: tuple[int, int]) -> Window:
    """Say which borders of a tile are none of the scene.

    Args:
        name: Of the tile.
        box_px: What it shows of the scene.
        scene_px: Width and height of the scene.
    """
    ends = (0.0, 0.0, *scene_px)
    return Window(
        name, box_px, frozenset(side for side, at, end in zip(_SIDES, box_px, ends, strict=True) if at != end)
    )


def detect(
    box_px: Box, label: str, likelihood: float, window: Window, question: str, settings: MergeSettings
) -> Detection:
    """Make a detection; whether it is cut follows from its tile. The arguments are those of :class:`Detection`."""
    cut = frozenset(
        side
        for side, of_box, of_tile in zip(_SIDES, box_px, window.box_px, strict=True)
        if side in window.inner and abs(of_box - of_tile) <= settings.touch_px
    )
    return Detection(box_px, label, likelihood, window, question, cut)


def merge(detections: Iterable[Detection], settings: MergeSettings | None = None) -> Merged:
    """Join what tiles say about the same objects; the result does not depend on the order.

    Args:
        detections: All boxes of a scene.
        settings: When boxes are taken for one object.
    """
    settings = settings or MergeSettings()
    by_label: dict[str, list[Detection]] = defaultdict(list)
    count = 0
    for detection in detections:
        by_label[detection.label].append(detection)
        count += 1
    kept: list[Detection] = []
    repeated = suppressed = joined = 0
    for of_label in by_label.values():
        different = _without_repeats(of_label)
        left = _suppress(different, settings)
        pieces = _join(left, settings)
        repeated += len(of_label) - len(different)
        suppressed += len(different) - len(left)
        joined += sum(piece.pieces for piece in pieces if piece.pieces > 1)
        kept += pieces
    return Merged(tuple(sorted(kept, key=_reading_order)), repeated, suppressed, joined)


def _reading_order(detection: Detection) -> tuple[float, float, float, float, str, str, str]:
    left, top, right, bottom = detection.box_px
    return top, left, bottom, right, detection.label, *detection.answer


def _rank(detection: Detection) -> tuple[float, tuple[float, float, float, float, str, str, str]]:
    return -detection.likelihood, _reading_order(detection)


def _without_repeats(detections: Sequence[Detection]) -> list[Detection]:
    """Sort by likelihood, and keep each box of an answer once."""
    unique = {(one.answer, one.box_px): one for one in detections}
    return sorted(unique.values(), key=_rank)


def _suppress(ranked: Sequence[Detection], settings: MergeSettings) -> list[Detection]:
    """Keep of each object the likeliest uncut box; cut ones only where no uncut one covers them."""
    near = _neighbours(ranked, 0.0)
    kept: set[int] = set()
    for number, one in enumerate(ranked):
        same = (
            other
            for other in near[number]
            if other in kept
            and ranked[other].answer != one.answer
            and box_iou(one.box_px, ranked[other].box_px) >= settings.same_iou
        )
        if not one.cut and next(same, None) is None:
            kept.add(number)
    for number, one in enumerate(ranked):
        covering = (
            other
            for other in near[number]
            if other in kept
            and not ranked[other].cut
            and ranked[other].window != one.window
            and _covered_share(one.box_px, ranked[other].box_px) >= settings.covered
        )
        if one.cut and next(covering, None) is None:
            kept.add(number)
    return [ranked[number] for number in sorted(kept)]


def _join(ranked: Sequence[Detection], settings: MergeSettings) -> list[Detection]:
    """Put the pieces of objects together that no tile shows whole."""
    cut = [one for one in ranked if one.cut]
    usual = _usual_sides(ranked)
    groups = list(range(len(cut)))

    def group_of(number: int) -> int:
        while groups[number] != number:
            number = groups[number]
        return number

    for first, others in enumerate(_neighbours(cut, 2 * settings.touch_px)):
        for second in others:
            if second > first and _are_pieces(cut[first], cut[second], usual, settings):
                low, high = sorted((group_of(first), group_of(second)))
                groups[high] = low
    members: dict[int, list[Detection]] = defaultdict(list)
    for number, one in enumerate(cut):
        members[group_of(number)].append(one)
    return [one for one in ranked if not one.cut] + [_around(pieces, settings) for pieces in members.values()]


def _are_pieces(one: Detection, other: Detection, usual: tuple[float, float] | None, settings: MergeSettings) -> bool:
    """Say whether two cut boxes are of one object."""
    if one.window == other.window:
        return False
    shared = _intersection(one.window.box_px, other.window.box_px)
    if shared is not None:
        seen_by_both = _intersection(one.box_px, shared), _intersection(other.box_px, shared)
        if seen_by_both[0] is None or seen_by_both[1] is None:
            return False
        return box_iou(seen_by_both[0], seen_by_both[1]) >= settings.same_iou
    return any(_meet_at(side, one, other, usual, settings) for side in sorted(one.cut))


def _meet_at(
    side: Side, one: Detection, other: Detection, usual: tuple[float, float] | None, settings: MergeSettings
) -> bool:
    """Say whether two boxes of tiles that touch go on in each other at a side of the first."""
    opposite = _OPPOSITE[side]
    if opposite not in other.cut or _at(one.window.box_px, side) != _at(other.window.box_px, opposite):
        return False
    along = 1 if side in ("left", "right") else 0
    spans = [(box[along], 0.0, box[along + 2], 1.0) for box in (one.box_px, other.box_px)]
    if box_iou(spans[0], spans[1]) < settings.same_iou:
        return False
    return not (_looks_whole(one, 1 - along, usual) and _looks_whole(other, 1 - along, usual))


def _looks_whole(one: Detection, axis: int, usual: tuple[float, float] | None) -> bool:
    """Say whether a box is as long as others of its label, and as wide as far as its tile shows.

    Args:
        one: The box.
        axis: Along which it is compared: 0 for x, 1 for y; along the other it may be cut too.
        usual: Usual width and height.
    """
    if usual is None:
        return False
    shares = [(one.box_px[side + 2] - one.box_px[side]) / usual[side] for side in (0, 1)]
    low, high = _USUAL_SIZE
    is_cut_across = bool(one.cut & ({"top", "bottom"} if axis == 0 else {"left", "right"}))
    return low <= shares[axis] <= high and (is_cut_across or low <= shares[1 - axis]) and shares[1 - axis] <= high


def _usual_sides(ranked: Sequence[Detection]) -> tuple[float, float] | None:
    """Return the median width and height of the uncut boxes; None where there are too few."""
    whole = [one.box_px for one in ranked if not one.cut]
    if len(whole) < _LEAST_WHOLE:
        return None
    return median(box[2] - box[0] for box in whole), median(box[3] - box[1] for box in whole)


def _around(pieces: Sequence[Detection], settings: MergeSettings) -> Detection:
    """Return the box around pieces; it is cut where no other piece goes on beyond the border of one."""
    if len(pieces) == 1:
        return pieces[0]
    boxes = np.array([piece.box_px for piece in pieces])
    left, top = boxes[:, :2].min(axis=0).tolist()
    right, bottom = boxes[:, 2:].max(axis=0).tolist()
    whole: Box = (left, top, right, bottom)
    cut = frozenset(
        side
        for piece in pieces
        for side in piece.cut
        if abs(_at(whole, side) - _at(piece.window.box_px, side)) <= settings.touch_px
    )
    likelihood = min(piece.likelihood for piece in pieces)
    return replace(min(pieces, key=_rank), box_px=whole, cut=cut, likelihood=likelihood, pieces=len(pieces))


def _at(box: Box, side: Side) -> float:
    return box[_SIDES.index(side)]


def _intersection(a: Box, b: Box) -> Box | None:
    """Return what two boxes share; None where that has no area."""
    left, top, right, bottom = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return (left, top, right, bottom) if left < right and top < bottom else None


def _covered_share(box: Box, cover: Box) -> float:
    shared = _intersection(box, cover)
    return 0.0 if shared is None else _area(shared) / _area(box)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _neighbours(detections: Sequence[Detection], margin_px: float) -> list[list[int]]:
    """List for each box the others that it touches, or nearly so, by their numbers in rising order."""
    from shapely import STRtree, box

    near: list[list[int]] = [[] for _ in detections]
    if len(detections) < 2:
        return near
    boxes = np.array([one.box_px for one in detections])
    tree = STRtree(box(*boxes.T))
    wide = boxes + np.array([-margin_px, -margin_px, margin_px, margin_px])
    for first, second in tree.query(box(*wide.T)).T.tolist():
        if first != second:
            near[first].append(second)
    for of_one in near:
        of_one.sort()
    return near
