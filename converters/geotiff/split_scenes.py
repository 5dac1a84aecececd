"""Which scenes show the same ground: those of one place are one group, others must not show what is held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import shapely
from shapely import STRtree
from shapely.geometry.base import BaseGeometry

from domainvl.schema import Split

SAME_PLACE = 0.5
"""Scenes of which the smaller is covered to this share by the other show one place, and are never divided."""

_TOUCH = 1e-3
"""Scenes that overlap by a smaller share of the smaller one only touch."""

_RANK = {Split.TRAIN: 0, Split.VAL: 1, Split.TEST: 2}


def group_scenes(footprints: Mapping[str, BaseGeometry | None]) -> dict[str, str]:
    """Name the group of each scene: that of all scenes of its place, by the first of them.

    Args:
        footprints: Outline of each scene by its name, sorted; None where it has no place on Earth.
    """
    names = [name for name, outline in footprints.items() if outline is not None]
    outlines = [outline for outline in footprints.values() if outline is not None]
    group = {name: name for name in footprints}

    def first(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for one, other in _overlaps(outlines, SAME_PLACE):
        low, high = sorted((first(names[one]), first(names[other])))
        group[high] = low
    return {name: first(name) for name in footprints}


def taken_ground(
    footprints: Mapping[str, BaseGeometry | None], splits: Mapping[str, Split]
) -> dict[str, tuple[bytes, ...]]:
    """Return for each scene the ground of scenes that are held out while it is not: its tiles must not show that.

    Of two scenes that overlap, the one of the higher rank keeps its tiles: test, then validation, then training.

    Args:
        footprints: Outline of each scene by its name.
        splits: Split of each scene.
    """
    names = [name for name, outline in footprints.items() if outline is not None]
    outlines = [outline for outline in footprints.values() if outline is not None]
    taken: dict[str, tuple[bytes, ...]] = {name: () for name in footprints}
    for one, other in _overlaps(outlines, _TOUCH):
        for loser, winner in ((one, other), (other, one)):
            if _RANK[splits[names[loser]]] < _RANK[splits[names[winner]]]:
                taken[names[loser]] += (shapely.to_wkb(outlines[winner]),)
    return taken


def _overlaps(outlines: Sequence[BaseGeometry], share: float) -> list[tuple[int, int]]:
    """Return pairs whose overlap covers more than a share of the smaller."""
    pairs = STRtree(outlines).query(outlines, predicate="intersects").T.tolist() if outlines else []
    found = []
    for one, other in pairs:
        if one >= other:
            continue
        common = outlines[one].intersection(outlines[other]).area
        if common > share * min(outlines[one].area, outlines[other].area):
            found.append((one, other))
    return sorted(found)
