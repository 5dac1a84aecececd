"""A model that says what a test tells it to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from domainvl.model.generation import GeneratedAnswer
from domainvl.prediction.answering import ModelIdentity, Progress
from domainvl.schema import Sample


class FakeModel:
    """Answers each sample by a function of it; remembers what it was asked.

    Args:
        reply: Makes the answer of a sample: its text, or text and likelihood.
        training: What its checkpoint says of its training.
    """

    def __init__(
        self, reply: Callable[[Sample, Path], str | tuple[str, float]], training: Mapping[str, Any] | None = None
    ) -> None:
        self._reply = reply
        self.training = training or {}
        self.identity = ModelIdentity("fake", "0" * 64)
        self.asked: list[Sample] = []

    def answer(
        self, samples: Sequence[Sample], folder: Path, on_progress: Progress | None = None
    ) -> list[GeneratedAnswer]:
        """Answer in order."""
        self.asked += samples
        answers = []
        for sample in samples:
            said = self._reply(sample, folder)
            text, likelihood = said if isinstance(said, tuple) else (said, 0.9)
            answers.append(GeneratedAnswer(sample.id, text, likelihood))
        return answers
