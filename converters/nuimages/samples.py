"""Asks about one annotated image of nuImages."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import JsonValue

from domainvl.schema import (
    Image,
    Object,
    ObjectQuestions,
    Phrasing,
    Provenance,
    Question,
    Reject,
    Sample,
    Severity,
    Source,
    StoredImage,
    ask_about_objects,
    samples_from_questions,
)

from ..benchmarks.official_splits import group_of
from ..driving.settings import DOMAIN
from ..driving.tracks import motion_of, says_motion
from ..nuscenes.labels import label_of
from .joining import KeyImage, Label
from .settings import NuimagesSettings
from .units import NuimagesUnit, fixed_split, official_split

_NOTHING = "Nothing in the image is known well enough to be asked about"
_ASK_MORE = "Ask for more kinds of questions with --tasks, or lower --min-side-px"
_RACK, _IN_RACKS = "bicycle rack", "bicycle"
"""Bicycles in a rack are not annotated (nuscenes-devkit, docs/instructions_nuimages.md)."""


def to_image(image: KeyImage, stored: StoredImage, source: Source) -> Image:
    """Return an image as samples have it.

    Args:
        image: What the tables say of it.
        stored: Where it lies in the data set.
        source: Where it comes from.
    """
    # The token leads to the log and the masks in the tables.
    details: dict[str, JsonValue] = {"sample_token": image.sample_token, **source.details}
    return stored.to_image(source.model_copy(update={"details": details}), view=image.view)


def samples_of(
    unit: NuimagesUnit, image: KeyImage, shown: Image, settings: NuimagesSettings, provenance: Provenance
) -> tuple[list[Sample], list[Reject]]:
    """Ask about an image.

    Args:
        unit: What it belongs to.
        image: What the tables say of it.
        shown: The image as the samples have it.
        settings: What is asked, and how.
        provenance: What makes the samples.

    Returns:
        The samples, and what cannot be used of the image.
    """
    objects, rejects = objects_of(image, unit.version, settings.min_side_px)
    questions = questions_about(objects, unit.classes, image, settings)
    if not questions:
        rejects.append(Reject(image.filename, "convert", "no-question", _NOTHING, _ASK_MORE, Severity.SKIPPED))
        return [], rejects
    group, warnings = group_of(unit.log, official_split(unit.version), unit.log_splits, "log")
    samples = samples_from_questions(
        questions,
        id_prefix=f"{unit.version}/{image.sample_token}",
        domain=DOMAIN,
        images=[shown],
        objects=objects,
        group=group,
        provenance=provenance,
        fixed_split=fixed_split(unit.version),
        warnings=warnings,
        phrasing=Phrasing(varied=settings.phrasing == "varied", seed=settings.phrasing_seed),
    )
    return list(samples), rejects


def objects_of(image: KeyImage, version: str, min_side_px: float) -> tuple[list[Object], list[Reject]]:
    """Return the things in an image, and rejects of boxes that cannot be.

    A thing with such a box stays without one and is ignored: it is there, so its class is neither absent nor counted.

    Args:
        image: The image.
        version: Folder of its tables, to name a box.
        min_side_px: A thing whose box has a shorter side is ignored.
    """
    objects: list[Object] = []
    rejects: list[Reject] = []
    for label in image.labels:
        fault = _fault(label.bbox, image)
        if fault is not None:
            name = f"{version}/object_ann {label.token}"
            rejects.append(Reject(name, "label", "bad-box", f"{name}: {fault}", "Fetch the metadata again"))
        objects.append(_object(label, image, min_side_px, is_usable=fault is None))
    return objects, rejects


def _object(label: Label, image: KeyImage, min_side_px: float, *, is_usable: bool) -> Object:
    attributes: dict[str, JsonValue] = {"category": label.category, "box_source": "2d-label"}
    motion = motion_of(label.attributes, None)
    if motion is not None:
        attributes["motion"] = motion
    if label.attributes:
        attributes["attribute"] = next(filter(says_motion, label.attributes), label.attributes[0])
    thing = Object(id=f"{label.token}/{image.view}", label=label_of(label.category), ignore=True, attributes=attributes)
    if not is_usable:
        return thing
    x_min, y_min, x_max, y_max = label.bbox
    return thing.model_copy(
        update={
            "box_px": (x_min, y_min, x_max, y_max),
            # People stop a box at the border that cuts the thing; how much lies beyond is not known.
            "truncated": x_min <= 0 or y_min <= 0 or x_max >= image.width_px - 1 or y_max >= image.height_px - 1,
            "ignore": min(x_max - x_min, y_max - y_min) < min_side_px,
        }
    )


def _fault(bbox: tuple[float, ...], image: KeyImage) -> str | None:
    """Say what is wrong with a box; None where nothing is."""
    if len(bbox) != 4:
        return f"bbox must be 4 numbers, got {len(bbox)}"
    x_min, y_min, x_max, y_max = bbox
    if not (x_min < x_max and y_min < y_max):
        return f"bbox must be [x_min, y_min, x_max, y_max] with an area, got {list(bbox)}"
    if x_min < 0 or y_min < 0 or x_max > image.width_px or y_max > image.height_px:
        return f"bbox must lie in the image of {image.width_px}x{image.height_px} px, got {list(bbox)}"
    return None


def questions_about(
    objects: list[Object], classes: Iterable[str], image: KeyImage, settings: NuimagesSettings
) -> list[Question]:
    """Ask what the things in an image allow.

    Args:
        objects: The things.
        classes: Labels of all things that were looked for.
        image: The image.
        settings: What is asked.
    """
    known = set(classes)
    if any(thing.label == _RACK for thing in objects):
        known.discard(_IN_RACKS)
    wanted = ObjectQuestions(tasks=settings.asked, size_px=(image.width_px, image.height_px))
    return ask_about_objects(objects, known, key=image.sample_token, settings=wanted)
