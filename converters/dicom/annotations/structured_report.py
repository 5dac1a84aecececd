"""Reads structured reports: measurement groups of TID 1500 (PS3.16), what they say in words, and key object notes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from pydantic import JsonValue
from pydicom import Dataset

from domainvl.schema.writer import Severity

from ...medical.findings import Finding
from ..headers import number_of, numbers_of, text_of
from .annotation import Annotation, Fault, rejects_of
from .codes import Code, code_of, key_of, side_of
from .graphics import Shape, shape_of
from .places import LONE_HALF_MM, Points, SlicePlace, Stack, grid_of, stacks_of
from .references import items_at

_GROUP = frozenset({("DCM", "125007")})
_FINDING = frozenset({("DCM", "121071")})
_CATEGORY = frozenset({("SCT", "276214006"), ("SRT", "R-42018"), ("UMLS", "C0332148")})
_SITE = frozenset({("SCT", "363698007"), ("SRT", "G-C0E3")})
_LATERALITY = frozenset({("SCT", "272741003"), ("SRT", "G-C171")})
_DERIVATION = frozenset({("DCM", "121401")})
_REGION = frozenset({("DCM", "111030"), ("DCM", "121231")})
"""Concepts of the templates, by scheme and code value: measurement group, finding, finding category (also in older
codes), finding site, laterality, derivation, and image region with volume surface."""

_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""SOP classes of segmentations and label maps."""

_REJECTIONS = frozenset({("DCM", code) for code in ("113001", "113037", "113038", "113039")})
"""Titles of key object notes that say that the images are not to be used (CID 7010 of PS3.16)."""

_UNITS = {
    "um": ("mm", 0.001), "mm": ("mm", 1.0), "cm": ("mm", 10.0), "m": ("mm", 1000.0),
    "mm2": ("mm2", 1.0), "cm2": ("mm2", 100.0),
    "mm3": ("mm3", 1.0), "cm3": ("mm3", 1000.0), "ml": ("mm3", 1000.0), "mL": ("mm3", 1000.0),
    "[hnsf'U]": ("hu", 1.0), "%": ("percent", 1.0), "1": ("", 1.0), "{ratio}": ("", 1.0), "deg": ("deg", 1.0),
}  # fmt: skip
"""UCUM units: what they are called in the key of an attribute, and their size in that unit."""

_DIGITS = 12
"""Significant digits of a value after conversion, so that 1.7 cm2 are 170 mm2 and not 170.00000000000003."""

_FAULTS = {
    "measurement-unnamed": Fault(
        "{count} measurement groups with a place have no coded finding, and their own names may be personal",
        "Name the finding of each group by a code",
    ),
    "measurement-graphic": Fault(
        "{count} graphics are of a kind that is not drawn, or have the wrong number of points",
        "Use points, closed polylines, circles and ellipses",
    ),
    "measurement-off-slices": Fault(
        "{count} regions lie on none of the slices that were given",
        "Add the images that were measured",
        Severity.SKIPPED,
    ),
    "measurement-of-segment": Fault(
        "{count} measurement groups are about a segment of a segmentation, and their values are not used",
        "Add the segmentation; its regions are used by themselves",
        Severity.SKIPPED,
    ),
    "measurement-repeated": Fault(
        "{count} values have the name and unit of another value of their group; the first was taken",
        "Tell them apart by a derivation",
        Severity.SKIPPED,
    ),
    "measurement-value": Fault("{count} measurements have no numeric value", "Correct the report", Severity.SKIPPED),
    "key-objects-rejected": Fault(
        "the note names {count} images to reject them, so that they are no key images",
        "Leave these images out if they are not to be used",
        Severity.SKIPPED,
    ),
    "key-objects-off-slices": Fault(
        "{count} images that the note names are not among those given", "Add them", Severity.SKIPPED
    ),
}  # fmt: skip


@dataclass(frozen=True)
class _Item:
    """A content item (PS3.3 C.17.3): its concept, value type and children."""

    dataset: Dataset

    @property
    def kind(self) -> str:
        return text_of(self.dataset, "ValueType")

    @property
    def relation(self) -> str:
        return text_of(self.dataset, "RelationshipType")

    @property
    def concept(self) -> Code | None:
        return code_of(self.dataset, "ConceptNameCodeSequence")

    @property
    def code(self) -> Code | None:
        return code_of(self.dataset, "ConceptCodeSequence")

    def children(self) -> list[_Item]:
        return [_Item(item) for item in items_at(self.dataset, "ContentSequence")]

    def below(self) -> Iterator[_Item]:
        """Walk all that is below, in the order of the report."""
        waiting = self.children()[::-1]
        while waiting:
            item = waiting.pop()
            yield item
            waiting += item.children()[::-1]

    def is_a(self, concepts: frozenset[tuple[str, str]]) -> bool:
        concept = self.concept
        return concept is not None and concept.is_one_of(concepts)


