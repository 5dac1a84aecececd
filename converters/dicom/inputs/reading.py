"""Reads the bytes of single files, wherever they lie: on disk, compressed or in an archive."""

from __future__ import annotations

import contextlib
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from domainvl.errors import ItemError

from ..instance import FileRef
from .archives import Archive, open_archive
from .content import HEAD_BYTES, Content, content_of
from .deflated import check_deflated
from .listing import ARCHIVE_ERRORS, more_than_declared

_SIZE_FIELD_BYTES = 4


class FileReader:
    """Reads files and keeps the archive open that it read from last; use it as a context manager.

    Members of a tar archive compressed by bzip2 or xz are best read in its order: for one that lies behind, it is
    unpacked from its start again.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._archive: Archive | None = None

    def __enter__(self) -> FileReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the archive that is open."""
        if self._archive is not None:
            self._archive.close()
        self._path = self._archive = None

    def read(self, ref: FileRef) -> bytes:
        """Return the bytes of a file, unpacked where it is compressed by gzip.

        Raises:
            ItemError: ``read`` if it has vanished or is damaged, ``archive-too-large`` if it is longer than it says,
                ``deflated-too-large`` if pydicom would unpack more of it than memory is for.
        """
        with _as_item_error():
            if ref.member:
                content = self._open(ref.path).read(ref.member)
            else:
                content = ref.path.read_bytes()
                if content_of(content[:HEAD_BYTES]) is Content.GZIP:
                    content = unpack(content)
            check_deflated(content)
            return content

    def head(self, ref: FileRef) -> bytes:
        """Return the first bytes of a file, or more; errors as :meth:`read`."""
        with _as_item_error():
            if ref.member:
                return self._open(ref.path).head(ref.member)
            with ref.path.open("rb") as file:
                head = file.read(HEAD_BYTES)
            if content_of(head) is not Content.GZIP:
                return head
            with gzip.open(ref.path) as unpacking:
                return unpacking.read(HEAD_BYTES)

    def _open(self, path: Path) -> Archive:
        if self._archive is None or self._path != path:
            self.close()
            with path.open("rb") as file:
                content = content_of(file.read(HEAD_BYTES))
            self._archive = open_archive(path, content)
            self._path = path
        if self._archive is None:
            raise ValueError("no archive any more")
        return self._archive


@contextlib.contextmanager
def _as_item_error() -> Iterator[None]:
    try:
        yield
    except ARCHIVE_ERRORS as error:
        raise ItemError(
            "Cannot read a file",
            reason="read",
            rule=f"it is damaged or not there any more ({type(error).__name__})",
            action="Fetch the file or its archive again; it may have been cut off or moved",
        ) from error


def unpack(content: bytes) -> bytes:
    """Unpack a gzip file to as many bytes as its last field declares (RFC 1952 2.3.1).

    Raises:
        EOFError: If it is cut off.
        ItemError: If there are more.
        OSError: If it is damaged.
    """
    declared_bytes = int.from_bytes(content[-_SIZE_FIELD_BYTES:], "little")
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        unpacked = file.read(declared_bytes + 1)
    if len(unpacked) > declared_bytes:
        raise more_than_declared()
    return unpacked
