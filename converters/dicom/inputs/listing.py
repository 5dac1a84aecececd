"""What an archive holds, and why members of one are refused."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
from dataclasses import dataclass

from domainvl.errors import ItemError
from domainvl.schema.writer import Severity

from ..headers import PARSE_ERRORS
from .leaving_out import LeftOut

FILE_BYTES_MAX = (1 << 32) - 2
"""Largest file that is read into memory: the longest value that an element can state (PS3.5 7.1.1)."""

ARCHIVE_ERRORS = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, *PARSE_ERRORS)
"""What the standard library raises on damaged archives. Their texts may quote names and are never passed on."""

UNPACK_YOURSELF = "Unpack it yourself if you trust it, and name the folder"


@dataclass(frozen=True)
class Refused:
    """A member that is left out.

    Attributes:
        name: Its name.
        why: Why.
    """

    name: str
    why: LeftOut


@dataclass(frozen=True)
class Listing:
    """What an archive holds.

    Attributes:
        names: Members that can be read.
        refused: Members that are left out.
        problem: Why the archive as a whole, or what of it is not listed, is left out.
    """

    names: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()
    problem: LeftOut | None = None


def too_large(limit_bytes: int) -> LeftOut:
    """Say that an archive holds more than may be unpacked."""
    return LeftOut(
        "archive-too-large",
        f"unpacked, the archive holds more than the limit of {limit_bytes} bytes",
        "Raise --unpack-limit-gb if you trust it, or unpack it yourself and name the folder",
        Severity.FAILED,
    )


def damaged(what: str) -> LeftOut:
    """Say that an archive, or the rest of it, cannot be read."""
    return LeftOut("archive-damaged", what, "Fetch the archive again; it may have been cut off", Severity.FAILED)


def more_than_declared() -> ItemError:
    """Return the error for a compressed file that is longer, unpacked, than it says."""
    return ItemError(
        "Cannot unpack a file",
        reason="archive-too-large",
        rule="it unpacks to more bytes than it declares",
        action=UNPACK_YOURSELF,
    )


def unsafe(name: str, what: str) -> Refused:
    """Refuse a member for what it is."""
    why = LeftOut("archive-unsafe-member", f"the member {what}", UNPACK_YOURSELF, Severity.FAILED)
    return Refused(name, why)


def refused_for_name(name: str) -> Refused | None:
    """Refuse a member whose name leads out of the archive; None for any other name."""
    parts = name.replace("\\", "/").split("/")
    if parts[0] == "" or parts[0].endswith(":"):
        return unsafe(name, "has an absolute name")
    return unsafe(name, "has a name that leads out of the archive") if ".." in parts else None


def refused_for_size(name: str, size_bytes: int) -> Refused | None:
    """Refuse a member that is longer than :data:`FILE_BYTES_MAX`; None for any other."""
    if size_bytes <= FILE_BYTES_MAX:
        return None
    why = LeftOut(
        "archive-too-large",
        f"the member holds {size_bytes} bytes; at most {FILE_BYTES_MAX} are read into memory",
        UNPACK_YOURSELF,
        Severity.FAILED,
    )
    return Refused(name, why)


def repeated() -> LeftOut:
    """Say that a member is not the first of its name."""
    return LeftOut(
        "archive-repeated-member",
        "the archive has an earlier member of the same name",
        UNPACK_YOURSELF,
        Severity.FAILED,
    )
