"""What a caption looks like: names of classes, and how its text begins."""

from __future__ import annotations

import re

_CLASS = re.compile(r"(?:^|[\s_-])(?:\w*caption|legend|cutline)(?:s|text)?(?:$|[\s_-])", re.I)
"""Such as ``caption``, ``fig-caption``, ``wp-caption-text``, ``thumbcaption``; the pattern is ours."""

_NOUN = (
    r"fig(?:ure|ures|s|ur|\.)?|figs\.|abb(?:ildung|\.)?|table|tables|tab\.|tabelle|tableau|plate|plates|pl\.|chart|scheme"
    r"|photo|image|图表|图|表|圖"
)
_NUMBER = r"(?:[A-Z]?\d+(?:[.-]\d+)*|[IVXLC]+)(?:\s?\(?[a-z]\)?)?"
_NUMBERS = rf"{_NUMBER}(?:\s*(?:,|and|&|to|[-–—])\s*{_NUMBER})*"
_TEXT = re.compile(rf"(?:{_NOUN})\s*{_NUMBERS}\s*(?:[.:：．。)—–|]|-\s|$|(?<=\d)\s+(?=[一-鿿]))", re.I)
"""Such as ``Fig. 10. Axe``, ``Figure 3: ...``, ``Table 2``, ``Plates I-III. ...``, ``图 3 ...``: a noun, a number, and
then a stop or the end, so that "Figure 3 shows" is no caption. The pattern is ours."""

MAX_CAPTION_CHARACTERS = 1500
"""Longer paragraphs are running text however they begin; ours."""


def is_caption_class(names: str) -> bool:
    """Say whether an element of these classes holds a caption."""
    return _CLASS.search(names) is not None


def is_caption_text(text: str) -> bool:
    """Say whether a paragraph is the caption of a figure or table by how it begins."""
    return len(text) <= MAX_CAPTION_CHARACTERS and _TEXT.match(text) is not None


def caption_label(text: str) -> str:
    """Return what numbers a figure or table at the beginning of a text, such as ``Fig. 10.``; empty if nothing does."""
    match = _TEXT.match(text)
    return match[0] if match is not None else ""
