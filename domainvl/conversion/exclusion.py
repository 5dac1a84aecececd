"""Images that must not be in a data set: the test images of a benchmark that a model will be compared on, for one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from domainvl.errors import InputNotFoundError, UsageError
from domainvl.schema.reader import read_samples
from domainvl.schema.sample import EXAMPLE_OF, MADE_OF, Record, Sample, Split
from domainvl.schema.writer import MANIFEST_NAME

_HASH = re.compile(r"[0-9a-f]{64}")
_HELD_OUT = (Split.VAL, Split.TEST)


def read_excluded(path: Path | None) -> frozenset[str]:
    """Read the pixel hashes of images that must be left out.

    Args:
        path: A data set, of which the images of val and test are meant, or a text file with one hash a line
            (``pixel_sha256`` of a record); None for none.

    Raises:
        InputNotFoundError: If it is not there.
        UsageError: If it is neither.
    """
    if path is None:
        return frozenset()
    if not path.exists():
        raise InputNotFoundError("Cannot read --exclude-hashes", where=path, rule="there is no such file or folder")
    hashes = held_out_images(path) if path.is_dir() else frozenset(_of_list(path))
    if not hashes:
        raise UsageError("Cannot use --exclude-hashes", where=path, rule="it names no image")
    return hashes


def excluded_image(record: Record, excluded: frozenset[str]) -> bool:
    """Whether an image of a record must be left out, itself or an image that it was made of."""
    for image in record["domainvl"]["images"]:
        details = image["source"].get("details", {})
        if image["pixel_sha256"] in excluded or not excluded.isdisjoint(details.get(MADE_OF, ())):
            return True
    return False


def held_out_images(folder: Path) -> frozenset[str]:
    """Return the pixel hashes of the images of a data set's val and test splits.

    Raises:
        UsageError: If it is no data set.
    """
    return frozenset(_of_dataset(folder))


def held_out_groups(folder: Path) -> frozenset[str]:
    """Return the groups of a data set's val and test splits; of pairs made from a corpus they are its documents' ids.

    Raises:
        UsageError: If it is no data set.
    """
    return frozenset(sample.group for sample in _held_out_samples(folder))


def _of_dataset(folder: Path) -> Iterator[str]:
    for sample in _held_out_samples(folder):
        # What a solved example shows is from the training split.
        yield from (image.pixel_sha256 for image in sample.images if EXAMPLE_OF not in image.source.details)


def _held_out_samples(folder: Path) -> Iterator[Sample]:
    if not (folder / MANIFEST_NAME).is_file():
        raise UsageError(
            "Cannot use --exclude-hashes",
            where=folder,
            rule=f"it is no data set: it has no {MANIFEST_NAME}",
            action="Name a data set that domainvl made, or a text file of hashes",
        )
    for split in _HELD_OUT:
        if (folder / f"{split.value}.jsonl").is_file():
            yield from read_samples(folder, split)


def _of_list(path: Path) -> Iterator[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError("Cannot use --exclude-hashes", where=path, rule="it must be text in UTF-8") from error
    for number, line in enumerate(lines, start=1):
        text = line.strip().lower()
        if text and not _HASH.fullmatch(text):
            raise UsageError(
                "Cannot use --exclude-hashes",
                where=path,
                rule=f"line {number} must be a hash of 64 hexadecimal digits",
                action="Take pixel_sha256 of the records; a hash of a file is another",
            )
        if text:
            yield text
