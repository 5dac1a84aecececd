"""xView: boxes of 60 classes in large satellite images of 0.3 m.

Lam et al., xView: Objects in Context in Overhead Imagery, arXiv:1802.07856. ``xView_train.geojson`` labels the images
in ``train_images``; the labels of the official validation and test images are kept by its makers, so that all splits
are drawn from training, by image.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.conversion import Plan
from domainvl.errors import InputNotFoundError
from domainvl.schema import Reject, Severity

from .tiled import ImagesWithLabels, TiledConverter, TiledSettings

if TYPE_CHECKING:
    from ..geotiff.planning import Site

_LABELS = "xView_train.geojson"
_IMAGES = "train_images"
_UNLABELLED = "val_images"

_GSD_M = 0.3
"""Side of a pixel in metres, of all images (arXiv:1802.07856, abstract)."""


class XviewConverter(TiledConverter):
    """Turns xView into tiles with questions. A planned unit is an image."""

    name = "xview"
    summary = "xView: boxes of 60 classes in satellite images of 0.3 m"
    settings_type = TiledSettings
    licence: str | None = None  # it is agreed to where one registers for the data

    def plan(self, source: Path, settings: TiledSettings) -> Plan[Site]:
        """List the images, each with its objects.

        Raises:
            UsageError: If an option or the label file is wrong.
            InputNotFoundError: If the label file or the folder of the images is missing.
        """
        from ..geotiff.labels.pixel_sources import look_at_pixel_labels

        settings.for_tiles().check()
        for path in (source / _LABELS, source / _IMAGES):
            if not path.exists():
                raise InputNotFoundError(
                    "Cannot read xView",
                    where=source,
                    rule=f"{path.name} is missing",
                    action=f"Name the folder that holds {_LABELS} and {_IMAGES}",
                )
        labels = look_at_pixel_labels(source / _LABELS, name=_LABELS)
        images = ImagesWithLabels(source, source / _IMAGES, labels, labels.classes, split=None, gsd_m=_GSD_M)
        rejects = list(images.rejects)
        if (source / _UNLABELLED).is_dir():
            message = "the labels of the official validation set are not published"
            rejects.append(Reject(_UNLABELLED, "plan", "no-labels", message, severity=Severity.SKIPPED))
        return Plan(images.sites, images.sources, rejects)


CONVERTER = XviewConverter()
