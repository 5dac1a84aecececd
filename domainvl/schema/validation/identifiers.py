"""Identifiers left in: patterns of what names a person, and canaries, strings that must not have survived.

Patterns find what has a form: UIDs, DICOM names, numbers with a label, dates, addresses. A plain name in a sentence has
none; list the names of the source as canaries. What is found is shown masked, so that a report can be passed on.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainvl.errors import InputNotFoundError, UsageError
from domainvl.schema.validation.findings import Problem

MIN_CANARY_CHARS = 3
_MEDICAL = "medical"
_SHOWN_CHARS = 2
# Separates the lines of one value, so that a pattern cannot reach from one value into the next.
_INNER_LINE_BREAK = "\0"

# Whose values are names of files, samples and groups, not sentences.
_NAME_KEYS = frozenset({"id", "group", "uri", "image"})
_LABEL_KEY = re.compile(r"patient|birth|mrn|medical.?record|accession|phone", re.IGNORECASE)

# Hashes and pseudonyms are hexadecimal and may by chance be all digits; telephone numbers have 15 digits at most
# (ITU-T E.164).
_HASH = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{16,}(?![0-9A-Za-z])")

# DICOM PS3.5 9.1: numeric components without leading zeros, 64 characters at most. Roots of the standard's own UIDs
# (1.2.840.10008, PS3.6 annex A) name things such as transfer syntaxes, not instances.
_UID = re.compile(
    r"(?<![\d.])(?:[0-2](?:\.(?:0|[1-9]\d*)){5,}|1\.2\.840(?:\.(?:0|[1-9]\d*))+|2\.25\.[1-9]\d{9,})(?!\d)"
)
_STANDARD_UID = "1.2.840.10008."
_MAX_UID_CHARS = 64
# PS3.5 6.2, value representation PN: components divided by carets, the family name first.
_PERSON_NAME = re.compile(r"(?<![^\W\d_])[^\W\d_](?:['’.-]?[^\W\d_])+\^(?:[^\W\d_][\w'’.-]*|\^)")
_PATIENT_ID = re.compile(
    r"(?<![A-Za-z])(?:"
    r"(?:patient[\s_-]*(?:id|identifier|number|no)|mrn|(?:medical[\s_-]*record|accession)[\s_-]*(?:number|no|id))"
    r"[\s_-]*\.?\"?\s*[:=#]?\s*\"?(?=[\w-]*\d)[\w-]{3,}"
    r"|(?:medical[\s_-]*record|accession)\"?\s*[:=#]\s*\"?(?=[\w-]*\d)[\w-]{3,}"
    r"|(?:MRN|ACC|PID)[-_]?\d{4,})",
    re.IGNORECASE,
)
_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_TIME = r"[0-2]\d[0-5]\d(?:[0-5]\d)?"
_MONTH_NAME = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    # 20230417, 2023-04-17, 2023:04:17, perhaps with the time behind it
    rf"(?<![0-9A-Za-z.]){_YEAR}([-./:_]?){_MONTH}\1{_DAY}(?:(?:T?{_TIME})?(?![0-9A-Za-z])|T(?=[0-2]\d:))"
    # 17.04.2023, 4/17/2023
    rf"|(?<![0-9A-Za-z.])(?:0?[1-9]|[12]\d|3[01])([-./])(?:0?[1-9]|[12]\d|3[01])\2{_YEAR}(?![0-9A-Za-z])"
    # 17 April 2023, 17-APR-2023, April 17, 2023
    rf"|(?<!\w)\d{{1,2}}(?:st|nd|rd|th)?[\s.-]+(?:of\s+)?{_MONTH_NAME}[\s,.-]+{_YEAR}(?!\w)"
    rf"|(?<!\w){_MONTH_NAME}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+{_YEAR}(?!\w)",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@(?:[\w-]+\.)+[A-Za-z]{2,}(?![\w-])")
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".webp")  # name@2x.png is a file
_MIN_PHONE_DIGITS = 7
_PHONE = re.compile(
    r"(?<![\w.+)-])(?:\+[1-9]\d{0,2}[\s.-]?(?:\(0?\d{1,4}\)[\s.-]?)?\d{1,5}(?:[\s./-]?\d{2,5}){1,4}"
    r"|\(\d{3}\)\s?\d{3}[-.\s]\d{4}|\d{3}([-.])\d{3}\1\d{4})(?![\w-])(?!\.\d)"
    r"|(?<![A-Za-z])(?:tel|phone|telephone|mobile|fax)(?:\s*(?:number|no))?\.?\s*[:=]?\s*\+?\(?\d[\d\s()./-]{5,}\d",
    re.IGNORECASE,
)
_USER_PATH = re.compile(
    r"(?<![\w.~-])/(?:export/|data/|mnt/[a-z]/)?(?:home|Users)/(?!Shared\b|Public\b)[\w.~-]+"
    r"|(?<![A-Za-z])[A-Za-z]:[\\/]+(?:Users|Documents and Settings)[\\/]+(?!Public\b)[\w.~-]+"
)


@dataclass(frozen=True)
class Canary:
    """A string that must not be left.

    Attributes:
        name: How a report names it, without saying it.
        text: The string, case folded.
    """

    name: str
    text: str


def read_canaries(path: Path) -> list[Canary]:
    """Read a file of canaries: UTF-8, one string a line; blank lines are skipped.

    Raises:
        InputNotFoundError: If there is no such file.
        UsageError: If it is not UTF-8, holds none, or one is so short that it would be found everywhere.
    """
    if not path.is_file():
        raise InputNotFoundError("Cannot read canaries", where=path, rule="there is no such file")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError("Cannot read canaries", where=path, rule=f"it must be UTF-8 ({error})") from error
    canaries = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        if len(text) < MIN_CANARY_CHARS:
            raise UsageError(
                "Cannot use a canary",
                where=f"{path}:{number}",
                rule=f"it must have {MIN_CANARY_CHARS} characters or more, got {len(text)}",
                action="Shorter ones are found everywhere; remove it",
            )
        canaries.append(Canary(f"canary {number} of {path.name}", text.casefold()))
    if not canaries:
        raise UsageError("Cannot read canaries", where=path, rule="it holds none", action="Write one string a line")
    return canaries


class Scanner:
    """Looks for identifiers in records, lines and metadata.

    Outside medicine the names of files, samples and groups may hold a date: satellites and cars name what they record
    by its time. Everywhere in medical data, and everywhere in sentences, a full date is a finding.

    Args:
        canaries: Strings that must not be left.

    Attributes:
        medical: Whether medical samples were seen; it decides about dates in files that belong to no one sample.
    """

    def __init__(self, canaries: Sequence[Canary] = ()) -> None:
        self._canaries = canaries
        self.medical = False

    def scan_record(self, record: dict[str, Any], line: str) -> list[Problem]:
        """Look through one record.

        Args:
            record: The object of a line.
            line: The line itself.
        """
        truth = record.get("domainvl")
        medical = isinstance(truth, dict) and truth.get("domain") == _MEDICAL
        self.medical |= medical
        names: list[str] = []
        texts: list[str] = []
        for key, value in _leaves(record):
            (names if key in _NAME_KEYS else texts).append(f"{key}: {value}")
        problems = _find("\n".join(texts), dates=True) + _find("\n".join(names), dates=medical)
        # The line holds numbers and keys too; where it has escapes, the values have the plain characters.
        haystacks = [line, *texts, *names] if "\\" in line else [line]
        return list(dict.fromkeys([*problems, *self._find_canaries(haystacks)]))

    def scan_text(self, text: str) -> list[Problem]:
        """Look through text that stands for itself: a line of a file, or metadata of an image."""
        plain = text.replace("\\\\", "\\").replace("\\/", "/")
        return list(dict.fromkeys([*_find(plain, dates=self.medical), *self._find_canaries([text, plain])]))

    def _find_canaries(self, haystacks: Iterable[str]) -> Iterator[Problem]:
        if not self._canaries:
            return
        folded = "\n".join(haystacks).casefold()
        for canary in self._canaries:
            if canary.text in folded:
                yield "phi-canary", f"{canary.name} is left"


def mask(value: str) -> str:
    """Show the form of a value and its first two characters only."""
    return value[:_SHOWN_CHARS] + re.sub(r"[^\W_]", "*", value[_SHOWN_CHARS:])


def _find(text: str, *, dates: bool) -> list[Problem]:
    problems: dict[Problem, None] = {}
    for code, start, value in _matches(text, dates=dates):
        place, _, _ = text[text.rfind("\n", 0, start) + 1 : start].partition(": ")
        where = f"{place}: " if place.isidentifier() else ""
        problems[code, f"{where}{mask(value.replace(_INNER_LINE_BREAK, ' ').strip())}"] = None
    return list(problems)


def _matches(text: str, *, dates: bool) -> Iterator[tuple[str, int, str]]:
    for match in _UID.finditer(text):
        if not match[0].startswith(_STANDARD_UID) and len(match[0]) <= _MAX_UID_CHARS:
            yield "phi-uid", match.start(), match[0]
    for match in _PERSON_NAME.finditer(text) if "^" in text else ():
        if not match[0][0].islower():  # e^x and cos^n are formulas
            yield "phi-person-name", match.start(), match[0]
    for match in _EMAIL.finditer(text) if "@" in text else ():
        if not match[0].lower().endswith(_IMAGE_SUFFIXES):
            yield "phi-email", match.start(), match[0]
    for match in _USER_PATH.finditer(text):
        yield "phi-user-path", match.start(), match[0]
    without_hashes = _HASH.sub(lambda match: "#" * len(match[0]), text)
    for match in _PATIENT_ID.finditer(without_hashes):
        yield "phi-patient-id", match.start(), match[0]
    for match in _PHONE.finditer(without_hashes):
        if sum(character.isdigit() for character in match[0]) >= _MIN_PHONE_DIGITS:
            yield "phi-phone", match.start(), match[0]
    for match in _DATE.finditer(without_hashes) if dates else ():
        yield "phi-date", match.start(), match[0]


def _leaves(value: object) -> Iterator[tuple[str, str]]:
    """Yield the strings in a JSON value with their keys, and numbers under keys that label an identifier."""
    stack: list[tuple[str, object]] = [("", value)]
    while stack:
        key, item = stack.pop()
        if isinstance(item, str):
            yield key, item.replace("\n", _INNER_LINE_BREAK)
        elif isinstance(item, dict):
            stack += reversed(item.items())
        elif isinstance(item, list):
            stack += [(key, part) for part in reversed(item)]
        elif isinstance(item, int) and _labels_identifier(key):
            yield key, str(item)


@functools.lru_cache(maxsize=1024)
def _labels_identifier(key: str) -> bool:
    return _LABEL_KEY.search(key) is not None
