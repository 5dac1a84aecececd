"""The arrays of a MedMNIST file, read one image at a time.

A file is a ZIP archive of ``.npy`` members (``numpy.savez``): ``SPLIT_images`` and ``SPLIT_labels``. The largest
unpacks to 13 GB, so images are streamed; no member is ever unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from domainvl.errors import DatasetError, ItemError

_LABELS_BYTES_MAX = 64 * 2**20
"""Of the largest published labels, 1.6 MB."""

_READ_ERRORS = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@dataclass(frozen=True)
class Member:
    """One array of a file.

    Attributes:
        name: Its name, without ``.npy``.
        shape: Its shape.
        dtype: Its type.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


def read_members(path: Path) -> dict[str, Member]:
    """Read what arrays a file has, without their content.

    Raises:
        DatasetError: If it is no such file, or an array holds Python objects, which are never unpickled.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            members = {}
            for name in names:
                with archive.open(name) as file:
                    shape, dtype = _read_header(file)
                _check_size(archive.getinfo(name), shape, dtype)
                members[name.removesuffix(".npy")] = Member(name.removesuffix(".npy"), shape, dtype.str)
            return members
    except _READ_ERRORS as error:
        rule = f"it must be a .npz file of plain arrays ({type(error).__name__})"
        raise DatasetError("Unreadable file", where=path, rule=rule, action="Fetch the file again") from error


def read_labels(path: Path, member: Member) -> npt.NDArray[np.int64]:
    """Read an array of labels as int64 of shape (images, labels of an image).

    Raises:
        DatasetError: If it cannot be read, or is no such array.
    """
    dtype = np.dtype(member.dtype)
    size = int(np.prod(member.shape, dtype=np.int64)) * dtype.itemsize
    if dtype.kind not in "uib" or len(member.shape) not in (1, 2) or size > _LABELS_BYTES_MAX:
        rule = f"{member.name} must be whole numbers of shape (images, labels), got {member.dtype} {member.shape}"
        raise DatasetError("Unreadable file", where=path, rule=rule)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{member.name}.npy") as file:
            _read_header(file)
            labels = np.frombuffer(_read_exactly(file, size), dtype).reshape(member.shape)
    except _READ_ERRORS as error:
        rule = f"{member.name} is damaged ({type(error).__name__})"
        raise DatasetError("Unreadable file", where=path, rule=rule, action="Fetch the file again") from error
    return (labels[:, None] if labels.ndim == 1 else labels).astype(np.int64)


def stream_images(path: Path, member: Member, start: int, count: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield some images, one at a time.

    Args:
        path: The file.
        member: The array, uint8 with images along its first axis.
        start: The first image.
        count: How many.

    Yields:
        uint8 of the shape of one image.

    Raises:
        ItemError: If the file is damaged.
    """
    shape = member.shape[1:]
    size = int(np.prod(shape, dtype=np.int64))
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{member.name}.npy") as file:
            _read_header(file)
            file.seek(start * size, 1)
            for _ in range(count):
                yield np.frombuffer(_read_exactly(file, size), np.uint8).reshape(shape)
    except _READ_ERRORS as error:
        raise ItemError(
            "Cannot read images",
            reason="file-read",
            where=path.name,
            rule=f"{member.name} is damaged ({type(error).__name__})",
            action="Fetch the file again",
        ) from error


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read the header of a member (NEP 1); column order and objects are refused."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError("unknown version")
    if is_fortran and len(shape) > 1:
        raise ValueError("column order")
    if dtype.hasobject:
        raise ValueError("Python objects")
    return shape, dtype


def _check_size(info: zipfile.ZipInfo, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if info.file_size < int(np.prod(shape, dtype=object) or 0) * dtype.itemsize:
        raise ValueError("shorter than its header says")


def _read_exactly(file: IO[bytes], size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise EOFError("the array ends too early")
    return content
