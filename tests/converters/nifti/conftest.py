"""Writes small NIfTI files and shows the slices of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from domainvl.converters.nifti.convert import open_volume, what_is_known
from domainvl.converters.nifti.files import NiftiFile
from domainvl.converters.nifti.settings import NiftiSettings
from domainvl.converters.nifti.units import MaskRef, VolumeUnit


def affine_of(*spacing: float, origin=(0.0, 0.0, 0.0)) -> np.ndarray:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return affine


def write_nifti(
    path: Path, array, affine=None, *, unit="mm", window=None, kind=nibabel.Nifti1Image, change=None
) -> Path:
    """Write an array; by default of 1 mm with axes as in RAS. ``change`` may alter the header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = kind(np.asarray(array), affine_of(1, 1, 1) if affine is None else affine)
    if unit is not None:
        image.header.set_xyzt_units(unit)
    if window is not None:
        image.header["cal_min"], image.header["cal_max"] = window
    if change is not None:
        change(image)
    nibabel.save(image, path)
    return path


def file_of(path: Path) -> NiftiFile:
    return NiftiFile(path.name, path)


class Opened:
    """All slices of one file, and what masks say about them."""

    def __init__(self, path: Path, *, masks=(), volume=0, volume_count=1, **settings: Any) -> None:
        refs = tuple(
            MaskRef(file_of(mask), f"mask-{number}", tuple(sorted(names.items())))
            for number, (mask, names) in enumerate(masks, start=1)
        )
        unit = VolumeUnit(file_of(path), "patient-0001", "patient-0001/file-0001", volume, volume_count, refs)
        chosen = NiftiSettings(**settings)
        with open_volume(unit, chosen) as (self.header, self.cut, reader):
            self.known = what_is_known(unit, self.header, self.cut, chosen)
            self.shown = [reader.show(place) for place in range(len(self.cut.order))]

    @property
    def pixels(self) -> list[np.ndarray]:
        return [shown.views[0].pixels for shown in self.shown]


@pytest.fixture
def opened() -> Callable[..., Opened]:
    return Opened


@pytest.fixture
def write() -> Callable[..., Path]:
    return write_nifti
