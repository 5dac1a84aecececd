"""Arrays that phases pass on to each other: as tables of a unit, and as files with a set of numbers a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from domainvl.corpus.extras import require
from domainvl.corpus.tables import read_table
from domainvl.files import output_errors


def pack(arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    """Put arrays of one dimension into an Arrow table of one row, one column each."""
    pa = require("pyarrow")
    return pa.table(
        {name: pa.array([values], pa.list_(pa.from_numpy_dtype(values.dtype))) for name, values in arrays.items()}
    )


def unpack(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read what :func:`pack` put into a table.

    Raises:
        DatasetError: If it cannot be read.
    """
    table = read_table(path)
    return {name: table.column(name).combine_chunks().values.to_numpy() for name in table.column_names}


def read_column(path: Path, name: str) -> npt.NDArray[Any]:
    """Read a column of numbers from a table.

    Raises:
        DatasetError: If it cannot be read.
    """
    values: npt.NDArray[Any] = read_table(path, columns=[name]).column(name).to_numpy()
    return values


def read_sets(path: Path, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Read a column of lists from a table.

    Returns:
        How long each list is, and the values of all.

    Raises:
        DatasetError: If it cannot be read.
    """
    column = read_table(path, columns=[name]).column(name).combine_chunks()
    return np.diff(column.offsets.to_numpy()).astype(np.int64), column.values.to_numpy()


class SetFile:
    """Sets of uint32 by the number of a document, read one by one from a file that is larger than memory.

    Args:
        folder: Where :meth:`write` wrote.
        name: Under which name.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._file = (folder / f"{name}.bin").open("rb")
        self._numbers = np.load(folder / f"{name}-numbers.npy", mmap_mode="r")
        self._begins = np.load(folder / f"{name}-begins.npy", mmap_mode="r")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getitem__(self, number: int) -> npt.NDArray[np.uint32]:
        place = int(np.searchsorted(self._numbers, number))
        begin, end = int(self._begins[place]), int(self._begins[place + 1])
        self._file.seek(begin * 4)
        return np.frombuffer(self._file.read((end - begin) * 4), dtype=np.uint32)

    @staticmethod
    def write(
        folder: Path,
        name: str,
        wanted: npt.NDArray[np.int64],
        sets: Iterator[tuple[int, Sequence[npt.NDArray[np.uint32]]]],
    ) -> None:
        """Write the sets of some documents.

        Args:
            folder: Where to.
            name: Under which name.
            wanted: Numbers of those documents, ascending.
            sets: Sets of all documents in order, in stretches, each with the number of its first.

        Raises:
            OutputError: If it cannot be written.
        """
        lengths = [0]
        path = folder / f"{name}.bin"
        with output_errors(path), path.open("wb") as file:
            for first, stretch in sets:
                begin, end = np.searchsorted(wanted, [first, first + len(stretch)])
                for number in wanted[begin:end]:
                    values = stretch[number - first]
                    file.write(values.tobytes())
                    lengths.append(len(values))
            np.save(folder / f"{name}-numbers.npy", wanted)
            np.save(folder / f"{name}-begins.npy", np.cumsum(lengths, dtype=np.int64))
