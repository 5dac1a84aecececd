"""Labels given in the pixels of an image: what a scene has of them, and their place in the scene's grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely
from pydantic import JsonValue

from domainvl.errors import ItemError
from domainvl.schema import Box, Point, Reject, Severity

from ..georeference import SceneGrid
from .placed import UNKNOWN_CLASS, Geometries, PlacedLabels, around
from .placement import polygon_part

_SEGMENT_PX = 16.0
"""Edges are divided into parts of at most this length before they are brought to a grid that is warped."""


@dataclass(frozen=True, slots=True)
class PixelObject:
    """One labelled thing in an image: a box or rings.

    Attributes:
        id: What names its row in the label file; unique in the image.
        name: Class.
        box_px: (x_min, y_min, x_max, y_max) in stored pixels, corners on pixel edges.
        rings_px: Exterior rings of its parts instead, not closed.
        is_turned_box: Whether these are a turned box around the thing and not its outline.
        ignored: Whether the source says that it is not to be asked about.
        attributes: Further facts.
    """

    id: str
    name: str
    box_px: Box | None = None
    rings_px: tuple[tuple[Point, ...], ...] = ()
    is_turned_box: bool = False
    ignored: bool = False
    attributes: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def corners_px(self) -> list[Point]:
        """All corners that it has."""
        if self.box_px is not None:
            return [self.box_px[:2], self.box_px[2:]]
        return [corner for ring in self.rings_px for corner in ring]


@dataclass(frozen=True)
class PixelLabels:
    """What a label file knows of one image; plain values, so that it can stand in a unit of work.

    Attributes:
        uri: Name of the label file in messages.
        objects: The things, in the order of the file.
        rejects: Rows of the file that cannot be used.
        unusable: Of these rows, things whose place is known: boxes around it, with the class or
            :data:`~.placed.UNKNOWN_CLASS`.
        unclear: Classes of the others: such things are in the image, nobody knows where.
        size_px: Width and height of the image that was labelled, where the file says so.
        details: Further facts about the image.
    """

    uri: str
    objects: tuple[PixelObject, ...] = ()
    rejects: tuple[Reject, ...] = ()
    unusable: tuple[PixelObject, ...] = ()
    unclear: tuple[str, ...] = ()
    size_px: tuple[int, int] | None = None
    details: Mapping[str, JsonValue] = field(default_factory=dict)


class LabelRows:
    """Gathers the labels of one image row by row; a row that breaks a rule becomes a reject.

    Args:
        uri: Name of the label file in messages.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._objects: list[PixelObject] = []
        self._rejects: list[Reject] = []
        self._unusable: list[PixelObject] = []
        self._unclear: set[str] = set()
        self._ids: set[str] = set()

    def add(self, thing: PixelObject) -> None:
        """Take a thing, or list it as a reject."""
        problem = _broken_rule(thing)
        if problem is None and thing.id in self._ids:
            problem = "same-id", "another row for this image has this id"
        if problem is not None:
            self.refuse(thing, *problem)
            return
        self._ids.add(thing.id)
        self._objects.append(thing)

    def refuse(self, thing: PixelObject, reason: str, message: str, action: str | None = None) -> None:
        """List a thing as a reject; that something of its class, or of any, is there stays known."""
        self.reject(thing.id, reason, message, action)
        name, corners = thing.name or UNKNOWN_CLASS, thing.corners_px
        if corners and all(math.isfinite(value) for corner in corners for value in corner):
            (x_min, y_min, x_max, y_max), *_ = around(np.array([_extent(corners)])).tolist()
            self._unusable.append(PixelObject(thing.id, name, (x_min, y_min, x_max, y_max)))
        else:
            self._unclear.add(name)

    def reject(
        self, row: str, reason: str, message: str, action: str | None = None, severity: Severity = Severity.FAILED
    ) -> None:
        """List a row that says of no thing that it is there."""
        self._rejects.append(reject_row(self._uri, row, reason, message, action, severity))

    def labels(
        self, *, size_px: tuple[int, int] | None = None, details: Mapping[str, JsonValue] | None = None
    ) -> PixelLabels:
        """Return what was gathered."""
        return PixelLabels(
            self._uri,
            tuple(self._objects),
            tuple(self._rejects),
            tuple(self._unusable),
            tuple(sorted(self._unclear)),
            size_px,
            details or {},
        )


