"""Takes identifiers out of the text of reports, and looks again at what is left.

Known are the identifiers of the study's headers: names in any order, case and composition, numbers with or without
punctuation. Beside them goes what has a form (dates, times of the day, telephone numbers, addresses, UIDs, numbers with
a label), what stands behind a title or a label such as *Dictated by*, ages above 89 and names of hospitals. A name that
no header has and that stands alone in a sentence cannot be told from other words; no pattern proves a text clean.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from domainvl.schema.identifying import find_identifiers
from domainvl.schema.validation.canaries import Canary, Hunter

from .identifiers import Identifier, IdentifierKind

PseudonymOf = Callable[[Identifier], str | None]
"""What stands for an identifier, such as the pseudonym of the patient; None for a tag without one."""

ShiftDate = Callable[[str], str | None]
"""Moves a date ``YYYYMMDD`` to ``YYYY-MM-DD``; None where it cannot."""

_TAGS = {
    IdentifierKind.NAME: "NAME",
    IdentifierKind.ID: "ID",
    IdentifierKind.UID: "UID",
    IdentifierKind.CONTACT: "CONTACT",
    IdentifierKind.PLACE: "PLACE",
}
_PATTERN_TAGS = {
    "phi-uid": "UID",
    "phi-person-name": "NAME",
    "phi-patient-id": "ID",
    "phi-date": "DATE",
    "phi-email": "CONTACT",
    "phi-phone": "CONTACT",
    "phi-user-path": "PATH",
}

_MIN_LONE_CHARS = 3
"""Shorter parts of names and shorter numbers are replaced only beside their others or behind a label."""

_MAX_TITLES = 6
_MAX_NEIGHBOURS = 8
"""So many titles and other parts of a name beside it belong to one match; without a bound, time grows by the square."""

_CAPITALISED = r"(?:[^\W\d_a-z][\w'’-]+|[^\W\d_a-z]\b\.?)"
_PARTICLES = r"(?:(?:van|von|de|der|den|la|le|di|du|da|dos|al|el|bin|ter|zu)[ \t]+)*"
# Two or three words that a space or a comma parts: wider gaps and line breaks end a name.
_PERSON = rf"{_PARTICLES}{_CAPITALISED}(?:,?[ \t]{_PARTICLES}{_CAPITALISED}){{0,2}}"
_GAP = r"[\s,^._]+"
# Titles in English, German, French and Spanish; the name behind them is written with capitals.
_TITLE = r"(?:Drs?|Prof(?:essor)?|Mr|Mrs|Ms|Miss|Mister|Doctor|Herrn?|Frau|Mme|Mlle|Sra?|Dra)\b\.?"
_TITLED = re.compile(rf"\b(?i:{_TITLE})(?:\s+(?i:{_TITLE}|med\.|h\.c\.)){{0,{_MAX_TITLES}}}\s+{_PERSON}")
# In the headers of reports a name stands behind a colon, up to the end of the line or the next label.
_LABELLED = re.compile(
    r"\b(?i:(?:patient(?:['’]?s)?\s+)?name|patient|(?:referring|ordering|attending|requesting|reporting|interpreting)\s+"
    r"(?:physician|doctor|provider|radiologist)|radiologist|physician|technologist|operator|transcri(?:bed|ptionist)(?:\s+by)?|"
    r"(?:electronically\s+)?signed(?:\s+by)?|dictated(?:\s+by)?|read\s+by|reported\s+by|reviewed\s+by|verified\s+by|"
    rf"approved\s+by|discussed\s+with|cc)\s*+(?:(?::|\bby\b)\s++|(?<=\s))(?P<name>{_PERSON})"
)
_BY = re.compile(r"(?i:\bby\b|:|\bwith\b)")
_HOSPITAL = re.compile(
    r"\b(?:[^\W\d_a-z](?:[\w'’-]{1,40}|\b\.?)\s+){1,4}(?:Hospital|Clinic|Infirmary|Medical\s+Cent(?:er|re)|Health\s+Cent(?:er|re)|Klinikum|Klinik|"
    r"Krankenhaus|Hôpital|Hospital)\b"
)
# 45 CFR 164.514(b)(2)(i)(C): ages above 89 identify.
_OLD_AGE = re.compile(r"\b(?:9\d|1[0-3]\d)(?=[\s-]*(?:years?|yrs?|y\.?\s?o\.?|yo|Jahre|jährige?r?)\b)", re.IGNORECASE)
# A clock time; 10:30 alone may be a place on a breast, 2:30 h a delay.
_TIME = re.compile(
    r"(?<![\w:.])(?:[01]?\d|2[0-3])[:.][0-5]\d(?::[0-5]\d)?\s?(?:[ap]\.?\s?m\.?(?!\w)|Uhr\b)", re.IGNORECASE
)
# 07.11.19, as reports in German have it; elsewhere such may be a version.
_DOTTED_DATE = re.compile(r"(?<![\w.])(?:0[1-9]|[12]\d|3[01])\.(?:0[1-9]|1[0-2])\.\d\d(?!\w|\.\d)")
_URL = re.compile(r"\b(?:https?|ftp|file)://\S+|\bwww\.\S+", re.IGNORECASE)
_FORMS = (
    (_URL, "URL"),
    (_DOTTED_DATE, "DATE"),
    (_TIME, "TIME"),
    (_OLD_AGE, "AGE"),
    (_HOSPITAL, "PLACE"),
    (_TITLED, "NAME"),
)
_DIGITS_OF_DATE = re.compile(r"(?:19|20)\d\d[-./:_]?[01]\d[-./:_]?[0-3]\d")
_TAG = re.compile(r"\[(?:NAME|ID|UID|CONTACT|PLACE|PATH|URL|DATE|TIME|AGE)(?: [^\[\]]*)?\]")


@dataclass(frozen=True)
class Scrubbed:
    """A text without identifiers.

    Attributes:
        text: The text, with tags such as ``[NAME]`` or ``[ID 3f2a...]`` in the place of identifiers.
        counts: Number of replacements by tag, sorted.
        residual: Codes of what a second look found all the same, which should keep the text out of a data set.
    """

    text: str
    counts: dict[str, int]
    residual: tuple[str, ...]


@dataclass(frozen=True)
class _Span:
    start: int
    end: int
    tag: str
    stands: str = ""


def scrub(
    text: str, identifiers: Sequence[Identifier], pseudonym_of: PseudonymOf, *, shift_date: ShiftDate | None = None
) -> Scrubbed:
    """Replace the identifiers in a text.

    Args:
        text: The report.
        identifiers: Those of the headers that the report is about.
        pseudonym_of: What stands for an identifier, so that one person is one person in image and text.
        shift_date: Moves dates; without it they are dropped.
    """
    plain = unicodedata.normalize("NFC", text)
    known = [identifier for identifier in identifiers if identifier.kind in _TAGS]
    spans = [*_known_spans(plain, known, pseudonym_of), *_pattern_spans(plain, shift_date)]
    pieces, counts, position = [], Counter[str](), 0
    for span in _apart(spans):
        stands = f"[{span.tag} {span.stands}]" if span.stands else f"[{span.tag}]"
        pieces += [plain[position : span.start], stands]
        counts[span.tag] += 1
        position = span.end
    clean = "".join([*pieces, plain[position:]])
    return Scrubbed(clean, dict(sorted(counts.items())), tuple(_residual(clean, known)))


def _apart(spans: Iterable[_Span]) -> Iterator[_Span]:
    """Join spans that overlap: all of them goes, and what is known says what stands for it."""
    current: _Span | None = None
    for span in sorted(spans, key=lambda span: (span.start, -span.end, not span.stands)):
        if current is not None and span.start < current.end:
            known = span if span.stands and not current.stands else current
            current = _Span(current.start, max(current.end, span.end), known.tag, known.stands)
            continue
        if current is not None:
            yield current
        current = span
    if current is not None:
        yield current


# What the headers name


def _known_spans(text: str, known: Sequence[Identifier], pseudonym_of: PseudonymOf) -> Iterator[_Span]:
    for identifier in known:
        pattern = _name_pattern(identifier) if identifier.kind is IdentifierKind.NAME else _id_pattern(identifier)
        if pattern is None:
            continue
        tag = _TAGS[identifier.kind]
        for match in pattern.finditer(text):
            if identifier.kind is IdentifierKind.NAME and match[0].islower():
                continue  # a word such as "long" or "brown", not the family
            yield _Span(match.start(), match.end(), tag, pseudonym_of(identifier) or "")


def _name_pattern(identifier: Identifier) -> re.Pattern[str] | None:
    """A pattern of a person's name: all parts in any order and number, perhaps initials of some, a title before it."""
    parts = [unicodedata.normalize("NFC", part) for part in re.split(r"[\s^,]+", identifier.text)]
    # Each word once, whatever its case: where one can be taken in two ways, each repetition doubles the time.
    words = list({part.strip(".").lower(): part.strip(".") for part in parts if part.strip(".")}.values())
    lone = [word for word in words if len(word) >= _MIN_LONE_CHARS and not re.fullmatch(_TITLE, word, re.IGNORECASE)]
    if not words:
        return None
    anyone = "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word)))
    if not lone:  # Ng^An: the parts are told only together
        joined = rf"(?:{anyone})(?:{_GAP}(?:{anyone})){{1,{_MAX_NEIGHBOURS}}}"
        return re.compile(rf"(?<!\w){joined}(?!\w)", re.IGNORECASE)
    alone = {word.lower() for word in words if len(word) == 1}
    initials = "".join(sorted({re.escape(word[0]) for word in words if word[0].lower() not in alone}))
    initial = f"[{initials}]" if initials else "(?!)"
    core = "|".join(re.escape(word) for word in sorted(lone, key=lambda word: (-len(word), word)))
    around = rf"(?:{anyone}|{initial})"
    before = rf"(?:{_TITLE}\s+){{0,{_MAX_TITLES}}}(?:{around}{_GAP}){{0,{_MAX_NEIGHBOURS}}}"
    behind = rf"(?:['’]s|(?:{_GAP}(?:{anyone})){{0,{_MAX_NEIGHBOURS}}}(?:{_GAP}{initial}\b)?)"
    pattern = rf"(?<!\w){before}(?:{core}){behind}(?!\w)"
    return re.compile(pattern, re.IGNORECASE)


