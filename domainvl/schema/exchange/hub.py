"""Hugging Face ``datasets``: a DatasetDict that ``datasets.load_from_disk`` reads.

Source: huggingface/datasets, src/datasets/arrow_dataset.py (``save_to_disk``, ``load_from_disk``) and
src/datasets/features/image.py: an Image is a struct of ``bytes`` and ``path``; where there are bytes, the path only
names them. The bytes are those of the file, never decoded.

The files are written here and not by ``save_to_disk``, which would need a second copy on disk and, in older versions,
holds 1,000 samples with all their images in memory. ``datasets`` gives the schema and checks the result.

Each sample holds its own images: an image that twelve questions show is stored twelve times. With references only the
absolute paths are stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from domainvl.errors import DatasetError, InputNotFoundError, UsageError, install_hint
from domainvl.files import hash_file, output_errors
from domainvl.schema.exchange.formats import (
    ExchangedSample,
    ExportFacts,
    Format,
    ImageMode,
    PlacedImage,
    Row,
    SizeOf,
    from_messages,
    to_messages,
)
from domainvl.schema.exchange.rows import write_json
from domainvl.schema.sample import Sample, Split

_BATCH_ROWS = 100
_BATCH_BYTES = 64_000_000
_READ_ROWS = 10
_SHARD_BYTES = 500_000_000  # the default of save_to_disk


class Hub:
    """Columns ``id``, ``images``, ``messages``, ``domain`` and ``task``; the splits keep their names."""

    name = "hub"
    summary = "Hugging Face: datasets.load_from_disk(FOLDER)"
    boxes = "in the text, as <box>[[x1, y1, x2, y2]]</box> with integers 0 to 1000"
    image_modes: tuple[ImageMode, ...] = (ImageMode.EMBED, ImageMode.REFERENCE)
    several_images_note: str | None = None

    def to_row(self, sample: Sample, images: Sequence[PlacedImage]) -> Row:
        """Express a sample; see :class:`~domainvl.schema.exchange.formats.Format`."""
        return {
            "id": sample.id,
            "images": [
                {"bytes": image.read() if image.mode is ImageMode.EMBED else None, "path": image.reference}
                for image in images
            ],
            "messages": to_messages(sample.turns),
            "domain": sample.domain,
            "task": sample.task.value,
        }

    def from_row(self, row: Row, size_of: SizeOf) -> ExchangedSample:
        """Read a row back; see :class:`~domainvl.schema.exchange.formats.Format`."""
        try:
            return ExchangedSample(
                row["id"], tuple(image["path"] for image in row["images"]), from_messages(row["messages"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError("Unreadable row", rule=f"it must be one of domainvl export ({error!r})") from error

    def open_rows(self, folder: Path, split: Split) -> _ArrowRows:
        """Start the files of a split.

        Raises:
            UsageError: If ``datasets`` is not installed.
        """
        return _ArrowRows(folder / split.value, split)

    def read_rows(self, folder: Path, split: Split) -> Iterator[Row]:
        """Read the rows of a split, without decoding the images.

        Raises:
            InputNotFoundError: If the export has no such split.
            UsageError: If ``datasets`` is not installed.
        """
        hf_datasets = _import_datasets()
        if not (folder / split.value / "state.json").is_file():
            raise InputNotFoundError("Cannot read an export", where=folder, rule=f"there is no split {split.value}")
        table = hf_datasets.load_from_disk(str(folder / split.value))
        # As Arrow, images are not decoded; cast_column would write a copy of all of them into the folder.
        for batch in table.with_format("arrow").iter(batch_size=_READ_ROWS):
            yield from batch.to_pylist()

    def finish(self, folder: Path, facts: ExportFacts) -> None:
        """Name the splits, and check that ``datasets`` reads as many rows as were written.

        Raises:
            DatasetError: If it does not.
        """
        write_json(folder / "dataset_dict.json", {"splits": [split.value for split in facts.counts]})
        read = {name: table.num_rows for name, table in _import_datasets().load_from_disk(str(folder)).items()}
        written = {split.value: count for split, count in facts.counts.items()}
        if read != written:
            raise DatasetError(
                "The export cannot be read back",
                where=folder,
                rule=f"datasets must read {written} rows, got {read}",
                action="Install another version of datasets",
            )


class _ArrowRows:
    """Writes the Arrow files of one split: a new one when the last holds enough, a batch at a time."""

    def __init__(self, folder: Path, split: Split) -> None:
        hf_datasets = _import_datasets()
        import pyarrow

        self._pyarrow = pyarrow
        self._features = _features(hf_datasets)
        self._info = hf_datasets.DatasetInfo(features=self._features)
        self._folder = folder
        self._split = split
        self._batch: list[Row] = []
        self._batch_bytes = 0
        self._shards: list[Path] = []
        self._shard_bytes = 0
        self._writer: Any = None
        self._is_open = True
        with output_errors(folder):
            folder.mkdir(parents=True)

    def write(self, row: Row) -> None:
        """Append a row."""
        self._batch.append(row)
        self._batch_bytes += sum(len(image["bytes"] or b"") for image in row["images"])
        if len(self._batch) == _BATCH_ROWS or self._batch_bytes >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        schema = self._features.arrow_schema
        batch = self._pyarrow.RecordBatch.from_pylist(self._batch, schema=schema)
        with output_errors(self._folder):
            if self._writer is None:
                self._shards.append(self._folder / f"{len(self._shards):05d}.partial")
                self._writer = self._pyarrow.ipc.new_stream(str(self._shards[-1]), schema)
            self._writer.write_batch(batch)
        self._shard_bytes += batch.nbytes
        self._batch, self._batch_bytes = [], 0
        if self._shard_bytes >= _SHARD_BYTES:
            self._end_shard()

    def _end_shard(self) -> None:
        writer, self._writer, self._shard_bytes = self._writer, None, 0
        if writer is not None:
            with output_errors(self._folder):
                writer.close()

    def close(self) -> tuple[()]:
        """Write the last batch, and the files that describe the others."""
        if self._is_open:
            self._is_open = False
            self._finish()
        return ()

    def _finish(self) -> None:
        if self._batch:
            self._flush()
        self._end_shard()
        count = len(self._shards)
        with output_errors(self._folder):
            names = [f"data-{index:05d}-of-{count:05d}.arrow" for index in range(count)]
            for shard, name in zip(self._shards, names, strict=True):
                shard.rename(self._folder / name)
            self._shards = []
            self._info.write_to_directory(str(self._folder))
            # Of the content, so that equal exports are equal; caches of datasets are named by it.
            hashes = "".join(hash_file(self._folder / name) for name in names)
            state: dict[str, Any] = {
                "_data_files": [{"filename": name} for name in names],
                "_fingerprint": hashes[:16],
                "_format_columns": None,
                "_format_kwargs": {},
                "_format_type": None,
                "_output_all_columns": False,
                "_split": self._split.value,
            }
            text = json.dumps(state, indent=2, sort_keys=True)
            (self._folder / "state.json").write_text(text, encoding="utf-8", newline="\n")


def _features(hf_datasets: Any) -> Any:
    text = hf_datasets.Value("string")
    columns = {
        "id": text,
        "images": hf_datasets.Sequence(hf_datasets.Image()),
        "messages": [{"role": text, "content": text}],
        "domain": text,
        "task": text,
    }
    return hf_datasets.Features(columns)


def _import_datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UsageError(
            "Cannot write for Hugging Face", rule="the package datasets is not installed", action=install_hint("hub")
        ) from error
    return datasets


FORMAT: Format = Hub()
