"""What is drawn depends on the key alone, and no side of a question has more turns than another."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from domainvl.converters.driving.drawing import drawn_order, take_turns


@given(st.lists(st.text(max_size=3), unique=True), st.text(max_size=3), st.randoms(use_true_random=False))
def test_the_order_depends_on_names_and_key_alone(names, key, random):
    shuffled = random.sample(names, len(names))
    assert drawn_order(shuffled, shuffled, key) == drawn_order(names, names, key)
    assert sorted(drawn_order(names, names, key)) == sorted(names)


def test_each_order_is_drawn_as_often_as_the_others():
    orders = Counter(tuple(drawn_order("abc", "abc", str(key))) for key in range(6000))
    assert len(orders) == 6
    assert all(abs(count - 1000) < 150 for count in orders.values())


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 99))
def test_sides_have_equally_many_turns_until_one_has_no_more(counts, key):
    sides = [[(side, number) for number in range(count)] for side, count in enumerate(counts)]
    taken = list(take_turns(sides, str(key)))
    turns = Counter(side for side, _ in taken)
    assert max(turns.values(), default=0) - min(turns[side] for side in range(len(sides))) <= 1
    # In their own order, and the side whose turn it is has none left.
    for side in range(len(sides)):
        assert [item for item in taken if item[0] == side] == sides[side][: turns[side]]
    first = taken[0][0] if taken else None
    following = None if first is None else (first + len(taken)) % len(sides)
    assert min(counts) == 0 if following is None else turns[following] == counts[following]


def test_each_side_begins_as_often_as_the_others():
    begins = Counter(next(take_turns(["a", "b", "c"], str(key))) for key in range(3000))
    assert all(abs(begins[side] - 1000) < 150 for side in "abc")
