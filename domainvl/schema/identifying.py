"""Patterns of what names a person: the forms that identifiers have, whatever they are.

They find UIDs, DICOM names, numbers with a label, dates, addresses. A plain name in a sentence has no form of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import chain
from typing import TypeAlias

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
# PS3.5 6.2, value representation PN: components divided by carets, the family name first, 64 characters at most.
_PERSON_NAME = re.compile(r"(?<![^\W\d_])[^\W\d_](?:['’.-]?[^\W\d_]){1,63}\^(?:[^\W\d_][\w'’.-]*|\^)")

# Quantifiers with + behind them (possessive) give nothing back, and a value is searched for its digit over 64
# characters (LO, PS3.5 6.2): without both, long runs of blanks take time by their cube.
_BLANKS = r"\s*+"
_BETWEEN_WORDS = r"[\s_-]*+"
_NUMBER = r"(?=[\w-]{0,63}\d)(?:[\w-]{3,}|(?<=[_-])[\w-]{2})"
_RECORD = rf"(?:medical{_BETWEEN_WORDS}record|accession)"
_PATIENT_ID = re.compile(
    r"(?<![A-Za-z])(?:"
    rf"(?:patient{_BETWEEN_WORDS}(?:id|identifier|number|no)|mrn|{_RECORD}{_BETWEEN_WORDS}(?:number|no|id))"
    rf"{_BETWEEN_WORDS}\.?+\"?+{_BLANKS}[:=#]?+{_BLANKS}\"?+{_NUMBER}"
    rf"|{_RECORD}\"?{_BLANKS}[:=#]{_BLANKS}\"?{_NUMBER}"
    r"|(?:MRN|ACC|PID)[-_]?\d{4,})",
    re.IGNORECASE,
)
# A number of the US social security: three, two and four digits; without its name only in full and as it is given out,
# with hyphens and none of its parts zero, nor the first 666 or from 900 on (20 CFR 422.103, SSA POMS RM 10201.030).
_SOCIAL_SECURITY = re.compile(
    rf"(?<![A-Za-z])(?:ssn|social{_BETWEEN_WORDS}security{_BETWEEN_WORDS}(?:number|no)){_BETWEEN_WORDS}\.?+\"?+"
    rf"{_BLANKS}[:=#]?+{_BLANKS}\"?+(?:[\dx*]{{3}}[-. ]?[\dx*]{{2}}[-. ]?\d{{4}}|\d{{4,9}})(?!\w)"
    r"|(?<![\w.+-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])(?!\.\d)",
    re.IGNORECASE,
)
_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_TIME = r"[0-2]\d[0-5]\d(?:[0-5]\d)?"
_SHORT_MONTH, _SHORT_DAY = r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_MONTH_NAME = rf"(?:{_MONTHS})[a-z]*\.?"
_UNIT = (
    r"\s?(?:(?:[munkc]?m|[cm]c|m?l|mg|g|kg|mSv|Gy|kV|mAs?|M?Hz|fps|px|pixels?|voxels?|m?s|sec(?:onds?)?|min(?:utes?)?|"
    r"h|hours?|days?|weeks?|months?|years?|percent|degrees?)(?!\w)|%|°)"
)
_DATE = re.compile(
    # 20230417, 2023-04-17, 2023:04:17, perhaps with the time behind it
    rf"(?<![0-9A-Za-z.]){_YEAR}([-./:_]?){_MONTH}\1{_DAY}(?:(?:T?{_TIME})?(?![0-9A-Za-z])|T(?=[0-2]\d:))"
    # 17.04.2023, 4/17/2023
    rf"|(?<![0-9A-Za-z.])(?:0?[1-9]|[12]\d|3[01])([-./])(?:0?[1-9]|[12]\d|3[01])\2{_YEAR}(?![0-9A-Za-z])"
    # 17 April 2023, 17-APR-2023, April 17, 2023
    rf"|(?<!\w)\d{{1,2}}(?:st|nd|rd|th)?[\s.-]+(?:of\s+)?{_MONTH_NAME}[\s,.-]+{_YEAR}(?!\w)"
    rf"|(?<!\w){_MONTH_NAME}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+{_YEAR}(?!\w)"
    # 7/11/19, 17/4/23 and 17-APR-23; three numbers with a unit behind them are measurements
    rf"|(?<![\w./+])(?:{_SHORT_MONTH}/{_SHORT_DAY}|{_SHORT_DAY}/{_SHORT_MONTH})/\d\d(?![\w/])(?!\.\d|{_UNIT})"
    rf"|(?<![\w.-]){_SHORT_DAY}-(?:{_MONTHS})-\d\d(?![\w-])",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@(?:[\w-]+\.)+[A-Za-z]{2,}(?![\w-])")
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".webp")  # name@2x.png is a file
_MIN_PHONE_DIGITS = 7
_PHONE = re.compile(
    r"(?<![\w.+)-])(?:\+[1-9]\d{0,2}[\s.-]?(?:\(0?\d{1,4}\)[\s.-]?)?\d{1,5}(?:[\s./-]?\d{2,5}){1,4}"
    r"|\(\d{3}\)\s?\d{3}[-.\s]\d{4}|\d{3}([-.])\d{3}\1\d{4})(?![\w-])(?!\.\d)"
    r"|(?<![A-Za-z])(?:tel|phone|telephone|mobile|fax)(?:\s*+(?:number|no)|)\.?+\s*+[:=]?+\s*+\+?\(?\d[\d\s()./-]{5,}\d",
    re.IGNORECASE,
)
_USER_PATH = re.compile(
    r"(?<![\w.~-])/(?:export/|data/|mnt/[a-z]/)?(?:home|Users)/(?!Shared\b|Public\b)[\w.~-]+"
    r"|(?<![A-Za-z])[A-Za-z]:[\\/]+(?:Users|Documents and Settings)[\\/]+(?!Public\b)[\w.~-]+"
)

# What a converter writes where it moves dates and does not drop them: in a text, and under a key.
_SHIFTED_DATE = re.compile(r"\[DATE \d{4}-\d\d-\d\d\]|shifted\"?:\s*\"?\d{4}-\d\d-\d\d")

Match: TypeAlias = tuple[str, int, str]
"""Code of a rule, where the match starts, and the text that matches."""

MAP_COLUMNS = ("pseudonym", "kind", "identifier", "file")
"""Columns of a re-identification map, which converters write outside of a data set and validation hunts for."""


def find_identifiers(text: str, *, dates: bool) -> Iterator[Match]:
    """Find what has the form of an identifier.

    Args:
        text: What to look through.
        dates: Whether full dates count too. A date that was moved never counts: ``[DATE 2014-03-02]``, or one
            under a key that ends in ``shifted``.
    """
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
    without_hashes = mask_hashes(text)
    for match in chain(_PATIENT_ID.finditer(without_hashes), _SOCIAL_SECURITY.finditer(without_hashes)):
        yield "phi-patient-id", match.start(), match[0]
    for match in _PHONE.finditer(without_hashes):
        if sum(character.isdigit() for character in match[0]) >= _MIN_PHONE_DIGITS:
            yield "phi-phone", match.start(), match[0]
    for match in _DATE.finditer(_SHIFTED_DATE.sub(_blank, without_hashes)) if dates else ():
        yield "phi-date", match.start(), match[0]


def mask_hashes(text: str) -> str:
    """Put signs of the same number in the place of hashes and pseudonyms, whose digits mean nothing."""
    return _HASH.sub(_blank, text)


def _blank(match: re.Match[str]) -> str:
    return "#" * len(match[0])


def fold(text: str) -> str:
    """Make texts equal that differ in case, accents and composition only (Unicode NFKD without combining marks)."""
    if text.isascii():
        return text.lower()
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return unicodedata.normalize("NFKD", plain.casefold())
