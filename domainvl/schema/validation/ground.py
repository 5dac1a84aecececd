"""No ground is in two splits: the footprints of images are compared over the borders of the splits.

Where all footprints have one CRS they are compared in it, else in longitude and latitude, where one over a pole is not
seen. Images without a CRS are compared with those cut from the same file. shapely and rasterio are imported inside
functions, because most data sets have no ground.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from domainvl.schema.validation.findings import Findings
from domainvl.schema.validation.footprints import Corners, Footprints
from domainvl.schema.validation.index import Hashes, Index, Numbers
from domainvl.schema.validation.sets import report_pair

SLIVER = 1e-3
"""Footprints of which the smaller is covered to this share or less only touch: borders are rounded."""

_POINTS_A_SIDE = 4
"""Points on each side of a footprint that is brought to longitude and latitude: its sides become curves there."""

_QUERIES_AT_ONCE = 4096

_Positions: TypeAlias = npt.NDArray[np.intp]
_Dated: TypeAlias = list[tuple[int, int]]
"""Date and reference of the footprints of one outline in one split, by reference."""


@dataclass(frozen=True)
class _Meeting:
    """An image that shows ground of an earlier split.

    Attributes:
        later: Its reference.
        earlier: Reference of the other image.
        share: Share of the smaller footprint that both cover.
        same_date: Whether both are of one date, or a date is not known.
    """

    later: int
    earlier: int
    share: float
    same_date: bool

    @property
    def weight(self) -> tuple[bool, float, int]:
        """The greater, the worse; never equal for two that differ."""
        return self.same_date, round(self.share, 6), -self.earlier


def check_ground(index: Index, findings: Findings) -> int:
    """Find images that show ground of an earlier split; of each the worst case is reported.

    Args:
        index: The references, with their footprints.
        findings: Takes what is wrong.

    Returns:
        The number of footprints that were not compared, because nothing leads from their CRS to the others'.
    """
    footprints = index.footprints
    if not len(footprints.references):
        return 0
    splits = index.image_splits(footprints.references)
    lost = 0
    for members, outlines in _worlds(footprints):
        known = np.isfinite(outlines).all(axis=(1, 2))
        lost += int(np.count_nonzero(~known))
        members, outlines = members[known], outlines[known]
        world = _World(outlines, splits[members], footprints.dates[members], footprints.references[members])
        for meeting in world.meetings():
            code = "ground-in-two-splits" if meeting.same_date else "dated-ground-in-two-splits"
            when = "" if meeting.same_date else " at another date"
            relation = f"shows{when} the same ground ({meeting.share:.1%} of the smaller) as"
            report_pair(code, meeting.later, meeting.earlier, relation, index, findings)
    return lost


def _worlds(footprints: Footprints) -> Iterator[tuple[_Positions, Corners]]:
    """Yield footprints that can be compared with each other, and their outlines in one frame."""
    numbers = footprints.frame_numbers
    in_crs = [number for number, frame in enumerate(footprints.frames) if frame.is_crs]
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], np.arange(len(footprints.frames) + 1))
    of_frame = [order[start:end] for start, end in itertools.pairwise(starts)]
    for number, members in enumerate(of_frame):
        if len(in_crs) == 1 or not footprints.frames[number].is_crs:
            yield members, footprints.corners[members]
    if len(in_crs) > 1:
        parts = [_to_lonlat(footprints.corners[of_frame[number]], footprints.frames[number].name) for number in in_crs]
        yield _turned(np.concatenate([of_frame[number] for number in in_crs]), np.concatenate(parts))


def _to_lonlat(corners: Corners, crs: str) -> Corners:
    """Bring footprints to longitude and latitude, with more points than corners; NaN where there is no way."""
    from rasterio.crs import CRS
    from rasterio.errors import CRSError
    from rasterio.warp import transform

    along = (np.arange(_POINTS_A_SIDE) / _POINTS_A_SIDE)[:, np.newaxis]
    sides = corners[:, :, np.newaxis] * (1 - along) + np.roll(corners, -1, axis=1)[:, :, np.newaxis] * along
    outlines = sides.reshape(len(corners), -1, 2)
    try:
        lon, lat = transform(CRS.from_user_input(crs), CRS.from_epsg(4326), *outlines.reshape(-1, 2).T)
    except CRSError:
        return np.full_like(outlines, np.nan)
    return np.column_stack([lon, lat]).reshape(outlines.shape)


def _turned(members: _Positions, outlines: Corners) -> tuple[_Positions, Corners]:
    """Make outlines over the antimeridian whole, and add them once more on its other side."""
    first = outlines[:, :1, 0]
    outlines[..., 0] = first + (outlines[..., 0] - first + 180.0) % 360.0 - 180.0
    east, west = outlines[..., 0].max(axis=1) > 180.0, outlines[..., 0].min(axis=1) < -180.0
    more = [outlines[east] - (360.0, 0.0), outlines[west] + (360.0, 0.0)]
    return np.concatenate([members, members[east], members[west]]), np.concatenate([outlines, *more])


class _World:
    """Footprints in one frame, gathered by their outlines: at many dates or in many views there are equal ones.

    Args:
        outlines: Of each footprint.
        splits: Position of the split of each.
        dates: Number of the date of each, 0 where it is not known.
        references: Reference of each.
    """

    def __init__(self, outlines: Corners, splits: Numbers, dates: Hashes, references: Hashes) -> None:
        flat, members = np.unique(outlines.reshape(len(outlines), -1), axis=0, return_inverse=True)
        self._outlines = flat.reshape(-1, *outlines.shape[1:])
        self._split_count = int(splits.max()) + 1 if len(splits) else 0
        keys = members.reshape(-1) * self._split_count + splits
        order = np.lexsort((references, keys))
        self._keys, self._dates, self._references = keys[order], dates[order], references[order]

    def meetings(self) -> Iterator[_Meeting]:
        """Yield for each outline that meets one of an earlier split the worst case, by its reference."""
        worst: dict[int, _Meeting] = {}
        for later in range(1, self._split_count):
            for earlier in range(later):
                for one, other, share in self._overlaps(earlier, later):
                    meeting = _meet(self._dated(other, later), self._dated(one, earlier), share)
                    key = other * self._split_count + later
                    if key not in worst or meeting.weight > worst[key].weight:
                        worst[key] = meeting
        yield from sorted(worst.values(), key=lambda meeting: meeting.later)

    def _overlaps(self, earlier: int, later: int) -> Iterator[tuple[int, int, float]]:
        """Yield outlines of two splits that cover the same ground, and the share of the smaller that they do."""
        import shapely

        ones, others = self._of_split(earlier), self._of_split(later)
        polygons, tree_polygons = _polygons(self._outlines[ones]), _polygons(self._outlines[others])
        areas, tree_areas = shapely.area(polygons), shapely.area(tree_polygons)
        tree = shapely.STRtree(tree_polygons)
        for start in range(0, len(ones), _QUERIES_AT_ONCE):
            asked, found = tree.query(polygons[start : start + _QUERIES_AT_ONCE], predicate="intersects")
            asked += start
            common = shapely.area(shapely.intersection(polygons[asked], tree_polygons[found]))
            shares = common / np.minimum(areas[asked], tree_areas[found])
            for pair in np.flatnonzero(shares > SLIVER):
                yield int(ones[asked[pair]]), int(others[found[pair]]), float(shares[pair])

    def _of_split(self, split: int) -> _Positions:
        """Return the outlines that a split has."""
        return np.unique(self._keys[self._keys % self._split_count == split] // self._split_count)

    def _dated(self, outline: int, split: int) -> _Dated:
        key = outline * self._split_count + split
        part = slice(*np.searchsorted(self._keys, [key, key + 1]))
        return list(zip(self._dates[part].tolist(), self._references[part].tolist(), strict=True))


def _meet(later: _Dated, earlier: _Dated, share: float) -> _Meeting:
    """Choose two footprints of one date; where there are none, the first two."""
    first_of_date: dict[int, int] = {}
    for date, reference in earlier:
        first_of_date.setdefault(date, reference)
    for date, reference in later:
        same = earlier[0][1] if date == 0 else first_of_date.get(date, first_of_date.get(0))
        if same is not None:
            return _Meeting(reference, same, share, same_date=True)
    return _Meeting(later[0][1], earlier[0][1], share, same_date=False)


def _polygons(outlines: Corners) -> npt.NDArray[np.object_]:
    import shapely

    polygons = np.asarray(shapely.polygons(outlines))
    invalid = ~shapely.is_valid(polygons)  # around a pole
    polygons[invalid] = shapely.make_valid(polygons[invalid])
    return polygons
