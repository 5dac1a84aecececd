"""Which alternative texts of images say what the image shows; most on the web do not."""

from __future__ import annotations

import re

from domainvl.corpus.deduplicating.shingles import normalise, words_of

_THING = (
    r"image|photo|photograph|picture|figure|fig\.?|img|pic|illustration|icon|logo|thumbnail|graphic|diagram|chart"
    r"|screenshot|plate|map|avatar|banner|placeholder"
)
_STOCK = re.compile(
    r"(?:please )?(?:see|refer to|as in|shown in)(?: the)? (?:caption|text|legend|figure|title|table|page)\b.{0,20}"
    rf"|(?:the |an? |this )?(?:{_THING})(?: (?:of|for) (?:the )?(?:post|article|page))?"
    r"(?: ?(?:no\.?|number|#))? ?\(?\d*[a-z]?\)?"
    r"|(?:article|featured?|main|header|cover|default|background|profile|stock|image|inline|open|full)(?: size)?"
    rf" (?:{_THING})(?: \d+)?"
    r"|(?:click|tap)(?: here| image| picture)?(?: to| for).*"
    r"|(?:enlarge|zoom|open|download|view|expand)(?: this| the)?"
    r"(?: image| photo| picture| in (?:a )?new (?:tab|window)).*"
    r"|no (?:image|description|alt|caption|title)\b.*|(?:alt|alternative) text|image may contain.*|untitled.*"
)
"""Phrases of content managers and converters that stand for any image; ours, from pages that were looked at."""

_FILE_NAME = re.compile(r"\S\.(?:jpe?g|png|gif|webp|tiff?|bmp|svg|avif|heic)\b")
_LEAST_WORDS = 2
_LEAST_CHARACTERS = 4
"""Of a script without blanks, where a character counts as a word."""


def says_something(alt: str | None) -> bool:
    """Say whether an alternative text can be a caption. The rule is ours.

    It cannot where it is absent or blank, has fewer than two words with a letter (in scripts without blanks, four
    characters), names a file (``grave.png``, ``IMG_0001``, ``old-map-of-panama``), or is one of the phrases that stand
    for any image, such as "see caption", "Figure 3" or "click to enlarge".
    """
    text = normalise(alt or "").strip(" .:;,!()[]\"'")
    words = [word for word in words_of(text) if any(character.isalpha() for character in word)]
    enough = len(words) >= (_LEAST_WORDS if " " in text else _LEAST_CHARACTERS)
    is_slug = " " not in text and text.isascii()
    return enough and not is_slug and _FILE_NAME.search(text) is None and _STOCK.fullmatch(text) is None
