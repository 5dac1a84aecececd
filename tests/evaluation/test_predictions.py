"""Predictions on disk: round trip, all or nothing, and each way in which a line can be wrong."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from domainvl.errors import DatasetError, InputNotFoundError
from domainvl.evaluation.predictions import Prediction, read_predictions, write_predictions

GOOD = {"sample_id": "a/1", "text": "yes", "likelihood": 0.5}


def test_what_is_written_is_read_back(tmp_path):
    predictions = [
        Prediction(sample_id="b", text="zwei Häuser\nund \u2028 <box>[[1, 2, 3, 4]]</box>\r", likelihood=1.0),
        Prediction(sample_id="a", text="", likelihood=0.0),
    ]
    path = tmp_path / "predictions.jsonl"
    write_predictions(path, predictions)
    assert read_predictions(path) == predictions
    lines = path.read_bytes().decode().split("\n")
    assert "zwei Häuser" in lines[0]
    assert json.loads(lines[1]) == {"sample_id": "a", "text": "", "likelihood": 0.0}
    assert lines[2:] == [""]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "predictions.jsonl"
    write_predictions(path, [Prediction(**GOOD)])
    before = path.read_bytes()

    def broken():
        yield Prediction(sample_id="c", text="no", likelihood=0.1)
        raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError, match="the model failed"):
        write_predictions(path, broken())
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["predictions.jsonl"]


def test_a_sample_is_not_written_twice(tmp_path):
    with pytest.raises(DatasetError, match="'a/1' was predicted before"):
        write_predictions(tmp_path / "p.jsonl", [Prediction(**GOOD), Prediction(**GOOD)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("second_line", "message"),
    [
        ('{"sample_id": "b", "text"', "one JSON object"),
        ('["b", "no", 0.5]', "object"),
        ("\n" + json.dumps(GOOD | {"sample_id": "b"}), "one JSON object"),  # a blank line before another
        ('{"sample_id": "b", "likelihood": 0.5}', "text: "),
        ('{"text": "no", "likelihood": 0.5}', "sample_id: "),
        ('{"sample_id": "", "text": "no", "likelihood": 0.5}', "sample_id: "),
        ('{"sample_id": "b", "text": 3, "likelihood": 0.5}', "text: "),
        ('{"sample_id": "b", "text": "no", "likelihood": "0.5"}', "likelihood: "),
        ('{"sample_id": "b", "text": "no", "likelihood": 1.01}', "likelihood: "),
        ('{"sample_id": "b", "text": "no", "likelihood": -0.7}', "likelihood: "),
        ('{"sample_id": "b", "text": "no", "likelihood": NaN}', "likelihood: "),
        ('{"sample_id": "b", "text": "no", "options": {"A": 0.6, "B": 0.6}}', r"options: .*add up to 1, got 1\.2"),
        ('{"sample_id": "b", "text": "no", "options": {"A": 0.998}}', "options: .*add up to 1"),
        ('{"sample_id": "b", "text": "no", "options": {}}', "options: .*add up to 1"),
        ('{"sample_id": "b", "text": "no", "likelihood": 0.5, "score": 1}', "score: "),
        ('{"sample_id": "a/1", "text": "no", "likelihood": 0.5}', "predicted before"),
    ],
)
def test_a_wrong_line_is_named_by_file_and_line(tmp_path, second_line, message):
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + second_line + "\n")
    with pytest.raises(DatasetError, match=message) as caught:
        read_predictions(path)
    assert caught.value.where == f"{path}:2"


def test_rounded_likelihoods_of_options_are_taken(tmp_path):
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps({"sample_id": "a", "text": "A", "options": {"A": 0.333, "B": 0.333, "C": 0.333}}))
    assert read_predictions(path)[0].options == {"A": 0.333, "B": 0.333, "C": 0.333}


def test_a_file_that_ends_within_a_letter_is_said_to_be_cut_off(tmp_path):
    path = tmp_path / "predictions.jsonl"
    write_predictions(path, [Prediction(**GOOD), Prediction(sample_id="b", text="Häuser")])
    path.write_bytes(path.read_bytes()[: path.read_bytes().index("ä".encode()) + 1])
    with pytest.raises(DatasetError, match="the file ends within a line, after 1 whole answers") as caught:
        read_predictions(path)
    assert caught.value.where == f"{path}:2"


def test_blank_lines_may_end_a_file(tmp_path):
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n  \n")
    assert read_predictions(path) == [Prediction(**GOOD)]


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(InputNotFoundError, match="there is no such file"):
        read_predictions(tmp_path / "none.jsonl")


def test_a_prediction_does_not_change():
    with pytest.raises(ValidationError):
        Prediction(**GOOD).text = "no"
