"""The data of both experiments: generated plates of dyed cloth, which `tiny` has never read a word about.

A plate is a group of two pictures with one ground. Each picture shows one patch of cloth; asked are its dye, the
sector of the plate in which it lies, and its weave. Which dye and which weave are frequent is skewed, so that whoever
does not look is right more often than by chance, and no more.
"""

from __future__ import annotations

import hashlib
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
    Sample,
    Source,
    Split,
    Task,
    TextAnswer,
    read_samples,
    samples_from_questions,
)

SIDE_PX = 64
PICTURES_PER_PLATE = 2
DYES = {
    "D1": (200, 75, 25),
    "D2": (25, 150, 150),
    "D3": (50, 55, 190),
    "D4": (50, 170, 70),
    "D5": (240, 190, 40),
    "D6": (245, 130, 150),
}
WEAVES = ("W1", "W2", "W3", "W4")
"""Plain, barred, striped and checked. Codes, because a model this small needs long to learn to spell a new word."""
ASKED = {
    "dye": "Which dye has the cloth?",
    "sector": "In which sector is the cloth?",
    "weave": "Which weave has the cloth?",
}
"""What is asked of each picture, by the name that the tables call it."""

DYE_SHARES = (0.3, 0.2, 0.15, 0.15, 0.1, 0.1)
WEAVE_SHARES = (0.4, 0.2, 0.2, 0.2)
STRIPE_PX = 4
DARKENED = 0.45
"""Brightness of the second thread of a weave, relative to the first."""


def write_plates(out: Path, *, training: int, testing: int, seed: int) -> None:
    """Generate plates and write them as a data set; whole plates are held out.

    Args:
        out: Folder to make.
        training: Plates to train on.
        testing: Plates of the test split; a tenth as many more are for validation, two at least.
        seed: Of everything.
    """
    settings = {"training": training, "testing": testing, "seed": seed}
    splits = [Split.TRAIN] * training + [Split.TEST] * testing + [Split.VAL] * max(2, testing // 10)
    with DatasetWriter(out, name=out.name) as writer:
        for number, split in enumerate(splits):
            generator = np.random.default_rng([seed, number])
            ground = _draw_ground(generator)
            for index in range(PICTURES_PER_PLATE):
                pixels, answers = _draw_cloth(ground, generator)
                stored = writer.images.put_pixels(pixels)
                for sample in samples_from_questions(
                    [Question(name, Task.VQA, ASKED[name], TextAnswer(text=answers[name])) for name in ASKED],
                    id_prefix=f"plate-{number:05d}-{index}",
                    domain="general",
                    images=[stored.to_image(Source(uri=f"generated/{number}/{index}"))],
                    fixed_split=split,
                    group=f"plate-{number:05d}",
                    provenance=_provenance("plates", settings),
                ):
                    writer.add(sample)
        writer.finish(
            command="plates", settings=settings, sources=[], versions={"domainvl": __version__}, licence="Apache-2.0"
        )


def write_blank(dataset: Path, out: Path, grey: tuple[int, int, int]) -> None:
    """Copy a data set with a plain picture in place of every image: what can be learnt from it is language.

    Sizes are kept, so that questions share passes and images become tiles as before, or nearly: images of one size
    are one image now.

    Args:
        dataset: The data set.
        out: Folder to make.
        grey: The colour.
    """
    with DatasetWriter(out, name=out.name) as writer:
        for split in Split:
            for sample in read_samples(dataset, split):
                writer.add(_without_content(sample, writer, grey))
        writer.finish(
            command="blank copy", settings={"grey": grey}, sources=[], versions={"domainvl": __version__}, licence=None
        )


def _without_content(sample: Sample, writer: DatasetWriter, grey: tuple[int, int, int]) -> Sample:
    images = []
    for image in sample.images:
        pixels = np.empty((image.height_px, image.width_px, 3), np.uint8)
        pixels[:] = grey
        stored = writer.images.put_pixels(pixels)
        images.append(image.model_copy(update={"path": stored.path, "pixel_sha256": stored.pixel_sha256}))
    return sample.model_copy(update={"images": tuple(images)})


def _provenance(converter: str, settings: dict[str, int]) -> Provenance:
    return Provenance(
        converter=converter,
        version=__version__,
        settings_sha256=hashlib.sha256(repr(settings).encode()).hexdigest(),
        wording=WORDING_VERSION,
    )


def _draw_ground(generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw smooth pale blobs, shape (64, 64, 3)."""
    cells = generator.uniform(150, 235, (4, 4, 1)) + generator.uniform(-12, 12, (4, 4, 3))
    small = PillowImage.fromarray(cells.astype(np.uint8))
    return np.asarray(small.resize((SIDE_PX, SIDE_PX), PillowImage.Resampling.BICUBIC), np.float64)


def _draw_cloth(
    ground: npt.NDArray[np.float64], generator: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], dict[str, str]]:
    """Draw a patch of cloth on a ground.

    Returns:
        uint8 RGB of shape (64, 64, 3), and the answer to each question.
    """
    dye = str(generator.choice(list(DYES), p=DYE_SHARES))
    weave = str(generator.choice(WEAVES, p=WEAVE_SHARES))
    width, height = (int(value) for value in generator.integers(18, 27, 2))
    x, y = int(generator.integers(0, SIDE_PX - width + 1)), int(generator.integers(0, SIDE_PX - height + 1))
    threads = np.ones((height, width))
    bars, stripes = (np.arange(length) // STRIPE_PX % 2 for length in (height, width))
    match weave:
        case "W2":
            threads[bars == 1] = DARKENED
        case "W3":
            threads[:, stripes == 1] = DARKENED
        case "W4":
            threads[(bars[:, None] + stripes[None]) % 2 == 1] = DARKENED
    shade = generator.uniform(-10, 10, 3)
    pixels = ground.copy()
    pixels[y : y + height, x : x + width] = threads[..., None] * (np.array(DYES[dye]) + shade)
    pixels += generator.normal(0, 4, pixels.shape)
    row, column = int((y + height / 2) * 3 // SIDE_PX), int((x + width / 2) * 3 // SIDE_PX)
    answers = {"dye": dye, "sector": f"{'ABC'[row]}{column + 1}", "weave": weave}
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8), answers
