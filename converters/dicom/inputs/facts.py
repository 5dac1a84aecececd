"""What the header of an image says about it, for the plan and for a table of series."""

from __future__ import annotations

from pydicom import Dataset

from ..frames import frame_time_ms
from ..headers import (
    FUNCTIONAL_GROUPS,
    frame_header,
    number_of,
    numbers_of,
    text_of,
    transfer_syntax,
    value_of,
)
from ..instance import ImageFacts

_OF_FRAMES = ("PixelSpacing", "WindowCenter", "WindowWidth")
"""What enhanced objects keep in functional groups (PS3.3 C.7.6.16.2)."""

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""In the patient, at the detector, on the film: the first one that is there (PS3.3 10.7)."""


def image_facts(dataset: Dataset) -> ImageFacts:
    """Collect the facts of an image; those of the first frame where frames differ.

    Args:
        dataset: Its header, with rows and columns.
    """
    enhanced = any(group in dataset for group in FUNCTIONAL_GROUPS)
    bits = number_of(dataset, "BitsStored")
    first = frame_header(dataset, 0, _OF_FRAMES) if enhanced else dataset
    return ImageFacts(
        modality=text_of(dataset, "Modality"),
        body_part=text_of(dataset, "BodyPartExamined"),
        rows=int(number_of(dataset, "Rows") or 0),
        columns=int(number_of(dataset, "Columns") or 0),
        spacing_mm=_spacing_mm(first),
        image_type=texts_of(dataset, "ImageType"),
        photometric=text_of(dataset, "PhotometricInterpretation"),
        transfer_syntax=str(transfer_syntax(dataset) or ""),
        bits_stored=None if bits is None else int(bits),
        windows=_windows(first),
        presentation_intent=text_of(dataset, "PresentationIntentType"),
        laterality=text_of(dataset, "ImageLaterality") or text_of(dataset, "Laterality"),
        view_position=text_of(dataset, "ViewPosition"),
        frame_time_ms=frame_time_ms(dataset),
    )


def texts_of(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the values of an attribute as stripped texts, an empty tuple where there are none."""
    value = value_of(dataset, keyword)
    if value is None:
        return ()
    values = [value] if isinstance(value, str | bytes) or not hasattr(value, "__iter__") else value
    return tuple(str(text).strip() for text in values)


def _spacing_mm(header: Dataset) -> tuple[float, float] | None:
    for keyword in _SPACINGS:
        spacing = numbers_of(header, keyword)
        if len(spacing) == 2 and min(spacing) > 0:
            return spacing[0], spacing[1]
    return None


def _windows(header: Dataset) -> tuple[str, ...]:
    """Write windows as numbers: what a window is called is free text."""
    centers, widths = numbers_of(header, "WindowCenter"), numbers_of(header, "WindowWidth")
    return tuple(f"{center:g}/{width:g}" for center, width in zip(centers, widths, strict=False))
