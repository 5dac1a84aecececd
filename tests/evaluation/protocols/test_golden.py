"""Every protocol's numbers on a few answers, computed by hand: a change of one needs a changed comment there."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from protocol_cases import read_case, value_of

from domainvl.evaluation.protocols.loading import protocol_names
from domainvl.evaluation.protocols.scoring import pair_items, score_protocol, select_samples

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(folder.name for folder in GOLDEN.iterdir())


@pytest.mark.parametrize("name", CASES)
def test_a_protocol_gives_the_numbers_that_follow_by_hand(name):
    case = read_case(GOLDEN / name)
    selection = select_samples(case.protocol, case.samples)
    lines = score_protocol(case.protocol, pair_items(selection, case.predictions))
    assert selection.reasons == case.left_out
    assert [(line.variant, line.name) for line in lines] == [(line.variant, line.name) for line in case.lines]
    for found, expected in zip(lines, case.lines, strict=True):
        where = f"{expected.variant} {expected.name}"
        value = value_of(found.score)
        if expected.value is None:
            assert math.isnan(value), where
        else:
            assert value == pytest.approx(expected.value, abs=1e-6), where
        counts = (len(found.members), found.unreadable, found.uncounted)
        assert counts == (expected.n, expected.unreadable, expected.uncounted), where


def test_every_protocol_has_a_golden_case():
    assert set(CASES) == set(protocol_names())
