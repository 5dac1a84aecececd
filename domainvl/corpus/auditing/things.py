"""Things that a reviewer marks: removed ones of each rule, and kept documents, paragraphs and images.

Each has an id that is made of what it is, so that marks find the thing again in the corpus and nothing else of the
file with the marks has to be trusted.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from domainvl.corpus.filtering.filtered import Filtered
from domainvl.corpus.filtering.removals import Level
from domainvl.corpus.filtering.rules import RULES, SCORE_PREFIX
from domainvl.interleaved.documents import ImageSlot, TextSlot
from domainvl.schema.splitting import uniform_from_key

_ID_DIGITS = 16
_EXCERPT_CHARACTERS = 300


@dataclass(frozen=True)
class Thing:
    """Something to be marked.

    Attributes:
        id: Made of all that tells it from others; begins with a letter that no spreadsheet takes for a number.
        document: Id of its document.
        level: What it is.
        rule: Code of the rule that took it away; None where it was kept.
        slot: Index of its slot in the document as it was before any rule; None for a whole document.
        value: What the rule measured; None where it was kept.
        threshold: The cut-off that this broke.
        excerpt: Its text or the beginning of it; the address of an image.
    """

    id: str
    document: str
    level: Level
    rule: str | None
    slot: int | None
    value: float | None
    threshold: float | None
    excerpt: str


@dataclass(frozen=True)
class Stratum:
    """Things of one kind, from which a sample is drawn.

    Attributes:
        level: What they are.
        rule: The rule that took them away; None for those that were kept.
        size: How many there are in the corpus.
        things: The sample, by document.
    """

    level: Level
    rule: str | None
    size: int
    things: tuple[Thing, ...]


@dataclass(frozen=True)
class Marked:
    """A thing with its mark.

    Attributes:
        thing: The thing.
        keep: Whether it should have been kept; else it should have been dropped.
        problem: What the reviewer wrote beside it: the code of a rule that missed it, or any words.
    """

    thing: Thing
    keep: bool
    problem: str

    @property
    def missed_rule(self) -> str | None:
        """The rule that should have dropped it and did not; None where none is named."""
        is_code = self.problem in RULES or self.problem.startswith(SCORE_PREFIX)
        return self.problem if self.thing.rule is None and not self.keep and is_code else None


def find_things(filtered: Filtered) -> list[Thing]:
    """Return all that can be marked of a document: what each rule took away, and what was kept.

    Of a document that was dropped, the paragraphs that no rule took count as neither.
    """
    return [*_removed(filtered), *(_kept(filtered) if filtered.is_kept else ())]


def draw_sample(documents: Iterable[Filtered], *, sample: int, seed: int) -> list[Stratum]:
    """Draw things at random from each stratum: each rule, and kept documents, paragraphs and images.

    Whether a thing is drawn depends on the seed, its id and the others of its stratum, never on its place in a file.
    Memory grows with the sample and not with the corpus.

    Args:
        documents: All documents that were filtered.
        sample: Most things of a stratum.
        seed: Another one draws others.

    Returns:
        Strata by level, what was kept last in each.
    """
    sizes: Counter[tuple[Level, str | None]] = Counter()
    lowest: dict[tuple[Level, str | None], list[tuple[float, int, Thing]]] = {}
    for filtered in documents:
        for thing in find_things(filtered):
            key = thing.level, thing.rule
            sizes[key] += 1
            heap = lowest.setdefault(key, [])
            # The heap holds negative draws: its first element is the largest draw that is still in.
            entry = (-uniform_from_key(f"{seed}/{thing.id}"), sizes[key], thing)
            if len(heap) < sample:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)
    order = list(Level)
    keys = sorted(sizes, key=lambda key: (order.index(key[0]), key[1] is None, key[1] or ""))
    return [Stratum(*key, sizes[key], _by_document([thing for _, _, thing in lowest[key]])) for key in keys]


def _by_document(things: Sequence[Thing]) -> tuple[Thing, ...]:
    return tuple(sorted(things, key=lambda thing: (thing.document, -1 if thing.slot is None else thing.slot, thing.id)))


def _removed(filtered: Filtered) -> Iterator[Thing]:
    seen: Counter[tuple[str, int | None]] = Counter()
    for removal in filtered.removals:
        # A rule may take several stretches of one paragraph.
        number = seen[removal.rule, removal.slot]
        seen[removal.rule, removal.slot] += 1
        yield Thing(
            id=_thing_id(removal.document, removal.level, removal.rule, removal.slot, number),
            document=removal.document,
            level=removal.level,
            rule=removal.rule,
            slot=removal.slot,
            value=removal.value,
            threshold=removal.threshold,
            excerpt=removal.excerpt[:_EXCERPT_CHARACTERS],
        )


def _kept(filtered: Filtered) -> Iterator[Thing]:
    document = filtered.document
    taken = {removal.slot for removal in filtered.removals if removal.level in (Level.PARAGRAPH, Level.IMAGE)}
    left = [(index, slot) for index, slot in enumerate(document.slots) if index not in taken]
    first = next((slot.text for _, slot in left if isinstance(slot, TextSlot)), "")
    yield _kept_thing(document.id, Level.DOCUMENT, None, first)
    for index, slot in left:
        if isinstance(slot, TextSlot):
            yield _kept_thing(document.id, Level.PARAGRAPH, index, slot.text)
        elif isinstance(slot, ImageSlot) and slot.valid:
            yield _kept_thing(document.id, Level.IMAGE, index, slot.url)


def _kept_thing(document: str, level: Level, slot: int | None, excerpt: str) -> Thing:
    name = _thing_id(document, level, None, slot, 0)
    return Thing(name, document, level, None, slot, None, None, excerpt[:_EXCERPT_CHARACTERS])


def _thing_id(document: str, level: Level, rule: str | None, slot: int | None, number: int) -> str:
    parts = "\0".join(map(str, (document, level.value, rule, slot, number)))
    return "m" + hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_DIGITS]
