"""The annotations and split files of DIOR-RSVG: which expression has which number.

The numbers of ``train.txt``, ``val.txt`` and ``test.txt`` count the objects of all annotations in the order of their
paths (``data_loader.py`` of github.com/ZhanYang-nwpu/RSVG-pytorch, which takes a folder in the order in which Windows
lists it: by name). Where an annotation is missing or cannot be read, no number after it is known.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from domainvl.errors import DatasetError, ItemError
from domainvl.schema.boxes import Box
from domainvl.schema.sample import Split
from domainvl.schema.writer import Reject, Severity

from .reading import clean_text, reject_of, row_error

ANNOTATIONS = "Annotations"
"""Folder of the XML files."""

SPLITS = {split.value: split for split in Split}
"""The official splits, the most held out last; each has a file of its name."""

_BOX_TAGS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class DiorRsvgRow:
    """One expression: its number, split, annotation file, expression, class and box in pixels."""

    index: int
    official_split: str
    annotation: str
    phrase: str
    label: str
    box_px: Box

    @property
    def name(self) -> str:
        """Names it in a reject."""
        return f"{self.official_split}.txt index {self.index}"


def read_splits(source: Path, rejects: list[Reject]) -> dict[int, str]:
    """Return the split of each object by its number; one that stands in two lists is in the more held-out one.

    Args:
        source: The input folder.
        rejects: Takes what is no number, and numbers that were used before.
    """
    split_of: dict[int, str] = {}
    for split in reversed(SPLITS):
        # Editors of Windows begin a text file with a byte order mark, which would be a part of the first number.
        words = (source / f"{split}.txt").read_text(encoding="utf-8-sig", errors="replace").split()
        for place, word in enumerate(words, start=1):
            name = f"{split}.txt entry {place}"
            if not (word.isascii() and word.isdigit() and len(word) < 10):
                rule = f"an index must be a whole number from 0, got {word!r:.40}"
                rejects.append(reject_of(name, row_error("index-invalid", name, rule)))
            elif int(word) in split_of:
                rule = f"index {word} is in {split_of[int(word)]}.txt already"
                rejects.append(reject_of(name, row_error("index-repeated", name, rule)))
            else:
                split_of[int(word)] = split
    return split_of


def annotations_of(source: Path) -> list[Path]:
    """Return the annotation files in the order by which their objects are numbered."""
    return sorted((source / ANNOTATIONS).rglob("*.xml"), key=lambda path: path.relative_to(source).as_posix())


def read_rows(
    source: Path, annotations: list[Path], split_of: Mapping[int, str], rejects: list[Reject]
) -> Iterator[tuple[str, tuple[int, int] | None, DiorRsvgRow]]:
    """Yield the expressions that are in a split, each with the name of its image and the size stated for it in pixels.

    Args:
        source: The input folder.
        annotations: The annotation files, in order.
        split_of: The split of each object by its number.
        rejects: Takes objects that cannot be used.

    Raises:
        DatasetError: If an annotation cannot be read, or fewer objects are there than the splits number.
    """
    index = 0
    for path in annotations:
        root = _parse(path)
        uri = path.relative_to(source).as_posix()
        for thing in root.findall("object"):
            name = f"{uri} (index {index})"
            if index not in split_of:
                rejects.append(Reject(name, "plan", "in-no-split", "no split file has it", None, Severity.SKIPPED))
            else:
                try:
                    image_name = _image_name(root, name)
                    row = _row(thing, index, split_of[index], uri)
                except ItemError as error:
                    rejects.append(reject_of(name, error))
                else:
                    yield image_name, _size_px(root), row
            index += 1
    highest = max(split_of, default=-1)
    if highest >= index:
        raise DatasetError(
            "Cannot tell which expression is in which split",
            where=source / ANNOTATIONS,
            rule=f"the annotations hold {index} objects, but {split_of[highest]}.txt names index {highest}: "
            "some are missing, and all numbers after a missing one would be of another object",
            action="Fetch all annotations and split files again, of one edition",
        )


def _parse(path: Path) -> ET.Element:
    content = path.read_bytes()
    try:
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise ET.ParseError("it must not define entities")
        return ET.fromstring(content)
    except ET.ParseError as error:
        raise DatasetError(
            "Cannot tell which expression is in which split",
            where=path,
            rule=f"it must be XML ({error}); all objects after it would get another number",
            action="Fetch the file again",
        ) from error


def _image_name(root: ET.Element, where: str) -> str:
    name = clean_text(root.findtext("filename") or "", "filename", where)
    if name != Path(name).name:
        raise row_error("row-invalid", where, f"filename must be a plain file name, got {name!r}")
    return name


def _size_px(root: ET.Element) -> tuple[int, int] | None:
    sides = [root.findtext(f"size/{side}", "") for side in ("width", "height")]
    return (int(sides[0]), int(sides[1])) if all(side.isascii() and side.isdigit() for side in sides) else None


def _row(thing: ET.Element, index: int, official_split: str, uri: str) -> DiorRsvgRow:
    """Read one object; the official loader takes box and expression by place, third and fourth."""
    where = f"{uri} (index {index})"
    parts = list(thing)
    box, description = thing.find("bndbox"), thing.find("description")
    box = parts[2] if box is None and len(parts) > 3 else box
    description = parts[3] if description is None and len(parts) > 3 else description
    if box is None or description is None:
        raise row_error("field-missing", where, "an object must have bndbox and description")
    return DiorRsvgRow(
        index=index,
        official_split=official_split,
        annotation=uri,
        phrase=clean_text(description.text or "", "description", where),
        label=clean_text(thing.findtext("name") or "", "name", where),
        box_px=_box(box, where),
    )


def _box(box: ET.Element, where: str) -> Box:
    texts = [box.findtext(tag, "") for tag in _BOX_TAGS]
    try:
        x_min, y_min, x_max, y_max = (float(text) for text in texts)
    except ValueError as error:
        raise row_error("box-invalid", where, f"{', '.join(_BOX_TAGS)} must be numbers, got {texts}") from error
    if not all(math.isfinite(value) for value in (x_min, y_min, x_max, y_max)):
        raise row_error("box-invalid", where, f"{', '.join(_BOX_TAGS)} must be finite, got {texts}")
    return x_min, y_min, x_max, y_max
