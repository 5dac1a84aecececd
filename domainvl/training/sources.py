"""What can be trained on: data sets of samples, and interleaved documents, behind one face."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from domainvl.errors import NothingToDoError
from domainvl.files import hash_file
from domainvl.model.encoding import ConversationEncoder
from domainvl.model.preprocessing import Preprocessing
from domainvl.schema import Sample, SampleFile, Split, read_manifest
from domainvl.training.units import EncodedUnit, join

Role = Literal["domain", "general"]
"""Whether a source is what the model is adapted to, or is mixed in so that it does not forget."""


@dataclass(frozen=True)
class ModelInput:
    """How a model takes samples in.

    Attributes:
        encoder: Of conversations.
        preprocessing: How images become tiles.
        rope_border: See ``LoadedModel.rope_border``.
    """

    encoder: ConversationEncoder
    preprocessing: Preprocessing
    rope_border: int | None


class Source(ABC):
    """The training part of one data source.

    Attributes:
        name: How the log calls it.
        role: Domain or general.
        folder: That image paths start from.
        digest: Hash of the content.
        record: What a checkpoint says of it.
    """

    name: str
    role: Role
    folder: Path
    digest: str
    record: dict[str, Any]

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def image_key(self, index: int) -> int:
        """Return a number that is equal for samples about equal images in equal order."""

    @abstractmethod
    def encode(self, indices: Sequence[int], model: ModelInput, max_tiles: int) -> list[EncodedUnit]:
        """Encode samples about the same images: as one unit, or each for itself where they share nothing.

        Args:
            indices: Of the samples.
            model: What they are encoded for.
            max_tiles: Most tiles a sample.

        Raises:
            DatasetError: If a sample breaks a rule.
        """

    def passes(self, questions_per_pass: int) -> list[range]:
        """Put neighbouring samples about the same images together.

        Args:
            questions_per_pass: Most samples in a pass.

        Returns:
            Ranges of indices that cover all samples in order.
        """
        passes = []
        start = 0
        for index in range(1, len(self) + 1):
            full = index - start == questions_per_pass
            if index == len(self) or full or self.image_key(index) != self.image_key(start):
                passes.append(range(start, index))
                start = index
        return passes


class DatasetSource(Source):
    """One split of a data set, or a part of it.

    Args:
        folder: The data set's.
        name: How the log calls it.
        role: Domain or general.
        split: Which split.
        at_most: Take so many samples, evenly spread; all where None.

    Raises:
        InputNotFoundError: If there is no data set.
        DatasetError: If a line is wrong.
        NothingToDoError: If it is the training split and has no samples.
    """

    def __init__(
        self, folder: Path, name: str, role: Role, split: Split = Split.TRAIN, at_most: int | None = None
    ) -> None:
        self.name, self.role, self.folder = name, role, folder
        self._samples = SampleFile(folder, split)
        if split is Split.TRAIN and not self._samples:
            raise NothingToDoError(
                "Cannot train", where=folder, rule="train.jsonl is empty", action="Leave it out, or convert it again"
            )
        self._picked = spread(len(self._samples), at_most)
        self.digest = hash_file(folder / f"{split.value}.jsonl")
        manifest = read_manifest(folder)
        self.record = {
            "dataset": manifest["name"],
            "role": role,
            "command": manifest["command"],
            "conversion_settings": manifest["settings"],
            "sha256": self.digest,
        }

    def __len__(self) -> int:
        return len(self._picked)

    def image_key(self, index: int) -> int:
        """Return the number of the sample's images."""
        return self._samples.image_keys[self._picked[index]]

    def samples(self, at_most: int | None = None) -> list[Sample]:
        """Return the samples, or some of them, evenly spread."""
        return [self._samples[self._picked[index]] for index in spread(len(self), at_most)]

    def encode(self, indices: Sequence[int], model: ModelInput, max_tiles: int) -> list[EncodedUnit]:
        """Encode samples about the same images."""
        samples = [self._samples[self._picked[index]] for index in indices]
        images = samples[0].images
        tile_counts = [grid.tile_count for grid in model.preprocessing.limited_to(max_tiles).grids(images)]
        return join(
            [model.encoder.encode(sample.turns, tile_counts) for sample in samples],
            [sample.id for sample in samples],
            model.encoder,
            images=images,
            tile_counts=tile_counts,
            max_tiles=max_tiles,
            rope_border=model.rope_border,
        )


def spread(size: int, count: int | None) -> range:
    """Return at most ``count`` indices, evenly spread over ``size``; all where None."""
    if count == 0:
        return range(0)
    return range(0, size, 1 if count is None else max(1, math.ceil(size / count)))
