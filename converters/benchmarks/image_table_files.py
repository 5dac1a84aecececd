"""Tables of images, CSV or Excel, and the image files that their rows name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from domainvl.errors import DatasetError, InputNotFoundError, ItemError, UsageError

from ..tables import read_rows, repeated
from .image_files import IMAGE_SUFFIXES
from .reading import row_error


@dataclass(frozen=True)
class ImageTable:
    """A table as text.

    Attributes:
        path: The file.
        name: Names it in rejects and in the manifest.
        columns: Names of its columns.
        rows: Number of each row, as spreadsheets have it, and its cells by column.
    """

    path: Path
    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]

    def row_name(self, number: int) -> str:
        """Name a row in a reject."""
        return f"{self.name} row {number}"

    def values(self, column: str) -> set[str]:
        """Return what stands in a column, empty cells left out."""
        return {cells[column] for _, cells in self.rows} - {""}

    def has(self, column: str, setting: str) -> str:
        """Return the name of a column that a setting names.

        Raises:
            UsageError: If there is none of that name.
        """
        if column not in self.columns:
            raise UsageError(
                f"Cannot use --{setting.replace('_', '-')}",
                where=self.path,
                rule=f"the table must have a column {column!r}",
                action=f"Its columns are: {', '.join(self.columns)}",
            )
        return column


def read_table(path: Path, name: str) -> ImageTable:
    """Read a table, see :func:`domainvl.converters.tables.read_rows`.

    Args:
        path: The file.
        name: Names it in rejects and in the manifest.

    Raises:
        InputNotFoundError: If the file is not there.
        DatasetError: If it cannot be read, or two columns have one name.
    """
    if not path.is_file():
        raise InputNotFoundError("Cannot read a table", where=path, rule="there is no such file")

    def unusable(rule: str) -> DatasetError:
        return DatasetError("Unreadable file", where=path, rule=rule, action="Correct the table, or save it again")

    lines = read_rows(path, unusable)
    _, columns = next(lines, (1, []))
    if not columns or "" in columns or repeated(columns):
        raise unusable("its first row must name all columns, each in another way")
    rows = []
    for number, cells in lines:
        if len(cells) > len(columns):
            raise unusable(
                f"row {number} must have {len(columns)} fields as the header, it has {len(cells)}: text with commas "
                "needs quotes around it"
            )
        rows.append((number, dict.fromkeys(columns, "") | dict(zip(columns, cells, strict=False))))
    return ImageTable(path, name, tuple(columns), tuple(rows))


class ImageFiles:
    """Finds images by what a table calls them: a path or a name, with or without an ending.

    Args:
        folder: Where they are, at any depth.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: dict[str, Path] = {}
        self._by_name: dict[str, list[str]] = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
                continue
            uri = path.relative_to(folder).as_posix()
            self.paths[uri] = path
            for name in {uri, _without_ending(uri), path.name, path.stem}:
                self._by_name.setdefault(name, []).append(uri)

    def find(self, name: str, where: str) -> str:
        """Return the path of an image below the folder.

        Args:
            name: As the table has it.
            where: Names the row in an error.

        Raises:
            ItemError: If none or several are called so; the message does not say how.
        """
        asked = PurePosixPath(name.replace("\\", "/")).as_posix()
        if asked in self.paths:
            return asked
        found = self._by_name.get(asked) or self._by_name.get(_without_ending(asked)) or []
        if len(found) == 1:
            return found[0]
        if not found:
            raise ItemError(
                "Cannot use a row",
                reason="image-missing",
                where=where,
                rule="no image file has the name that the row gives",
                action="Fetch the complete set of images",
            )
        rule = f"{len(found)} image files have the name that the row gives"
        raise row_error("image-ambiguous", where, rule)


def _without_ending(name: str) -> str:
    """Return a path without the ending of an image; "lesion.1" has none."""
    head, dot, ending = name.rpartition(".")
    return head if dot and f".{ending.lower()}" in IMAGE_SUFFIXES else name
