"""Answers of a checkpoint on this machine: on one device, or divided over several."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.evaluation.generating.options import Options
from domainvl.evaluation.predictions import Prediction
from domainvl.model.checkpoint import find_checkpoint, hash_weights, load_model, read_spec
from domainvl.model.device import choose_device, choose_precision
from domainvl.model.generation import GeneratedAnswer, generate_answers
from domainvl.model.preprocessing import Preprocessing, TileReader
from domainvl.model.trial import forget_peak_memory, peak_memory_bytes
from domainvl.schema import Sample, spread

if TYPE_CHECKING:
    from domainvl.model.checkpoint import LoadedModel

_CACHE_BYTES = 512 << 20
_ANSWERS_A_BATCH = 16
"""Answers that are written down together."""

_TIMED_IMAGES = 8
"""Samples, of different images, that the time of an image at batch 1 is measured on."""


@dataclass(frozen=True)
class CheckpointSettings:
    """How a checkpoint answers. Crosses to other processes.

    Attributes:
        reference: The checkpoint, as :func:`domainvl.model.checkpoint.find_checkpoint` takes it.
        dataset: Folder of the data set, for its images.
        preprocessing: How images become tiles; of the checkpoint that the verdict is about, so that all see the same.
        device: Where it runs.
        batch_size: Samples at a time; no answer depends on it.
        max_new_tokens: Longest answer.
        blank_images: Show grey instead of the images.
        measure: Whether the time at batch 1 is measured.
    """

    reference: str
    dataset: Path
    preprocessing: Preprocessing
    device: str = "auto"
    batch_size: int = 32
    max_new_tokens: int = 64
    blank_images: bool = False
    measure: bool = True


class CheckpointAnswerer:
    """A checkpoint in memory that answers.

    Args:
        settings: How.
        options: Which options a sample has.

    Raises:
        CheckpointError: If it cannot be loaded.
        UsageError: If there is no such device.
    """

    def __init__(self, settings: CheckpointSettings, options: Options) -> None:
        self._settings = settings
        self._options = options
        self._device = choose_device(settings.device)
        self._dtype = choose_precision("auto", self._device)
        self._model: LoadedModel | None = None
        self._reader = TileReader(settings.dataset, settings.preprocessing, cache_bytes=_CACHE_BYTES)

    @property
    def identity(self) -> Mapping[str, str]:
        """What the answers depend on."""
        return checkpoint_identity(self._settings, str(self._dtype).removeprefix("torch."))

    @property
    def device(self) -> str:
        """Where it runs."""
        import torch

        if self._device.type == "cuda":
            return f"{torch.cuda.get_device_name(self._device)}, {str(self._dtype).removeprefix('torch.')}"
        threads = torch.get_num_threads()
        return f"{self._device.type}, {threads} thread{'s' * (threads > 1)}, {str(self._dtype).removeprefix('torch.')}"

    def prepare(self, samples: Sequence[Sample]) -> None:
        """Load the model and answer a question for nothing: the first one pays for what is set up once."""
        for _ in self._generate(samples[:1], 1):
            pass

    def answer(self, samples: Sequence[Sample]) -> Iterator[list[Prediction]]:
        """Answer samples, some at a time."""
        batch: list[Prediction] = []
        for answer in self._generate(samples, self._settings.batch_size):
            batch.append(_prediction(answer))
            if len(batch) >= _ANSWERS_A_BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def visual_tokens(self, samples: Sequence[Sample]) -> int:
        """Return how many visual tokens the samples have together, each question's own counted."""
        preprocessing = self._settings.preprocessing
        tiles = sum(grid.tile_count for sample in samples for grid in preprocessing.grids(sample.images))
        return tiles * preprocessing.tokens_per_tile

    def ms_per_image(self, samples: Sequence[Sample]) -> float | None:
        """Measure the time of an image at batch 1: reading, tiling, encoding, answering; the median of a few."""
        by_images = {image_paths(sample): sample for sample in samples if sample.images}
        different = list(by_images.values())
        if not self._settings.measure or not different:
            return None
        self._loaded()
        seconds = []
        reader = TileReader(self._settings.dataset, self._settings.preprocessing)
        for _ in self._generate(different[:1], 1, reader):
            pass
        for index in spread(len(different), min(len(different), _TIMED_IMAGES)):
            start = time.perf_counter()
            for _ in self._generate([different[index]], 1, reader):
                pass
            seconds.append((time.perf_counter() - start) / len(different[index].images))
        return 1000 * sorted(seconds)[len(seconds) // 2]

    def peak_memory_gb(self) -> float:
        """Return the largest memory in use so far: of the GPU, else resident of this process."""
        import torch

        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / 1e9
        return peak_memory_bytes() / 1e9

    def _forget_peak(self) -> None:
        """Let the peak begin anew: systems answer one after the other in one process."""
        import torch

        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        forget_peak_memory()

    def _generate(
        self, samples: Sequence[Sample], batch_size: int, reader: TileReader | None = None
    ) -> Iterator[GeneratedAnswer]:
        if not samples:
            return
        yield from generate_answers(
            self._loaded(),
            samples,
            reader or self._reader,
            batch_size=batch_size,
            max_new_tokens=self._settings.max_new_tokens,
            blank_images=self._settings.blank_images,
            options_of=self._options,
        )

    def _loaded(self) -> LoadedModel:
        if self._model is None:
            self._forget_peak()
            model = load_model(self._settings.reference, device=self._device, dtype=self._dtype)
            model.spec = model.spec.model_copy(update={"preprocessing": self._settings.preprocessing})
            self._model = model
        return self._model


def checkpoint_identity(settings: CheckpointSettings, dtype: str) -> dict[str, str]:
    """Return what the answers of a checkpoint depend on, by name; the batch size and the device's number are not."""
    folder = find_checkpoint(settings.reference)
    spec = read_spec(folder)
    return {
        "weights": hash_weights(folder),
        "base": spec.base.weights_sha256 if spec.base else "",
        "chat": spec.chat.model_dump_json(),
        "preprocessing": settings.preprocessing.model_dump_json(),
        "longest answer": str(settings.max_new_tokens),
        "images": "blank" if settings.blank_images else "shown",
        "numbers": dtype,
    }


def _prediction(answer: GeneratedAnswer) -> Prediction:
    return Prediction(
        sample_id=answer.sample_id,
        text=answer.text,
        likelihood=answer.likelihood,
        options=answer.options,
        token_count=answer.token_count,
        cut_off=answer.cut_off,
    )


def image_paths(sample: Sample) -> tuple[str, ...]:
    """Return what tells samples about different images apart."""
    return tuple(image.path for image in sample.images)


def on_device(settings: CheckpointSettings, device: str) -> CheckpointSettings:
    """Return the same settings for another device."""
    return replace(settings, device=device)
