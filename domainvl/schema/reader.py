"""Reads a data set back, one sample at a time, and checks each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from domainvl.errors import DatasetError, InputNotFoundError
from domainvl.schema.record import from_record
from domainvl.schema.sample import Sample, Split
from domainvl.schema.writer import MANIFEST_NAME


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
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path}:{number}"
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise DatasetError(
                    "Unreadable line", where=where, rule=f"each line must be one JSON object ({error})"
                ) from error
            try:
                yield from_record(record)
            except DatasetError as error:
                raise DatasetError(error.what, where=where, rule=error.rule, action=error.action) from error


def read_manifest(dataset: Path) -> dict[str, Any]:
    """Read a data set's manifest.

    Raises:
        InputNotFoundError: If the folder or its manifest is not there.
    """
    content: dict[str, Any] = json.loads(_dataset_file(dataset, MANIFEST_NAME).read_text(encoding="utf-8"))
    return content


def _dataset_file(dataset: Path, name: str) -> Path:
    path = dataset / name
    if not path.is_file():
        rule = f"{name} is missing" if dataset.is_dir() else "there is no such folder"
        raise InputNotFoundError(
            "Cannot read a data set", where=dataset, rule=rule, action="Make one with: domainvl convert"
        )
    return path
