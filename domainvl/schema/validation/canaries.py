"""Canaries: strings of the source that must not have survived, in whatever form a text holds them.

Case, accents and composition do not count, nor do the escapes of JSON and of addresses. Names are found in either
order and with any separators. A list may name anything; a re-identification map names what a converter replaced.
"""

from __future__ import annotations

import csv
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from domainvl.errors import InputNotFoundError, UsageError
from domainvl.schema.identifying import MAP_COLUMNS, fold, mask_hashes
from domainvl.schema.validation.substrings import Substrings

MIN_CANARY_CHARS = 3
MIN_IDENTIFIER_CHARS = 4
"""Shorter identifiers of a map, such as ``P1``, stand in any text by chance."""
MIN_IDENTIFIER_DIGITS = 6
"""Shorter ones of digits alone stand in any data set: ``0003`` is a slice, ``1024`` a size, ``2017`` a year."""

_MIN_JOINED_CHARS = 6
"""Shorter texts are not looked for without their separators: ``Ng^An`` joined stands in ``ranging angle``."""
_MIN_IDEOGRAPHS = 3
_FIRST_IDEOGRAPH = "\u2e80"
"""Names in Chinese characters (Unicode: CJK radicals and what follows) are short; letters come before them."""

_HASH_CHARS = 16
"""From so many hexadecimal digits on a word may be a hash or a pseudonym."""

_MAX_NAME_PARTS = 5

_MIN_FILE_NAME_CHARS = 6
"""Shorter names of files in a map are not looked for apart from their folders."""

_COMMON_WORDS = frozenset(
    """
    abdomen axial brain cardiac chest copy coronal cr ct ctscan data dcm dicom dicomdir dx echo export file flair frame
    head heart hip id im image images img index info input instance knee label labels lat lateral licence license list
    liver lung manifest mask metadata mg mr mri neck nm notice ob obj output pa pelvis pet pt readme report reports rf
    sagittal scan se seg segmentation seq ser series sl slice spine ss study table tof us version view vol volume xa
    xray
    """.split()
)
"""A file whose name has no other word, beside numbers and single letters, says nothing of whom it shows."""

_FILE_SUFFIX = re.compile(
    r"\.(?:dcm|dicom|ima|img|hdr|nii|nrrd|nhdr|mha|mhd|gz|bz2|xz|zst|zip|tar|tgz|png|jpe?g|tiff?|jp2|mp4|json|csv|xml|txt|md)$",
    re.IGNORECASE,
)
_SEPARATORS = re.compile(r"[\s^_,.;'’`/=+()\-\\]+")
_MIN_DIVIDED_DIGITS = 7
"""From so many digits on a number of a map, such as one of a telephone, is found however it is divided."""

_DIVISIONS = re.compile(r"(?<=\d)[ ().+/_-]{1,3}(?=\d)")
_WORD = re.compile(r"[^\W\d_]+")
_MIN_UID_DOTS = 4
_HEXADECIMAL = re.compile(r"[0-9a-f]+")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED_SIGNS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


@dataclass(frozen=True)
class Canary:
    """A string that must not be left.

    Attributes:
        name: How a report names it, without saying it.
        text: The string.
        identifier: Whether it is from a map: digits are then whole numbers, not part of a longer one or of a hash.
        verbatim: Whether its separators are part of it, as in the name of a file, whose words may mean anything.
    """

    name: str
    text: str
    identifier: bool = False
    verbatim: bool = False


def read_canaries(path: Path) -> list[Canary]:
    """Read a file of canaries: a re-identification map (CSV), or UTF-8 with one string a line; blanks are skipped.

    Raises:
        InputNotFoundError: If there is no such file.
        UsageError: If it is not UTF-8, holds none, or one of a list is so short that it would be found everywhere.
    """
    if not path.is_file():
        raise InputNotFoundError("Cannot read canaries", where=path, rule="there is no such file")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError("Cannot read canaries", where=path, rule=f"it must be UTF-8 ({error})") from error
    is_map = lines[:1] == [",".join(MAP_COLUMNS)]
    canaries = list(_from_map(path) if is_map else _from_list(path, lines))
    if not canaries:
        raise UsageError("Cannot read canaries", where=path, rule="it holds none", action="Write one string a line")
    return canaries


def _from_list(path: Path, lines: Sequence[str]) -> Iterator[Canary]:
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
        yield Canary(f"canary {number} of {path.name}", text)


def _from_map(path: Path) -> Iterator[Canary]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        seen: set[str] = set()
        for row, line in enumerate(csv.DictReader(file), start=1):
            identifier, place = ((line.get(column) or "").strip() for column in ("identifier", "file"))
            texts = [("identifier", identifier), ("file", place), *(("file name", text) for text in _file_names(place))]
            for column, text in texts:
                if text and text not in seen:
                    seen.add(text)
                    verbatim = column == "file name"
                    yield Canary(f"{column} of row {row} of {path.name}", text, identifier=True, verbatim=verbatim)


def _file_names(place: str) -> Iterator[str]:
    """Yield the names of a file and of the member of an archive without folders and suffixes, where they say whose.

    What holds the whole name holds the name without its suffix too.
    """
    for path in place.split("!"):
        name = re.split(r"[\\/]", path)[-1].strip()
        while (match := _FILE_SUFFIX.search(name)) is not None:
            name = name[: match.start()]
        words = _WORD.findall(fold(name))
        is_uid = name.count(".") >= _MIN_UID_DOTS and not words
        if len(name) >= _MIN_FILE_NAME_CHARS and (is_uid or any(_is_telling(word) for word in words)):
            yield name


