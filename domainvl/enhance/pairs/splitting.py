"""Which split a group of pairs is in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from domainvl.enhance.pairs.records import Split


def assign_splits(groups: Iterable[str], *, val_share: float, test_share: float, seed: int) -> dict[str, Split]:
    """Divide groups between training, validation and test.

    The order is that of a hash of name and seed, so that it does not depend on how the groups came. Test and
    validation get their share of the groups, but at least one each as long as one is left for training.

    Args:
        groups: Names; any number of times each.
        val_share: Share for validation, 0 for none.
        test_share: Share for the test, 0 for none.
        seed: Decides the order.
    """
    ordered = sorted(set(groups), key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())
    left = len(ordered)
    splits: list[Split] = []
    shares: tuple[tuple[Split, float], ...] = (("test", test_share), ("val", val_share))
    for split, share in shares:
        wanted = max(1, round(share * len(ordered))) if share > 0 else 0
        count = max(0, min(wanted, left - 1))
        splits += [split] * count
        left -= count
    splits += ["train"] * left
    return dict(zip(ordered, splits, strict=True))
