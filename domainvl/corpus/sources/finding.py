"""Finds the documents among the files of source folders, and puts them into units of work."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from domainvl.corpus.sources.reading import SourceFile
from domainvl.errors import InputNotFoundError, UsageError

FORMATS = {
    ".htm": "html",
    ".html": "html",
    ".xhtml": "html",
    ".warc": "warc",
    ".warc.gz": "warc",
    ".pdf": "pdf",
    ".docx": "docx",
    ".dcm": "dicom-sr",
    ".md": "markdown",
    ".markdown": "markdown",
    ".mp4": "video",
    ".m4v": "video",
    ".mov": "video",
    ".mkv": "video",
    ".webm": "video",
    ".avi": "video",
    ".zip": "archive",
    ".tar": "archive",
    ".tar.gz": "archive",
    ".tgz": "archive",
    ".jsonl": "records",
    ".parquet": "records",
}
"""What a file is, by the end of its name."""

_FILES_PER_UNIT = 32
_BYTES_PER_UNIT = 16_000_000
_DICOM_MAGIC_AT = 128  # PS3.10, section 7.1: a preamble of 128 bytes, then DICM


def find_sources(paths: Sequence[Path]) -> tuple[list[SourceFile], int]:
    """Look for documents.

    Args:
        paths: Files and folders; folders are searched with all that is below them.

    Returns:
        The documents, in the order of the paths and then of their names, and how many other files there are.

    Raises:
        InputNotFoundError: If a path does not exist.
        UsageError: If two folders have one name, so that addresses would not tell them apart.
    """
    names = [path.resolve().name for path in paths]
    for name in names:
        if names.count(name) > 1:
            rule = f"{names.count(name)} sources are called {name!r}, and addresses of images begin with that"
            raise UsageError("Cannot build a corpus", rule=rule, action="Give their common folder")
    found: list[SourceFile] = []
    others = 0
    for path in paths:
        if not path.exists():
            raise InputNotFoundError("Cannot build a corpus", where=path, rule="there is no such file or folder")
        root = (path if path.is_dir() else path.parent).resolve()
        for file in _files(path.resolve()):
            known = format_of(file)
            if known is None:
                others += 1
            else:
                below = file.relative_to(root).as_posix()
                found.append(SourceFile(file, f"{root.name}/{below}" if path.is_dir() else below, root, known))
    return found, others


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file() and not name.startswith("."):
                yield file


def format_of(file: Path) -> str | None:
    """Say what kind of document a file is by its name, or, of a file without an extension, by how it begins."""
    name = file.name.lower()
    for suffixes in (2, 1):
        known = FORMATS.get("".join(Path(name).suffixes[-suffixes:]))
        if known is not None:
            return known
    return "dicom-sr" if "." not in name and _is_dicom(file) else None


def _is_dicom(file: Path) -> bool:
    try:
        with file.open("rb") as content:
            content.seek(_DICOM_MAGIC_AT)
            return content.read(4) == b"DICM"
    except OSError:
        return False


def to_units(sources: Sequence[SourceFile]) -> list[tuple[str, tuple[SourceFile, ...]]]:
    """Put small files together, so that a unit is worth the way to a worker; the division depends on the files alone.

    Returns:
        Units with their names for messages.
    """
    units: list[tuple[SourceFile, ...]] = []
    held: list[SourceFile] = []
    held_bytes = 0
    for source in sources:
        size = source.path.stat().st_size
        if held and (len(held) == _FILES_PER_UNIT or held_bytes + size > _BYTES_PER_UNIT):
            units.append(tuple(held))
            held, held_bytes = [], 0
        held.append(source)
        held_bytes += size
    if held:
        units.append(tuple(held))
    return [(unit[0].uri if len(unit) == 1 else f"{unit[0].uri} to {unit[-1].uri}", unit) for unit in units]
