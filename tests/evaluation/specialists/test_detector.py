"""What the detector writes, from what a network gives; and which classes an expression names."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from domainvl.evaluation.specialists.detector import Detector, named_labels
from domainvl.evaluation.specialists.specialist import CannotAnswerError
from domainvl.model.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from domainvl.schema import BoxesAnswer, Task

LABELS = ("bus", "car", "car park")


class Given(torch.nn.Module):
    """A network that gives the same scores and boxes for every image."""

    def __init__(self, things):
        super().__init__()
        self.place = torch.nn.Parameter(torch.zeros(1))
        self.logits = torch.full((1, len(things), len(LABELS)), -20.0)
        for row, (label, score, _) in enumerate(things):
            self.logits[0, row, LABELS.index(label)] = torch.logit(torch.tensor(score))
        self.boxes = torch.tensor([[box for _, _, box in things]])

    def forward(self, pixel_values):
        count = len(pixel_values)
        return SimpleNamespace(logits=self.logits.expand(count, -1, -1), pred_boxes=self.boxes.expand(count, -1, -1))


@pytest.fixture
def detector(tmp_path):
    """Make a detector of a network that gives (label, score, (x, y, width, height) as shares)."""

    def make(*things, threshold=0.3):
        made = Detector(
            LABELS,
            Given(things),
            statistics=(IMAGENET_MEAN, IMAGENET_STD),
            image_px=32,
            dataset=tmp_path,
            pretraining="none",
            threshold=threshold,
        )
        made._sheets = SimpleNamespace(read=lambda sheets, device: torch.zeros(len(sheets), 3, 32, 32))
        return made

    return make


@pytest.fixture
def detection(make_sample):
    """Build a detection sample with the given boxes."""

    def build(*boxes, question="Find all objects of these classes: bus, car, car park."):
        grounding = make_sample(boxes=boxes) if boxes else make_sample(answer=BoxesAnswer(object_ids=()))
        return grounding.model_copy(update={"task": Task.DETECTION, "question": question})

    return build


def test_a_detection_lists_all_objects_by_class(detector, detection):
    made = detector(
        ("car", 0.9, (0.5, 0.5, 0.2, 0.4)), ("bus", 0.4, (0.1, 0.1, 0.2, 0.2)), ("car", 0.8, (0.9, 0.9, 0.2, 0.2))
    )
    (prediction,) = made.answer([detection()])
    assert prediction.text == (
        "<ref>bus</ref><box>[[0, 0, 200, 200]]</box>\n"
        "<ref>car</ref><box>[[400, 300, 600, 700], [800, 800, 1000, 1000]]</box>"
    )
    assert prediction.box_scores == (pytest.approx(0.4), pytest.approx(0.9), pytest.approx(0.8))


def test_below_the_threshold_nothing_is_written(detector, detection):
    made = detector(("car", 0.4, (0.5, 0.5, 0.2, 0.4)), threshold=0.5)
    (prediction,) = made.answer([detection()])
    assert (prediction.text, prediction.box_scores) == ("None", ())


def test_only_the_classes_asked_for_are_written(detector, detection):
    made = detector(("car", 0.9, (0.5, 0.5, 0.2, 0.4)), ("bus", 0.8, (0.1, 0.1, 0.2, 0.2)))
    (prediction,) = made.answer([detection(question="Find all buses. Classes: bus.")])
    assert prediction.text == "<ref>bus</ref><box>[[0, 0, 200, 200]]</box>"


def test_an_object_that_is_found_twice_is_written_once(detector, detection):
    box, nearly = (0.5, 0.5, 0.4, 0.4), (0.5, 0.5, 0.4, 0.38)  # IoU 0.95
    made = detector(("car", 0.8, nearly), ("car", 0.9, box), ("bus", 0.7, box))
    (prediction,) = made.answer([detection()])
    assert prediction.box_scores == (pytest.approx(0.7), pytest.approx(0.9))


def test_grounding_is_the_surest_of_the_named_class_however_sure(detector, make_sample):
    made = detector(
        ("bus", 0.9, (0.5, 0.5, 0.2, 0.4)), ("car", 0.1, (0.1, 0.1, 0.2, 0.2)), ("car", 0.05, (0.9, 0.9, 0.2, 0.2))
    )
    sample = make_sample(question="the car on the left", boxes=[("car", (0.0, 0.0, 9.0, 9.0))])
    (prediction,) = made.answer([sample])
    assert prediction.text == "<ref>the car on the left</ref><box>[[0, 0, 200, 200]]</box>"
    assert prediction.box_scores == (pytest.approx(0.1),)


def test_an_expression_of_no_known_class_cannot_be_answered(detector, make_sample):
    made = detector(("car", 0.9, (0.5, 0.5, 0.2, 0.4)))
    sample = make_sample(question="the lung", boxes=[("lung", (0.0, 0.0, 9.0, 9.0))])
    with pytest.raises(CannotAnswerError, match="names no known class"):
        made.check(sample)


def test_the_threshold_is_the_one_that_scores_best(detector, detection):
    """One of two is there: the right threshold lies above 0.42 and at most at 0.61."""
    made = detector(("car", 0.61, (0.5, 0.5, 0.2, 0.4)), ("car", 0.42, (0.1, 0.1, 0.2, 0.2)))
    sample = detection(("car", (200.0, 60.0, 300.0, 140.0)))  # of 500 x 200 px: the first box
    made.calibrate([sample], batch_size=4)
    assert made.threshold == 0.45


def test_names_within_names():
    assert named_labels("the small car park", LABELS) == [2]
    assert named_labels("Cars beside the car park", LABELS) == [1, 2]
    assert named_labels("a carpet and a minibus", LABELS) == []


def test_objects_of_all_questions_about_an_image_are_learnt_once(detector, make_sample):
    made = detector(("car", 0.9, (0.5, 0.5, 0.2, 0.4)))
    first = make_sample("a", boxes=[("car", (0.0, 0.0, 50.0, 100.0)), ("bus", (400.0, 0.0, 500.0, 200.0))])
    second = make_sample("b", boxes=[("car", (0.0, 0.0, 50.0, 100.0))])
    text = make_sample("c")
    (example,), left_out = made.training_examples([first, second, text])
    assert example.classes == (1, 0)
    assert example.boxes == ((0.05, 0.25, 0.1, 0.5), (0.9, 0.5, 0.2, 1.0))
    assert left_out == {"vqa asks for no boxes": 1}
