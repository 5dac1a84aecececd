"""Ranks, intervals and what is said of them, on scores made by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pytest

from domainvl.evaluation.items import ItemScore
from domainvl.evaluation.statistics.bootstrap import paired_difference
from domainvl.experiments.grid import Trial
from domainvl.experiments.ranking import Outcome, as_csv, pairwise_confidence, rank, table, verdict
from domainvl.schema import Task
from domainvl.training.recipe import Recipe

RECIPE = Recipe(name="medical/lora", model="tiny", method="lora")


def scores(right: Sequence[bool], task: Task = Task.VQA) -> tuple[ItemScore, ...]:
    return tuple(
        ItemScore(
            sample_id=f"{number}",
            group=f"g{number // 2}",
            domain="medical",
            task=task,
            correct=correct,
            iou=None,
            count_error=None,
            empty=False,
            tolerance=None,
            measure_error=None,
        )
        for number, correct in enumerate(right)
    )


def outcome(name: str, right: Sequence[bool], loss: float | None = None) -> Outcome:
    return Outcome(Trial(name, {"lora.rank": name}, RECIPE), scores(right), loss)


GOOD, MIDDLE, BAD = [True] * 36 + [False] * 4, [True] * 35 + [False] * 5, [False] * 30 + [True] * 10


def test_more_right_answers_rank_first_and_differences_are_paired() -> None:
    ranked = rank([outcome("bad", BAD), outcome("good", GOOD), outcome("middle", MIDDLE)])
    assert [one.outcome.trial.name for one in ranked] == ["good", "middle", "bad"]
    assert [one.right.mean for one in ranked] == [0.9, 0.875, 0.25]
    assert ranked[0].behind is None
    groups = [f"g{number // 2}" for number in range(40)]
    assert ranked[2].behind == paired_difference(GOOD, BAD, groups, resamples=10_000, confidence=1 - 0.05 / 3)
    assert ranked[0].right.groups == 20


def test_of_equal_shares_the_lower_loss_is_better_and_then_the_earlier() -> None:
    trials = [outcome("a", GOOD), outcome("b", GOOD, 2.0), outcome("c", GOOD, 1.0), outcome("d", GOOD, 1.0)]
    assert [one.outcome.trial.name for one in rank(trials)] == ["c", "d", "b", "a"]


def test_what_cannot_be_scored_and_what_failed_does_not_count() -> None:
    captions = scores([False] * 10, Task.CAPTION)
    mixed = Outcome(Trial("mixed", {}, RECIPE), scores([True, False]) + captions)
    failed = Outcome(Trial("failed", {}, RECIPE), failure="diverged")
    (only,) = rank([failed, mixed])
    assert (only.right.mean, only.right.n) == (0.5, 2)


def test_all_pairs_hold_together() -> None:
    assert [pairwise_confidence(trials) for trials in (1, 2, 3, 8)] == pytest.approx(
        [0.95, 0.95, 1 - 0.05 / 3, 1 - 0.05 / 28]
    )


def test_a_lead_that_may_be_chance_is_said_to_be() -> None:
    small = verdict(rank([outcome("good", GOOD), outcome("middle", MIDDLE)]))
    assert small.startswith("Best: good, 90.0 % [")
    assert "Its lead on the next, middle, of 2.5 [0.0, 7.5] points may be chance" in small
    large = verdict(rank([outcome("bad", BAD), outcome("good", GOOD)]))
    assert "Its lead on the next, bad, of 65.0 [" in large
    assert "is more than chance" in large
    assert "may be chance" not in large
    assert "lead" not in verdict(rank([outcome("good", GOOD)]))


def test_table_and_file_hold_every_trial() -> None:
    failed = Outcome(Trial("32", {"lora.rank": "32"}, RECIPE), failure="diverged at step 3, loss is nan")
    ranked = rank([outcome("8", BAD, 1.5), outcome("16", GOOD)])
    lines = table(ranked, [failed]).splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["16", "8", "32"]
    assert "| 1.5000 " in lines[3]
    assert "failed: diverged at step 3, loss is nan" in lines[4]
    rows = list(csv.DictReader(io.StringIO(as_csv(ranked, [failed]))))
    assert [(row["rank"], row["lora.rank"]) for row in rows] == [("1", "16"), ("2", "8"), ("", "32")]
    assert [row["right"] for row in rows] == ["0.9", "0.25", ""]
    assert float(rows[1]["behind_best"]) == pytest.approx(0.65)
    assert float(rows[1]["held_out_loss"]) == 1.5
    assert [row["failure"] for row in rows] == ["", "", "diverged at step 3, loss is nan"]
