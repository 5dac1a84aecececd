"""Generated swatches whose letters nobody can know who does not read the examples.

A store holds swatches of three dyes and has a letter for each, drawn for that store alone. The picture shows the dye
and nothing shows the store, so a question alone can be answered by chance only; a solved example of the same store
says what its letter means. The store is the domain of a sample: ``domainvl few-shot`` and ``domainvl eval --shots``
draw examples of the sample's own domain.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from domainvl import __version__
from domainvl.schema import (
    WORDING_VERSION,
    DatasetWriter,
    Provenance,
    Question,
    Source,
    Split,
    Task,
    TextAnswer,
    samples_from_questions,
)

SIDE_PX = 64
DYES = (
    (215, 40, 35),
    (40, 165, 60),
    (45, 75, 215),
    (235, 215, 45),
    (150, 50, 180),
    (50, 205, 215),
    (240, 240, 240),
    (20, 20, 20),
    (245, 140, 30),
    (128, 128, 128),
)
LETTERS = "ABCD"
DYES_A_STORE = 2
QUESTION = "Which letter has the swatch?"


@dataclass(frozen=True)
class Stores:
    """How many stores and swatches there are.

    Attributes:
        stores: Stores, each with letters of its own.
        training: Swatches of a store in the training split, from which examples are drawn.
        testing: Swatches of a store that are held out for the test; one more is for validation.
    """

    stores: int
    training: int
    testing: int


def write_swatches(out: Path, size: Stores, *, seed: int) -> None:
    """Generate stores and write them as a data set.

    The held-out swatches of a store are one group, so that intervals are over stores; each training swatch is a group
    of its own, so that those of the same store can be its examples.

    Args:
        out: Folder to make.
        size: How many.
        seed: Of everything.
    """
    settings = {**asdict(size), "seed": seed}
    provenance = Provenance(
        converter="swatches",
        version=__version__,
        settings_sha256=hashlib.sha256(repr(settings).encode()).hexdigest(),
        wording=WORDING_VERSION,
    )
    splits = [Split.TRAIN] * size.training + [Split.TEST] * size.testing + [Split.VAL]
    with DatasetWriter(out, name=out.name) as writer:
        for store in range(size.stores):
            generator = np.random.default_rng([seed, store])
            dyes = generator.choice(len(DYES), DYES_A_STORE, replace=False)
            letters = generator.choice(list(LETTERS), DYES_A_STORE, replace=False)
            for number, split in enumerate(splits):
                which = int(generator.integers(DYES_A_STORE))
                stored = writer.images.put_pixels(_draw(DYES[dyes[which]], generator))
                name = f"store-{store:04d}"
                group = f"{name}-{number:03d}" if split is Split.TRAIN else f"{name}-{split.value}"
                for sample in samples_from_questions(
                    [Question("letter", Task.VQA, QUESTION, TextAnswer(text=str(letters[which])))],
                    id_prefix=f"{name}-{number:03d}",
                    domain=name,
                    images=[stored.to_image(Source(uri=f"generated/{store}/{number}"))],
                    fixed_split=split,
                    group=group,
                    provenance=provenance,
                ):
                    writer.add(sample)
        writer.finish(
            command="swatches", settings=settings, sources=[], versions={"domainvl": __version__}, licence="Apache-2.0"
        )


def _draw(dye: tuple[int, int, int], generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw cloth that fills the picture, with folds and noise: uint8 RGB of shape (64, 64, 3)."""
    cells = generator.integers(100, 156, (4, 4), dtype=np.uint8)
    folds = np.asarray(PillowImage.fromarray(cells).resize((SIDE_PX, SIDE_PX), PillowImage.Resampling.BICUBIC))
    pixels = np.array(dye) + generator.uniform(-10, 10, 3) + (folds[..., None] - 128.0)
    pixels += generator.normal(0.0, 4.0, pixels.shape)
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)
