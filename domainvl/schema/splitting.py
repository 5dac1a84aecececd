"""Which split a group belongs to, decided from its name alone.

A group (patient, scene, log, spatial block) is never divided, and adding data never moves a group that was
there before.
"""

from __future__ import annotations

import hashlib

from pydantic import BaseModel, ConfigDict, Field

from domainvl.schema.sample import Split


class SplitFractions(BaseModel):
    """Shares of groups that go to validation and to test; the rest is for training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    val: float = Field(default=0.1, ge=0.0, lt=1.0)
    test: float = Field(default=0.1, ge=0.0, lt=1.0)
    seed: int = 0


def assign_split(group: str, fractions: SplitFractions) -> Split:
    """Return the split of a group.

    Args:
        group: Name of the group.
        fractions: Shares of validation and test, and the seed.
    """
    draw = uniform_from_key(f"{fractions.seed}/{group}")
    if draw < fractions.test:
        return Split.TEST
    if draw < fractions.test + fractions.val:
        return Split.VAL
    return Split.TRAIN


def uniform_from_key(key: str) -> float:
    """Return a number in [0, 1) that depends on the key alone, equal on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64
