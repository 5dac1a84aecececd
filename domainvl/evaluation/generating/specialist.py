"""Answers of a specialist that was trained here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.specialists.run import SPEC_NAME, answer_samples
from domainvl.files import hash_file
from domainvl.model.checkpoint import hash_weights
from domainvl.model.device import choose_device
from domainvl.schema import Sample


class SpecialistAnswerer:
    """A specialist that answers.

    Args:
        folder: Of the specialist.
        dataset: Folder of the data set, for its images.
        device: Where it runs.
        batch_size: Samples at a time.
    """

    def __init__(self, folder: Path, dataset: Path, *, device: str = "auto", batch_size: int = 32) -> None:
        self._folder = folder
        self._dataset = dataset
        self._device = device
        self._batch_size = batch_size

    @property
    def identity(self) -> Mapping[str, str]:
        """What the answers depend on."""
        return {"specialist": hash_file(self._folder / SPEC_NAME), "weights": hash_weights(self._folder)}

    @property
    def device(self) -> str:
        """Where it runs."""
        return str(choose_device(self._device))

    def prepare(self, samples: Sequence[Sample]) -> None:
        """Nothing: it is not timed beside models."""

    def answer(self, samples: Sequence[Sample]) -> Iterator[list[Prediction]]:
        """Answer samples, all together: it takes seconds.

        Raises:
            CheckpointError: If the folder holds no specialist of this field.
        """
        if samples:
            predictions, _ = answer_samples(
                self._folder, self._dataset, samples, batch_size=self._batch_size, device=self._device
            )
            yield predictions

    def visual_tokens(self, samples: Sequence[Sample]) -> None:
        """It has none that compare."""

    def ms_per_image(self, samples: Sequence[Sample]) -> None:
        """Not measured."""

    def peak_memory_gb(self) -> None:
        """Not measured: the process has held larger models."""
