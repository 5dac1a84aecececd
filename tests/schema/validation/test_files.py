"""The files beside the samples: whatever stands in them is a finding or fine, never an exception."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from domainvl.schema.validation import RULES, ValidationOptions, validate
from domainvl.schema.validation.files import check_files
from domainvl.schema.validation.findings import Findings
from domainvl.schema.validation.lines import LineCounts

ODD_VALUES: list[Any] = [None, True, -1, 1.5, 10**400, "", "\ud800", "train.jsonl", [], [[]], [None], {}, {"x": []}]
DELETED = object()


def places(value: Any, place: tuple[Any, ...] = ()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (*place, key)
        yield from places(part, (*place, key))


def replaced(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(content)
    parent = changed
    for key in place[:-1]:
        parent = parent[key]
    if value is DELETED:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    return changed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manifest.json", "meta.json", "croissant.json"])
def test_odd_values_anywhere_break_nothing(dataset, name):
    content = json.loads((dataset / name).read_bytes())
    content.pop("@context", None)  # long, and looked at by no rule
    content.pop("recordSet", None)
    seen = set()
    for place in places(content):
        for value in [DELETED, *ODD_VALUES]:
            (dataset / name).write_text(json.dumps(replaced(content, place, value)))
            findings = Findings()
            check_files(dataset, LineCounts(), {}, findings, None)
            seen |= set(findings.counts)

    assert seen <= set(RULES)
    expected = {"manifest.json": "manifest-keys", "meta.json": "meta-entry", "croissant.json": "croissant-files"}
    assert expected[name] in seen


@pytest.mark.parametrize("line", [b"", b"null", b"[]", b'"x"', b"{}", b"\xff", b"[" * 5000, b'{"input": []}'])
def test_odd_lines_of_rejects_break_nothing(planter, line):
    planter.line("rejects.jsonl", 2, line + b"\n")

    report = validate(planter.dataset, ValidationOptions(pixels=False))

    assert {(finding.rule, finding.line) for finding in report.findings} == {("reject-line", 2)}


@pytest.mark.parametrize("name", ["manifest.json", "meta.json", "card.md", "croissant.json", "rejects.jsonl"])
def test_a_file_that_may_not_be_read_is_a_finding(planter, monkeypatch, name):
    def refused(method):
        def call(path, *arguments, **options):
            if path.name == name:
                raise PermissionError(13, "Permission denied")
            return method(path, *arguments, **options)

        return call

    monkeypatch.setattr(Path, "open", refused(Path.open))
    monkeypatch.setattr(Path, "read_text", refused(Path.read_text))

    report = validate(planter.dataset, ValidationOptions(pixels=False, identifiers=True))

    assert [(finding.rule, finding.file, finding.message) for finding in report.findings] == [
        ("file-unreadable", name, f"{name} cannot be read (Permission denied)")
    ]