@dataclass
class _Targets:
    """The slices, by what reports name them by."""

    places: Sequence[SlicePlace]
    stacks: list[Stack]
    by_uid: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, places: Sequence[SlicePlace]) -> _Targets:
        targets = cls(places, stacks_of(places))
        for index, place in enumerate(places):
            targets.by_uid.setdefault(place.sop_uid, []).append(index)
        return targets

    def named_by(self, item: _Item) -> list[int]:
        """Return the slices that an IMAGE item refers to: the frames that it names, or all of the image."""
        found: list[int] = []
        for reference in items_at(item.dataset, "ReferencedSOPSequence"):
            frames = {int(number) - 1 for number in numbers_of(reference, "ReferencedFrameNumber")}
            for index in self.by_uid.get(text_of(reference, "ReferencedSOPInstanceUID"), ()):
                if not frames or self.places[index].frame in frames:
                    found.append(index)
        return found


@dataclass
class _Gathered:
    """What was found for the slices."""

    per_slice: list[list[Finding]]
    described: list[list[tuple[str, str]]]
    counts: Counter[str] = field(default_factory=Counter)


def load_structured_report(dataset: Dataset, places: Sequence[SlicePlace], *, name: str) -> Annotation:
    """Read the measurement groups and the texts of a report.

    A report names what was measured. It does not say that there is no more of it, so that no class counts as searched.

    Args:
        dataset: The whole file.
        places: The slices.
        name: Names the report, such as ``"sr-1"``.
    """
    root = _Item(dataset)
    targets = _Targets.of(places)
    gathered = _Gathered([[] for _ in places], [[] for _ in places])
    groups = [item for item in root.below() if item.kind == "CONTAINER" and item.is_a(_GROUP)]
    for number, group in enumerate(groups, start=1):
        _read_group(group, f"{name}/{number}", targets, gathered)
    rows = zip(gathered.per_slice, gathered.described, strict=True)
    classes = [() if findings or facts else None for findings, facts in rows]
    return Annotation.of(
        gathered.per_slice,
        classes,
        described=gathered.described,
        texts=list(_texts(root)),
        rejects=rejects_of(name, gathered.counts, _FAULTS),
    )


def load_key_objects(dataset: Dataset, places: Sequence[SlicePlace], *, name: str) -> Annotation:
    """Read which slices a key object selection document (PS3.3 A.35.4) names, and its description.

    Args:
        dataset: The whole file.
        places: The slices.
        name: Names the note, such as ``"ko-1"``.
    """
    root = _Item(dataset)
    targets = _Targets.of(places)
    counts: Counter[str] = Counter()
    keys: set[int] = set()
    images = [item for item in root.below() if item.kind == "IMAGE"]
    if root.is_a(_REJECTIONS):
        counts["key-objects-rejected"] = len(images)
    else:
        for image in images:
            named = targets.named_by(image)
            counts["key-objects-off-slices"] += not named
            keys.update(named)
    annotation = Annotation.nothing(len(places), *rejects_of(name, counts, _FAULTS))
    return replace(annotation, key_slices=tuple(sorted(keys)), texts=tuple(_texts(root)))


def _texts(root: _Item) -> Iterator[tuple[str, str]]:
    """Return the texts of a report with the heading of their section; who observed whom is context and no text."""
    waiting: list[tuple[_Item, str]] = [(item, "") for item in root.children()[::-1]]
    while waiting:
        item, heading = waiting.pop()
        if item.relation not in ("CONTAINS", "") or item.is_a(_GROUP):
            continue
        concept = item.concept
        name = concept.meaning if concept is not None else ""
        text = text_of(item.dataset, "TextValue")
        if item.kind == "TEXT" and text:
            yield heading or name, text
        if item.kind == "CONTAINER":
            waiting += [(child, name or heading) for child in item.children()[::-1]]


# Measurement groups


def _read_group(group: _Item, thing: str, targets: _Targets, gathered: _Gathered) -> None:
    children = group.children()
    label = _meaning(children, _FINDING) or _meaning(children, _CATEGORY)
    attributes = _attributes(children, gathered.counts)
    graphics = [item for item in group.below() if item.kind in ("SCOORD", "SCOORD3D")]
    images = [index for item in children if item.kind == "IMAGE" for index in targets.named_by(item)]
    if not graphics and any(_is_segment(item) for item in children):
        gathered.counts["measurement-of-segment"] += 1
    elif label is None and graphics:
        gathered.counts["measurement-unnamed"] += 1
    elif label is None:
        facts = [(concept.meaning, code.meaning) for item in children if _is_fact(item)
                 and (concept := item.concept) is not None and (code := item.code) is not None]  # fmt: skip
        for index in images:
            gathered.described[index] += [fact for fact in facts if fact not in gathered.described[index]]
    elif not graphics:
        for index in images:
            gathered.per_slice[index].append(Finding(thing, label, attributes=attributes))
    else:
        for graphic in graphics:
            _add_graphic(graphic, Finding(thing, label, attributes=attributes), targets, gathered)


