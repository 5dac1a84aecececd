"""Lines that a judge's ratings make: DriveLM's GPT part, match and final score; of other sets, of descriptions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domainvl.evaluation.generating.journal import Journal
from domainvl.evaluation.judge import (
    OUR_PROMPT,
    Judge,
    Judged,
    JudgePrompt,
    judge_answers,
    judged_by_drivelm,
    write_judgements,
)
from domainvl.evaluation.metrics.drivelm import final_score, match_score
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.scoring import LineKey, ScoredLine
from domainvl.evaluation.statistics.scores import CompositeScore, FloatArray, Score, spread_over
from domainvl.schema import Sample, Task

RATING, GPT_PART, MATCH, FINAL = "judge's rating", "judge's rating (GPT part)", "match", "final score"

_GPT_TAG, _MATCH_TAG = 1, 3

_PROMPTS_AT_A_TIME = 64


@dataclass(frozen=True)
class Judging:
    """Who rates, and what it is told.

    Attributes:
        judge: Who rates.
        prompt: What it is told.
    """

    judge: Judge
    prompt: JudgePrompt = OUR_PROMPT


class _Remembering:
    """A judge whose replies are kept as they come: after a kill none is asked for again."""

    def __init__(self, judge: Judge, path: Path) -> None:
        self._judge, self._path = judge, path

    @property
    def identity(self) -> Mapping[str, str]:
        return self._judge.identity

    def reply(self, prompts: Sequence[str]) -> list[str]:
        keys = [hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest() for prompt in prompts]
        with Journal(self._path, self.identity) as journal:
            left = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in journal.answers}
            for start in range(0, len(left), _PROMPTS_AT_A_TIME):
                some = dict(list(left.items())[start : start + _PROMPTS_AT_A_TIME])
                replies = self._judge.reply(list(some.values()))
                journal.add(Prediction(sample_id=key, text=text) for key, text in zip(some, replies, strict=True))
            return [journal.answers[key].text for key in keys]


def judge_system(
    judging: Judging, samples: Sequence[Sample], predictions: Sequence[Prediction], path: Path, journal: Path
) -> Callable[[Mapping[LineKey, ScoredLine]], list[ScoredLine]] | None:
    """Let a judge rate the answers that need one, and keep what it said.

    Of DriveLM those are the answers with its tags 1 and 3, of other data sets descriptions.

    Args:
        judging: Who rates.
        samples: What was asked.
        predictions: The answers, in the order of the samples.
        path: File to write the ratings to.
        journal: File of the replies so far.

    Returns:
        What makes lines of the ratings, given the other lines of the system; None where nothing needs a judge.

    Raises:
        UsageError: If a server refuses a request.
        StoppedError: If a server cannot be reached.
    """
    gpt = _places(samples, lambda sample: judged_by_drivelm(sample, tag=_GPT_TAG))
    match = _places(samples, lambda sample: judged_by_drivelm(sample, tag=_MATCH_TAG))
    described = [] if gpt or match else _places(samples, lambda sample: sample.task is Task.CAPTION)
    rated = [*gpt, *match, *described]
    if not rated:
        return None
    judge = _Remembering(judging.judge, journal)
    judged = judge_answers(
        judge, [samples[place] for place in rated], [predictions[place] for place in rated], judging.prompt
    )
    write_judgements(path, judged)

    def lines(others: Mapping[LineKey, ScoredLine]) -> list[ScoredLine]:
        found = []
        if described:
            found.append(_rating_line(RATING, judged, described, len(samples)))
        if gpt:
            found.append(_rating_line(GPT_PART, _part(judged, slice(0, len(gpt))), gpt, len(samples)))
        if match and ("strict", "match F1") in others:
            of_match = _rating_line(MATCH, _part(judged, slice(len(gpt), len(rated))), match, len(samples))
            found.append(_combine(MATCH, [others["strict", "match F1"], of_match], _match))
        names: list[LineKey] = [("strict", name) for name in ("accuracy", "language")]
        if gpt and match and all(name in others for name in names) and found[-1].name == MATCH:
            accuracy, language = (others[name] for name in names)
            found.append(_combine(FINAL, [accuracy, found[0], language, found[-1]], final_score))
        return found

    return lines


def _places(samples: Sequence[Sample], wanted: Callable[[Sample], bool]) -> list[int]:
    return [place for place, sample in enumerate(samples) if wanted(sample)]


def _part(judged: Judged, which: slice) -> Judged:
    return Judged(judged.judgements[which], judged.about)


def _rating_line(name: str, judged: Judged, places: Sequence[int], item_count: int) -> ScoredLine:
    members = [place for place, one in zip(places, judged.judgements, strict=True) if one.rating is not None]
    return _line(
        name,
        "mean rating by {}, prompt {}".format(judged.about["judge"], judged.about["judge's prompt"]),
        spread_over(judged.score(), list(places), item_count),
        members,
        unreadable=judged.unreadable,
        average=None,
    )


def _combine(name: str, parts: Sequence[ScoredLine], combine: Callable[[FloatArray], FloatArray]) -> ScoredLine:
    members = sorted({int(place) for part in parts for place in part.members})
    score = CompositeScore(tuple(part.score for part in parts), combine, (0.0, 1.0))
    metric = "DriveLM's formula with this judge; not comparable with the challenge's"
    return _line(name, metric, score, members, unreadable=sum(part.unreadable for part in parts), average="formula")


def _match(parts: FloatArray) -> FloatArray:
    return match_score(parts[0], parts[1])


def _line(
    name: str, metric: str, score: Score, members: Iterable[int], *, unreadable: int, average: str | None
) -> ScoredLine:
    return ScoredLine(
        name=name,
        variant="strict",
        average=average,
        metric=metric,
        flaw=None,
        members=np.array(sorted(members), dtype=np.int64),
        score=score,
        right=None,
        unreadable=unreadable,
        uncounted=0,
        higher_is_better=True,
    )
