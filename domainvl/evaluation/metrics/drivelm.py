"""The scores of the DriveLM challenge, flaw for flaw and right: match, graph gating, accuracy, language, final score.

``as_published`` follows OpenDriveLab/DriveLM, challenge/evaluation.py. Its flaws: numbers without a decimal point are
invisible, and what stands beside them pairs up wrongly; the camera of a point is not looked at; which of several near
points is hit hangs on the order of the answer; and a question that the graph gates is not scored at all, so that a
model which misses the objects of hard frames is not asked about them.

All texts are in pixels of each camera's own image, ``<c1,CAM_FRONT,1043.2,82.2>``, as the challenge reads them. Answers
in thousandths, ``<c1,CAM_FRONT,[551,46]>``, are brought there first by the converter; left as they are, neither variant
takes them for pixels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from domainvl.evaluation.metrics.text import normalise_text
from domainvl.evaluation.statistics.scores import FloatArray, SumScore, mean_score, ratio

HIT_PX = 16.0
"""A point is hit by one that is nearer than this, in L1 (evaluation.py, match_result)."""

GPT_WEIGHT, LANGUAGE_WEIGHT, MATCH_WEIGHT, ACCURACY_WEIGHT = 0.4, 0.2, 0.2, 0.2
"""Weights of the parts of the final score (evaluation.py, at its end)."""

WITHOUT_JUDGE_MAX = LANGUAGE_WEIGHT + MATCH_WEIGHT / 2 + ACCURACY_WEIGHT
"""Most of the final score that needs no judge: the other half is a language model's opinion."""

_ANYWHERE = ""
_EPSILON = 1e-8
"""Added to every denominator of F1 by evaluation.py, so that even a perfect answer stays just below 1."""

_DECIMAL = re.compile(r"\d+\.\d+")
_TAG = re.compile(r"<\s*c[^,<>]*,(?P<camera>[^,<>]*),(?P<numbers>[^<>]*)>")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]*)?")

CameraPoint: TypeAlias = tuple[str, float, float]
"""(camera, x, y) in pixels of that camera's own image; the camera is "" where it is not looked at."""


@dataclass(frozen=True)
class PointsRead:
    """What was read of a text.

    Attributes:
        points: The points, in the order of the text.
        unreadable: Number of tags that are no points in pixels; for ``as_published`` the number that is left over where
            the numbers do not pair up.
    """

    points: tuple[CameraPoint, ...]
    unreadable: int = 0


@dataclass(frozen=True)
class PointMatch:
    """How the points of an answer agree with the true ones.

    Attributes:
        right: Number of points that hit.
        surplus: Number of points that do not.
        missed: Number of true points that none hits.
        hit: The true points that were hit.
        f1: F1 of the answer; None where there is nothing to hit and the rule is strict.
        unreadable: Number of tags of the answer that are no points in pixels.
    """

    right: int
    surplus: int
    missed: int
    hit: tuple[CameraPoint, ...]
    f1: float | None
    unreadable: int


@dataclass(frozen=True)
class Exchange:
    """A question about a frame, in pixels, with a system's answer and the true one."""

    question: str
    answer: str
    truth: str


def read_points(text: str, *, as_published: bool) -> PointsRead:
    """Read the points of a text.

    Strict: of every tag its camera and two numbers, whole or decimal; a tag with more or fewer numbers, or with them in
    brackets, is unreadable. As published: all numbers with a decimal point, in pairs, whatever they belong to; a last
    one without a partner is left out, as evaluation.py does for answers since DriveLM's issue 29. In true answers and
    questions it stops that code.

    Args:
        text: The text, in pixels.
        as_published: Whether to follow the challenge.
    """
    if as_published:
        values = [float(number) for number in _DECIMAL.findall(text)]
        pairs = zip(values[::2], values[1::2], strict=False)
        return PointsRead(tuple((_ANYWHERE, x, y) for x, y in pairs), len(values) % 2)
    tags = list(_TAG.finditer(text))
    points = []
    for tag in tags:
        numbers = [number.strip() for number in tag["numbers"].split(",")]
        if len(numbers) == 2 and all(_NUMBER.fullmatch(number) for number in numbers):
            points.append((tag["camera"].strip(), float(numbers[0]), float(numbers[1])))
    return PointsRead(tuple(points), len(tags) - len(points))


def match_points(answer: str, truth: str, *, as_published: bool) -> PointMatch:
    """Match the points of an answer with the true ones.

    Strict: a point hits one of the same camera, for DriveLM counts coordinates from the corner of each camera's own
    image (OpenDriveLab/DriveLM, docs/data_prep_nus.md), so that equal numbers of two cameras are two places. Points are
    assigned so that as many as possible hit, which no order of the answer changes. An unreadable tag is a surplus
    point: writing more of them must not cost less than writing wrong ones.

    As published: one point after the other takes the nearest true one that is left, of whatever camera.

    Args:
        answer: The answer, in pixels.
        truth: The true answer, in pixels.
        as_published: Whether to follow the challenge.
    """
    found, true = read_points(answer, as_published=as_published), read_points(truth, as_published=as_published).points
    hit = _hit_in_order(found.points, true) if as_published else _hit_most(found.points, true)
    right = len(hit)
    surplus = len(found.points) - right + (0 if as_published else found.unreadable)
    missed = len(true) - right
    f1 = _published_f1(right, surplus, missed) if as_published else _f1(right, surplus, missed) if true else None
    return PointMatch(right, surplus, missed, tuple(hit), f1, found.unreadable)


