"""What all specialists that are trained here have in common: how they are described on disk and what they can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, TypeAlias, TypeVar, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from torch import nn

from domainvl.errors import UsageError
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.results import FROM_SCRATCH
from domainvl.schema.sample import EXAMPLE_OF, Image, Sample

Kind: TypeAlias = Literal["classifier", "vqa", "detector", "language-only", "majority"]
KINDS: tuple[Kind, ...] = get_args(Kind)

ExampleT = TypeVar("ExampleT")


class TaskCount(BaseModel):
    """How many training samples of one kind of question a specialist was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domain: str
    task: str
    samples: int


class Training(BaseModel):
    """How a specialist was trained.

    Attributes:
        data: Name of the data set.
        train_sha256: Hash of its train.jsonl.
        samples: Number of training samples.
        used: How many of them it was trained on.
        left_out: The others, by reason.
        tasks: Those it was trained on, by domain and task.
        seed: Of weights and order.
        epochs: Number of epochs that were run.
        best_epoch: Whose weights were kept, counted from 1; the last where there is no validation split.
        validation_score: Mean score on the validation split at that epoch, answers that it cannot give counting 0;
            None where there is none.
        validation_samples: Number of its samples.
        batch_size: Samples a step.
        learning_rate: Largest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    train_sha256: str
    samples: int
    used: int
    left_out: dict[str, int]
    tasks: tuple[TaskCount, ...]
    seed: int
    epochs: int = 0
    best_epoch: int = 0
    validation_score: float | None = None
    validation_samples: int = 0
    batch_size: int = 0
    learning_rate: float = 0.0


class SpecialistSpec(BaseModel):
    """What stands in ``specialist.json`` beside the weights.

    Attributes:
        format_version: Of this file.
        kind: What kind of specialist it is.
        pretraining: What its weights started from; ``none`` if from scratch.
        image_px: Side of the square that it sees; 0 if it sees none.
        details: What the kind needs besides, such as the answers it knows and the sizes of its network.
        training: How it was trained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    kind: Kind
    pretraining: str = FROM_SCRATCH
    image_px: int = Field(default=0, ge=0)
    details: dict[str, JsonValue] = Field(default_factory=dict)
    training: Training


class CannotAnswerError(Exception):
    """A sample is none that this specialist can be trained on or can answer; the text is the reason, to count by."""


class Specialist(ABC, Generic[ExampleT]):
    """A network with what it needs to learn from samples and to answer them.

    Attributes:
        module: The network.
        pretraining: What its weights started from.
        image_px: Side of the square that it sees; 0 if it sees none.
    """

    module: nn.Module
    pretraining: str
    image_px: int

    @abstractmethod
    def training_examples(self, samples: Iterable[Sample]) -> tuple[list[ExampleT], Counter[str]]:
        """Return what it can learn from, and how many samples it cannot, by reason."""

    @abstractmethod
    def loss(self, examples: Sequence[ExampleT]) -> torch.Tensor:
        """Return the loss of a batch, a scalar."""

    @abstractmethod
    def answer(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Answer a batch of samples, each of which :meth:`check` accepts."""

    @abstractmethod
    def check(self, sample: Sample) -> None:
        """Raise CannotAnswerError if a sample cannot be answered."""

    @abstractmethod
    def details(self) -> dict[str, JsonValue]:
        """Return what must be known, besides the weights, to make it again."""

    def calibrate(self, samples: Sequence[Sample], batch_size: int) -> None:
        """Set what is chosen on samples after training, such as the score from which on a box is written."""

    def save_further(self, folder: Path) -> None:
        """Save what is neither weights nor details, such as a tokenizer."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.module.parameters()).device


def own_images(sample: Sample) -> tuple[Image, ...]:
    """Return the images that a question is about, those of solved examples left out."""
    return tuple(image for image in sample.images if EXAMPLE_OF not in image.source.details)


def known_kind(name: str) -> Kind:
    """Read the name of a kind.

    Raises:
        UsageError: If there is no such kind.
    """
    for kind in KINDS:
        if kind == name:
            return kind
    raise UsageError("Cannot make a specialist", rule=f"KIND must be one of {', '.join(KINDS)}, got {name!r}")


def plain_config(config: Any) -> dict[str, JsonValue]:
    """Return a configuration of transformers as plain values, from which :func:`config_of` makes it again."""
    import json

    plain: dict[str, JsonValue] = json.loads(config.to_json_string(use_diff=False))
    return plain


def config_of(plain: Mapping[str, Any]) -> Any:
    """Undo :func:`plain_config`."""
    from transformers import AutoConfig

    return AutoConfig.for_model(**plain)
