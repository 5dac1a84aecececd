"""What the kinds of packed data sets share: a sample with its bytes, the facts of a shard, the index of all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domainvl.errors import DatasetError, InputNotFoundError
from domainvl.files import hash_file, output_errors
from domainvl.schema.exchange.folder import path_inside
from domainvl.schema.sample import Sample

INDEX_NAME = "index.json"
EXTRA_FOLDER = "extra"


@dataclass(frozen=True)
class PackedSample:
    """One sample as it goes into a shard.

    Attributes:
        sample: The sample.
        line: Its line of JSONL, byte for byte, without the line break.
        images: The bytes of its image files, in order.
    """

    sample: Sample
    line: bytes
    images: Sequence[bytes]

    @property
    def size_bytes(self) -> int:
        """Number of bytes of line and images."""
        return len(self.line) + sum(len(image) for image in self.images)


@dataclass(frozen=True)
class UnpackedSample:
    """One sample as it comes out of a shard: its line without the line break, and the bytes of its images in order."""

    line: bytes
    images: Sequence[bytes]


class ShardFacts(BaseModel):
    """One file of a packed data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    size_bytes: int = Field(ge=0)
    sha256: str

    @classmethod
    def of(cls, path: Path, folder: Path) -> ShardFacts:
        """Describe a file that is complete."""
        name = path.relative_to(folder).as_posix()
        return cls(name=name, size_bytes=path.stat().st_size, sha256=hash_file(path))


class SplitFacts(BaseModel):
    """One file of samples of the data set, and the shards that hold them, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sample_count: int = Field(ge=0)
    sha256: str
    ends_with_line_break: bool
    shards: tuple[ShardFacts, ...]


class ImageFacts(BaseModel):
    """What the images cost: each sample holds its own, so those that several samples show are there several times."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    distinct_count: int
    distinct_bytes: int
    stored_count: int
    stored_bytes: int


class PackIndex(BaseModel):
    """What ``index.json`` says.

    Attributes:
        format: What the shards are.
        version: Version of the layout.
        dataset: Name of the data set.
        splits: The samples, by file.
        extra: All other files of the data set, under the folder ``extra``.
        images: What the images cost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    version: int = 1
    dataset: str
    splits: tuple[SplitFacts, ...]
    extra: tuple[ShardFacts, ...]
    images: ImageFacts

    def write(self, folder: Path) -> None:
        """Write it.

        Raises:
            OutputError: If it cannot be written.
        """
        text = json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n"
        with output_errors(folder):
            (folder / INDEX_NAME).write_text(text, encoding="utf-8", newline="\n")

    @classmethod
    def read(cls, folder: Path) -> PackIndex:
        """Read it.

        Raises:
            InputNotFoundError: If it is not there.
            DatasetError: If it is none of ours.
        """
        path = folder / INDEX_NAME
        if not path.is_file():
            rule = f"{INDEX_NAME} is missing" if folder.is_dir() else "there is no such folder"
            raise InputNotFoundError(
                "Cannot read a packed data set", where=folder, rule=rule, action="Make one with: domainvl pack"
            )
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise DatasetError(
                "Unreadable index",
                where=path,
                rule=f"{place}: {first['msg']}" if place else first["msg"],
                action="Pack the data set again with domainvl pack",
            ) from error


class ShardWriter(Protocol):
    """Writes the shards of one split."""

    def add(self, packed: PackedSample) -> None:
        """Append a sample; a new shard begins where the last holds enough."""
        ...

    def close(self) -> list[Path]:
        """End the last shard and return all of them, in order, under their final names."""
        ...


class ShardReader(Protocol):
    """Reads one shard."""

    def __call__(self, path: Path) -> Iterator[UnpackedSample]:
        """Yield the samples in order.

        Raises:
            DatasetError: If the shard breaks a rule of its format.
        """
        ...


def check_file(folder: Path, facts: ShardFacts) -> Path:
    """Find a file that the index lists and check that it is whole.

    Raises:
        InputNotFoundError: If it is not there.
        DatasetError: If its bytes are others, or its name leads out of the folder.
    """
    path = path_inside(folder, facts.name)
    if not path.is_file():
        raise InputNotFoundError("Cannot read a packed data set", where=path, rule="there is no such file")
    seen = ShardFacts.of(path, folder)
    if seen != facts:
        raise DatasetError(
            "Damaged file",
            where=path,
            rule=f"it must be of {facts.size_bytes} bytes with SHA-256 {facts.sha256}, got {seen.size_bytes} bytes "
            f"with {seen.sha256}",
            action="Fetch it again, or pack the data set again",
        )
    return path
