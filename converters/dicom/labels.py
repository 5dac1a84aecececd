"""The table of findings: which boxes lie on which instance.

The schema is ``sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px``. Boxes are in stored columns and
rows with corners on pixel edges. A slice that was looked at and has nothing is listed with an empty label.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from domainvl.errors import InputNotFoundError, UsageError
from domainvl.schema.boxes import Box, clip_box
from domainvl.schema.sample import Object
from domainvl.schema.writer import Reject, Severity

COLUMNS = ("sop_instance_uid", "label", "x_min_px", "y_min_px", "x_max_px", "y_max_px")


@dataclass(frozen=True)
class Finding:
    """One row of the table.

    Attributes:
        row: Line in the file, the header being line 1.
        label: Class name.
        box_px: Its box; None where the row's is malformed, so that the class is not asked about on that slice.
    """

    row: int
    label: str
    box_px: Box | None

    @property
    def name(self) -> str:
        """Name the row in a reject."""
        return f"labels row {self.row}"


@dataclass
class LabelTable:
    """All rows of a table.

    Attributes:
        findings: The findings of each instance that is listed, by SOPInstanceUID.
        rows: All rows of each instance.
        classes: All labels, sorted; each slice that is listed was searched for each.
        unclear: Instances with a box that has no label; they are not asked about findings.
        rejects: Rows that cannot be used.
    """

    findings: dict[str, list[Finding]] = field(default_factory=dict)
    rows: dict[str, list[int]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    unclear: set[str] = field(default_factory=set)
    rejects: list[Reject] = field(default_factory=list)

    def of(self, sop_uid: str) -> tuple[Finding, ...] | None:
        """Return the findings of an instance, None where it was not looked at or is unclear."""
        return None if sop_uid in self.unclear or sop_uid not in self.findings else tuple(self.findings[sop_uid])


def read_labels(path: Path) -> LabelTable:
    """Read a table of findings.

    Raises:
        InputNotFoundError: If the file is not there.
        UsageError: If it is no CSV in UTF-8 or lacks a column.
    """
    if not path.is_file():
        raise InputNotFoundError("Cannot read --labels", where=path, rule="no such file")
    table = LabelTable()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(
                    "Cannot read --labels",
                    where=path,
                    rule=f"the first line must name the columns {','.join(COLUMNS)}; missing: {','.join(missing)}",
                    action="Add them to the table",
                )
            seen: set[tuple[str, ...]] = set()
            for record in reader:
                cells = tuple((record[column] or "").strip() for column in COLUMNS)
                _add_row(table, reader.line_num, cells, repeated=cells in seen)
                seen.add(cells)
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError("Cannot read --labels", where=path, rule="it must be a CSV in UTF-8") from error
    table.classes = tuple(sorted({finding.label for found in table.findings.values() for finding in found}))
    return table


def _add_row(table: LabelTable, row: int, cells: tuple[str, ...], *, repeated: bool) -> None:
    uid, label, *numbers = cells
    name = f"labels row {row}"
    if not uid:
        table.rejects.append(
            Reject(name, "label", "label-no-instance", "sop_instance_uid is empty", "Name the instance of each row")
        )
        return
    if repeated:
        table.rejects.append(
            Reject(name, "label", "label-repeated", "the row stands above already", severity=Severity.SKIPPED)
        )
        return
    table.rows.setdefault(uid, []).append(row)
    found = table.findings.setdefault(uid, [])
    if not label and not any(numbers):
        return
    box_px = _box(numbers)
    if label and box_px is not None:
        found.append(Finding(row, label, box_px))
        return
    table.rejects.append(
        Reject(
            name,
            "label",
            "label-box",
            "a row needs a label and four finite numbers with x_min < x_max and y_min < y_max, or neither",
            "Correct the row; until then its label is not asked about on this slice",
        )
    )
    if label:
        found.append(Finding(row, label, None))
    else:
        # A box of unknown class: of no class can it be said that this slice has none, or how many.
        table.unclear.add(uid)


def _box(cells: Sequence[str]) -> Box | None:
    try:
        x_min, y_min, x_max, y_max = (float(cell) for cell in cells)
    except ValueError:
        return None
    box_px = (x_min, y_min, x_max, y_max)
    return box_px if all(map(math.isfinite, box_px)) and x_min < x_max and y_min < y_max else None


def to_objects(
    findings: Sequence[Finding], width_px: int, height_px: int
) -> tuple[tuple[Object, ...], tuple[Reject, ...]]:
    """Turn the findings of one slice into objects of its image.

    A box that reaches over the border is cut to the image. A box outside of it is a reject, and its label is
    then kept as an ignored object, so that neither its count nor its absence is asked.

    Args:
        findings: Rows of the slice.
        width_px: Columns of the image.
        height_px: Rows of the image.
    """
    objects: list[Object] = []
    rejects: list[Reject] = []
    for number, finding in enumerate(findings, start=1):
        thing = _to_object(f"finding-{number}", finding, width_px, height_px)
        if thing.ignore and finding.box_px is not None:
            rejects.append(
                Reject(
                    finding.name,
                    "label",
                    "label-outside",
                    f"the box must overlap the image of {width_px}x{height_px} px, got {finding.box_px}",
                    "Check that boxes are in stored pixels",
                )
            )
        objects.append(thing)
    return tuple(objects), tuple(rejects)


def _to_object(name: str, finding: Finding, width_px: int, height_px: int) -> Object:
    if finding.box_px is None:
        return Object(id=name, label=finding.label, ignore=True)
    clipped = clip_box(finding.box_px, width_px, height_px)
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        return Object(id=name, label=finding.label, ignore=True)
    fraction = _area(clipped) / _area(finding.box_px)
    return Object(
        id=name, label=finding.label, box_px=clipped, visible_fraction=min(fraction, 1.0), truncated=fraction < 1.0
    )


def _area(box_px: Box) -> float:
    return (box_px[2] - box_px[0]) * (box_px[3] - box_px[1])
