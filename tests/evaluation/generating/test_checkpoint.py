"""Answers of a checkpoint: resumed equals uninterrupted, several devices equal one, and what they depend on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from domainvl.errors import CheckpointError, DatasetError, UsageError
from domainvl.evaluation.generating import checkpoint
from domainvl.evaluation.generating.answerer import answer_all
from domainvl.evaluation.generating.checkpoint import CheckpointAnswerer, CheckpointSettings, image_paths
from domainvl.evaluation.generating.devices import SeveralDevices, divide
from domainvl.evaluation.generating.options import Options
from domainvl.evaluation.predictions import Prediction
from domainvl.model.checkpoint import read_spec
from domainvl.schema import Sample, Split, read_samples


@pytest.fixture(scope="module")
def samples(squares: Path) -> list[Sample]:
    return list(read_samples(squares, Split.TEST))


@pytest.fixture(scope="module")
def settings(untrained: Path, squares: Path) -> CheckpointSettings:
    preprocessing = read_spec(untrained).preprocessing
    return CheckpointSettings(
        str(untrained), squares, preprocessing, device="cpu", batch_size=5, max_new_tokens=6, measure=False
    )


@pytest.fixture(scope="module")
def uninterrupted(
    settings: CheckpointSettings, samples: list[Sample], tmp_path_factory: pytest.TempPathFactory
) -> list[Prediction]:
    journal = tmp_path_factory.mktemp("journal") / "answers"
    return answer_all(CheckpointAnswerer(settings, Options(samples)), samples, journal, {}).predictions


class _Killed(Exception):
    pass


class _Dying(CheckpointAnswerer):
    """Dies after some answers, and counts what it is asked."""

    asked: list[str]

    def answer(self, samples: Sequence[Sample]) -> Iterator[list[Prediction]]:
        self.asked = [sample.id for sample in samples]
        for number, batch in enumerate(super().answer(samples)):
            if number:
                raise _Killed
            yield batch


def test_resumed_equals_uninterrupted_and_no_answer_is_given_twice(
    settings: CheckpointSettings,
    samples: list[Sample],
    uninterrupted: list[Prediction],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint, "_ANSWERS_A_BATCH", 5)
    options = Options(samples)
    killed = 0
    done = 0
    while True:
        answerer = _Dying(settings, options)
        try:
            answered = answer_all(answerer, samples, tmp_path / "answers", {})
            break
        except _Killed:
            killed += 1
            assert len(answerer.asked) == len(samples) - done
            done += 5
    assert killed == 3
    assert [one.model_copy(update={"likelihood": None}) for one in answered.predictions] == [
        one.model_copy(update={"likelihood": None}) for one in uninterrupted
    ]
    for one, other in zip(answered.predictions, uninterrupted, strict=True):
        assert one.likelihood == pytest.approx(other.likelihood, rel=1e-4)


def test_another_limit_of_the_answer_is_another_run(
    settings: CheckpointSettings, samples: list[Sample], tmp_path: Path
) -> None:
    options = Options(samples)
    answer_all(CheckpointAnswerer(settings, options), samples[:2], tmp_path / "answers", {})
    for change in ({"max_new_tokens": 7}, {"blank_images": True}):
        other = CheckpointAnswerer(replace(settings, **change), options)
        with pytest.raises(UsageError, match="the answers there are others"):
            answer_all(other, samples[:2], tmp_path / "answers", {})
    smaller = CheckpointAnswerer(replace(settings, batch_size=1), options)
    assert answer_all(smaller, samples[:2], tmp_path / "answers", {}).cost is None


def test_costs_are_counted(settings: CheckpointSettings, samples: list[Sample], tmp_path: Path) -> None:
    answerer = CheckpointAnswerer(replace(settings, measure=True), Options(samples))
    cost = answer_all(answerer, samples[:6], tmp_path / "answers", {}).cost
    images = sum(len(sample.images) for sample in samples[:6])
    assert cost.visual_tokens == images * settings.preprocessing.tokens_per_tile  # 64 px are one tile
    assert cost.answers == 6
    assert 6 <= cost.tokens <= 6 * 6
    assert cost.ms_per_image > 0
    assert 0.1 < cost.peak_memory_gb < 50


def test_samples_about_the_same_images_stay_together(samples: list[Sample]) -> None:
    parts = divide(samples, 5)
    assert sorted(sample.id for part in parts for sample in part) == sorted(sample.id for sample in samples)
    places = {}
    for number, part in enumerate(parts):
        for sample in part:
            assert places.setdefault(image_paths(sample), number) == number
    assert max(map(len, parts)) - min(map(len, parts)) <= 2


@pytest.mark.slow
def test_several_devices_give_the_answers_of_one(
    settings: CheckpointSettings, samples: list[Sample], uninterrupted: list[Prediction], tmp_path: Path
) -> None:
    several = SeveralDevices(settings, Options(samples), ["cpu", "cpu"])
    answered = answer_all(several, samples, tmp_path / "answers", {})
    assert [one.text for one in answered.predictions] == [one.text for one in uninterrupted]
    assert answered.cost.device.startswith("2 x cpu")
    assert answered.cost.peak_memory_gb is not None
    missing = SeveralDevices(replace(settings, dataset=tmp_path), Options(samples), ["cpu"])
    with pytest.raises(DatasetError, match="Cannot read an image"):
        answer_all(missing, samples, tmp_path / "others", {})


def test_a_checkpoint_that_is_not_there_is_named(settings: CheckpointSettings, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such folder"):
        _ = CheckpointAnswerer(replace(settings, reference=str(tmp_path / "none")), Options([])).identity
