"""How much of an image objects cover, and how areas are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from domainvl.schema.questions.question import Question, make_question
from domainvl.schema.sample import MeasureAnswer, Object, Task

M2_PER_HA = 10_000.0


def covered_px(objects: Sequence[Object]) -> float | None:
    """Return the area that objects cover together, overlaps counted once.

    Only exterior rings are known of an object, so that a hole counts as covered.

    Args:
        objects: Objects of one image.

    Returns:
        The area in square pixels, or None if an object has no polygons: a box is not an area.
    """
    if any(thing.polygons_px is None for thing in objects):
        return None
    import shapely

    rings = [ring for thing in objects for ring in thing.polygons_px or () if len(ring) >= 3]
    if not rings:
        return 0.0
    ring_of_point = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    points = np.asarray([point for ring in rings for point in ring], dtype=np.float64)
    made = shapely.polygons(shapely.linearrings(points, indices=ring_of_point))
    polygons = cast("npt.NDArray[np.object_]", made)
    invalid = ~shapely.is_valid(polygons)
    polygons[invalid] = shapely.make_valid(polygons[invalid])
    # Most objects meet no other; only the others need the union, which takes much longer than their areas.
    one, other = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    meeting = np.zeros(len(polygons), dtype=bool)
    meeting[one[one != other]] = True
    return float(shapely.area(polygons[~meeting]).sum() + shapely.union_all(polygons[meeting]).area)


def ask_for_area(
    key: str, label: str, share: float, area_m2: float | None, *, place: str, whole: str, preface: str | None
) -> Iterator[Question]:
    """Ask for a share in percent and, where it is known, for an area on the ground.

    A share that rounds to 0 % is not asked for, for the class is there; its area on the ground is.

    Args:
        key: Begins the keys of the questions.
        label: The class.
        share: Its share of the image, from 0 to 1.
        area_m2: Its area in square metres; above a hectare hectares are asked for.
        place: Where it is looked for, as "in the image".
        whole: What the share is of, as "the image".
        preface: What the prompt says before.
    """
    slots = {"label": label, "place": place, "whole": whole}
    if round(100 * share) >= 1:
        answer = MeasureAnswer(value=100 * share, unit="%")
        yield make_question(f"{key}area-share", Task.AREA, "share", answer, preface, **slots)
    if area_m2 is None or area_m2 <= 0:
        return
    if area_m2 < M2_PER_HA:
        answer = MeasureAnswer(value=area_m2, unit="m2")
        yield make_question(f"{key}area-ground", Task.AREA, "area-m2", answer, preface, **slots)
    else:
        answer = MeasureAnswer(value=area_m2 / M2_PER_HA, unit="ha")
        yield make_question(f"{key}area-ground", Task.AREA, "area-ha", answer, preface, **slots)
