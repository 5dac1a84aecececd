"""How near a text comes to reference texts: BLEU, ROUGE-L and CIDEr as the COCO caption scorer computes them.

The COCO caption scorer (Chen et al., Microsoft COCO Captions, arXiv 1504.00325, 2015) is what published numbers of
captioning come from; its Python 3 version is the package ``pycocoevalcap``. What it computes is computed here without
Java, from terms that each item adds, so that a score can be had for any resample of the items.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from domainvl.evaluation.statistics.scores import FloatArray, SumScore, mean_score

Tokens: TypeAlias = tuple[str, ...]
"""A text in words, as :func:`tokenize` makes them. A tuple, so that a text is not taken for its letters."""

LONGEST_NGRAM = 4
"""BLEU and CIDEr look at runs of up to four words."""

ROUGE_BETA = 1.2
"""How much recall counts over precision in ROUGE-L (``rouge/rouge.py`` of the COCO caption scorer)."""

CIDER_SIGMA = 6.0
"""Words of difference in length that CIDEr-D's penalty is about (Vedantam et al., CIDEr, CVPR 2015, section 6)."""

CIDER_SCALE = 10.0
"""CIDEr is between 0 and 10; tables often print it times 100."""

# They keep BLEU's quotients finite (``bleu/bleu_scorer.py`` of the COCO caption scorer).
_TINY, _SMALL = 1e-15, 1e-9

_PLAIN_MARKS = str.maketrans({
    "’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": ".",
    "(": " -lrb- ", ")": " -rrb- ", "[": " -lsb- ", "]": " -rsb- ", "{": " -lcb- ", "}": " -rcb- ",
})  # fmt: skip
_TOKEN = re.compile(
    r"""
    -[lr][rsc]b-                                        # a bracket
    | (?:[a-z]\.){2,}                                   # an abbreviation of letters, such as u.s. or e.g.
    | (?:mr|mrs|ms|dr|prof|jr|sr|vs|etc)\.              # others that keep their full stop
    | (?:(?<!\w)[-+])?[0-9]*(?:[-.,:/][0-9]+)+          # a number with sign, decimals, or of several parts
    | (?<!\w)[-+][0-9]+\w*                              # a number with a sign
    | @?\w+?(?=n't\b)                                   # what "n't" is hung on
    | n't\b
    | '(?:s|m|d|ll|re|ve)\b
    | @?\w+(?:[-./@]\w+|'(?!(?:s|m|d|ll|re|ve|t)\b)\w+)*  # a word, with what holds its parts together
    | [?!]{2,}                                          # COCO removes single ones only
    | [^\w\s]                                           # any other mark
    """,
    re.VERBOSE,
)
_TWO_WORDS = {
    "cannot": ("can", "not"), "gonna": ("gon", "na"), "gotta": ("got", "ta"), "wanna": ("wan", "na"),
    "gimme": ("gim", "me"), "lemme": ("lem", "me"),
}  # fmt: skip
_REMOVED = frozenset("'\"`.?!,:-;")


def tokenize(text: str) -> Tokens:
    """Split a text into words as the COCO caption scorer has them, nearly.

    Lower case; clitics stand alone ("does n't", "car 's"); punctuation is removed, namely quotes, ``. ? ! , : ; -``
    and dashes; other marks are words of their own. Brackets become ``-lrb-`` and the like and stay: COCO's list of
    what to remove has them in capitals, after all was made lower case.

    This is not the Penn Treebank tokenizer of Java that COCO uses; it differs in rare forms such as addresses of web
    pages and abbreviations that it does not know.
    """
    plain = text.lower().translate(_PLAIN_MARKS)
    words: list[str] = []
    for word in _TOKEN.findall(plain):
        if word not in _REMOVED:
            words.extend(_TWO_WORDS.get(word, (word,)))
    return tuple(words)


def bleu_score(
    candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]], n: int = LONGEST_NGRAM
) -> SumScore:
    """Return corpus BLEU of runs of up to n words (Papineni et al., ACL 2002).

    As the COCO caption scorer has it: the reference nearest in length, the shorter of two equally near, makes the
    brevity penalty, and two small constants keep quotients finite.

    Args:
        candidates: The answers, one an item.
        references: What is true of each, at least one text an item.
        n: Longest run of words, 1 to 4.

    Raises:
        ValueError: If the lengths differ, an item has no reference, or n is out of range.
    """
    return bleu_scores(candidates, references, n)[n - 1]


def bleu_scores(
    candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]], n: int = LONGEST_NGRAM
) -> tuple[SumScore, ...]:
    """Return BLEU-1 to BLEU-n, counted once; as :func:`bleu_score`."""
    _check(candidates, references)
    if not 1 <= n <= LONGEST_NGRAM:
        raise ValueError(f"n must be from 1 to {LONGEST_NGRAM}, got {n}")
    rows = [_bleu_row(*item, n) for item in zip(candidates, references, strict=True)]
    terms = np.asarray(rows, dtype=np.float64).reshape(len(rows), 2 + 2 * n)
    return tuple(SumScore(terms[:, : 2 + 2 * order], _bleu) for order in range(1, n + 1))


