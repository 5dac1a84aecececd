"""A look at an input before it is converted: what is there, and what would become of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from domainvl.schema.writer import Reject


@dataclass(frozen=True)
class Inspection:
    """What a look at an input found.

    Attributes:
        columns: Names of the columns of the table.
        rows: One row a scene, series or log; cells as text, with line breaks where a cell has several lines.
        notes: What concerns all of them, one line each.
        rejects: Inputs that would be left out.
        contact_sheet: A picture of some of the images that would be made, uint8 of shape (height, width, 3); None where
            there are none.
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: Sequence[str] = ()
    rejects: Sequence[Reject] = ()
    contact_sheet: npt.NDArray[np.uint8] | None = None


@runtime_checkable
class InspectingConverter(Protocol):
    """A converter that can say what it would do."""

    def inspect(self, source: Path, settings: Any) -> Inspection:
        """Look at an input; nothing is written.

        Raises:
            UsageError: If the input or a setting is wrong as a whole.
            NothingToDoError: If there is nothing to convert.
        """
        ...
