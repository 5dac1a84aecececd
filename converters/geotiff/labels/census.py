"""What a vector file says before any scene is looked at: its classes, and the features that have no place at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from domainvl.schema import Reject, Severity

from .ogr import read_boxes, read_raw
from .placed import UNKNOWN_CLASS
from .placement import fault_message
from .vector_file import VectorFile, class_names, parse_wkb

_FAULT = "empty-geometry"


@dataclass(frozen=True)
class Census:
    """What a vector file holds.

    Attributes:
        classes: All classes.
        unclear: Classes with a feature that lies nobody knows where; :data:`UNKNOWN_CLASS` for one without class.
        placeless_count: How many such features there are.
        rejects: Those features.
    """

    classes: frozenset[str]
    unclear: frozenset[str] = frozenset()
    placeless_count: int = 0
    rejects: tuple[Reject, ...] = ()


def take_census(file: VectorFile) -> Census:
    """Read the classes of all features, and find those without a place, which no search by place finds.

    Raises:
        ItemError: If the file cannot be read.
    """
    if not file.feature_count:
        return Census(frozenset() if file.one_class is None else frozenset({file.one_class}))
    fids, boxes = read_boxes(file.path, file.uri, file.layer)
    names = _names_by_fid(file, fids)
    placeless = _without_place(file, fids, boxes)
    return Census(
        frozenset(name for name in names.values() if name is not None),
        frozenset(names[fid] or UNKNOWN_CLASS for fid in placeless),
        len(placeless),
        tuple(
            Reject(f"{file.uri}#{fid}", "label", _FAULT, fault_message(_FAULT, None), severity=Severity.SKIPPED)
            for fid in placeless
        ),
    )


def _names_by_fid(file: VectorFile, fids: npt.NDArray[np.int64]) -> dict[int, str | None]:
    if file.field is None:
        return dict.fromkeys(fids.tolist(), file.one_class)
    _, read, _, fields = read_raw(file.path, file.uri, layer=file.layer, columns=[file.field], read_geometry=False)
    return dict(zip(read.tolist(), class_names(fields[0]), strict=True))


def _without_place(file: VectorFile, fids: npt.NDArray[np.int64], boxes: npt.NDArray[np.float64]) -> list[int]:
    nowhere = ~np.isfinite(boxes).all(axis=1)
    # GDAL gives empty geometries a box of zeros, which is a place too.
    doubtful = fids[(boxes == 0.0).all(axis=1)]
    if len(doubtful):
        _, read, found, _ = read_raw(file.path, file.uri, layer=file.layer, columns=[], fids=doubtful)
        nowhere |= np.isin(fids, read[_are_empty(found)])
    placeless: list[int] = sorted(fids[nowhere].tolist())
    return placeless


def _are_empty(wkbs: npt.NDArray[Any] | None) -> npt.NDArray[np.bool_]:
    """Say of geometries as WKB which are empty; what shapely does not read is not."""
    if wkbs is None:
        return np.zeros(0, dtype=bool)
    parsed = parse_wkb(wkbs)
    missing = np.array([wkb is None for wkb in wkbs], dtype=bool)
    empty: npt.NDArray[np.bool_] = missing | shapely.is_empty(parsed)
    return empty
