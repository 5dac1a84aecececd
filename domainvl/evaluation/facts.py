"""What is known of a sample besides its question and answer: what protocols select by and reports break down by.

Converters keep what a benchmark says of a question in the details of an image, under the names of the benchmark. Here
these facts, and those that follow from boxes and pixels, get common names as well, so that one report can break down
any data set.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from domainvl.evaluation.metrics.text import normalise_text
from domainvl.schema import Sample
from domainvl.schema.sample import EXAMPLE_OF, BoxesAnswer, Image, MeasureAnswer, Object, TextAnswer

Facts: TypeAlias = Mapping[str, str]
"""Values by name, such as ``{"question_type": "presence", "task": "presence", "domain": "remote-sensing"}``."""

BREAKDOWN_FACTS = (
    "question_type",
    "modality",
    "body_part",
    "sensor",
    "gsd",
    "object_size",
    "camera",
    "distance",
    "image_size",
)
"""Common names, in the order in which a report shows them."""

SIZE_EDGES_PX2 = (32.0**2, 96.0**2)
"""Box areas where COCO's small objects end and its large ones begin (cocodataset.org, detection metrics)."""

GSD_EDGES_M = (0.3, 1.0, 4.0, 10.0, 30.0)
"""Borders between sides of a pixel on the ground. Ours: aerial images, the best satellites, and then about what is
called very high, high and medium resolution."""

DISTANCE_EDGES_M = (5.0, 10.0, 20.0, 40.0)
"""Borders between distances from the vehicle: those in which the driving converters speak of distances."""

IMAGE_EDGES_PX = (448, 896, 1792)
"""Longer sides that one, two and four tiles of InternVL span."""

MIXED = "mixed"
"""Value of a fact where several objects or images are asked about and they differ in it."""

_RAW_NAMES = {
    "question_type": ("question_type", "template_type", "content_type", "clinical vqa task", "category"),
    "modality": ("modality", "modality_type"),
    "body_part": ("body_part", "image_organ", "location"),
    "sensor": ("sensor", "image_source"),
}
"""Names in the details of images, by common name; the first that is there counts. ``template_type`` is NuScenes-QA's,
``content_type`` and ``location`` SLAKE's, ``clinical vqa task`` GMAI-MMBench's, ``category`` DriveLM's, ``image_organ``
VQA-RAD's, ``modality_type`` OmniMedVQA's, ``image_source`` DOTA's; ``sensor`` and ``modality`` are our own."""

_NESTED = "drivelm"
"""Detail of a sample's first image that holds what DriveLM says of the question."""

_YES_NO = frozenset({"yes", "no"})


def sample_facts(sample: Sample) -> dict[str, str]:
    """Return what is known of a sample.

    Its domain, task, converter and kind of answer; what its id begins and ends with, which some benchmarks' editions
    and questions are told apart by; ``unit`` of a measure; ``yes_no`` is ``true`` where the true answer is yes or no,
    ``oriented`` where it is boxes and each has an oriented one.
    Of its last image that shows no solved example the view and every plain value in the details of its source, under
    the name that the converter gave it; and those of :data:`BREAKDOWN_FACTS` that are known. An object's size and
    distance are those of what the answer names; ``camera`` is the view that shows it.

    Args:
        sample: The sample.
    """
    facts = {
        "domain": sample.domain,
        "task": sample.task.value,
        "answer": sample.answer.kind,
        "converter": sample.provenance.converter,
        "id_prefix": sample.id.partition("/")[0],
        "id_suffix": sample.id.rpartition("/")[2],
    }
    if isinstance(sample.answer, MeasureAnswer):
        facts["unit"] = sample.answer.unit
    if isinstance(sample.answer, TextAnswer) and normalise_text(sample.answer.text) in _YES_NO:
        facts["yes_no"] = "true"
    asked = sample.answer_objects()
    if asked and all(thing.oriented_box_px is not None for thing in asked):
        facts["oriented"] = "true"
    own = [image for image in sample.images if EXAMPLE_OF not in image.source.details]
    if own:
        details = _details(own)
        if own[-1].view is not None:
            facts["view"] = own[-1].view
        for name, value in details.items():
            facts.setdefault(name, value)
        facts |= _common(details, own[-1])
    facts |= _of_objects(sample)
    if sample.domain == "driving" and (camera := _camera(sample, own)) is not None:
        facts["camera"] = camera
    return facts


