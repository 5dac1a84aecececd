"""Reads from an answer what it says: which option, how many, which boxes. Nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from domainvl.evaluation.metrics.text import normalise_text
from domainvl.schema.boxes import Box
from domainvl.schema.wording import escape_special, option_letter

_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# A number with all that belongs to it: sign, decimals, thousands, ranges, fractions. Digits inside a word are none.
# The quantifiers are possessive, so that "2.5x" is not given up for its "2".
_NUMBER = re.compile(r"(?<!\w)[-.]?[0-9]++(?:[.,/-][0-9]++)*+(?!\w)")
_COUNT = re.compile(r"[0-9]{1,9}")
# What makes of a number one of several: "3, 4", "3 to 4", "3 cars or 4", "3 or more"; but "5, 3 of them red" says 5.
_ANOTHER = rf"(?:[0-9]|(?:{'|'.join(_NUMBER_WORDS)})\b)"
_ONE_OF_SEVERAL = re.compile(
    r"\s*[,;/~–—-]\s*[0-9]+\s*(?:[.,;/]|(?:or|and)\b|$)"
    rf"|\s+(?:to|and)\s+{_ANOTHER}"
    rf"|(?:\s+\w+)?\s+or\s+(?:(?:\w+\s+)?{_ANOTHER}|(?:more|fewer|less)\b)",
    re.IGNORECASE,
)

_LETTER = re.compile(r"(?:\(([a-z])\)|([a-z])(?:[.):,]|$))([\s.:,].*)?", re.DOTALL)
# A letter that stands for an option: at the end, before a mark, or where something is said of it. In "a car" and "e.g."
# none does.
_NAMED = re.compile(r"(?<![\w.'’-])([a-z])(?=\s*(?:$|\.(?:\s|$)|[):,;/&]|(?:or|and|nor|is|are)\b))")

_LARGEST = 1000.0
"""Right and lower border of an image, in thousandths."""

_COORDINATE = r"\s*-?[0-9]+(?:\.[0-9]*)?\s*"
_BOX = rf"\s*\[{_COORDINATE}(?:,{_COORDINATE}){{3}}\]\s*"
_BOX_LIST = re.compile(rf"\[{_BOX}(?:,{_BOX})*\]")
_LABELLED_LIST = re.compile(rf"<ref>([^<>]*)</ref>\s*(?:<box>)?\s*({_BOX_LIST.pattern})")
_SINGLE_BOX = re.compile(_BOX)
_SINGLE_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]*)?")


def read_choice(text: str, options: Sequence[str]) -> int | None:
    """Read which option an answer names.

    By its letter: "B", "b", "B.", "(B)", "B. foo", "B) foo", "B: foo"; the letter decides, whatever text
    follows, unless the letter of another option is named there: "A, B, C or D" and "A: no, B" choose none. A letter
    that is only the first word, as in "A car", is none. Otherwise by the option's text.

    Args:
        text: The answer.
        options: The options, lettered from A.

    Returns:
        Index of the option, or None.
    """
    answer = text.strip().lower()
    found = _LETTER.fullmatch(answer)
    if found is not None:
        letters = [option_letter(index).lower() for index in range(len(options))]
        letter = found[1] or found[2]
        if letter in letters:
            place = letters.index(letter)
            others = set(letters) - {letter}
            return None if others & _letters_named(found[3] or "", options[place]) else place
    texts = [normalise_text(escape_special(option)) for option in options]
    wanted = normalise_text(escape_special(text))
    return texts.index(wanted) if wanted in texts else None


def read_count(text: str) -> int | None:
    """Read a count: the first number in digits, or a word from zero to ten that is the whole answer.

    "2", "2 cars" and "Two." are 2. If the first number is no plain count ("2.5", "-2", "2-3", "1,000"),
    nothing is read, also where a count follows; nor if it is one of several ("3 or 4", "3, 4", "3 to 4", "3 or more").
    Words within a phrase are not read: "no one" is not 1 and "twenty one" is neither 20 nor 1.

    Args:
        text: The answer.

    Returns:
        The count, or None.
    """
    whole = normalise_text(text)
    if whole in _NUMBER_WORDS:
        return _NUMBER_WORDS.index(whole)
    found = _NUMBER.search(text)
    if found is None or not _COUNT.fullmatch(found[0]) or _ONE_OF_SEVERAL.match(text, found.end()):
        return None
    return int(found[0])


def read_boxes(text: str) -> list[Box]:
    """Read the first list of boxes ``[[x_min, y_min, x_max, y_max], ...]`` in thousandths of the image.

    Whole and decimal numbers are read. Nothing is guessed: neither 0-1 nor pixel coordinates are recognised as such,
    corners are not swapped, and a list with anything but four numbers a box is not read. Nor is one with a coordinate
    below 0 or above 1000, which is in another unit: clamped, pixels could pass for thousandths.

    Args:
        text: The answer.

    Returns:
        The boxes; empty if there is no such list.
    """
    found = _BOX_LIST.search(text)
    return [] if found is None else _boxes_of(found[0])


def read_labelled_boxes(text: str) -> list[tuple[str, Box]]:
    """Read every list of boxes that follows a ``<ref>label</ref>``, each box with its label as it is written.

    The lists are read as :func:`read_boxes` reads one; those that it does not read are passed over.
    """
    return [(label, box) for label, boxes in _LABELLED_LIST.findall(text) for box in _boxes_of(boxes)]


def _letters_named(rest: str, option: str) -> set[str]:
    """Return the letters that stand for options in the rest of an answer; an option's own text may end with one."""
    own = rf"(?<!\w){re.escape(option.lower().strip())}(?!\w)"
    return set(_NAMED.findall(re.sub(own, " ", rest)))


def _boxes_of(box_list: str) -> list[Box]:
    boxes = []
    for box in _SINGLE_BOX.findall(box_list):
        x_min, y_min, x_max, y_max = (float(number) for number in _SINGLE_NUMBER.findall(box))
        boxes.append((x_min, y_min, x_max, y_max))
    return boxes if all(0 <= side <= _LARGEST for box in boxes for side in box) else []
