"""Reads a data set back, one sample at a time, and checks each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from domainvl.errors import DatasetError, InputNotFoundError
from domainvl.schema.record import from_record
from domainvl.schema.sample import Sample, Split
from domainvl.schema.writer import MANIFEST_NAME

CORPUS_KIND = "corpus"
"""What the manifest of a corpus of interleaved documents says it is."""

_REMAKE = "Make the data set again with domainvl convert"


def read_samples(dataset: Path, split: Split) -> Iterator[Sample]:
    """Read the samples of one split in file order.

    Args:
        dataset: The data set's folder.
        split: Which split.

    Yields:
        Each sample, validated.

    Raises:
        InputNotFoundError: If the folder or the split's file is not there.
        DatasetError: Naming file, line and rule, if a line is wrong.
    """
    path = _dataset_file(dataset, f"{split.value}.jsonl")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            yield _parse(line, f"{path}:{number}")


class SampleFile(Sequence[Sample]):
    """The samples of one split by index, read when they are needed: memory does not grow with their size.

    All lines are checked once when the file is opened.

    Args:
        dataset: The data set's folder.
        split: Which split.

    Attributes:
        image_keys: For each sample a number that is equal for equal images in equal order; a sample without images
            has one of its own.

    Raises:
        InputNotFoundError: If the folder or the split's file is not there.
        DatasetError: Naming file, line and rule, if a line is wrong.
    """

    def __init__(self, dataset: Path, split: Split) -> None:
        self._path = _dataset_file(dataset, f"{split.value}.jsonl")
        self._offsets: list[int] = []
        self.image_keys: list[int] = []
        keys: dict[tuple[str, ...], int] = {}
        offset = 0
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                sample = _parse(line, f"{self._path}:{number}")
                self._offsets.append(offset)
                paths = tuple(image.path for image in sample.images)
                self.image_keys.append(keys.setdefault(paths, len(keys)) if paths else -number)
                offset += len(line)

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        """Return one sample or some."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        with self._path.open("rb") as lines:
            lines.seek(self._offsets[index])
            return _parse(lines.readline(), f"{self._path}:{index + 1}")


def spread(size: int, count: int | None) -> list[int]:
    """Return at most ``count`` indices, evenly spread over ``size``; all where None."""
    if count is None or count >= size:
        return list(range(size))
    return [index * size // count for index in range(count)]


def _parse(line: bytes, where: str) -> Sample:
    try:
        record = json.loads(line)
    except ValueError as error:  # not JSON, or not UTF-8
        raise DatasetError(
            "Unreadable line", where=where, rule=f"each line must be one JSON object ({error})", action=_REMAKE
        ) from error
    try:
        return from_record(record)
    except DatasetError as error:
        raise DatasetError(error.what, where=where, rule=error.rule, action=error.action) from error


def read_manifest(dataset: Path) -> dict[str, Any]:
    """Read a data set's manifest.

    Raises:
        InputNotFoundError: If the folder or its manifest is not there, or it is a corpus of documents.
        DatasetError: If the manifest is not a JSON object.
    """
    path = _dataset_file(dataset, MANIFEST_NAME)
    try:
        content: object = json.loads(path.read_bytes())
    except ValueError as error:  # not JSON, or not UTF-8
        raise DatasetError("Unreadable manifest", where=path, rule=str(error), action=_REMAKE) from error
    if not isinstance(content, dict):
        raise DatasetError("Unreadable manifest", where=path, rule="it must be one JSON object", action=_REMAKE)
    if content.get("kind") == CORPUS_KIND:
        raise no_dataset("Cannot read a data set", dataset, "")
    return content


def is_corpus(folder: Path) -> bool:
    """Say whether a folder is a corpus of interleaved documents, by its manifest."""
    try:
        manifest: object = json.loads((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") == CORPUS_KIND


def no_dataset(what: str, folder: Path, rule: str) -> InputNotFoundError:
    """Make the error of a folder that is no data set; of a corpus it says what reads one.

    Args:
        what: What failed.
        folder: The folder.
        rule: What is missing in it, where it is no corpus.
    """
    action = "Make one with: domainvl convert"
    if is_corpus(folder):
        rule = "it is a corpus of interleaved documents, not a data set of samples"
        action = (
            "See domainvl corpus report for what is in it; domainvl corpus degrade --to pairs makes a data set of it"
        )
    return InputNotFoundError(what, where=folder, rule=rule, action=action)


def _dataset_file(dataset: Path, name: str) -> Path:
    path = dataset / name
    if not path.is_file():
        rule = f"{name} is missing" if dataset.is_dir() else "there is no such folder"
        raise no_dataset("Cannot read a data set", dataset, rule)
    return path
