"""What the nuImages converter plans: one unit a part of a log, and the split that a folder of tables stands for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from domainvl.schema import Split

from .joining import KeyImage

VERSIONS = ("v1.0-train", "v1.0-val", "v1.0-test")
"""Folders of tables that are read together."""

_FIXED = {"v1.0-val": Split.TEST}
"""Splits of the images of a version; of the others they are drawn by log."""


@dataclass(frozen=True)
class NuimagesUnit:
    """Some images of one log.

    Attributes:
        dataroot: Folder to which file names are relative.
        version: Folder of the tables.
        log: Name of the log.
        part: Number of the part of the log, from 0.
        log_splits: The official splits in which the log has images.
        classes: Labels of all things that were looked for.
        packed: The images (:class:`~.joining.KeyImage`), packed by msgspec.
    """

    dataroot: Path
    version: str
    log: str
    part: int
    log_splits: tuple[str, ...]
    classes: tuple[str, ...]
    packed: bytes

    def images(self) -> list[KeyImage]:
        """Return the images."""
        return msgspec.msgpack.decode(self.packed, type=list[KeyImage])

    def path_of(self, image: KeyImage) -> Path:
        """Return the file of an image."""
        return self.dataroot / image.filename


def official_split(version: str) -> str:
    """Return the official split that a version is; v1.0-mini and others are used as training data are."""
    return version.removeprefix("v1.0-") if version in VERSIONS else "train"


def fixed_split(version: str) -> Split | None:
    """Return the split of all images of a version; None where it is drawn by log."""
    return _FIXED.get(version)
