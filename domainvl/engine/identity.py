"""What a unit of work is, as a hash: equal for equal work, wherever its input lies and whoever plans it."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from domainvl.files import hash_file

WHERE = "where"
"""Metadata of a field of a dataclass that only says where something lies, and is no part of what the value says."""


def fingerprint(value: object, *, root: Path) -> str:
    """Hash what a value says.

    Args:
        value: Numbers, text, paths, enums, dataclasses, pydantic models, and tuples, lists, sets or mappings of those.
        root: The input folder; paths below it count by their place in it, others by their name alone.

    Raises:
        TypeError: If a part of the value is something else, whose text may differ from run to run.
    """
    text = json.dumps(_plain(value, root), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: object, root: Path) -> Any:
    """Turn a value into what JSON can say, without losing what tells two values apart."""
    if value is None or isinstance(value, str | int | float):
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, tuple | list):
        return [_plain(item, root) for item in value]
    if isinstance(value, Path):
        return {"path": value.relative_to(root).as_posix() if value.is_relative_to(root) else value.name}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # The fields, not the attributes: what is cached beside them is no part of what the value says.
        told = [item for item in dataclasses.fields(value) if not item.metadata.get(WHERE)]
        fields = {item.name: _plain(getattr(value, item.name), root) for item in told}
        return {type(value).__name__: fields}
    if isinstance(value, BaseModel):
        return {type(value).__name__: {name: _plain(item, root) for name, item in value}}
    if isinstance(value, Mapping):
        return {"map": [[_plain(key, root), _plain(item, root)] for key, item in sorted(value.items())]}
    if isinstance(value, set | frozenset):
        return {"set": [_plain(item, root) for item in sorted(value)]}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, enum.Enum):
        return _plain(value.value, root)
    raise TypeError(f"a unit of work may hold plain values only, got {type(value).__name__}")


@dataclass(frozen=True)
class FileState:
    """A file's content, and what the file system says of it, by which unchanged content is known without reading it.

    Attributes:
        size_bytes: Its size.
        mtime_ns: When its content was changed.
        ctime_ns: When anything about it was changed; no program can set it.
        sha256: Hash of its content.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    sha256: str

    def still_holds(self, path: Path) -> bool:
        """Say whether the file has this content; it is read only where the file system cannot tell."""
        try:
            stat = path.stat()
            if _times(stat) == (self.size_bytes, self.mtime_ns, self.ctime_ns):
                return True
            return stat.st_size == self.size_bytes and hash_file(path) == self.sha256
        except OSError:
            return False


class FileStates:
    """Reads the states of files and remembers them, so that a file which many units read is hashed once."""

    def __init__(self) -> None:
        self._known: dict[Path, FileState] = {}

    def remember(self, path: Path, state: FileState) -> None:
        """Take over what is known from another run."""
        self._known[path] = state

    def of(self, path: Path) -> FileState:
        """Return the state of a file.

        Raises:
            OSError: If it cannot be read.
        """
        known = self._known.get(path)
        size_bytes, mtime_ns, ctime_ns = _times(path.stat())
        if known is None or (known.size_bytes, known.mtime_ns, known.ctime_ns) != (size_bytes, mtime_ns, ctime_ns):
            known = FileState(size_bytes, mtime_ns, ctime_ns, hash_file(path))
            self._known[path] = known
        return known


def _times(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
