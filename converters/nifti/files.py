"""Finds NIfTI files by their names; what lies in them is not looked at."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from domainvl.errors import InputNotFoundError

_ENDINGS = (".nii", ".nii.gz", ".hdr", ".hdr.gz")
"""Of a pair, the header stands for both files."""

_IMAGES = (".img", ".img.gz")


@dataclass(frozen=True, order=True)
class NiftiFile:
    """One file, or a pair of header and image.

    Attributes:
        relative: Path below the input, with forward slashes; it may name a person.
        path: Where it is.
    """

    relative: str
    path: Path

    @property
    def stem(self) -> str:
        """Its name without its ending."""
        return stem_of(self.path.name)

    @property
    def folder(self) -> str:
        """Its folder below the input; empty for the input itself."""
        return self.relative.rpartition("/")[0]

    @property
    def pixels(self) -> Path:
        """The file that holds the voxels."""
        return pixels_path(self.path)

    @property
    def paths(self) -> list[Path]:
        """All its files, sorted."""
        return sorted({self.path, self.pixels})


@dataclass(frozen=True)
class FoundFiles:
    """What lies in a folder.

    Attributes:
        files: The NIfTI files, sorted by path.
        other_count: Files of other kinds.
    """

    files: tuple[NiftiFile, ...]
    other_count: int = 0


def stem_of(name: str) -> str:
    """Return the name of a file without the ending of its format."""
    return re.sub(r"(\.nii|\.hdr|\.img)?(\.gz)?$", "", name, count=1, flags=re.IGNORECASE)


def pixels_path(path: Path) -> Path:
    """Return the file with the voxels: that itself, or the image of a pair, whichever way it is compressed."""
    match = re.fullmatch(r"(.*)\.hdr(\.gz)?", path.name, flags=re.IGNORECASE)
    if match is None:
        return path
    upper = path.name.upper() == path.name
    names = [match[1] + (ending.upper() if upper else ending) for ending in _IMAGES]
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), path.with_name(names[0]))


def find_files(source: Path, leave_out: Collection[Path] = ()) -> FoundFiles:
    """List the NIfTI files at or below ``source``.

    Files whose names begin with a dot (which macOS leaves on other disks) are passed over, and links to folders are not
    followed.

    Args:
        source: A folder, or one file; of a pair, either.
        leave_out: Folders and files that are no input.

    Raises:
        InputNotFoundError: If there is no ``source``.
    """
    if not source.exists():
        raise InputNotFoundError("Cannot read the input", where=source, rule="no such file or folder")
    if source.is_file():
        path = _header_of(source)
        return FoundFiles((NiftiFile(path.name, path),) if _is_nifti(path.name) else (), int(not _is_nifti(path.name)))
    avoided = {path.resolve() for path in leave_out}
    found, others = [], 0
    for folder, folders, names in os.walk(source):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if (here / name).resolve() not in avoided)
        for name in names:
            path = here / name
            if name.startswith(".") or path.resolve() in avoided:
                continue
            if _is_nifti(name):
                found.append(NiftiFile(path.relative_to(source).as_posix(), path))
            elif _header_of(path) == path:  # an image with a header is counted as that
                others += 1
    return FoundFiles(tuple(sorted(found)), others)


def _is_nifti(name: str) -> bool:
    return name.casefold().endswith(_ENDINGS)


def _header_of(path: Path) -> Path:
    """Return the header of an image of a pair; any other file as it is."""
    match = re.fullmatch(r"(.*)\.img(\.gz)?", path.name, flags=re.IGNORECASE)
    if match is None:
        return path
    names = [match[1] + ending for ending in (".hdr", ".hdr.gz", ".HDR")]
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), path)
