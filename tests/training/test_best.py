"""Which look is the best, and when patience is at its end."""

from __future__ import annotations

import json
import math

import pytest

from domainvl.errors import UsageError
from domainvl.training.best import BestBy, BestLook, Look


def best_of(by: BestBy, *looks: Look) -> Look | None:
    chosen = BestLook(by)
    for look in looks:
        chosen.add(look)
    return chosen.best


def test_the_lowest_loss_and_of_equal_ones_the_earlier() -> None:
    looks = [Look(1, 3.0), Look(2, 1.0), Look(3, 1.0), Look(4, 2.0)]
    assert best_of("loss", *looks) == looks[1]


def test_the_highest_score_of_equal_ones_the_lower_loss_of_equal_ones_the_earlier() -> None:
    looks = [Look(1, 1.0, 0.5), Look(2, 3.0, 0.7), Look(3, 2.0, 0.7), Look(4, 2.0, 0.7), Look(5, 0.1, 0.6)]
    assert best_of("answers", *looks) == looks[2]


def test_a_score_of_nothing_right_is_a_look_too() -> None:
    assert best_of("answers", Look(1, 2.0, 0.0)) == Look(1, 2.0, 0.0)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_never_the_best(loss: float) -> None:
    assert best_of("loss", Look(1, loss), Look(2, 9.0), Look(3, loss)) == Look(2, 9.0)
    assert best_of("answers", Look(1, loss, 1.0), Look(2, 9.0, 0.1)) == Look(2, 9.0, 0.1)
    assert best_of("loss", Look(1, loss)) is None


def test_answers_that_cannot_be_scored_do_not_decide() -> None:
    with pytest.raises(UsageError, match="validation.best_by is 'answers', but no held-out answer can be scored"):
        BestLook("answers").add(Look(1, 1.0))


def test_patience_counts_looks_in_a_row() -> None:
    chosen = BestLook("loss", patience=2)
    stops = []
    for step, loss in enumerate([3.0, 4.0, 2.0, 2.0, 2.5], start=1):
        assert chosen.add(Look(step, loss)) == (step in (1, 3))
        stops.append(chosen.should_stop)
    assert stops == [False, False, False, False, True]
    assert chosen.stop_message() == "stopped early at step 5: 2 looks without a better one, the best was at step 3"


def test_without_patience_it_never_stops() -> None:
    chosen = BestLook("loss")
    for step in range(1, 50):
        chosen.add(Look(step, float(step)))
        assert not chosen.should_stop


def test_a_resumed_run_chooses_as_an_uninterrupted_one() -> None:
    looks = [Look(1, 3.0, 0.25), Look(2, 2.0, 0.5), Look(3, 4.0, 0.5), Look(4, 4.0, 0.25)]
    whole, part = BestLook("answers", 2), BestLook("answers", 2)
    for look in looks:
        whole.add(look)
    for look in looks[:3]:
        part.add(look)
    resumed = BestLook("answers", 2)
    resumed.restore(json.loads(json.dumps(part.state())))
    assert resumed.stop_message() == part.stop_message()
    assert resumed.add(looks[3]) is False
    assert resumed.should_stop
    assert (resumed.best, resumed.state()) == (whole.best, whole.state())
    assert BestLook("loss").state() == {"best": None, "last_step": -1, "looks_without_better": 0}
