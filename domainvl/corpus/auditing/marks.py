"""The file of marks: written for a reviewer's spreadsheet, read back as spreadsheets leave it.

Only three of its columns are read: ``id``, ``mark`` and ``problem``. All else stands in the corpus, under the id.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from domainvl.corpus.auditing.things import Marked, Stratum, Thing, find_things
from domainvl.corpus.filtering.filtered import Filtered
from domainvl.errors import InputNotFoundError, UsageError
from domainvl.files import write_atomically
from domainvl.schema.writer import Reject

MARKS_NAME = "marks.csv"

_COLUMNS = ("id", "mark", "problem", "was", "level", "rule", "value", "threshold", "document", "slot", "excerpt")
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
_MARKS = {"keep": True, "drop": False}
_MAX_BYTES = 200_000_000
_STAGE = "marks"


@dataclass(frozen=True)
class MarksFile:
    """What was read of a file of marks.

    Attributes:
        marked: Things with their marks, in the order of the file.
        unmarked: Number of rows without a mark.
        rejects: Rows that cannot be used.
    """

    marked: tuple[Marked, ...]
    unmarked: int
    rejects: tuple[Reject, ...]


@dataclass(frozen=True)
class _Row:
    line: int
    id: str
    keep: bool
    problem: str


def write_marks(path: Path, strata: Iterable[Stratum]) -> int:
    """Write a file to be marked: a row a thing, ``mark`` and ``problem`` empty.

    It has a byte order mark, by which Excel knows UTF-8, and text that Excel would take for a formula begins with an
    apostrophe (OWASP, CSV Injection): excerpts are text of strangers.

    Returns:
        Number of rows.

    Raises:
        OutputError: If it cannot be written.
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    things = [thing for stratum in strata for thing in stratum.things]
    for thing in things:
        was = "kept" if thing.rule is None else "removed"
        numbers = (_number(thing.value), _number(thing.threshold))
        texts = (_harmless(thing.document), "" if thing.slot is None else str(thing.slot), _harmless(thing.excerpt))
        writer.writerow((thing.id, "", "", was, thing.level.value, thing.rule or "", *numbers, *texts))
    write_atomically(path, file.getvalue().encode("utf-8-sig", "backslashreplace"))
    return len(things)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _harmless(text: str) -> str:
    line = " ".join(text.split())
    return f"'{line}" if line.startswith(_FORMULA_SIGNS) else line


def read_marks(path: Path, documents: Iterable[Filtered]) -> MarksFile:
    """Read a file of marks, as Excel, LibreOffice or a text editor left it.

    Commas, semicolons and tabs may part its columns, it may be UTF-8, UTF-16 or Windows-1252, and its columns may
    stand in any order.

    Args:
        path: The file.
        documents: All documents of the corpus that it is about.

    Raises:
        InputNotFoundError: If there is no such file.
        UsageError: If it cannot be read, or has no columns ``id`` and ``mark``.
    """
    rows, unmarked, rejects = _read_rows(path)
    wanted = {row.id for row in rows}
    found: dict[str, Thing] = {}
    if wanted:
        for filtered in documents:
            found.update({thing.id: thing for thing in find_things(filtered) if thing.id in wanted})
    marked = []
    for row in rows:
        if row.id in found:
            marked.append(Marked(found[row.id], row.keep, row.problem))
        else:
            rule = f"the corpus has nothing of the id {row.id[:40]!r}: it is of another, or of another profile"
            rejects.append(_reject(row.line, "unknown-id", rule, "Name the corpus that it was made for"))
    return MarksFile(tuple(marked), unmarked, tuple(sorted(rejects, key=lambda reject: int(reject.input.split()[1]))))


def _read_rows(path: Path) -> tuple[list[_Row], int, list[Reject]]:
    rows: dict[str, _Row] = {}
    rejects: list[Reject] = []
    unmarked = 0
    for line, fields in _table(path):
        name, mark = fields["id"].strip(), fields["mark"].strip().lower()
        if not mark:
            unmarked += 1
        elif mark not in _MARKS:
            rejects.append(_reject(line, "mark", f"a mark must be keep or drop, got {mark[:40]!r}", "Mend the cell"))
        elif name in rows:
            rule = f"the id {name[:40]!r} stands in line {rows[name].line} already, whose mark counts"
            rejects.append(_reject(line, "duplicate-id", rule, "Leave one of them out"))
        else:
            rows[name] = _Row(line, name, _MARKS[mark], fields["problem"].strip().strip("'"))
    return list(rows.values()), unmarked, rejects


def _table(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    text = _decode(_read(path))
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _check_header(path, header)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                fields = dict(zip(header, cells, strict=False))
                yield reader.line_num, {name: fields.get(name, "") for name in ("id", "mark", "problem")}
    except csv.Error as error:
        raise UsageError("Cannot read marks", where=path, rule=f"line {reader.line_num}: {error}") from error


def _check_header(path: Path, header: Sequence[str]) -> None:
    missing = [name for name in ("id", "mark") if name not in header]
    if missing:
        raise UsageError(
            "Cannot read marks",
            where=path,
            rule=f"its first line must name the columns id and mark, {' and '.join(missing)} is not there",
            action=f"Fill in the {MARKS_NAME} that domainvl corpus audit made",
        )


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            rule = f"a file of marks may have {_MAX_BYTES} bytes, got {path.stat().st_size}"
            raise UsageError("Cannot read marks", where=path, rule=rule)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputNotFoundError("Cannot read marks", where=path, rule="there is no such file") from error
    except OSError as error:
        raise UsageError("Cannot read marks", where=path, rule=error.strerror or str(error)) from error


def _decode(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # Excel's "Unicode text"
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:  # Excel's "CSV" on a Western European system
        return content.decode("cp1252", "replace")


def _reject(line: int, reason: str, rule: str, action: str) -> Reject:
    return Reject(f"line {line}", _STAGE, reason, rule, action)
