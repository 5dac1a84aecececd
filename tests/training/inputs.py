"""What the tests of training share: units of given sizes, encoded samples, a model's view of data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from domainvl.model.checkpoint import LoadedModel
from domainvl.schema import Image
from domainvl.schema import Source as Origin
from domainvl.training.batches import ReadUnit
from domainvl.training.loading import ImageLoader
from domainvl.training.mixture import MixtureSpec, open_sources
from domainvl.training.sources import DatasetSource, ModelInput, Source
from domainvl.training.units import EncodedUnit


def model_input(loaded: LoadedModel, rope_border: int | None = None) -> ModelInput:
    """Return how a model takes samples in."""
    return ModelInput(loaded.encoder(), loaded.spec.preprocessing, rope_border)


def sources_of(loaded: LoadedModel, spec: MixtureSpec) -> list[Source]:
    """Open the sources of a mixture for a model."""
    return open_sources(spec, model_input(loaded), 4096)


def read_units(loaded: LoadedModel, dataset: Path, passes: Sequence[Sequence[int]], source: int = 0) -> list[ReadUnit]:
    """Encode and read samples of a data set, some of them together."""
    data = DatasetSource(dataset, "data", "domain")
    images = ImageLoader(dataset, loaded.spec.preprocessing)
    units = [
        unit
        for indices in passes
        for unit in data.encode(indices, model_input(loaded), loaded.spec.preprocessing.max_tiles)
    ]
    return [ReadUnit(unit, source, images.read(unit.images, unit.max_tiles)) for unit in units]


def unit_of(
    *questions: Sequence[int], shared: int = 0, images: int = 0, tiles: int = 1, name: str = "sample"
) -> EncodedUnit:
    """Return a unit by the flags of its questions: 1 where a token is supervised."""
    flags = [False] * shared + [bool(flag) for question in questions for flag in question]
    image = Image(path="x", width_px=64, height_px=64, pixel_sha256="0" * 64, source=Origin(uri="x"))
    return EncodedUnit(
        tuple(range(len(flags))),
        tuple(flags),
        shared,
        tuple(len(question) for question in questions),
        (image,) * images,
        (tiles,) * images,
        tiles,
        tuple(f"{name}-{index}" for index in range(len(questions))),
    )
