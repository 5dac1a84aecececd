"""Reads single slices of a volume, whatever its size: from the file itself, or from a scratch file it is unpacked to.

A packed volume is unpacked once, from its start to its end. A part of a file is mapped at a time, and nothing of it is
held between slices; a slice across the first or second axis takes a look at every part.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from domainvl.errors import ItemError
from domainvl.files import output_errors

from .cutting import Cut
from .files import NiftiFile
from .header import READ_ERRORS, VolumeHeader, is_packed, open_unpacked

_CHUNK_BYTES = 1 << 20
_WINDOW_BYTES = 1 << 26
"""Bytes of a file that are mapped at once."""

Raw = npt.NDArray[Any]


class Voxels:
    """The stored values of a file.

    Args:
        file: An open file, not packed.
        header: Its header.
    """

    def __init__(self, file: IO[bytes], header: VolumeHeader) -> None:
        self._file = file
        self.header = header

    def slice(self, cut: Cut, index: int, volume: int) -> Raw:
        """Return the stored values of one slice, of shape (rows, columns) or (rows, columns, 3).

        Args:
            cut: How the volume is cut.
            index: Place of the slice along its axis.
            volume: Which volume of the file.
        """
        if cut.axis == 2:
            raw = self.block(index, volume)
        else:
            parts = []
            for first, last in self._windows():
                mapped = self._mapped(first, last, volume)
                parts.append(np.array(mapped[index] if cut.axis == 0 else mapped[:, index]))
            raw = np.concatenate(parts, axis=1)
        raw = raw.T
        return np.stack([raw[name] for name in "RGB"], axis=-1) if self.header.is_colour else raw

    def block(self, index: int, volume: int) -> Raw:
        """Return what is stored at one index of the third axis: the order in which a file is read quickest."""
        return np.array(self._mapped(index, index + 1, volume)[:, :, 0])

    def at(self, voxels: npt.NDArray[np.int64], volume: int) -> Raw:
        """Return the stored values at some voxels.

        Args:
            voxels: Their indices, of shape (n, 3).
            volume: Which volume of the file.
        """
        found = np.zeros(len(voxels), self.header.dtype)
        for first, last in self._windows():
            here = (voxels[:, 2] >= first) & (voxels[:, 2] < last)
            if here.any():
                x, y, z = voxels[here].T
                found[here] = self._mapped(first, last, volume)[x, y, z - first]
        return found

    def scaled(self, raw: Raw) -> npt.NDArray[np.float64]:
        """Return values of stored ones, as the header scales them (``scl_slope``, ``scl_inter``)."""
        values = raw.astype(np.float64)
        if self.header.slope is not None:
            values *= self.header.slope
            values += self.header.intercept
        return values

    def _windows(self) -> Iterator[tuple[int, int]]:
        """Divide the third axis, so that a part of it is small enough to be mapped at once."""
        depth = self.header.shape[2]
        step = max(1, _WINDOW_BYTES // self._block_bytes)
        for first in range(0, depth, step):
            yield first, min(first + step, depth)

    @property
    def _block_bytes(self) -> int:
        return self.header.shape[0] * self.header.shape[1] * self.header.dtype.itemsize

    def _mapped(self, first: int, last: int, volume: int) -> Raw:
        # Mapped anew each time: pages of an earlier part do not stay in this process.
        header = self.header
        offset = header.offset + (volume * header.shape[2] + first) * self._block_bytes
        return np.memmap(self._file, header.dtype, "r", offset, (*header.shape[:2], last - first), order="F")


@contextlib.contextmanager
def open_voxels(file: NiftiFile, header: VolumeHeader, *, unpack_limit_bytes: int) -> Iterator[Voxels]:
    """Open a file for its voxels.

    Args:
        file: The file.
        header: Its header.
        unpack_limit_bytes: A packed file whose header says more than this is refused.

    Raises:
        ItemError: By ``truncated`` if it ends before the last voxel, ``gzip`` if it cannot be unpacked, or
            ``unpack-limit``.
        OutputError: If there is no room for a scratch file.
    """
    path = file.pixels
    if not is_packed(path):
        size_bytes = path.stat().st_size
        if size_bytes < header.end:
            raise _truncated(size_bytes, header.end)
        with path.open("rb") as opened:
            yield Voxels(opened, header)
        return
    if header.end > unpack_limit_bytes:
        raise ItemError(
            "Cannot unpack a volume",
            reason="unpack-limit",
            rule=f"its header says {header.end} bytes, and up to {unpack_limit_bytes} are unpacked",
            action="If the file is sound, raise --unpack-limit-gb",
        )
    with _scratch_file() as scratch:
        _unpack(path, header.end, scratch)
        yield Voxels(scratch, header)


@contextlib.contextmanager
def _scratch_file() -> Iterator[IO[bytes]]:
    with output_errors(Path(tempfile.gettempdir())):
        scratch = tempfile.TemporaryFile()
    with scratch:
        yield scratch


def _unpack(path: Path, wanted_bytes: int, scratch: IO[bytes]) -> None:
    """Unpack what the header says, and look beyond it, where the checksum stands."""
    done = 0
    try:
        with open_unpacked(path) as packed:
            while done < wanted_bytes and (chunk := packed.read(min(_CHUNK_BYTES, wanted_bytes - done))):
                with output_errors(Path(tempfile.gettempdir())):
                    scratch.write(chunk)
                done += len(chunk)
            if done == wanted_bytes:
                packed.read(_CHUNK_BYTES)
    except EOFError as error:
        raise _truncated(None, wanted_bytes) from error
    except READ_ERRORS as error:
        raise ItemError(
            "Cannot unpack a volume",
            reason="gzip",
            rule=f"its gzip stream is damaged ({type(error).__name__})",
            action="Fetch the file again",
        ) from error
    if done < wanted_bytes:
        raise _truncated(done, wanted_bytes)
    with output_errors(Path(tempfile.gettempdir())):
        scratch.flush()


def _truncated(found_bytes: int | None, wanted_bytes: int) -> ItemError:
    seen = "the packed file ends before" if found_bytes is None else f"the file ends after {found_bytes}"
    return ItemError(
        "Cannot read voxels",
        reason="truncated",
        rule=f"the header says {wanted_bytes} bytes, and {seen}",
        action="Fetch the file again; it was cut off",
    )
