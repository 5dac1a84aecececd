"""DOTA: rotated objects in large aerial images, in the official splits.

Xia et al., DOTA: A Large-scale Dataset for Object Detection in Aerial Images, CVPR 2018, and its versions 1.5 and 2.0.
A folder a split, ``train`` and ``val``, each with ``images`` and a folder of annotations, ``labelTxt`` or one for each
version. The labels of the official test set are kept by its makers, so that its images cannot be used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from domainvl.conversion import Plan
from domainvl.errors import InputNotFoundError, UsageError
from domainvl.schema import Reject, Severity, Split

from .tiled import ImagesWithLabels, TiledConverter, TiledSettings, merged_sources

if TYPE_CHECKING:
    from ..geotiff.labels.pixel_sources import PixelLabelSource
    from ..geotiff.planning import Site

_SPLITS = ("train", "val")
_IMAGES = "images"


class DotaSettings(TiledSettings):
    """Settings of the DOTA converter."""

    plan_fields = frozenset({"label_folder", "val_as"})

    val_fraction: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="With --val-as test: share of the training images drawn for validation; otherwise always 0.",
    )
    test_fraction: float = Field(
        default=0.0, ge=0.0, le=0.0, description="Always 0: the official val is the only other split with labels."
    )
    split_seed: int = Field(
        default=0, description="With --val-fraction: another seed draws other images; otherwise always 0."
    )
    label_folder: str = Field(
        default="labelTxt",
        description="Folder of the annotations in each split, such as labelTxt-v1.5 where several versions are there.",
    )
    val_as: Literal["val", "test"] = Field(
        default="val",
        description="Split that the official val becomes; as test, --val-fraction draws validation from training.",
    )
    oriented_boxes: bool = Field(default=True, description="Give objects a rotated box too.")

    def check(self) -> None:
        """Check what one field alone cannot say.

        Raises:
            UsageError: Naming the setting and the value seen.
        """
        self.for_tiles().check()
        if self.val_fraction and self.val_as == "val":
            raise UsageError(
                "Cannot split DOTA",
                rule=f"--val-fraction must be 0 where the splits are the official ones, got {self.val_fraction:g}",
                action="With --val-as test the official val is the test split, and validation is drawn",
            )
        if self.split_seed and not self.val_fraction:
            raise UsageError(
                "Cannot split DOTA", rule=f"--split-seed must be 0 where nothing is drawn, got {self.split_seed}"
            )


class DotaConverter(TiledConverter):
    """Turns DOTA into tiles with questions. A planned unit is an image."""

    name = "dota"
    summary = "DOTA 1.0, 1.5, 2.0: rotated objects in large aerial images, in the official splits"
    settings_type = DotaSettings
    licence: str | None = "Academic use only (captain-whu.github.io/DOTA)"

    def plan(self, source: Path, settings: DotaSettings) -> Plan[Site]:
        """List the images of the splits, each with its objects.

        Raises:
            UsageError: If an option is wrong.
            InputNotFoundError: If the folders of no split are there.
        """
        settings.check()
        present = [name for name in _SPLITS if (source / name / _IMAGES).is_dir()]
        if not present:
            raise InputNotFoundError(
                "Cannot read DOTA",
                where=source,
                rule=f"there is no {' and no '.join(f'{name}/{_IMAGES}' for name in _SPLITS)}",
                action="Name the folder that holds the splits as they are published: train/images, train/labelTxt, ...",
            )
        labels = {name: _read_labels(source, name, settings) for name in present}
        # The same classes were looked for in all splits.
        classes = tuple(sorted({name for found in labels.values() for name in found.classes}))
        parts = [
            ImagesWithLabels(source, source / name / _IMAGES, found, classes, split=_split_of(name, settings))
            for name, found in labels.items()
        ]
        rejects = [reject for part in parts for reject in part.rejects]
        if (source / "test" / _IMAGES).is_dir():
            rejects.append(_test_left_out())
        return Plan([site for part in parts for site in part.sites], merged_sources(parts), rejects)


def _read_labels(source: Path, name: str, settings: DotaSettings) -> PixelLabelSource:
    from ..geotiff.labels.pixel_sources import look_at_pixel_labels

    folder = source / name / settings.label_folder
    if not folder.is_dir():
        there = sorted(path.name for path in (source / name).iterdir() if path.is_dir() and path.name != _IMAGES)
        raise UsageError(
            "Cannot read DOTA",
            where=source / name,
            rule=f"there is no folder {settings.label_folder}; there is {', '.join(there) or 'none but images'}",
            action="Name the folder of the annotations in --label-folder",
        )
    return look_at_pixel_labels(folder, name=folder.relative_to(source).as_posix())


def _split_of(name: str, settings: DotaSettings) -> Split | None:
    """Return the split of an official one; None where validation is drawn from it."""
    if name == "train":
        return Split.TRAIN if settings.val_as == "val" else None
    return Split(settings.val_as)


def _test_left_out() -> Reject:
    message = "the labels of the official test set are not published"
    return Reject(f"test/{_IMAGES}", "plan", "no-labels", message, severity=Severity.SKIPPED)


CONVERTER = DotaConverter()
