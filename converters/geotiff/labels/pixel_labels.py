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
from .placed import Geometries, PlacedLabels
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
        ignored: Whether the source says that it is not to be asked about.
        attributes: Further facts.
    """

    id: str
    name: str
    box_px: Box | None = None
    rings_px: tuple[tuple[Point, ...], ...] = ()
    ignored: bool = False
    attributes: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class PixelLabels:
    """What a label file knows of one image; plain values, so that it can stand in a unit of work.

    Attributes:
        uri: Name of the label file in messages.
        objects: The things, in the order of the file.
        rejects: Rows of the file that cannot be used.
        size_px: Width and height of the image that was labelled, where the file says so.
        details: Further facts about the image.
    """

    uri: str
    objects: tuple[PixelObject, ...] = ()
    rejects: tuple[Reject, ...] = ()
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
        self._ids: set[str] = set()

    def add(self, thing: PixelObject) -> None:
        """Take a thing, or list it as a reject."""
        problem = _broken_rule(thing)
        if problem is None and thing.id in self._ids:
            problem = "same-id", "another row for this image has this id"
        if problem is not None:
            self.reject(thing.id, *problem)
            return
        self._ids.add(thing.id)
        self._objects.append(thing)

    def reject(
        self, row: str, reason: str, message: str, action: str | None = None, severity: Severity = Severity.FAILED
    ) -> None:
        """List a row that is not used."""
        self._rejects.append(reject_row(self._uri, row, reason, message, action, severity))

    def labels(
        self, *, size_px: tuple[int, int] | None = None, details: Mapping[str, JsonValue] | None = None
    ) -> PixelLabels:
        """Return what was gathered."""
        return PixelLabels(self._uri, tuple(self._objects), tuple(self._rejects), size_px, details or {})


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
        The labels that meet the scene, whole, and those that have no place in it, beside ``labels.rejects``.

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
    rejects = []
    for index in np.flatnonzero(~seen).tolist():
        reason, message = _left_out(labels.objects[index], grid)
        rejects.append(reject_row(labels.uri, labels.objects[index].id, reason, message))
    placed = PlacedLabels(
        [thing.id for thing in labels.objects],
        [thing.name for thing in labels.objects],
        areas,
        repaired,
        np.array([thing.ignored for thing in labels.objects], dtype=bool),
        [thing.attributes for thing in labels.objects],
    )
    return placed.rows(np.flatnonzero(seen)), rejects


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


def _left_out(thing: PixelObject, grid: SceneGrid) -> tuple[str, str]:
    """Return reason and message for a thing that is not in the scene."""
    if thing.box_px is None and _areas_of_rings([thing.rings_px])[0][0] is None:
        return "no-area", "its polygon has no area"
    size = f"{grid.stored.width_px}x{grid.stored.height_px} px"
    corners = [corner for ring in thing.rings_px for corner in ring]
    extent = thing.box_px or (*map(min, zip(*corners, strict=True)), *map(max, zip(*corners, strict=True)))
    return "outside-scene", f"it lies outside the scene of {size}: {_shown(extent)}"
