"""What filters took from a corpus: tables for a terminal, and a page of kept and dropped documents side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from domainvl.corpus.auditing.things import Stratum, draw_sample
from domainvl.corpus.filtering.filtered import Filtered, FilteredCorpus
from domainvl.corpus.filtering.removals import Level
from domainvl.corpus.filtering.rules import Rule, rule_of
from domainvl.viewing.corpus.documents import DocumentView, Pictures, view_document
from domainvl.viewing.corpus.rendering import write_html
from domainvl.viewing.report import layout, plain
from domainvl.viewing.show import check_page_target

_COUNTED = {
    Level.DOCUMENT: "documents", Level.PARAGRAPH: "paragraphs", Level.SPAN: "paragraphs", Level.IMAGE: "images",
}  # fmt: skip
"""What the share of a level is of, by the names in the manifest."""

_MOST_DOCUMENTS = 30
_MAX_PICTURE_BYTES = 3_000_000
_EXCERPT_CHARACTERS = 70


@dataclass(frozen=True)
class RuleCount:
    """What a rule took away.

    Attributes:
        rule: The rule.
        removed: How many things.
        share: Share of all documents, paragraphs or images; a paragraph may lose several stretches.
        examples: Some of the things, as text.
    """

    rule: Rule
    removed: int
    share: float
    examples: tuple[str, ...]


@dataclass(frozen=True)
class LevelCount:
    """What was taken away of one level.

    Attributes:
        level: The level.
        of: What shares are of, such as ``paragraphs``.
        total: How many there were.
        rules: Rules that took something, the one that took most first.
    """

    level: Level
    of: str
    total: int
    rules: tuple[RuleCount, ...]


@dataclass(frozen=True)
class Report:
    """What a report shows.

    Attributes:
        name: Name of the corpus.
        profile: Name of the profile.
        documents: How many were filtered.
        kept: How many are left.
        levels: What was taken away, by level.
        steps: The steps before, each with what it left out by reason.
        shown: Ids of documents to show, the most telling first.
    """

    name: str
    profile: str
    documents: int
    kept: int
    levels: tuple[LevelCount, ...]
    steps: tuple[Mapping[str, Any], ...]
    shown: tuple[str, ...]


def make_report(corpus: FilteredCorpus, *, examples: int) -> Report:
    """Count what was taken away.

    Args:
        corpus: The filtered corpus.
        examples: Most examples of a rule.
    """
    strata = draw_sample(corpus.documents(), sample=examples, seed=0)
    manifest = corpus.corpus.manifest
    return Report(
        name=str(manifest["name"]),
        profile=corpus.profile.name,
        documents=corpus.counts["documents"],
        kept=corpus.counts["documents kept"],
        levels=tuple(_level_count(level, strata, corpus.counts) for level in Level),
        steps=tuple(manifest["steps"][:-1]),
        shown=_documents_in_turn(strata),
    )


def _level_count(level: Level, strata: Sequence[Stratum], counts: Mapping[str, int]) -> LevelCount:
    total = counts[_COUNTED[level]]
    rules = [
        RuleCount(
            rule=rule_of(stratum.rule),
            removed=stratum.size,
            share=stratum.size / total if total else 0.0,
            examples=tuple(thing.excerpt for thing in stratum.things),
        )
        for stratum in strata
        if stratum.level is level and stratum.rule is not None
    ]
    rules.sort(key=lambda one: (-one.removed, one.rule.code))
    return LevelCount(level, _COUNTED[level], total, tuple(rules))


def _documents_in_turn(strata: Sequence[Stratum]) -> tuple[str, ...]:
    """Name the documents of the examples: of each rule the first, then of each the second, and so on."""
    turns = zip_longest(*(stratum.things for stratum in strata))
    return tuple(dict.fromkeys(thing.document for turn in turns for thing in turn if thing is not None))


def format_report(report: Report) -> str:
    """Lay out a report for a terminal."""
    kept = f"{report.kept:,} of {report.documents:,} documents kept"
    lines = [f"{plain(report.name)}: {kept} by the profile {plain(report.profile)}"]
    for step in report.steps:
        lines += _step_lines(step)
    for level in report.levels:
        if level.rules:
            lines += ["", f"{level.level.value}, of {level.total:,} {level.of}"]
            lines += [f"  {line}" for line in layout(_rows(level), "lrrl")]
    return "\n".join(lines)


def _rows(level: LevelCount) -> Iterator[list[str]]:
    yield ["rule", "removed", "share", "examples"]
    for one in level.rules:
        first, *others = map(_one_line, one.examples)
        yield [one.rule.code, f"{one.removed:,}", f"{one.share:.1%}", first]
        for other in others:
            yield ["", "", "", other]


def _step_lines(step: Mapping[str, Any]) -> Iterator[str]:
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in step["drops"].items())
    yield f"before: {step['command']}" + (f", which left out {left_out}" if left_out else ", which left nothing out")


def _one_line(example: str) -> str:
    return plain(" ".join(example.split()) or "(blank)", _EXCERPT_CHARACTERS)


def write_report_page(report: Report, corpus: FilteredCorpus, out: Path) -> Pictures:
    """Write a page of one file.

    Args:
        report: What to show.
        corpus: The filtered corpus.
        out: HTML file to write; an older page of domainvl there is replaced.

    Returns:
        The pictures, with how many were left out.

    Raises:
        UsageError: If ``out`` is there and is no page that domainvl made.
        OutputError: If it cannot be written.
    """
    check_page_target(out, embed=True)
    wanted = set(report.shown)
    found: dict[str, Filtered] = {one.document.id: one for one in corpus.documents() if one.document.id in wanted}
    pictures = Pictures(corpus.corpus.folder, _MAX_PICTURE_BYTES)
    sides = {
        is_kept: _views([found[name] for name in report.shown if found[name].is_kept is is_kept], pictures)
        for is_kept in (True, False)
    }
    write_html(out, "report.html.j2", report=report, kept=sides[True], dropped=sides[False], pictures=pictures)
    return pictures


def _views(some: Sequence[Filtered], pictures: Pictures) -> list[DocumentView]:
    return [view_document(one, pictures) for one in some[:_MOST_DOCUMENTS]]
