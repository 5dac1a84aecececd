"""METEOR from the counts of its jar, by hand and against the jar."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from domainvl.errors import DomainvlError
from domainvl.evaluation.metrics import meteor

# What the jar (METEOR 1.5, pycocoevalcap 1.2) counts for an answer of two equal words of three, one a stem; the words
# of the answer and of the reference, those without content, then by kind of match.
COUNTS = [2.0, 3.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, *[0.0] * 10, 1.0, 2.0, 2.0]


def fake_java(monkeypatch, stdout: str, returncode: int = 0) -> list[str]:
    """Let the jar be there and say so much; returns what it is told."""
    told: list[str] = []

    def run(*args, **kwargs):
        told.append(kwargs["input"])
        return subprocess.CompletedProcess(args, returncode, stdout, "boom")

    monkeypatch.setattr(meteor, "_jar", lambda: Path("folder/meteor-1.5.jar"))
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", run)
    return told


def test_the_score_is_made_of_the_counts(monkeypatch):
    line = " ".join(map(str, COUNTS))
    told = fake_java(monkeypatch, f"{line}\n{line}\n")
    score = meteor.meteor_score([("fast", "dogs"), ("x|||y",)], [[("the", "fast", "dog"), ("a",)], [("b",)]])

    assert score is not None
    assert told == ["SCORE ||| the fast dog ||| a ||| fast dogs\nSCORE ||| b ||| xy\n"]
    # Weights of 1 and 0.6 for content words at 0.75; function words at 0.25. One piece of two words: 1/2.
    matched = 0.75 * 1 + 0.75 * 0.6
    precision, recall = matched / (0.75 * 2), matched / (0.75 * 2 + 0.25)
    mean = precision * recall / (0.85 * precision + 0.15 * recall)
    assert score.combine(score.terms) == pytest.approx([mean * (1 - 0.6 * 0.5**0.2)] * 2)


def test_a_whole_match_is_one_and_no_match_nought(monkeypatch):
    whole = [2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, *[0.0] * 12, 1.0, 2.0, 2.0]
    nothing = [2.0, 3.0, *[0.0] * 21]
    empty = [0.0, 3.0, *[0.0] * 21]
    fake_java(monkeypatch, "".join(" ".join(map(str, counts)) + "\n" for counts in (whole, whole, nothing, empty)))
    score = meteor.meteor_score([("a", "dog")] * 4, [[("a", "dog")]] * 4)

    assert score is not None
    assert list(score.combine(score.terms)) == [1.0, 1.0, 0.0, 0.0]
    assert float(score.combine(score.terms[:2].sum(axis=0))) == 1.0
    assert np.isnan(score.combine(np.zeros(23)))


def test_where_something_is_missing_it_says_what(monkeypatch):
    monkeypatch.setattr(meteor, "_jar", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert "pip install pycocoevalcap" in str(meteor.meteor_missing())
    assert meteor.meteor_score([("a",)], [[("a",)]]) is None
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "Java" in str(meteor.meteor_missing())
    assert meteor.meteor_score([("a",)], [[("a",)]]) is None


@pytest.mark.parametrize(("stdout", "returncode"), [("1 2 3\n", 0), ("", 0), (" ".join(map(str, COUNTS)), 1)])
def test_a_jar_that_fails_is_an_error(monkeypatch, stdout, returncode):
    fake_java(monkeypatch, stdout, returncode)
    with pytest.raises(DomainvlError, match="23 numbers for each of 1 answers"):
        meteor.meteor_score([("a",)], [[("a",)]])


def test_items_without_reference_are_refused():
    with pytest.raises(ValueError, match="needs a reference"):
        meteor.meteor_score([("a",)], [[]])


@pytest.mark.slow
def test_equal_to_the_jar():
    if meteor.meteor_missing() is not None:
        pytest.skip(str(meteor.meteor_missing()))
    module = pytest.importorskip("pycocoevalcap.meteor.meteor")
    candidates = ["the car moves the car was moving", "the cat sat on the mat", "", "a zebra runs", "fast dogs"]
    references = [
        ["a car is moving slowly", "cars"],
        ["the cat sat on the mat"],
        ["a dog"],
        ["a dog"],
        ["the fast dog"],
    ]
    scorer = module.Meteor()
    truth, said = dict(enumerate(references)), {index: [text] for index, text in enumerate(candidates)}
    expected, each = scorer.compute_score(truth, said)
    scorer.meteor_p.stdin.close()
    for stream in (scorer.meteor_p.stdout, scorer.meteor_p.stderr):
        stream.close()

    score = meteor.meteor_score(
        [tuple(text.split()) for text in candidates], [[tuple(text.split()) for text in texts] for texts in references]
    )
    assert score is not None
    assert score.combine(score.terms) == pytest.approx(each, abs=1e-12)
    assert float(score.combine(score.terms.sum(axis=0))) == pytest.approx(expected, abs=1e-12)
    assert not np.isclose(expected, np.mean(each))
