"""What must be remembered of all lines: 64-bit hashes and numbers in flat arrays, about 50 bytes a line.

Two texts of one hash would be taken for equal; in a million lines that happens with a probability of 3e-8.
"""

from __future__ import annotations

import json
import posixpath
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from domainvl.schema.digests import digest_text
from domainvl.schema.sample import EXAMPLE_OF, MADE_OF, Split
from domainvl.schema.validation.footprints import Footprints

Hashes: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
Numbers: TypeAlias = npt.NDArray[np.signedinteger[Any]]


def hash_text(text: str) -> int:
    """Stand for a text in 64 bits; never 0, which stands for nothing."""
    return digest_text(text) or 1


def hash_path(path: str) -> int:
    """Stand for a relative path in 64 bits; ``a/./b`` and ``a/b`` are equal."""
    return hash_text(posixpath.normpath(path))


class Index:
    """The rows of a data set (its lines, in the order of the splits) and their references to images.

    Args:
        dataset: The data set's folder.

    Attributes:
        footprints: Where the images lie on the ground.
    """

    def __init__(self, dataset: Path) -> None:
        self.footprints = Footprints()
        self._dataset = dataset
        self._splits: list[Split] = []
        self._starts: list[int] = []
        self._offsets = array("Q")
        self._ids = array("Q")
        self._groups = array("Q")
        self._paths = array("Q")
        self._pixels = array("Q")
        self._widths_px = array("I")
        self._heights_px = array("I")
        self._rows = array("I")
        self._examples = array("B")
        self._parts = array("Q")
        self._part_references = array("I")

    def start_split(self, split: Split) -> None:
        """Say that the rows that follow are of this split."""
        self._splits.append(split)
        self._starts.append(len(self._offsets))
        self.footprints.start_split()

    def add_row(self, offset: int, identifier: object, group: object) -> None:
        """Add a line; what is no text counts as not there.

        Args:
            offset: Where the line begins in its file, in bytes.
            identifier: The sample's id.
            group: The sample's group.
        """
        self._offsets.append(offset)
        self._ids.append(hash_text(identifier) if isinstance(identifier, str) else 0)
        self._groups.append(hash_text(group) if isinstance(group, str) else 0)

    def add_image(self, path: str, width_px: int | None, height_px: int | None, details: object) -> None:
        """Add an image of the row added last; an unknown size counts as 0.

        Args:
            path: Its path.
            width_px: Its width.
            height_px: Its height.
            details: What the record tells of it under ``domainvl.images``; anything, where the record is wrong.
        """
        known: dict[str, Any] = details if isinstance(details, dict) else {}
        pixel_sha256 = known.get("pixel_sha256")
        told = _details_of(known.get("source"))
        self.footprints.add(len(self._paths), known.get("source"), width_px, height_px, example=EXAMPLE_OF in told)
        self._examples.append(EXAMPLE_OF in told)
        for part in _parts_of(told):
            self._parts.append(hash_text(part))
            self._part_references.append(len(self._paths))
        self._paths.append(hash_path(path))
        self._pixels.append(hash_text(pixel_sha256) if isinstance(pixel_sha256, str) else 0)
        self._widths_px.append(width_px or 0)
        self._heights_px.append(height_px or 0)
        self._rows.append(len(self._offsets) - 1)

    @property
    def splits(self) -> list[Split]:
        """The splits that were read, in order."""
        return self._splits

    @property
    def ids(self) -> Hashes:
        """Hash of each row's id."""
        return _view(self._ids)

    @property
    def groups(self) -> Hashes:
        """Hash of each row's group."""
        return _view(self._groups)

    @property
    def image_paths(self) -> Hashes:
        """Hash of the path of each reference to an image."""
        return _view(self._paths)

    @property
    def image_pixels(self) -> Hashes:
        """Hash of the recorded pixel hash of each reference."""
        return _view(self._pixels)

    @property
    def image_sizes_px(self) -> tuple[Hashes, Hashes]:
        """Recorded width and height of each reference."""
        return _view(self._widths_px), _view(self._heights_px)

    @property
    def image_rows(self) -> Hashes:
        """Row of each reference."""
        return _view(self._rows)

    @property
    def image_parts(self) -> tuple[Hashes, Hashes]:
        """Hash of the pixel hash of each image that another was made of, and the reference to that other."""
        return _view(self._parts), _view(self._part_references)

    @property
    def held_out_examples(self) -> int:
        """Number of references to images that samples outside the training split show as solved examples."""
        rows = self.image_rows[np.flatnonzero(_view(self._examples))]
        return int(np.count_nonzero(self.split_numbers(rows) != self._training_number()))

    def image_splits(self, references: npt.NDArray[np.integer[Any]]) -> Numbers:
        """Return for each reference the position of the split that its image belongs to.

        That of its row; but the image of a solved example belongs to the training split, wherever it is shown.
        """
        own = self.split_numbers(self.image_rows[references])
        return np.where(_view(self._examples)[references] != 0, self._training_number(), own)

    def _training_number(self) -> int:
        # Where the training split could not be read, what belongs to it is still in a split of its own.
        return self._splits.index(Split.TRAIN) if Split.TRAIN in self._splits else len(self._splits)

    def split_numbers(self, rows: npt.NDArray[np.integer[Any]]) -> Numbers:
        """Return for each row the position of its split among the splits."""
        return np.searchsorted(np.array(self._starts), rows, side="right") - 1

    def place(self, row: int) -> tuple[str, int]:
        """Return file and line of a row."""
        number = bisect_right(self._starts, row) - 1
        return f"{self._splits[number].value}.jsonl", row - self._starts[number] + 1

    def record(self, row: int) -> dict[str, Any]:
        """Read a row again; it is an object, because only rows that are can be asked for by what they hold."""
        name, _ = self.place(row)
        with (self._dataset / name).open("rb") as lines:
            lines.seek(self._offsets[row])
            record: dict[str, Any] = json.loads(lines.readline())
        return record

    def image_path(self, row: int, path_hash: int) -> str:
        """Return the path that a row names and that has this hash, as it stands in the record."""
        return next(path for path in paths_of(self.record(row)) if hash_path(path) == path_hash)


def _details_of(source: object) -> dict[str, Any]:
    """Return the details of an image's source, wrong as the record may be."""
    details = source.get("details") if isinstance(source, dict) else None
    return details if isinstance(details, dict) else {}


def _parts_of(details: dict[str, Any]) -> Iterator[str]:
    """Yield the pixel hashes of the images that an image was made of, wrong as the record may be."""
    parts = details.get(MADE_OF)
    yield from (part for part in (parts if isinstance(parts, list) else ()) if isinstance(part, str))


def paths_of(record: dict[str, Any]) -> Iterator[str]:
    """Yield the image paths of a record, wrong as it may be."""
    image = record.get("image")
    yield from (path for path in (image if isinstance(image, list) else [image]) if isinstance(path, str))


def _view(numbers: array[int]) -> Hashes:
    """Look at an array as one of NumPy's, without copying it."""
    return np.frombuffer(numbers, dtype=f"u{numbers.itemsize}")
