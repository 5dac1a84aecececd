"""A table of labels, as CSV or Excel: what is on which slices.

The first row names the columns, in any order and in upper or lower case:

- One join key: ``sop_instance_uid``, ``series_instance_uid``, ``study_instance_uid``, ``accession_number``,
  ``patient_id`` or, for files without such identifiers, ``file_name``. A row is about all slices that its key names.
- ``frame`` (optional): number of the frame or slice in the file, from 1. Empty for all.
- ``label``: name of a class.
- ``x_min_px``, ``y_min_px``, ``x_max_px``, ``y_max_px`` (optional, all four or none): a box in stored columns and rows,
  corners on pixel edges. A row with a box must name one slice.
- ``present`` (optional): whether the class is there: 1, 0, yes, no, true, false. With a box it is 1 or empty.
- Further columns are used where they are named as properties: ``density`` with the value ``C`` is asked for in words.

A row with a label and a box is one thing. A row with a label and ``present``, or with a label in a table without boxes,
says of the slice as a whole that the class is there or is not. A row with nothing but a key (and a frame) says that the
slice was looked at and has nothing. The classes of a table are those that have a box in it: a slice that has a box, or
such an empty row, was searched for all of them. A row that cannot be used says of no class that it is not there. A
slice that is not listed is not asked about. Labels that differ in case only are one class, spelt as the first is.

Text and workbooks are read as :mod:`..tables` has it, which counts rows as a spreadsheet does. Identifiers must be text
in a workbook, for a number has lost its leading zeros.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from domainvl.errors import InputNotFoundError, UsageError
from domainvl.schema.boxes import Box
from domainvl.schema.identifying import find_identifiers
from domainvl.schema.writer import Reject, Severity

from ..tables import read_rows
from .findings import Finding, SliceTruth

COLUMNS = ("sop_instance_uid", "label", "x_min_px", "y_min_px", "x_max_px", "y_max_px")
"""The plain table of boxes."""

KEYS = ("sop_instance_uid", "series_instance_uid", "study_instance_uid", "accession_number", "patient_id", "file_name")

_FILE_KEY = "file_name"
_KEY_NAMES = dict(zip(KEYS, ("instances", "series", "studies", "accession numbers", "patients", "files"), strict=True))
_BOX = COLUMNS[2:]
_SAID = (*_BOX, "label", "frame", "present")
_KNOWN = frozenset((*KEYS, *_SAID))
_ANSWERS = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}

_PERSONAL = frozenset(
    "name patientname patientsname firstname lastname familyname givenname birthdate patientbirthdate dateofbirth dob "
    "address patientaddress phone email mrn ssn reader radiologist physician referringphysician operator annotator "
    "institution institutionname hospital date studydate seriesdate acquisitiondate examdate comment comments".split()
)
"""Names of columns, without blanks and underscores, that say who somebody is: they make no property. Many more do, so
that no column is a property unless it is named as one; this is a second guard."""

_LISTED_COLUMNS = 8
"""So many columns that are not used are named."""

_STAGE = "label"

_NO_FRAME = -1

_FORM = "has the form of an identifier of a person, a date or a number of an image"

_ACTIONS = {
    "label-box": "Correct the row; until then its label is not asked about on this slice",
    "label-present": "Write 1, 0, yes or no, and no box for 0; until then the label is not asked about on these slices",
    "label-frame": "Count frames from 1, or leave the cell empty; until then its label is not asked about in this file",
    "label-several": "Name the slice by sop_instance_uid, and by frame in a file of several; until then the label is "
    "not asked about on these slices",
    "label-contradiction": "Correct the rows; until then neither is asked about",
    "label-unmatched": "Add the images, or take the row out",
    "label-no-key": "Name the slices of each row",
    "label-repeated": None,
    "label-cells": "Put the cell with the delimiter in it into quotes; until then its slice is not asked about labels",
    "label-identifies": "Take it out of the table; until then what the row says is not used",
}


@dataclass(frozen=True)
class _Row:
    """One row of the table.

    Attributes:
        number: Its number in the file, the first row being 1.
        key: Value of the join key.
        frame: Index of the frame, from 0; None for all.
        label: Class, or empty.
        box_px: Its box.
        present: What it says of the slice as a whole.
        fault: Reason why what it says about its label cannot be used; empty for a sound row.
        properties: Name and value of the properties it gives.
        is_empty: Whether it has nothing but its key and frame, and so says that nothing is there.
    """

    number: int
    key: str
    frame: int | None
    label: str
    box_px: Box | None
    present: bool | None
    fault: str
    properties: tuple[tuple[str, str], ...]
    is_empty: bool = False

    @property
    def is_silent(self) -> bool:
        """Whether nothing that it holds is used."""
        return not (self.label or self.fault or self.properties) and self.box_px is None and self.present is None

    @property
    def has_place(self) -> bool:
        """Whether it is about a place on the slice, even if that cannot be read."""
        return self.box_px is not None or self.fault == "label-box"


@dataclass(frozen=True)
class _Columns:
    """Which columns a table has."""

    key: str
    has_label: bool
    has_boxes: bool
    properties: tuple[str, ...]


@dataclass
class LabelTable:
    """All rows of a table.

    Attributes:
        path: The file, for messages to its user.
        key: The join key.
        classes: All labels that have a box, sorted.
        rejects: Rows and columns that cannot be used.
    """

    path: Path
    key: str
    classes: tuple[str, ...]
    rejects: tuple[Reject, ...]
    _has_label: bool = False
    _rows: dict[str, list[_Row]] = field(default_factory=dict)
    _several: set[int] = field(default_factory=set)

    def match(
        self, slices: Sequence[Mapping[str, str]], frame_counts: Sequence[int] | None = None
    ) -> tuple[Reject, ...]:
        """Compare the table with all images, once and before :meth:`truth_for` is asked.

        A box is of one slice: where its row names several, its label is not asked about on them.

        Args:
            slices: Of each image, what it can be named by: values of :data:`KEYS`.
            frame_counts: Frames of each image; one where left out.

        Returns:
            What cannot be used: the table's own rejects, rows that name no image, and boxes that name several slices.

        Raises:
            UsageError: If no row names an image, or the images are not named by this key at all.
        """
        counts: defaultdict[str, list[int]] = defaultdict(list)
        for keys, frames in zip(slices, frame_counts or [1] * len(slices), strict=True):
            if keys.get(self.key):
                counts[keys[self.key]].append(frames)
        if self._rows and not self._rows.keys() & counts.keys():
            raise self._no_match(slices)
        rejects = list(self.rejects)
        for key, rows in self._rows.items():
            for row in rows:
                rejects += self._match_row(row, counts.get(key, []), counted=frame_counts is not None)
            rejects += _contradictions(rows)
        return tuple(rejects)

    def _no_match(self, slices: Sequence[Mapping[str, str]]) -> UsageError:
        rule = f"none of its {len(self._rows)} {_KEY_NAMES[self.key]} is among the {len(slices)} images found"
        action = f"Check that the column {self.key} holds what these files are named by"
        known = [key for key in KEYS if any(keys.get(key) for keys in slices)]
        if known and self.key not in known:
            rule = f"none of the {len(slices)} images found has its {self.key}"
            rule += ", by which rows name NIfTI files, not DICOM" if self.key == _FILE_KEY else ""
            action = f"Name the images by {' or '.join(known)}"
        return UsageError("Cannot use --labels", where=self.path, rule=rule, action=action)

    def _match_row(self, row: _Row, frames: Sequence[int], *, counted: bool) -> Iterator[Reject]:
        found = sum(frames)
        if row.frame is not None and counted:
            found = sum(count > row.frame for count in frames)
        if row.fault == "label-cells":
            return  # listed already, and which of its cells is the key is not known
        if not found:
            yield _reject(row.number, "label-unmatched", f"no image has its {self.key}, or no such frame")
        elif found > 1 and row.box_px is not None:
            self._several.add(row.number)
            yield _reject(row.number, "label-several", f"a box is of one slice, and its {self.key} names {found}")

    def truth_for(self, keys: Mapping[str, str], frame: int) -> SliceTruth | None:
        """Return what the table says about a slice; None where it does not list it.

        Args:
            keys: What its image can be named by: values of :data:`KEYS`.
            frame: Index of the frame in it, from 0.
        """
        rows = [row for row in self._rows.get(keys.get(self.key, ""), ()) if row.frame in (None, frame)]
        if not rows:
            return None
        described = tuple(sorted({pair for row in rows for pair in row.properties}))
        findings, stated = self._said_in(rows)
        # A box of unknown class: of no class can it be said that this slice has none, or how many.
        is_unclear = any(row.fault and not row.label for row in rows)
        boxed = any(row.box_px is not None and row.number not in self._several for row in rows)
        searched = self._has_label and (boxed or any(row.is_empty for row in rows))
        if is_unclear:
            findings, searched = (), False
        if not (findings or stated or described or searched):
            return None
        return SliceTruth(findings, self.classes if searched else (), stated, described)

    def _said_in(self, rows: Sequence[_Row]) -> tuple[tuple[Finding, ...], tuple[tuple[str, bool], ...]]:
        denied = {row.label for row in rows if row.present is False}
        findings = []
        for row in rows:
            if not row.label or (row.box_px is None and not row.fault):
                continue
            is_clear = not row.fault and row.number not in self._several and row.label not in denied
            box_px = row.box_px if row.number not in self._several else None
            findings.append(Finding(f"labels/{row.number}", row.label, box_px, clear=is_clear))
        stated = sorted(
            {(row.label, row.present) for row in rows if row.label and row.present is not None and row.box_px is None}
        )
        return tuple(findings), tuple(stated)


def _contradictions(rows: Sequence[_Row]) -> Iterator[Reject]:
    """List rows that say of one slice the opposite of an earlier row, or give a property another value."""
    said: dict[tuple[int | None, str, str], str] = {}
    for row in rows:
        is_there = "" if not row.label or row.fault else "0" if row.present is False else "1"
        facts = [("property", *pair) for pair in row.properties]
        facts += [("label", row.label, is_there)] if is_there else []
        for kind, name, value in facts:
            earlier = [said.get((frame, kind, name), value) for frame in {None, row.frame}]
            if any(other != value for other in earlier):
                rule = f"its {kind} contradicts that of a row above it"
                yield _reject(row.number, "label-contradiction", rule)
            said.setdefault((row.frame, kind, name), value)


def parse_properties(text: str) -> tuple[str, ...]:
    """Read the setting ``properties``: names of columns, several with commas.

    Raises:
        UsageError: If one is empty, given twice, a column with another meaning, or says who somebody is.
    """
    names = [name.strip().casefold() for name in text.split(",")] if text.strip() else []
    for name in names:
        rule = ""
        if not name or names.count(name) > 1:
            rule = f"each name must stand once, got {text!r}"
        elif name in _KNOWN:
            rule = f"the column {name} has a meaning of its own"
        elif "".join(filter(str.isalnum, name)) in _PERSONAL:
            rule = f"a column called {name} says who somebody is"
        if rule:
            action = "Name columns that describe the image, such as density"
            raise UsageError("Cannot read --properties", rule=rule, action=action)
    return tuple(names)


def open_table(labels: Path | None, properties: str) -> LabelTable | None:
    """Read the table that settings name; None where they name none.

    Args:
        labels: The setting of this name.
        properties: The setting of this name.

    Raises:
        InputNotFoundError: If the file is not there.
        UsageError: If one of them cannot be used.
    """
    names = parse_properties(properties)
    if labels is not None:
        return read_table(labels, names)
    if names:
        rule, action = "they are columns of a table, and none is named", "Name the table with --labels"
        raise UsageError("Cannot use --properties", rule=rule, action=action)
    return None


def read_table(path: Path, properties: Sequence[str] = ()) -> LabelTable:
    """Read a table of labels.

    Args:
        path: CSV or TSV, packed with gzip or not, or an Excel workbook by its suffix ``.xlsx`` or ``.xlsm``.
        properties: Columns that are asked for in words, as :func:`parse_properties` returns them.

    Raises:
        InputNotFoundError: If the file is not there.
        UsageError: If it is no such table or lacks a column.
    """
    if not path.is_file():
        raise InputNotFoundError("Cannot read --labels", where=path, rule="no such file")
    # A label with an unquoted comma moves the cells behind it, and shows only by their number.
    cells = read_rows(path, partial(_no_table, path), whole=True)
    header = next(cells, (1, []))[1]
    names = [name.casefold() for name in header]
    columns, rejects = _choose_columns(path, names, properties)
    reader = _Reader(names, columns, rejects)
    for number, values in cells:
        reader.add(number, values)
    return reader.table(path)


@dataclass
class _Reader:
    """Gathers the rows of a table.

    Attributes:
        names: Names of the columns.
        columns: What they are.
        rejects: What cannot be used.
        rows: Rows by their key.
        seen: What the rows say, to find those that stand twice.
        spelling: The first spelling of each label, by its lower case.
        silent_count: Rows that neither say something nor are empty.
    """

    names: Sequence[str]
    columns: _Columns
    rejects: list[Reject]
    rows: defaultdict[str, list[_Row]] = field(default_factory=lambda: defaultdict(list))
    seen: set[tuple[object, ...]] = field(default_factory=set)
    spelling: dict[str, str] = field(default_factory=dict)
    silent_count: int = 0

    def add(self, number: int, values: Sequence[str]) -> None:
        """Take a row."""
        if len(values) > len(self.names):
            self._divided(number, values)
            return
        record = dict(zip(self.names, [*values, *[""] * len(self.names)], strict=False))
        if record.get("label"):
            record["label"] = self.spelling.setdefault(record["label"].casefold(), record["label"])
        only_key = sum(map(bool, values)) == bool(record[self.columns.key]) + bool(record.get("frame"))
        known = (only_key, *(record.get(name, "") for name in (self.columns.key, *_SAID, *self.columns.properties)))
        if known in self.seen:
            self.rejects.append(_reject(number, "label-repeated", "the row stands above already", Severity.SKIPPED))
            return
        self.seen.add(known)
        row, faults = _read_row(number, record, self.columns, is_empty=only_key)
        self.rejects += faults
        if row is not None:
            self.rows[row.key].append(row)
            self.silent_count += row.is_silent and not only_key

    def _divided(self, number: int, values: Sequence[str]) -> None:
        """Take a row of which some cell was divided, perhaps one before its key: its slice is not asked about."""
        count, place = len(self.names), self.names.index(self.columns.key)
        rule = f"it has {len(values)} cells, and the first row {count}: they do not stand below their names"
        self.rejects.append(_reject(number, "label-cells", rule))
        for key in dict.fromkeys(filter(None, values[place : place + len(values) - count + 1])):
            self.rows[key].append(_Row(number, key, None, "", None, None, "label-cells", ()))

    def table(self, path: Path) -> LabelTable:
        """Return what was gathered."""
        located = {row.label for each in self.rows.values() for row in each if row.label and row.has_place}
        silent = [_silent(self.silent_count)] if self.silent_count and self.columns.has_label else []
        rejects = (*self.rejects, *silent)
        return LabelTable(
            path, self.columns.key, tuple(sorted(located)), rejects, self.columns.has_label, dict(self.rows)
        )


def _silent(count: int) -> Reject:
    return Reject(
        "labels",
        _STAGE,
        "label-silent",
        f"{count} rows have neither a label nor a property, but other cells: they do not say that nothing was found",
        "Leave all cells but the key empty where a slice was looked at and has nothing",
        Severity.SKIPPED,
    )


def _choose_columns(path: Path, names: Sequence[str], properties: Sequence[str]) -> tuple[_Columns, list[Reject]]:
    keys = [key for key in KEYS if key in names]
    repeated = sorted(name for name, count in Counter(names).items() if name in _KNOWN and count > 1)
    if repeated:
        raise _no_table(path, f"each column must stand once, and {','.join(repeated)} are there several times")
    has_boxes = any(name in names for name in _BOX)
    wanted = ["label", *_BOX] if has_boxes else []
    missing = [name for name in wanted if name not in names]
    if missing or len(keys) != 1:
        found = ",".join(keys) or "none of them"
        rule = f"the first row must name one of the columns {','.join(KEYS)}, and has {found}"
        if len(keys) == 1:
            rule = f"the first row must name the columns {keys[0]},label,{','.join(_BOX)}; missing: {','.join(missing)}"
        raise _no_table(path, rule)
    others = [name for name in dict.fromkeys(names) if name and name not in _KNOWN]
    absent = [name for name in properties if name not in others]
    if absent:
        raise UsageError(
            "Cannot use --properties",
            where=path,
            rule=f"the first row must name the columns {','.join(properties)}; missing: {','.join(absent)}",
            action="Name columns of the table",
        )
    if "label" not in names and not properties:
        raise _no_table(path, "the first row must name the column label, or --properties other columns; it has neither")
    unused = [name for name in others if name not in properties]
    return _Columns(keys[0], "label" in names, has_boxes, tuple(properties)), [_unused(unused)] if unused else []


def _unused(names: Sequence[str]) -> Reject:
    # Names of persons are known by their capital; names of columns have none here.
    shown = [name for name in names if not _identifies(name) and not _identifies(name.upper())][:_LISTED_COLUMNS]
    listed = ", ".join(shown) + (", ..." if len(shown) < len(names) else "")
    return Reject(
        "labels",
        _STAGE,
        "label-column",
        f"{len(names)} columns are not used: {listed}",
        "Name those that describe the image with --properties; what they hold is then asked for in words",
        Severity.SKIPPED,
    )


def _identifies(text: str) -> bool:
    """Whether a text holds what has the form of an identifier, a date among them."""
    return any(True for _ in find_identifiers(text, dates=True))


def _no_table(path: Path, rule: str) -> UsageError:
    return UsageError("Cannot read --labels", where=path, rule=rule, action="Correct the table")


def _reject(number: int, reason: str, message: str, severity: Severity = Severity.FAILED) -> Reject:
    return Reject(f"labels row {number}", _STAGE, reason, message, _ACTIONS[reason], severity)


def _read_row(
    number: int, record: Mapping[str, str], columns: _Columns, *, is_empty: bool
) -> tuple[_Row | None, list[Reject]]:
    key, label = record[columns.key], record.get("label", "")
    if not key:
        return None, [_reject(number, "label-no-key", f"{columns.key} is empty")]
    frame, box_px, present, fault = _frame(record.get("frame", "")), None, None, None
    if frame == _NO_FRAME:
        fault = ("label-frame", "frame must be a whole number from 1, or empty")
    elif _identifies(label):
        label, fault = "", ("label-identifies", f"its label {_FORM}")
    else:
        box_px, present, fault = _place(label, record, columns)
    told = [(name, value) for name in columns.properties if (value := record[name])]
    hidden = [name for name, value in told if _identifies(value)]
    faults = [fault] if fault is not None else []
    faults += [("label-identifies", f"its {', '.join(hidden)} {_FORM}")] if hidden else []
    row = _Row(
        number=number,
        key=key,
        frame=None if frame == _NO_FRAME else frame,
        label=label,
        box_px=box_px,
        present=present,
        fault="" if fault is None else fault[0],
        properties=tuple((name, value) for name, value in told if name not in hidden),
        is_empty=is_empty and fault is None,
    )
    return row, [_reject(number, *each) for each in faults]


def _frame(text: str) -> int | None:
    """Return the index of a frame, None where none is named, and -1 where it cannot be read."""
    if not text:
        return None
    return max(int(text) - 1, _NO_FRAME) if text.isascii() and text.isdigit() else _NO_FRAME


def _place(
    label: str, record: Mapping[str, str], columns: _Columns
) -> tuple[Box | None, bool | None, tuple[str, str] | None]:
    """Return box, presence, and what is wrong with them."""
    corners = [record.get(name, "") for name in _BOX]
    said = record.get("present", "").casefold()
    present = _ANSWERS.get(said)
    if said and (present is None or not label or (present is False and any(corners))):
        rule = "present needs a label and must be 1, 0, yes, no, true or false, and no box may be given where it is 0"
        return None, None, ("label-present", rule)
    if not any(corners) and (said or not label):
        return None, present, None
    if not columns.has_boxes:
        return None, True, None
    box_px = _box(corners)
    if label and box_px is not None:
        return box_px, present, None
    rule = "a row needs a label and four finite numbers with x_min < x_max and y_min < y_max, or neither"
    return None, None, ("label-box", rule)


def _box(cells: Sequence[str]) -> Box | None:
    try:
        x_min, y_min, x_max, y_max = (float(cell) for cell in cells)
    except ValueError:
        return None
    box_px = (x_min, y_min, x_max, y_max)
    return box_px if all(map(math.isfinite, box_px)) and x_min < x_max and y_min < y_max else None
