"""The image files: each is there, decodes, and is what the records say of it; none lies about unused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainvl.schema.validation.findings import Findings, show
from domainvl.schema.validation.identifiers import Scanner
from domainvl.schema.validation.index import Hashes, Index, Numbers, hash_path, hash_text
from domainvl.schema.validation.lines import Progress
from domainvl.schema.validation.metadata import metadata_text
from domainvl.schema.validation.pixels import ImageFacts, read_pixels

MAX_FILES_A_FOLDER = 1000
"""Beyond, listing a folder becomes slow on many file systems (CMN-08)."""

_IMAGES = "images"
_IMAGES_A_REPORT = 16


@dataclass(frozen=True)
class ImageTable:
    """All images that are named by a valid path, each once.

    Attributes:
        paths: Hash of each path, ascending.
        first: First reference to each.
        members: For each reference the image that it names.
        pixels: Hash of the pixels' hash, 0 where neither file nor record tells it.
        looks: Difference hash.
        blank: Whether an image shows nothing.
        flat: Whether an image shows so little that its difference hash says nothing.
        comparable: Whether the difference hash says something: the image was decoded and is not flat.
    """

    paths: Hashes
    first: Numbers
    members: Numbers
    pixels: npt.NDArray[np.uint64]
    looks: npt.NDArray[np.uint64]
    blank: npt.NDArray[np.bool_]
    flat: npt.NDArray[np.bool_]
    comparable: npt.NDArray[np.bool_]


def list_images(index: Index) -> ImageTable:
    """Gather the references to images; what their files show is not looked at yet."""
    paths, first, members = np.unique(index.image_paths, return_index=True, return_inverse=True)
    count = len(paths)
    return ImageTable(
        paths=paths,
        first=first,
        members=members,
        pixels=index.image_pixels[first].astype(np.uint64),
        looks=np.zeros(count, np.uint64),
        blank=np.zeros(count, np.bool_),
        flat=np.zeros(count, np.bool_),
        comparable=np.zeros(count, np.bool_),
    )


def check_images(
    dataset: Path,
    index: Index,
    table: ImageTable,
    *,
    pixels: bool,
    findings: Findings,
    scanner: Scanner | None,
    on_progress: Progress,
) -> None:
    """Check the file of each image, in the order in which they are first named.

    Args:
        dataset: The data set's folder.
        index: The references.
        table: The images; what their files show is filled in.
        pixels: Whether to decode them.
        findings: Takes what is wrong.
        scanner: Looks for identifiers in metadata, where that is wanted.
        on_progress: Called now and then.
    """
    references = _References(index, table)
    count = len(table.paths)
    for done, image in enumerate(np.argsort(table.first, kind="stable"), start=1):
        row = int(index.image_rows[table.first[image]])
        path = index.image_path(row, int(table.paths[image]))
        place = index.place(row)
        content = _read(dataset / path, whole=pixels or scanner is not None)
        if isinstance(content, tuple):
            findings.add(content[0], *place, f"{show(path)}: {content[1]}")
        elif content:
            if scanner is not None:
                for code, message in scanner.scan_text(metadata_text(content)):
                    findings.add(code, path, None, f"metadata of the image: {message}")
            if pixels:
                _check_pixels(content, path, place, int(image), references, findings)
        if done % _IMAGES_A_REPORT == 0 or done == count:
            on_progress(_IMAGES, done, count)


def _read(path: Path, *, whole: bool) -> bytes | tuple[str, str]:
    """Return the content of a file (nothing, where it is not wanted), or the rule that it breaks and how."""
    try:
        if not path.is_file():
            return "image-missing", "there is no such file"
        if path.stat().st_size == 0:
            return "image-empty", "the file has 0 bytes"
        return path.read_bytes() if whole else b""
    except OSError as error:
        return "image-unreadable", f"the file cannot be read ({error.strerror})"


def _check_pixels(
    content: bytes, path: str, place: tuple[str, int], image: int, references: _References, findings: Findings
) -> None:
    facts = read_pixels(content)
    if not isinstance(facts, ImageFacts):
        findings.add(facts[0], *place, f"{show(path)}: {facts[1]}")
        return
    for code, message in facts.problems:
        findings.add(code, *place, f"{show(path)}: {message}")
    # The hash of a deep image is that of other values than a record tells, and a finding already.
    deep = any(code == "image-depth" for code, _ in facts.problems)
    references.compare(image, facts, path, findings, pixels=not deep)


class _References:
    """The references by image, and what the records say of each."""

    def __init__(self, index: Index, table: ImageTable) -> None:
        self._index = index
        self._table = table
        self._order = np.argsort(table.members, kind="stable")
        self._starts = np.searchsorted(table.members[self._order], np.arange(len(table.paths) + 1))

    def compare(self, image: int, facts: ImageFacts, path: str, findings: Findings, *, pixels: bool) -> None:
        """Compare what the records say with what the file shows, and keep the latter.

        Args:
            image: Which image.
            facts: What its file shows.
            path: Its path, for messages.
            findings: Takes what is wrong.
            pixels: Whether to compare the hash of its pixels.
        """
        table = self._table
        table.pixels[image] = shown = hash_text(facts.pixel_sha256)
        table.looks[image] = facts.looks
        table.blank[image] = facts.blank
        table.flat[image] = facts.flat
        table.comparable[image] = not facts.flat
        members = self._order[self._starts[image] : self._starts[image + 1]]
        widths_px, heights_px = (column[members] for column in self._index.image_sizes_px)
        known = (widths_px > 0) & (heights_px > 0)
        same_size = (widths_px == facts.width_px) & (heights_px == facts.height_px)
        wrong = np.flatnonzero(known & ~same_size)
        if wrong.size:
            size = f"{widths_px[wrong[0]]}x{heights_px[wrong[0]]}"
            message = f"{show(path)} has {facts.width_px}x{facts.height_px} px, and the record says {size}"
            self._report("image-size", members[wrong], message, findings)
        recorded = self._index.image_pixels[members]
        # Of an image of another size it is clear that its pixels are others.
        wrong = np.flatnonzero((recorded != 0) & (recorded != shown) & (same_size | ~known))
        if wrong.size and pixels:
            message = f"the pixels of {show(path)} have the hash {facts.pixel_sha256}, and the record has another"
            self._report("image-pixels", members[wrong], message, findings)

    def _report(self, code: str, members: npt.NDArray[np.signedinteger[Any]], message: str, findings: Findings) -> None:
        """Report an image once, where it is first described wrongly."""
        rows = np.unique(self._index.image_rows[members])
        more = f", and so do {len(rows) - 1} more lines" if len(rows) > 1 else ""
        findings.add(code, *self._index.place(int(rows[0])), message + more)


def check_folders(
    dataset: Path, table: ImageTable, *, complete: bool, findings: Findings, scanner: Scanner | None
) -> None:
    """Look for files that no record names, folders that are too full, and identifiers in names.

    Args:
        dataset: The data set's folder.
        table: The images that are named.
        complete: Whether all splits could be read; where not, it is not known which files are named.
        findings: Takes what is wrong.
        scanner: Looks for identifiers, where that is wanted.
    """
    for folder, names in _walk(dataset / _IMAGES):
        inside = folder.relative_to(dataset).as_posix()
        if len(names) > MAX_FILES_A_FOLDER:
            message = f"the folder holds {len(names)} files, and {MAX_FILES_A_FOLDER} are the most"
            findings.add("image-folder-full", inside, None, message)
        paths = [f"{inside}/{name}" for name in names]
        hashes = np.array([hash_path(path) for path in paths], np.uint64)
        for position in np.flatnonzero(~_holds(table.paths, hashes)):
            path = paths[position]
            if complete:
                findings.add("image-unreferenced", path, None, f"no sample names {show(path)}")
            for code, message in scanner.scan_text(path) if scanner is not None else ():
                findings.add(code, path, None, f"path of the file: {message}")


def _holds(ascending: Hashes, wanted: Hashes) -> npt.NDArray[np.bool_]:
    """Say which hashes are among others that are sorted already; numpy.isin would sort them for each folder."""
    if not len(ascending):
        return np.zeros(len(wanted), np.bool_)
    positions = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return np.asarray(ascending[positions] == wanted)


def _walk(top: Path) -> Iterator[tuple[Path, list[str]]]:
    for folder, _, names in os.walk(top):
        yield Path(folder), names
