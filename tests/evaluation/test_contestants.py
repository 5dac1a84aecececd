"""Who takes part, under which name, and what is known of what they were trained on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from domainvl.errors import CheckpointError, UsageError
from domainvl.evaluation.contestants import Asking, Contestants, line_up, slug
from domainvl.evaluation.generating.answerer import answer_all
from domainvl.evaluation.generating.options import Options
from domainvl.evaluation.predictions import Prediction, write_predictions
from domainvl.evaluation.specialists.run import TrainOptions, train_specialist
from domainvl.schema import Sample, Split, read_samples


@pytest.fixture(scope="module")
def samples(squares: Path) -> list[Sample]:
    return list(read_samples(squares, Split.TEST))


@pytest.fixture
def said(samples: list[Sample], tmp_path: Path) -> Path:
    path = tmp_path / "said.jsonl"
    write_predictions(path, [Prediction(sample_id=sample.id, text="red") for sample in samples])
    return path


def test_specialists_answer_and_are_known_for_what_they_saw(
    squares: Path, samples: list[Sample], tmp_path: Path
) -> None:
    train_specialist("classifier", squares, tmp_path / "net", TrainOptions(epochs=1, image_px=32, device="cpu"))
    train_specialist("majority", squares, tmp_path / "most", TrainOptions())
    wanted = Contestants(specialists={"net": tmp_path / "net", "most": tmp_path / "most"}, baselines=False)
    net, most = line_up(wanted, squares, samples, Asking(devices=("cpu",)))
    assert (net.system.kind, net.system.pretraining, net.system.predictions) == (
        "specialist", "none", "predictions.jsonl",
    )  # fmt: skip
    assert (most.system.kind, most.system.pretraining) == ("baseline", None)
    train = list(read_samples(squares, Split.TRAIN))
    for one in (net, most):
        assert not one.is_unchecked
        assert one.trained_on.has_group(train[0])
        assert not one.trained_on.has_group(samples[0])
        answered = answer_all(one.make(Options(samples)), samples, tmp_path / f"{one.system.name}.jsonl", {})
        assert [prediction.sample_id for prediction in answered.predictions] == [sample.id for sample in samples]
    answers = {prediction.text for prediction in answered.predictions}
    assert "red" in answers or "blue" in answers


def test_names_that_would_share_a_file_are_refused(squares: Path, samples: list[Sample], said: Path) -> None:
    assert slug("Blank images") == "blank-images"
    wanted = Contestants(predictions={"one": said, "My Net": said, "my-net": said}, baselines=False)
    with pytest.raises(UsageError, match=r"\['one', 'My Net', 'my-net'\]"):
        line_up(wanted, squares, samples, Asking())


def test_a_file_may_be_about_the_whole_split(squares: Path, samples: list[Sample], said: Path) -> None:
    wanted = Contestants(predictions={"said": said}, baselines=False)
    (one,) = line_up(wanted, squares, samples[:3], Asking(), split=samples)
    assert len(one.given) == len(samples)
    assert one.is_unchecked


def test_what_is_wrong_is_refused_before_anybody_answers(
    squares: Path, samples: list[Sample], said: Path, tmp_path: Path
) -> None:
    named = Contestants(predictions={"said": said}, pretraining={"sayd": "none"}, baselines=False)
    with pytest.raises(UsageError, match="must name files of --predictions, got sayd. Name one of said"):
        line_up(named, squares, samples, Asking())
    with pytest.raises(UsageError, match="each needs a name"):
        line_up(Contestants(predictions={"": said}, baselines=False), squares, samples, Asking())
    train_specialist("majority", squares, tmp_path / "most", TrainOptions())
    foreign = [sample.model_copy(update={"domain": "medical"}) for sample in samples]
    with pytest.raises(CheckpointError, match="trained for a task of the split"):
        line_up(Contestants(specialists={"m": tmp_path / "most"}, baselines=False), squares, foreign, Asking())


def test_a_test_set_alone_has_no_majority(squares: Path, samples: list[Sample], said: Path, tmp_path: Path) -> None:
    data = shutil.copytree(squares, tmp_path / "data")
    (data / "train.jsonl").unlink()
    (one,) = line_up(Contestants(predictions={"said": said}), data, samples, Asking())
    assert one.system.name == "said"
