"""Counts characters, words and sentences of many texts at once, in arrays and in any script."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SEPARATOR = "\x1e"
"""Stands between texts that are joined to be counted; a blank to :meth:`str.split`, and in no text afterwards."""

CLOSERS = "\"'”’)]»」』》）"
"""What may stand between the mark that ends a sentence and the blank behind it."""

MARKS = ".!?…"
"""What ends a sentence where a blank, perhaps behind closers, follows."""

CHINESE_MARKS = "。！？"
"""What ends a sentence whatever follows."""

_OTHER, _LETTER, _CAPITAL, _HAN, _DIGIT, _BLANK, _MARK, _CHINESE_MARK, _CLOSER = range(9)
_CATEGORIES = 16
_TABLE_SIZE = 0x32400  # behind the last Chinese character of Unicode 15 (CJK extension H ends at U+323AF)
_HAN_RANGES = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, _TABLE_SIZE))


class Counts(NamedTuple):
    """What was counted in each text.

    Attributes:
        characters: Characters.
        solid: Characters that are not blank.
        words: Words between blanks.
        letter_words: Words with a letter.
        longest_word: Characters of the longest word.
        letters: Letters of any script.
        capitals: Capital letters.
        digits: Digits.
        chinese: Chinese characters.
        sentences: Sentences, one without its end included. An abbreviation's full stop counts as an end.
        complete: Characters up to the end of the last sentence that has one.
    """

    characters: int
    solid: int
    words: int
    letter_words: int
    longest_word: int
    letters: int
    capitals: int
    digits: int
    chinese: int
    sentences: int
    complete: int


def count_texts(texts: Sequence[str], joined: str) -> tuple[list[Counts], NDArray[np.uint32]]:
    """Count all texts.

    Args:
        texts: Texts without :data:`SEPARATOR` and without blanks at either end; at least one.
        joined: The texts, each with a :data:`SEPARATOR` behind it.

    Returns:
        The counts of each, and the code points of all Chinese characters in order.
    """
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    categories = _table().take(points, mode="clip")
    lengths = np.array([len(text) + 1 for text in texts])
    firsts = np.cumsum(lengths) - lengths
    owners = np.repeat(np.arange(len(texts)), lengths)
    per_category = np.bincount(owners * _CATEGORIES + categories, minlength=_CATEGORIES * len(texts))
    per_category = per_category.reshape(len(texts), _CATEGORIES)
    words = _count_words(categories, owners, len(texts))
    ends = _sentence_ends(categories)
    ended = np.bincount(owners[ends], minlength=len(texts))
    complete = np.zeros(len(texts), np.int64)
    complete[owners[ends]] = ends + 1  # of several the last is kept
    complete = np.maximum(complete - firsts, 0)
    letters = per_category[:, _LETTER] + per_category[:, _CAPITAL] + per_category[:, _HAN]
    columns = [
        lengths - 1,
        lengths - per_category[:, _BLANK],
        *words,
        letters,
        per_category[:, _CAPITAL],
        per_category[:, _DIGIT],
        per_category[:, _HAN],
        ended + (complete < lengths - 1),
        complete,
    ]
    rows = np.stack(columns, axis=1).tolist()
    return [Counts._make(row) for row in rows], points[categories == _HAN]


def _count_words(
    categories: NDArray[np.uint8], owners: NDArray[np.int64], text_count: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return words, words with a letter and the longest word's characters, each of shape (texts,)."""
    solid = categories != _BLANK
    borders = np.flatnonzero(solid[1:] != solid[:-1]) + 1
    if len(solid) and solid[0]:
        borders = np.concatenate([[0], borders])
    begins, ends = borders[::2], borders[1::2]  # the last character is a separator, so that every word ends
    is_letter = (categories >= _LETTER) & (categories <= _HAN)
    letters_before = np.concatenate([[0], np.cumsum(is_letter)])
    has_letter = letters_before[ends] > letters_before[begins]
    word_owners = owners[begins]
    longest = np.zeros(text_count, np.int64)
    np.maximum.at(longest, word_owners, ends - begins)
    return (
        np.bincount(word_owners, minlength=text_count),
        np.bincount(word_owners[has_letter], minlength=text_count),
        longest,
    )


def _sentence_ends(categories: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return where sentences end: the mark, or the closer behind it, with a blank or another sentence behind that."""
    is_mark = (categories == _MARK) | (categories == _CHINESE_MARK)
    marks = np.flatnonzero(is_mark)
    behind = categories.take(marks + 1, mode="clip")
    closed = behind == _CLOSER
    ends = marks + closed
    then = categories.take(ends + 1, mode="clip")
    chinese = (categories[marks] == _CHINESE_MARK) & ~is_mark.take(ends + 1, mode="clip")
    found: NDArray[np.int64] = ends[(then == _BLANK) | chinese]
    return found


@functools.lru_cache(maxsize=1)
def _table() -> NDArray[np.uint8]:
    """Return the category of each code point below the table's size; those above it are clipped to its last entry."""
    table = np.zeros(_TABLE_SIZE + 1, np.uint8)
    letters = [point for point in range(_TABLE_SIZE) if chr(point).isalpha()]
    table[letters] = _LETTER
    table[[point for point in letters if chr(point).isupper()]] = _CAPITAL
    table[[point for point in range(_TABLE_SIZE) if chr(point).isdigit()]] = _DIGIT
    table[[point for point in range(0x10000) if chr(point).isspace()]] = _BLANK
    for begin, end in _HAN_RANGES:
        table[begin:end] = _HAN
    for category, members in ((_MARK, MARKS), (_CHINESE_MARK, CHINESE_MARKS), (_CLOSER, CLOSERS)):
        table[[ord(member) for member in members]] = category
    return table
