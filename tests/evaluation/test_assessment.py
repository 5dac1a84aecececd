"""From answers to what was found: against numbers that follow by hand."""

from __future__ import annotations

import numpy as np
import pytest

from domainvl.errors import DatasetError
from domainvl.evaluation import assessment
from domainvl.evaluation.assessment import Answers, assess
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.loading import load_protocol
from domainvl.evaluation.protocols.protocol import Protocol
from domainvl.evaluation.protocols.scoring import ScoredLine, select_samples
from domainvl.evaluation.results import System
from domainvl.evaluation.statistics.resampling import BootstrapSettings
from domainvl.evaluation.statistics.scores import mean_score, spread_over
from domainvl.schema import CountAnswer, Image, Sample, Source, Task, TextAnswer

SETTINGS = BootstrapSettings(resamples=200)


def system(name: str, kind: str = "other") -> System:
    return System(name=name, kind=kind, predictions=f"{name}.jsonl")


@pytest.fixture
def samples(make_sample) -> list[Sample]:
    """Twelve yes-no questions of six patients, half of them CT and half MR, and six counts of the same patients."""

    def of_modality(sample: Sample, modality: str) -> Sample:
        source = Source(uri="a", details={"modality": modality})
        image = Image(path="a.png", width_px=500, height_px=200, pixel_sha256="0", source=source)
        return sample.model_copy(update={"images": (image,)})

    yes_no = [
        make_sample(f"q{number:02d}", answer=TextAnswer(text="yes" if number % 3 else "no"), group=f"p{number % 6}")
        for number in range(12)
    ]
    counts = [
        make_sample(f"c{number}", answer=CountAnswer(count=number), task=Task.COUNTING, group=f"p{number}")
        for number in range(6)
    ]
    return [of_modality(one, "CT" if int(one.group[1]) < 3 else "MR") for one in (*yes_no, *counts)]


def test_every_number_follows_from_the_answers(samples: list[Sample]) -> None:
    """One system always says yes with a certainty of 0.8, the other is right about all but the counts of MR."""
    always = [
        Prediction(sample_id=one.id, text="yes", options={"yes": 0.8, "no": 0.2} if one.task is Task.VQA else None)
        for one in samples
    ]
    better = [
        Prediction(
            sample_id=one.id, text="" if one.id in ("c3", "c4", "c5") else one.turns[-1].text, cut_off=one.id == "c0"
        )
        for one in samples
    ]
    protocol = load_protocol("generic")
    found = assess(
        protocol,
        select_samples(protocol, samples),
        [Answers(system("a"), always), Answers(system("b"), better)],
        SETTINGS,
    )
    lines = {line.name: line for line in found.lines}
    assert {name: value.value for name, value in lines["vqa accuracy"].values.items()} == {"a": 8 / 12, "b": 1.0}
    assert lines["counting accuracy"].values["b"].value == 0.5
    assert lines["counting accuracy"].values["a"].unreadable == 6
    assert (lines["all questions"].n, lines["all questions"].groups) == (18, 6)
    assert lines["mean of tasks"].values["b"].value == pytest.approx(0.75)
    assert [(one.name, one.empty, one.cut_off) for one in found.systems] == [("a", 0, 0), ("b", 3, 1)]
    assert {one.name for one in found.comparisons} == {"vqa accuracy", "counting accuracy", "mean of tasks"}
    (ece,) = found.calibration
    assert (ece.system, ece.n) == ("a", 12)
    assert ece.ece.value == pytest.approx(0.8 - 8 / 12)
    assert [(one.confidence, one.accuracy, one.n) for one in ece.bins] == [
        (pytest.approx(0.8), pytest.approx(8 / 12), 12)
    ]
    by_level = {(one.factor, one.level): one for one in found.breakdowns}
    assert by_level["modality", "CT"].values["b"].value == 1.0
    # Of all questions, not the mean of tasks: six of nine.
    assert by_level["modality", "MR"].values["b"].value == pytest.approx(6 / 9)
    assert {one.line for one in found.breakdowns} == {"all questions"}
    assert (by_level["modality", "MR"].n, by_level["modality", "MR"].groups) == (9, 3)
    assert {one.name for one in found.confusion if one.system == "a"} == {"counting", "vqa"}


