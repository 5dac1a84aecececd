"""What of a text must come out of a translation as it went in: put out of reach before, put back and counted after.

A text is cut into pieces that stay and the words between them. Each piece is replaced by a marker, a number in
brackets such as those by which texts cite others, which translation models copy. As every digit of a text lies in a
piece, a number in brackets is a marker and nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from domainvl.errors import ItemError

MARKERS = ("[{}]", "({})")
"""Forms of a marker: the first one, and the one that is tried where it came back damaged."""

_MARKERS_READ = (re.compile(r"[\[［【]\s*(\d{1,6})\s*[\]］】]"), re.compile(r"[(（]\s*(\d{1,6})\s*[)）]"))
"""The same as they come back: models of Chinese and Japanese write brackets in full width."""

# Scripts that write words without blanks between them: Thai to Lao, Hangul, Kana, Han. There a word ends anywhere.
_NO_BLANKS = "\u0e00-\u0eff\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_LETTER = rf"[^\W_{_NO_BLANKS}]"
_WORD = rf"[^\W{_NO_BLANKS}]"
_ONE_LETTER = re.compile(_LETTER)

_UNITS = (
    "%", "‰", "°C", "°F", "°", "µm", "μm", "nm", "mm2", "mm²", "mm³", "mm", "cm2", "cm²", "cm³", "cm", "dm", "km/h",
    "km2", "km²", "km", "m2", "m²", "m³", "m/s", "m", "ha", "mL", "ml", "dL", "kg", "mg", "µg", "g", "ms", "s", "kHz",
    "MHz", "GHz", "Hz", "kV", "kVp", "mAs", "mA", "mSv", "mGy", "Gy", "HU", "T", "px", "dB", "mmHg", "bpm",
)  # fmt: skip
"""Units of length, area, volume, mass, time, frequency, dose and of images, as their symbols are written."""

_RUN = r"[A-Za-z]*\d[A-Za-z\d]*"
_NUMBER_SIGN = rf"(?:(?<!{_WORD})(?<![)\]])[-+−±])?"
_PATTERNS: Mapping[str, str] = {
    "mark": r"<ref>[^<>\n]*</ref>(?:<box>\[[\d\s.,\[\]-]*\]</box>)?",
    "box": r"<box>\[[\d\s.,\[\]-]*\]</box>",
    "image": r"(?:(?:Frame|Image-)\d+: )?<image>",
    "tag": r"</?[A-Za-z_|][^<>\n]*>",
    "angle": "[<>]",
    "entity": r"&(?:#\d+|[A-Za-z]+\d*);",
    "slot": r"\{[^{}\s]*\}|%[sd](?![a-z])",
    "url": r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)]",
    "list": r"\[[\d\s.,\[\]-]*\d[\d\s.,\[\]-]*\]|\(\s*-?\d[\d.]*(?:\s*,\s*-?\d[\d.]*)+\s*\)",
    "file": (
        r"(?<![A-Za-z\d_./-])[A-Za-z\d_./-]*[A-Za-z\d]"
        r"\.(?:png|jpe?g|tiff?|dcm|nii|gz|json|jsonl|csv|txt|pdf|html?|mp4)(?![A-Za-z\d])"
    ),
    "name": r"(?<![A-Za-z\d_])[A-Za-z\d]+(?:_[A-Za-z\d]+)+(?![A-Za-z\d_])",
    "number": (
        rf"{_NUMBER_SIGN}{_RUN}(?:[.,:/_×-]{_RUN})*"
        rf"(?:[ \u00a0]?(?:{'|'.join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))})(?![A-Za-z\d²³]))?"
    ),
    # Letters of options that stand alone: not the article "A" nor "I", and not those of "z. B.".
    "option": (
        rf"\([A-Z]\)|^[A-Z](?=[.):](?:\s|$))|(?<!{_WORD})A(?=[.。)）,，:：]|$)"
        rf"|(?<!{_WORD})(?<![.])(?<![.] )[B-HJ-Z](?!{_WORD}|['’])"
    ),
}
"""What stays, by kind; where two begin at the same place the earlier one counts. Ours; no publication lists them."""

_FIXED = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _PATTERNS.items()))
_MARK_NAME = re.compile(r"<ref>([^<>\n]*)</ref>")


class Terms:
    """Words that are not left to the translation.

    A term that is written without capitals is found however a text writes it; one with capitals only as it is, so that
    "US" is not found in "us". Only whole words are found.

    Args:
        targets: What each is to be in the other language; None to stay as the text has it.
    """

    def __init__(self, targets: Mapping[str, str | None]) -> None:
        self._targets = dict(targets)
        self._folded = {term.casefold(): target for term, target in targets.items() if term == term.lower()}
        ways = [
            f"(?i:{re.escape(term)})" if term == term.lower() else re.escape(term)
            for term in sorted(self._targets, key=lambda term: (-len(term), term))
        ]
        self._pattern = re.compile(rf"(?<!{_LETTER})(?:{'|'.join(ways)})(?!{_LETTER})") if ways else None

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield where each term begins and ends, from left to right, and what is to stand there."""
        for found in self._pattern.finditer(text) if self._pattern else ():
            as_written = found[0] in self._targets
            target = self._targets[found[0]] if as_written else self._folded.get(found[0].casefold())
            yield found.start(), found.end(), found[0] if target is None else target

    def joined(self, others: Mapping[str, str]) -> Terms:
        """Return these terms and others; where both have one, these decide."""
        return Terms({**others, **self._targets})


