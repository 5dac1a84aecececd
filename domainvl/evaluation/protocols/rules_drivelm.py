"""Rules of the DriveLM challenge that need no judge: accuracy, language and match, with and without the graph's gating.

The challenge reads pixels of each camera, a model answers in thousandths: answers are brought there by the converter
that made the samples, as it does for a submission.

``as_published`` scores what the challenge's ``evaluation.py`` scores: of each frame the questions that the graph lets
through, by its reading of numbers. Otherwise all questions with the tag are scored, so that systems are compared on
the same ones, and points are read rightly (:mod:`domainvl.evaluation.metrics.drivelm`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from domainvl.conversion.answers import AnsweringConverter, GivenAnswer
from domainvl.conversion.converter import load_converter
from domainvl.errors import DatasetError
from domainvl.evaluation.metrics.captions import tokenize
from domainvl.evaluation.metrics.drivelm import (
    Exchange,
    accuracy_score,
    counted_by_graph,
    language_score,
    match_f1_score,
    match_points,
    points_without_judge,
)
from domainvl.evaluation.metrics.reading import read_choice
from domainvl.evaluation.protocols.items import Formula, Item, Rule, RuleResult, wrong_answer
from domainvl.evaluation.protocols.rules_text import CAPTION_SCORES
from domainvl.evaluation.statistics.scores import BoolArray, SumScore, spread_over
from domainvl.schema.sample import ChoiceAnswer

_ACCURACY, _LANGUAGE, _MATCH = 0, 2, 3
"""Tags of questions by how they are scored (OpenDriveLab/DriveLM, challenge/evaluation.py); 1 is for a judge alone."""

_CONVERTER, _DETAILS, _OUTPUT = "drivelm", "drivelm", "output.json"


@dataclass(frozen=True)
class _Asked:
    """What the challenge knows of an item.

    Attributes:
        tags: How it is scored.
        frame: Its scene and frame.
        number: Its place among the questions of the frame.
        exchange: Question, answer and true answer, in pixels.
    """

    tags: frozenset[int]
    frame: str
    number: int
    exchange: Exchange


def score_accuracy(items: Sequence[Item], *, as_published: bool = False) -> RuleResult:
    """Score the questions of tag 0: the answer must equal the true one."""
    asked = _read(items)
    taken, gated = _taken(asked, _ACCURACY, as_published=as_published)
    exchanges = _exchanges(asked, taken)
    score = accuracy_score(
        [exchange.answer for exchange in exchanges],
        [exchange.truth for exchange in exchanges],
        as_published=as_published,
    )
    right = np.zeros(len(items), dtype=np.bool_)
    right[taken] = score.terms[:, 0] > 0
    metric = "exact text" if as_published else "exact match"
    return _result(score, metric, taken, gated, right=right)


def score_language(
    items: Sequence[Item],
    *,
    measure: Literal["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"],
    as_published: bool = False,
) -> RuleResult:
    """Score the questions of tag 2 as captions.

    Args:
        items: The items.
        measure: What is measured.
        as_published: Whether the graph gates questions.
    """
    asked = _read(items)
    taken, gated = _taken(asked, _LANGUAGE, as_published=as_published)
    exchanges = _exchanges(asked, taken)
    said = [tokenize(exchange.answer) for exchange in exchanges]
    score = CAPTION_SCORES[measure](said, [[tokenize(exchange.truth)] for exchange in exchanges])
    return _result(score, measure, taken, gated)


def score_match(items: Sequence[Item], *, as_published: bool = False) -> RuleResult:
    """Score the questions of tag 3 by the points that their answers name: DriveLM's match without its judge's half.

    Strict, a question whose true answer names no point has no F1 and is left out.
    """
    asked = _read(items)
    taken, gated = _taken(asked, _MATCH, as_published=as_published)
    matches = [
        match_points(exchange.answer, exchange.truth, as_published=as_published)
        for exchange in _exchanges(asked, taken)
    ]
    metric = "F1 of points, hit if < 16 px" + (" (decimals only)" if as_published else "")
    unreadable = sum(match.unreadable > 0 for match in matches)
    score = match_f1_score(matches)
    scored = np.zeros_like(taken)
    scored[taken] = score.terms[:, 1] > 0
    terms = SumScore(score.terms[scored[taken]], score.combine, score.bounds)
    return _result(terms, metric, scored, gated + int(np.sum(taken & ~scored)), unreadable=unreadable)


RULES: Mapping[str, Rule] = {
    "drivelm-accuracy": score_accuracy,
    "drivelm-language": score_language,
    "drivelm-match": score_match,
}

FORMULAS: Mapping[str, Formula] = {
    "drivelm-language": language_score,
    "drivelm-points-without-judge": points_without_judge,
}


def _read(items: Sequence[Item]) -> list[_Asked]:
    """Return what the challenge knows of each item.

    Raises:
        DatasetError: If an item is of no DriveLM data set with single questions, tags and answers.
    """
    told = [_details(item) for item in items]
    if not any(details["tag"] for details in told):
        raise DatasetError(
            "Cannot score by the rules of DriveLM",
            rule=f"questions must have the challenge's tags, none of {len(items)} has one",
            action="Convert with --challenge-subset, or the challenge's own file",
        )
    asked = []
    for item, details, written in zip(items, told, _in_pixels(items), strict=True):
        if not written["gt_answers"]:
            raise wrong_answer(item.sample, "it must have a published answer, it has a placeholder")
        frame, _, number = str(details["id"]).rpartition("_")
        exchange = Exchange(written["question"], written["answer"], written["gt_answers"])
        asked.append(_Asked(frozenset(details["tag"]), frame, int(number), exchange))
    return asked


def _details(item: Item) -> dict[str, Any]:
    sample = item.sample
    details = sample.images[0].source.details.get(_DETAILS) if sample.images else None
    if not isinstance(details, dict) or not isinstance(details.get("tag"), list):
        raise wrong_answer(sample, "its first image must hold what DriveLM says of the question")
    if "rounds" in details:
        raise wrong_answer(sample, "it must ask a single question, it ends a graph of several (--rounds single)")
    return details


def _in_pixels(items: Sequence[Item]) -> list[dict[str, str]]:
    """Return what a submission says of each item."""
    converter = load_converter(_CONVERTER)
    if not isinstance(converter, AnsweringConverter):
        raise DatasetError(
            "Cannot score by the rules of DriveLM",
            rule=f"the converter {_CONVERTER} must write submissions, that installed does not",
            action="Remove the package that replaces it",
        )
    with TemporaryDirectory() as folder:
        converter.write_answers((_given(item) for item in items), Path(folder), {})
        written: list[dict[str, str]] = json.loads((Path(folder) / _OUTPUT).read_bytes())
    return written


def _given(item: Item) -> GivenAnswer:
    answer, text = item.sample.answer, item.prediction.text
    option = read_choice(text, answer.options) if isinstance(answer, ChoiceAnswer) else None
    return GivenAnswer(item.sample, text, option, is_reference=False, read_choice=read_choice)


def _taken(asked: Sequence[_Asked], tag: int, *, as_published: bool) -> tuple[BoolArray, int]:
    """Return which items are scored for a tag, and how many with the tag the graph gates."""
    tagged = np.array([tag in item.tags for item in asked], dtype=np.bool_)
    if not as_published:
        return tagged, 0
    taken = tagged & _let_through(asked)
    return taken, int(np.sum(tagged & ~taken))


def _let_through(asked: Sequence[_Asked]) -> BoolArray:
    """Say which items the graphs of their frames let through; none of a frame without its first question."""
    frames: dict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(asked):
        frames[item.frame].append(place)
    through = np.zeros(len(asked), dtype=np.bool_)
    for places in frames.values():
        places.sort(key=lambda place: asked[place].number)
        if asked[places[0]].number == 0:
            through[places] = counted_by_graph([asked[place].exchange for place in places], as_published=True)
    return through


def _exchanges(asked: Sequence[_Asked], taken: BoolArray) -> list[Exchange]:
    return [asked[place].exchange for place in np.flatnonzero(taken).tolist()]


def _result(
    score: SumScore,
    metric: str,
    taken: BoolArray,
    left_out: int,
    *,
    right: BoolArray | None = None,
    unreadable: int = 0,
) -> RuleResult:
    return RuleResult(
        spread_over(score, np.flatnonzero(taken), len(taken)),
        metric,
        right,
        counted=taken,
        unreadable=unreadable,
        uncounted=left_out,
    )
