"""Who answers: anything that turns samples into predictions, and how long it took."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from domainvl.evaluation.generating.journal import Journal
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.results import Cost
from domainvl.schema import Sample

Progress = Callable[[int, int], None]
"""Called with the number of answers so far and in all."""


class Answerer(Protocol):
    """Answers samples."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What the answers depend on, by name."""
        ...

    @property
    def device(self) -> str:
        """Where it runs, in words."""
        ...

    def prepare(self, samples: Sequence[Sample]) -> None:
        """Load what answers and let it run once, so that the first system is not timed with what all share."""
        ...

    def answer(self, samples: Sequence[Sample]) -> Iterator[list[Prediction]]:
        """Answer samples, some at a time, in any order; no answer depends on which samples are asked beside it."""
        ...

    def visual_tokens(self, samples: Sequence[Sample]) -> int | None:
        """Return how many visual tokens the samples have together; None where that is not known."""
        ...

    def ms_per_image(self, samples: Sequence[Sample]) -> float | None:
        """Measure the time of an image at batch 1, in milliseconds; None where that makes no sense."""
        ...

    def peak_memory_gb(self) -> float | None:
        """Return the largest memory in use so far, in 10^9 bytes; None where that is not known."""
        ...


@dataclass(frozen=True)
class Answered:
    """All answers of a system.

    Attributes:
        predictions: One a sample, in their order.
        cost: What they took in this run; None where all had been given before.
    """

    predictions: list[Prediction]
    cost: Cost | None


def answer_all(
    answerer: Answerer,
    samples: Sequence[Sample],
    journal_path: Path,
    identity: Mapping[str, str],
    on_progress: Progress | None = None,
) -> Answered:
    """Answer all samples, going on from what a journal holds.

    Args:
        answerer: Who answers.
        samples: What is asked.
        journal_path: File of the answers so far.
        identity: What the answers depend on besides the answerer and the questions, such as the data.
        on_progress: Told how far it is.

    Raises:
        UsageError: If the journal holds other answers.
        OutputError: If it cannot be written.
    """
    with Journal(journal_path, {**identity, **answerer.identity, "questions": _digest(samples)}) as journal:
        left = [sample for sample in samples if sample.id not in journal.answers]
        if on_progress is not None:
            on_progress(len(samples) - len(left), len(samples))
        answerer.prepare(left)
        start = time.perf_counter()
        with closing(answerer.answer(left)) as batches:  # type: ignore[type-var]
            for batch in batches:
                journal.add(batch)
                if on_progress is not None:
                    on_progress(len(journal.answers), len(samples))
        seconds = time.perf_counter() - start
        predictions = [journal.answers[sample.id] for sample in samples]
    if samples and not left:
        return Answered(predictions, None)
    written = [journal.answers[sample.id].token_count for sample in left]
    cost = Cost(
        device=answerer.device,
        seconds=seconds,
        answers=len(left),
        ms_per_image=answerer.ms_per_image(samples),
        visual_tokens=answerer.visual_tokens(left),
        tokens=sum(count or 0 for count in written) if None not in written else None,
        peak_memory_gb=answerer.peak_memory_gb(),
    )
    return Answered(predictions, cost)


def _digest(samples: Sequence[Sample]) -> str:
    """Hash what is asked: prompts and pixels. The options, which a set gathers from all of its samples, follow them."""
    digest = hashlib.sha256()
    for sample in samples:
        images = [image.pixel_sha256 for image in sample.images]
        asked = [sample.id, images, [turn.text for turn in sample.turns[:-1]]]
        digest.update(json.dumps(asked, ensure_ascii=True).encode())
    return digest.hexdigest()
