"""Applies a profile's numbers to what was measured: which texts, images and documents go, and by which rule.

The order is OmniCorpus' (arXiv 2406.08418, section 3.2): rules of Gopher and C4 on the document as it was extracted,
then images, then the human-feedback rules, which are gone through up to three times because one rule uncovers work for
another (run.py:89), and last what is asked of the document that is left. Images are switched off and keep their place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from typing import NamedTuple

from domainvl.corpus.filtering.measuring import Measured, MeasuredParagraph, measure_shortened
from domainvl.corpus.filtering.normalising import piece_text
from domainvl.corpus.filtering.phrases import CITATION_MARK
from domainvl.corpus.filtering.profiles import Check, Profile
from domainvl.corpus.filtering.removals import Level, Removal
from domainvl.corpus.filtering.rules import PARAGRAPHS, SCORE_PREFIX
from domainvl.errors import UsageError
from domainvl.interleaved.documents import Document, ImageSlot, Slot, TextKind, TextSlot, keep_slots

_ROUNDS = 3  # run.py:89
_EXCERPT_CHARACTERS = 240
_LAST_PARAGRAPHS = 5  # filters.py:509
_WHOLE_DOCUMENT_ITEMS = 20  # filters.py:484: of shorter documents every part counts as the last quarter
_RUNNING_TEXT = (TextKind.TEXT, TextKind.QUOTE)
_LINE_PREFIX = "c4-"  # of the rules on lines, which come before all others on paragraphs
_EARLY_PREFIXES = ("gopher-", "omni-", _LINE_PREFIX)

_DENSE: Mapping[str, Callable[[MeasuredParagraph], float]] = {
    "c4-word-length": lambda paragraph: paragraph.counts.longest_word,
    "c4-terminal-punctuation": lambda paragraph: paragraph.is_ended,
    "c4-line-words": lambda paragraph: paragraph.counts.words,
    "hf-uppercase": lambda paragraph: paragraph.counts.capitals / max(1, paragraph.counts.solid),
    "hf-digits": lambda paragraph: paragraph.counts.digits / max(1, paragraph.counts.characters),
    "hf-one-word": lambda paragraph: paragraph.counts.words,
    "hf-flagged-paragraph": lambda paragraph: paragraph.flagged_words / max(1, paragraph.counts.words),
    "hf-characters": lambda paragraph: paragraph.counts.characters,
    "hf-two-words": lambda paragraph: paragraph.counts.words,
    "hf-four-words": lambda paragraph: paragraph.counts.words,
    "zh-digits": lambda paragraph: paragraph.counts.digits / max(1, paragraph.counts.characters),
    "zh-short": lambda paragraph: paragraph.counts.solid,
}
"""What rules ask of every paragraph; the values of others stand in its hits, where there is something to ask."""

# Rules that also ask what stands around a paragraph; the hits of others are enough.
_NEIGHBOUR_RULES = frozenset(
    (
        "hf-image-caption", "hf-numbered-references", "hf-citation-marks", "hf-reference-section", "hf-sponsor",
        "hf-bracketed-end",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """What becomes of a document.

    Attributes:
        kept: What is left of it; None where it is dropped.
        removals: What rules took away. Of a paragraph or image that breaks several rules the first of the table is
            named; of a document all that it breaks at the stage at which it is dropped.
    """

    kept: Document | None
    removals: tuple[Removal, ...]


def decide(document: Document, measured: Measured, profile: Profile) -> Decision:
    """Decide what is kept of a document.

    Args:
        document: The document that was measured.
        measured: What was measured of it.
        profile: The rules that are on, with their numbers.

    Raises:
        UsageError: If it was measured under other normalisers or flagged words than the profile's.
    """
    if measured.key != profile.measuring_key:
        raise UsageError(
            "Cannot apply a profile",
            where=document.id,
            rule="it was measured with other normalisers or flagged words",
            action="Measure it again: filter the corpus before this one",
        )
    deciding = _Deciding(document, measured, profile)
    kept = deciding.rest() if deciding.is_kept() else None
    return Decision(kept, tuple(deciding.removals))


@dataclass(eq=False)
class _Item:
    """A paragraph on its way.

    Attributes:
        measured: What was measured of what is left of it.
        slot: Its slot.
        text: What is left of it; None where nothing was changed since it was measured.
        is_new: Whether rules have yet to look at it as it is.
    """

    measured: MeasuredParagraph
    slot: TextSlot
    text: str | None = None
    is_new: bool = True

    def current_text(self) -> str:
        """Return what is left of it."""
        return piece_text(self.slot.text, self.measured.piece) if self.text is None else self.text


class _Broken(NamedTuple):
    """A rule that a paragraph breaks."""

    item: _Item
    code: str
    value: float
    bound: float


class _Deciding:
    """The state of one decision."""

    def __init__(self, document: Document, measured: Measured, profile: Profile) -> None:
        self._document = document
        self._measured = measured
        self._profile = profile
        self._checks = profile.checks(measured.language)
        self._dense = [(check, _DENSE[code]) for code, check in self._checks.items() if code in _DENSE]
        self._images = [
            index for index in measured.images if isinstance(slot := document.slots[index], ImageSlot) and slot.valid
        ]
        self._items = [
            _Item(paragraph, slot)
            for paragraph in measured.paragraphs
            if isinstance(slot := document.slots[paragraph.slot], TextSlot)
        ]
        self.removals: list[Removal] = []

    def is_kept(self) -> bool:
        """Go through all rules; False where one drops the document."""
        values = self._measured.document
        if self._drops_document({code: value for code, value in values.items() if code.startswith(_EARLY_PREFIXES)}):
            return False
        self._drop(self._first_broken(self._items, of_lines=True))
        if self._drops_document({"c4-sentences": sum(_ended_sentences(item.measured) for item in self._items)}):
            return False
        self._tell_cuts()
        self._switch_off_images()
        self._human_feedback()
        scores = {code: value for code, value in values.items() if code.startswith(SCORE_PREFIX)}
        return not self._drops_document(self._values_left() | scores)

    def rest(self) -> Document:
        """Return what is left of the document."""
        left: list[tuple[int, Slot]] = []
        kept = set(self._images)
        items = iter([*self._items, None])
        item = next(items)
        for index, slot in enumerate(self._document.slots):
            if isinstance(slot, ImageSlot):
                left.append((index, slot if index in kept or not slot.valid else replace(slot, valid=False)))
            while item is not None and item.measured.slot == index:
                text = item.current_text()
                left.append((index, item.slot if text == item.slot.text else replace(item.slot, text=text)))
                item = next(items)
        return replace(self._document, slots=keep_slots(self._document.slots, left))

    # The document.

    def _values_left(self) -> dict[str, float]:
        """Return what rules ask of the document that is left."""
        counts = [item.measured.counts for item in self._items]
        words = sum(count.words for count in counts)
        solid = sum(count.solid for count in counts)
        values: dict[str, float] = {"document-texts": len(counts), "hf-words": words, "zh-characters": solid}
        values["hf-stop-words"] = sum(item.measured.stop_words for item in self._items)
        if words:
            values["hf-word-length"] = solid / words
            values["hf-letters"] = sum(count.letter_words for count in counts) / words
            values["hf-flagged-document"] = sum(item.measured.flagged_words for item in self._items) / words
            prose = [item.measured.counts.words for item in self._items if item.slot.kind in PARAGRAPHS] or [0]
            if sum(prose) / len(prose) < self._number("hf-short-paragraphs", "mean"):
                values["hf-short-paragraphs"] = max(prose)
        if len(self._images) > self._number("hf-words-an-image", "images"):
            values["hf-words-an-image"] = words / len(self._images)
        return values

    def _number(self, code: str, key: str) -> float:
        check = self._checks.get(code)
        return float("inf") if check is None else check.numbers[key]

    def _drops_document(self, values: Mapping[str, float]) -> bool:
        broken = list(self._broken(values))
        excerpt = next((slot.text for slot in self._document.texts), "") if broken else ""
        for code, value, bound in broken:
            self._remove(Level.DOCUMENT, code, None, value, bound, excerpt)
        return bool(broken)

    def _broken(self, values: Mapping[str, float]) -> Iterator[tuple[str, float, float]]:
        """Yield the rules that values break, with the value and the bound, in the order of the table."""
        found = []
        for code, value in values.items():
            check = self._checks.get(code)
            if check is not None and (bound := check.broken_bound(value)) is not None:
                found.append((check.order, code, value, bound))
        for _, code, value, bound in sorted(found):
            yield code, value, bound

    def _remove(
        self, level: Level, code: str, slot: int | None, value: float, bound: float | None, excerpt: str
    ) -> None:
        excerpt = excerpt[:_EXCERPT_CHARACTERS]
        self.removals.append(Removal(self._document.id, level, code, slot, float(value), bound, excerpt))

    # Images.

    def _switch_off_images(self) -> None:
        left = []
        for index in self._images:
            broken = next(self._broken(self._measured.images[index]), None)
            if broken is None:
                left.append(index)
                continue
            slot = self._document.slots[index]
            self._remove(Level.IMAGE, broken[0], index, *broken[1:], slot.url if isinstance(slot, ImageSlot) else "")
        self._images = left

    # Paragraphs.

    def _tell_cuts(self) -> None:
        """List what normalisers cut out of paragraphs: a row a paragraph and rule, with the number of cuts."""
        for item in self._items:
            cuts = item.measured.piece.cuts
            for code in sorted({cut.code for cut in cuts}):
                parts = [item.slot.text[cut.begin : cut.end] for cut in cuts if cut.code == code]
                self._remove(Level.SPAN, code, item.measured.slot, len(parts), None, " ".join(parts))
        for before, item in pairwise(self._items):
            if before.slot is item.slot:  # underscores stood between them
                text = item.slot.text[before.measured.piece.end : item.measured.piece.begin]
                self._remove(Level.SPAN, "hf-underscores", item.measured.slot, len(text), None, text)

    def _human_feedback(self) -> None:
        for _ in range(_ROUNDS):
            before = len(self.removals)
            if "hf-incomplete-ends" in self._checks:
                self._trim_begin()
                self._trim_end()
            new = [item for item in self._items if item.is_new]
            for item in new:
                item.is_new = False
            self._drop(self._first_broken(new, of_lines=False))
            self._drop(self._empty_headings())
            self._drop(self._captions())
            self._drop(self._bracketed_end())
            self._drop_references()
            if len(self.removals) == before:
                break

    def _drop(self, broken: Iterable[_Broken]) -> None:
        gone = set()
        for item, code, value, bound in broken:
            if item not in gone:
                gone.add(item)
                self._remove(Level.PARAGRAPH, code, item.measured.slot, value, bound, item.current_text())
        if gone:
            self._items = [item for item in self._items if item not in gone]

    def _first_broken(self, items: Iterable[_Item], *, of_lines: bool) -> Iterator[_Broken]:
        """Yield for each paragraph the first rule of the table that it breaks by itself."""
        dense = [(check, value) for check, value in self._dense if check.code.startswith(_LINE_PREFIX) == of_lines]
        for item in items:
            first: tuple[int, str, float, float] | None = None
            for check, quantity in dense:
                value = quantity(item.measured)
                if not check.least <= value <= check.most and self._concerns(check, item):
                    first = (check.order, check.code, value, check.broken_bound(value) or 0.0)
                    break
            for code, value in item.measured.hits.items():
                if code.startswith(_LINE_PREFIX) == of_lines and code not in _NEIGHBOUR_RULES:
                    bound = self._breaks(code, value, item)
                    if bound is not None and (first is None or self._checks[code].order < first[0]):
                        first = (self._checks[code].order, code, value, bound)
            if first is not None:
                yield _Broken(item, *first[1:])

    def _breaks(self, code: str, value: float, item: _Item) -> float | None:
        """Return the bound that a paragraph breaks."""
        check = self._checks.get(code)
        if check is None:
            return None
        bound = check.broken_bound(value)
        return bound if bound is not None and self._concerns(check, item) else None

    def _concerns(self, check: Check, item: _Item) -> bool:
        """Tell whether a rule is for such a text, and does not spare it for the sake of an image near by."""
        if check.kinds is not None and item.slot.kind not in check.kinds:
            return False
        reach = check.numbers.get("near_image")
        slot = item.measured.slot
        return reach is None or not self._has_image(slot - int(reach) - 1, slot + int(reach) + 1)

    def _trim_begin(self) -> None:
        """Drop paragraphs at the beginning without a single whole sentence."""
        running = (item for item in self._items if item.slot.kind in _RUNNING_TEXT)
        self._drop_incomplete(list(takewhile(lambda item: not item.measured.counts.complete, running)))

    def _trim_end(self) -> None:
        """Cut off what stands behind the last whole sentence."""
        running = (item for item in reversed(self._items) if item.slot.kind in _RUNNING_TEXT)
        gone = []
        for item in running:
            complete, characters = item.measured.counts.complete, item.measured.counts.characters
            if complete:
                if complete < characters:
                    text = item.current_text()
                    self._tell_incomplete(item, Level.SPAN, text[complete:])
                    self._shorten(item, text[:complete])
                break
            gone.append(item)
        self._drop_incomplete(gone)

    def _drop_incomplete(self, gone: Collection[_Item]) -> None:
        for item in gone:
            self._tell_incomplete(item, Level.PARAGRAPH, item.current_text())
        lost = set(gone)
        if lost:
            self._items = [item for item in self._items if item not in lost]

    def _tell_incomplete(self, item: _Item, level: Level, text: str) -> None:
        self._remove(level, "hf-incomplete-ends", item.measured.slot, len(text), None, text)

    def _shorten(self, item: _Item, text: str) -> None:
        item.measured = measure_shortened(item.measured, text, item.slot.kind, self._profile)
        item.text = text
        item.is_new = True

    def _empty_headings(self) -> Iterator[_Broken]:
        """Yield headings that a heading of the same rank follows with nothing between, images included."""
        for item, behind in pairwise(self._items):
            is_pair = item.slot.kind is TextKind.HEADER and behind.slot.kind is TextKind.HEADER
            if is_pair and item.slot.level is not None and item.slot.level == behind.slot.level:
                bound = self._breaks("hf-empty-heading", 1, item)
                if bound is not None and not self._has_image(item.measured.slot, behind.measured.slot):
                    yield _Broken(item, "hf-empty-heading", 1, bound)

    def _has_image(self, begin: int, end: int) -> bool:
        place = bisect_right(self._images, begin)
        return place < len(self._images) and self._images[place] < end

    def _captions(self) -> Iterator[_Broken]:
        """Yield short texts right before or behind an image that speak of images and their sources."""
        slots = [item.measured.slot for item in self._items]
        for place, item in enumerate(self._items):
            if "hf-image-caption" not in item.measured.hits:
                continue
            value = item.measured.hits["hf-image-caption"]
            bound = self._breaks("hf-image-caption", value, item)
            before = slots[place - 1] if place else -1
            behind = slots[place + 1] if place + 1 < len(slots) else len(self._document.slots)
            if bound is not None and self._has_image(before, behind):
                yield _Broken(item, "hf-image-caption", value, bound)

    def _bracketed_end(self) -> Iterator[_Broken]:
        last = next((item for item in reversed(self._items) if item.slot.kind is TextKind.TEXT), None)
        if last is not None and "hf-bracketed-end" in last.measured.hits:
            bound = self._breaks("hf-bracketed-end", 1, last)
            if bound is not None:
                yield _Broken(last, "hf-bracketed-end", 1, bound)

    def _drop_references(self) -> None:
        """Drop a numbered list of references at the end with the marks that point to it, and what follows a heading."""
        entries = [item for item in self._items if "hf-numbered-references" in item.measured.hits]
        if entries and entries[-1] in self._items[-_LAST_PARAGRAPHS:]:
            before = len(self.removals)
            self._drop(self._hit(entries, "hf-numbered-references"))
            if len(self.removals) > before and "hf-citation-marks" in self._checks:
                self._cut_marks()
        count = len(self._items)
        ending = self._items[count - count // 4 :] if count > _WHOLE_DOCUMENT_ITEMS else self._items
        self._drop(self._hit([item for item in ending if "hf-sponsor" in item.measured.hits], "hf-sponsor"))
        for place, item in enumerate(ending):
            if "hf-reference-section" in item.measured.hits:
                self._drop(self._hit(ending[place:], "hf-reference-section"))
                break

    def _hit(self, items: Iterable[_Item], code: str) -> Iterator[_Broken]:
        for item in items:
            bound = self._breaks(code, 1, item)
            if bound is not None:
                yield _Broken(item, code, 1, bound)

    def _cut_marks(self) -> None:
        for item in self._items:
            count = item.measured.hits.get("hf-citation-marks")
            if count is not None and (bound := self._breaks("hf-citation-marks", count, item)) is not None:
                text = item.current_text()
                marks = "".join(CITATION_MARK.findall(text))
                self._remove(Level.SPAN, "hf-citation-marks", item.measured.slot, count, bound, marks)
                self._shorten(item, CITATION_MARK.sub("", text))


def _ended_sentences(paragraph: MeasuredParagraph) -> int:
    """Count the sentences that end: headings, labels and list items are none, which C4 would have dropped before."""
    counts = paragraph.counts
    return counts.sentences - (not paragraph.is_ended and counts.complete < counts.characters)
