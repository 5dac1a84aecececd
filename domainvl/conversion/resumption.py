"""Which units an earlier run has done, and what is known of their files."""

from __future__ import annotations

from collections import Counter
from typing import Any

from domainvl.conversion.assembly import piece_keys
from domainvl.conversion.converter import Converter
from domainvl.conversion.progress import Progress
from domainvl.conversion.work import Done, Staging, Task
from domainvl.engine import FileState, FileStates, Outcome, Part


class Resumption:
    """What lies in a staging folder from an earlier run, as far as it still holds.

    Args:
        converter: What reads the input.
        staging: The folder.
        progress: Counts what is found to be done.

    Attributes:
        files: States of the input files that are known.
    """

    def __init__(self, converter: Converter[Any, Any], staging: Staging, progress: Progress) -> None:
        self._converter = converter
        self._staging = staging
        self._progress = progress
        self._vouched: set[str] = set()
        self.files = FileStates()

    def take_over(self, task: Task) -> bool:
        """Count a planned unit as done if it is, with all its pieces, from files as they are now."""
        part = self._part(task.key)
        if part is None or not self._has_same_files(task, part):
            return False
        pieces = [self._part(key) for key, _ in piece_keys(part)]
        whole = [piece for piece in pieces if piece is not None]
        if len(whole) < len(pieces):
            return False
        self._progress.planned += len(pieces)
        for done in (part, *whole):
            self._count(done)
        return True

    def missing_pieces(self, outcome: Outcome[Task, Done]) -> list[Task]:
        """Return the pieces of a unit that was just divided, and count those as done that an earlier run did."""
        missing = []
        for piece in outcome.result.pieces if outcome.result is not None else ():
            self._progress.planned += 1
            part = self._part(piece.key)
            if part is None:
                missing.append(piece)
            else:
                self._count(part)
        return missing

    def learn(self, done: Done) -> None:
        """Take over what the worker that did a unit knows of its files."""
        for path, state in done.files:
            if state is not None:
                self.files.remember(path, state)

    def remove_doubtful_images(self) -> None:
        """Remove images that no finished unit vouches for: after a power cut they may be cut short.

        They would else be kept, because an image that is there is not written again.
        """
        for path in (self._staging.dataset / "images").rglob("*.*"):
            if path.relative_to(self._staging.dataset).as_posix() not in self._vouched:
                path.unlink()
        self._vouched.clear()

    def _part(self, key: str) -> Part | None:
        """Return a part whose images are all there; its key names the content of a piece's files."""
        part = self._staging.ledger.get(key)
        if part is None or not self._staging.has_images(part):
            return None
        self._vouched |= part.info["images"].keys()
        return part

    def _has_same_files(self, task: Task, part: Part) -> bool:
        paths = list(self._converter.unit_files(task.unit))
        states = [FileState(**state) if state is not None else None for state in part.info["files"]]
        if len(paths) != len(states):
            return False
        for path, state in zip(paths, states, strict=True):
            if state is None and path.exists():
                return False
            if state is not None:
                if not state.still_holds(path):
                    return False
                self.files.remember(path, state)
        return True

    def _count(self, part: Part) -> None:
        self._progress.done += 1
        self._progress.resumed += 1
        self._progress.samples += part.info["samples"]
        self._progress.failed += part.info["failed"]
        self._progress.failed_inputs += part.info["failed_count"]
        self._progress.drops += Counter(part.info["drops"])
