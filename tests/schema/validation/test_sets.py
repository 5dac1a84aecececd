"""Near duplicates by banding, against a comparison of every pair."""

from __future__ import annotations

import numpy as np
import pytest

from domainvl.schema.validation.sets import near_pairs


def flipped(number: int, bits: list[int]) -> int:
    for bit in bits:
        number ^= 1 << bit
    return number


def pairs(looks, splits, pixels):
    return list(
        near_pairs(np.array(looks, np.uint64), np.array(splits, np.int64), np.array(pixels, np.uint64)),
    )


@pytest.mark.parametrize(
    ("bits", "found"),
    [
        ([], True),
        ([0], True),
        ([63], True),
        ([0, 16, 32], True),  # one band is left as it was
        ([16, 32, 48], True),
        ([5, 6, 7], True),
        ([0, 16, 32, 48], False),  # no band is, and four is too many anyway
        ([1, 2, 3, 4], False),  # three bands agree, but four is too many
    ],
)
def test_three_bits_are_near_and_four_are_not(bits, found):
    look = 0x0123_4567_89AB_CDEF

    assert pairs([look, flipped(look, bits)], [0, 1], [1, 2]) == ([(1, 0, len(bits))] if found else [])


def test_same_split_and_same_pixels_are_no_pair():
    assert pairs([7, 7], [1, 1], [1, 2]) == []
    assert pairs([7, 7], [0, 1], [1, 1]) == []
    assert pairs([7, 7], [0, 1], [1, 2]) == [(1, 0, 0)]


def test_the_later_split_is_compared_with_the_earlier_and_the_nearest_is_named():
    looks = [flipped(99, [1, 2]), 99, flipped(99, [40])]

    assert pairs(looks, [0, 2, 1], [1, 2, 3]) == [(1, 2, 1), (2, 0, 3)]


def test_banding_finds_what_comparing_every_pair_finds():
    rng = np.random.default_rng(0)
    bases = rng.integers(0, 2**63, 40, np.uint64)
    looks = [flipped(int(rng.choice(bases)), rng.integers(0, 64, rng.integers(0, 6)).tolist()) for _ in range(600)]
    splits = rng.integers(0, 3, 600)
    expected = {}
    for later in range(600):
        distances = [
            (bin(looks[later] ^ looks[earlier]).count("1"), earlier)
            for earlier in range(600)
            if splits[earlier] < splits[later]
        ]
        if distances and min(distances)[0] <= 3:
            expected[later] = min(distances)[0]

    found = {later: bits for later, _, bits in pairs(looks, splits, range(1, 601))}

    assert found == expected
    assert len(expected) > 100
