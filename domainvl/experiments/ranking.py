"""Ranks the trials of a sweep by held-out answers, and says what of it is more than chance. Pure functions."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from domainvl.evaluation.items import FREE_TEXT_TASKS, ItemScore
from domainvl.evaluation.statistics.bootstrap import Interval, clustered_bootstrap, paired_difference
from domainvl.evaluation.tables import format_markdown
from domainvl.experiments.grid import Trial

_CONFIDENCE = 0.95
_RESAMPLES = 10_000
"""Of many trials only a small tail is left outside an interval of differences, which takes more resamples to see."""


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        trial: The trial.
        scores: Scores of its answers to the held-out samples, the same samples in the same order in each trial.
        loss: Its held-out loss, None where there was none.
        failure: Why it was not finished; None if it was.
    """

    trial: Trial
    scores: tuple[ItemScore, ...] = ()
    loss: float | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Ranked:
    """A trial in its place.

    Attributes:
        outcome: What became of it.
        right: Share of held-out answers that are right, with its interval.
        behind: By how much the best is better, with its interval; None of the best itself.
    """

    outcome: Outcome
    right: Interval
    behind: Interval | None


def rank(outcomes: Sequence[Outcome]) -> list[Ranked]:
    """Order the finished trials by their share of right answers; of equal shares the lower held-out loss is better.

    Intervals resample whole groups. Those of differences are widened so that all pairs of trials hold together at 95 %
    (Bonferroni), since the best was picked by the very samples that it is compared on.

    Args:
        outcomes: All trials, those that failed included, which are left out.
    """
    finished = [outcome for outcome in outcomes if outcome.failure is None]
    finished.sort(key=lambda outcome: (-_mean(outcome), math.inf if outcome.loss is None else outcome.loss))
    confidence = pairwise_confidence(len(finished))
    ranked = []
    for outcome in finished:
        right, groups = _right(outcome)
        behind = None
        if outcome is not finished[0]:
            behind = paired_difference(
                _right(finished[0])[0], right, groups, resamples=_RESAMPLES, confidence=confidence
            )
        interval = clustered_bootstrap(right, groups, resamples=_RESAMPLES, confidence=_CONFIDENCE)
        ranked.append(Ranked(outcome, interval, behind))
    return ranked


def pairwise_confidence(trials: int) -> float:
    """Return the confidence of one difference at which all differences of so many trials hold together at 95 %."""
    return 1 - (1 - _CONFIDENCE) / max(1, math.comb(trials, 2))


def table(ranked: Sequence[Ranked], failed: Sequence[Outcome]) -> str:
    """Lay out the trials as a Markdown table, the best first, failed ones last."""
    head = ["rank", "trial", "right", "behind the best", "held-out loss"]
    lines = [
        [
            str(number),
            one.outcome.trial.name,
            _percent(one.right),
            "-" if one.behind is None else _points(one.behind),
            "-" if one.outcome.loss is None else f"{one.outcome.loss:.4f}",
        ]
        for number, one in enumerate(ranked, start=1)
    ]
    lines += [["-", outcome.trial.name, f"failed: {outcome.failure}", "-", "-"] for outcome in failed]
    return format_markdown([head, *lines])


def verdict(ranked: Sequence[Ranked]) -> str:
    """Say which trial is the best, and whether its lead on the next is more than chance."""
    best = ranked[0]
    said = f"Best: {best.outcome.trial.name}, {_percent(best.right)} right of {best.right.n} held-out answers "
    said += f"in {best.right.groups} groups."
    lead = ranked[1].behind if len(ranked) > 1 else None
    if lead is None:
        return said
    next_name = ranked[1].outcome.trial.name
    if lead.low > 0:
        said += f" Its lead on the next, {next_name}, of {_points(lead)} points is more than chance."
    else:
        said += f" Its lead on the next, {next_name}, of {_points(lead)} points may be chance: either will do."
    level = f"{100 * pairwise_confidence(len(ranked)):.4g} %"
    return (
        f"{said}\nIntervals resample whole groups: 95 % of shares, {level} of differences, so that all pairs of "
        "trials hold together at 95 %. The share of the best is too good, since these samples chose it: what it is "
        "worth, the test split says."
    )


def as_csv(ranked: Sequence[Ranked], failed: Sequence[Outcome]) -> str:
    """Return one line a trial with what was varied, shares between 0 and 1 and their intervals."""
    every = [*(one.outcome for one in ranked), *failed]
    keys = list(every[0].trial.values) if every else []
    measured = ["right", "low", "high", "samples", "groups", "behind_best", "behind_low", "behind_high"]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["rank", "trial", *keys, *measured, "held_out_loss", "failure"])
    for number, one in enumerate(ranked, start=1):
        right, behind = one.right, one.behind
        differences = ["", "", ""] if behind is None else [behind.mean, behind.low, behind.high]
        trial = one.outcome.trial
        numbers = [right.mean, right.low, right.high, right.n, right.groups, *differences, one.outcome.loss]
        writer.writerow([number, trial.name, *trial.values.values(), *numbers, ""])
    for outcome in failed:
        trial = outcome.trial
        writer.writerow(["", trial.name, *trial.values.values(), *[""] * (len(measured) + 1), outcome.failure])
    return file.getvalue()


def _right(outcome: Outcome) -> tuple[list[float], list[str]]:
    """Return whether each answer that counts is right, and its group; free text has many right answers."""
    counted = [score for score in outcome.scores if score.task not in FREE_TEXT_TASKS]
    return [float(score.correct) for score in counted], [score.group for score in counted]


def _mean(outcome: Outcome) -> float:
    right, _ = _right(outcome)
    return sum(right) / len(right)


def _percent(interval: Interval) -> str:
    return f"{100 * interval.mean:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _points(interval: Interval) -> str:
    return f"{100 * interval.mean:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
