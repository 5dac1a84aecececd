"""Finds the phrases and patterns that rules on English paragraphs are about.

Phrases are compared word by word, without regard to punctuation and, where not said otherwise, to case. What the
official filter looks for as parts of words is looked for as words here ("unlike" does not end with "like"). The lists
are shorter than the official ones: phrases of a single site are left out.

Work is saved by asking the words of the whole document first: most phrases have a word that few documents have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from domainvl.corpus.filtering.characters import MARKS, Counts
from domainvl.interleaved.documents import TextKind

MEASURED_WORDS = 100
"""Dates, numbers and captions are looked for in paragraphs of up to so many words; cut-offs above it change nothing."""

Hits = dict[str, float]
"""What was found in a paragraph: values by codes of rules."""

_Place = Literal["start", "anywhere", "end", "whole"]
_COMMON = frozenset("more the this and for most all here by is on to up in of read see us at".split())


@dataclass(frozen=True)
class _Phrase:
    """A phrase of words in lower case.

    Attributes:
        code: The rule.
        text: The words; those of a cased phrase as they are written.
        place: Where in the paragraph it must stand.
        short: Whether the rule is about the number of words of a short paragraph that has it.
        cased: Whether case must agree.
    """

    code: str
    text: str
    place: _Place = "anywhere"
    short: bool = False
    cased: bool = False

    @property
    def trigger(self) -> str:
        """The word of it that fewest documents have."""
        words = self.text.lower().split()
        return max(words, key=lambda word: (word not in _COMMON, len(word)))


def _phrases(
    code: str, texts: str, place: _Place = "anywhere", *, short: bool = False, cased: bool = False
) -> list[_Phrase]:
    return [_Phrase(code, text.strip(), place, short, cased) for text in texts.split("|")]


_PHRASES = (
    *_phrases("c4-javascript", "javascript"),
    *_phrases(
        "c4-policy",
        "terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies",
    ),
    *_phrases("hf-download-link", "for details on the|the link is"),
    *_phrases("hf-credit", "special thanks", "start"),
    *_phrases("hf-credit", "published by|all photo credits and copyright"),
    *_phrases("hf-short-keyword", "sign in|sign up|read more|item in cart|items in cart", short=True),
    *_phrases(
        "hf-boilerplate",
        "Services|YouTube|Subscribe|Read More|Call Us|Contact Information|More information|Sign in|Watch on YouTube|"
        "Login and Registration|There are no reviews yet|Want More|view details|Top image",
        cased=True,
    ),
    *_phrases(
        "hf-read-more",
        "read more|read next|read on|read full article|read the rest|read next section|learn more|see more|"
        "see this article|show more|explore more|click here|click to view details|continue reading|"
        "continue browsing|continue watching|view full content|more words",
        "end",
    ),
    *_phrases("hf-advertisement", "advertisement", "whole"),
    *_phrases("hf-things-to-do", "things to do", "start"),
    *_phrases(
        "hf-social-phrase",
        "for more info|for more information|for more detail|for more details|top threads|most read|most viewed|"
        "most shared|most liked|more here",
    ),
    *_phrases("hf-social-ending", "reviews about|call us at|email us at|more images|users online", "end"),
)  # filters.py and filtering_utils.py, the sources of each rule
_BY_TRIGGER: Mapping[str, Sequence[_Phrase]] = {
    word: [phrase for phrase in _PHRASES if phrase.trigger == word] for word in {one.trigger for one in _PHRASES}
}

_SOCIAL_COUNTERS = frozenset("likes followers subscribes share comments dislikes comment".split())  # filters.py:966
_SOCIAL_ENDINGS = frozenset(
    "references like likes share shares comment comments review reviews copyright subscribe subscribes".split()
)  # filters.py:81
_IMAGE_WORDS = ("load", "getty", "image", "photo", "source")  # filtering_utils.py:8; "load" is in "download"
_COMMENT_HEADINGS = frozenset(("comments", "leave a comment", "leave a reply", "post a comment", "reader comments"))
_DICTIONARY_HOST = "www.merriam-webster"  # filters.py:739
_DICTIONARY_ENDS = ("word of the day", "test your", "keep scrolling for more", "take the quiz")  # filtering_utils.py:10

_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
# Kinds of dates and times as in filters.py:233. No part repeats another, so that a match takes linear time; every
# alternative begins with a digit or a capital, which lets the engine skip what lies between.
_DATE_TIME = re.compile(
    rf"{_MONTH}\.?\s\d{{1,2}},\s\d{{4}}"
    rf"|\d{{1,2}}\s{_MONTH}\.?\s\d{{4}}"
    r"|\d{1,2}:[0-5]\d\b"
    r"|\d{1,2}(?:[:.]\d\d)?\s?[aApP]\.?[mM]\b"
)
_NUMERIC_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d\d-\d\d-\d\d|\d{4}/\d\d/\d\d|\d\d/\d\d/\d{4}")  # filters.py:418
_PHONE = re.compile(r"\d{3}\)?[-\s.]{0,2}\d{3}-\d{4}")  # filters.py:230
_HANDLE = re.compile(r"@\w")  # of people, and in addresses of e-mail
_REFERENCE = re.compile(r"\[\d{1,2}\]\s")  # filters.py:503
CITATION_MARK = re.compile(r"\s\[\d{1,2}\]")
"""A mark in a text that points to an entry of a list; filters.py:518."""
_AUTHOR_YEAR = re.compile(r"[\w\s&,.]{1,180},\s?\d{4}[a-z]?")  # filters.py:43
_LONGEST_CITATION = 200


@dataclass(frozen=True)
class Paragraph:
    """A paragraph in which phrases are looked for.

    Attributes:
        text: Its text.
        kind: What it is.
        level: Rank of a heading.
        words: Its words in lower case without punctuation.
        counts: What was counted in it.
    """

    text: str
    kind: TextKind
    level: int | None
    words: Sequence[str]
    counts: Counts


def find_english(
    paragraphs: Sequence[Paragraph], vocabulary: AbstractSet[str], lower: str, *, url: str, has_images: bool
) -> list[Hits]:
    """Find what English rules are about.

    Args:
        paragraphs: All paragraphs of a document.
        vocabulary: All their words.
        lower: All their texts in lower case.
        url: Address of the document.
        has_images: Whether it has images, beside which captions can stand.
    """
    hits: list[Hits] = [{} for _ in paragraphs]
    for word in sorted(_BY_TRIGGER.keys() & vocabulary):  # in one order whatever the hashes of words
        for phrase in _BY_TRIGGER[word]:
            _find_phrase(phrase, word, paragraphs, hits)
    may_caption = has_images and any(part in lower for part in _IMAGE_WORDS)
    may_refer = "reference" in lower or "sponsore" in lower
    for paragraph, found in zip(paragraphs, hits, strict=True):
        text, words = paragraph.text, paragraph.counts.words
        last = text[-1:]
        if last not in MARKS:
            _find_ending(paragraph, last, found)
        elif text.endswith("omment."):
            found["hf-social-counter"] = 1
        if words <= MEASURED_WORDS:
            _find_short(paragraph, found)
            if may_caption and _has_part(paragraph, _IMAGE_WORDS):
                found["hf-image-caption"] = words
        if may_refer:
            _find_references(paragraph, found)
        if "[" in text:
            _find_marks(text, found)
    _find_comments(paragraphs, vocabulary, hits)
    if _DICTIONARY_HOST in url and "/dictionary" in url:
        _find_dictionary_end(paragraphs, hits)
    return hits


def _find_phrase(phrase: _Phrase, trigger: str, paragraphs: Sequence[Paragraph], hits: Sequence[Hits]) -> None:
    for paragraph, found in zip(paragraphs, hits, strict=True):
        if trigger not in paragraph.words:
            continue
        if phrase.cased:
            stands = phrase.text in paragraph.text
        else:
            stands = _PLACES[phrase.place](f" {' '.join(paragraph.words)} ", f" {phrase.text} ")
        if stands or (phrase.code == "hf-read-more" and _is_invitation(phrase, paragraph)):
            found[phrase.code] = paragraph.counts.words if phrase.short else found.get(phrase.code, 0) + 1


_PLACES: Mapping[_Place, Callable[[str, str], bool]] = {
    "start": str.startswith,
    "anywhere": str.__contains__,
    "end": str.endswith,
    "whole": str.__eq__,
}


def _is_invitation(phrase: _Phrase, paragraph: Paragraph) -> bool:
    """Tell whether a paragraph of one sentence invites to read on, wherever in it; filtering_utils.py:443."""
    return paragraph.counts.sentences <= 1 and f" {phrase.text} " in f" {' '.join(paragraph.words)} "


def _find_ending(paragraph: Paragraph, last: str, found: Hits) -> None:
    end = paragraph.words[-1] if paragraph.words else ""
    if end in _SOCIAL_COUNTERS:
        found["hf-social-counter"] = 1
    if end in _SOCIAL_ENDINGS:
        found["hf-social-ending"] = 1
    if last == ")":
        if paragraph.text.startswith("("):
            found["hf-bracketed-end"] = 1
        if _ends_with_citation(paragraph.text):
            found["hf-author-year"] = 1


def _ends_with_citation(text: str) -> bool:
    tail = text[-_LONGEST_CITATION:]
    inner = tail[tail.rfind("(") + 1 : -1]
    return inner.startswith("cf.") or _AUTHOR_YEAR.fullmatch(inner) is not None


def _find_short(paragraph: Paragraph, found: Hits) -> None:
    text, words, digits = paragraph.text, paragraph.counts.words, paragraph.counts.digits
    has_time = digits > 1 and _DATE_TIME.search(text) is not None
    has_phone = digits >= 10 and _PHONE.search(text) is not None
    if has_time:
        found["hf-date-time"] = words
    if has_phone:
        found["hf-phone"] = words
    if has_time or has_phone or _has_contact(text, digits):
        found["hf-contact-line"] = words
    if paragraph.words[:1] == ["by"] or "(Photo" in text:
        found["hf-byline"] = words


def _has_contact(text: str, digits: int) -> bool:
    if "://" in text or ("@" in text and _HANDLE.search(text)):
        return True
    if digits >= 6 and _NUMERIC_DATE.search(text):
        return True
    return "ublished " in text and re.search(r"[Pp]ublished (?:on|by)\b", text) is not None


def _has_part(paragraph: Paragraph, parts: Sequence[str]) -> bool:
    return any(part in word for word in paragraph.words for part in parts)


def _find_references(paragraph: Paragraph, found: Hits) -> None:
    if any(word.startswith("sponsore") for word in paragraph.words):
        found["hf-sponsor"] = 1
    if paragraph.counts.words < 10 and any(word.startswith("reference") for word in paragraph.words):
        found["hf-reference-section"] = 1


def _find_marks(text: str, found: Hits) -> None:
    if _REFERENCE.match(text) and "." in text:
        found["hf-numbered-references"] = 1
    marks = len(CITATION_MARK.findall(text))
    if marks:
        found["hf-citation-marks"] = marks


def _find_comments(paragraphs: Sequence[Paragraph], vocabulary: AbstractSet[str], hits: Sequence[Hits]) -> None:
    """Mark blocks of readers' comments: their heading, and all up to the next heading of its rank or above."""
    if vocabulary.isdisjoint(("comments", "comment", "reply")):
        return
    rank: int | None = None
    for paragraph, found in zip(paragraphs, hits, strict=True):
        if paragraph.kind is TextKind.HEADER:
            level = paragraph.level or 1
            if " ".join(word for word in paragraph.words if not word.isdigit()) in _COMMENT_HEADINGS:
                rank = level
            elif rank is not None and level <= rank:
                rank = None
        if rank is not None:
            found["hf-comments"] = 1


def _find_dictionary_end(paragraphs: Sequence[Paragraph], hits: Sequence[Hits]) -> None:
    is_behind = False
    for paragraph, found in zip(paragraphs, hits, strict=True):
        line = " ".join(paragraph.words)
        is_behind = is_behind or any(end in line for end in _DICTIONARY_ENDS)
        if is_behind:
            found["hf-dictionary-page"] = 1
