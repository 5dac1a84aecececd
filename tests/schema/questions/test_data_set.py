"""A data set of every question from labels goes through all that reads data sets: nothing is lost or disagrees."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from domainvl.cli.main import main
from domainvl.evaluation.items import score
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.specialists.majority import majority_predictions
from domainvl.schema import (
    WORDING_VERSION,
    ClassQuestions,
    DatasetWriter,
    Object,
    ObjectQuestions,
    Phrasing,
    Provenance,
    Question,
    Sample,
    Source,
    Split,
    Task,
    ask_about_change,
    ask_about_cover,
    ask_about_cover_change,
    ask_about_objects,
    ask_for_class,
    read_samples,
    samples_from_questions,
)
from domainvl.schema.exchange.export import export_dataset
from domainvl.schema.exchange.formats import format_names
from domainvl.schema.validation import validate
from domainvl.viewing.cards import assign_hues, make_card

CLASSES = ["bridge", "building", "ship"]
ALL = (Task.PRESENCE, Task.COUNTING, Task.COMPARISON, Task.AREA, Task.GROUNDING, Task.REGION, Task.CAPTION,
       Task.DETECTION, Task.CLASSIFICATION)  # fmt: skip
PROVENANCE = Provenance(converter="test", version="0", settings_sha256="0", wording=WORDING_VERSION)


def make_objects(image: int) -> list[Object]:
    boxes = [("ship", (4, 4, 20, 12)), ("building", (30, 30, 50, 60)), ("building", (40, 5, 62, 25))][: 3 - image]
    return [
        Object(
            id=f"{image}-{number}", label=label, image=image, box_px=(x0, y0, x1, y1),
            polygons_px=(((x0, y0), (x1, y0), (x1, y1), (x0, y1)),),
        )
        for number, (label, (x0, y0, x1, y1)) in enumerate(boxes)
    ]  # fmt: skip


def ask_everything() -> list[Question]:
    objects = [*make_objects(0), *make_objects(1)]
    dates = [(0, "2018"), (1, "2020")]
    questions = []
    for index, name in dates:
        settings = ObjectQuestions(
            tasks=ALL, image=index, place=f"in the image of {name}", size_px=(64, 64), gsd_m=0.3, prompt_gsd=True
        )
        questions += ask_about_objects(objects, CLASSES, key="k", settings=settings)
    questions += ask_about_change(objects, CLASSES, key="k", images=dates)
    questions += ask_about_cover_change([("2018", {"a": 0.3, "b": 0.6}), ("2020", {"a": 0.5, "b": 0.2})], key="k")
    questions += ask_about_cover({"a": 0.3, "b": 0.6, "c": 0.0}, key="k", image_area_m2=5e4)
    questions += [
        ask_for_class("ship", CLASSES, key="k", settings=ClassQuestions(options=options)) for options in (None, 3)
    ]
    return questions


def write_dataset(folder: Path, phrasing: Phrasing) -> Path:
    with DatasetWriter(folder, name="questions") as writer:
        noise = np.random.default_rng(3)
        images = [
            writer.images.put_pixels(noise.integers(0, 256, (64, 64, 3), dtype=np.uint8))
            .to_image(Source(uri=name))
            .model_copy(update={"view": name})
            for name in ("2018", "2020")
        ]
        for sample in samples_from_questions(
            ask_everything(), id_prefix="scene", domain="remote-sensing", images=images,
            objects=[*make_objects(0), *make_objects(1)], group="scene", provenance=PROVENANCE, phrasing=phrasing,
        ):  # fmt: skip
            writer.add(sample)
        writer.finish(command="test", settings={}, sources=[], versions={}, licence="CC0-1.0")
    return folder


@pytest.fixture(scope="module", params=[False, True], ids=["published", "varied"])
def dataset(request, tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("questions") / "data", Phrasing(varied=request.param, seed=1))


@pytest.fixture
def samples(dataset) -> list[Sample]:
    return list(read_samples(dataset, Split.TRAIN))


def test_every_task_is_there(samples):
    assert {sample.task for sample in samples} == {*ALL, Task.MULTIPLE_CHOICE}
    assert {sample.answer.kind for sample in samples} == {"text", "count", "measure", "boxes", "choice"}


def test_geo_35_all_questions_from_labels_are_valid_samples(dataset):
    assert list(validate(dataset).findings) == []


def test_what_the_conversation_answers_is_right(samples):
    for sample in samples:
        text = sample.turns[-1].text
        assert score(sample, Prediction(sample_id=sample.id, text=text, likelihood=1.0)).correct, sample.id


def test_the_page_finds_no_disagreement(samples):
    hues = assign_hues(samples)
    notes = [note for sample in samples for note in make_card(sample, hues).notes]

    assert notes == []


def test_the_majority_answers_every_sample(samples):
    predictions = majority_predictions(samples, samples)

    assert [prediction.sample_id for prediction in predictions] == [sample.id for sample in samples]
    assert all(prediction.text for prediction in predictions)


@pytest.mark.parametrize("format_name", [name for name in format_names() if name != "vlmevalkit"])
def test_every_format_takes_all_of_them(dataset, samples, tmp_path, format_name):
    summary = export_dataset(dataset, tmp_path / "out", format_name=format_name)

    assert summary.left_out == {}
    assert summary.counts == {Split.TRAIN: len(samples)}


def test_statistics_and_page_are_written(dataset, tmp_path, capsys):
    assert main(["show", str(dataset), "--out", str(tmp_path / "page")]) == 0
    capsys.readouterr()
    assert main(["stats", str(dataset), "--json"]) == 0

    answers = json.loads(capsys.readouterr().out)["answers"]
    assert {row["kind"] for row in answers if row["task"] == "area"} == {
        "measure in %",
        "measure in ha",
        "measure in m2",
    }
