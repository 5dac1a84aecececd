"""A small data set with a sample of every kind, for the tests of what has to carry all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from builders import make_sample
from PIL import Image as PillowImage

from domainvl.schema import (
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    DatasetWriter,
    Image,
    Object,
    Sample,
    Source,
    Split,
    Task,
    TextAnswer,
)

STRANGE = 'What is <image>, <box>[[1, 2, 3, 4]]</box> and <|im_end|>?\r\n\t"é" 漢字 🛰 \\n \u2028 &lt;s&gt; \x85'


def write_varied(folder: Path) -> list[Sample]:
    """Write the data set and return its samples in the order of the files: train, val, test."""
    with DatasetWriter(folder, name="varied") as writer:
        samples = list(varied_samples(make_images(writer, folder.parent)))
        for sample in samples:
            writer.add(sample)
        writer.finish(command="varied", settings={}, sources=[], versions={}, licence="CC0-1.0")
    return sorted(samples, key=lambda sample: list(Split).index(sample.split))


def write_noise(out: Path, count: int, *, size_px: int = 300, images: int = 1, text: str = "What?") -> Path:
    """Write a data set of samples that share their images; one of 300 pixels has 0.27 MB."""
    noise = np.random.default_rng(0)
    with DatasetWriter(out, name="noisy") as writer:
        stored = [
            writer.images.put_pixels(noise.integers(0, 256, (size_px, size_px, 3), dtype=np.uint8)).to_image(
                Source(uri=str(number))
            )
            for number in range(images)
        ]
        for number in range(count):
            shown = [stored[number % images]]
            writer.add(make_sample(f"s{number}", question=text, images=shown, group=f"g{number % images}"))
        writer.finish(command="noisy", settings={}, sources=[], versions={})
    return out


def make_images(writer: DatasetWriter, scratch: Path) -> dict[str, Image]:
    """Store images of different sizes, colours and encodings."""
    noise = np.random.default_rng(11)
    images = {
        "wide": writer.images.put_pixels(noise.integers(0, 256, (60, 170, 3), dtype=np.uint8)),
        "tall": writer.images.put_pixels(noise.integers(0, 256, (90, 40), dtype=np.uint8)),
        "square": writer.images.put_pixels(np.full((33, 33, 3), 90, np.uint8)),
    }
    photo = scratch / "photo.jpg"
    PillowImage.fromarray(noise.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(photo, quality=80)
    images["photo"] = writer.images.put_file(photo)
    photo.unlink()
    return {name: stored.to_image(Source(uri=name)) for name, stored in images.items()}


def varied_samples(images: dict[str, Image]) -> Iterator[Sample]:
    """Make the samples."""
    wide, tall, photo = images["wide"], images["tall"], images["photo"]
    ships = [
        Object(id="a", label="ship", box_px=(10.3, 5.0, 40.9, 31.7)),
        Object(id="b", label="ship", box_px=(0.0, 0.0, 170.0, 60.0)),
        Object(id="c", label="oil tank, <old>", box_px=(169.9, 59.9, 170.0, 60.0)),
        Object(id="d", label="buoy", box_px=(80.001, 30.001, 80.002, 30.002)),
    ]
    ids = ("a", "b", "c", "d")
    choice = ChoiceAnswer(options=("one", "<image>", "drei\nvier"), correct=1)
    for task, question, answer, objects in (
        (Task.VQA, "What is it?", TextAnswer(text="a harbour"), ()),
        (Task.CLASSIFICATION, "Which kind?", TextAnswer(text="port"), ()),
        (Task.MULTIPLE_CHOICE, "Which one?", choice, ()),
        (Task.PRESENCE, "Is there any ship?", TextAnswer(text="yes"), ships),
        (Task.COUNTING, "How many ships?", CountAnswer(count=2), ships),
        (Task.GROUNDING, "the oil tank, <old>", BoxesAnswer(object_ids=("c",)), ships),
        (Task.DETECTION, "everything", BoxesAnswer(object_ids=ids), ships),
        (Task.REGION, "this", BoxesAnswer(object_ids=("b", "d")), ships),
        (Task.CAPTION, "Describe it.", TextAnswer(text="A harbour.\n\nTwo ships."), ()),
    ):
        yield make_sample(
            f"task/{task.value}", task=task, question=question, answer=answer, images=[wide], objects=objects, group="w"
        )
    nothing = BoxesAnswer(object_ids=())
    yield make_sample("none", task=Task.GROUNDING, question="cat", answer=nothing, images=[wide], group="w")
    # The same box in both images, in thousandths; and things of one name spread over them.
    views = [wide.model_copy(update={"view": "FRONT"}), tall.model_copy(update={"view": "<box> BACK"})]
    cars = [
        Object(id="1", label="car", image=1, box_px=(4.0, 9.0, 20.0, 45.0)),
        Object(id="2", label="car", image=0, box_px=(17.0, 6.0, 85.0, 30.0)),
        Object(id="3", label="van", image=0, box_px=(0.0, 0.0, 85.5, 30.25)),
        Object(id="4", label="van", image=1, box_px=(39.0, 89.0, 40.0, 90.0)),
    ]
    yield make_sample(
        "views", task=Task.DETECTION, answer=BoxesAnswer(object_ids=("1", "2", "4", "3")), images=views, objects=cars
    )
    yield make_sample(
        "frame", images=[photo.model_copy(update={"frame": 1})], domain="driving", split=Split.TEST, group="t"
    )
    frames = [image.model_copy(update={"frame": number}) for number, image in enumerate((photo, tall, photo), start=1)]
    yield make_sample("frames", images=frames, domain="driving", split=Split.TEST, group="t")
    yield make_sample("no-image", images=[], question="1 + 1?", answer=TextAnswer(text="2"), split=Split.VAL, group="v")
    yield make_sample("strange", question=STRANGE, answer=TextAnswer(text=f" {STRANGE}\n"), images=[tall])
    yield make_sample("named", task=Task.GROUNDING, question=STRANGE, answer=BoxesAnswer(object_ids=("a",)),
                      images=[wide], objects=ships, group="w")  # fmt: skip
    yield _several_turns(images["square"], photo)


def _several_turns(first: Image, second: Image) -> Sample:
    thing = Object(id="x", label="dot", image=1, box_px=(1.0, 2.0, 3.0, 4.0))
    sample = make_sample("turns", images=[first, second], objects=[thing], split=Split.TRAIN)
    turns = [
        ("human", "Here is one: <image>\nWhat is it?"),
        ("assistant", "Grey."),
        ("human", "<image> And here a <ref>dot</ref>?"),
        # 1/64 and 3/64 of the width, 2/48 and 4/48 of the height.
        ("assistant", "At <box>[[16, 42, 47, 83]]</box>."),
    ]
    fields = sample.model_dump() | {"turns": [{"role": role, "text": text} for role, text in turns]}
    return Sample.model_validate(fields)
