"""Reads records of interleaved documents from JSONL and Parquet, each with its place; checking them is for others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from domainvl.errors import DatasetError, InputNotFoundError, UsageError, install_hint
from domainvl.schema.reader import is_corpus

_COLUMNS = ("general_metadata", "images", "texts", "metadata")
_OPTIONAL_COLUMNS = ("valid_image", "domainvl")


def record_files(path: Path) -> list[Path]:
    """List the files of documents that a path names.

    Args:
        path: A ``.jsonl`` or ``.parquet`` file, or a folder of them.

    Raises:
        InputNotFoundError: If there is none.
    """
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix in (".jsonl", ".parquet") and _is_documents(file))
        if not found:
            rule = "the corpus has no documents" if is_corpus(path) else "there is no .jsonl and no .parquet in it"
            raise InputNotFoundError("Cannot read interleaved documents", where=path, rule=rule)
        return found
    if not path.is_file():
        raise InputNotFoundError("Cannot read interleaved documents", where=path, rule="there is no such file")
    return [path]


def _is_documents(file: Path) -> bool:
    """Leave out what stands beside the documents of a corpus."""
    return file.name != "rejects.jsonl"


def read_records(path: Path) -> Iterator[tuple[str, object]]:
    """Yield each record with its place, as ``FILE:NUMBER``; a line that is no JSON is yielded as None.

    Args:
        path: A ``.jsonl`` or ``.parquet`` file.

    Raises:
        UsageError: If it is of another kind, or pyarrow is missing.
        DatasetError: If a Parquet file cannot be read or lacks a column.
    """
    if path.suffix == ".jsonl":
        yield from _lines(path)
    elif path.suffix == ".parquet":
        yield from _rows(path)
    else:
        raise UsageError(
            "Cannot read interleaved documents", where=path, rule=f"it must be .jsonl or .parquet, got {path.suffix!r}"
        )


def _lines(path: Path) -> Iterator[tuple[str, object]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested too deep
                record = None
            yield f"{path.name}:{number}", record


def _rows(path: Path) -> Iterator[tuple[str, object]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "Cannot read interleaved documents",
            where=path,
            rule="Parquet needs pyarrow, which is not installed",
            action=install_hint("parquet"),
        ) from error
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(str(path)) as file:
            missing = [name for name in _COLUMNS if name not in file.schema_arrow.names]
            if missing:
                rule = f"the columns {', '.join(missing)} are missing"
                raise DatasetError("Cannot read interleaved documents", where=path, rule=rule)
            wanted = [name for name in (*_COLUMNS, *_OPTIONAL_COLUMNS) if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=64, columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path.name}:{number}", _plain(row)
    except (pyarrow.ArrowException, OSError) as error:
        raise DatasetError("Cannot read interleaved documents", where=path, rule=str(error)) from error


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Read the columns that some files hold as JSON text."""
    plain = dict(row)
    for name in ("general_metadata", "metadata"):
        if isinstance(plain[name], str):
            try:
                plain[name] = json.loads(plain[name])
            except (ValueError, RecursionError):
                plain[name] = None
    return plain
