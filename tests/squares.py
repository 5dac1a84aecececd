"""A small data set and a small untrained model for the tests of model, training and evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from domainvl.schema import (
    WORDING_VERSION,
    BoxesAnswer,
    CountAnswer,
    DatasetWriter,
    Object,
    Provenance,
    Question,
    Source,
    Split,
    Task,
    TextAnswer,
    samples_from_questions,
)

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
PROVENANCE = Provenance(converter="squares", version="0", settings_sha256="0" * 64, wording=WORDING_VERSION)


def write_squares(folder: Path, *, groups: int = 24, side_px: int = 64) -> None:
    """Write the data set; of each four groups one is for validation and one for testing."""
    generator = np.random.default_rng(5)
    with DatasetWriter(folder, name="squares") as writer:
        for number in range(groups):
            images, objects = [], []
            for index in range(2):
                colour = list(COLOURS)[int(generator.integers(2))]
                x, y = (int(value) for value in generator.integers(0, side_px - 24, 2))
                pixels = np.full((side_px, side_px, 3), 128, np.uint8)
                pixels[y : y + 24, x : x + 24] = COLOURS[colour]
                stored = writer.images.put_pixels(pixels)
                images.append(stored.to_image(Source(uri=f"{number}-{index}")))
                box_px = (float(x), float(y), float(x + 24), float(y + 24))
                objects.append(Object(id=str(index), label=f"{colour} square", image=index, box_px=box_px))
            split = (Split.VAL, Split.TEST, Split.TRAIN, Split.TRAIN)[number % 4]
            common = {"domain": "general", "fixed_split": split, "group": f"g{number}", "provenance": PROVENANCE}
            colour = objects[0].label.split()[0]
            single = [
                Question("colour", Task.VQA, "What colour is the square?", TextAnswer(text=colour)),
                Question("where", Task.GROUNDING, objects[0].label, BoxesAnswer(object_ids=("0",))),
            ]
            reds = sum(thing.label == "red square" for thing in objects)
            both = [Question("count", Task.COUNTING, "How many squares are red?", CountAnswer(count=reds))]
            for questions, shown, known in ((single, images[:1], objects[:1]), (both, images, objects)):
                for sample in samples_from_questions(
                    questions, id_prefix=f"{number:02d}", images=shown, objects=known, **common
                ):
                    writer.add(sample)
        writer.finish(command="squares", settings={"groups": groups}, sources=[], versions={})


def write_untrained(folder: Path, dataset: Path) -> None:
    """Write a checkpoint of random weights whose tokenizer knows the words of the data set."""
    from domainvl.model.build import build_tiny, train_tokenizer
    from domainvl.model.chat import Chat
    from domainvl.model.checkpoint import CheckpointSpec, LoadedModel, save_checkpoint
    from domainvl.model.preprocessing import Preprocessing
    from domainvl.model.sizes import TINY_TILE_SIDE_PX, TINY_TOKENS_PER_TILE
    from domainvl.schema import read_samples

    texts = [turn.text for sample in read_samples(dataset, Split.TRAIN) for turn in sample.turns]
    tokenizer = train_tokenizer(texts * 20, folder, vocabulary_size=400)
    spec = CheckpointSpec(
        kind="model",
        chat=Chat(format="Hermes-2", system_message=None),
        preprocessing=Preprocessing(tile_side_px=TINY_TILE_SIDE_PX, tokens_per_tile=TINY_TOKENS_PER_TILE, max_tiles=1),
    )
    save_checkpoint(LoadedModel(build_tiny(tokenizer, seed=3), tokenizer, spec), folder)
