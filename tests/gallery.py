"""A small data set that has one of everything that can be drawn, filtered or counted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from builders import make_sample

from domainvl.schema import (
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    Image,
    ImageStore,
    Object,
    OrientedBox,
    Sample,
    Source,
    Split,
    Task,
    TextAnswer,
    Turn,
)
from domainvl.schema.record import to_line, to_record

HOSTILE_LABEL = "<script>document.title='label'</script>"
HOSTILE_QUESTION = "<img src=x onerror=\"document.title='question'\"> which one?"
HOSTILE_URI = "scans/<script>document.title='uri'</script>.tif"
HOSTILE_ID = "choice/\"><script>document.title='id'</script>"


def write_dataset(folder: Path, samples: Iterable[Sample]) -> Path:
    """Write the lines of a data set; its images are put there by the tests."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = list(samples)
    for split in Split:
        lines = [to_line(to_record(sample)) + "\n" for sample in samples if sample.split is split]
        (folder / f"{split.value}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def put_image(folder: Path, *, size_px: tuple[int, int] = (200, 100), seed: int = 0, **fields: Any) -> Image:
    """Store an image of noise."""
    width_px, height_px = size_px
    pixels = np.random.default_rng(seed).integers(0, 255, (height_px, width_px, 3)).astype(np.uint8)
    source = fields.pop("source", Source(uri=f"scene-{seed}.tif"))
    return ImageStore(folder).put_pixels(pixels).to_image(source, **fields)


OBJECTS = (
    Object(id="0", label="car", box_px=(20.0, 10.0, 60.0, 50.0)),
    Object(
        id="1",
        label="plane",
        box_px=(80.0, 20.0, 140.0, 80.0),
        oriented_box_px=OrientedBox(center_x_px=110, center_y_px=50, width_px=60, height_px=20, angle_deg=30),
    ),
    Object(
        id="2",
        label="field",
        polygons_px=(((5.0, 60.0), (40.0, 60.0), (40.0, 95.0)), ((50.0, 70.0), (60.0, 70.0), (55.0, 90.0))),
    ),
    Object(id="3", label="well", point_px=(190.0, 90.0)),
    Object(id="4", label="car", box_px=(150.0, 0.0, 200.0, 30.0), ignore=True, visible_fraction=0.25, truncated=True),
)


def gallery_samples(folder: Path) -> list[Sample]:
    scene = put_image(folder, seed=1)
    hostile = put_image(folder, seed=2, source=Source(uri=HOSTILE_URI, details={"crs": "EPSG:32633"}))
    views = [put_image(folder, seed=seed, size_px=(120, 80), view=view) for seed, view in ((3, "LEFT"), (4, "RIGHT"))]
    wrong = (
        Turn(role="human", text="<image>\nDetect <ref>car</ref>"),
        Turn(role="assistant", text="<ref>car</ref><box>[[500, 500, 900, 900]]</box>"),
    )
    bus = Object(id="b", label="bus", image=1, box_px=(12.0, 8.0, 60.0, 40.0))
    return [
        make_sample(
            "detection/0",
            task=Task.DETECTION,
            question="all",
            answer=BoxesAnswer(object_ids=("0", "1")),
            images=[scene],
            objects=OBJECTS,
            domain="remote-sensing",
            group="scene-of-train",
        ),
        make_sample(
            "grounding/0",
            task=Task.GROUNDING,
            question="car",
            answer=BoxesAnswer(object_ids=("0",)),
            images=[scene],
            objects=OBJECTS[:1],
            domain="remote-sensing",
            group="scene-of-train",
        ),
        make_sample(
            "grounding/1",
            task=Task.GROUNDING,
            question="car",
            answer=BoxesAnswer(object_ids=("0",)),
            images=[scene],
            objects=OBJECTS[:1],
            domain="remote-sensing",
            split=Split.TEST,
            group="scene-of-test",
        ).model_copy(update={"turns": wrong}),
        make_sample(
            HOSTILE_ID,
            task=Task.MULTIPLE_CHOICE,
            question=HOSTILE_QUESTION,
            answer=ChoiceAnswer(options=("a pond", "a tank", "a field"), correct=1),
            images=[hostile],
            objects=[Object(id="x", label=HOSTILE_LABEL, box_px=(10.0, 10.0, 50.0, 50.0))],
            domain="medical",
            split=Split.VAL,
            group="patient-of-val",
            warnings=("12 of the objects had invalid rings",),
        ),
        make_sample(
            "counting/0",
            task=Task.COUNTING,
            question="How many buses are there?",
            answer=CountAnswer(count=1),
            images=views,
            objects=[bus],
            domain="driving",
            split=Split.TEST,
            group="scene-of-test",
        ),
        make_sample(
            "region/0",
            task=Task.REGION,
            question="region",
            answer=BoxesAnswer(object_ids=("b",)),
            images=views,
            objects=[bus],
            domain="driving",
            group="scene-of-train",
        ),
        make_sample(
            "vqa/0",
            group="scene-of-train",
            images=[],
            answer=TextAnswer(text="a lung", accepted=("lung",)),
            domain="medical",
        ),
    ]


def write_gallery(folder: Path) -> Path:
    """Write the data set of :func:`gallery_samples` with its images."""
    return write_dataset(folder, gallery_samples(folder))
