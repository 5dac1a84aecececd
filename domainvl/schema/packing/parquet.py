"""Parquet as Hugging Face's hub and ``datasets`` read it, with the images as structs of bytes and path.

Sources: huggingface/datasets, src/datasets/features/image.py (an Image is stored as a struct of ``bytes`` and
``path``), src/datasets/features/features.py (the features stand as JSON under ``huggingface`` in the schema's metadata)
and src/datasets/config.py (row groups of 100 for images); hub documentation, File names and splits
(``data/<split>-00000-of-00001.parquet``).

The column ``record`` is the line of JSONL byte for byte; the others say the same in columns. Every row holds its own
images. A row group has at most 100 rows, fewer where the images are large: one row is read with its whole group.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from domainvl.errors import DatasetError, UsageError, install_hint
from domainvl.schema.exchange.formats import to_conversations
from domainvl.schema.packing.shards import PackedSample, UnpackedSample
from domainvl.schema.sample import Split

FORMAT = "parquet"
_GROUP_ROWS = 100
_GROUP_BYTES = 64_000_000
_TEXT_COLUMNS = ("id", "domain", "task", "question", "split", "group")
_READ_ROWS = 10


class ParquetWriter:
    """Writes ``data/<split>-00000-of-0000N.parquet`` and so on.

    Args:
        folder: Folder to write in.
        split: The split.
        shard_bytes: Size at which a shard ends; it may exceed that by one row group.

    Raises:
        UsageError: If pyarrow is not installed.
    """

    def __init__(self, folder: Path, split: Split, shard_bytes: int) -> None:
        self._pyarrow = _import_pyarrow()
        self._schema = _schema(self._pyarrow)
        self._folder = folder / "data"
        self._folder.mkdir(exist_ok=True)
        self._split = split
        self._shard_bytes = shard_bytes
        self._rows: list[dict[str, Any]] = []
        self._group_bytes = 0
        self._used_bytes = 0
        self._shards: list[Path] = []
        self._file: Any = None

    def add(self, packed: PackedSample) -> None:
        """Append a sample."""
        self._rows.append(_to_row(packed))
        self._group_bytes += packed.size_bytes
        if len(self._rows) == _GROUP_ROWS or self._group_bytes >= _GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        table = self._pyarrow.Table.from_pylist(self._rows, schema=self._schema)
        if self._file is None:
            self._shards.append(self._folder / f"{self._split.value}-{len(self._shards):05d}.partial")
            self._file = self._pyarrow.parquet.ParquetWriter(
                str(self._shards[-1]),
                self._schema,
                compression="zstd",
                # Neither helps with images, and the limits of a column of images would be whole images.
                use_dictionary=["domain", "task", "split"],
                write_statistics=["id", "domain", "task", "split", "group"],
            )
            self._used_bytes = 0
        self._file.write_table(table, row_group_size=_GROUP_ROWS)
        self._used_bytes += self._group_bytes
        self._rows, self._group_bytes = [], 0
        if self._used_bytes >= self._shard_bytes:
            self._end_shard()

    def _end_shard(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def close(self) -> list[Path]:
        """Write the last rows, and give the shards their names now that their number is known."""
        if self._rows:
            self._write_group()
        self._end_shard()
        count = len(self._shards)
        self._shards = [
            shard.rename(self._folder / f"{self._split.value}-{index:05d}-of-{count:05d}.parquet")
            for index, shard in enumerate(self._shards)
        ]
        return self._shards


def read_parquet(path: Path) -> Iterator[UnpackedSample]:
    """Read the samples of a shard in order.

    Raises:
        DatasetError: If it is no Parquet file or lacks a column.
        UsageError: If pyarrow is not installed.
    """
    pyarrow = _import_pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(str(path)) as file:
            for batch in file.iter_batches(batch_size=_READ_ROWS, columns=["images", "record"]):
                for row in batch.to_pylist():
                    yield UnpackedSample(row["record"].encode("utf-8"), [image["bytes"] for image in row["images"]])
    except (pyarrow.ArrowInvalid, KeyError) as error:
        raise DatasetError("Unreadable shard", where=path, rule=f"it must be one of domainvl pack ({error})") from error


def _to_row(packed: PackedSample) -> dict[str, Any]:
    sample = packed.sample
    return {
        "id": sample.id,
        "images": [
            {"bytes": content, "path": image.path} for image, content in zip(sample.images, packed.images, strict=True)
        ],
        "conversations": to_conversations(sample.turns),
        "domain": sample.domain,
        "task": sample.task.value,
        "question": sample.question,
        "split": sample.split.value,
        "group": sample.group,
        "record": packed.line.decode("utf-8"),
    }


def _schema(pyarrow: Any) -> Any:
    text = pyarrow.string()
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", text)])
    utterance = pyarrow.struct([("from", text), ("value", text)])
    columns = [
        ("id", text),
        ("images", pyarrow.list_(image)),
        ("conversations", pyarrow.list_(utterance)),
        *((name, text) for name in _TEXT_COLUMNS if name != "id"),
        ("record", text),
    ]
    return pyarrow.schema(columns, metadata={"huggingface": json.dumps({"info": {"features": _features()}})})


def _features() -> dict[str, Any]:
    """Return the features in the notation that every version of ``datasets`` reads: a list of one for a list."""
    value = {"dtype": "string", "_type": "Value"}
    return {
        "id": value,
        "images": [{"_type": "Image"}],
        "conversations": [{"from": value, "value": value}],
        **{name: value for name in _TEXT_COLUMNS if name != "id"},
        "record": value,
    }


def _import_pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "Cannot use Parquet", rule="the package pyarrow is not installed", action=install_hint("parquet")
        ) from error
    return pyarrow
