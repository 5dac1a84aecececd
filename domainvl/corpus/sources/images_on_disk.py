"""Finds the images of pages that are files: below the source folder and nowhere else, and never over the network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn
from urllib.parse import unquote

from domainvl.corpus.sources.page_images import has_scheme
from domainvl.corpus.sources.reading import ReadSettings, SourceFile
from domainvl.errors import ItemError

_LOCAL = re.compile(r"file:|[A-Za-z]:|/|\.\.(?:/|\Z)", re.I)
_REMOTE = re.compile(r"(?:https?|ftp):", re.I)


@dataclass(frozen=True)
class ImagesOnDisk:
    """The images below a source folder, found by the addresses that pages in it give.

    Attributes:
        root: The folder.
        prefix: What addresses of its files begin with: its name and a slash, or nothing where the source is a file.
        max_bytes: Larger files are refused unread.
        base_url: Address that the folder stands for, with a slash at its end.
    """

    root: Path
    prefix: str
    max_bytes: int
    base_url: str | None = None

    @classmethod
    def of(cls, source: SourceFile, settings: ReadSettings) -> ImagesOnDisk:
        """Describe where the images of a source file are."""
        below = _below(source)
        prefix = source.uri[: -len(below)] if source.uri.endswith(below) else ""
        base = settings.base_url
        return cls(source.root, prefix, settings.max_image_bytes, base if base is None else base.rstrip("/") + "/")

    def __call__(self, address: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            ItemError: With reason ``missing``, ``remote``, ``outside-source``, ``too-large`` or ``address``.
        """
        path = self._locate(self._below_root(address), address)
        return read_limited(path, self.max_bytes, what="Cannot use an image", where=address)

    def _below_root(self, address: str) -> str:
        if self.base_url is not None and address.startswith(self.base_url):
            return unquote(address[len(self.base_url) :])
        if _LOCAL.match(address):
            _refuse("outside-source", address, "an image must lie inside the source folder")
        if _REMOTE.match(address):
            _refuse("remote", address, "nothing is downloaded", "Download it, and name its place with --base-url")
        if has_scheme(address):
            _refuse("address", address, "it must be the address of a file")
        if not address.startswith(self.prefix):
            _refuse("outside-source", address, "an image must lie inside the source folder")
        return address[len(self.prefix) :]

    def _locate(self, below: str, address: str) -> Path:
        root = self.root.resolve()
        for name in dict.fromkeys((below, below.partition("?")[0])):
            path = _existing(root, name)
            if path is None:
                continue
            if not path.is_relative_to(root):
                _refuse("outside-source", address, "an image must lie inside the source folder")
            if path.is_file():
                return path
        _refuse("missing", address, "there is no such file")


def page_address(source: SourceFile, settings: ReadSettings) -> str:
    """Return the address of a file: below ``base_url`` where there is one, else its name among the sources."""
    if settings.base_url is None:
        return source.uri
    return f"{settings.base_url.rstrip('/')}/{_below(source)}"


def _below(source: SourceFile) -> str:
    try:
        return source.path.relative_to(source.root).as_posix()
    except ValueError:
        return source.path.resolve().relative_to(source.root.resolve()).as_posix()


def _existing(root: Path, below: str) -> Path | None:
    """Return the file of a name, or the only one whose name differs in case alone: pages come from such systems."""
    path = root
    try:
        if (root / below).exists():
            return (root / below).resolve()
        for part in PurePosixPath(below).parts:
            if part == ".." or not path.is_dir():
                return None
            if not (path / part).exists():
                alike = [entry.name for entry in path.iterdir() if entry.name.lower() == part.lower()]
                if len(alike) != 1:
                    return None
                part = alike[0]
            path = path / part
            if not path.resolve().is_relative_to(root):
                return path.resolve()
        return path.resolve()
    except (OSError, ValueError, RuntimeError):  # a name too long, with NUL, or a loop of links
        return None


def read_limited(path: Path, max_bytes: int, *, what: str, where: str) -> bytes:
    """Read a file unless it is too large, which its size tells before anything is read.

    Args:
        path: The file.
        max_bytes: The most that it may have.
        what: What fails otherwise.
        where: Names it.

    Raises:
        ItemError: With reason ``too-large`` or ``unreadable``.
    """
    try:
        size_bytes = path.stat().st_size
        if size_bytes <= max_bytes:
            with path.open("rb") as file:
                content = file.read(max_bytes + 1)  # it may have grown
            size_bytes = len(content)
            if size_bytes <= max_bytes:
                return content
    except OSError as error:
        raise ItemError(what, reason="unreadable", where=where, rule=error.strerror or str(error)) from error
    rule = f"it may have at most {max_bytes:,} bytes, got {size_bytes:,}"
    raise ItemError(what, reason="too-large", where=where, rule=rule, action="Raise the limit, or leave it out")


def _refuse(reason: str, address: str, rule: str, action: str | None = None) -> NoReturn:
    raise ItemError("Cannot use an image", reason=reason, where=address, rule=rule, action=action)
