"""Finds the documents among the files of source folders, and puts them into units of work."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from domainvl.corpus.sources.reading import SourceFile
from domainvl.errors import InputNotFoundError, UsageError
from domainvl.schema.writer import MANIFEST_NAME, REJECTS_NAME

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
    ".txt": "text",
}
"""What a file is, by the end of its name."""

_FILES_PER_UNIT = 32
_BYTES_PER_UNIT = 16_000_000
_DICOM_MAGIC_AT = 128  # PS3.10, section 7.1: a preamble of 128 bytes, then DICM


@dataclass
class FoundSources:
    """What is among source files and folders.

    Attributes:
        documents: In the order of the paths and then of their names, each once.
        other_counts: Files that are no document, by extension, the list of what was left out of a corpus among them;
            ``hidden``, ``no regular file`` (links to folders too) and ``no extension`` stand for others.
        unreadable: Folders that could not be searched, by URI, with what the operating system said.
    """

    documents: list[SourceFile] = field(default_factory=list)
    other_counts: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)


def find_sources(paths: Sequence[Path]) -> FoundSources:
    """Look for documents.

    Args:
        paths: Files and folders; folders are searched with all that is below them.

    Raises:
        InputNotFoundError: If a path does not exist.
        UsageError: If a path is named twice, or files of two folders would have the same addresses.
    """
    for path in paths:
        if not path.exists():
            raise InputNotFoundError("Cannot build a corpus", where=path, rule="there is no such file or folder")
    resolved = [path.resolve() for path in paths]
    roots = [path if path.is_dir() else path.parent for path in resolved]
    _check_names(resolved, roots)
    found = FoundSources()
    known: set[Path] = set()
    for path, root in zip(resolved, roots, strict=True):
        # A file that is the only source needs no folder in its address: what it lies in may have any name.
        prefix = f"{root.name}/" if path.is_dir() or len(paths) > 1 else ""
        refused: list[OSError] = []
        for file in _files(path, refused):
            is_apart = file.name.startswith(".") or _is_list_of_corpus(file)
            kind = format_of(file) if file.is_file() and not is_apart else None
            if kind is None:
                found.other_counts[_other_kind(file)] += 1
            elif file not in known:
                known.add(file)
                found.documents.append(SourceFile(file, f"{prefix}{file.relative_to(root).as_posix()}", root, kind))
        for error in refused:
            folder = Path(os.fsdecode(error.filename)).relative_to(root).as_posix()
            found.unreadable[f"{prefix}{folder}"] = error.strerror or str(error)
    return found


def _other_kind(file: Path) -> str:
    """Say what a file is that is no document."""
    if not file.is_file():
        return "no regular file"
    if file.name.startswith("."):
        return "hidden"
    return file.suffix.lower() or "no extension"


def _check_names(resolved: Sequence[Path], roots: Sequence[Path]) -> None:
    """Refuse folders that addresses of documents and images, which begin with the folder's name, do not tell apart."""
    for path in resolved:
        if resolved.count(path) > 1:
            rule = f"{path.name!r} is named {resolved.count(path)} times"
            raise UsageError("Cannot build a corpus", rule=rule, action="Name each source once")
    for root in roots:
        alike = {other for other in roots if other.name == root.name}
        if len(alike) > 1:
            rule = f"{len(alike)} folders of sources are called {root.name!r}, and addresses of images begin with that"
            raise UsageError("Cannot build a corpus", rule=rule, action="Give their common folder")


def _files(path: Path, refused: list[OSError]) -> Iterator[Path]:
    """Yield all that is below a folder and is none itself; links to folders are not followed."""
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path, onerror=refused.append):
        folders.sort()
        for name in sorted([*names, *(one for one in folders if Path(folder, one).is_symlink())]):
            yield Path(folder, name)


def _is_list_of_corpus(file: Path) -> bool:
    """Say whether a file tells what was left out of a corpus, whose manifest lies beside it, and has no documents."""
    return file.name == REJECTS_NAME and file.with_name(MANIFEST_NAME).is_file()


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
