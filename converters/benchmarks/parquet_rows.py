"""Parquet shards as Hugging Face's hub keeps data sets of images: which rows there are, and the image of each.

Names are ``train-00000-of-00007.parquet``, with a hash at the end in older ones; an image is a struct of ``bytes`` and
``path`` (hub documentation, File names and splits; huggingface/datasets, features/image.py). Every row holds its own
copy of its image, and a row is read together with its row group.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainvl.errors import DatasetError, UsageError, install_hint

_NAME = re.compile(r"(?P<split>[a-z]+)(?:-(?P<number>\d{5})-of-(?P<count>\d{5})(?:-[0-9a-f]+)?)?\.parquet")
_BATCH_ROWS = 64


@dataclass(frozen=True)
class ParquetRow:
    """One row of a shard.

    Attributes:
        path: The shard.
        row_group: Its row group.
        place: Its place in the row group, from 0.
        values: Its columns, the image as bytes; None where it holds none.
    """

    path: Path
    row_group: int
    place: int
    values: Mapping[str, Any]


def find_shards(source: Path, splits: Mapping[str, str]) -> dict[str, list[Path]]:
    """Find the shards of each split, in order.

    Args:
        source: The input folder; shards may lie in folders below it.
        splits: What the names of the shards call a split, and what it is called here.

    Raises:
        DatasetError: If a shard of a split is missing, or is there twice.
    """
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    counts: dict[str, int] = {}
    for path in sorted(source.rglob("*.parquet")):
        match = _NAME.fullmatch(path.name)
        if match is None or match["split"] not in splits:
            continue
        split = splits[match["split"]]
        number = match["number"] or "00000"
        if number in found[split] or counts.setdefault(split, int(match["count"] or 1)) != int(match["count"] or 1):
            raise DatasetError(
                f"Cannot tell the shards of {split} apart",
                where=source,
                rule=f"{path.name} is there beside {len(found[split])} others of another edition",
                action="Keep one edition in the folder",
            )
        found[split][number] = path
    for split, count in counts.items():
        if len(found[split]) != count:
            raise DatasetError(
                f"Shards of {split} are missing",
                where=source,
                rule=f"their names say that there are {count}, got {len(found[split])}",
                action="Fetch all shards of a split; a split of which none is there is left out",
            )
    return {split: [found[split][number] for number in sorted(found[split])] for split in found}


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[ParquetRow]:
    """Yield the rows of a shard, holding only a few at a time.

    Args:
        path: The shard.
        columns: Its columns, with the image under ``image`` where rows hold one.

    Raises:
        DatasetError: If it is no Parquet file or lacks a column.
        UsageError: If pyarrow is not installed.
    """
    with _open(path, columns) as file:
        for group in range(file.num_row_groups):
            place = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=list(columns)):
                for values in batch.to_pylist():
                    if "image" in values:
                        values["image"] = _bytes_of(values["image"])
                    yield ParquetRow(path, group, place, values)
                    place += 1


def read_images(path: Path, row_group: int, places: Sequence[int]) -> list[bytes]:
    """Return the encoded images of some rows of one row group, in the order asked for.

    Raises:
        DatasetError: If the shard is no longer what it was.
    """
    with _open(path, ["image"]) as file:
        column = file.read_row_group(row_group, columns=["image"]).column("image")
        if max(places) >= len(column):
            raise DatasetError("Cannot read an image", where=path, rule="the file has changed since it was planned")
        return [_bytes_of(column[place].as_py()) or b"" for place in places]


def _bytes_of(image: Any) -> bytes | None:
    content = image.get("bytes") if isinstance(image, dict) else image
    return content if isinstance(content, bytes) else None


def _open(path: Path, columns: Sequence[str]) -> Any:
    pyarrow = _import_pyarrow()
    try:
        file = pyarrow.parquet.ParquetFile(str(path))
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DatasetError(
            "Unreadable file", where=path, rule="it must be Parquet", action="Fetch the file again"
        ) from error
    missing = sorted(set(columns) - set(file.schema_arrow.names))
    if missing:
        file.close()
        rule = f"it must have the columns {', '.join(columns)}; missing: {', '.join(missing)}"
        raise DatasetError("Unreadable file", where=path, rule=rule, action="Take the edition that has them")
    return file


def _import_pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "Cannot read Parquet", rule="the package pyarrow is not installed", action=install_hint("parquet")
        ) from error
    return pyarrow