def count_words(text: str, words: str) -> int:
    """Count where some words stand in a text as such; in scripts without blanks they do so everywhere."""
    # No pattern: compiling one with these borders takes 8 ms, in which the rest of this module does some sixty lines.
    count, start = 0, text.find(words)
    while start >= 0:
        stop = start + len(words)
        count += not (_ONE_LETTER.match(text[start - 1 : start]) or _ONE_LETTER.match(text, stop))
        start = text.find(words, stop)
    return count


@dataclass(frozen=True)
class Protected:
    """A text whose pieces are out of reach.

    Attributes:
        words: What is translated: before, between and behind the pieces; one more than these.
        pieces: What stands there in the translation.
        terms: Those of the pieces that are terms.
    """

    words: tuple[str, ...]
    pieces: tuple[str, ...]
    terms: tuple[str, ...]

    @property
    def has_words(self) -> bool:
        """Whether there is anything to translate."""
        return any(letter.isalpha() for text in self.words for letter in text)

    @property
    def unmarked(self) -> str:
        """The text with the pieces as the translation has them."""
        return "".join(_alternate(self.words, self.pieces))

    def marked(self, form: int) -> str:
        """Return what is given to a model.

        Args:
            form: Which of :data:`MARKERS`.
        """
        return "".join(_alternate(self.words, [MARKERS[form].format(n) for n in range(1, len(self.pieces) + 1)]))

    def restore(self, translated: str, form: int) -> str:
        """Put the pieces back into a translation, and check that each is there once and that none was made up.

        Args:
            translated: What a model made of :meth:`marked`.
            form: The same as there.

        Returns:
            The translation.

        Raises:
            ItemError: With the reason ``empty``, ``lines``, ``lost``, ``repeated``, ``invented`` or ``changed``.
        """
        text = translated.strip()
        if not any(letter.isalpha() for letter in text):
            raise _damaged("empty", "a translation must have words", text)
        if len(text.splitlines()) > 1:
            raise _damaged("lines", "one line must stay one line", text)
        marker = _MARKERS_READ[form]
        counts = Counter(int(number) for number in marker.findall(text))
        expected = range(1, len(self.pieces) + 1)
        for reason, wrong in (
            ("lost", [n for n in expected if n not in counts]),
            ("repeated", [n for n in expected if counts[n] > 1]),
        ):
            if wrong:
                raise _damaged(reason, f"{self.pieces[wrong[0] - 1]!r} must be there once", text)
        invented = [number for number in counts if number not in expected] or _FIXED.findall(marker.sub(" ", text))
        if invented:
            raise _damaged("invented", "it must hold no number, tag or name that the text has not", text)
        restored = marker.sub(lambda found: self.pieces[int(found[1]) - 1], text)
        self._check(restored)
        return restored

    def _check(self, restored: str) -> None:
        """Count what must be there once more, in the text as it will be read."""
        before, after = survivors(self.unmarked), survivors(restored)
        if before != after:
            wrong = sorted((before - after) + (after - before))
            raise _damaged("changed", f"it must hold the same numbers, boxes and tags, but not {wrong[:3]}", restored)
        for term, count in Counter(self.terms).items():
            if count_words(restored, term) < min(count, count_words(self.unmarked, term)):
                raise _damaged("changed", f"the term {term!r} must be there {count} times as a word", restored)


