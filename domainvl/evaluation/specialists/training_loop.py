"""Trains a specialist: epochs over its examples, the best one on the validation split kept."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from domainvl.errors import StoppedError
from domainvl.evaluation.items import score
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.specialists.specialist import CannotAnswerError, Specialist
from domainvl.schema.sample import Sample

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done and how much there is."""

_WARM_UP = 0.1
"""Share of the training over which the learning rate rises; it then falls along half a cosine to 0."""

_LARGEST_GRADIENT = 0.1  # norm; of DETR (Carion et al., 2020, appendix A.4), and AdamW does not mind
_WEIGHT_DECAY = 1e-2


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast.

    Attributes:
        epochs: Most epochs.
        minutes: Longest time, whatever the epochs; None for as long as they take. The learning rate then falls with
            the time, so that the result depends on the machine.
        batch_size: Examples a step.
        learning_rate: Largest.
        seed: Of the order.
    """

    epochs: int
    minutes: float | None
    batch_size: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Fitted:
    """What came of it: epochs that were run, whose weights were kept and how they scored on validation."""

    epochs: int
    best_epoch: int
    validation_score: float | None


def fit(
    specialist: Specialist[Any],
    examples: Sequence[Any],
    validation: Sequence[Sample],
    settings: LoopSettings,
    on_progress: OnProgress | None = None,
) -> Fitted:
    """Train a specialist in place.

    After each epoch all validation samples are answered and scored; the first epoch of the best mean score is kept.
    Where there are none, the last one is.

    Args:
        specialist: The specialist, on its device.
        examples: What it learns from; at least one.
        validation: Samples to choose the epoch by; may be empty.
        settings: How long and how fast.
        on_progress: Told how far it is.

    Raises:
        StoppedError: If the loss is no number.
    """
    module = specialist.module
    optimiser = torch.optim.AdamW(module.parameters(), lr=settings.learning_rate, weight_decay=_WEIGHT_DECAY)
    generator = torch.Generator().manual_seed(settings.seed)
    steps_an_epoch = math.ceil(len(examples) / settings.batch_size)
    clock = _Clock(settings.epochs * steps_an_epoch, settings.minutes)
    best: tuple[float, int, dict[str, Any]] | None = None
    epoch = 0
    while epoch < settings.epochs and not clock.over:
        epoch += 1
        module.train()
        order = torch.randperm(len(examples), generator=generator).tolist()
        for start in range(0, len(order), settings.batch_size):
            if clock.over:
                break
            batch = [examples[place] for place in order[start : start + settings.batch_size]]
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * _rate(clock.share)
            _step(specialist, optimiser, batch)
            clock.step += 1
            if on_progress:
                on_progress(f"epoch {epoch}", clock.step, clock.steps)
        if validation:
            reached = _mean_score(specialist, validation, settings.batch_size)
            if best is None or reached > best[0]:
                best = reached, epoch, copy.deepcopy(module.state_dict())
    if best is None:
        return Fitted(epoch, epoch, None)
    module.load_state_dict(best[2])
    return Fitted(epoch, best[1], best[0])


def answer_all(
    specialist: Specialist[Any],
    samples: Sequence[Sample],
    batch_size: int,
    on_progress: OnProgress | None = None,
) -> tuple[list[Prediction], dict[str, int]]:
    """Answer samples; those that the specialist cannot answer get an empty answer.

    Args:
        specialist: The specialist.
        samples: The samples.
        batch_size: Samples at a time.
        on_progress: Told how far it is.

    Returns:
        One prediction a sample, in their order; and the number of empty ones by reason.
    """
    predictions: dict[str, Prediction] = {}
    empty: dict[str, int] = {}
    able: list[Sample] = []
    for sample in samples:
        try:
            specialist.check(sample)
        except CannotAnswerError as reason:
            empty[str(reason)] = empty.get(str(reason), 0) + 1
            predictions[sample.id] = Prediction(sample_id=sample.id, text="")
        else:
            able.append(sample)
    specialist.module.eval()
    with torch.no_grad():
        for start in range(0, len(able), batch_size):
            for prediction in specialist.answer(able[start : start + batch_size]):
                predictions[prediction.sample_id] = prediction
            if on_progress:
                on_progress("answers", min(start + batch_size, len(able)), len(able))
    return [predictions[sample.id] for sample in samples], empty


def calibrate(specialist: Specialist[Any], samples: Sequence[Sample], batch_size: int) -> None:
    """Let a trained specialist choose what it chooses on samples, such as the score from which on a box is written.

    Args:
        specialist: The specialist.
        samples: Of the validation split, or of the training split where there is none.
        batch_size: Samples at a time.
    """
    specialist.module.eval()
    with torch.no_grad():
        specialist.calibrate(samples, batch_size)


class _Clock:
    """How far a training is, by steps and by time, whichever is further."""

    def __init__(self, steps: int, minutes: float | None) -> None:
        self.step = 0
        self.steps = steps
        self._seconds = None if minutes is None else minutes * 60
        self._start = time.monotonic()

    @property
    def share(self) -> float:
        passed = 0.0 if self._seconds is None else (time.monotonic() - self._start) / self._seconds
        return min(1.0, max(self.step / self.steps, passed))

    @property
    def over(self) -> bool:
        return self.share >= 1.0


def _rate(share: float) -> float:
    if share < _WARM_UP:
        return max(share, 0.01) / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (share - _WARM_UP) / (1 - _WARM_UP)))


def _step(specialist: Specialist[Any], optimiser: torch.optim.Optimizer, batch: Sequence[Any]) -> None:
    loss = specialist.loss(batch)
    if not torch.isfinite(loss):
        raise StoppedError(
            "Training diverged",
            rule=f"the loss must be a number, got {float(loss.detach())}",
            action="Lower --learning-rate",
        )
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(specialist.module.parameters(), _LARGEST_GRADIENT)
    optimiser.step()


def _mean_score(specialist: Specialist[Any], samples: Sequence[Sample], batch_size: int) -> float:
    """Return the mean over samples of the IoU where boxes are asked for, else of being right."""
    predictions, _ = answer_all(specialist, samples, batch_size)
    total = 0.0
    for sample, prediction in zip(samples, predictions, strict=True):
        item = score(sample, prediction)
        total += float(item.correct) if item.iou is None else item.iou
    return total / len(samples)
