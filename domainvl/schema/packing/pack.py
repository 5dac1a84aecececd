"""The run of packing: every line and every image file goes into a shard as it is, every other file beside them."""

from __future__ import annotations

import contextlib
import enum
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from domainvl.errors import DatasetError, NothingToDoError, UsageError
from domainvl.schema.digests import digest_text
from domainvl.schema.exchange.folder import output_folder, path_inside
from domainvl.schema.packing.parquet import ParquetWriter
from domainvl.schema.packing.shards import (
    EXTRA_FOLDER,
    INDEX_NAME,
    ImageFacts,
    PackedSample,
    PackIndex,
    ShardFacts,
    ShardWriter,
    SplitFacts,
)
from domainvl.schema.packing.webdataset import TarWriter
from domainvl.schema.reader import read_manifest
from domainvl.schema.record import from_record
from domainvl.schema.sample import Sample, Split

_MEGABYTE = 1_000_000
_KEY_BITS = 128
"""Of the numbers that stand for paths: a file must not be left out for having the number of another."""


class PackKind(enum.StrEnum):
    """What a data set can be packed to."""

    WDS = "wds"
    PARQUET = "parquet"


@dataclass(frozen=True)
class PackSummary:
    """What packing did.

    Attributes:
        out: The folder that was made.
        index: What it holds.
    """

    out: Path
    index: PackIndex

    @property
    def sample_count(self) -> int:
        """Number of samples."""
        return sum(split.sample_count for split in self.index.splits)

    @property
    def shard_count(self) -> int:
        """Number of shards."""
        return sum(len(split.shards) for split in self.index.splits)


def pack_dataset(
    dataset: Path,
    out: Path,
    *,
    to: PackKind,
    shard_mb: int = 1000,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> PackSummary:
    """Pack a data set into few large files.

    The files of images and the lines are stored byte for byte, and so is every other file of the data set, under
    ``extra``; unpacking gives the same data set. A sample holds its own images, so an image that several samples show
    is stored as often; the index says what that costs.

    Args:
        dataset: Folder of the data set.
        out: Folder to make.
        to: What to pack it to.
        shard_mb: Size of a shard in millions of bytes, about.
        overwrite: Replace a packed data set that is there.
        on_progress: Called with the number of samples done and the number in the data set's manifest.

    Raises:
        InputNotFoundError: If there is no such data set.
        DatasetError: If a line of it is wrong or an image is missing; a part of a data set is not packed.
        UsageError: If an argument is wrong or a package is missing.
        NothingToDoError: If there are no samples.
        OutputError: If the output cannot be written.
    """
    if shard_mb < 1:
        raise UsageError("Cannot pack", rule=f"--shard-mb must be at least 1, got {shard_mb}")
    manifest = read_manifest(dataset)
    total = sum(row["count"] for row in manifest["counts"])
    with output_folder(out, dataset, marker=INDEX_NAME, overwrite=overwrite) as work:
        run = _Run(dataset, work)
        splits = []
        for split in Split:
            if (dataset / f"{split.value}.jsonl").is_file():
                writer = _writer(to, work, split, shard_mb * _MEGABYTE)
                try:
                    for _ in run.pack_split(split, writer):
                        if on_progress is not None:
                            on_progress(run.done, total)
                except BaseException:
                    with contextlib.suppress(OSError):  # the error that is under way is the one to tell
                        writer.close()
                    raise
                splits.append(run.end_split(split, writer))
        if run.done == 0:
            raise NothingToDoError("Nothing to pack", where=dataset, rule="there are no samples")
        index = PackIndex(
            format=to.value,
            dataset=manifest["name"],
            splits=tuple(splits),
            extra=tuple(run.copy_others()),
            images=run.image_facts(),
        )
        index.write(work)
    return PackSummary(out, index)


def _writer(to: PackKind, folder: Path, split: Split, shard_bytes: int) -> ShardWriter:
    if to is PackKind.WDS:
        return TarWriter(folder, split, shard_bytes)
    return ParquetWriter(folder, split, shard_bytes)


@dataclass
class _Run:
    """What packing has done so far."""

    dataset: Path
    work: Path
    done: int = 0
    _split_count: int = 0
    _split_hash: hashlib._Hash = field(default_factory=hashlib.sha256)
    _ends_with_line_break: bool = True
    _images: set[int] = field(default_factory=set)
    _distinct_bytes: int = 0
    _stored_count: int = 0
    _stored_bytes: int = 0

    def pack_split(self, split: Split, writer: ShardWriter) -> Iterator[None]:
        """Pack the samples of a split, one at a time."""
        self._split_count, self._split_hash, self._ends_with_line_break = 0, hashlib.sha256(), True
        path = self.dataset / f"{split.value}.jsonl"
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                where = f"{path}:{number}"
                sample = _parse(line, where)
                images = [self._read_image(image.path, where) for image in sample.images]
                writer.add(PackedSample(sample, line.removesuffix(b"\n"), images))
                self._split_hash.update(line)
                self._ends_with_line_break = line.endswith(b"\n")
                self._split_count += 1
                self.done += 1
                yield

    def end_split(self, split: Split, writer: ShardWriter) -> SplitFacts:
        """End the shards of the split that was packed last."""
        return SplitFacts(
            name=f"{split.value}.jsonl",
            sample_count=self._split_count,
            sha256=self._split_hash.hexdigest(),
            ends_with_line_break=self._ends_with_line_break,
            shards=tuple(ShardFacts.of(path, self.work) for path in writer.close()),
        )

    def _read_image(self, path: str, where: str) -> bytes:
        try:
            content = path_inside(self.dataset, path).read_bytes()
        except OSError as error:
            raise DatasetError(
                "Cannot pack a sample",
                where=where,
                rule=f"its image {path} cannot be read: {error.strerror}",
                action="Make the data set again with domainvl convert",
            ) from error
        self._stored_count += 1
        self._stored_bytes += len(content)
        key = digest_text(path, bits=_KEY_BITS)
        if key not in self._images:
            self._images.add(key)
            self._distinct_bytes += len(content)
        return content

    def copy_others(self) -> Iterator[ShardFacts]:
        """Copy every file that is neither a line of a sample nor the image of one."""
        lines = {f"{split.value}.jsonl" for split in Split}
        names = (path.relative_to(self.dataset).as_posix() for path in self.dataset.rglob("*") if path.is_file())
        for name in sorted(
            name for name in names if name not in lines and digest_text(name, bits=_KEY_BITS) not in self._images
        ):
            target = path_inside(self.work / EXTRA_FOLDER, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.dataset / name, target)
            yield ShardFacts.of(target, self.work)

    def image_facts(self) -> ImageFacts:
        """Say what the images cost."""
        return ImageFacts(
            distinct_count=len(self._images),
            distinct_bytes=self._distinct_bytes,
            stored_count=self._stored_count,
            stored_bytes=self._stored_bytes,
        )


def _parse(line: bytes, where: str) -> Sample:
    try:
        record = json.loads(line)
        if not isinstance(record, dict):
            raise ValueError("it is no object")
        return from_record(record)
    except ValueError as error:
        raise DatasetError("Unreadable line", where=where, rule=f"it must be one JSON object ({error})") from error
    except DatasetError as error:
        raise DatasetError(error.what, where=where, rule=error.rule, action=error.action) from error
