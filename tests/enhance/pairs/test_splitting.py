"""Which split a group is in."""

from __future__ import annotations

from collections import Counter

import pytest

from domainvl.enhance.pairs.splitting import assign_splits


@pytest.mark.parametrize(
    ("groups", "val_share", "test_share", "expected"),
    [
        (1, 0.1, 0.2, {"train": 1}),
        (2, 0.1, 0.2, {"train": 1, "test": 1}),
        (3, 0.1, 0.2, {"train": 1, "test": 1, "val": 1}),
        (10, 0.1, 0.2, {"train": 7, "test": 2, "val": 1}),
        (10, 0.0, 0.0, {"train": 10}),
        (40, 0.25, 0.5, {"train": 10, "test": 20, "val": 10}),
    ],
)
def test_splits_get_their_share_but_at_least_one_group(
    groups: int, val_share: float, test_share: float, expected: dict[str, int]
) -> None:
    names = [f"scene {number}" for number in range(groups)]
    splits = assign_splits(names, val_share=val_share, test_share=test_share, seed=0)
    assert sorted(splits) == sorted(names)
    assert Counter(splits.values()) == expected


def test_splits_depend_on_names_and_seed_alone() -> None:
    names = [f"scene {number}" for number in range(20)]
    first = assign_splits(names, val_share=0.2, test_share=0.2, seed=1)
    assert assign_splits([*reversed(names), *names], val_share=0.2, test_share=0.2, seed=1) == first
    assert assign_splits(names, val_share=0.2, test_share=0.2, seed=2) != first
