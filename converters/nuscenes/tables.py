"""Reads the tables of a nuScenes data set: JSON files, each one array of rows that have a token.

Tables are read as a stream and only rows that are asked for are kept, because the full set has millions of
rows that no key frame of a camera needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from pydantic import ConfigDict, FiniteFloat, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from domainvl.errors import InputNotFoundError, UsageError

_CHUNK_CHARACTERS = 1 << 20
_BETWEEN_ROWS = " \t\r\n,"

Vector3: TypeAlias = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
Quaternion: TypeAlias = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
RawRow: TypeAlias = dict[str, Any]

_row = dataclass(frozen=True, slots=True, config=ConfigDict(extra="ignore"))


@_row
class SceneRow:
    """A drive of some seconds."""

    token: str
    name: str


@_row
class SampleRow:
    """A key frame."""

    token: str
    timestamp: int
    scene_token: str


@_row
class SensorRow:
    """A sensor of the rig, such as channel ``CAM_FRONT``."""

    token: str
    channel: str


@_row
class CalibratedSensorRow:
    """How a sensor is mounted on the ego vehicle; a camera has a 3x3 intrinsic matrix in pixels."""

    token: str
    sensor_token: str
    translation: Vector3
    rotation: Quaternion
    camera_intrinsic: tuple[Vector3, ...] = ()
    camera_distortion: tuple[FiniteFloat, ...] = ()


@_row
class SampleDataRow:
    """One image: its file, and the tokens of what it was taken with and from where."""

    token: str
    sample_token: str
    ego_pose_token: str
    calibrated_sensor_token: str
    filename: str
    width: int
    height: int


@_row
class EgoPoseRow:
    """Where the ego vehicle was."""

    token: str
    translation: Vector3
    rotation: Quaternion


@_row
class CategoryRow:
    """A class of things."""

    token: str
    name: str


@_row
class InstanceRow:
    """One thing, through all frames of a scene."""

    token: str
    category_token: str


@_row
class VisibilityRow:
    """How much of a thing all cameras together see, such as ``v80-100``."""

    token: str
    level: str


@_row
class AnnotationRow:
    """The cuboid of one thing in one key frame; size is width, length, height in metres."""

    token: str
    sample_token: str
    instance_token: str
    translation: Vector3
    size: Vector3
    rotation: Quaternion
    visibility_token: str | None = None


class _HasToken(Protocol):
    @property
    def token(self) -> str: ...


RowT = TypeVar("RowT", bound=_HasToken)


def table_path(folder: Path, name: str) -> Path:
    """Return the file of a table."""
    return folder / f"{name}.json"


def read_table(
    folder: Path, name: str, row_type: type[RowT], keep: Callable[[RawRow], bool] | None = None
) -> dict[str, RowT]:
    """Read a table.

    Args:
        folder: The folder of tables.
        name: The table's name, without extension.
        row_type: What a row must look like.
        keep: Says of a row as it stands in the file whether it is wanted; all are where None.

    Returns:
        The rows by token, sorted by it, whatever their order in the file.

    Raises:
        InputNotFoundError: If the table is not there.
        UsageError: If it is no JSON array, a row lacks something, or a token occurs twice.
    """
    path = table_path(folder, name)
    adapter = TypeAdapter(row_type)
    rows: dict[str, RowT] = {}
    for number, raw in enumerate(_stream_rows(path), start=1):
        if keep is not None and not keep(raw):
            continue
        where = f"{path}, row {number}"
        try:
            row = adapter.validate_python(raw)
        except ValidationError as error:
            first = error.errors()[0]
            column = ".".join(str(part) for part in first["loc"])
            raise UsageError("Unreadable table row", where=where, rule=f"{column}: {first['msg']}") from error
        if row.token in rows:
            raise UsageError("Ambiguous table row", where=where, rule=f"token {row.token} occurs twice")
        rows[row.token] = row
    return dict(sorted(rows.items()))


def _stream_rows(path: Path) -> Iterator[RawRow]:
    """Yield the objects of a JSON array without holding the array.

    Raises:
        InputNotFoundError: If there is no such file.
        UsageError: If the file is no JSON array of objects.
    """
    if not path.is_file():
        raise InputNotFoundError("Cannot read a table", where=path, rule="there is no such file")
    decoder = json.JSONDecoder()
    with path.open(encoding="utf-8") as file:
        text = file.read(_CHUNK_CHARACTERS).lstrip()
        if not text.startswith("["):
            raise _broken(path, "it must be one JSON array")
        text = text[1:]
        while True:
            text = text.lstrip(_BETWEEN_ROWS)
            if text.startswith("]"):
                return
            position = 0
            # Rows are taken from one chunk until the last, which may be cut in two.
            while position < len(text) and text[position] != "]":
                try:
                    raw, position = decoder.raw_decode(text, position)
                except json.JSONDecodeError:
                    break
                if not isinstance(raw, dict):
                    raise _broken(path, f"each row must be an object, got {type(raw).__name__}")
                yield raw
                position = _skip(text, position)
            chunk = file.read(_CHUNK_CHARACTERS)
            text = text[position:] + chunk
            if not chunk and not text.startswith("]"):
                raise _broken(path, f"the array is cut off or malformed at {text[:40]!r}")


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BETWEEN_ROWS:
        position += 1
    return position


def _broken(path: Path, rule: str) -> UsageError:
    return UsageError("Unreadable table", where=path, rule=rule, action="Fetch the metadata again")
