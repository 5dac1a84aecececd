"""Brings the contours of radiotherapy structure sets (PS3.3 C.8.8.6) to slices.

A contour runs through points in the patient. They are brought to pixel coordinates in which the centre of the first
pixel is (0.5, 0.5) and nothing is added: a contour drawn through the centres of a region's outermost pixels so
encloses half a pixel less on each side than these pixels cover. Several contours of one structure in one plane are
combined by exclusive or, so that a contour within another one is a hole.

A contour belongs to the slice whose plane it lies in, to within half a slice spacing. Where more than one plane of
contours would fall on a slice, the nearest counts.

A structure set never says that something is absent: contours are drawn on every other slice, end where a plan needs no
more of them, and naming an image says that it was at hand, not that it was gone through. Where a structure has contours
on a slice, they are taken to be all of it there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import shapely
from pydantic import JsonValue
from pydicom import Dataset

from domainvl.schema.writer import Severity

from ...medical.findings import Finding
from ..headers import number_of, numbers_of, text_of
from .annotation import Annotation, Fault, rejects_of
from .codes import plain, roi_type_of
from .places import LONE_HALF_MM, PLACE_DIGITS, Points, SlicePlace, Stack, grid_of, passed_over, smallest_gap, stacks_of
from .references import items_at, references_of

_AREAS = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_POINT = "POINT"

_LEAST_AREA_PX = 1e-3
"""What the rounding of coordinates makes of a line is no area."""

_FAULTS = {
    "contour-malformed": Fault(
        "{count} contours must have at least three points with finite coordinates and enclose an area",
        "Correct them; until then their structures are not asked about where they are not seen",
    ),
    "contour-open": Fault(
        "{count} contours are neither CLOSED_PLANAR nor POINT, and only these make areas and points",
        "Close them in the program that drew them",
        Severity.SKIPPED,
    ),
    "contour-off-slices": Fault(
        "{count} contours lie in the plane of none of the slices that were given, to within half a slice spacing",
        "Add the images that they were drawn on",
        Severity.SKIPPED,
    ),
    "contour-between-slices": Fault(
        "{count} contours lie between two slices, where a nearer plane of contours was taken",
        "Nothing needs to be done; the contours are denser than the slices",
        Severity.SKIPPED,
    ),
    "contour-outside": Fault(
        "{count} contours lie outside of the image of their slice",
        "Check that the images are those that were contoured",
        Severity.SKIPPED,
    ),
    "structure-unnamed": Fault("{count} structures have no name", "Name them"),
    "structure-empty": Fault(
        "{count} structures have no contours, and are not asked about", "Draw them or remove them", Severity.SKIPPED
    ),
}


@dataclass(frozen=True)
class _Structure:
    """One region of interest.

    Attributes:
        number: ROINumber.
        label: ROIName.
        frame_of_reference_uid: Its coordinate system, or empty.
        attributes: Further facts.
    """

    number: int
    label: str
    frame_of_reference_uid: str
    attributes: Mapping[str, JsonValue]


@dataclass(frozen=True)
class _Contour:
    """One contour.

    Attributes:
        structure: What it outlines.
        points_mm: Shape (n, 3).
        is_point: Whether it is a single point.
        sources: Images that it was drawn on.
    """

    structure: _Structure
    points_mm: Points
    is_point: bool
    sources: frozenset[str]


@dataclass
class _Drawn:
    """What was gathered for the slices.

    Attributes:
        on: Contours of each slice and structure number, by their distance in mm from the slice.
        crossed: Slices and structure numbers with a contour that runs through the slice and is not parallel to it.
    """

    on: defaultdict[tuple[int, int], defaultdict[float, list[_Contour]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    crossed: set[tuple[int, int]] = field(default_factory=set)


def load_structure_set(
    dataset: Dataset, places: Sequence[SlicePlace], *, name: str, components: bool = False
) -> Annotation:
    """Bring a structure set to slices.

    A slice counts as searched for the structures that have contours on it, and for no others. Of phases and echoes
    that lie at one place the set is about those that it names, see :func:`.places.passed_over`.

    A structure is all of its class on a slice, and may be several things: with ``components`` only are its parts
    counted.

    Args:
        dataset: The whole file.
        places: The slices.
        name: Names the structure set, such as ``"structures-1"``.
        components: Take each connected part of a structure on a slice as a thing of its own.
    """
    counts: Counter[str] = Counter()
    structures = _structures(dataset, counts)
    unsure: set[str] = set()
    contours = list(_contours(dataset, structures, counts, unsure))
    drawn_on = {contour.structure.number for contour in contours}
    counts["structure-empty"] = sum(
        number not in drawn_on and thing.label not in unsure for number, thing in structures.items()
    )
    references = references_of(dataset)
    named = {index for index, place in enumerate(places) if place.sop_uid in references.sop_uids}
    drawn = _place(contours, places, passed_over(places, named, references), counts)
    per_slice: list[list[Finding]] = [[] for _ in places]
    for (index, number), planes in sorted(drawn.on.items()):
        nearest = min(planes, key=lambda distance: (abs(distance), distance))
        counts["contour-between-slices"] += sum(len(each) for each in planes.values()) - len(planes[nearest])
        part_of = f"{name}/{number}/{index + 1}" if components else None
        per_slice[index] += _findings(planes[nearest], places[index], name, counts, unsure, part_of)
    crossed: defaultdict[int, set[str]] = defaultdict(set)
    for index, number in drawn.crossed:
        crossed[index].add(structures[number].label)
    classes = [
        tuple(sorted({finding.label for finding in findings} - unsure - crossed[index])) if findings else None
        for index, findings in enumerate(per_slice)
    ]
    return Annotation.of(per_slice, classes, rejects=rejects_of(name, counts, _FAULTS))


def _structures(dataset: Dataset, counts: Counter[str]) -> dict[int, _Structure]:
    kinds = {
        int(number_of(item, "ReferencedROINumber") or 0): roi_type_of(text_of(item, "RTROIInterpretedType"))
        for item in items_at(dataset, "RTROIObservationsSequence")
    }
    only = {text_of(item, "FrameOfReferenceUID") for item in items_at(dataset, "ReferencedFrameOfReferenceSequence")}
    fallback = only.pop() if len(only) == 1 else text_of(dataset, "FrameOfReferenceUID")
    found = {}
    for item in items_at(dataset, "StructureSetROISequence"):
        number = int(number_of(item, "ROINumber") or 0)
        label = plain(text_of(item, "ROIName"))
        if not label:
            counts["structure-unnamed"] += 1
            continue
        attributes: dict[str, JsonValue] = {"roi_type": kinds[number]} if kinds.get(number) else {}
        space = text_of(item, "ReferencedFrameOfReferenceUID") or fallback
        found[number] = _Structure(number, label, space, attributes)
    return found


def _contours(
    dataset: Dataset, structures: Mapping[int, _Structure], counts: Counter[str], unsure: set[str]
) -> Iterator[_Contour]:
    for item in items_at(dataset, "ROIContourSequence"):
        structure = structures.get(int(number_of(item, "ReferencedROINumber") or 0))
        if structure is None:
            continue
        for contour in items_at(item, "ContourSequence"):
            kind = text_of(contour, "ContourGeometricType")
            numbers = numbers_of(contour, "ContourData")
            is_point = kind == _POINT
            if kind not in (*_AREAS, _POINT):
                counts["contour-open"] += 1
                unsure.add(structure.label)
            elif len(numbers) % 3 or len(numbers) < (3 if is_point else 9):
                counts["contour-malformed"] += 1
                unsure.add(structure.label)
            else:
                sources = frozenset(
                    text_of(source, "ReferencedSOPInstanceUID") for source in items_at(contour, "ContourImageSequence")
                )
                yield _Contour(structure, np.array(numbers).reshape(-1, 3), is_point, sources)


def _place(
    contours: Sequence[_Contour], places: Sequence[SlicePlace], left_out: Collection[int], counts: Counter[str]
) -> _Drawn:
    """Find the slices of each contour, once in each series of its coordinate system."""
    drawn = _Drawn()
    found = [False] * len(contours)
    for stack in stacks_of(places):
        uids = {places[index].sop_uid for index in stack.indices}
        here = [(number, contour) for number, contour in enumerate(contours) if _same_space(contour, stack, uids)]
        heights = [contour.points_mm @ stack.normal for _, contour in here]
        half_mm = stack.half_mm or _half_spacing(heights)
        for (number, contour), height in zip(here, heights, strict=True):
            structure = contour.structure.number
            if np.ptp(height) > half_mm:
                low, high = float(height.min()) - half_mm, float(height.max()) + half_mm
                drawn.crossed |= {(index, structure) for index in stack.between(low, high)}
                continue
            offset_mm = float(height.mean())
            for index in stack.nearest(offset_mm, half_mm):
                if index not in left_out:
                    found[number] = True
                    distance_mm = round(offset_mm - stack.offsets_mm[stack.indices.index(index)], PLACE_DIGITS)
                    drawn.on[index, structure][distance_mm].append(contour)
    counts["contour-off-slices"] = found.count(False)
    return drawn


def _half_spacing(heights: Sequence[Points]) -> float:
    """Return half of the distance of contours, for a slice that has no neighbours to tell it."""
    gap = smallest_gap([float(height.mean()) for height in heights if np.ptp(height) < LONE_HALF_MM])
    return gap / 2 if gap else LONE_HALF_MM


def _same_space(contour: _Contour, stack: Stack, uids: set[str]) -> bool:
    mine, other = contour.structure.frame_of_reference_uid, stack.frame_of_reference_uid
    return mine == other if mine and other else bool(contour.sources & uids)


def _findings(
    contours: Sequence[_Contour],
    place: SlicePlace,
    name: str,
    counts: Counter[str],
    unsure: set[str],
    part_of: str | None,
) -> Iterator[Finding]:
    """Make things of one structure's contours on one slice; with ``part_of``, one of each connected part."""
    grid = grid_of(place)
    if grid is None:
        return
    structure = contours[0].structure
    thing = f"{name}/{structure.number}"
    frame = shapely.box(0, 0, place.columns, place.rows)
    areas: list[shapely.Geometry] = []
    outside = 0
    for contour in contours:
        points = grid.to_pixels(contour.points_mm)[:, :2]
        shape = shapely.Point(points[0]) if contour.is_point else _area(points)
        if shape is None:
            counts["contour-malformed"] += 1
            unsure.add(structure.label)
        elif not (
            frame.intersects(shape) if contour.is_point else shapely.area(shapely.intersection(frame, shape)) > 0
        ):
            outside += 1
        elif contour.is_point:
            x_px, y_px = points[0].tolist()
            yield Finding(thing, structure.label, point_px=(x_px, y_px), attributes=structure.attributes)
        else:
            areas.append(shape)
    counts["contour-outside"] += outside
    region = reduce(shapely.symmetric_difference, areas) if areas else None
    if region is not None and shapely.area(region) > 0:
        parts = [part for part in shapely.get_parts(region) if part.geom_type == "Polygon" and part.area > 0]
        if part_of is None:
            yield _of_area(parts, structure, thing, is_one_thing=False)
        else:
            parts.sort(key=lambda part: (part.bounds[1], part.bounds[0], part.wkt))
            for count, part in enumerate(parts, start=1):
                yield _of_area([part], structure, f"{part_of}.{count}", is_one_thing=True)
    elif outside:
        # It is there and not on the image: neither its presence nor its absence is asked.
        yield Finding(thing, structure.label, attributes=structure.attributes, clear=False)


def _area(points: Points) -> shapely.Geometry | None:
    """Return what a ring encloses; None for nothing.

    Rings that touch or cross themselves, such as those with a hole on a bridge, are read by the even-odd rule.
    """
    valid = shapely.make_valid(shapely.Polygon(points))
    parts = [part for part in shapely.get_parts(shapely.get_parts(valid)) if part.geom_type == "Polygon"]
    area = shapely.union_all(parts) if parts else None
    return area if area is not None and shapely.area(area) > _LEAST_AREA_PX else None


def _of_area(parts: Sequence[shapely.Polygon], structure: _Structure, thing: str, *, is_one_thing: bool) -> Finding:
    rings = sorted(tuple((float(x), float(y)) for x, y in part.exterior.coords[:-1]) for part in parts)
    x_min, y_min, x_max, y_max = shapely.total_bounds(parts).tolist()
    return Finding(
        thing=thing,
        label=structure.label,
        box_px=(x_min, y_min, x_max, y_max),
        polygons_px=tuple(rings),
        area_px=float(sum(part.area for part in parts)),
        attributes=structure.attributes,
        is_one_thing=is_one_thing,
    )
