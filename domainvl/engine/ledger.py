"""What is done already: one file a finished unit, which is there as a whole or not at all.

A part holds the small results of its unit (never pixels) and is named by the unit's key. It is the completion marker
at the same time: nothing else has to be written for a unit to count as done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainvl.files import write_atomically

_FORMAT = 1


@dataclass(frozen=True)
class Part:
    """One finished unit.

    Attributes:
        info: What the unit's maker noted about it.
        lines: Its results, one JSON text each.
    """

    info: Mapping[str, Any]
    lines: tuple[str, ...]


class Ledger:
    """The parts in one folder; several processes may write at once.

    Args:
        folder: Where they lie; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, info: Mapping[str, Any], lines: Iterable[str]) -> None:
        """Note that a unit is done.

        Args:
            key: Hash that names the unit.
            info: What can be said as JSON.
            lines: Results, each a text without line breaks.

        Raises:
            OutputError: If it cannot be written.
        """
        # backslashreplace: a file name that is not UTF-8 holds lone surrogates, which JSON can only escape.
        body = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        head = {"format": _FORMAT, "key": key, "sha256": hashlib.sha256(body).hexdigest(), "info": info}
        write_atomically(self._path(key), json.dumps(head, separators=(",", ":")).encode() + b"\n" + body)

    def get(self, key: str) -> Part | None:
        """Return a part; None where there is none, or where it is damaged: after a power cut a file may be cut short.

        Args:
            key: Hash that names the unit.
        """
        try:
            head_line, _, body = self._path(key).read_bytes().partition(b"\n")
            head = json.loads(head_line)
            is_whole = head["format"] == _FORMAT and head["key"] == key
            if not is_whole or head["sha256"] != hashlib.sha256(body).hexdigest():
                return None
            return Part(head["info"], tuple(body.decode().split("\n")[:-1]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keys(self) -> Iterator[str]:
        """Name all parts, in no particular order."""
        for path in self._folder.glob("??/*.jsonl"):
            yield path.stem

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.jsonl"
