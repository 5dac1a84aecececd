"""Finds the series and instances that an annotation is about, from its header alone."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom import Dataset, Sequence

from ..headers import text_of, value_of
from ..instance import References

_EVIDENCE = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")

_SERIES_PATHS = (
    ("ReferencedSeriesSequence",),
    *((evidence, "ReferencedSeriesSequence") for evidence in _EVIDENCE),
    ("ReferencedFrameOfReferenceSequence", "RTReferencedStudySequence", "RTReferencedSeriesSequence"),
)
"""Where series are named: segmentations (PS3.3 C.12.4), reports and notes (C.17.2), structure sets (C.8.8.5)."""

_INSTANCE_LISTS = ("ReferencedInstanceSequence", "ReferencedSOPSequence", "ContourImageSequence")

_INSTANCE_PATHS = (
    *((*path, name) for path in _SERIES_PATHS for name in _INSTANCE_LISTS),
    ("SharedFunctionalGroupsSequence", "DerivationImageSequence", "SourceImageSequence"),
    ("PerFrameFunctionalGroupsSequence", "DerivationImageSequence", "SourceImageSequence"),
    ("ROIContourSequence", "ContourSequence", "ContourImageSequence"),
)
"""Where instances are named, besides the content tree of a report."""


def references_of(dataset: Dataset) -> References:
    """Collect what a segmentation, structure set, report or key object note names.

    Args:
        dataset: Its header; no pixels are needed.
    """
    series = {text_of(item, "SeriesInstanceUID") for path in _SERIES_PATHS for item in items_at(dataset, *path)}
    instances = {
        text_of(item, "ReferencedSOPInstanceUID") for path in _INSTANCE_PATHS for item in items_at(dataset, *path)
    }
    instances |= {text_of(item, "ReferencedSOPInstanceUID") for item in _in_content(dataset)}
    return References(series_uids=frozenset(series - {""}), sop_uids=frozenset(instances - {""}))


def items_at(dataset: Dataset, *path: str) -> Iterator[Dataset]:
    """Walk nested sequences by their keywords; what is absent or unreadable has no items."""
    if not path:
        yield dataset
        return
    items = value_of(dataset, path[0])
    for item in items if isinstance(items, Sequence) else ():
        yield from items_at(item, *path[1:])


def _in_content(dataset: Dataset) -> Iterator[Dataset]:
    # Not recursive: trees of reports may be deeper than Python's stack.
    waiting = list(items_at(dataset, "ContentSequence"))
    while waiting:
        item = waiting.pop()
        yield from items_at(item, "ReferencedSOPSequence")
        waiting += items_at(item, "ContentSequence")
