"""``domainvl specialist``: train and predict from the command line."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from domainvl.cli.specialist import app
from domainvl.errors import UsageError
from domainvl.evaluation.predictions import read_predictions
from domainvl.schema import Split, read_samples


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_train_and_predict(squares, tmp_path):
    trained = run("train", "language-only", "--data", squares, "--epochs", 2, "--out", tmp_path / "words")
    assert trained.exit_code == 0
    assert "language-only, pretraining none: 24 of 36 samples" in trained.stdout
    assert "left out 12 answers of kind boxes are no closed answers" in trained.stdout
    assert "of 2 kept; score" in trained.stdout

    out = tmp_path / "words.jsonl"
    answered = run("predict", tmp_path / "words", "--data", squares, "--out", out)
    assert f"language-only, pretraining none: 12 answers in {out}" in answered.stdout
    assert "6 empty: 6 answers of kind boxes are no closed answers" in answered.stdout
    predictions = {prediction.sample_id: prediction for prediction in read_predictions(out)}
    samples = list(read_samples(squares, Split.TEST))
    assert predictions.keys() == {sample.id for sample in samples}
    assert all(bool(predictions[s.id].text) == (s.answer.kind != "boxes") for s in samples)


def test_the_majority_has_the_same_two_commands(squares, tmp_path):
    run("train", "majority", "--data", squares, "--out", tmp_path / "majority")
    answered = run("predict", tmp_path / "majority", "--data", squares, "--out", tmp_path / "out.jsonl")
    assert "majority, pretraining none: 18 answers" in answered.stdout
    assert "empty" not in answered.stdout


def test_refusals(squares, tmp_path):
    with pytest.raises(UsageError, match="KIND must be one of classifier, vqa, .*, got 'resnet'"):
        run("train", "resnet", "--data", squares, "--out", tmp_path / "out")
    with pytest.raises(UsageError, match="--split must be one of train, val, test, got 'tset'"):
        run("predict", tmp_path, "--data", squares, "--split", "tset", "--out", tmp_path / "out.jsonl")
    (tmp_path / "out.jsonl").write_text("")
    with pytest.raises(UsageError, match="it exists"):
        run("predict", tmp_path, "--data", squares, "--out", tmp_path / "out.jsonl")