def _details(own: Sequence[Image]) -> dict[str, str]:
    """Return the plain details of the last image, and what DriveLM says of the question."""
    found: dict[str, str] = {}
    for part in (own[-1].source.details, own[0].source.details.get(_NESTED)):
        if isinstance(part, dict):
            for name, value in part.items():
                if isinstance(value, str | int | float | bool):
                    found.setdefault(name, str(value))
    return found


def _common(details: Mapping[str, str], image: Image) -> Iterator[tuple[str, str]]:
    for name, raw_names in _RAW_NAMES.items():
        value = next((details[raw] for raw in raw_names if raw in details), None)
        if value is not None:
            yield name, value
    gsd_m = _number(details.get("gsd_m"))
    if gsd_m is not None and gsd_m > 0:
        yield "gsd", _bin(gsd_m, GSD_EDGES_M, "m a pixel")
    yield "image_size", _side_bin(max(image.width_px, image.height_px))


def _of_objects(sample: Sample) -> Iterator[tuple[str, str]]:
    """Yield how large and how far away the things are that the answer names."""
    asked = _asked(sample)
    sizes = [_size(thing) for thing in asked]
    distances = [_distance(thing) for thing in asked]
    for name, values in (("object_size", sizes), ("distance", distances)):
        known = {value for value in values if value is not None}
        if known and None not in values:
            yield name, known.pop() if len(known) == 1 else MIXED


def _asked(sample: Sample) -> tuple[Object, ...]:
    if isinstance(sample.answer, BoxesAnswer):
        return sample.answer_objects()
    if isinstance(sample.answer, TextAnswer) and sample.answer.about:
        return tuple(thing for thing in sample.objects if thing.id in sample.answer.about)
    return ()


def _size(thing: Object) -> str | None:
    if thing.box_px is None:
        return None
    x_min, y_min, x_max, y_max = thing.box_px
    return ("small", "medium", "large")[bisect_right(SIZE_EDGES_PX2, (x_max - x_min) * (y_max - y_min))]


def _distance(thing: Object) -> str | None:
    distance_m = _number(thing.attributes.get("distance_m"))
    return None if distance_m is None or distance_m < 0 else _bin(distance_m, DISTANCE_EDGES_M, "m")


def _camera(sample: Sample, own: Sequence[Image]) -> str | None:
    """Return the view that shows what the answer names, else the one view that is shown."""
    asked = _asked(sample)
    views = {sample.images[thing.image].view for thing in asked} or {image.view for image in own}
    if not views or None in views:
        return None
    return next(iter(views)) if len(views) == 1 else MIXED


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _side_bin(side_px: int) -> str:
    """Name the bin of a longer side; an edge belongs to the lower bin, for it still fits the tiles."""
    place = bisect_left(IMAGE_EDGES_PX, side_px)
    if place == 0:
        return f"up to {IMAGE_EDGES_PX[0]} px"
    if place == len(IMAGE_EDGES_PX):
        return f"more than {IMAGE_EDGES_PX[-1]} px"
    return f"{IMAGE_EDGES_PX[place - 1] + 1} to {IMAGE_EDGES_PX[place]} px"


def _bin(value: float, edges: Sequence[float], unit: str) -> str:
    """Name the bin of a value; an edge belongs to the higher bin."""
    place = bisect_right(edges, value)
    if place == 0:
        return f"under {edges[0]:g} {unit}"
    if place == len(edges):
        return f"{edges[-1]:g} {unit} and more"
    return f"{edges[place - 1]:g} to {edges[place]:g} {unit}"
