"""Shards are disjoint, complete and of equal size, whoever computes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.engine import Shard
from domainvl.errors import UsageError


@given(units=st.integers(0, 60), count=st.integers(1, 12))
def test_shards_share_out_all_units_evenly(units, count):
    shares = [Shard(index, count).select([f"unit {n}" for n in range(units)]) for index in range(1, count + 1)]

    assert sorted(pair for share in shares for pair in share) == [(n, f"unit {n}") for n in range(units)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(share == sorted(share) for share in shares)


def test_text_is_read():
    assert Shard.parse("2/4") == Shard(2, 4)
    assert str(Shard(2, 4)) == "2-of-4"


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "2", "2/4/6", "-1/4", "a/b", "1.5/2", " 1/2"])
def test_nonsense_is_refused(text):
    with pytest.raises(UsageError, match="i from 1 to n, got"):
        Shard.parse(text)
