"""Which way a mammogram faces, and where the breast is on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from rasterio.features import shapes
from rasterio.transform import Affine

from .display import IntBox, Pixels, Turn

_SIDEWAYS_VIEWS = frozenset({"CC", "MLO", "ML", "LM", "LMO", "XCC", "XCCL", "XCCM", "FB", "SIO", "ISO"})
"""View positions (PS3.16 CID 4014) whose detector edge lies at the chest wall."""

_DARK_SHARE = 0.05
"""Share of the range of greys, from the dark end, that counts as air around the breast."""

_WORK_PX = 512
"""The breast is looked for in an image of about this size: its outline is smooth, labels and noise are not."""


@dataclass(frozen=True)
class BreastFacts:
    """What a header says about the way a mammogram faces.

    Attributes:
        laterality: ImageLaterality: ``"L"`` or ``"R"``.
        view: ViewPosition, such as ``"MLO"``.
        patient_orientation: PatientOrientation: where in the patient the right and the lower side of the image lie,
            such as ``("A", "F")``.
        horizontal_flip: FieldOfViewHorizontalFlip: ``"YES"``, ``"NO"`` or empty.
    """

    laterality: str = ""
    view: str = ""
    patient_orientation: tuple[str, ...] = ()
    horizontal_flip: str = ""


def breast_turn(facts: BreastFacts) -> Turn | None:
    """Find the turn after which the chest wall is on the left.

    PatientOrientation (PS3.3 C.7.6.1.1.1) says it: towards the front is away from the chest wall. Without it, the
    customary hanging counts: the chest wall of a left breast is on the left, that of a right one on the right, and the
    other way round where the header says that the image was flipped. Public code for screening sets reads
    FieldOfViewHorizontalFlip in this way (nyukat/breast_cancer_classifier, column horizontal_flip).

    Returns:
        The turn, which does nothing where the chest wall is on the left already; None where the header does not tell.
    """
    if len(facts.patient_orientation) == 2:
        right, down = (side.strip().upper() for side in facts.patient_orientation)
        for transpose, side in ((False, right), (True, down)):
            # The first letter is the main direction of an oblique side.
            if side[:1] in ("A", "P"):
                return Turn(transpose, flip_x=side[0] == "P")
    if facts.laterality not in ("L", "R") or facts.view not in _SIDEWAYS_VIEWS:
        return None
    return Turn(flip_x=(facts.laterality == "R") != (facts.horizontal_flip == "YES"))


def breast_box(pixels: Pixels) -> IntBox:
    """Find the box around the breast: the largest connected area that is brighter than the air around it.

    Args:
        pixels: A mammogram with dark air, of shape (h, w) or (h, w, 3).

    Returns:
        The box; the whole image where nothing is brighter than the rest.
    """
    height, width = pixels.shape[:2]
    whole = (0, 0, width, height)
    step = max(1, max(height, width) // _WORK_PX)
    small = np.asarray(Image.fromarray(pixels).convert("L").reduce(step), np.float32)
    dark, bright = np.percentile(small, (1.0, 99.0))
    is_breast = small > dark + _DARK_SHARE * (bright - dark)
    box = _largest_area(is_breast)
    if box is None:
        return whole
    x_min, y_min, x_max, y_max = (side * step for side in box)
    # A reduced pixel at the border may hold the first pixels of the breast and still be dark.
    return max(0, x_min - step), max(0, y_min - step), min(width, x_max + step), min(height, y_max + step)


def _largest_area(mask: npt.NDArray[np.bool_]) -> IntBox | None:
    areas = []
    for shape, _ in shapes(mask.astype(np.uint8), mask=mask, transform=Affine.identity()):
        ring = np.asarray(shape["coordinates"][0])
        x, y = ring[:, 0], ring[:, 1]
        area = abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))) / 2
        areas.append((area, (int(x.min()), int(y.min()), int(x.max()), int(y.max()))))
    return max(areas)[1] if areas else None
