"""METEOR, where Java and the package ``pycocoevalcap`` are there: its jar counts, the score is made here.

Neither is part of domainvl. METEOR matches words also by stem, synonym and paraphrase, and cannot be had without its
tables, which are inside the package.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from domainvl.errors import DomainvlError
from domainvl.evaluation.metrics.captions import Tokens
from domainvl.evaluation.statistics.scores import FloatArray, SumScore

# Of METEOR 1.5 for English, the task that COCO uses (Denkowski and Lavie, Meteor Universal, WMT 2014, table 2).
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
# Of an exact match, a stem, a synonym and a paraphrase.
_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])

_JAR = "meteor-1.5.jar"
_STATISTICS = 23


def meteor_missing() -> str | None:
    """Say what METEOR lacks here and how to get it; None where it can be computed."""
    if shutil.which("java") is None:
        return "METEOR needs Java, which is not installed"
    if _jar() is None:
        return "METEOR needs the package pycocoevalcap: pip install pycocoevalcap"
    return None


def meteor_score(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> SumScore | None:
    """Return METEOR 1.5 over all items, as the COCO caption scorer reports it.

    What is reported is METEOR's own aggregate, made from counts that are summed over items, so that long texts count
    more. It is not the mean of the items' scores; a single item's score is the aggregate of that item alone.

    Args:
        candidates: The answers, one an item.
        references: What is true of each, at least one text an item; the one with the best score counts.

    Returns:
        The score; None where Java or the package is missing (:func:`meteor_missing` says which).

    Raises:
        ValueError: If the lengths differ or an item has no reference.
        DomainvlError: If the jar fails.
    """
    if len(candidates) != len(references) or not all(references):
        raise ValueError(f"each of {len(candidates)} answers needs a reference, got {len(references)} with them")
    jar = _jar()
    if jar is None or shutil.which("java") is None:
        return None
    return SumScore(_count(jar, candidates, references), _combine)


def _jar() -> Path | None:
    # pycocoevalcap has no __init__.py: it is found as a namespace with folders.
    package = find_spec("pycocoevalcap")
    folders = [] if package is None else list(package.submodule_search_locations or ())
    return next((jar for folder in folders if (jar := Path(folder) / "meteor" / _JAR).is_file()), None)


def _count(jar: Path, candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> FloatArray:
    """Let the jar count; it answers each line ``SCORE ||| reference ||| ... ||| answer`` with a line of numbers.

    Returns:
        What an item adds, shape (items, 23): words of answer and reference, words of them without content, then for
        each of exact, stem, synonym and paraphrase the matched words with content of both and without of both, then
        the number of pieces that the matched words make, and the matched words of both.
    """
    lines = (
        " ||| ".join(("SCORE", *map(_line, texts), _line(candidate)))
        for candidate, texts in zip(candidates, references, strict=True)
    )
    done = subprocess.run(
        ["java", "-Xmx2G", "-jar", jar.name, "-", "-", "-stdio", "-l", "en", "-norm"],
        cwd=jar.parent,
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    if done.returncode or len(rows) != len(candidates) or any(len(row) != _STATISTICS for row in rows):
        said = (done.stderr.strip() or done.stdout.strip() or "nothing")[:200]
        raise DomainvlError(
            "Cannot compute METEOR",
            where=jar,
            rule=f"it must give {_STATISTICS} numbers for each of {len(candidates)} answers, it said {said!r}",
            action="Check that java works, or leave METEOR out",
        )
    counts = np.asarray(rows, dtype=np.float64).reshape(len(rows), _STATISTICS)
    # What equals its reference is not broken at all: METEOR does not count its one piece, alone or in a sum.
    whole = (counts[:, 20] == 1) & (counts[:, 21] == counts[:, 0]) & (counts[:, 22] == counts[:, 1])
    counts[whole, 20] = 0.0
    return counts


def _line(tokens: Tokens) -> str:
    return " ".join(tokens).replace("|||", "")


def _combine(sums: FloatArray) -> FloatArray:
    """Compute METEOR from summed counts (Denkowski and Lavie 2014, section 2.2)."""
    length, reference_length, function, reference_function = np.moveaxis(sums[..., :4], -1, 0)
    matched = sums[..., 4:20].reshape(*sums.shape[:-1], len(_WEIGHTS), 4)
    pieces, words, reference_words = np.moveaxis(sums[..., 20:], -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        content, reference_content, plain, reference_plain = np.moveaxis(np.swapaxes(matched, -1, -2) @ _WEIGHTS, -1, 0)
        precision = _weigh(content, plain) / _weigh(length - function, function)
        recall = _weigh(reference_content, reference_plain) / _weigh(
            reference_length - reference_function, reference_function
        )
        mean = precision * recall / (_ALPHA * precision + (1 - _ALPHA) * recall)
        broken = pieces / ((words + reference_words) / 2)
        scores = np.nan_to_num(mean * (1 - _GAMMA * broken**_BETA))
    return np.where(length + reference_length > 0, scores, np.nan)


def _weigh(content: FloatArray, function: FloatArray) -> FloatArray:
    return _DELTA * content + (1 - _DELTA) * function