def reject_row(
    uri: str,
    row: str,
    reason: str,
    message: str,
    action: str | None = None,
    severity: Severity = Severity.FAILED,
) -> Reject:
    """Say that a row of a label file is not used."""
    return Reject(f"{uri}#{row}", "label", reason, message, action, severity)


def unusable_file(uri: str, rule: str, action: str | None = None) -> ItemError:
    """Say that a label file as a whole cannot be used."""
    return ItemError("Cannot read labels", reason="label-file", where=uri, rule=rule, action=action)


def number(value: object) -> float:
    """Read a number; what is none becomes NaN, which no rule of a box lets through."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _broken_rule(thing: PixelObject) -> tuple[str, str] | None:
    """Return reason and message of the rule that a thing breaks."""
    if not thing.name:
        return "no-class", "it has no class"
    if thing.box_px is not None:
        x_min, y_min, x_max, y_max = thing.box_px
        if not (all(map(math.isfinite, thing.box_px)) and x_min < x_max and y_min < y_max):
            return "invalid-box", f"numbers with x_min < x_max and y_min < y_max are needed, got {_shown(thing.box_px)}"
        return None
    if not thing.rings_px:
        return "invalid-box", "it has no box and no polygon"
    for ring in thing.rings_px:
        if len(ring) < 3 or not all(map(math.isfinite, (value for point in ring for value in point))):
            corners = "; ".join(_shown(point) for point in ring)
            return "invalid-box", f"a polygon needs three corners or more, all of them numbers, got {corners}"
    return None


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.10g}" for value in values)


def place_pixel_labels(labels: PixelLabels, grid: SceneGrid) -> tuple[PlacedLabels, list[Reject]]:
    """Bring labels from stored pixels to the grid of their scene.

    Args:
        labels: What is known of the scene.
        grid: The scene's grid.

    Returns:
        The labels that meet the scene, whole, the unusable ones last; and those that have no place in it, beside
        ``labels.rejects``.

    Raises:
        ItemError: If the labels were made on an image of another size.
    """
    stored = grid.stored
    if labels.size_px is not None and labels.size_px != (stored.width_px, stored.height_px):
        raise ItemError(
            "Cannot place labels",
            reason="label-size",
            where=labels.uri,
            rule=f"they were made on an image of {labels.size_px[0]}x{labels.size_px[1]} px, the scene has "
            f"{stored.width_px}x{stored.height_px} px",
            action="Use the image that was labelled, or correct the size that the label file states",
        )
    areas, repaired = _areas_in_grid(labels.objects, grid)
    seen = _in_scene(areas, grid)
    lost = _lost_things(labels, np.flatnonzero(~seen).tolist(), grid)
    unusable = (*labels.unusable, *lost.unusable)
    places, _ = _areas_in_grid(unusable, grid)
    placed = _placed(labels.objects, areas, repaired, seen, unusable=False)
    more = _placed(unusable, places, np.zeros(len(unusable), bool), _in_scene(places, grid), unusable=True)
    return placed.and_also(more), list(lost.rejects)


def _lost_things(labels: PixelLabels, indexes: Sequence[int], grid: SceneGrid) -> PixelLabels:
    """List things that are not in the scene, and say of those without area where they are."""
    rows = LabelRows(labels.uri)
    for thing in (labels.objects[index] for index in indexes):
        if _has_area(thing):
            rows.reject(thing.id, "outside-scene", _outside(thing, grid))
        else:
            rows.refuse(thing, "no-area", "its polygon has no area")
    return rows.labels()


def _placed(
    things: Sequence[PixelObject],
    areas_px: Geometries,
    repaired: npt.NDArray[np.bool_],
    seen: npt.NDArray[np.bool_],
    *,
    unusable: bool,
) -> PlacedLabels:
    labels = PlacedLabels(
        [thing.id for thing in things],
        [thing.name for thing in things],
        areas_px,
        repaired,
        np.array([thing.ignored for thing in things], dtype=bool),
        np.array([thing.box_px is not None or thing.is_turned_box for thing in things], dtype=bool),
        np.full(len(things), unusable),
        [thing.attributes for thing in things],
    )
    return labels.rows(np.flatnonzero(seen))


def _areas_in_grid(objects: Sequence[PixelObject], grid: SceneGrid) -> tuple[Geometries, npt.NDArray[np.bool_]]:
    """Return the areas of things in pixels of the grid, valid, and whether each was repaired."""
    areas = np.empty(len(objects), dtype=object)
    repaired = np.zeros(len(objects), dtype=bool)
    boxed = np.array([thing.box_px is not None for thing in objects], dtype=bool)
    corners = np.array([thing.box_px for thing in objects if thing.box_px is not None]).reshape(-1, 4)
    areas[boxed] = shapely.box(*corners.T)
    areas[~boxed], repaired[~boxed] = _areas_of_rings([thing.rings_px for thing in objects if thing.box_px is None])
    if grid.stored_to_grid is None:
        areas = shapely.segmentize(areas, _SEGMENT_PX)
    areas = shapely.transform(areas, grid.from_stored)
    # What is not finite is invalid too.
    for index in np.flatnonzero(~shapely.is_valid(areas) & ~shapely.is_missing(areas)).tolist():
        areas[index] = polygon_part(shapely.make_valid(areas[index])) if _is_finite(areas[index]) else None
        repaired[index] = True
    return areas, repaired


def _areas_of_rings(things: Sequence[Sequence[Sequence[Point]]]) -> tuple[Geometries, npt.NDArray[np.bool_]]:
    """Return for each thing the union of the areas in its rings, None where it has none, and whether it was invalid."""
    rings = [ring for rings in things for ring in rings]
    owners = np.repeat(np.arange(len(things)), [len(rings) for rings in things])
    corners = np.array([corner for ring in rings for corner in ring], dtype=np.float64).reshape(-1, 2)
    of_ring = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    parts = np.asarray(shapely.polygons(shapely.linearrings(corners, indices=of_ring)))
    areas = np.empty(len(things), dtype=object)
    areas[owners] = parts
    invalid = np.bincount(owners, ~shapely.is_valid(parts), minlength=len(things)) > 0
    for index in np.flatnonzero(invalid | (np.bincount(owners, minlength=len(things)) > 1)).tolist():
        areas[index] = polygon_part(shapely.union_all(shapely.make_valid(parts[owners == index])))
    return areas, invalid


def _is_finite(geometry: shapely.Geometry) -> bool:
    return bool(np.isfinite(shapely.get_coordinates(geometry)).all())


def _in_scene(areas: Geometries, grid: SceneGrid) -> npt.NDArray[np.bool_]:
    """Say which areas share more than a border with the scene."""
    scene = shapely.box(0, 0, grid.width_px, grid.height_px)
    shapely.prepare(scene)
    meets: npt.NDArray[np.bool_] = (
        shapely.intersects(scene, areas) & ~shapely.touches(scene, areas) & (shapely.area(areas) > 0)
    )
    return meets


def _has_area(thing: PixelObject) -> bool:
    return thing.box_px is not None or _areas_of_rings([thing.rings_px])[0][0] is not None


def _outside(thing: PixelObject, grid: SceneGrid) -> str:
    size = f"{grid.stored.width_px}x{grid.stored.height_px} px"
    return f"it lies outside the scene of {size}: {_shown(_extent(thing.corners_px))}"


def _extent(corners: Sequence[Point]) -> Box:
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
