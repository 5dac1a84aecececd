"""What prompts say of the images they show: their order and places in a series, the windows they are seen through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from domainvl.schema.questions import Question

from .windows import DEFAULT_CHOICE

_ORDER: Mapping[str, tuple[str, str]] = {
    "axial": ("from feet to head", "from head to feet"),
    "coronal": ("from front to back", "from back to front"),
    "sagittal": ("from right to left", "from left to right"),
}
"""Ways through the patient, along the patient axis that is normal to a plane and against it: z points to the head, y to
the back, x to the patient's left (PS3.3 C.7.6.2.1.1)."""

_PACKED = "red: "
"""How the name of three windows in one image begins."""


def series_preface(
    positions_mm: Sequence[float | None],
    *,
    plane: str | None,
    modality: str | None = None,
    along_axis: bool | None = None,
    is_cine: bool = False,
    are_slices: bool = True,
    in_one_image: bool = False,
) -> tuple[str, list[str]]:
    """Say what the slices of a sample are, and name each.

    "The 3 images are axial CT slices from feet to head, at 0, 5 and 10 mm."; "Slice 2 (5 mm)".

    Args:
        positions_mm: Places of the slices along their normal, in the order of the images; None where not known.
        plane: ``"axial"``, ``"coronal"`` or ``"sagittal"``; None for an oblique or an unknown one.
        modality: Readable name, such as ``"CT"``.
        along_axis: Whether the order runs along the patient axis that is normal to the plane (to the head, the back,
            the patient's left) or against it; None where this is not known.
        is_cine: Whether they follow each other in time.
        are_slices: Whether they are slices, and no pictures such as radiographs.
        in_one_image: Whether they are parts of one image, row by row.

    Returns:
        What the prompt says first, and what it calls each image (``Image.view``).
    """
    count = len(positions_mm)
    noun = "frames of one recording" if is_cine else "slices" if are_slices else "pictures"
    kind = " ".join(part for part in (plane, modality, noun) if part)
    head = f"The image shows {count} {kind}" if in_one_image else f"The {count} images are {kind}"
    layout = ", row by row from the upper left" if in_one_image else ""
    places = [] if is_cine else _from_first_mm(positions_mm)
    if is_cine:
        return f"{head} in order of time{layout}.", [f"Frame {number}" for number in range(1, count + 1)]
    if not places:
        name = "Slice" if are_slices else "Picture"
        return f"{head}{layout}.", [f"{name} {number}" for number in range(1, count + 1)]
    way = "in anatomical order" if plane is None or along_axis is None else _ORDER[plane][0 if along_axis else 1]
    listed = places[0] if count == 1 else f"{', '.join(places[:-1])} and {places[-1]}"
    names = [f"Slice {number} ({place} mm)" for number, place in enumerate(places, start=1)]
    return f"{head} {way}{layout}, at {listed} mm.", names


def _from_first_mm(positions_mm: Sequence[float | None]) -> list[str]:
    """Write how far slices lie from the first, to a tenth of a millimetre; nothing where one has no place."""
    known = [position for position in positions_mm if position is not None]
    if not known or len(known) < len(positions_mm):
        return []
    return [f"{round(abs(position - known[0]), 1):g}" for position in known]


def projection_preface(thickness_mm: float, *, plane: str | None, modality: str | None = None) -> str:
    """Say that an image is a maximum-intensity projection of slices, and over what thickness."""
    kind = " ".join(part for part in (plane, modality, "slices") if part)
    return f"The image is a maximum-intensity projection of {kind} over {thickness_mm:g} mm."


def window_preface(name: str | None) -> str | None:
    """Say through which window a single image is seen; of several images each is called by its window already.

    Args:
        name: What the window is called, or three of them in the colours of one image.

    Returns:
        A sentence; None where nothing but the default was asked for.
    """
    if not name or name == DEFAULT_CHOICE.name:
        return None
    if name.startswith(_PACKED):
        return f"The colours of the image are three windows ({name})."
    return f"The image shows the {name}."


def with_preface(questions: Sequence[Question], preface: str | None) -> list[Question]:
    """Let prompts say something before what they say already."""
    if preface is None:
        return list(questions)
    return [replace(thing, preface=f"{preface} {thing.preface}" if thing.preface else preface) for thing in questions]
