"""Brings an annotation of any kind to slices: the one entry to this package."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset

from domainvl.errors import ItemError
from domainvl.schema.writer import Reject

from ..instance import Kind
from .annotation import STAGE, Annotation
from .places import SlicePlace
from .segmentation import load_segmentation
from .structure_set import load_structure_set
from .structured_report import load_key_objects, load_structured_report

__all__ = ["Annotation", "SlicePlace", "load_annotation"]


def load_annotation(
    dataset: Dataset, kind: Kind, places: Sequence[SlicePlace], *, name: str, components: bool = False
) -> Annotation:
    """Bring an annotation to slices: through patient space, or by the images that it names.

    Places should be those of the series that it names, or else of its frame of reference; there may be more.

    Args:
        dataset: The whole file.
        kind: What it is.
        places: The slices.
        name: Names the annotation in things and rejects, such as ``"seg-1"``; without identifiers.
        components: Take each connected region of a segment or structure on a slice as a thing of its own.

    Returns:
        What it says of each slice. One that cannot be used says nothing and has a reject.

    Raises:
        ValueError: For a kind that is no annotation.
    """
    try:
        return _load(dataset, kind, places, name, components)
    except ItemError as error:
        reject = Reject(name, STAGE, error.reason, f"{error.what}: {error.rule}", error.action)
        return Annotation.nothing(len(places), reject)


def _load(dataset: Dataset, kind: Kind, places: Sequence[SlicePlace], name: str, components: bool) -> Annotation:
    if kind is Kind.SEGMENTATION:
        return load_segmentation(dataset, places, name=name, components=components)
    if kind is Kind.STRUCTURE_SET:
        return load_structure_set(dataset, places, name=name, components=components)
    if kind is Kind.STRUCTURED_REPORT:
        return load_structured_report(dataset, places, name=name)
    if kind is Kind.KEY_OBJECTS:
        return load_key_objects(dataset, places, name=name)
    raise ValueError(f"kind must be that of an annotation, got {kind.value}")
