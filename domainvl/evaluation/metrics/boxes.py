"""How well boxes agree."""

from __future__ import annotations

from collections.abc import Sequence

from domainvl.schema.boxes import Box

IOU_THRESHOLD = 0.5
"""Least IoU of a right box, inclusive; the usual Acc@0.5 of visual grounding (Yu et al., RefCOCO, 2016)."""


def box_iou(a: Box, b: Box) -> float:
    """Return the area that two boxes share over the area that they cover together.

    Coordinates are continuous, without the +1 of pixel indices. A box without area, or with its corners
    swapped, has IoU 0 with every box.
    """
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def match_greedily(ious: Sequence[Sequence[float]]) -> list[float]:
    """Pair rows and columns, the best pair first, each used once; pairs without overlap are none.

    Not the best assignment of all: where true boxes overlap each other, a greedy pair can block a better sum.

    Args:
        ious: IoU of each true box (rows) with each predicted one (columns).

    Returns:
        The IoU of each pair, falling.
    """
    pairs = sorted(
        ((iou, row, column) for row, line in enumerate(ious) for column, iou in enumerate(line) if iou > 0),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    rows: set[int] = set()
    columns: set[int] = set()
    matched = []
    for iou, row, column in pairs:
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            matched.append(iou)
    return matched
