"""The loop of training, with a specialist that is right in chosen epochs only."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from domainvl.errors import StoppedError
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.specialists.specialist import CannotAnswerError, Specialist
from domainvl.evaluation.specialists.training_loop import LoopSettings, answer_all, fit

SETTINGS = LoopSettings(epochs=5, minutes=None, batch_size=4, learning_rate=0.1, seed=0)


class Scripted(Specialist[float]):
    """Its one weight grows with each step; its share of right answers follows a script, a value an epoch."""

    def __init__(self, shares=()):
        self.module = torch.nn.Linear(1, 1, bias=False)
        self.pretraining, self.image_px = "none", 0
        self.shares = list(shares)
        self.weights = []

    def training_examples(self, samples):
        return [1.0 for _ in samples], Counter()

    def loss(self, examples):
        return -self.module.weight.sum() * examples[0]

    def check(self, sample):
        if sample.question == "unknown":
            raise CannotAnswerError("it is unknown")

    def answer(self, samples):
        assert not self.module.training and not torch.is_grad_enabled()
        self.weights.append(self.module.weight.item())
        share = self.shares.pop(0)
        return [
            Prediction(sample_id=sample.id, text="lung" if index < share * len(samples) else "heart")
            for index, sample in enumerate(samples)
        ]

    def details(self):
        return {}


def test_the_first_of_the_best_epochs_is_kept(make_sample):
    samples = [make_sample(str(index)) for index in range(4)]
    specialist = Scripted([0.25, 0.75, 0.5, 0.75, 0.0])
    fitted = fit(specialist, [1.0, 1.0], samples, SETTINGS)
    assert (fitted.epochs, fitted.best_epoch, fitted.validation_score) == (5, 2, 0.75)
    assert sorted(specialist.weights) == specialist.weights and len(set(specialist.weights)) == 5
    assert specialist.module.weight.item() == specialist.weights[1]


def test_without_validation_the_last_epoch_is_kept():
    specialist = Scripted()
    before = specialist.module.weight.item()
    fitted = fit(specialist, [1.0], [], SETTINGS)
    assert (fitted.epochs, fitted.best_epoch, fitted.validation_score) == (5, 5, None)
    assert specialist.module.weight.item() > before


def test_what_cannot_be_answered_is_empty_and_counted(make_sample):
    samples = [make_sample("a", question="unknown"), make_sample("b"), make_sample("c", question="unknown")]
    predictions, empty = answer_all(Scripted([1.0]), samples, 8)
    assert [(prediction.sample_id, prediction.text) for prediction in predictions] == [
        ("a", ""),
        ("b", "lung"),
        ("c", ""),
    ]
    assert empty == {"it is unknown": 2}


def test_a_loss_that_is_no_number_stops_the_training():
    with pytest.raises(StoppedError, match="the loss must be a number, got nan"):
        fit(Scripted(), [float("nan")], [], SETTINGS)
