"""The files beside the samples: each is there, can be read, and agrees with the lines."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from domainvl.schema.card import UNKNOWN_LICENCE, licence_header, split_licences
from domainvl.schema.sample import Split
from domainvl.schema.validation.findings import Findings, show
from domainvl.schema.validation.identifiers import Scanner
from domainvl.schema.validation.lines import LineCounts, parse_json
from domainvl.schema.writer import MANIFEST_NAME, META_NAME, REJECTS_NAME
from domainvl.schema.writer import Severity as RejectSeverity

CARD_NAME = "card.md"
CROISSANT_NAME = "croissant.json"
_TRAIN_NAME = f"{Split.TRAIN.value}.jsonl"
_SAMPLE_NAMES = tuple(f"{split.value}.jsonl" for split in Split)
_HELD_OUT_NAMES = tuple(name for name in _SAMPLE_NAMES if name != _TRAIN_NAME)
_FILE_NAMES = (*_SAMPLE_NAMES, MANIFEST_NAME, META_NAME, REJECTS_NAME, CARD_NAME, CROISSANT_NAME)

_MANIFEST_TYPES: Mapping[str, tuple[type, ...]] = {
    "name": (str,), "command": (str,), "settings": (dict,), "versions": (dict,), "licence": (str, type(None)),
    "counts": (list,), "groups": (dict,), "rejects": (list,), "sources": (list,),
}  # fmt: skip
_COUNT_KEYS = ("split", "domain", "task", "count")
_REJECT_KEYS = ("severity", "stage", "reason", "count")
_SOURCE_KEYS = frozenset({"uri", "sha256", "size_bytes"})
_REJECT_TEXTS = ("input", "stage", "reason", "message")

RejectCounts: TypeAlias = Counter[tuple[str, ...]]
"""Number of rejects by severity, stage and reason."""


def check_files(
    dataset: Path, counts: LineCounts, groups: Mapping[str, int], findings: Findings, scanner: Scanner | None
) -> None:
    """Check all files but those of samples and images.

    Args:
        dataset: The data set's folder.
        counts: What the lines hold.
        groups: Number of groups in each split.
        findings: Takes what is wrong.
        scanner: Looks for identifiers, where that is wanted.
    """
    for name in _FILE_NAMES:
        if not (dataset / name).is_file():
            findings.add("file-missing", name, None, f"{name} is missing")
    if not counts.lines.total():
        findings.add("samples-none", _TRAIN_NAME, None, "no split has a sample")
    rejects = _check_rejects(dataset / REJECTS_NAME, findings, scanner)
    manifest = _read_object(dataset / MANIFEST_NAME, findings, object_hook=_without_sources)
    if manifest is not None:
        _check_manifest(manifest, counts, groups, rejects, findings)
    meta = _read_object(dataset / META_NAME, findings)
    if meta is not None:
        for code, message in _check_meta(dataset, meta, counts.lines[Split.TRAIN.value]):
            findings.add(code, META_NAME, None, message)
    licence = manifest.get("licence") if manifest is not None else 0
    if licence is None or isinstance(licence, str):  # another type is reported with the manifest
        _check_card(dataset / CARD_NAME, licence, findings)
    croissant = _read_object(dataset / CROISSANT_NAME, findings)
    if croissant is not None:
        for code, message in _check_croissant(croissant, counts):
            findings.add(code, CROISSANT_NAME, None, message)
    if scanner is not None:
        for name in (MANIFEST_NAME, META_NAME, CARD_NAME, CROISSANT_NAME):
            _scan(dataset / name, findings, scanner)


# Reading.


def _read_text(path: Path, findings: Findings) -> str | None:
    if not path.is_file():
        return None  # reported as missing
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        findings.add("file-unreadable", path.name, None, f"byte {error.start + 1} of {path.name} is no UTF-8")
    except OSError as error:
        findings.add("file-unreadable", path.name, None, f"{path.name} cannot be read ({error.strerror})")
    return None


def _read_object(
    path: Path, findings: Findings, *, object_hook: Callable[[dict[str, Any]], object] | None = None
) -> dict[str, Any] | None:
    text = _read_text(path, findings)
    if text is None:
        return None
    try:
        value: object = json.loads(text, object_hook=object_hook)
    except (ValueError, RecursionError) as error:
        findings.add("file-unreadable", path.name, None, f"{path.name} is no JSON ({error})")
        return None
    if not isinstance(value, dict):
        findings.add("file-unreadable", path.name, None, f"{path.name} must be one object, got {show(value)}")
        return None
    return value


def _without_sources(value: dict[str, Any]) -> object:
    """Put True in the place of a source that is as it should be: there may be a million of them."""
    if value.keys() == _SOURCE_KEYS and isinstance(value["uri"], str) and isinstance(value["sha256"], str):
        return True
    return value


def _scan(path: Path, findings: Findings, scanner: Scanner) -> None:
    # A file that is missing or cannot be read was reported when it was read as a whole.
    with contextlib.suppress(OSError), path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            for code, message in scanner.scan_text(line):
                findings.add(code, path.name, number, message)


# rejects.jsonl


def _check_rejects(path: Path, findings: Findings, scanner: Scanner | None) -> RejectCounts | None:
    """Count the rejects; None where a line cannot be counted."""
    if not path.is_file():
        return None
    try:
        return _count_rejects(path, findings, scanner)
    except OSError as error:
        findings.add("file-unreadable", path.name, None, f"{path.name} cannot be read ({error.strerror})")
        return None


def _count_rejects(path: Path, findings: Findings, scanner: Scanner | None) -> RejectCounts | None:
    counts: RejectCounts = Counter()
    complete = True
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.decode("utf-8", "replace")
            key, problem = _read_reject(text)
            if key is None:
                complete = False
            else:
                counts[key] += 1
            if problem is not None:
                findings.add("reject-line", path.name, number, problem)
            for code, message in scanner.scan_text(text) if scanner is not None else ():
                findings.add(code, path.name, number, message)
    return counts if complete else None


def _read_reject(text: str) -> tuple[tuple[str, ...] | None, str | None]:
    """Return the key by which a reject is counted, and what is wrong with it."""
    try:
        value, _ = parse_json(text)
    except ValueError as error:
        return None, f"the line is no JSON ({error}), got {show(text)}"
    if not isinstance(value, dict):
        return None, f"the line must be one object, got {show(value)}"
    wrong = next((key for key in _REJECT_TEXTS if not isinstance(value.get(key), str) or not value[key]), None)
    if wrong is not None:
        return None, f"{wrong} must be text, got {show(value.get(wrong))}"
    severity = value.get("severity")
    if severity not in list(RejectSeverity):
        return None, f"severity must be skipped or failed, got {show(severity)}"
    return (severity, value["stage"], value["reason"]), None


# manifest.json


def _check_manifest(
    manifest: dict[str, Any],
    counts: LineCounts,
    groups: Mapping[str, int],
    rejects: RejectCounts | None,
    findings: Findings,
) -> None:
    found = [("manifest-keys", message) for message in _check_keys(manifest)]
    # A value of the wrong type is reported; what it should agree with is then no further fault.
    table: dict[str, Any] = {
        key: value for key, value in manifest.items() if isinstance(value, _MANIFEST_TYPES.get(key, ()))
    }
    if "licence" in table and UNKNOWN_LICENCE in split_licences(table["licence"]):
        found.append(("licence-missing", f"licence is {show(table['licence'])}"))
    if "counts" in table:
        found += [("manifest-counts", message) for message in _compare_counts(table["counts"], counts)]
    if "groups" in table:
        found += [("manifest-groups", message) for message in _compare_groups(table["groups"], groups, counts)]
    if "rejects" in table and rejects is not None:
        found += [("manifest-rejects", message) for message in _compare_rejects(table["rejects"], rejects)]
    for code, message in found:
        findings.add(code, MANIFEST_NAME, None, message)


def _check_keys(manifest: dict[str, Any]) -> Iterator[str]:
    for key, types in _MANIFEST_TYPES.items():
        if key not in manifest:
            yield f"the key {key!r} is missing"
        elif not isinstance(manifest[key], types):
            yield f"{key} must be {_say(types)}, got {show(manifest[key])}"
    sources = manifest.get("sources")
    for source in sources if isinstance(sources, list) else []:
        if source is not True:
            yield f"a source must have uri, sha256 and size_bytes, got {show(source)}"


def _say(types: tuple[type, ...]) -> str:
    names = {str: "text", dict: "an object", list: "a list", type(None): "null"}
    return " or ".join(names[kind] for kind in types)


def _compare_counts(rows: list[Any], counts: LineCounts) -> Iterator[str]:
    recorded: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        key = _row_key(row, _COUNT_KEYS)
        if key is None:
            yield f"a row of counts must have split, domain, task and a count, got {show(row)}"
            return
        recorded[key] += row["count"]
    for split in counts.read_splits():
        name = split.value
        total = sum(count for key, count in recorded.items() if key[0] == name)
        if total != counts.lines[name]:
            yield f"counts say {total} samples in {name}, and {name}.jsonl has {counts.lines[name]} lines"
            continue
        keys = {key for key in (*recorded, *counts.cells) if key[0] == name}
        # Lines that tell no domain or task may be any of those that seem to be missing.
        missing = sum(max(recorded[key] - counts.cells[key], 0) for key in keys)
        worst = max(keys, key=lambda key: (counts.cells[key] - recorded[key], key), default=None)
        if missing > counts.unplaced[name] and worst is not None:
            told, there = recorded[worst], counts.cells[worst]
            yield f"counts say {told} samples of {'/'.join(worst)}, and there are {there}"


def _compare_groups(recorded: dict[str, Any], groups: Mapping[str, int], counts: LineCounts) -> Iterator[str]:
    for name in (split.value for split in counts.read_splits()):
        told, there = recorded.get(name, 0), groups.get(name, 0)
        # A line that tells no group may be the only one of its group.
        if not (type(told) is int and there <= told <= there + counts.ungrouped[name]):
            yield f"groups say {show(told)} in {name}, and there are {there}"


def _compare_rejects(rows: list[Any], rejects: RejectCounts) -> Iterator[str]:
    recorded: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        key = _row_key(row, _REJECT_KEYS)
        if key is None:
            yield f"a row of rejects must have severity, stage, reason and a count, got {show(row)}"
            return
        recorded[key] += row["count"]
    for key in sorted({*recorded, *rejects}):
        if recorded[key] != rejects[key]:
            yield f"rejects say {recorded[key]} of {'/'.join(key)}, and {REJECTS_NAME} has {rejects[key]}"


def _row_key(row: object, keys: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the texts of a row of a table of counts, or None where it is none."""
    if not isinstance(row, dict) or row.keys() != set(keys) or type(row["count"]) is not int:
        return None
    texts = tuple(row[key] for key in keys[:-1])
    return texts if all(isinstance(text, str) for text in texts) else None


