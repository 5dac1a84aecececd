"""The files of samples, line by line: none stops the others, and of each line only hashes and counts are kept."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from domainvl.schema.sample import Record, Split
from domainvl.schema.validation.findings import Findings, Problem, show
from domainvl.schema.validation.identifiers import Scanner
from domainvl.schema.validation.image_columns import ImageColumns
from domainvl.schema.validation.index import Index
from domainvl.schema.validation.records import check_record

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is being checked, how much of it is done, and how much there is."""

_LINES_A_REPORT = 1000
_NOT_FINITE = ("number-not-finite", "box-not-finite")


@dataclass
class LineCounts:
    """What the lines hold, to be compared with what the other files say of them.

    Attributes:
        lines: Number of lines of each split, blank ones not counted.
        cells: Number of samples by split, domain and task.
        unplaced: Lines of each split whose domain or task cannot be told.
        ungrouped: Lines of each split whose group cannot be told.
        sha256: Hash of each file that was read, by name.
    """

    lines: Counter[str] = field(default_factory=Counter)
    cells: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    unplaced: Counter[str] = field(default_factory=Counter)
    ungrouped: Counter[str] = field(default_factory=Counter)
    sha256: dict[str, str] = field(default_factory=dict)

    def read_splits(self) -> list[Split]:
        """Return the splits whose file was there and could be read."""
        return [split for split in Split if f"{split.value}.jsonl" in self.sha256]


def parse_json(text: str) -> tuple[object, str | None]:
    """Parse JSON strictly.

    Returns:
        The value, and None or the first of NaN, Infinity and -Infinity in it, which are no JSON.

    Raises:
        ValueError: If it is no JSON.
    """
    constants: list[str] = []

    def note(name: str) -> float:
        constants.append(name)
        return float(name.replace("Infinity", "inf"))

    try:
        value: object = json.JSONDecoder(parse_constant=note).decode(text) if _has_constant(text) else json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value, constants[0] if constants else None


def _has_constant(text: str) -> bool:
    """Say whether a decoder that notes constants is worth making."""
    return "NaN" in text or "Infinity" in text


def check_lines(
    dataset: Path,
    split: Split,
    *,
    index: Index,
    counts: LineCounts,
    findings: Findings,
    scanner: Scanner | None,
    on_progress: Progress,
) -> None:
    """Check the lines of one split and remember what later checks need.

    Args:
        dataset: The data set's folder.
        split: Which split.
        index: Takes a row a line.
        counts: Counted up.
        findings: Takes what is wrong.
        scanner: Looks for identifiers, where that is wanted.
        on_progress: Called now and then.
    """
    path = dataset / f"{split.value}.jsonl"
    size_bytes = path.stat().st_size
    digest = hashlib.sha256()
    offset = number = 0
    line = b"\n"
    index.start_split(split)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            digest.update(line)
            record, text, problems = _parse(line)
            if record is None:
                index.add_row(offset, None, None)
            else:
                found, columns = check_record(record, split)
                # Where the models found the number that is not finite, they tell its place too.
                problems = found if any(code in _NOT_FINITE for code, _ in found) else problems + found
                _remember(record, columns, offset, index)
            if text.strip():
                _count(record, split, counts)
            if scanner is not None:
                problems += scanner.scan_text(text) if record is None else scanner.scan_record(record)
            for code, message in problems:
                findings.add(code, path.name, number, message)
            offset += len(line)
            if number % _LINES_A_REPORT == 0:
                on_progress(path.name, offset, size_bytes)
    if not line.endswith(b"\n"):
        findings.add("line-break-missing", path.name, number, f"line {number} is the last and has no line break")
    counts.sha256[path.name] = digest.hexdigest()
    on_progress(path.name, offset, size_bytes)


def _parse(line: bytes) -> tuple[Record | None, str, list[Problem]]:
    """Return the object of a line, where there is one, its text, and what is wrong with it as a line."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"byte {error.start + 1} of the line is {line[error.start : error.start + 1]!r}, no UTF-8"
        return None, line.decode("utf-8", "replace"), [("line-not-utf8", problem)]
    if not text.strip():
        return None, text, [("line-blank", "the line is blank")]
    try:
        value, constant = parse_json(text)
    except ValueError as error:
        return None, text, [("line-not-json", f"the line is no JSON ({error}), got {show(text)}")]
    if not isinstance(value, dict):
        return None, text, [("line-not-object", f"the line must be one object, got {show(value)}")]
    if constant is None:
        return value, text, []
    return value, text, [("number-not-finite", f"the line holds {constant}, which is no JSON")]


def _remember(record: Record, columns: ImageColumns, offset: int, index: Index) -> None:
    truth = record.get("domainvl")
    index.add_row(offset, record.get("id"), truth.get("group") if isinstance(truth, dict) else None)
    details = truth.get("images") if isinstance(truth, dict) else None
    for position, path in enumerate(columns.paths):
        if path is None:
            continue
        index.add_image(
            path,
            columns.widths_px[position] if position < len(columns.widths_px) else None,
            columns.heights_px[position] if position < len(columns.heights_px) else None,
            details[position] if isinstance(details, list) and position < len(details) else None,
        )


def _count(record: Record | None, split: Split, counts: LineCounts) -> None:
    counts.lines[split.value] += 1
    truth: Any = record.get("domainvl") if record is not None else None
    if not isinstance(truth, dict):
        truth = {}
    domain, task = truth.get("domain"), truth.get("task")
    if isinstance(domain, str) and isinstance(task, str):
        counts.cells[split.value, domain, task] += 1
    else:
        counts.unplaced[split.value] += 1
    counts.ungrouped[split.value] += not isinstance(truth.get("group"), str)
