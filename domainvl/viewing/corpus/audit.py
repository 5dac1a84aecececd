"""What a reviewer is given to mark, and what the marks say, laid out for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from domainvl.corpus.auditing.marks import MARKS_NAME, write_marks
from domainvl.corpus.auditing.proposing import Proposal
from domainvl.corpus.auditing.rates import CONFIDENCE, AuditRates, RuleRates, Share
from domainvl.corpus.auditing.things import Stratum, draw_sample
from domainvl.corpus.filtering.filtered import FilteredCorpus
from domainvl.corpus.filtering.rules import rule_of
from domainvl.errors import UsageError
from domainvl.files import make_folder
from domainvl.viewing.corpus.documents import DocumentView, Pictures, view_document
from domainvl.viewing.corpus.rendering import write_html
from domainvl.viewing.report import layout, plain

PAGE_NAME = "index.html"

_MAX_PICTURE_BYTES = 8_000_000


def write_audit(corpus: FilteredCorpus, out: Path, *, sample: int, seed: int) -> list[Stratum]:
    """Draw things to be marked, and write a page that shows them and a file for the marks.

    Args:
        corpus: The filtered corpus.
        out: Folder to make; marks that are there are never written over.
        sample: Most things of each rule, and of kept documents, paragraphs and images.
        seed: Another one draws others.

    Returns:
        What was drawn.

    Raises:
        UsageError: If the folder is there and not empty, or cannot be made.
        OutputError: If something in it cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        rule, action = "it exists, perhaps with marks in it", "Name another folder"
        raise UsageError("Cannot write an audit", where=out, rule=rule, action=action)
    make_folder(out, out, empty=False)
    strata = draw_sample(corpus.documents(), sample=sample, seed=seed)
    pictures = Pictures(corpus.corpus.folder, _MAX_PICTURE_BYTES)
    views = _views(corpus, strata, pictures)
    write_html(
        out / PAGE_NAME,
        "audit.html.j2",
        name=corpus.corpus.manifest["name"],
        count=len(views),
        marks_name=MARKS_NAME,
        strata=strata,
        asked=[(stratum, [(thing, views[thing.id]) for thing in stratum.things]) for stratum in strata],
        pictures=pictures,
        rule_of=rule_of,
    )
    write_marks(out / MARKS_NAME, strata)
    return strata


def _views(corpus: FilteredCorpus, strata: Sequence[Stratum], pictures: Pictures) -> dict[str, DocumentView]:
    """Lay out the documents of things, by the things' ids."""
    things: dict[str, list[tuple[str, int | None]]] = {}
    for stratum in strata:
        for thing in stratum.things:
            things.setdefault(thing.document, []).append((thing.id, thing.slot))
    return {
        name: view_document(filtered, pictures, slot)
        for filtered in corpus.documents()
        for name, slot in things.get(filtered.document.id, ())
    }


def format_rates(rates: AuditRates) -> str:
    """Lay out rates: of each rule, of each level, and the problems that were named."""
    rows = [["level", "rule", "removed", "wrongly removed", "published", "missed of the kept", "in the corpus"]]
    rows += [_rule_row(one) for one in rates.rules]
    lines = [
        f"shares with intervals of {CONFIDENCE:.0%} (Clopper-Pearson), as if no two things were of one document",
        *layout(rows, "llrrrrr"),
        "",
    ]
    lines += _level_lines(rates)
    for (level, problem), count in rates.problems.items():
        lines.append(f"  {count:>6}  named at a kept {level.value}: {plain(problem)}")
    return "\n".join(lines)


def _rule_row(one: RuleRates) -> list[str]:
    published = "" if one.published is None else f"{one.published:.1%}"
    missed = f"about {one.missed:,.0f}" if one.misses.count else ""
    return [
        one.level.value, one.rule, f"{one.removed:,}", _share(one.false_positives), published, _share(one.misses),
        missed,
    ]  # fmt: skip


def _share(share: Share) -> str:
    if not share.total:
        return "not marked"
    return f"{share.count:.0f}/{share.total:.0f} = {share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"


def _level_lines(rates: AuditRates) -> Iterator[str]:
    for level, share in rates.false_positives.items():
        yield (
            f"all rules on a {level.value}: {share.value:.1%} [{share.low:.1%}, {share.high:.1%}] wrongly removed, "
            "each rule counted as often as it removes"
        )
    for level, share in rates.misses.items():
        yield f"every {level.value} that was kept: {_share(share)} should have been dropped"


def format_proposals(proposals: Sequence[Proposal]) -> str:
    """Lay out proposed cut-offs."""
    rows = [["rule", "bound", "used", "proposed", "errors", "then", "marks"]]
    rows += [
        [
            one.rule, one.bound, f"{one.used:g}", f"{one.proposed:g}" if one.is_change else "as it is",
            f"{one.errors_used:,.0f}", f"{one.errors_proposed:,.0f}", f"{one.marks:,}",
        ]
        for one in proposals
    ]  # fmt: skip
    return "\n".join(layout(rows, "llrrrrr"))
