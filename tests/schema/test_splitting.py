"""A group goes to one split, decided by its name and the seed alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domainvl.schema.sample import Split
from domainvl.schema.splitting import SplitFractions, assign_split, uniform_from_key

GROUPS = [f"patient-{number}" for number in range(10_000)]


@pytest.mark.parametrize(("val", "test"), [(0.1, 0.1), (0.3, 0.05), (0.0, 0.2), (0.2, 0.0), (0.0, 0.0)])
def test_fractions_are_about_right(val, test):
    counts = Counter(assign_split(group, SplitFractions(val=val, test=test)) for group in GROUPS)

    # Five standard deviations of a binomial share: 5 * sqrt(0.25 / 10000) = 0.025 at most.
    assert counts[Split.VAL] / len(GROUPS) == pytest.approx(val, abs=0.025 if val else 0)
    assert counts[Split.TEST] / len(GROUPS) == pytest.approx(test, abs=0.025 if test else 0)
    assert counts[Split.TRAIN] == len(GROUPS) - counts[Split.VAL] - counts[Split.TEST]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(0, 2**31))
def test_a_group_is_never_divided(group, seed):
    fractions = SplitFractions(val=0.4, test=0.4, seed=seed)

    assert len({assign_split(group, fractions) for _ in range(3)}) == 1


def test_other_groups_do_not_move_a_group():
    fractions = SplitFractions()
    alone = {group: assign_split(group, fractions) for group in GROUPS[:50]}

    together = {group: assign_split(group, fractions) for group in reversed(GROUPS)}

    assert all(together[group] == split for group, split in alone.items())


def test_another_seed_gives_another_split():
    first, second = ([assign_split(group, SplitFractions(seed=seed)) for group in GROUPS] for seed in (0, 1))

    # Independent draws at 0.8/0.1/0.1 agree in 0.66 of the groups.
    agreeing = sum(a == b for a, b in zip(first, second, strict=True))
    assert agreeing / len(GROUPS) == pytest.approx(0.66, abs=0.03)


def test_a_larger_validation_share_keeps_the_test_set():
    small, large = (
        {group for group in GROUPS if assign_split(group, SplitFractions(val=val)) == Split.TEST} for val in (0.1, 0.4)
    )

    assert small == large


def test_another_process_decides_alike():
    code = (
        "from domainvl.schema.splitting import *\n"
        "print([str(assign_split(f'patient-{n}', SplitFractions())) for n in range(200)])"
    )
    # Python's own hash() differs between processes.
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }

    assert outputs == {f"{[str(assign_split(group, SplitFractions())) for group in GROUPS[:200]]}\n".encode()}


def test_numbers_from_keys_are_uniform():
    numbers = [uniform_from_key(group) for group in GROUPS]

    assert all(0 <= number < 1 for number in numbers)
    deciles = Counter(int(number * 10) for number in numbers)
    # Chi-squared with 9 degrees of freedom lies below 27.9 with probability 0.999.
    assert sum((count - 1000) ** 2 / 1000 for count in deciles.values()) < 27.9


@pytest.mark.parametrize("fields", [{"val": 1.0}, {"test": -0.1}, {"train": 0.8}])
def test_impossible_shares_are_refused(fields):
    with pytest.raises(ValidationError, match=next(iter(fields))):
        SplitFractions(**fields)
