"""What can be trained on: data sets of samples, and interleaved documents, behind one face."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from domainvl.errors import NothingToDoError
from domainvl.files import hash_file
from domainvl.interleaved import InterleavedFile, WindowLimits
from domainvl.model.encoding import ConversationEncoder
from domainvl.model.preprocessing import Preprocessing
from domainvl.model.trained_on import TrainedOn, trained_on, trained_on_images
from domainvl.schema import Sample, SampleFile, Split, read_manifest, read_samples, spread
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
        padding_id: Token to pad with; it is never seen.
        longest: Longest sample that the model sees as it is; None if there is no such limit.
    """

    encoder: ConversationEncoder
    preprocessing: Preprocessing
    rope_border: int | None = None
    padding_id: int = 0
    longest: int | None = None


class Source(ABC):
    """The training part of one data source.

    Attributes:
        name: How the log calls it.
        role: Domain or general.
        folder: That image paths start from.
        digest: Hash of the content.
        record: What a checkpoint says of it.
        left_out: How much of it cannot be trained on, by reason; empty where converting has seen to that.
        listed: Some of that one by one.
    """

    name: str
    role: Role
    folder: Path
    digest: str
    record: dict[str, Any]
    left_out: Mapping[str, int] = MappingProxyType({})
    listed: Sequence[Mapping[str, str]] = ()

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

    def trained_on(self) -> TrainedOn:
        """Return what can no longer be held out once this was trained on; nothing where nothing is shown."""
        return TrainedOn()

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
        self._split = split
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

    def trained_on(self) -> TrainedOn:
        """Return the groups and images of the samples that are taken; the file is read once."""
        picked = set(self._picked)
        samples = enumerate(read_samples(self.folder, self._split))
        return trained_on(sample for index, sample in samples if index in picked)

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


class InterleavedSource(Source):
    """Windows of interleaved documents of one split, in OmniCorpus' format.

    Args:
        path: File or folder of records.
        name: How the log calls it.
        role: Domain or general.
        model: Decides how long a text is.
        limits: How large a window may be, and whether one without an image counts.
        split: Which documents.
        at_most: Take so many windows, evenly spread; all where None.
        withheld: Ids of documents and pixel hashes of images that others hold out.

    Raises:
        InputNotFoundError: If there is no such file or folder.
        DatasetError: If a file cannot be read.
        NothingToDoError: If it is the training split and has no windows.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        role: Role,
        model: ModelInput,
        limits: WindowLimits,
        split: Split = Split.TRAIN,
        at_most: int | None = None,
        withheld: frozenset[str] = frozenset(),
    ) -> None:
        self._file = InterleavedFile(
            path, model.encoder, model.preprocessing, split=split, limits=limits, withheld=withheld
        )
        self.name, self.role, self.folder = name, role, self._file.root
        if split is Split.TRAIN and not len(self._file):
            raise NothingToDoError(
                "Cannot train", where=path, rule="no window of its documents can be used", action="Leave it out"
            )
        self._picked = spread(len(self._file), at_most)
        self.digest = hashlib.sha256(" ".join(hash_file(one) for one in self._file.paths).encode()).hexdigest()
        self.left_out = self._file.skipped
        self.listed = [asdict(one) for one in self._file.listed]
        self.record = {
            "interleaved": path.name,
            "role": role,
            "documents": self._file.document_count,
            "windows": len(self._file),
            "left_out": dict(self.left_out),
            "sha256": self.digest,
        }

    def __len__(self) -> int:
        return len(self._picked)

    def image_key(self, index: int) -> int:
        """Return another number for each window: nothing of a document is asked twice."""
        return index

    def trained_on(self) -> TrainedOn:
        """Return the images of the windows that are taken; no sample is of the group of a document."""
        return trained_on_images(image for index in self._picked for image in self._file.window(index).images)

    def encode(self, indices: Sequence[int], model: ModelInput, max_tiles: int) -> list[EncodedUnit]:
        """Encode windows, each for itself."""
        preprocessing = model.preprocessing.limited_to(max_tiles)
        units = []
        for index in indices:
            window = self._file.window(self._picked[index])
            units += join(
                [window.encode(model.encoder, preprocessing)],
                [f"{window.document}#{self._picked[index]}"],
                model.encoder,
                images=window.images,
                tile_counts=[grid.tile_count for grid in preprocessing.grids(window.images)],
                max_tiles=max_tiles,
            )
        return units


class NoSamples(Source):
    """Stands for a source that has nothing of a split, so that all sources keep their numbers.

    Args:
        name: How the log calls the source.
        role: Domain or general.
        folder: The source's.
    """

    def __init__(self, name: str, role: Role, folder: Path) -> None:
        self.name, self.role, self.folder = name, role, folder
        self.digest, self.record = "", {}

    def __len__(self) -> int:
        return 0

    def image_key(self, index: int) -> int:
        """There is no sample."""
        raise IndexError(index)

    def encode(self, indices: Sequence[int], model: ModelInput, max_tiles: int) -> list[EncodedUnit]:
        """Return nothing."""
        return []
