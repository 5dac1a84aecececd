"""A data set with every kind of text that is translated, small enough to say by hand what becomes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from domainvl.schema import (
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    DatasetWriter,
    MeasureAnswer,
    Object,
    Provenance,
    Question,
    Source,
    Split,
    Task,
    TextAnswer,
    Turn,
    samples_from_questions,
)

THINGS = (
    Object(id="1", label="car", box_px=(10, 20, 30, 40)),
    Object(id="2", label="fire truck", box_px=(50, 20, 90, 40)),
)
EARLIER = (
    Turn(role="human", text="What is at <box>[[50, 200, 150, 400]]</box>?"),
    Turn(role="assistant", text="A <ref>car</ref><box>[[50, 200, 150, 400]]</box> of 4.5 m."),
    Turn(role="human", text="Is it near?"),
    Turn(role="assistant", text="Yes"),
)
QUESTIONS = (
    Question("colour", Task.VQA, "Which colour has the car?", TextAnswer(text="red", accepted=("dark red",))),
    Question("side", Task.VQA, "Is it left or right?", TextAnswer(text="left")),
    Question(
        "any", Task.PRESENCE, "Is there any car?", TextAnswer(text="yes"), preface="The image has 0.3 m per pixel."
    ),
    Question("many", Task.COUNTING, "How many instances of fire truck are there?", CountAnswer(count=1)),
    Question("share", Task.AREA, "What share is covered by car?", MeasureAnswer(value=12.0, unit="%")),
    Question("kind", Task.CLASSIFICATION, "Which fits: road, city street?", TextAnswer(text="city street")),
    Question("choice", Task.MULTIPLE_CHOICE, "Which is it?", ChoiceAnswer(options=("a car", "a bus"), correct=0)),
    Question("where", Task.GROUNDING, "the fire truck", BoxesAnswer(object_ids=("2",))),
    Question("all", Task.DETECTION, "Detect: car, fire truck.", BoxesAnswer(object_ids=("1", "2"))),
    Question("this", Task.REGION, "What object is in this location?", BoxesAnswer(object_ids=("1",))),
    Question("say", Task.CAPTION, "Describe it.", TextAnswer(text="A car.\n\n- Two trucks, 3.5 m apart.")),
    Question("talk", Task.CONVERSATION, "And the <ref>car</ref>?", TextAnswer(text="Yes"), earlier=EARLIER[:2]),
    Question("go on", Task.VQA, "Is it red?", TextAnswer(text="no"), earlier=EARLIER),
)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """One training scene with all questions, one of validation and one of testing."""
    folder = tmp_path / "scenes"
    made_by = Provenance(converter="toy", version="0", settings_sha256="0", wording="internvl-1")
    with DatasetWriter(folder, name="scenes") as writer:
        for number, split in enumerate(Split):
            pixels = np.full((100, 200), 10 * number, np.uint8)
            image = writer.images.put_pixels(pixels).to_image(Source(uri=f"{number}.tif"))
            for sample in samples_from_questions(
                QUESTIONS,
                id_prefix=f"scene{number}",
                domain="driving",
                images=[image],
                objects=THINGS,
                group=f"scene{number}",
                provenance=made_by,
                fixed_split=split,
            ):
                writer.add(sample)
        writer.finish(command="toy", settings={}, sources=[], versions={}, licence="CC0-1.0")
    return folder