# meta.json


def _check_meta(dataset: Path, meta: dict[str, Any], train_count: int) -> Iterator[tuple[str, str]]:
    if not meta:
        yield "meta-entry", "there is no entry"
    for name, entry in meta.items():
        if not isinstance(entry, dict):
            yield "meta-entry", f"the entry {show(name)} must be an object, got {show(entry)}"
            continue
        annotation = entry.get("annotation")
        file = annotation.replace("\\", "/").rsplit("/", 1)[-1] if isinstance(annotation, str) else None
        if file in _HELD_OUT_NAMES:
            yield "meta-held-out", f"annotation of {show(name)} is {show(annotation)}"
            continue
        if file != _TRAIN_NAME:
            yield "meta-entry", f"annotation of {show(name)} must be {_TRAIN_NAME}, got {show(annotation)}"
            continue
        if not isinstance(entry.get("root"), str):
            yield "meta-entry", f"root of {show(name)} must be a folder, got {show(entry.get('root'))}"
        if (dataset / _TRAIN_NAME).is_file() and entry.get("length") != train_count:
            length = show(entry.get("length"))
            yield "meta-length", f"length of {show(name)} is {length}, and {_TRAIN_NAME} has {train_count} lines"


# card.md


def _check_card(path: Path, licence: str | None, findings: Findings) -> None:
    text = _read_text(path, findings)
    if text is None:
        return
    header = _card_header(text)
    if header is None:
        findings.add("card-header", path.name, 1, "the card does not start with a YAML header between lines of ---")
        return
    for key, expected in licence_header(licence).items():
        if header.get(key) != expected:
            message = f"{key} in the header is {show(header.get(key))}, and {show(expected)} by {MANIFEST_NAME}"
            findings.add("card-header", path.name, 1, message)


def _card_header(text: str) -> dict[str, Any] | None:
    parts = text.split("---\n", 2)
    if len(parts) < 3 or parts[0]:
        return None
    try:
        header: object = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return None
    return header if isinstance(header, dict) else None


# croissant.json


def _check_croissant(croissant: dict[str, Any], counts: LineCounts) -> Iterator[tuple[str, str]]:
    listed = croissant.get("distribution")
    files = [file for file in listed if isinstance(file, dict)] if isinstance(listed, list) else []
    hashes = {file["contentUrl"]: file.get("sha256") for file in files if isinstance(file.get("contentUrl"), str)}
    for split in Split:
        name = f"{split.value}.jsonl"
        if counts.lines[split.value] and name not in hashes:
            yield "croissant-files", f"{name} has samples and is not in distribution"
    for name, told in hashes.items():
        there = counts.sha256.get(name)
        if there is None and name in _SAMPLE_NAMES:
            continue  # reported as missing
        if there is None:
            yield "croissant-files", f"distribution names {show(name)}, which is no file of samples here"
        elif told != there:
            yield "croissant-sha256", f"sha256 of {name} is {show(told)}, and the file has {there}"
