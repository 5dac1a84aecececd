"""What a format of another trainer is: how a sample becomes a row, how a row is read back, how rows lie on disk.

A format states how it expresses boxes and turns every sample into exactly one row, or says by an ItemError why it
cannot. The run in :mod:`domainvl.schema.exchange.export` does the rest.
"""

from __future__ import annotations

import enum
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

from domainvl.errors import ItemError, UsageError
from domainvl.schema.sample import Sample, Split, Turn

Row: TypeAlias = dict[str, Any]
"""One sample in another format."""

SizeOf: TypeAlias = Callable[[str], tuple[int, int]]
"""Gives width and height in pixels of an image that a row refers to."""


class ImageMode(enum.StrEnum):
    """Where the images of an export are.

    Attributes:
        LINK: Beside the rows, as second names of the same files; copied where the file system has no hard links.
        COPY: Beside the rows, as files of their own.
        REFERENCE: Where they were; the rows name them by absolute path.
        EMBED: In the rows.
    """

    LINK = "link"
    COPY = "copy"
    REFERENCE = "reference"
    EMBED = "embed"


@dataclass(frozen=True)
class PlacedImage:
    """One image of a sample, as the rows of an export can refer to it.

    Attributes:
        path: Path in the data set; also in the export, where the images lie beside the rows.
        file: The file in the data set, as an absolute path.
        mode: Where the images of this export are.
    """

    path: str
    file: Path
    mode: ImageMode

    @property
    def reference(self) -> str:
        """The path to name in a row: relative to the export's folder, or absolute."""
        return self.file.as_posix() if self.mode is ImageMode.REFERENCE else self.path

    def read(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            ItemError: If it cannot be read.
        """
        try:
            return self.file.read_bytes()
        except OSError as error:
            raise ItemError(
                "Cannot read an image", reason="image-missing", where=self.path, rule=error.strerror
            ) from error


@dataclass(frozen=True)
class ExchangedSample:
    """What a row of another format says, in our terms.

    Attributes:
        id: Identifier, where the format keeps it.
        images: The images in order, as the row refers to them: by path, or by their content as a data URL.
        turns: The conversation with our placeholders and boxes from 0 to 1000.
    """

    id: str | None
    images: tuple[str, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class ExportFacts:
    """What the files beside the rows may need to say.

    Attributes:
        name: Name of the data set.
        dataset: Its folder, as an absolute path.
        mode: Where the images are.
        counts: Number of rows of each split that has some.
    """

    name: str
    dataset: Path
    mode: ImageMode
    counts: Mapping[Split, int]


class RowWriter(Protocol):
    """Writes the rows of one split."""

    def write(self, row: Row) -> None:
        """Append a row."""
        ...

    def close(self) -> Sequence[ItemError]:
        """Write what is still held back; to close it again does nothing.

        Returns:
            Of the samples appended those that the file cannot hold, which is known only once all are there.
        """
        ...


class Format(Protocol):
    """One format of another trainer.

    Attributes:
        name: As the user names it.
        summary: What reads it.
        boxes: How boxes are expressed.
        image_modes: Where its images may be; the first is the default.
        several_images_note: What readers make of a sample with several images, where they do not agree.
    """

    name: str
    summary: str
    boxes: str
    image_modes: tuple[ImageMode, ...]
    several_images_note: str | None

    def to_row(self, sample: Sample, images: Sequence[PlacedImage]) -> Row:
        """Express a sample.

        Raises:
            ItemError: If the format cannot express it.
        """
        ...

    def from_row(self, row: Row, size_of: SizeOf) -> ExchangedSample:
        """Read a row back.

        Raises:
            DatasetError: If it breaks a rule of the format.
        """
        ...

    def open_rows(self, folder: Path, split: Split) -> RowWriter:
        """Start the file of a split.

        Raises:
            UsageError: If a package that it needs is not installed.
        """
        ...

    def read_rows(self, folder: Path, split: Split) -> Iterator[Row]:
        """Read the rows of a split in order.

        Raises:
            InputNotFoundError: If the export has no such split.
            DatasetError: If the file is none of this format.
        """
        ...

    def finish(self, folder: Path, facts: ExportFacts) -> None:
        """Write the files beside the rows."""
        ...


_MODULES = {
    "hub": "hub",
    "internvl": "internvl",
    "llava": "llava",
    "ms-swift": "ms_swift",
    "openai": "openai_messages",
    "sharegpt": "sharegpt",
    "vlmevalkit": "vlmevalkit",
}


def format_names() -> list[str]:
    """Return the names of all formats, sorted."""
    return sorted(_MODULES)


def load_format(name: str) -> Format:
    """Load a format by name.

    Raises:
        UsageError: If there is none of that name.
    """
    if name not in _MODULES:
        raise UsageError("Unknown format", rule=f"--format must be one of {', '.join(format_names())}, got {name!r}")
    module = importlib.import_module(f"domainvl.schema.exchange.{_MODULES[name]}")
    return cast(Format, module.FORMAT)


_SPEAKERS = {"human": "human", "assistant": "gpt"}
_ROLES = {"human": "user", "assistant": "assistant"}


def to_conversations(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Write turns as ``[{"from": "human", "value": ...}, {"from": "gpt", ...}]``."""
    return [{"from": _SPEAKERS[turn.role], "value": turn.text} for turn in turns]


def from_conversations(conversations: Sequence[Mapping[str, str]]) -> tuple[Turn, ...]:
    """Read turns written by :func:`to_conversations`.

    Raises:
        KeyError: If a key is missing or a speaker is neither human nor gpt.
    """
    back = {speaker: role for role, speaker in _SPEAKERS.items()}
    return tuple(Turn.model_validate({"role": back[said["from"]], "text": said["value"]}) for said in conversations)


def to_messages(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Write turns as ``[{"role": "user", "content": ...}, {"role": "assistant", ...}]``."""
    return [{"role": _ROLES[turn.role], "content": turn.text} for turn in turns]


def from_messages(messages: Sequence[Mapping[str, str]]) -> tuple[Turn, ...]:
    """Read turns written by :func:`to_messages`.

    Raises:
        KeyError: If a key is missing or a role is neither user nor assistant.
    """
    back = {role: ours for ours, role in _ROLES.items()}
    return tuple(Turn.model_validate({"role": back[said["role"]], "text": said["content"]}) for said in messages)
