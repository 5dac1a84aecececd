"""Measures all that rules compare with their numbers, once; other numbers can then be applied without the texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from domainvl.corpus.filtering.characters import CHINESE_MARKS, SEPARATOR, Counts, count_texts
from domainvl.corpus.filtering.chinese import find_chinese
from domainvl.corpus.filtering.normalising import Cut, Piece, normalise, piece_text
from domainvl.corpus.filtering.phrases import Paragraph, find_english
from domainvl.corpus.filtering.profiles import Profile
from domainvl.corpus.filtering.repetition import commonest_share, text_shares, word_shares
from domainvl.corpus.filtering.rules import CHINESE, ENGLISH, OTHER, SCORE_PREFIX
from domainvl.errors import DatasetError
from domainvl.interleaved.documents import Document, ImageSlot, TextKind, TextSlot

GOPHER_STOP_WORDS = frozenset("the be to of and that have with".split())
"""arXiv 2112.11446, section A1.1."""

STOP_WORDS = frozenset("the is are am to of and that have with".split())
"""human_feedback_textfiltering/text_filter/filters.py:888; without regard to case here."""

_BULLETS = ("•", "‣", "◦", "▪", "●", "- ", "* ")
_ELLIPSES = ("...", "…")
_TERMINAL = (".", "?", "!", '"', "'", "”", "’", *CHINESE_MARKS)  # c4_utils.py, and what stands for them elsewhere
_CITATIONS_AT_END = re.compile(r"(?:\[(?:\d{0,4}|edit|citation needed)\])+\Z")  # c4_utils.py
_LONGEST_CITATIONS = 200  # characters
_PAGE_ENDINGS = (".html", ".htm")
_CHINESE_SHARE = 0.5
_BLOCK_HITS = ("hf-comments", "hf-dictionary-page")  # what a paragraph has by where it stands
_TO_BLANKS = bytes(
    point if chr(point).isalnum() or point > 0x7E or chr(point) == SEPARATOR else 0x20 for point in range(256)
)
_TYPOGRAPHIC = str.maketrans(dict.fromkeys("“”‘’«»–—…•·，。！？：；、（）", " "))


class MeasuredParagraph(NamedTuple):
    """What was measured of a paragraph.

    Attributes:
        slot: Its slot.
        piece: Where in the slot's text it stands, and what was cut out of it before it was measured.
        counts: What was counted in it.
        stop_words: Occurrences of :data:`STOP_WORDS`.
        flagged_words: Occurrences of the profile's flagged words.
        is_ended: Whether a mark ends it, and no ellipsis.
        hits: What was found in it: values by codes of rules.
    """

    slot: int
    piece: Piece
    counts: Counts
    stop_words: int
    flagged_words: int
    is_ended: bool
    hits: Mapping[str, float]


@dataclass(frozen=True)
class Measured:
    """All that was measured of a document.

    Attributes:
        id: The document's id.
        key: :attr:`Profile.measuring_key` of the profile by which texts were changed before.
        language: One of the languages that rules tell apart.
        document: Values of the whole document as it was extracted, by codes of rules; what has no value is not there.
        paragraphs: Its paragraphs in order.
        images: For slots of images values by codes of rules.
    """

    id: str
    key: str
    language: str
    document: Mapping[str, float]
    paragraphs: tuple[MeasuredParagraph, ...]
    images: Mapping[int, Mapping[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Write it as what JSON can hold; :meth:`from_dict` is the inverse."""
        return {
            "id": self.id,
            "key": self.key,
            "language": self.language,
            "document": dict(self.document),
            "paragraphs": self.paragraphs,
            "images": list(self.images.items()),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Measured:
        """Read it from what :meth:`to_dict` gave, by way of JSON or not.

        Raises:
            DatasetError: If it is something else.
        """
        try:
            paragraphs = tuple(map(_read_paragraph, content["paragraphs"]))
            names = (content["id"], content["key"], content["language"])
            return cls(*names, content["document"], paragraphs, dict(content["images"]))
        except (LookupError, ValueError, TypeError) as error:
            raise DatasetError(
                "Cannot read what was measured", rule=repr(error), action="Filter the corpus before this one again"
            ) from error


def _read_paragraph(row: Sequence[Any]) -> MeasuredParagraph:
    slot, (begin, end, cuts), counts, *others = row
    piece = Piece(begin, end, tuple(Cut(*cut) for cut in cuts))
    return MeasuredParagraph(slot, piece, Counts(*counts), *others)


def measure(document: Document, profile: Profile) -> Measured:
    """Measure a document.

    Args:
        document: The document, as it was extracted.
        profile: Its normalisers and flagged words decide what is measured; its numbers do not.
    """
    slots = [slot for slot in document.slots if isinstance(slot, TextSlot)]
    pieces = [
        (index, slot, piece)
        for index, slot in enumerate(document.slots)
        if isinstance(slot, TextSlot)
        for piece in normalise(slot, profile.normalisers)
    ]
    values = _score_values(document)
    paragraphs: tuple[MeasuredParagraph, ...] = ()
    language = _told_language(document)
    if pieces:
        texts = _Texts([piece_text(slot.text, piece) for _, slot, piece in pieces])
        language = texts.language(language)
        piece_slots = [slot for _, slot, _ in pieces]
        hits: Sequence[Mapping[str, float]]
        if language == CHINESE:
            hits = find_chinese(texts.texts, texts.counts, texts.joined)
        else:
            has_images = len(slots) < len(document.slots)
            hits = _english_hits(piece_slots, texts, url=document.url, has_images=has_images)
        paragraphs = tuple(_paragraphs(pieces, texts, hits, frozenset(profile.flagged_words)))
        values |= texts.values(language) | _line_values(slots, texts) | {"gopher-words": texts.sums.words}
    else:
        values["gopher-words"] = 0
    return Measured(document.id, profile.measuring_key, language, values, paragraphs, _image_values(document))


class _Texts:
    """The paragraphs of a document, counted and divided into words."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.joined = "".join([part for text in texts for part in (text, SEPARATOR)])
        self.counts, self.chinese = count_texts(texts, self.joined)
        self.sums = Counts(*map(sum, zip(*self.counts, strict=True)))
        self.lower = self.joined.lower()
        plain = self.lower if self.lower.isascii() else self.lower.translate(_TYPOGRAPHIC)
        plain = plain.encode("utf-8", "surrogatepass").translate(_TO_BLANKS).decode("utf-8", "surrogatepass")
        self.words = [part.split() for part in plain.split(SEPARATOR)[:-1]]
        self.vocabulary = frozenset(chain.from_iterable(self.words))

    def language(self, told: str) -> str:
        """Chinese is what is written in Chinese, whatever the source says."""
        if self.sums.letters and self.sums.chinese / self.sums.letters >= _CHINESE_SHARE:
            return CHINESE
        return OTHER if told == OTHER else ENGLISH

    def values(self, language: str) -> dict[str, float]:
        """Return what Gopher's, C4's and OmniCorpus' preliminary rules ask of a document, but for lines."""
        sums = self.sums
        units = sums.words + sums.chinese if language == CHINESE else sums.words
        hashes = self.joined.count("#")
        values: dict[str, float] = {"c4-curly-bracket": self.joined.count("{")}
        if "ipsum" in self.vocabulary:
            values["c4-lorem-ipsum"] = self.lower.count("lorem ipsum")
        if units:
            values["gopher-symbols"] = max(hashes, _ellipsis_count(self.joined)) / units
        if language == CHINESE:
            values["omni-word-frequency"] = commonest_share(self.chinese)
            return values
        words = list(chain.from_iterable(self.words))
        values["gopher-stop-words"] = len(GOPHER_STOP_WORDS & self.vocabulary)
        if sums.words:
            values["gopher-word-length"] = sums.solid / sums.words
            values["gopher-letters"] = sums.letter_words / sums.words
        if words:
            values |= word_shares(words)
        return values


def _ellipsis_count(text: str) -> int:
    return sum(text.count(ellipsis) for ellipsis in _ELLIPSES)


def _line_values(slots: Sequence[TextSlot], texts: _Texts) -> dict[str, float]:
    """Return what rules ask of lines and paragraphs; the lines of slots as they were extracted."""
    values: dict[str, float] = {}
    shares = text_shares(texts.texts)
    values["gopher-duplicate-paragraphs"], values["gopher-duplicate-paragraph-characters"] = shares
    lines: Sequence[str] = texts.texts
    if any("\n" in slot.text for slot in slots):
        values["omni-line-breaks"] = max(map(_longest_break, slots))
        found = (line.strip() for slot in slots for line in slot.text.splitlines())
        lines = [line for line in found if line] or lines
        shares = text_shares(lines)
    values["gopher-duplicate-lines"], values["gopher-duplicate-line-characters"] = shares
    values["gopher-bullet-lines"] = sum(line.startswith(_BULLETS) for line in lines) / len(lines)
    values["gopher-ellipsis-lines"] = sum(line.endswith(_ELLIPSES) for line in lines) / len(lines)
    return values


def _longest_break(slot: TextSlot) -> int:
    """Count the line breaks of the longest run of them; blanks between them do not end it."""
    longest = run = 0
    for line in slot.text.split("\n")[1:]:
        run += 1
        longest = max(longest, run)
        if line.strip():
            run = 0
    return longest


def _paragraphs(
    pieces: Sequence[tuple[int, TextSlot, Piece]],
    texts: _Texts,
    hits: Sequence[Mapping[str, float]],
    flagged: frozenset[str],
) -> Iterator[MeasuredParagraph]:
    has_flagged = not flagged.isdisjoint(texts.vocabulary)
    columns = zip(pieces, texts.texts, texts.counts, texts.words, hits, strict=True)
    for (index, _, piece), text, counts, words, found in columns:
        yield MeasuredParagraph(
            index,
            piece,
            counts,
            sum(map(STOP_WORDS.__contains__, words)),
            sum(map(flagged.__contains__, words)) if has_flagged else 0,
            _is_ended(text),
            found,
        )


def _is_ended(text: str) -> bool:
    """Tell whether a mark ends a text, before any citations at its end."""
    if text.endswith("]"):
        text = _CITATIONS_AT_END.sub("", text[-_LONGEST_CITATIONS:])
    return text.endswith(_TERMINAL) and not text.endswith("...")


def _english_hits(
    slots: Sequence[TextSlot], texts: _Texts, *, url: str, has_images: bool
) -> Sequence[Mapping[str, float]]:
    paragraphs = [
        Paragraph(text, slot.kind, slot.level, words, counts)
        for slot, text, words, counts in zip(slots, texts.texts, texts.words, texts.counts, strict=True)
    ]
    return find_english(paragraphs, texts.vocabulary, texts.lower, url=url, has_images=has_images)


def measure_shortened(paragraph: MeasuredParagraph, text: str, kind: TextKind, profile: Profile) -> MeasuredParagraph:
    """Measure a paragraph again that a rule has shortened.

    Args:
        paragraph: What was measured of it.
        text: What is left of it.
        kind: What it is.
        profile: Its flagged words are counted.
    """
    slot = TextSlot(text, kind)
    texts = _Texts([text])
    (hits,) = _english_hits([slot], texts, url="", has_images=True)
    of_block = {code: value for code, value in paragraph.hits.items() if code in _BLOCK_HITS}
    piece = (paragraph.slot, slot, paragraph.piece)
    (found,) = _paragraphs([piece], texts, [{**hits, **of_block}], frozenset(profile.flagged_words))
    return found


def _told_language(document: Document) -> str:
    told = document.origin.language if document.origin is not None else None
    return OTHER if told and told.lower()[:2] not in (ENGLISH, CHINESE) else ENGLISH


def _score_values(document: Document) -> dict[str, float]:
    return {SCORE_PREFIX + name: value for name, value in {**document.probabilities, **document.scores}.items()}


def _image_values(document: Document) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    seen: dict[str, int] = {}
    for index, slot in enumerate(document.slots):
        if isinstance(slot, ImageSlot):
            found[index] = _values_of_image(slot)
            earlier = seen.get(slot.url, 0)
            if earlier:
                found[index]["zh-duplicates"] = earlier
            seen[slot.url] = earlier + 1
    return found


def _values_of_image(slot: ImageSlot) -> dict[str, float]:
    width, height = slot.width_px, slot.height_px
    values = {
        "image-p-hash-count": slot.p_hash_dup_count,
        "image-d-hash-count": slot.d_hash_dup_count,
        "image-aesthetic": slot.aesthetic_prob,
        "image-unsafe": slot.unsafe_prob,
        "hf-image-source": 1 if not slot.url or slot.url.lower().endswith(_PAGE_ENDINGS) else None,
    }
    if width is not None and height is not None:
        values |= {"image-side": min(width, height), "image-aspect": width / height}
    return {code: value for code, value in values.items() if value is not None}
