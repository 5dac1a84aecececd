"""The units of work: one volume of a file, with its masks. They hold paths and are never written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..medical.findings import SliceTruth
from .files import NiftiFile


@dataclass(frozen=True)
class MaskRef:
    """A mask of a volume.

    Attributes:
        file: The file.
        name: Names it among the masks of its volume, such as ``"mask-1"``.
        names: Value and class of its voxels; values that are missing have no name.
    """

    file: NiftiFile
    name: str
    names: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class VolumeUnit:
    """One volume.

    Attributes:
        file: The file.
        patient: Pseudonym of the patient; the group that is never divided.
        source: Pseudonymous name of the file, with that of its patient.
        volume: Index of the volume in the file.
        volume_count: Volumes of the file.
        masks: Its masks.
        source_key: Key under which the hash of its file is written; empty for none.
        truths: What the table of labels says of each slice, in the order of the file; empty where it says nothing.
    """

    file: NiftiFile
    patient: str
    source: str
    volume: int = 0
    volume_count: int = 1
    masks: tuple[MaskRef, ...] = ()
    source_key: bytes = b""
    truths: tuple[SliceTruth | None, ...] = ()

    @property
    def name(self) -> str:
        """Name of the volume, without identifiers; the start of its samples' ids."""
        return self.source if self.volume_count == 1 else f"{self.source}-v{self.volume:03d}"

    @property
    def files(self) -> list[Path]:
        """The files of this machine that it is read from, each once."""
        return sorted({path for file in (self.file, *(mask.file for mask in self.masks)) for path in file.paths})
