"""Counters with a ceiling, even samples of distinct things, and summaries of counted numbers."""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter

import pytest

from domainvl.viewing.tally import BoundedCounter, DistinctSample, summarise, summarise_shares


def filled(capacity, *values):
    counter = BoundedCounter(capacity)
    for value in values:
        counter.add(value)
    return counter


def test_a_counter_below_its_capacity_is_exact():
    counter = filled(3, *"abbccc")

    assert (counter.counts, counter.other, counter.total) == ({"a": 1, "b": 2, "c": 3}, 0, 6)
    assert counter.top() == [("c", 3), ("b", 2), ("a", 1)]
    assert counter.top(1) == [("c", 3)]


def test_equals_are_in_alphabetical_order():
    assert filled(9, *"zxy").top() == [("x", 1), ("y", 1), ("z", 1)]


def test_what_first_comes_above_the_capacity_is_counted_together():
    counter = filled(2, *"abcadb")

    assert (counter.counts, counter.other, counter.total) == ({"a": 2, "b": 2}, 2, 6)


def test_counters_add_up():
    counter = filled(2, *"ab")
    counter.add_all(filled(1, *"bbc"))

    assert (counter.counts, counter.other, counter.total) == ({"a": 1, "b": 3}, 1, 5)


class Facts:
    def __init__(self):
        self.uses = 0


def sampled(capacity, keys):
    sample = DistinctSample(Facts, capacity)
    for key in keys:
        record = sample.record(key)
        if record is not None:
            record.uses += 1
    return sample


def test_a_sample_below_its_capacity_has_every_key():
    sample = sampled(10, ["a", "b", "a", "a"])

    assert sample.exact
    assert sample.distinct == 2
    assert sorted(record.uses for record in sample.records) == [1, 3]
    assert sample.scale(2) == 2


def lowest(keys, number):
    return sorted(keys, key=lambda key: hashlib.blake2b(key.encode(), digest_size=8).digest())[:number]


@pytest.mark.parametrize("order", ["there", "back", "twice"])
def test_above_it_the_keys_of_the_lowest_hashes_are_kept_with_all_their_uses(order):
    keys = [f"key {number}" for number in range(500)]
    read = {"there": keys, "back": keys[::-1], "twice": keys + keys}[order]
    sample = sampled(20, read)

    assert not sample.exact
    assert [record.uses for record in sample.records] == [2 if order == "twice" else 1] * 20
    kept = [key for key in keys if sample.record(key) is not None]
    assert sorted(kept) == sorted(lowest(keys, 20))


def test_the_number_of_keys_is_estimated():
    # The relative error of the estimate is about 1 / sqrt(k): 3 % for 1,000. Three times that is never exceeded here.
    sample = sampled(1000, (f"key {number}" for number in range(20_000)))

    assert sample.distinct == pytest.approx(20_000, rel=0.095)
    assert sample.scale(500) == pytest.approx(sample.distinct / 2, abs=1)


@pytest.mark.parametrize("values", [[3], [1, 2], [5, 1, 1], [4, 2, 2, 9], list(range(1, 101)), [7] * 19 + [8]])
def test_a_summary_is_that_of_the_values(values):
    ordered = sorted(values)
    # Least value that at least 95 % do not exceed.
    p95 = next(value for value in ordered if sum(other <= value for other in values) >= 0.95 * len(values))
    expected = {
        "count": len(values),
        "min": min(values),
        "median": statistics.median(values),
        "mean": statistics.mean(values),
        "p95": p95,
        "max": max(values),
    }

    assert summarise(Counter(values)) == expected
    assert summarise_shares(value / 4 for value in values) == pytest.approx(
        {key: value if key == "count" else value / 4 for key, value in expected.items()}
    )


def test_there_is_no_summary_of_nothing():
    assert summarise({}) is None
    assert summarise({3: 0}) is None
    assert summarise_shares([]) is None