def rouge_l_score(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> SumScore:
    """Return the mean of ROUGE-L over items (Lin, ROUGE, 2004, section 3).

    As the COCO caption scorer has it: F with beta 1.2, of the best precision and the best recall over the references,
    which may come from different ones. An empty answer has 0.

    Args:
        candidates: The answers, one an item.
        references: What is true of each, at least one text an item.

    Raises:
        ValueError: If the lengths differ or an item has no reference.
    """
    _check(candidates, references)
    return mean_score([_rouge_l(*item) for item in zip(candidates, references, strict=True)])


def cider_score(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> SumScore:
    """Return the mean of CIDEr over items, between 0 and 10.

    As ``Cider`` of the COCO caption scorer has it, which is the variant CIDEr-D of the paper (Vedantam et al., CVPR
    2015, section 6), with clipped counts and a penalty for other lengths, but words are not reduced to their stems.
    Runs of words weigh by the number of items in whose references they stand. That number is of all the items given,
    also where a resample is scored; so the score of one item alone is 0.

    Args:
        candidates: The answers, one an item.
        references: What is true of each, at least one text an item.

    Raises:
        ValueError: If the lengths differ or an item has no reference.
    """
    _check(candidates, references)
    counted = [[_all_ngrams(reference) for reference in texts] for texts in references]
    seen_in = Counter(ngram for texts in counted for ngram in set().union(*texts))
    log_items = math.log(max(len(counted), 1))
    weights = {ngram: log_items - math.log(items) for ngram, items in seen_in.items()}
    values = []
    for candidate, texts in zip(candidates, counted, strict=True):
        vector = _Weighted(_all_ngrams(candidate), weights, log_items)
        similar = sum(vector.similarity(_Weighted(text, weights, log_items)) for text in texts)
        values.append(min(CIDER_SCALE * similar / len(texts), CIDER_SCALE))
    return mean_score(values, bounds=(0.0, CIDER_SCALE))


def _check(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> None:
    if len(candidates) != len(references):
        raise ValueError(f"each item needs references, got {len(candidates)} answers and {len(references)} of them")
    if not all(references):
        raise ValueError(
            f"each item needs a reference, item {[bool(texts) for texts in references].index(False)} has none"
        )


def _ngrams(tokens: Tokens, n: int) -> Counter[Tokens]:
    return Counter(zip(*(tokens[start:] for start in range(n)), strict=False))


def _all_ngrams(tokens: Tokens) -> Counter[Tokens]:
    counts: Counter[Tokens] = Counter()
    for n in range(1, LONGEST_NGRAM + 1):
        counts.update(_ngrams(tokens, n))
    return counts


def _bleu_row(candidate: Tokens, references: Sequence[Tokens], n: int) -> list[int]:
    """Return length, nearest length of a reference, and for each order how many runs there are and are right."""
    length = len(candidate)
    row = [length, min((abs(len(text) - length), len(text)) for text in references)[1]]
    for order in range(1, n + 1):
        allowed = _ngrams(references[0], order)
        for text in references[1:]:
            allowed |= _ngrams(text, order)
        right = (_ngrams(candidate, order) & allowed).total()
        row += [max(0, length - order + 1), right]
    return row


def _bleu(sums: FloatArray) -> FloatArray:
    length, reference_length = sums[..., 0], sums[..., 1]
    guessed, right = sums[..., 2::2], sums[..., 3::2]
    precision = np.prod((right + _TINY) / (guessed + _SMALL), axis=-1) ** (1 / guessed.shape[-1])
    ratio = (length + _TINY) / (reference_length + _SMALL)
    penalty = np.exp(np.minimum(1 - 1 / ratio, 0))
    return np.where(length + reference_length > 0, precision * penalty, np.nan)


def _rouge_l(candidate: Tokens, references: Sequence[Tokens]) -> float:
    common = [(_common_length(candidate, text), len(text)) for text in references]
    if not any(length for length, _ in common):
        return 0.0
    precision = max(length for length, _ in common) / len(candidate)
    recall = max(length / of for length, of in common if of)
    return (1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision)


def _common_length(a: Tokens, b: Tokens) -> int:
    """Return the length of the longest common subsequence.

    A whole row of the usual table is one integer, a 0 bit for each step up (Hyyrö, Bit-parallel LCS-length
    computation revisited, AWOCA 2004).
    """
    places: dict[str, int] = {}
    for index, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << index
    every = (1 << len(a)) - 1
    row = every
    for word in b:
        shared = row & places.get(word, 0)
        row = ((row + shared) | (row - shared)) & every
    return len(a) - row.bit_count()


class _Weighted:
    """A text's runs of words, weighted by how rare they are in the references."""

    def __init__(self, counts: Mapping[Tokens, int], weights: Mapping[Tokens, float], unseen: float) -> None:
        self.vectors: list[dict[Tokens, float]] = [{} for _ in range(LONGEST_NGRAM)]
        for ngram, count in counts.items():
            self.vectors[len(ngram) - 1][ngram] = count * weights.get(ngram, unseen)
        self.norms = [math.sqrt(sum(value * value for value in vector.values())) for vector in self.vectors]
        # COCO counts pairs of words; the difference of two texts is the same, save where one is empty and shares none.
        self.length = sum(count for ngram, count in counts.items() if len(ngram) == 1)

    def similarity(self, reference: _Weighted) -> float:
        """Return the mean cosine over the orders, counts clipped to the reference's, less for another length."""
        total = 0.0
        for mine, other, my_norm, other_norm in zip(
            self.vectors, reference.vectors, self.norms, reference.norms, strict=True
        ):
            if my_norm and other_norm:
                shared = sum(min(value, other[ngram]) * other[ngram] for ngram, value in mine.items() if ngram in other)
                total += shared / (my_norm * other_norm)
        penalty = math.exp(-((self.length - reference.length) ** 2) / (2 * CIDER_SIGMA**2))
        return total / LONGEST_NGRAM * penalty