def _id_pattern(identifier: Identifier) -> re.Pattern[str] | None:
    """A pattern of a number or another text: its runs of letters and digits, with any punctuation between them."""
    text = unicodedata.normalize("NFC", identifier.text)
    runs = re.findall(r"\d+|[^\W\d_]+", text)
    length = sum(len(run) for run in runs)
    if length < _MIN_LONE_CHARS or (identifier.kind is IdentifierKind.PLACE and length <= _MIN_LONE_CHARS):
        return None
    if runs[0].isdigit():
        runs[0] = runs[0].lstrip("0") or "0"
    if identifier.kind is IdentifierKind.CONTACT:
        runs = [sign for run in runs for sign in run]  # telephone numbers are divided in any way
    between = r"\.?" if identifier.kind is IdentifierKind.UID else r"[\s._/#-]*"
    body = between.join(re.escape(run) for run in runs)
    zeros = r"(?:0[\s._/#-]{0,9}){0,20}" if runs[0].isdigit() else ""
    return re.compile(rf"(?<![^\W_]){zeros}{body}(?![^\W_])", re.IGNORECASE)


# What has a form


def _pattern_spans(text: str, shift_date: ShiftDate | None) -> Iterator[_Span]:
    for code, start, value in find_identifiers(text, dates=True):
        stands = (_shifted(value, shift_date) if shift_date is not None else None) if code == "phi-date" else None
        yield _Span(start, start + len(value), _PATTERN_TAGS[code], stands or "")
    for pattern, tag in _FORMS:
        yield from (_Span(match.start(), match.end(), tag) for match in pattern.finditer(text))
    for match in _LABELLED.finditer(text):
        if _BY.search(text[match.start() : match.start("name")]):
            yield _Span(match.start("name"), match.end("name"), "NAME")


def _shifted(value: str, shift_date: ShiftDate) -> str | None:
    """Move a date that is written in the order of ISO 8601; the others cannot be read for certain."""
    if _DIGITS_OF_DATE.match(value) is None:
        return None
    return shift_date(re.sub(r"\D", "", value)[:8])


def _residual(clean: str, known: Sequence[Identifier]) -> Iterator[str]:
    """Look again by other means than the patterns that replaced: as the validation of a data set would."""
    without_tags = _TAG.sub("[]", clean)
    yield from sorted({code for code, _, _ in find_identifiers(without_tags, dates=True)})
    canaries = [Canary(identifier.kind, identifier.text, identifier=True) for identifier in known]
    if Hunter(canaries, min_digits=0).find(without_tags):
        yield "phi-canary"
