"""A folder that has its name only when it is complete."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from domainvl.errors import DatasetError, UsageError
from domainvl.files import check_target, complete_folder


@contextlib.contextmanager
def output_folder(out: Path, source: Path, *, marker: str, overwrite: bool) -> Iterator[Path]:
    """Write in a hidden folder beside the target, which takes the target's name at the end of the block.

    Args:
        out: Folder to make.
        source: Folder that is read; neither may lie in the other.
        marker: File at the top of every folder of this kind; ``overwrite`` replaces nothing else.
        overwrite: Replace a folder of this kind that is there.

    Yields:
        The hidden folder. It is removed if the block fails.

    Raises:
        UsageError: If ``out`` is there already, cannot be made, or lies in ``source`` or around it.
        OutputError: If something in it cannot be written.
    """
    _check(out, source, marker, overwrite)
    with complete_folder(out) as work:
        yield work


def _check(out: Path, source: Path, marker: str, overwrite: bool) -> None:
    inner, outer = out.resolve(), source.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise UsageError(
            "Cannot write", where=out, rule=f"it must lie outside of {source}, and not around it", action="Name another"
        )
    check_target(out, marker=marker, overwrite=overwrite)


def path_inside(folder: Path, path: str) -> Path:
    """Join a path that a data set names to a folder, which it must not leave.

    Args:
        folder: The folder.
        path: Path relative to it, with forward slashes.

    Raises:
        DatasetError: If the path is absolute, names a drive or climbs out of the folder.
    """
    parts = path.split("/")
    names_a_drive = len(parts[0]) > 1 and parts[0][1] == ":"
    if names_a_drive or any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise DatasetError(
            "Unsafe path",
            rule=f"a path in a data set must be relative, with forward slashes and without '..', got {path!r}",
            action="Make the data set again with domainvl convert",
        )
    return folder.joinpath(*parts)
