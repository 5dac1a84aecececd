"""Findings: all counted, the first ones by place kept, messages made only for those."""

from __future__ import annotations

from domainvl.schema.validation.findings import Findings, show
from domainvl.schema.validation.rules import RULES, Severity


def test_the_first_by_file_and_line_are_kept_however_they_come():
    findings = Findings(kept_per_rule=3)
    for line in (5, 1, 4, 2, 3):
        findings.add("box-order", "train.jsonl", line, f"m{line}")
    findings.add("box-order", "test.jsonl", 9, "other file")
    findings.add("turn-role", "train.jsonl", 1, "other rule")

    kept = [(finding.file, finding.line, finding.rule) for finding in findings.in_order()]

    assert kept == [
        ("test.jsonl", 9, "box-order"),
        ("train.jsonl", 1, "box-order"),
        ("train.jsonl", 1, "turn-role"),
        ("train.jsonl", 2, "box-order"),
    ]
    assert findings.counts == {"box-order": 6, "turn-role": 1}


def test_of_findings_in_one_place_the_first_are_kept():
    findings = Findings(kept_per_rule=2)
    for message in "abc":
        findings.add("manifest-keys", "manifest.json", None, message)

    assert [finding.message for finding in findings.in_order()] == ["a", "b"]


def test_a_message_is_made_only_for_what_is_kept():
    made = []

    def message():
        made.append(1)
        return "m"

    findings = Findings(kept_per_rule=2)
    for line in range(1, 11):
        findings.add("box-order", "train.jsonl", line, message)

    assert len(made) == 2


def test_a_finding_takes_severity_and_fix_from_its_rule():
    findings = Findings()
    findings.add("near-duplicate", "val.jsonl", None, "m")

    [finding] = findings.in_order()
    assert (finding.severity, finding.fix, finding.line) == (Severity.WARNING, RULES["near-duplicate"].fix, None)


def test_values_are_shown_escaped_and_cut():
    assert show("a\nb\ud800") == r"'a\nb\ud800'"
    assert show("x" * 200) == "'" + "x" * 119 + "..."


def test_every_rule_says_what_it_demands_and_how_to_go_on():
    for code, rule in RULES.items():
        assert code == rule.code
        assert code == code.lower().replace("_", "-").replace(" ", "-")
        assert rule.demand
        assert rule.fix
        assert not rule.fix.endswith(".")
