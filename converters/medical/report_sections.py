"""Divides the text of a radiology report into its sections, and asks for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from domainvl.errors import UsageError
from domainvl.schema.questions import Question
from domainvl.schema.questions.question import make_question
from domainvl.schema.sample import Task, TextAnswer

FINDINGS, IMPRESSION, TEXT = "findings", "impression", "text"

SECTIONS = (
    FINDINGS, IMPRESSION, "indication", "technique", "comparison", "examination", "recommendation", TEXT,
)  # fmt: skip
"""What can be asked for; ``text`` is the whole report as it stands."""

_OTHER = "other"
"""Sections that end the one before them and that nobody asks for."""

_HEADINGS: Mapping[str, str] = {
    FINDINGS: r"finding(?:s|\(s\))?(?: (?:and|&) impressions?| ?/ ?impressions?)?|observations?",
    IMPRESSION: r"(?:final )?impressions?(?: (?:and|&) recommendations?)?|conclusions?|opinion|summary|assessment|"
    r"interpretation",
    "indication": r"(?:clinical )?indications?|reason for (?:this )?exam(?:ination)?|reason for study|"
    r"(?:clinical )?history|"
    r"clinical (?:information|data|statement|question)|indication for (?:the )?(?:study|exam(?:ination)?)",
    "technique": r"techniques?|procedure(?: comments?)?|protocol|imaging technique",
    "comparison": r"comparisons?(?: (?:studies|study|exams?|examinations?|films?|radiographs?))?|"
    r"prior(?:s| studies| study)?",
    "examination": r"exam(?:ination)?s?(?: type)?|study|type of (?:exam(?:ination)?|study)",
    "recommendation": r"recommendations?(?: ?\(s\))?|follow[- ]?up",
    _OTHER: r"wet read|(?:preliminary|final) (?:report|read|addendum)|addendum|notifications?|communications?|"
    r"critical results?|(?:radiation )?dose|dlp|ctdi(?:vol)?|contrast|medications?|date|time|accession(?: number)?|"
    r"electronically signed(?: by)?|signed(?: by)?|dictated by|attending|radiologist|name|patient|mrn|"
    r"referring physician",
}
"""Customary headings by section. Other words before a colon, such as LUNGS:, are headings within a section and stay in
it."""

_HEADING = re.compile(
    "|".join(f"(?P<{section}>{pattern})" for section, pattern in _HEADINGS.items()),
    re.IGNORECASE,
)
# Stars are those of Markdown; low lines after a colon are what MIMIC-CXR writes for what it took out.
_LINE = re.compile(r"[ \t*]*(?P<name>[A-Z][A-Za-z /&()-]{1,50}?)[ \t*]*:[ \t*]*(?P<rest>.*)")
_BARE = re.compile(r"[ \t*]*(?P<name>[A-Z][A-Z /&()-]{1,50})[ \t*]*")
_VIEWS = re.compile(
    r"[ \t]*(?=[A-Z0-9 ,/&()._-]*\b(?:CHEST|RADIOGRAPHS?|VIEWS?|PORTABLE|ABDOMEN)\b)"
    r"[A-Z](?:[A-Z0-9 ,/&()._-]|:(?=\d)){2,80}:(?P<rest>(?:[ \t].*)?)"
)
"""In older reports of MIMIC-CXR, findings stand under a heading such as CHEST, PA AND LATERAL:"""

_ITEM = re.compile(r"[ \t]*(?:\d{1,2}[.)]|[-*\u2022])[ \t]+\S")


def parse_sections(text: str) -> tuple[str, ...]:
    """Read the setting ``report_sections``: names with commas between them.

    Raises:
        UsageError: If a name is unknown, given twice or empty.
    """
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in SECTIONS:
            rule = f"it must list some of {', '.join(SECTIONS)}, got {name!r}"
            raise UsageError("Cannot read --report-sections", rule=rule)
        if names.count(name) > 1:
            raise UsageError("Cannot read --report-sections", rule=f"{name} is named twice")
    return tuple(names)


def split_sections(text: str) -> dict[str, str]:
    """Divide a report into sections.

    A section begins at a line that starts with its heading: one of a list of words before a colon, with a capital, or
    alone on its line in capitals. It ends where the next one begins. Where there is no heading of findings, text under
    a heading of capitals that names views ("CHEST, PA AND LATERAL:") is taken for them. Line breaks within a paragraph
    become blanks; paragraphs and items of a list keep lines of their own. Sections of one kind are joined.

    Args:
        text: The report.

    Returns:
        Text by section (:data:`SECTIONS`), without empty ones; always with ``text`` unless the report is empty.
    """
    lines = text.splitlines()
    parts: dict[str, list[str]] = {}
    has_findings = any(section == FINDINGS for section, _ in map(_heading, lines))
    section = ""
    for line in lines:
        found, rest = _heading(line)
        if not found and not has_findings and (views := _VIEWS.fullmatch(line)):
            found, rest = FINDINGS, views["rest"]
        if found:
            section, line = found, rest
            # A second section of a kind begins a paragraph of its own.
            parts.setdefault(section, []).append("")
        if section:
            parts[section].append(line)
    whole = {name: unwrap("\n".join(lines_of)) for name, lines_of in parts.items() if name != _OTHER}
    whole[TEXT] = unwrap(text)
    return {name: content for name, content in whole.items() if content}


def _heading(line: str) -> tuple[str, str]:
    """Return which section a line begins, and what it says after the heading; two empty texts where it begins none."""
    found = _LINE.fullmatch(line) or _BARE.fullmatch(line)
    named = _HEADING.fullmatch(found["name"].strip()) if found else None
    if found is None or named is None or named.lastgroup is None:
        return "", ""
    return named.lastgroup, found["rest"] if "rest" in found.groupdict() else ""


def unwrap(text: str) -> str:
    """Join the lines of each paragraph; items of a list keep lines of their own."""
    paragraphs: list[list[str]] = [[]]
    for line in text.splitlines():
        if not line.strip() or _ITEM.match(line):
            paragraphs.append([])
        paragraphs[-1] += line.split()
    return "\n".join(" ".join(words) for words in paragraphs if words)


def ask_for_report(sections: Mapping[str, str], *, what: str = "study") -> list[Question]:
    """Ask for sections of a report.

    Args:
        sections: Text by section; empty ones are not asked for.
        what: What the question calls what is shown, such as ``"study"`` or ``"radiograph"``.
    """
    return list(_ask(sections, what))


def _ask(sections: Mapping[str, str], what: str) -> Iterator[Question]:
    for section, text in sections.items():
        if text:
            stem = f"report-{section}" if section in (FINDINGS, IMPRESSION, TEXT) else "report-section"
            slots = {"label": what, "other": section.upper()}
            yield make_question(f"report-{section}", Task.CAPTION, stem, TextAnswer(text=text), **slots)


def wanted_sections(text: str, wanted: Sequence[str]) -> dict[str, str]:
    """Return those sections of a report that are wanted and there."""
    found = split_sections(text)
    return {section: found[section] for section in wanted if section in found}
