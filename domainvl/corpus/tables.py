"""Documents as rows of Parquet: the columns, and the way there and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from domainvl.corpus.extras import require
from domainvl.errors import DatasetError
from domainvl.interleaved.documents import PROBABILITIES, Document, read_document, to_record

ROWS_PER_GROUP = 500
"""Documents of a row group: what one unit of work reads."""


def document_schema() -> Any:
    """Return the Arrow schema of a record: OmniCorpus' columns, and ``domainvl``."""
    pa = require("pyarrow")
    text, number, count = pa.string(), pa.float64(), pa.int64()
    image = [
        ("img_url_sha", text), ("width", count), ("height", count), ("bytes", count), ("d_hash", text),
        ("p_hash", text), ("d_hash_dup_count", count), ("p_hash_dup_count", count), ("aesthetic_prob", number),
        ("unsafe_prob", number),
    ]  # fmt: skip
    origin = [(name, text) for name in ("format", "uri", "sha256", "reader", "language", "modified", "placement")]
    similarity = pa.struct([("slot", count), ("begin", count), ("end", count), ("score", number)])
    slot = [
        ("kind", text), ("level", count), ("page", count), ("start_s", number), ("end_s", number), ("alt", text),
        ("similar", pa.list_(similarity)),
    ]  # fmt: skip
    general = [("url", text), ("id", text), ("domain", pa.list_(text)), *((name, number) for name in PROBABILITIES)]
    ours = [
        ("origin", pa.struct(origin)),
        ("scores", pa.list_(pa.struct([("name", text), ("value", number)]))),
        ("slots", pa.list_(pa.struct(slot))),
    ]
    return pa.schema(
        [
            ("general_metadata", pa.struct(general)),
            ("images", pa.list_(text)),
            ("texts", pa.list_(text)),
            ("metadata", pa.list_(pa.struct(image))),
            ("valid_image", pa.list_(pa.bool_())),
            ("domainvl", pa.struct(ours)),
        ]
    )


def to_table(documents: Iterable[Document]) -> Any:
    """Put documents into an Arrow table of :func:`document_schema`; half surrogate pairs become question marks."""
    pa = require("pyarrow")
    schema = document_schema()
    rows = [_without_surrogates(to_record(document)) for document in documents]
    return pa.Table.from_pylist(rows, schema=schema)


def _without_surrogates(value: Any) -> Any:
    """Replace what UTF-8, and so Parquet, cannot hold."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


def to_documents(table: Any) -> list[Document]:
    """Read documents from an Arrow table.

    Raises:
        ItemError: If a row breaks an invariant of the format.
    """
    return [read_document(row) for row in table.to_pylist()]


def write_table(table: Any, path: Path) -> None:
    """Write a Parquet file; equal rows give equal bytes."""
    parquet = require("pyarrow.parquet")
    parquet.write_table(table, str(path), compression="zstd", row_group_size=ROWS_PER_GROUP)


def read_table(path: Path, row_group: int | None = None, columns: list[str] | None = None) -> Any:
    """Read a Parquet file, or one row group of it; all columns or some.

    Raises:
        DatasetError: If it cannot be read.
    """
    pa, parquet = require("pyarrow"), require("pyarrow.parquet")
    try:
        with parquet.ParquetFile(str(path)) as file:
            return file.read(columns) if row_group is None else file.read_row_group(row_group, columns)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError("Cannot read a corpus", where=path, rule=str(error)) from error


def row_group_count(path: Path) -> int:
    """Return how many row groups a Parquet file has.

    Raises:
        DatasetError: If it cannot be read.
    """
    pa, parquet = require("pyarrow"), require("pyarrow.parquet")
    try:
        with parquet.ParquetFile(str(path)) as file:
            return int(file.num_row_groups)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError("Cannot read a corpus", where=path, rule=str(error)) from error


def iterate_tables(paths: Iterable[Path]) -> Iterator[Any]:
    """Yield the row groups of Parquet files in order."""
    for path in paths:
        for row_group in range(row_group_count(path)):
            yield read_table(path, row_group)
