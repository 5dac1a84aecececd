"""Faces: which images may show one, and a blur of the front of the head in single slices.

From a stack of thin head slices a face can be rendered and recognised (C. Schwarz et al., New England Journal of
Medicine 381:1684, 2019). The blur makes that harder. It looks at one slice at a time and is no defacing tool; where
recognition must be ruled out, deface the volumes before they are converted.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageFilter
from pydicom import Dataset

from ...medical.geometry import Geometry
from ..headers import text_of, value_of

FACE_WARNING = "the slices are of a head: from many of them a face can be rendered, and a person recognised"
"""For the details of images that may show a face and were not blurred."""

BLUR_WARNING = "the front of the head is blurred slice by slice, which makes a face harder to recognise and is no proof"

_CROSS_SECTIONAL = ("CT", "MR", "PT")

_HEAD_PARTS = (
    "HEAD HEADNECK HEADANDNECK BRAIN SKULL FACE FACIAL ORBIT EYE SINUS NASAL NOSE JAW "
    "MANDIBLE MAXILLA TMJ DENTAL TEETH TONGUE CEREB CRANI "
    "NEURO PITUITARY SELLA IAC TEMPORALBONE MASTOID EAR WHOLEBODY"
).split()  # fmt: skip
"""Beginnings of words for BodyPartExamined (PS3.16 annex L) and descriptions, in capitals without spaces."""

_OTHER_HEADS = re.compile(r"\b(?:FEMORAL|FEMUR|HUMERAL|HUMERUS|RADIAL|RADIUS) HEADS?\b|\bHEAD FIRST\b")

# PS3.16 CID 4031, SNOMED CT and the codes of SNOMED RT that older files have.
_HEAD_CODES = frozenset(
    {
        "69536005", "T-D1100",  # head
        "12738006", "T-A0100",  # brain
        "89546000", "T-11100",  # skull
        "89545001", "T-D1200",  # face
        "363654007", "T-D1480",  # orbit
        "2095001", "T-22200",  # paranasal sinus
        "774007", "T-D1000",  # head and neck
        "38266002", "T-D0010",  # whole body
    }
)  # fmt: skip

_DESCRIPTIONS = ("BodyPartExamined", "ProtocolName", "SeriesDescription", "StudyDescription")

DEPTH_MM = 15.0
"""Skin and skull at the forehead are together about that thick; behind it the brain stays as it is."""

_MARGIN_MM = 10.0
"""So far in front of the skin the air is blurred too, so that its edge does not stay sharp."""

_BLUR_MM = 10.0
"""Standard deviation of the blur: a third of the height of a nose."""

_SMOOTH_MM = 3.0
_IN_PLANE_MIN = 0.7
"""The front is towards an edge of the slice in axial and sagittal ones, up to 45 degrees; in coronal ones it is not."""


def face_risk_of(dataset: Dataset) -> bool:
    """Whether the pixels may show a face: CT, MR or PET whose header names the head or the whole body.

    Body part, anatomic region codes and descriptions are looked at; where all are silent the answer is no, and what is
    not known to be a head is never blurred.

    Args:
        dataset: A whole header; descriptions are looked at for words and never passed on.
    """
    if text_of(dataset, "Modality").upper() not in _CROSS_SECTIONAL:
        return False
    return any(code in _HEAD_CODES for code in _region_codes(dataset)) or any(
        _names_head(text_of(dataset, keyword)) for keyword in _DESCRIPTIONS
    )


def _region_codes(dataset: Dataset) -> Iterator[str]:
    for item in value_of(dataset, "AnatomicRegionSequence") or ():
        yield text_of(item, "CodeValue")


def _names_head(text: str) -> bool:
    words = "".join(sign if sign.isalnum() else " " for sign in text.upper()).split()
    words = _OTHER_HEADS.sub("", " ".join(words)).split()
    # Two words may make one part: temporal bone, whole body.
    candidates = [*words, *(one + other for one, other in itertools.pairwise(words))]
    return any(word.startswith(part) and _is_part(word, part) for word in candidates for part in _HEAD_PARTS)


def _is_part(word: str, part: str) -> bool:
    """Short parts must be the whole word, perhaps in the plural: EAR is no beginning of EARLY."""
    return len(part) > 4 or word in (part, f"{part}S")


def blur_face(
    pixels: npt.NDArray[np.uint8], geometry: Geometry, spacing_mm: tuple[float, float], *, depth_mm: float = DEPTH_MM
) -> npt.NDArray[np.uint8] | None:
    """Blur a band along the front surface of a head.

    In each line of pixels from front to back the skin is the first that is brighter than Otsu's threshold. From 10 mm
    in front of it to ``depth_mm`` behind it the line is blurred, in the front half of the head only.

    Args:
        pixels: Slice as it is stored, shown in 8 bits with bright tissue: ``(rows, columns)`` or with channels behind.
        geometry: Where it lies.
        spacing_mm: Distance between rows and between columns.
        depth_mm: How far behind the skin.

    Returns:
        A blurred copy; None where the front is not towards an edge of the slice (coronal ones), or there is no head.
    """
    front = _front_edge(geometry)
    if front is None:
        return None
    axis, forward = front
    turned = _turn(pixels, axis, forward)
    along_mm, across_mm = spacing_mm if axis == 0 else spacing_mm[::-1]
    band = _band(_grey(turned), along_mm, across_mm, depth_mm)
    if band is None:
        return None
    blurred = _blur(turned, _BLUR_MM / along_mm, _BLUR_MM / across_mm)
    mask = band[..., None] if turned.ndim == 3 else band
    return np.ascontiguousarray(_turn(np.where(mask, blurred, turned), axis, forward, back=True))


def _front_edge(geometry: Geometry) -> tuple[int, int] | None:
    """Return the axis of the pixels along which the front lies, and -1 where it lies at the first of them, else 1."""
    # Patient coordinates: y grows to the back (PS3.3 C.7.6.2.1.1).
    down, right = -geometry.column[1], -geometry.row[1]
    if max(abs(down), abs(right)) < _IN_PLANE_MIN:
        return None
    return (0, int(math.copysign(1, down))) if abs(down) >= abs(right) else (1, int(math.copysign(1, right)))


def _turn(pixels: npt.NDArray[Any], axis: int, forward: int, *, back: bool = False) -> npt.NDArray[Any]:
    """Bring the front to the first row, or back to where it was."""
    if back:
        flipped = np.flip(pixels, 0) if forward > 0 else pixels
        return np.swapaxes(flipped, 0, 1) if axis == 1 else flipped
    swapped = np.swapaxes(pixels, 0, 1) if axis == 1 else pixels
    return np.flip(swapped, 0) if forward > 0 else swapped


def _grey(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return pixels if pixels.ndim == 2 else pixels.max(axis=2)


def _band(
    grey: npt.NDArray[np.uint8], along_mm: float, across_mm: float, depth_mm: float
) -> npt.NDArray[np.bool_] | None:
    # Smoothed first, so that noise and thin tubes in the air are no skin.
    smooth = _blur(grey, _SMOOTH_MM / along_mm, _SMOOTH_MM / across_mm)
    head = smooth > otsu(smooth)
    lines = head.any(axis=0)
    if not lines.any() or head.all():
        return None
    skin = np.where(lines, head.argmax(axis=0), len(head))
    last = len(head) - 1 - head[::-1].argmax(axis=0)
    middle = (skin[lines].min() + last[lines].max()) / 2
    rows = np.arange(len(head))[:, None]
    near = (rows >= skin - _MARGIN_MM / along_mm) & (rows <= skin + depth_mm / along_mm)
    return np.asarray(near & (rows < middle) & lines)


def _blur(pixels: npt.NDArray[np.uint8], radius_rows: float, radius_columns: float) -> npt.NDArray[np.uint8]:
    image = PillowImage.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.filter(ImageFilter.GaussianBlur((radius_columns, radius_rows))))


def otsu(grey: npt.NDArray[np.uint8]) -> int:
    """Return the threshold between dark and bright that divides best (N. Otsu, IEEE Trans. SMC 9:62, 1979).

    Args:
        grey: Grey values of any shape.

    Returns:
        The largest value of the dark class.
    """
    counts = np.bincount(grey.ravel(), minlength=256).astype(np.float64)
    below = np.cumsum(counts)
    weighted = np.cumsum(counts * np.arange(256))
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (weighted[-1] * below - weighted * below[-1]) ** 2 / (below * above)
    return int(np.argmax(np.nan_to_num(between, nan=0.0, posinf=0.0)))
