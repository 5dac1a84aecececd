"""What is known about the content of one slice, wherever it comes from: segmentations, contours, reports, tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import shapely
from pydantic import JsonValue

from domainvl.schema.boxes import Box, Point, clip_box
from domainvl.schema.sample import Object
from domainvl.schema.writer import Reject

from .pixel_map import PixelMap

_WHOLE = 1 - 1e-9
"""A thing is cut by the border if less than this share of it is visible: mapping rounds."""


@dataclass(frozen=True)
class Finding:
    """One labelled thing as it shows on one slice.

    Attributes:
        thing: Names the thing across slices, such as ``"seg-1/3"`` for the third segment of the first segmentation;
            the same thing on another slice has the same name. Holds no identifier.
        label: Class name.
        box_px: Its box in stored pixels; None where it is known to be there and not where.
        polygons_px: Exterior rings in stored pixels.
        area_px: Area in stored pixels without holes; None where it is not known.
        point_px: A single point in stored pixels, for marks without extent.
        attributes: Further facts, with the unit in the key, such as ``{"length_mm": 12.5}``.
        clear: Whether it can be asked about; one that is not silences its class on the slice.
        is_one_thing: Whether it counts as one. False for all that a class covers on the slice, as a segment of both
            kidneys does: how many there are is then not known.
    """

    thing: str
    label: str
    box_px: Box | None = None
    polygons_px: tuple[tuple[Point, ...], ...] = ()
    area_px: float | None = None
    point_px: Point | None = None
    attributes: Mapping[str, JsonValue] = field(default_factory=dict)
    clear: bool = True
    is_one_thing: bool = True

    @property
    def source(self) -> str:
        """What it is known from: the part of ``thing`` before the first slash."""
        return self.thing.partition("/")[0]


@dataclass(frozen=True)
class SliceTruth:
    """All that is known about one slice.

    Attributes:
        findings: The things on it.
        classes: Classes that were searched for on it: what of them is not among the findings is not there.
        stated: Class and whether it is there, for what is known of the slice as a whole without a place or a number.
        described: Name of a property and its value, such as ``("density", "C")``, asked for in words.
    """

    findings: tuple[Finding, ...] = ()
    classes: tuple[str, ...] = ()
    stated: tuple[tuple[str, bool], ...] = ()
    described: tuple[tuple[str, str], ...] = ()


def one_spelling(truths: Sequence[SliceTruth | None]) -> list[SliceTruth | None]:
    """Make one class of labels that differ in case only, in the spelling that comes first.

    A table may say ``nodule`` and a segmentation ``Nodule``: as two classes, each would deny the other.

    Args:
        truths: What is known of each slice, of all sources.
    """
    spelling: dict[str, str] = {}
    for truth in truths:
        for label in () if truth is None else _labels_of(truth):
            spelling.setdefault(label.casefold(), label)
    return [None if truth is None else _respelled(truth, spelling) for truth in truths]


def _labels_of(truth: SliceTruth) -> Iterator[str]:
    yield from (finding.label for finding in truth.findings)
    yield from truth.classes
    yield from (label for label, _ in truth.stated)


def _respelled(truth: SliceTruth, spelling: Mapping[str, str]) -> SliceTruth:
    return replace(
        truth,
        findings=tuple(replace(finding, label=spelling[finding.label.casefold()]) for finding in truth.findings),
        classes=tuple(sorted({spelling[label.casefold()] for label in truth.classes})),
        stated=tuple((spelling[label.casefold()], is_there) for label, is_there in truth.stated),
    )


def to_objects(truth: SliceTruth, pixel_map: PixelMap, *, key: str) -> tuple[tuple[Object, ...], tuple[Reject, ...]]:
    """Turn the findings of one slice into objects of the image that shows it.

    What reaches over the border is cut to the image. What lies outside of it is a reject that names the thing, and is
    then kept as an ignored object without a place, so that neither its count nor its absence is asked.

    Args:
        truth: What is known about the slice.
        pixel_map: From stored pixels to those of the image.
        key: Names the slice in rejects; without identifiers.

    Returns:
        The objects, one a finding and numbered in their order, and what lies outside.
    """
    objects: list[Object] = []
    rejects: list[Reject] = []
    for number, finding in enumerate(truth.findings, start=1):
        shown = _shown(finding, pixel_map)
        if shown is None:
            rejects.append(_outside(finding, pixel_map, key))
        fields: dict[str, Any] = {} if shown is None else shown
        objects.append(
            Object(
                id=f"finding-{number}",
                label=finding.label,
                ignore=shown is None or not finding.clear,
                attributes=dict(finding.attributes),
                **fields,
            )
        )
    return tuple(objects), tuple(rejects)


def _outside(finding: Finding, pixel_map: PixelMap, key: str) -> Reject:
    size = f"{pixel_map.width_px}x{pixel_map.height_px} px"
    place = finding.box_px if finding.box_px is not None else finding.point_px
    return Reject(
        f"{key} {finding.thing}",
        "label",
        "label-outside",
        f"it must overlap the image of {size}, got {place} in stored pixels",
        "Check that places are in stored pixels, and that the image was not cropped too narrowly",
    )


def _shown(finding: Finding, pixel_map: PixelMap) -> dict[str, Any] | None:
    """Return the outline of what the image shows of a finding; None for one outside of it."""
    if finding.polygons_px:
        return _shown_area(finding.polygons_px, pixel_map)
    if finding.box_px is not None:
        return _shown_box(finding.box_px, pixel_map)
    if finding.point_px is not None:
        x_px, y_px = pixel_map.point(finding.point_px)
        is_inside = 0 <= x_px < pixel_map.width_px and 0 <= y_px < pixel_map.height_px
        return {"point_px": (x_px, y_px)} if is_inside else None
    return {}


def _shown_box(box_px: Box, pixel_map: PixelMap) -> dict[str, Any] | None:
    whole = pixel_map.box(box_px)
    clipped = clip_box(whole, pixel_map.width_px, pixel_map.height_px)
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        return None
    return {"box_px": clipped, **_visible(_area(clipped) / _area(whole))}


def _shown_area(rings: tuple[tuple[Point, ...], ...], pixel_map: PixelMap) -> dict[str, Any] | None:
    # Each ring by itself: a part inside of a hole of another one would merge with it.
    areas = [shapely.make_valid(shapely.Polygon(pixel_map.ring(ring))) for ring in rings]
    frame = shapely.box(0, 0, pixel_map.width_px, pixel_map.height_px)
    parts: list[shapely.Polygon] = []
    for area in areas:
        seen = area if frame.covers(area) else shapely.intersection(area, frame)
        nested = shapely.get_parts(shapely.get_parts(seen)).tolist()
        parts += [part for part in nested if part.geom_type == "Polygon" and part.area > 0]
    if not parts:
        return None
    bounds: list[float] = shapely.total_bounds(parts).tolist()
    x_min, y_min, x_max, y_max = bounds
    return {
        "box_px": (x_min, y_min, x_max, y_max),
        "polygons_px": tuple(tuple((x, y) for x, y in part.exterior.coords[:-1]) for part in parts),
        **_visible(sum(part.area for part in parts) / sum(area.area for area in areas)),
    }


def _visible(fraction: float) -> dict[str, Any]:
    return {"visible_fraction": min(fraction, 1.0), "truncated": fraction < _WHOLE}


def _area(box_px: Box) -> float:
    return (box_px[2] - box_px[0]) * (box_px[3] - box_px[1])
