"""Options of a choice: the right one may stand anywhere."""

from __future__ import annotations

from collections import Counter

from domainvl.schema.questions import choose_options


def test_every_place_and_every_other_option_is_equally_likely():
    places, others = Counter(), Counter()
    for number in range(1200):
        answer = choose_options("liver", ["spleen", "liver", "lung", "heart", "aorta"], str(number))
        assert answer.options[answer.correct] == "liver"
        assert len(set(answer.options)) == 4
        places[answer.correct] += 1
        others.update(set(answer.options) - {"liver"})

    # 300 of each place, sd sqrt(1200 * 3 / 16) = 15; each other one 900 times, sd the same; five of them.
    assert set(places) == {0, 1, 2, 3}
    assert all(abs(count - 300) < 75 for count in places.values())
    assert all(abs(others[name] - 900) < 75 for name in ("spleen", "lung", "heart", "aorta"))


def test_the_order_of_the_wrong_ones_changes_nothing():
    wrong = ["spleen", "lung", "heart", "aorta", "lung"]

    assert choose_options("liver", wrong, "k") == choose_options("liver", wrong[::-1], "k")
    assert choose_options("liver", wrong, "k") != choose_options("liver", wrong, "l")


def test_fewer_options_where_there_are_fewer_wrong_ones():
    assert len(choose_options("liver", ["spleen"], "k").options) == 2
    assert len(choose_options("liver", ["a", "b", "c", "d"], "k", most=3).options) == 3
    assert choose_options("liver", ["liver"], "k") is None
