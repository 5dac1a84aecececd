"""Collects what is left out before conversion, under names that say nothing without the key."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass

from domainvl.files import hash_file
from domainvl.schema.writer import Reject, Severity

from ..instance import FileRef
from ..privacy.pseudonyms import Pseudonyms

STAGE = "plan"


@dataclass(frozen=True)
class LeftOut:
    """Why something is no input; it quotes neither header nor name.

    Attributes:
        reason: A stable code to count by.
        message: The rule, with the value seen.
        action: The next step.
        severity: Left out as intended, or not usable.
    """

    reason: str
    message: str
    action: str | None = None
    severity: Severity = Severity.SKIPPED


class Leavings:
    """What was left out so far.

    Args:
        pseudonyms: Gives names to files.

    Attributes:
        rejects: One an input.
    """

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms
        self.rejects: list[Reject] = []
        self._files: dict[str, list[FileRef]] = {}

    @property
    def files(self) -> dict[str, tuple[FileRef, ...]]:
        """Which files the names of rejects stand for; for the re-identification map alone."""
        return {name: tuple(refs) for name, refs in self._files.items()}

    def add(self, ref: FileRef, why: LeftOut, *, content: str | None = None) -> None:
        """Leave a file out, under a name that follows from its bytes, wherever it lies.

        Args:
            ref: The file.
            why: Why.
            content: SHA-256 of its bytes, where it is known. Else a file on disk is hashed; a member of an archive, and
                what cannot be read, goes by its name.
        """
        if content is None and not ref.member:
            with contextlib.suppress(OSError):
                content = hash_file(ref.path)
        self._add(ref, why, content or _hash_of_name(ref))

    def add_unread(self, ref: FileRef, why: LeftOut) -> None:
        """Leave something out that must not be opened or cannot be, such as a pipe or a folder, by its name."""
        self._add(ref, why, _hash_of_name(ref))

    def _add(self, ref: FileRef, why: LeftOut, content: str) -> None:
        name = f"file-{self._pseudonyms.of('file', content)}"
        self._files.setdefault(name, []).append(ref)
        self.note(name, why)

    def note(self, name: str, why: LeftOut) -> None:
        """List something that has a name without identifiers already."""
        self.rejects.append(Reject(name, STAGE, why.reason, why.message, why.action, why.severity))


def _hash_of_name(ref: FileRef) -> str:
    # Names may hold bytes that are no text.
    return hashlib.sha256(os.fsencode(ref.member or ref.path)).hexdigest()
