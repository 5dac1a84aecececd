"""What of a scene's labels is seen in each of its tiles, as objects of the schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio.features import geometry_mask
from shapely import MultiPolygon, Polygon
from shapely.affinity import translate

from domainvl.errors import DatasetError
from domainvl.schema import Object, Point
from domainvl.schema.oriented import smallest_oriented_box
from domainvl.schema.sample import OrientedBox

from .grid import Tile
from .labels.placed import UNKNOWN_CLASS, Geometries, PlacedLabels
from .labels.placement import polygon_part
from .reading import Mask
from .settings import Assign
from .tile_join import SHARE_DECIMALS, SeenLabels, best_tiles, join_labels, key_of

Multipart: TypeAlias = Literal["union", "split"]
Area: TypeAlias = Polygon | MultiPolygon

_UPRIGHT = 0.999
"""A box whose area is so much of that of the upright box around it is upright itself."""

_PLACED_TO_PX = 0.5
"""What labels can be placed to: a smaller rest of an object at the border of a tile may not be there at all."""

_DECIMALS = 3
"""Coordinates are kept to a thousandth of a pixel: the last digits differ between versions of PROJ."""


@dataclass(frozen=True)
class CutSettings:
    """How labels are cut to a tile.

    Attributes:
        min_visible: Objects of which a smaller share is visible are marked to be ignored.
        min_px: What is narrower or lower than this, or has less than its square of area, is no object of the tile.
        multipart: Whether what has several visible parts is one object, with the box around all, or one a part.
        oriented: Whether objects get a rotated box too.
    """

    min_visible: float = 0.5
    min_px: float = 0.5
    multipart: Multipart = "union"
    oriented: bool = False


@dataclass(frozen=True)
class TileObjects:
    """What is seen of the labels in a tile.

    Attributes:
        objects: The objects that belong to the tile, in its pixels and in the order of the labels; some are ignored.
        elsewhere: What is seen here too, so that its class is there, but is none of the tile's objects: what belongs
            to a tile that shows more of it, is too small, or is known by its place only. All ignored.
        repaired: How many labels of these had invalid rings.
        ignored_areas: What is seen of each ignored object, in pixels of the scene's grid: first of ``objects``, then
            of those that belong to another tile.
        dropped: How many were too small: ``"sliver"`` where the border of the tile left so little of an object that it
            may not be there, ``"too-small"`` the others.
        without_area: Ids of objects from which no area follows: boxes, and what has holes, which polygons leave out.
    """

    objects: list[Object] = field(default_factory=list)
    elsewhere: list[Object] = field(default_factory=list)
    repaired: int = 0
    ignored_areas: list[Area] = field(default_factory=list)
    dropped: Mapping[str, int] = field(default_factory=dict)
    without_area: frozenset[str] = frozenset()


class LabelIndex:
    """A scene's labels, joined with its tiles.

    Args:
        labels: The labels, in pixels of the scene.
        tiles: The tiles that will be asked for, or more.
        assign: Whether each tile gets all objects that it shows, or only those of which no other shows more; of tiles
            that show equally much the first has it. What a scene's holes hide plays no part in it.
        all_tiles: All tiles of the scene, of which the best are chosen; ``tiles`` where None.
        classes: All classes that were annotated: what has no class may be of any.
    """

    def __init__(
        self,
        labels: PlacedLabels,
        tiles: Sequence[Tile],
        *,
        assign: Assign = "all",
        all_tiles: Sequence[Tile] | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        self._labels = labels
        self._classes = classes
        self._best: dict[int, tuple[int, int]] | None = None
        joined = list(tiles if all_tiles is None or assign == "all" else all_tiles)
        pairs = join_labels(labels.areas_px, joined)
        if assign == "best":
            self._best = best_tiles(pairs, joined)
        wanted = {key_of(tile) for tile in tiles}
        self._seen = {key_of(tile): seen for tile, seen in zip(joined, pairs, strict=True) if key_of(tile) in wanted}

    def label_count(self, tile: Tile) -> int:
        """Return how many usable labels a tile shows something of."""
        return int((~self._labels.unusable[self._seen[key_of(tile)].rows]).sum())

    def objects_in(self, tile: Tile, valid: Mask, *, settings: CutSettings) -> TileObjects:
        """Say what a tile shows.

        Args:
            tile: One of the tiles that the index was made for.
            valid: The valid pixels of the part of the scene that it shows.
            settings: How labels are cut.
        """
        seen = self._seen[key_of(tile)]
        if not len(seen.rows):
            return TileObjects()
        pieces = _Pieces.of(seen, self._labels, tile, settings)
        shares = pieces.shares if valid.all() else pieces.shares * _valid_shares(pieces.areas, valid)
        return self._collect(tile, pieces, shares.round(SHARE_DECIMALS), settings)

    def _collect(
        self, tile: Tile, pieces: _Pieces, fractions: npt.NDArray[np.float64], settings: CutSettings
    ) -> TileObjects:
        boxes = pieces.boxes(tile)
        unusable = self._labels.unusable[pieces.rows]
        small = pieces.too_small(boxes, settings.min_px) & ~unusable
        sliver = small & pieces.cut & pieces.too_small(boxes, min(settings.min_px, _PLACED_TO_PX))
        shown = np.flatnonzero(~small & ~unusable)
        here = self._belong_to(tile, pieces.rows)
        objects = dict(zip(shown.tolist(), self._objects(shown, pieces, boxes, fractions, settings), strict=True))
        own = {place: thing for place, thing in objects.items() if here[place]}
        others = {place: thing for place, thing in objects.items() if not here[place]}
        ignored = [*(place for place, thing in own.items() if thing.ignore), *others]
        traces = self._traces(np.flatnonzero((small & ~sliver) | unusable), pieces)
        lack_area = self._labels.boxes[pieces.rows] | _have_holes(pieces.areas)
        return TileObjects(
            objects=list(own.values()),
            elsewhere=[*(thing.model_copy(update={"ignore": True}) for thing in others.values()), *traces],
            repaired=int(self._labels.repaired[np.unique(pieces.rows[shown])].sum()),
            ignored_areas=[translate(pieces.areas[place], tile.x_px, tile.y_px) for place in ignored],
            dropped=dict(Counter("sliver" if is_sliver else "too-small" for is_sliver in sliver[small].tolist())),
            without_area=frozenset(pieces.ids[place] for place in shown[lack_area[shown]].tolist()),
        )

    def _belong_to(self, tile: Tile, rows: npt.NDArray[np.int64]) -> Mask:
        """Say which labels belong to a tile."""
        if self._best is None:
            return np.ones(len(rows), dtype=bool)
        return np.array([self._best[row] == key_of(tile) for row in rows.tolist()], dtype=bool)

    def _objects(
        self,
        places: npt.NDArray[np.int64],
        pieces: _Pieces,
        boxes: npt.NDArray[np.float64],
        fractions: npt.NDArray[np.float64],
        settings: CutSettings,
    ) -> Iterator[Object]:
        rows = pieces.rows[places]
        # The ring of a box that is upright would say nothing more, and might be taken for an outline.
        is_box = self._labels.boxes[rows] & _fill(pieces.areas[places], boxes[places])
        for place, row, rings, boxed in zip(places, rows, _rings(pieces.areas[places]), is_box, strict=True):
            yield Object(
                id=pieces.ids[place],
                label=self._labels.names[row],
                box_px=tuple(boxes[place].tolist()),
                polygons_px=None if boxed else rings,
                oriented_box_px=_oriented(pieces.areas[place]) if settings.oriented else None,
                visible_fraction=float(fractions[place]),
                truncated=bool(pieces.cut[place]),
                ignore=bool(self._labels.ignored[row]) or bool(fractions[place] < settings.min_visible),
                attributes=dict(self._labels.attributes[row]),
            )

    def _traces(self, places: npt.NDArray[np.int64], pieces: _Pieces) -> list[Object]:
        """Return a thing of each class of which something is there that is no object: of a thing without class, of all.

        They have a class and no more: nothing else is asked of them.
        """
        traces: dict[str, Object] = {}
        for place in places.tolist():
            name = self._labels.names[int(pieces.rows[place])]
            is_unknown = name == UNKNOWN_CLASS and bool(self._labels.unusable[pieces.rows[place]])
            for label in (name, *self._classes) if is_unknown else (name,):
                traces.setdefault(label, Object(id=f"{pieces.ids[place]}/{label}", label=label, ignore=True))
        return list(traces.values())


@dataclass(frozen=True)
class _Pieces:
    """What becomes one object each, in pixels of a tile; columns as in :class:`SeenLabels`."""

    rows: npt.NDArray[np.int64]
    ids: Sequence[str]
    areas: Geometries
    shares: npt.NDArray[np.float64]
    cut: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, seen: SeenLabels, labels: PlacedLabels, tile: Tile, settings: CutSettings) -> _Pieces:
        """Take what a tile shows of each label as one object, or one a part."""
        ids = [labels.ids[row] for row in seen.rows.tolist()]
        offset_px = np.array([tile.x_px, tile.y_px])
        areas = shapely.transform(seen.areas, lambda points: points - offset_px)
        areas = _without_slivers(areas, settings.min_px)
        pieces = cls(seen.rows, ids, areas, seen.shares, seen.cut)
        return pieces if settings.multipart == "union" else pieces._split(labels, tile)

    def _split(self, labels: PlacedLabels, tile: Tile) -> _Pieces:
        """Make an object of each part, named after its part of the label and, where that was cut, of its own."""
        whole = shapely.get_num_geometries(labels.areas_px[self.rows]) == 1
        whole &= shapely.get_num_geometries(self.areas) == 1
        parts = [
            part
            for place in range(len(self.rows))
            for part in (
                [(place, self.ids[place], self.areas[place], self.shares[place], self.cut[place])]
                if whole[place]
                else self._parts(place, labels.areas_px[self.rows[place]], tile)
            )
        ]
        if not parts:
            return self
        places, ids, areas, shares, cut = zip(*parts, strict=True)
        column = np.empty(len(areas), dtype=object)
        column[:] = areas
        return _Pieces(self.rows[list(places)], ids, column, np.array(shares), np.array(cut))

    def _parts(self, place: int, label_px: Area, tile: Tile) -> list[tuple[int, str, Polygon, float, bool]]:
        parts = []
        frame = shapely.box(tile.x_px, tile.y_px, tile.x_px + tile.width_px, tile.y_px + tile.height_px)
        wholes = shapely.get_parts(label_px)
        for number, whole in enumerate(wholes, start=1):
            name = f"{self.ids[place]}.{number}" if len(wholes) > 1 else self.ids[place]
            cut = not frame.covers(whole)
            visible = polygon_part(shapely.intersection(whole, frame)) if cut else whole
            seen: Sequence[Polygon] = shapely.get_parts(visible).tolist() if visible is not None else []
            for piece_number, piece in enumerate(seen, start=1):
                piece_name = f"{name}.{piece_number}" if len(seen) > 1 else name
                moved = shapely.transform(piece, lambda points: points - (tile.x_px, tile.y_px))
                parts.append((place, piece_name, moved, min(piece.area / whole.area, 1.0), cut))
        return parts

    def too_small(self, boxes: npt.NDArray[np.float64], min_px: float) -> Mask:
        """Say which pieces have a side, or a root of the area, below a limit."""
        return _too_small(boxes, shapely.area(self.areas), min_px)

    def boxes(self, tile: Tile) -> npt.NDArray[np.float64]:
        """Return the boxes around the pieces, inside the part of the scene that the tile shows, shape (n, 4)."""
        sides_px = [tile.width_px, tile.height_px] * 2
        clamped: npt.NDArray[np.float64] = np.clip(np.round(shapely.bounds(self.areas), _DECIMALS), 0.0, sides_px)
        return clamped


def _without_slivers(areas: Geometries, min_px: float) -> Geometries:
    """Leave out parts of multipolygons that are too small to be seen, unless all are."""
    several = np.flatnonzero(shapely.get_num_geometries(areas) > 1)
    if not len(several):
        return areas
    cleaned = areas.copy()
    for place in several:
        parts = shapely.get_parts(areas[place])
        large = parts[~_too_small(shapely.bounds(parts), shapely.area(parts), min_px)]
        if 0 < len(large) < len(parts):
            cleaned[place] = large[0] if len(large) == 1 else MultiPolygon(list(large))
    return cleaned


def _too_small(boxes: npt.NDArray[np.float64], areas_px2: npt.NDArray[np.float64], min_px: float) -> Mask:
    sides_px = boxes[:, 2:] - boxes[:, :2]
    small: Mask = (sides_px < min_px).any(axis=1) | (sides_px <= 0).any(axis=1) | (areas_px2 < min_px**2)
    return small


def _fill(areas: Geometries, boxes: npt.NDArray[np.float64]) -> Mask:
    """Say which areas are all of the box around them."""
    sides_px = boxes[:, 2:] - boxes[:, :2]
    fill: Mask = shapely.area(areas) >= _UPRIGHT * sides_px.prod(axis=1)
    return fill


def _valid_shares(areas: Geometries, valid: Mask) -> npt.NDArray[np.float64]:
    """Return the share of each object's pixels that show something; the scene has holes."""
    height_px, width_px = valid.shape
    boxes = shapely.bounds(areas)
    starts = np.clip(np.floor(boxes[:, :2]).astype(int), 0, [width_px - 1, height_px - 1])
    stops = np.clip(np.ceil(boxes[:, 2:]).astype(int), starts + 1, [width_px, height_px])
    shares = np.ones(len(areas))
    for place, ((x, y), (x_stop, y_stop)) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        part = valid[y:y_stop, x:x_stop]
        if not part.all():
            shares[place] = _valid_share(areas[place], part, x, y)
    return shares


