"""The images of a record as its top level tells them: paths and sizes, which InternVL's trainer reads from there."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field

from domainvl.schema.sample import Record
from domainvl.schema.validation.findings import Problem, show

_SCHEME_OR_DRIVE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_LARGEST_SIDE_PX = (1 << 31) - 1  # of a PNG (ISO/IEC 15948, 11.2.2)


@dataclass
class ImageColumns:
    """The images of a record as its top level tells them; a value of the wrong type stands as None.

    Attributes:
        paths: Path of each image.
        widths_px: Width of each.
        heights_px: Height of each.
        problems: What is wrong with them.
    """

    paths: list[str | None] = field(default_factory=list)
    widths_px: list[int | None] = field(default_factory=list)
    heights_px: list[int | None] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def agree(self) -> bool:
        """Whether the lists are equally long."""
        return len(self.paths) == len(self.widths_px) == len(self.heights_px)


def read_image_columns(record: Record) -> ImageColumns:
    """Read the images of a record.

    Args:
        record: The object of a line.
    """
    columns = ImageColumns()
    image = record.get("image")
    if image is None:
        return columns
    many = isinstance(image, list)
    if not many and not isinstance(image, str):
        columns.problems.append(("value-type", f"image must be a path or a list of paths, got {show(image)}"))
        return columns
    for index, path in enumerate(image if many else [image]):
        columns.paths.append(_check_path(path, index, columns.problems))
    columns.widths_px = _size_column(record, "width_list" if many else "width", columns.problems)
    columns.heights_px = _size_column(record, "height_list" if many else "height", columns.problems)
    keys_missing = any(code == "key-missing" for code, _ in columns.problems)
    if not columns.agree and not keys_missing:
        counts = f"{len(columns.paths)}, {len(columns.widths_px)} and {len(columns.heights_px)}"
        columns.problems.append(("image-lists", f"image, width_list and height_list have {counts} entries"))
    return columns


def path_problem(path: str) -> str | None:
    """Say what is wrong with an image path, or return None.

    A path is relative to the data set's folder, has forward slashes and stays in the folder.
    """
    if "\\" in path:
        return "it has a backslash"
    if any(character < " " for character in path):
        return "it has a control character"
    if path.startswith("/") or _SCHEME_OR_DRIVE.match(path):
        return "it is absolute"
    if posixpath.normpath(path).split("/", 1)[0] in ("", ".", ".."):
        return "it does not name a file in the data set's folder"
    return None


def _check_path(path: object, index: int, problems: list[Problem]) -> str | None:
    if not isinstance(path, str):
        problems.append(("value-type", f"the path of image {index} must be text, got {show(path)}"))
        return None
    problem = path_problem(path)
    if problem is not None:
        problems.append(("image-path", f"the path of image {index}: {problem}, got {show(path)}"))
        return None
    return path


def _size_column(record: Record, key: str, problems: list[Problem]) -> list[int | None]:
    if key not in record:
        problems.append(("key-missing", f"the key {key!r} is missing"))
        return []
    value = record[key]
    if key.endswith("_list") and not isinstance(value, list):
        problems.append(("value-type", f"{key} must be a list, got {show(value)}"))
        return []
    column: list[int | None] = []
    for size in value if key.endswith("_list") else [value]:
        # A size in quotes or with a fraction is taken by the reader, and by InternVL's trainer it is not.
        if type(size) is not int:
            problems.append(("value-type", f"{key} must be a whole number of pixels, got {show(size)}"))
        elif not 0 < size <= _LARGEST_SIDE_PX:
            problems.append(("value-invalid", f"{key} must be from 1 to {_LARGEST_SIDE_PX}, got {show(size)}"))
        column.append(size if type(size) is int and 0 < size <= _LARGEST_SIDE_PX else None)
    return column