def test_levels_beyond_the_largest_are_told(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assessment, "MOST_LEVELS", 1)
    protocol = load_protocol("generic")
    answers = [Prediction(sample_id=one.id, text="yes") for one in samples]
    found = assess(protocol, select_samples(protocol, samples), [Answers(system("a"), answers)], SETTINGS)
    assert [(one.factor, one.level) for one in found.breakdowns] == [("task", "vqa"), ("modality", "CT")]
    assert "modality has 1 more levels, each of fewer samples" in found.notes
    assert found.comparisons == ()


def test_gaps_of_a_benchmark_are_told(samples: list[Sample]) -> None:
    protocol = Protocol.model_validate(
        {
            "name": "p", "version": 1, "title": "p", "domain": "medical", "sources": ["x"], "converters": ["test"],
            "columns": [
                {"name": "CT", "where": {"modality": "CT", "task": "vqa"}, "rule": "accuracy"},
                {"name": "PET", "where": {"modality": "PET", "task": "vqa"}, "rule": "accuracy"},
            ],
            "averages": [{"name": "all", "of": ["CT", "PET"], "kind": "macro"}],
            "headline": "all",
        }
    )  # fmt: skip
    answers = [Prediction(sample_id=one.id, text="yes") for one in samples]
    found = assess(protocol, select_samples(protocol, samples), [Answers(system("a"), answers)], SETTINGS)
    assert [line.name for line in found.lines] == ["CT", "all"]
    assert "No sample is about PET: these lines are left out" in found.notes
    assert "all (macro, strict) is without PET: there is no sample" in found.notes


def test_answers_of_another_set_are_refused(samples: list[Sample]) -> None:
    protocol = load_protocol("generic")
    answers = [Prediction(sample_id=one.id, text="yes") for one in samples[1:]]
    with pytest.raises(DatasetError, match="1 missing"):
        assess(protocol, select_samples(protocol, samples), [Answers(system("a"), answers)], SETTINGS)


def test_further_lines_get_a_verdict_whatever_the_protocol_names(samples: list[Sample]) -> None:
    """A judge rates the first eight answers of one system and all but the first of the other, equal answers alike."""

    def rated(first: int, end: int) -> Answers:
        def lines(others) -> list[ScoredLine]:
            members = np.arange(first, end)
            score = spread_over(mean_score(np.where(members % 2, 0.8, 0.4)), members, len(samples))
            return [
                ScoredLine("rating", "strict", None, "mean rating", None, members, score, None, 0, 0, True),
                ScoredLine("rating", "as-published", None, "mean rating", None, members, score, None, 0, 0, True),
            ]

        answers = [
            Prediction(sample_id=one.id, text="" if number == 2 else "yes") for number, one in enumerate(samples)
        ]
        return Answers(system(f"s{first}"), answers, lines)

    protocol = load_protocol("generic")
    assert "rating" not in protocol.verdicts
    found = assess(protocol, select_samples(protocol, samples), [rated(0, 8), rated(1, len(samples))], SETTINGS)
    by_name = {one.name: one for one in found.comparisons}
    assert set(by_name) == {*protocol.verdicts} & {line.name for line in found.lines} | {"rating"}
    assert len(found.comparisons) == len(by_name)
    assert by_name["rating"].difference == pytest.approx(0.0)
    assert "Only the 7 samples that count for both are compared" in by_name["rating"].words
    assert "s0 left 1 samples without an answer" in by_name["vqa accuracy"].words
    assert "without an answer" not in by_name["counting accuracy"].words