def _is_telling(word: str) -> bool:
    return len(word) > 1 and word not in _COMMON_WORDS


class Hunter:
    """Finds canaries in texts.

    Args:
        canaries: What must not be left.
        min_digits: Identifiers of digits alone that have fewer are not looked for. In a sentence of its own, which
            numbers neither slices nor files, shorter ones tell.

    Attributes:
        unused: How many canaries are too short to be looked for.
    """

    def __init__(self, canaries: Sequence[Canary], *, min_digits: int = MIN_IDENTIFIER_DIGITS) -> None:
        used = [canary for canary in canaries if not canary.identifier or not _is_short(canary, min_digits)]
        self.unused = len(canaries) - len(used)
        self._plain = _Needles((canary, fold(canary.text)) for canary in used if not _is_digits(canary))
        self._digits = _Needles((canary, digits) for canary in used for digits in _digit_forms(canary))
        self._divided = _Needles((canary, digits) for canary in used for digits in _divided_forms(canary))
        self._joined = _Needles((canary, joined) for canary in used for joined in _joined_forms(canary))

    def find(self, text: str) -> list[Canary]:
        """Return the canaries in a text, each once."""
        found: dict[Canary, None] = {}
        for form in _readings(text):
            folded = fold(form)
            found.update((canary, None) for canary, _, _ in self._plain.find(folded))
            if self._joined:
                joined = _SEPARATORS.sub("", folded)
                found.update((canary, None) for canary, _, _ in self._joined.find(joined))
            if self._digits:
                masked = mask_hashes(folded)
                places = [*self._digits.find(masked), *self._divided.find(_DIVISIONS.sub("", masked))]
                found.update((canary, None) for canary, before, behind in places if _is_whole(before, behind))
        return list(found)


class _Needles:
    """Strings with the canaries that they are forms of."""

    def __init__(self, pairs: Iterable[tuple[Canary, str]]) -> None:
        forms = [(canary, text) for canary, text in pairs if text]
        self._canaries = [canary for canary, _ in forms]
        self._strings = Substrings([text for _, text in forms])

    def __bool__(self) -> bool:
        return bool(self._canaries)

    def find(self, text: str) -> Iterator[tuple[Canary, str, str]]:
        for index, before, behind in self._strings.find(text) if self._canaries else ():
            yield self._canaries[index], before, behind


def _is_short(canary: Canary, min_digits: int) -> bool:
    """Whether an identifier of a map would be found everywhere."""
    digits = _joined(canary.text)
    return len(canary.text) < MIN_IDENTIFIER_CHARS or (digits.isdecimal() and len(digits) < min_digits)


def _is_digits(canary: Canary) -> bool:
    """Whether an identifier may stand in a hash by chance: decimal and hexadecimal numbers, but for UIDs."""
    text = _joined(canary.text)
    return (
        canary.identifier
        and "." not in canary.text
        and len(text) < _HASH_CHARS
        and _HEXADECIMAL.fullmatch(text) is not None
    )


def _digit_forms(canary: Canary) -> set[str]:
    """The digits of such an identifier, as it is written and without its separators."""
    return {fold(canary.text), _joined(canary.text)} if _is_digits(canary) else set()


def _divided_forms(canary: Canary) -> set[str]:
    """The digits of a long number, to be found in a text whose numbers are no longer divided."""
    return {digits for digits in _digit_forms(canary) if digits.isdecimal() and len(digits) >= _MIN_DIVIDED_DIGITS}


def _joined_forms(canary: Canary) -> set[str]:
    """A name without separators in either order; other texts with letters in their own order."""
    if canary.verbatim:
        return set()
    parts = [part for part in _SEPARATORS.split(fold(canary.text)) if part]
    orders = [parts]
    if 2 <= len(parts) <= _MAX_NAME_PARTS and all(part.isalpha() for part in parts):
        family, given, *others = parts
        orders += [[given, family], [given, *others, family], [family, given], parts[::-1]]
    text = "".join(parts)
    if _is_digits(canary) or not any(sign.isalpha() for sign in text):
        return set()
    if len(parts) < 2 and not any(sign.isdigit() for sign in text):
        return set()
    joined = {"".join(order) for order in orders}
    return {text for text in joined if len(text) >= _min_joined_chars(text)}


def _min_joined_chars(text: str) -> int:
    return _MIN_IDEOGRAPHS if any(sign >= _FIRST_IDEOGRAPH for sign in text) else _MIN_JOINED_CHARS


def _joined(text: str) -> str:
    return _SEPARATORS.sub("", fold(text))


def _is_whole(before: str, behind: str) -> bool:
    """Whether digits are a number of their own: no digit touches them, nor a decimal point with one behind it."""
    return not (
        before[-1:].isdigit()
        or behind[:1].isdigit()
        or (before[-1:] == "." and before[:1].isdigit())
        or (behind[:1] == "." and behind[1:].isdigit())
    )


def _readings(text: str) -> Iterator[str]:
    """The text as it stands, and as JSON and addresses mean it."""
    yield text
    plain = text
    for _ in range(2):  # JSON in JSON has its escapes escaped
        if "\\" not in plain:
            break
        plain = unescape(plain)
        yield plain
    if "%" in plain:
        yield urllib.parse.unquote(plain)


def unescape(text: str) -> str:
    """Resolve the escapes of JSON (RFC 8259, 7) in a text, whether or not all of it is JSON."""
    plain = _ESCAPE.sub(
        lambda match: chr(int(match[1], 16)) if match[1] else _ESCAPED_SIGNS.get(match[2], match[2]), text
    )
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
