"""RSVQA: pairs as the official loader makes them, on files with gaps as its split script writes them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from converted import Converted
from PIL import Image as PillowImage
from pydantic import ValidationError

from domainvl.conversion import load_converter
from domainvl.converters.benchmarks.miniatures import generate_rsvqa
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, NothingToDoError
from domainvl.schema import CountAnswer, Split, Task, TextAnswer

SUFFIX = "\nAnswer the question using a single word or phrase."


def padding(number):
    return {"id": number, "active": False}


def question(number, image, kind, text, answer):
    return {
        "id": number, "date_added": 1.5, "img_id": image, "people_id": 0, "type": kind, "question": text,
        "answers_ids": [answer], "active": True,
    }  # fmt: skip


def answer(number, text, **fields):
    return {"id": number, "date_added": 1.5, "question_id": 0, "people_id": 0, "answer": text, "active": True, **fields}


def write(folder, prefix, images, questions, answers):
    for part, rows in (("images", images), ("questions", questions), ("answers", answers)):
        (folder / f"{prefix}_{part}.json").write_text(json.dumps({part: rows}))


def write_tif(path, value):
    pixels = np.full((8, 10, 3), value, dtype=np.uint8)
    pixels += np.arange(3, dtype=np.uint8)
    PillowImage.fromarray(pixels).save(path)


@pytest.fixture
def low(tmp_path):
    """Two splits of one database of four images; the question numbers of each split have gaps."""
    folder = tmp_path / "LR"
    (folder / "Images_LR").mkdir(parents=True)
    for number in range(4):
        write_tif(folder / "Images_LR" / f"{number}.tif", 10 * number)
    image = {"active": True, "original_name": "T1_0-0.tif"}
    write(
        folder,
        "LR_split_train",
        [padding(0), {"id": 1, "questions_ids": [2, 3], **image}, padding(2), {"id": 3, "questions_ids": [6], **image}],
        [
            padding(0), padding(1), question(2, 1, "presence", "Is a road present?", 3),
            question(3, 1, "count", "How many roads are there?", 4), padding(4), padding(5),
            question(6, 3, "rural_urban", "Is it a rural or an urban area", 8),
        ],
        [padding(0), padding(1), padding(2), answer(3, "yes"), answer(4, "12"), padding(5), padding(6), padding(7),
         answer(8, "urban")],
    )  # fmt: skip
    write(
        folder,
        "LR_split_test",
        [{"id": 0, "questions_ids": [0, 1], **image}],
        [question(0, 0, "comp", "Are there more roads than rivers?", 0), question(1, 0, "area", "What area?", 1)],
        [answer(0, "no"), answer(1, "12m2")],
    )  # fmt: skip
    return folder


def official_pairs(folder, prefix):
    """Join by list index, as VQALoader.py does; written from its description, not from our reader."""
    parts = {
        part: json.loads((folder / f"{prefix}_{part}.json").read_text())[part]
        for part in ("images", "questions", "answers")
    }
    pairs = []
    for image in [image["id"] for image in parts["images"] if image["active"]]:
        for number in parts["images"][image]["questions_ids"]:
            asked = parts["questions"][number]
            pairs.append((image, asked["question"], parts["answers"][asked["answers_ids"][0]]["answer"]))
    return pairs


def test_geo_50_pairs_equal_the_official_loaders_where_ids_have_gaps(low, tmp_path):
    done = Converted("rsvqa", low, tmp_path / "out")
    for split in (Split.TRAIN, Split.TEST):
        pairs = [
            (sample.images[0].source.details["image_id"], sample.question, sample.turns[1].text)
            for sample in done.of_split[split]
        ]
        assert pairs == official_pairs(low, f"LR_split_{split.value}")
    assert done.ids(Split.TRAIN) == ["rsvqa-lr/train/2", "rsvqa-lr/train/3", "rsvqa-lr/train/6"]
    assert done.ids(Split.TEST) == ["rsvqa-lr/test/0", "rsvqa-lr/test/1"]
    assert done.summary.exit_code is ExitCode.DONE
    assert done.reasons() == [("2.tif", "no-question")]


def test_geo_50_the_first_of_several_answers_counts(low, tmp_path):
    edit(low, "LR_split_train_questions.json", "questions", 3, answers_ids=[4, 3])  # "12" and "yes"
    sample = Converted("rsvqa", low, tmp_path / "out").samples["rsvqa-lr/train/3"]
    assert sample.turns[1].text == "12"
    assert (1, sample.question, "12") in official_pairs(low, "LR_split_train")


def test_geo_50_types_become_tasks_and_counts_and_areas_stay_raw(low, tmp_path):
    samples = Converted("rsvqa", low, tmp_path / "out").samples
    said = {
        sample.images[0].source.details["question_type"]: (sample.task, sample.answer) for sample in samples.values()
    }
    assert said == {
        "presence": (Task.PRESENCE, TextAnswer(text="yes")),
        "count": (Task.COUNTING, CountAnswer(count=12)),
        "rural_urban": (Task.VQA, TextAnswer(text="urban")),
        "comp": (Task.COMPARISON, TextAnswer(text="no")),
        "area": (Task.AREA, TextAnswer(text="12m2")),
    }
    assert all(sample.turns[0].text == f"<image>\n{sample.question}{SUFFIX}" for sample in samples.values())
    assert samples["rsvqa-lr/test/1"].turns[1].text == "12m2"
    assert all(sample.fixed_split is sample.split for sample in samples.values())


@pytest.mark.parametrize("text", ["012", "12m2", "1,000", "-3", "1234567890"])
def test_geo_50_what_is_not_written_as_a_count_stays_text(low, tmp_path, text):
    edit(low, "LR_split_train_answers.json", "answers", 4, answer=text)
    sample = Converted("rsvqa", low, tmp_path / "out").samples["rsvqa-lr/train/3"]
    assert (sample.task, sample.answer, sample.turns[1].text) == (Task.COUNTING, TextAnswer(text=text), text)


def test_geo_50_tiff_pixels_are_stored_unchanged(low, tmp_path):
    done = Converted("rsvqa", low, tmp_path / "out")
    sample = done.samples["rsvqa-lr/train/6"]
    with PillowImage.open(done.out / sample.images[0].path) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (10, 8))
        assert np.asarray(image)[5, 3].tolist() == [30, 31, 32]
    assert sample.images[0].source.uri == "Images_LR/3.tif"
    assert sample.group == "rsvqa-lr image 3"


def test_geo_50_the_second_test_set_of_the_high_resolution_says_which_it_is(tmp_path):
    source = tmp_path / "HR"
    generate_rsvqa(source, image_count=10, seed=0, splits=("train", "val", "test", "test_phili"))
    done = Converted("rsvqa", source, tmp_path / "out")
    test = {id.rsplit("/", 1)[0] for id in done.ids(Split.TEST)}
    assert test == {"rsvqa-hr/test", "rsvqa-hr/test_phili"}
    for sample in done.of_split[Split.TEST]:
        assert sample.images[0].source.details["official_split"] == sample.id.split("/")[1]
    assert len(done.samples) == 40
    assert not done.rejects


def test_geo_50_one_test_set_alone_converts(low, tmp_path):
    for path in low.glob("LR_split_train_*"):
        path.unlink()
    done = Converted("rsvqa", low, tmp_path / "out")
    assert set(done.samples) == {"rsvqa-lr/test/0", "rsvqa-lr/test/1"}
    assert done.reasons() == [("1.tif", "no-question"), ("2.tif", "no-question"), ("3.tif", "no-question")]


def edit(folder, file, key, place, **fields):
    path = folder / file
    content = json.loads(path.read_text())
    content[key][place] = {**content[key][place], **fields}
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("part", "place", "fields", "reason", "message"),
    [
        ("questions", 3, {"img_id": 2}, "image-mismatch", "image 1 lists it, but its img_id is 2"),
        ("questions", 3, {"id": 7}, "id-not-place", "stands the entry with id 7"),
        ("questions", 3, {"active": False}, "link-inactive", "marked as inactive"),
        ("questions", 3, {"answers_ids": [99]}, "link-broken", "the file has 9 entries"),
        ("questions", 3, {"answers_ids": [5]}, "link-inactive", "answer 5"),
        ("questions", 3, {"answers_ids": []}, "field-missing", "answers_ids is empty"),
        ("questions", 3, {"answers_ids": "4"}, "row-invalid", "must be a list of numbers"),
        ("questions", 3, {"question": " "}, "field-missing", "question is empty"),
        ("questions", 3, {"type": None}, "row-invalid", "type must be text"),
        ("answers", 4, {"answer": ["a"]}, "row-invalid", "answer must be text or a number"),
        ("images", 1, {"questions_ids": [2, 77]}, "link-broken", "the file has 7 entries"),
        ("images", 1, {"questions_ids": [2, 2]}, "question-repeated", "it was used before"),
    ],
)
def test_geo_50_a_bad_row_is_rejected_and_the_others_go_on(low, tmp_path, part, place, fields, reason, message):
    edit(low, f"LR_split_train_{part}.json", part, place, **fields)
    done = Converted("rsvqa", low, tmp_path / "out")
    assert set(done.samples) == {f"rsvqa-lr/{name}" for name in ("train/2", "train/6", "test/0", "test/1")}
    (failed,) = [reject for reject in done.rejects if reject["severity"] == "failed"]
    assert failed["reason"] == reason
    assert message in failed["message"]
    assert failed["input"].startswith("LR_split_train_questions.json question ")
    assert done.summary.exit_code is ExitCode.PARTIAL


def test_geo_50_a_question_that_no_image_lists_is_counted(low, tmp_path):
    edit(low, "LR_split_train_images.json", "images", 1, questions_ids=[3])
    assert ("LR_split_train_questions.json question 2", "question-unlisted") in Converted(
        "rsvqa", low, tmp_path / "out"
    ).reasons()


def test_geo_50_an_image_without_a_list_of_questions_is_rejected(low, tmp_path):
    edit(low, "LR_split_train_images.json", "images", 1, questions_ids=None)
    done = Converted("rsvqa", low, tmp_path / "out")
    assert ("LR_split_train_images.json image 1", "row-invalid") in done.reasons()
    assert "rsvqa-lr/train/6" in done.samples


@pytest.mark.parametrize("size", [2, 100])
def test_geo_50_missing_and_broken_images_say_what_is_lost(low, tmp_path, size):
    (low / "Images_LR" / "1.tif").unlink()
    path = low / "Images_LR" / "0.tif"
    path.write_bytes(path.read_bytes()[:size])
    done = Converted("rsvqa", low, tmp_path / "out")
    assert set(done.samples) == {"rsvqa-lr/train/6"}
    failed = {item["input"]: item for item in done.rejects if item["severity"] == "failed"}
    assert failed["1.tif"]["reason"] == "image-missing"
    assert "2 questions" in failed["1.tif"]["message"]
    assert failed["Images_LR/0.tif"]["reason"] == "image-decode"
    assert "2 questions" in failed["Images_LR/0.tif"]["message"]
    assert str(low) not in json.dumps(done.rejects)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize(
    ("count", "dtype", "message"), [(4, "uint8", "got 4 of uint8"), (3, "uint16", "got 3 of uint16")]
)
def test_geo_50_other_bands_are_refused_with_a_way_out(low, tmp_path, count, dtype, message):
    path = low / "Images_LR" / "3.tif"
    with rasterio.open(path, "w", driver="GTiff", width=4, height=4, count=count, dtype=dtype) as dataset:
        dataset.write(np.ones((count, 4, 4), dtype=dtype))
    (item,) = [item for item in Converted("rsvqa", low, tmp_path / "out").rejects if item["input"] == "Images_LR/3.tif"]
    assert item["reason"] == "image-bands"
    assert message in item["message"]
    assert "domainvl convert geotiff" in item["action"]


def test_geo_50_an_image_of_two_splits_stays_held_out(low, tmp_path):
    image = {"id": 0, "active": True, "questions_ids": [0]}
    write(low, "LR_split_val", [image], [question(0, 0, "comp", "Is it?", 0)], [answer(0, "no")])
    done = Converted("rsvqa", low, tmp_path / "out")
    assert ("val image 0.tif", "image-in-two-splits") in done.reasons()
    assert done.ids(Split.VAL) == []
    assert done.ids(Split.TEST) == ["rsvqa-lr/test/0", "rsvqa-lr/test/1"]


def test_two_runs_give_the_same_bytes_and_keep_the_licence(low, tmp_path):
    first = Converted("rsvqa", low, tmp_path / "a" / "out")
    assert first.files() == Converted("rsvqa", low, tmp_path / "b" / "out").files()
    assert first.manifest["licence"] == "CC-BY-4.0"


@pytest.mark.parametrize(
    ("missing", "message"),
    [("LR_split_test_answers.json", "LR_split_test_answers.json is missing"), ("Images_LR/*.tif", "one folder must")],
)
def test_an_incomplete_folder_is_refused(low, tmp_path, missing, message):
    for path in low.glob(missing):
        path.unlink()
    with pytest.raises(InputNotFoundError, match=message):
        Converted("rsvqa", low, tmp_path / "out")


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(InputNotFoundError, match="neither a file LR_split"):
        Converted("rsvqa", tmp_path / "in", tmp_path / "out")


def test_low_and_high_resolution_in_one_folder_are_refused(low, tmp_path):
    (low / "USGS_split_val_images.json").write_text("{}")
    with pytest.raises(DatasetError, match="both the low and the high"):
        Converted("rsvqa", low, tmp_path / "out")


def test_of_several_folders_of_images_one_must_be_named(low, tmp_path):
    (low / "more").mkdir()
    write_tif(low / "more" / "9.tif", 0)
    with pytest.raises(InputNotFoundError, match=r"got 2 \(Images_LR, more\).*--images"):
        Converted("rsvqa", low, tmp_path / "out")
    assert len(Converted("rsvqa", low, tmp_path / "out", images="Images_LR").samples) == 5
    with pytest.raises(InputNotFoundError, match="Data is missing"):
        Converted("rsvqa", low, tmp_path / "other", images="Data")


@pytest.mark.parametrize("content", ["{", "[]", '{"answers": 3}', '{"questions": []}'])
def test_a_file_in_another_layout_is_refused(low, tmp_path, content):
    (low / "LR_split_test_answers.json").write_text(content)
    if content == "[]":  # a bare list is read; its entries are then missing
        assert ("LR_split_test_questions.json question 0", "link-broken") in Converted(
            "rsvqa", low, tmp_path / "out"
        ).reasons()
        return
    with pytest.raises(DatasetError, match=r"LR_split_test_answers.json: it must be"):
        Converted("rsvqa", low, tmp_path / "out")


def test_without_any_image_there_is_nothing_to_do(low, tmp_path):
    for number in (0, 1, 3):
        (low / "Images_LR" / f"{number}.tif").unlink()
    with pytest.raises(NothingToDoError, match="none of 3 named images"):
        Converted("rsvqa", low, tmp_path / "out")


@pytest.mark.parametrize("converter", ["rsvqa", "dior-rsvg"])
@pytest.mark.parametrize(("name", "value"), [("val_fraction", 0.1), ("test_fraction", 0.1), ("split_seed", 1)])
def test_no_split_can_be_drawn(converter, name, value):
    with pytest.raises(ValidationError, match=name):
        load_converter(converter).settings_type(**{name: value})


def test_planning_settings_leave_the_names_of_units_as_they_were(low, tmp_path):
    from domainvl.conversion.work import ConversionWork, Staging

    converter = load_converter("rsvqa")

    def keys(**settings):
        chosen = converter.settings_type(**settings)
        work = ConversionWork(converter, chosen, low, Staging(tmp_path / "staging"))
        return [work.task(unit).key for unit in converter.plan(low, chosen).units]

    assert keys() == keys(images="Images_LR")


def test_units_come_in_the_order_of_splits_and_images(low):
    converter = load_converter("rsvqa")
    units = converter.plan(low, converter.settings_type()).units
    assert [(unit.official_split, unit.image_id) for unit in units] == [("train", 1), ("train", 3), ("test", 0)]
