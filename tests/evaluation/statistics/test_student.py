"""Student's t for bootstrap tails: by tables, in closed form, and there and back."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest

from domainvl.evaluation.statistics.student import t_quantile, tail_of_p, two_sided_p


def test_the_tail_by_tables():
    # Student's t with 9 degrees of freedom has 2.5 % beyond 2.262157; times root 10/9 it is 2.384522.
    assert tail_of_p(0.05, 10) == pytest.approx(NormalDist().cdf(-2.384522), rel=1e-5)
    assert tail_of_p(0.05, 10) == pytest.approx(0.00855, abs=1e-5)
    # Of two groups it is tan(pi (0.5 - p / 2)), in closed form.
    assert tail_of_p(0.5, 2) == pytest.approx(NormalDist().cdf(-(2**0.5) * math.tan(math.pi / 4)))


def test_many_groups_have_the_normal_tail():
    assert tail_of_p(0.05, 10**7) == pytest.approx(0.025, abs=1e-6)
    assert two_sided_p(0.001, 10**7) == pytest.approx(0.002, abs=1e-6)


@pytest.mark.parametrize("groups", [2, 6, 20, 400])
@pytest.mark.parametrize("p", [0.9, 0.05, 0.004])
def test_one_is_the_inverse_of_the_other(p, groups):
    tail = tail_of_p(p, groups)
    if tail > 1e-300:
        assert two_sided_p(tail, groups) == pytest.approx(p, rel=1e-6)


def test_a_single_group_says_nothing():
    assert (tail_of_p(0.05, 1), two_sided_p(0.001, 1)) == (0.0, 1.0)
    assert (tail_of_p(0.05, 0), two_sided_p(0.001, 0)) == (0.0, 1.0)


def test_half_of_the_resamples_and_more_are_no_evidence():
    assert two_sided_p(0.5, 10) == two_sided_p(1.0, 10) == 1.0
    assert 0.9 < two_sided_p(0.47, 10) < 1.0


def test_the_quantile_by_tables():
    assert t_quantile(0.975, 10) == pytest.approx(2.262157, abs=1e-6)
    assert t_quantile(0.5, 3) == pytest.approx(0.0, abs=1e-12)
