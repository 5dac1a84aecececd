"""Finds what is to be cut out of a text before it is measured, and cuts it; nothing is changed but by such cuts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from domainvl.corpus.filtering.characters import SEPARATOR
from domainvl.corpus.filtering.rules import RULES
from domainvl.interleaved.documents import TextSlot

_UNDERSCORES = re.compile("_{15,}")  # filters.py:145
_VIDEO_FIELD = "[Video]"
_ENDS_OF_SENTENCES = ".!?:;)'\""  # filters.py:1129
# Whole addresses with a scheme or www. The published pattern also takes any words joined by two dots, and with them
# dates such as 12.05.2020 and identifiers such as 1.2.840.10008.
_URL = re.compile(r"(?:https?|ftp|file)://[^\s<>\"]+|\bwww\.[^\s<>\"]+")
_BEHIND_URL = ".,;:!?)]'"


class Cut(NamedTuple):
    """What is cut out of a slot's text.

    Attributes:
        begin: First character.
        end: Character behind its last.
        code: The rule; of line breaks a blank takes the place.
    """

    begin: int
    end: int
    code: str


class Piece(NamedTuple):
    """A paragraph: a slot's text, or a part of it where underscores divide it.

    Attributes:
        begin: First character in the slot's text.
        end: Character behind its last.
        cuts: What is cut out between them, in order.
    """

    begin: int
    end: int
    cuts: Sequence[Cut]


def normalise(slot: TextSlot, codes: Collection[str]) -> list[Piece]:
    """Find the paragraphs of a slot.

    Args:
        slot: The slot.
        codes: The normalisers that are used.
    """
    text = slot.text
    if not ("\n" in text or "___" in text or _VIDEO_FIELD in text or "://" in text or "www." in text):
        return [Piece(0, len(text), ())]
    used = {code for code in codes if (kinds := RULES[code].kinds) is None or slot.kind in kinds}
    cuts = sorted(_cuts(text, used))
    pieces, begin = [], 0
    for match in _UNDERSCORES.finditer(text) if "hf-underscores" in used else ():
        pieces.append(_piece(begin, match.start(), cuts))
        begin = match.end()
    pieces.append(_piece(begin, len(text), cuts))
    filled = [piece for piece in pieces if piece.begin < piece.end]
    return filled or [Piece(len(text), len(text), ())]


def piece_text(text: str, piece: Piece) -> str:
    """Return the text of a paragraph after its cuts, without blanks at its ends."""
    begin, end, cuts = piece
    if cuts:
        parts, at = [], begin
        for cut in cuts:
            parts.append(text[at : cut.begin])
            if cut.code == "hf-line-breaks":
                parts.append(" ")
            at = cut.end
        found = "".join([*parts, text[at:end]])
    else:
        found = text[begin:end]
    return found.replace(SEPARATOR, " ").strip()


def _piece(begin: int, end: int, cuts: Sequence[Cut]) -> Piece:
    return Piece(begin, end, tuple(cut for cut in cuts if begin <= cut.begin and cut.end <= end))


def _cuts(text: str, codes: Collection[str]) -> Iterator[Cut]:
    """Yield cuts that do not overlap: no address holds a line break or a bracket with Video in it."""
    if "hf-video-field" in codes:
        for match in re.finditer(re.escape(_VIDEO_FIELD), text):
            yield Cut(match.start(), match.end(), "hf-video-field")
    if "hf-urls" in codes and ("://" in text or "www." in text):
        for match in _URL.finditer(text):
            address = match.group().partition(_VIDEO_FIELD)[0]
            yield Cut(match.start(), match.start() + len(address.rstrip(_BEHIND_URL)), "hf-urls")
    if "hf-line-breaks" in codes and "\n" in text:
        yield from _broken_sentences(text)


def _broken_sentences(text: str) -> Iterator[Cut]:
    """Yield line breaks behind which a sentence goes on; those before any text are no such breaks."""
    at, last = 0, ""
    for line in text.split("\n")[:-1]:
        last = line.rstrip()[-1:] or last
        at += len(line)
        if last not in _ENDS_OF_SENTENCES:
            yield Cut(at, at + 1, "hf-line-breaks")
        at += 1