def _is_fact(item: _Item) -> bool:
    return item.kind == "CODE" and item.relation == "CONTAINS" and not item.is_a(_CATEGORY)


def _is_segment(item: _Item) -> bool:
    return item.kind == "IMAGE" and any(
        text_of(reference, "ReferencedSOPClassUID") in _SEGMENTATIONS
        for reference in items_at(item.dataset, "ReferencedSOPSequence")
    )


def _meaning(items: Sequence[_Item], concepts: frozenset[tuple[str, str]]) -> str | None:
    codes = (item.code for item in items if item.is_a(concepts))
    return next((code.meaning for code in codes if code is not None), None)


def _attributes(items: Sequence[_Item], counts: Counter[str]) -> dict[str, JsonValue]:
    attributes: dict[str, JsonValue] = {}
    site = next((item for item in items if item.is_a(_SITE) and item.code is not None), None)
    if site is not None and site.code is not None:
        attributes["finding_site"] = site.code.meaning
    near = [*items, *(site.children() if site is not None else ())]
    side = next((side for item in near if item.is_a(_LATERALITY) and (side := side_of(item.code))), None)
    if side is not None:
        attributes["laterality"] = side
    for item in items:
        if item.kind == "NUM":
            _add_value(item, attributes, counts)
    return attributes


def _add_value(item: _Item, attributes: dict[str, JsonValue], counts: Counter[str]) -> None:
    """Add a measured value under its name, its derivation and its unit, such as ``suv_mean`` or ``length_mm``."""
    measured = next(items_at(item.dataset, "MeasuredValueSequence"), None)
    value = None if measured is None else number_of(measured, "NumericValue")
    concept = item.concept
    if measured is None or value is None or concept is None:
        counts["measurement-value"] += 1
        return
    unit = code_of(measured, "MeasurementUnitsCodeSequence")
    suffix, factor = ("", 1.0) if unit is None else _UNITS.get(unit.value, (key_of(unit.value), 1.0))
    derivation = _meaning(item.children(), _DERIVATION) or ""
    key = "_".join(part for part in (key_of(concept.meaning), key_of(derivation), suffix) if part)
    if key in attributes:
        counts["measurement-repeated"] += 1
        return
    attributes[key] = value if factor == 1.0 else _rounded(value * factor)


def _rounded(value: float) -> float:
    return value if value == 0 else round(value, _DIGITS - 1 - math.floor(math.log10(abs(value))))


def _add_graphic(graphic: _Item, finding: Finding, targets: _Targets, gathered: _Gathered) -> None:
    """Add a finding to the slices that a graphic is drawn on."""
    kind = text_of(graphic.dataset, "GraphicType")
    numbers = numbers_of(graphic.dataset, "GraphicData")
    width = 2 if graphic.kind == "SCOORD" else 3
    if not numbers or len(numbers) % width:
        gathered.counts["measurement-graphic"] += 1
        return
    points = np.array(numbers).reshape(-1, width)
    if graphic.kind == "SCOORD":
        drawn = {
            index: points for item in graphic.children() if item.kind == "IMAGE" for index in targets.named_by(item)
        }
    else:
        drawn = _planes_of(points, text_of(graphic.dataset, "ReferencedFrameOfReferenceUID"), targets)
    if not drawn:
        gathered.counts["measurement-off-slices"] += 1
        return
    is_region = graphic.is_a(_REGION)
    shapes = {index: shape_of(kind, points_px, is_region=is_region) for index, points_px in drawn.items()}
    gathered.counts["measurement-graphic"] += any(shape is None for shape in shapes.values())
    for index, shape in shapes.items():
        gathered.per_slice[index].append(finding if shape is None else _placed(finding, shape))


def _placed(finding: Finding, shape: Shape) -> Finding:
    polygons = (shape.polygon_px,) if shape.polygon_px else ()
    return replace(finding, box_px=shape.box_px, polygons_px=polygons, area_px=shape.area_px, point_px=shape.point_px)


def _planes_of(points_mm: Points, frame_of_reference_uid: str, targets: _Targets) -> dict[int, Points]:
    """Return the slices in whose plane points of the patient lie, with the points in their pixels."""
    found = {}
    for stack in targets.stacks:
        heights = points_mm @ stack.normal
        half_mm = stack.half_mm or LONE_HALF_MM
        if stack.frame_of_reference_uid != frame_of_reference_uid or np.ptp(heights) > half_mm:
            continue
        for index in stack.nearest(float(heights.mean()), half_mm):
            grid = grid_of(targets.places[index])
            if grid is not None:
                found[index] = grid.to_pixels(points_mm)[:, :2]
    return found
