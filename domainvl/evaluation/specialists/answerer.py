"""What specialists that choose from a list of answers share; they differ in what they look at."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.specialists.answer_list import AnswerList
from domainvl.evaluation.specialists.specialist import CannotAnswerError, Specialist
from domainvl.schema.sample import ChoiceAnswer, Image, Sample


@dataclass(frozen=True)
class AnswerExample:
    """What a network that chooses an answer learns from.

    Attributes:
        images: What it sees; empty if it does not look.
        text: What it reads; empty if it does not read.
        possible: Classes that it chooses from.
        target: Which of them is right; 0 where that does not matter.
    """

    images: tuple[Image, ...]
    text: str
    possible: tuple[int, ...]
    target: int = 0


class Answerer(Specialist[AnswerExample]):
    """A specialist that chooses from a list of answers, among those that can answer the kind of question at hand.

    Attributes:
        answers: The list.
    """

    answers: AnswerList

    @abstractmethod
    def logits(self, examples: Sequence[AnswerExample]) -> torch.Tensor:
        """Return one number a class, float of shape (examples, classes)."""

    @abstractmethod
    def look(self, sample: Sample, possible: tuple[int, ...]) -> AnswerExample:
        """Take from a sample what the network sees and reads.

        Raises:
            CannotAnswerError: If that is not there.
        """

    def training_examples(self, samples: Iterable[Sample]) -> tuple[list[AnswerExample], Counter[str]]:
        """See :class:`Specialist`."""
        examples, left_out = [], Counter[str]()
        for sample in samples:
            try:
                possible = self.answers.possible(sample)
                example = self.look(sample, possible)
                target = self.answers.target(sample, possible)
            except CannotAnswerError as reason:
                left_out[str(reason)] += 1
            else:
                examples.append(AnswerExample(example.images, example.text, possible, target))
        return examples, left_out

    def check(self, sample: Sample) -> None:
        """See :class:`Specialist`."""
        self.look(sample, self.answers.possible(sample))

    def loss(self, examples: Sequence[AnswerExample]) -> torch.Tensor:
        """Return the mean cross entropy among the classes that are possible."""
        targets = torch.tensor([example.possible[example.target] for example in examples], device=self.device)
        return functional.cross_entropy(self._masked(examples), targets)

    def answer(self, samples: Sequence[Sample]) -> list[Prediction]:
        """See :class:`Specialist`."""
        examples = [self.look(sample, self.answers.possible(sample)) for sample in samples]
        probabilities = self._masked(examples).double().softmax(dim=1).cpu().numpy()
        return [
            self.answers.prediction(sample, example.possible, row[list(example.possible)])
            for sample, example, row in zip(samples, examples, probabilities, strict=True)
        ]

    def _masked(self, examples: Sequence[AnswerExample]) -> torch.Tensor:
        logits = self.logits(examples)
        impossible = torch.ones(logits.shape, dtype=torch.bool)
        for row, example in enumerate(examples):
            impossible[row, list(example.possible)] = False
        return logits.masked_fill(impossible.to(logits.device), -torch.inf)


def read_text(sample: Sample) -> str:
    """Return what a network reads of a sample: the question, and after it the options if there are any."""
    if isinstance(sample.answer, ChoiceAnswer):
        return " ".join([sample.question, *sample.answer.options])
    return sample.question