def match_f1_score(matches: Sequence[PointMatch | None]) -> SumScore:
    """Return the mean F1 of answers, which is half of the challenge's match score; the other half is a judge's.

    Args:
        matches: Of each item; None where the graph gates it. Items without F1 take no part either.
    """
    f1s = [None if match is None else match.f1 for match in matches]
    return SumScore(np.array([(0.0, 0.0) if f1 is None else (f1, 1.0) for f1 in f1s]).reshape(-1, 2), ratio)


def counted_by_graph(exchanges: Sequence[Exchange], *, as_published: bool) -> list[bool]:
    """Say which questions of one frame are scored.

    The first one always is, and makes the graph: the true points that its answer hits. A later one is scored only if
    every point that it names is in the graph, number for number (evaluation.py, set_graph and eval_graph). Which are
    scored thus hangs on the system; a comparison on equal terms scores all of them.

    Args:
        exchanges: All questions of the frame, in the official order: perception, prediction, planning, behaviour.
        as_published: Whether points are read and matched as the challenge does.
    """
    graph: set[CameraPoint] = set()
    counted = []
    for place, exchange in enumerate(exchanges):
        if place == 0:
            graph = set(match_points(exchange.answer, exchange.truth, as_published=as_published).hit)
        named = read_points(exchange.question, as_published=as_published).points
        counted.append(place == 0 or graph.issuperset(named))
    return counted


def accuracy_score(answers: Sequence[str], truths: Sequence[str], *, as_published: bool) -> SumScore:
    """Return the share of answers that equal the true one.

    Args:
        answers: The answers.
        truths: The true ones.
        as_published: Whether they must be the same string. Else case, blanks and a full stop at the end do not matter,
            and an empty answer is wrong.
    """
    pairs = zip(answers, truths, strict=True)
    if as_published:
        return mean_score([answer == truth for answer, truth in pairs])
    return mean_score(
        [bool(answer.strip()) and normalise_text(answer) == normalise_text(truth) for answer, truth in pairs]
    )


def language_score(parts: FloatArray) -> FloatArray:
    """Return the language part: a third each of the mean of BLEU-1 to 4, ROUGE-L, and CIDEr / 10.

    Args:
        parts: BLEU-1, -2, -3, -4, ROUGE-L and CIDEr, shape (6, ...).

    Returns:
        Shape (...).
    """
    bleu = np.asarray(parts[:4], dtype=np.float64).mean(axis=0)
    score: FloatArray = (bleu + parts[4] + parts[5] / 10) / 3
    return score


def match_score(f1: npt.ArrayLike, gpt: npt.ArrayLike) -> FloatArray:
    """Return the match part, as a share of 1: half F1, half a judge's score of the same answers.

    Args:
        f1: Mean F1 of answers.
        gpt: Mean of the judge's scores of these answers, as a share of 1; the GPT part is about others.
    """
    return (np.asarray(f1, dtype=np.float64) + np.asarray(gpt, dtype=np.float64)) / 2


def final_score(parts: FloatArray) -> FloatArray:
    """Return the final score: 0.2 accuracy + 0.4 GPT + 0.2 language + 0.2 match.

    Args:
        parts: Accuracy, GPT, language (:func:`language_score`) and match (:func:`match_score`), shape (4, ...), all as
            shares of 1; published tables give GPT and match in hundredths.

    Returns:
        Shape (...).
    """
    return np.tensordot([ACCURACY_WEIGHT, GPT_WEIGHT, LANGUAGE_WEIGHT, MATCH_WEIGHT], parts, axes=1)


def points_without_judge(parts: FloatArray) -> FloatArray:
    """Return what accuracy, language and match F1 add to the final score: 0.2, 0.2 and 0.1 of each.

    Not a final score and not to be compared with one: that lies somewhere from this number to half a point above it, as
    the judge, who has the other half, will have it.

    Args:
        parts: Accuracy, language (:func:`language_score`) and mean F1 of matches, shape (3, ...), as shares of 1.

    Returns:
        Shape (...), at most :data:`WITHOUT_JUDGE_MAX`.
    """
    return np.tensordot([ACCURACY_WEIGHT, LANGUAGE_WEIGHT, MATCH_WEIGHT / 2], parts, axes=1)


def _distance_px(a: CameraPoint, b: CameraPoint) -> float:
    return abs(a[1] - b[1]) + abs(a[2] - b[2])


def _hit_in_order(found: Sequence[CameraPoint], true: Sequence[CameraPoint]) -> list[CameraPoint]:
    left, hit = list(true), []
    for point in found:
        place = min(range(len(left)), key=lambda index: _distance_px(point, left[index]), default=None)
        if place is not None and _distance_px(point, left[place]) < HIT_PX:
            hit.append(left.pop(place))
    return hit


def _hit_most(found: Sequence[CameraPoint], true: Sequence[CameraPoint]) -> list[CameraPoint]:
    """Return the true points of a largest assignment of pairs that hit, by augmenting paths (Kuhn, 1955)."""
    near = [[place for place, b in enumerate(true) if a[0] == b[0] and _distance_px(a, b) < HIT_PX] for a in found]
    taken_by: dict[int, int] = {}

    def place_point(point: int, tried: set[int]) -> bool:
        for place in near[point]:
            if place not in tried:
                tried.add(place)
                if place not in taken_by or place_point(taken_by[place], tried):
                    taken_by[place] = point
                    return True
        return False

    for point in range(len(found)):
        place_point(point, set())
    return [true[place] for place in sorted(taken_by)]


def _f1(right: int, surplus: int, missed: int) -> float:
    return 2 * right / (2 * right + surplus + missed)


def _published_f1(right: int, surplus: int, missed: int) -> float:
    precision = right / (right + surplus + _EPSILON)
    recall = right / (right + missed + _EPSILON)
    return 2 * precision * recall / (precision + recall + _EPSILON)
