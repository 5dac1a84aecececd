"""Labels placed in the pixels of a scene: what every reader of labels returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

Geometries: TypeAlias = npt.NDArray[np.object_]
"""shapely geometries, one a row."""

UNKNOWN_CLASS = "unknown class"
"""Stands for the class of a thing that has none, or none that the label file explains."""

LEAST_SIDE_PX = 1.0
"""The area around what is known of a thing's place is at least so wide and high."""


@dataclass(frozen=True)
class PlacedLabels:
    """Labelled things in a scene, one row each, in the order of the label file.

    Attributes:
        ids: Identifiers, unique in the scene among the things that are usable.
        names: Classes; :data:`UNKNOWN_CLASS` only where a thing is unusable.
        areas_px: Polygon or MultiPolygon, valid and not empty, in pixels of the scene's grid (whole things, not cut to
            the scene; those that do not meet it are left out). Of unusable things an area around their place.
        repaired: Whether the rings were invalid and were repaired.
        ignored: Whether the source says that the thing is not to be asked about (a crowd of COCO).
        boxes: Whether the area is a box around the thing, turned or not, which says nothing about how much it covers.
        unusable: Whether the thing is listed as a reject: something of its class is there, but not known well enough to
            be an object.
        attributes: Further facts about each.
    """

    ids: Sequence[str]
    names: Sequence[str]
    areas_px: Geometries
    repaired: npt.NDArray[np.bool_]
    ignored: npt.NDArray[np.bool_]
    boxes: npt.NDArray[np.bool_]
    unusable: npt.NDArray[np.bool_]
    attributes: Sequence[Mapping[str, JsonValue]]

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, indexes: npt.NDArray[Any]) -> PlacedLabels:
        """Return some of the rows, in the order of ``indexes``."""
        return PlacedLabels(
            [self.ids[index] for index in indexes],
            [self.names[index] for index in indexes],
            self.areas_px[indexes],
            self.repaired[indexes],
            self.ignored[indexes],
            self.boxes[indexes],
            self.unusable[indexes],
            [self.attributes[index] for index in indexes],
        )

    def and_also(self, more: PlacedLabels) -> PlacedLabels:
        """Return these rows and others after them."""
        return PlacedLabels(
            [*self.ids, *more.ids],
            [*self.names, *more.names],
            np.concatenate([self.areas_px, more.areas_px]),
            np.concatenate([self.repaired, more.repaired]),
            np.concatenate([self.ignored, more.ignored]),
            np.concatenate([self.boxes, more.boxes]),
            np.concatenate([self.unusable, more.unusable]),
            [*self.attributes, *more.attributes],
        )


def around(boxes_px: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Widen boxes to at least :data:`LEAST_SIDE_PX` on a side, about their middle; shape (n, 4)."""
    lower, upper = boxes_px[:, :2], boxes_px[:, 2:]
    more = np.maximum(LEAST_SIDE_PX - (upper - lower), 0.0) / 2
    return np.hstack([lower - more, upper + more])
