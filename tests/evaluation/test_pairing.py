"""Finding the answer to each sample."""

from __future__ import annotations

import pytest

from domainvl.errors import DatasetError
from domainvl.evaluation.pairing import pair_predictions
from domainvl.evaluation.predictions import Prediction


def answers(*ids):
    return [Prediction(sample_id=sample_id, text=sample_id.upper()) for sample_id in ids]


def test_each_sample_gets_its_answer_whatever_their_order(make_sample):
    found = pair_predictions([make_sample("a"), make_sample("b")], answers("b", "a"))
    assert [prediction.text for prediction in found] == ["A", "B"]


def test_answers_to_what_is_not_asked_are_passed_over(make_sample):
    found = pair_predictions([make_sample("a")], answers("x", "a"), not_asked=["x", "y"])
    assert [prediction.text for prediction in found] == ["A"]


def test_all_faults_are_named_with_counts_and_the_first_three(make_sample):
    samples = [make_sample(sample_id) for sample_id in "abcdef"]
    with pytest.raises(DatasetError) as raised:
        pair_predictions(samples, [*answers("a", "a", "z"), *answers("b")])
    message = str(raised.value)
    assert "4 missing (c, d, e, ...)" in message
    assert "1 repeated (a)" in message
    assert "1 unknown (z)" in message
    assert "on this data set" in message


def test_a_repeated_answer_to_what_is_not_asked_is_refused_too(make_sample):
    with pytest.raises(DatasetError, match=r"1 repeated \(x\)"):
        pair_predictions([make_sample("a")], answers("a", "x", "x"), not_asked=["x"])
