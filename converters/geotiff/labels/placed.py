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


@dataclass(frozen=True)
class PlacedLabels:
    """Labelled things in a scene, one row each, in the order of the label file.

    Attributes:
        ids: Identifiers, unique in the scene.
        names: Classes.
        areas_px: Polygon or MultiPolygon, valid and not empty, in pixels of the scene's grid (whole things, not cut to
            the scene; those that do not meet it are left out).
        repaired: Whether the rings were invalid and were repaired.
        ignored: Whether the source says that the thing is not to be asked about (a crowd of COCO).
        attributes: Further facts about each.
    """

    ids: Sequence[str]
    names: Sequence[str]
    areas_px: Geometries
    repaired: npt.NDArray[np.bool_]
    ignored: npt.NDArray[np.bool_]
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
            [self.attributes[index] for index in indexes],
        )