def _valid_share(area: Area, part: Mask, x_px: int, y_px: int) -> float:
    transform = Affine.translation(x_px, y_px)
    inside = geometry_mask([area], part.shape, transform=transform, all_touched=True, invert=True)
    return float(part[inside].mean()) if inside.any() else 1.0


def _rings(areas: Geometries) -> list[tuple[tuple[Point, ...], ...]]:
    """Return the exterior rings of each area, without the point that closes them."""
    parts, owners = shapely.get_parts(areas, return_index=True)
    coordinates, ring_of = shapely.get_coordinates(shapely.get_exterior_ring(parts), return_index=True)
    points = [tuple(point) for point in np.round(coordinates, _DECIMALS).tolist()]
    ends = np.searchsorted(ring_of, np.arange(len(parts)), side="right").tolist()
    rings: list[list[tuple[Any, ...]]] = [[] for _ in range(len(areas))]
    for owner, start, end in zip(owners.tolist(), [0, *ends][: len(ends)], ends, strict=True):
        rings[owner].append(tuple(points[start : end - 1]))
    return [tuple(each) for each in rings]


def _have_holes(areas: Geometries) -> npt.NDArray[np.bool_]:
    parts, owners = shapely.get_parts(areas, return_index=True)
    return np.bincount(owners, shapely.get_num_interior_rings(parts), minlength=len(areas)) > 0


def _oriented(area: Area) -> OrientedBox | None:
    """Return the smallest rotated box around what is seen; None where that is as thin as a line."""
    try:
        box = smallest_oriented_box(np.round(shapely.get_coordinates(area), _DECIMALS).tolist())
    except DatasetError:
        return None
    rounded = {name: round(value, _DECIMALS) for name, value in box}
    return OrientedBox(**rounded) if min(rounded["width_px"], rounded["height_px"]) > 0 else None
