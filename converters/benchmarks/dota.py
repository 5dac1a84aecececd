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

    label_folder: str = Field(
        default="labelTxt",
        description="Folder of the annotations in each split, such as labelTxt-v1.5 where several versions are there.",
    )
    val_as: Literal["val", "test"] = Field(
        default="val",
        description="Split that the official val becomes; as test, nothing is held out for validation.",
    )
    oriented_boxes: bool = Field(default=True, description="Give objects a rotated box too.")


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
        settings.for_tiles().check()
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


def _split_of(name: str, settings: DotaSettings) -> Split:
    return Split.TRAIN if name == "train" else Split(settings.val_as)


def _test_left_out() -> Reject:
    message = "the labels of the official test set are not published"
    return Reject(f"test/{_IMAGES}", "plan", "no-labels", message, severity=Severity.SKIPPED)


CONVERTER = DotaConverter()
