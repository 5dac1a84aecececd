"""The place for a scorer of factuality, with a scorer that a package could bring."""

from __future__ import annotations

from importlib import metadata

import pytest

from domainvl.errors import UsageError
from domainvl.evaluation.metrics import factuality


class SharedWords:
    """Stands for a scorer: the share of the reference's words that the report has."""

    name = "shared words 1.0"

    def score(self, candidates, references):
        return [
            len(set(candidate.split()) & set(texts[0].split())) / len(set(texts[0].split()))
            for candidate, texts in zip(candidates, references, strict=True)
        ]


class NoScorer:
    name = "none"


@pytest.fixture
def installed(monkeypatch):
    """Let packages offer scorers, by the metadata of real entry points."""

    def entry_points(*, group):
        assert group == "domainvl.factuality"
        return [
            metadata.EntryPoint(name, f"fake_scorers:{value}", group)
            for name, value in (("shared", "SharedWords"), ("not-one", "NoScorer"), ("gone", "Missing"))
        ]

    module = type("Module", (), {"SharedWords": SharedWords, "NoScorer": NoScorer})
    monkeypatch.setitem(__import__("sys").modules, "fake_scorers", module)
    monkeypatch.setattr(metadata, "entry_points", entry_points)


def test_none_is_shipped():
    assert factuality.factuality_scorers() == []
    with pytest.raises(UsageError, match="no factuality scorer 'radgraph'.*installed are: none"):
        factuality.load_factuality_scorer("radgraph")


def test_a_scorer_of_another_package_is_found_and_scores(installed):
    assert factuality.factuality_scorers() == ["gone", "not-one", "shared"]
    scorer = factuality.load_factuality_scorer("shared")
    score = factuality.factuality_score(scorer, ["no effusion", ""], [["no pleural effusion"], ["normal"]])

    assert scorer.name == "shared words 1.0"
    assert list(score.combine(score.terms)) == pytest.approx([2 / 3, 0.0])
    assert float(score.combine(score.terms.sum(axis=0))) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("name", "message"), [("not-one", "must have a name and a method score"), ("gone", "Cannot load.*Missing")]
)
def test_what_is_no_scorer_is_refused(installed, name, message):
    with pytest.raises(UsageError, match=message):
        factuality.load_factuality_scorer(name)


@pytest.mark.parametrize("values", [[0.5], [0.5, 1.5], [0.5, float("nan")], [[0.5], [0.5]]])
def test_values_that_are_no_shares_are_refused(values):
    scorer = SharedWords()
    scorer.score = lambda candidates, references: values
    with pytest.raises(UsageError, match="within 0..1 for each of 2 items"):
        factuality.factuality_score(scorer, ["a", "b"], [["a"], ["b"]])


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="2 answers and 1"):
        factuality.factuality_score(SharedWords(), ["a", "b"], [["a"]])
