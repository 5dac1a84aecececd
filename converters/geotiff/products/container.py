"""Where the files of a folder product are: in a folder, or packed in a .zip or .tar that GDAL reads in place."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from domainvl.errors import ItemError

from ...paths import is_inside

METADATA_LIMIT_BYTES = 64 << 20
"""A metadata file larger than this is none: those of Sentinel-2 and Landsat have less than 1 MB."""

ArchiveKind: TypeAlias = Literal["zip", "tar"]
LocalFiles: TypeAlias = tuple[tuple[str, str], ...]


class Container(Protocol):
    """The files of one product, by their path inside it with forward slashes."""

    @property
    def uri(self) -> str:
        """How messages name it; empty for the input folder itself."""

    @property
    def location(self) -> str:
        """The folder, or the address that GDAL opens."""

    def has(self, name: str) -> bool:
        """Say whether there is such a file, and inside the product."""

    def read(self, name: str) -> bytes:
        """Read a small file.

        Raises:
            ItemError: If it cannot be read or is far larger than metadata is.
        """

    def address(self, name: str) -> str:
        """Return the path or address of a file for GDAL."""

    def local_files(self, names: Sequence[str]) -> LocalFiles:
        """Return the files on disk that hold these, each with the name by which it may be mentioned."""


@dataclass(frozen=True)
class Folder:
    """A folder.

    Attributes:
        path: The folder.
        uri: How messages name it; empty for the input folder itself.
    """

    path: Path
    uri: str

    @property
    def location(self) -> str:
        """The folder."""
        return str(self.path)

    def has(self, name: str) -> bool:
        """Say whether there is such a file, and inside the folder."""
        return is_inside(name) and (self.path / name).is_file()

    def read(self, name: str) -> bytes:
        """Read a small file.

        Raises:
            ItemError: If it cannot be read or is far larger than metadata is.
        """
        path, where = self.path / name, join_uri(self.uri, name)
        try:
            check_size(path.stat().st_size, where)
            return path.read_bytes()
        except OSError as error:
            raise unreadable(where, error.strerror or str(error)) from error

    def address(self, name: str) -> str:
        """Return the path of a file."""
        return str(self.path / name)

    def local_files(self, names: Sequence[str]) -> LocalFiles:
        """Return the files themselves."""
        return tuple((join_uri(self.uri, name), self.address(name)) for name in names)


@dataclass(frozen=True)
class Archive:
    """A packed folder.

    Attributes:
        path: The archive.
        archive_uri: How messages name the archive.
        kind: How it is packed.
        names: All files in it.
        uri: How messages name the folder.
        root: Folder inside the archive that is the product, with a slash at its end; empty for all of it.
    """

    path: Path
    archive_uri: str
    kind: ArchiveKind
    names: frozenset[str]
    uri: str
    root: str = ""

    @property
    def location(self) -> str:
        """The address of the folder for GDAL."""
        return self.address("").rstrip("/")

    def has(self, name: str) -> bool:
        """Say whether there is such a file."""
        return is_inside(name) and self.root + name in self.names

    def read(self, name: str) -> bytes:
        """Read a small file.

        Raises:
            ItemError: If it cannot be read or is far larger than metadata is.
        """
        where = join_uri(self.uri, name)
        try:
            return self._read_zip(name, where) if self.kind == "zip" else self._read_tar(name, where)
        except (OSError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile, tarfile.TarError) as error:
            raise unreadable(where, str(error)) from error

    def _read_zip(self, name: str, where: str) -> bytes:
        with zipfile.ZipFile(self.path) as archive:
            member = archive.getinfo(self.root + name)
            check_size(member.file_size, where)
            return archive.read(member)

    def _read_tar(self, name: str, where: str) -> bytes:
        with tarfile.open(self.path, "r:") as archive:
            member = archive.getmember(self.root + name)
            check_size(member.size, where)
            content = archive.extractfile(member)
            if content is None:
                raise unreadable(where, "it is no plain file")
            return content.read()

    def address(self, name: str) -> str:
        """Return the address of a file for GDAL."""
        return f"/vsi{self.kind}/{self.path}/{self.root}{name}"

    def local_files(self, names: Sequence[str]) -> LocalFiles:
        """Return the archive, which holds them all."""
        return ((self.archive_uri, str(self.path)),)


def open_archive(path: Path, uri: str, kind: ArchiveKind) -> Archive:
    """List what is packed; nothing is unpacked.

    Raises:
        ItemError: If it is no such archive.
    """
    try:
        if kind == "zip":
            with zipfile.ZipFile(path) as packed:
                names = [member.filename for member in packed.infolist() if not member.is_dir()]
        else:
            with tarfile.open(path, "r:") as packed_tar:
                names = [member.name.removeprefix("./") for member in packed_tar if member.isfile()]
    except (OSError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise ItemError(
            "Cannot open an archive",
            reason="archive-open",
            where=uri,
            rule=f"it is no readable .{kind} ({error})",
            action="Fetch the file again; it is incomplete",
        ) from error
    return Archive(path, uri, kind, frozenset(names), uri)


def join_uri(folder: str, name: str) -> str:
    """Join names with a slash; an empty folder is left out."""
    return f"{folder}/{name}" if folder else name


def check_size(size_bytes: int, where: str) -> None:
    """Refuse to read a metadata file that cannot be one.

    Raises:
        ItemError: If it is too large.
    """
    if size_bytes > METADATA_LIMIT_BYTES:
        raise unreadable(where, f"metadata has at most {METADATA_LIMIT_BYTES} bytes, this has {size_bytes}")


def unreadable(where: str, rule: str) -> ItemError:
    """Say that a metadata file cannot be read."""
    return ItemError(
        "Cannot read metadata", reason="metadata-open", where=where, rule=rule, action="Fetch the product again"
    )