def survivors(text: str) -> Counter[str]:
    """Count what of a text must be in its translation: numbers, boxes, tags, placeholders, names of files."""
    return Counter(found[0] for found in _FIXED.finditer(text))


def mark_names(text: str) -> list[str]:
    """Return the names that ``<ref>`` marks in a text."""
    return _MARK_NAME.findall(text)


def protect(text: str, terms: Terms, name_of: Callable[[str], str] | None = None) -> Protected:
    """Put what must stay out of reach.

    Args:
        text: One line.
        terms: What is not left to the translation.
        name_of: Translates the names that ``<ref>`` marks; they stay as they are where None.
    """
    words, pieces, found_terms, end = [], [], [], 0
    for start, stop, piece, is_term in _pieces(text, terms, name_of):
        words.append(text[end:start])
        pieces.append(piece)
        found_terms.extend([piece] if is_term else [])
        end = stop
    return Protected((*words, text[end:]), tuple(pieces), tuple(found_terms))


def _pieces(text: str, terms: Terms, name_of: Callable[[str], str] | None) -> Iterator[tuple[int, int, str, bool]]:
    """Yield what stays from left to right; a term counts where nothing else stands, or where it holds all of it."""
    fixed = list(_FIXED.finditer(text))
    chosen = [
        (start, stop, target)
        for start, stop, target in terms.find(text)
        if all(found.end() <= start or stop <= found.start() or _holds(start, stop, found) for found in fixed)
    ]
    rest = [found for found in fixed if all(found.end() <= start or stop <= found.start() for start, stop, _ in chosen)]
    pieces = [(start, stop, target, True) for start, stop, target in chosen]
    pieces += [(found.start(), found.end(), _named(found, name_of), False) for found in rest]
    # What only its neighbour kept from being a piece, as in "%sB", is one beside a marker.
    while more := list(_FIXED.finditer(_blanked(text, pieces))):
        pieces += [(found.start(), found.end(), found[0], False) for found in more]
    yield from sorted(pieces)


def _blanked(text: str, pieces: Iterable[tuple[int, int, str, bool]]) -> str:
    for start, stop, _, _ in pieces:
        text = text[:start] + " " * (stop - start) + text[stop:]
    return text


def _holds(start: int, stop: int, found: re.Match[str]) -> bool:
    return start <= found.start() and found.end() <= stop


def _named(found: re.Match[str], name_of: Callable[[str], str] | None) -> str:
    """Return a piece with the name in it translated, if it is a mark."""
    if found.lastgroup != "mark" or name_of is None:
        return found[0]
    return _MARK_NAME.sub(lambda mark: f"<ref>{name_of(mark[1])}</ref>", found[0])


def _alternate(words: Sequence[str], pieces: Iterable[str]) -> Iterator[str]:
    for word, piece in zip(words, [*pieces, ""], strict=True):
        yield word
        yield piece


def _damaged(reason: str, rule: str, text: str) -> ItemError:
    return ItemError("Cannot use a translation", reason=reason, rule=f"{rule}, got {text[:120]!r}")
