"""Reads planned units ahead of the model: encodes them, reads their pixels, leaves out what is broken and says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.errors import DatasetError, StoppedError
from domainvl.model.preprocessing import Preprocessing, TileReader
from domainvl.model.read_ahead import read_ahead
from domainvl.model.visual import VisualInput
from domainvl.schema import Image
from domainvl.training.batches import Batch, ReadUnit, collate
from domainvl.training.plan import Micro, PlannedUnit, TrainingPlan
from domainvl.training.sources import ModelInput, Source
from domainvl.training.units import LossWeighting

if TYPE_CHECKING:
    from domainvl.model.vision_cache import VisionCache

SKIPPED_NAME = "skipped.jsonl"
UNREADABLE = "unreadable-image"


@dataclass(frozen=True)
class Skipped:
    """Samples that a run left out because they could not be read.

    Attributes:
        source: Name of their source.
        samples: Their ids.
        reason: A stable code to count by.
        message: What is wrong, where, and what to do.
    """

    source: str
    samples: tuple[str, ...]
    reason: str
    message: str


@dataclass(frozen=True)
class LoadedPack:
    """What is computed at a time, ready for the model.

    Attributes:
        batch: The tensors.
        samples: Samples of each source.
        tokens: Tokens of each source, padding not counted.
        tiles: Tiles in all.
        names: Ids of the samples.
        skipped: What was left out.
    """

    batch: Batch
    samples: tuple[int, ...]
    tokens: tuple[int, ...]
    tiles: int
    names: tuple[str, ...]
    skipped: tuple[Skipped, ...]


class ImageLoader:
    """Reads the images of one folder, as tiles, or as what a frozen vision encoder made of them before.

    Args:
        folder: That image paths start from.
        preprocessing: How images become tiles.
        cache: Of features; None where the vision encoder is trained.
        cache_bytes: Memory for decoded tiles.
    """

    def __init__(
        self, folder: Path, preprocessing: Preprocessing, *, cache: VisionCache | None = None, cache_bytes: int = 0
    ) -> None:
        self._preprocessing = preprocessing
        self._cache = cache
        self._reader = TileReader(folder, preprocessing, cache_bytes=cache_bytes)

    def read(self, images: Sequence[Image], max_tiles: int) -> tuple[VisualInput, ...]:
        """Return what the model is given of each image of a sample.

        Raises:
            DatasetError: If an image cannot be used.
        """
        cache = self._cache
        if cache is None:
            return tuple(VisualInput(tiles=tiles) for tiles in self._reader.read(images, max_tiles))
        grids = self._preprocessing.limited_to(max_tiles).grids(images)
        keys = [cache.key(image, grid) for image, grid in zip(images, grids, strict=True)]
        found = [cache.read(key) for key in keys]
        if all(features is not None for features in found):
            return tuple(VisualInput(key=key, features=one) for key, one in zip(keys, found, strict=True))
        tiles = self._reader.read(images, max_tiles)
        return tuple(
            VisualInput(key=key, features=features, tiles=None if features is not None else part)
            for key, features, part in zip(keys, found, tiles, strict=True)
        )


class PackLoader:
    """Turns what is computed at a time into tensors.

    Args:
        plan: Says what the units are.
        sources: Where they come from.
        loaders: Of the images of each source.
        model: What they are encoded for.
        weighting: What each token counts in the loss.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        sources: Sequence[Source],
        loaders: Sequence[ImageLoader],
        model: ModelInput,
        weighting: LossWeighting,
    ) -> None:
        self._plan = plan
        self._sources = sources
        self._loaders = loaders
        self._model = model
        self._weighting = weighting

    def read(self, micro: Micro) -> LoadedPack:
        """Read some units; what cannot be read is left out and listed."""
        units, skipped = [], []
        for number in micro:
            planned = self._plan.units[number]
            try:
                units.append(self._read_unit(planned))
            except DatasetError as error:
                skipped.append(self._skip(planned, error))
        samples, tokens = Counter[int](), Counter[int]()
        for one in units:
            samples[one.source] += len(one.unit.names)
            tokens[one.source] += len(one.unit.input_ids)
        return LoadedPack(
            collate(units, self._model.padding_id, self._plan.arrangement, self._weighting),
            tuple(samples[index] for index in range(len(self._sources))),
            tuple(tokens[index] for index in range(len(self._sources))),
            sum(sum(one.unit.tile_counts) for one in units),
            tuple(name for one in units for name in one.unit.names),
            tuple(skipped),
        )

    def read_all(self, micros: Iterable[Micro], readers: int) -> Generator[LoadedPack, None, None]:
        """Read what is computed at a time, in order, ahead of whoever takes it."""
        return read_ahead(self.read, micros, worker_count=readers)

    def _read_unit(self, planned: PlannedUnit) -> ReadUnit:
        (unit,) = self._sources[planned.source].encode(planned.indices, self._model, planned.max_tiles)
        return ReadUnit(unit, planned.source, self._loaders[planned.source].read(unit.images, unit.max_tiles))

    def _skip(self, planned: PlannedUnit, error: DatasetError) -> Skipped:
        source = self._sources[planned.source]
        (unit,) = source.encode(planned.indices, self._model, planned.max_tiles)
        return Skipped(source.name, unit.names, UNREADABLE, str(error))


class ErrorBudget:
    """Counts the samples that could not be read, and ends the run when they are too many.

    Args:
        share: Of the run's samples.
        samples: Of the run.

    Attributes:
        counts: Samples left out, by reason.
    """

    def __init__(self, share: float, samples: int) -> None:
        self._share = share
        self._samples = samples
        self._last = ""
        self.counts: Counter[str] = Counter()

    def spend(self, skipped: Iterable[Skipped]) -> list[dict[str, Any]]:
        """Count what was left out and return rows of the list of it."""
        rows = []
        for one in skipped:
            self.counts[one.reason] += len(one.samples)
            self._last = one.message
            rows.append(
                {"source": one.source, "samples": list(one.samples), "reason": one.reason, "message": one.message}
            )
        return rows

    def check(self) -> None:
        """End the run if the budget is spent.

        Raises:
            StoppedError: If it is.
        """
        spent = sum(self.counts.values())
        if spent > self._share * self._samples:
            last = f", the last: {self._last}" if self._last else ""
            raise StoppedError(
                "Too many samples cannot be read",
                rule=f"at most {self._share:.1%} of {self._samples:,} may fail (mixture.error_budget), got {spent}"
                f"{last}",
                action=f"Look into {SKIPPED_NAME}, mend the data set, or raise mixture.error_budget",
            )
