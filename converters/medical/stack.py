"""A stack of slices as the rest of the package sees it, whatever file format it was read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from domainvl.schema.questions import Question
from domainvl.schema.sample import Source

from .findings import SliceTruth
from .pixel_map import PixelMap

DOMAIN = "medical"


@dataclass(frozen=True)
class SliceFacts:
    """One slice before it is read.

    Attributes:
        index: Its place in the series, from 0; part of its name.
        position_mm: Its place along the stack's normal, from the first slice; None where the header does not say.
        truth: What is known about its content; None where nobody looked.
        is_key: Whether somebody marked it as important.
    """

    index: int
    position_mm: float | None = None
    truth: SliceTruth | None = None
    is_key: bool = False

    @property
    def is_of_interest(self) -> bool:
        """Whether something was found on it, or somebody marked it."""
        return self.is_key or (self.truth is not None and bool(self.truth.findings))


@dataclass(frozen=True)
class StackFacts:
    """What holds for a whole stack.

    Attributes:
        name: Start of the names of its slices: pseudonyms of patient and series.
        group: What must not be divided over splits: the pseudonym of the patient.
        slices: Its slices in anatomical order.
        plane: Its plane, for prompts; None for an oblique stack or a projection image.
        along_axis: Whether the order runs along the patient axis that is normal to the plane (to the head, the back,
            the patient's left) or against it; None where this is not known.
        modality: What it is called in prompts, such as ``"CT"``; None for an unknown one.
        is_cine: Whether its slices follow each other in time and not in space.
        is_volume: Whether its slices lie behind each other, each at a place of its own.
        are_slices: Whether they are slices of a body, and no pictures such as radiographs.
        reports: Questions that the report of its study answers.
        report_on_slices: Whether a single slice shows what the report is about, as a radiograph does.
        warnings: What is irregular about it.
    """

    name: str
    group: str
    slices: tuple[SliceFacts, ...]
    plane: str | None = None
    along_axis: bool | None = None
    modality: str | None = None
    is_cine: bool = False
    is_volume: bool = True
    are_slices: bool = True
    reports: tuple[Question, ...] = ()
    report_on_slices: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def positions_mm(self) -> tuple[float, ...] | None:
        """Where each slice lies along the normal; None where one of them does not say."""
        positions = tuple(thing.position_mm for thing in self.slices if thing.position_mm is not None)
        return positions if len(positions) == len(self.slices) else None

    def slice_name(self, place: int) -> str:
        """Name a slice by its place in the stack."""
        return f"{self.name}/{self.slices[place].index:04d}"

    def range_name(self, places: Sequence[int]) -> str:
        """Name several slices."""
        return f"{self.name}/{self.slices[places[0]].index:04d}-{self.slices[places[-1]].index:04d}"


@dataclass(frozen=True)
class ShownView:
    """One picture of a slice.

    Attributes:
        name: What a prompt can call it, such as ``"lung window"``; None where there is only one.
        pixels: uint8 of shape (height, width) or (height, width, 3).
        details: What was done to the grey levels.
    """

    name: str | None
    pixels: npt.NDArray[np.uint8]
    details: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Shown:
    """A slice, or a projection of several, as it is written.

    Attributes:
        views: Its pictures, all of one size; one a window.
        map: From stored pixels to those of the pictures.
        source: The file and what was done to it.
        spacing_mm: Distance between rows (y) and between columns (x) of the pictures; None where it is not known.
        can_measure: Whether lengths in the pictures are lengths in the patient.
        questions: What the header allows to be answered.
        warnings: What a careful reader should know.
    """

    views: tuple[ShownView, ...]
    map: PixelMap
    source: Source
    spacing_mm: tuple[float, float] | None = None
    can_measure: bool = False
    questions: tuple[Question, ...] = ()
    warnings: tuple[str, ...] = ()


class StackReader(Protocol):
    """Reads the slices of a stack. Calls come in the order of the slices, so that a file is opened once."""

    def show(self, place: int) -> Shown:
        """Read a slice.

        Raises:
            ItemError: If it cannot be shown.
        """
        ...

    def project(self, places: Sequence[int]) -> Shown:
        """Read some slices and show the largest value along the normal for each pixel.

        Raises:
            ItemError: If one of them cannot be read, or their pixels are not of one grid.
        """
        ...
