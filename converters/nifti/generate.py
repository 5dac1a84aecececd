"""Writes NIfTI volumes with masks of known things, for tests and for trying the converter out.

Volumes are stored in various axis orders and directions, as scanners and tools store them, and their headers hold
invented text that a converter must not let through.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

NAMES = {1: "organ", 2: "lesion"}
"""Value and class of the masks."""

NAMES_FILE = "class_names.json"
SHAPE = (64, 56, 20)
"""Voxels from right to left, from back to front and from feet to head, before axes are exchanged."""

SPACING_MM = (2.0, 2.0, 5.0)
DESCRIPTION = "scan of Avelina Dunmarrow"
"""Text in each header that names an invented person."""

_AXES = ("RAS", "LPS", "LAS", "PIR", "ASL", "SPL")
_BODY, _ORGAN, _LESION, _NOISE = 300.0, 600.0, 900.0, 15.0


def generate_volumes(folder: Path, *, patient_count: int, seed: int) -> None:
    """Write one volume and one mask a patient, in the layout of BIDS, and the names of the masks' values.

    Args:
        folder: Where they go; it is made.
        patient_count: Number of patients.
        seed: Another seed gives other volumes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, patient_count + 1):
        random = np.random.default_rng([seed, number])
        values, labels = draw_phantom(random, has_lesion=number % 3 != 0)
        subject = f"sub-{number:02d}"
        (folder / subject).mkdir(exist_ok=True)
        axes = _AXES[number % len(_AXES)]
        for array, name in ((values, "T1w"), (labels, "dseg")):
            image = turned(array, axes)
            image.header["descrip"] = DESCRIPTION
            nibabel.save(image, folder / subject / f"{subject}_{name}.nii.gz")
    (folder / NAMES_FILE).write_text(json.dumps(NAMES, indent=1) + "\n", encoding="utf-8")


def draw_phantom(
    random: np.random.Generator, *, has_lesion: bool
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """Draw a body with an organ and perhaps a lesion in it.

    Args:
        random: Decides where things lie.
        has_lesion: Whether there is a lesion.

    Returns:
        Values and labels of shape :data:`SHAPE`, axes as in RAS.
    """
    values = random.normal(0.0, _NOISE, SHAPE)
    labels = np.zeros(SHAPE, np.uint8)
    middle = np.array(SHAPE) / 2
    values[_ellipsoid(middle, np.array(SHAPE) * 0.45)] += _BODY
    organ_at = middle + random.uniform(-0.08, 0.08, 3) * SHAPE
    organ = _ellipsoid(organ_at, np.array([13.0, 11.0, 5.5]))
    values[organ] += _ORGAN - _BODY
    labels[organ] = 1
    if has_lesion:
        lesion = _ellipsoid(organ_at + random.uniform(-2, 2, 3) * (1, 1, 0.5), np.array([5.5, 5.5, 2.5]))
        values[lesion] += _LESION - _ORGAN
        labels[lesion] = 2
    return np.rint(values).astype(np.int16), labels


def turned(array: npt.NDArray[Any], axes: str, spacing_mm: tuple[float, float, float] = SPACING_MM) -> Any:
    """Make a NIfTI image whose voxel axes point as given, of an array whose axes are those of RAS.

    Args:
        array: The voxels.
        axes: Where the axes shall point, such as ``"LPS"``.
        spacing_mm: Distances of voxels, of the array as it is given.

    Returns:
        A ``nibabel.Nifti1Image``.
    """
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = [-side * size / 2 for side, size in zip(spacing_mm, array.shape, strict=False)]
    image: Any = nibabel.Nifti1Image(array, affine)  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm")
    now, wanted = nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(axes)  # type: ignore[no-untyped-call]
    return image.as_reoriented(nibabel.orientations.ornt_transform(now, wanted))  # type: ignore[no-untyped-call]


def _ellipsoid(at: npt.NDArray[np.float64], radii: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    grid = np.moveaxis(np.indices(SHAPE), 0, -1) + 0.5
    inside: npt.NDArray[np.bool_] = (((grid - at) / radii) ** 2).sum(axis=-1) <= 1.0
    return inside
