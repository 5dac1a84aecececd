"""A language for tests of translation, whose words can be told, and translators that damage texts in known ways.

Its words are those of the text in angle quotes: "a car" is "«a» «car»". A test knows by that what was translated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

_WORD = re.compile(r"[^\W\d_]+")

Change = Callable[[str], "str | None"]


def pseudo(text: str) -> str:
    """Translate every word of a text; digits, marks and brackets stay as they are."""
    return _WORD.sub(lambda word: f"«{word[0].lower()}»", text)


class PseudoTranslator:
    """A translator into the language of this file.

    Args:
        change: What becomes of a text instead; None where it gives up.
        batch_size: Lines at a time.

    Attributes:
        seen: All lines that it was given, in order.
    """

    name = "pseudo"

    def __init__(self, change: Change = pseudo, *, batch_size: int = 4) -> None:
        self._change = change
        self.batch_size = batch_size
        self.identity: Mapping[str, str] = {"model": "pseudo"}
        self.seen: list[str] = []

    def translate(self, lines: Sequence[str]) -> list[str | None]:
        """Translate lines."""
        self.seen += lines
        return [self._change(line) for line in lines]
