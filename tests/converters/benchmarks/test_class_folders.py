"""Class folders: every class has its share in each split, and the same seed gives the same bytes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio
from converted import Converted
from PIL import Image as PillowImage
from pydantic import ValidationError

from domainvl.conversion import load_converter
from domainvl.converters.benchmarks.class_folder_splits import draw_splits
from domainvl.errors import ExitCode, InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema import ChoiceAnswer, Split, Task, TextAnswer

CLASSES = ("Forest", "Highway", "River")


def write_image(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.new("RGB", (6, 4), (number % 256, number // 256, 7)).save(path)


@pytest.fixture
def folders(tmp_path):
    """Three classes with 10, 20 and 30 images, written in another order than that of names."""
    source = tmp_path / "EuroSAT"
    number = 0
    for label, count in (("River", 30), ("Forest", 10), ("Highway", 20)):
        for index in range(1, count + 1):
            write_image(source / label / f"{label}_{index}.jpg", number)
            number += 1
    return source


def label_of(sample):
    return sample.images[0].source.details["class"]


def test_geo_54_the_class_list_is_sorted_and_stored(folders, tmp_path):
    done = Converted("class-folders", folders, tmp_path / "out")
    assert len(done.samples) == 60
    for sample in done.samples.values():
        assert sample.task is Task.CLASSIFICATION
        assert sample.turns[0].text == (
            "<image>\nClassify the image within one of the given classes: Forest, Highway, River.\n"
            "Answer with one word or short phrase."
        )
        label = sample.id.split("/")[1]
        assert sample.answer == TextAnswer(text=label)
        assert sample.images[0].source.details == {
            "class": label,
            "class_index": CLASSES.index(label),
            "class_count": 3,
        }
    sample = done.samples["class-folders/River/River_7.jpg/class"]
    assert (sample.images[0].source.uri, sample.group) == ("River/River_7.jpg", "River/River_7.jpg")
    assert done.summary.exit_code is ExitCode.DONE


def test_geo_54_each_class_has_its_share_in_each_split(folders, tmp_path):
    done = Converted("class-folders", folders, tmp_path / "out", val_fraction=0.1, test_fraction=0.2)
    counts = {split: Counter(label_of(sample) for sample in samples) for split, samples in done.of_split.items()}
    assert counts == {
        Split.TEST: {"Forest": 2, "Highway": 4, "River": 6},
        Split.VAL: {"Forest": 1, "Highway": 2, "River": 3},
        Split.TRAIN: {"Forest": 7, "Highway": 14, "River": 21},
    }
    assert all(sample.fixed_split is sample.split for sample in done.samples.values())


@pytest.mark.parametrize(
    ("count", "val", "test"),
    # A tenth and a fifth of so many, to the nearest whole image and halves upwards.
    [(1, 0, 0), (2, 0, 0), (3, 0, 1), (4, 0, 1), (5, 1, 1), (7, 1, 1), (8, 1, 2), (14, 1, 3), (16, 2, 3)],
)
def test_geo_54_a_share_is_the_nearest_whole_number_of_images(count, val, test):
    paths = [Path("River") / f"{number}.jpg" for number in range(count)]
    drawn = draw_splits(paths, "River", {Split.TEST: 0.2, Split.VAL: 0.1}, seed=0)
    assert Counter(drawn.values()) == Counter({Split.VAL: val, Split.TEST: test, Split.TRAIN: count - val - test})


def test_geo_54_the_split_depends_on_names_and_seed_alone(folders, tmp_path):
    first = Converted("class-folders", folders, tmp_path / "a" / "out")
    moved = folders.rename(tmp_path / "elsewhere")
    again = Converted("class-folders", moved, tmp_path / "b" / "out")
    assert again.of_split == first.of_split
    other = Converted("class-folders", moved, tmp_path / "c" / "out", split_seed=1)
    assert other.ids(Split.TEST) != first.ids(Split.TEST)
    assert len(other.ids(Split.TEST)) == len(first.ids(Split.TEST))


def test_geo_54_the_same_seed_gives_the_same_bytes(folders, tmp_path):
    def convert(name, seed):
        return Converted(
            "class-folders", folders, tmp_path / name / "out", phrasing="varied", options=3, phrasing_seed=seed
        )

    first = convert("a", 5)
    assert convert("b", 5).files() == first.files()
    other = convert("c", 6)

    def prompts(done):
        return {id: sample.turns[0].text for id, sample in done.samples.items() if sample.task is Task.CLASSIFICATION}

    def options(done):
        return [sample.answer.options for sample in done.samples.values() if sample.task is Task.MULTIPLE_CHOICE]

    assert prompts(other) != prompts(first)
    assert options(other) != options(first)
    assert len(set(prompts(first).values())) > 1
    assert all("Forest, Highway, River" in prompt for prompt in prompts(first).values())


def test_geo_54_a_choice_among_classes_can_be_asked_for_too(folders, tmp_path):
    done = Converted("class-folders", folders, tmp_path / "out", options=2)
    choices = [sample for sample in done.samples.values() if sample.task is Task.MULTIPLE_CHOICE]
    assert len(done.samples) == 120
    assert len(choices) == 60
    for sample in choices:
        assert isinstance(sample.answer, ChoiceAnswer)
        assert sample.answer.options[sample.answer.correct] == label_of(sample)
        assert len(set(sample.answer.options) & set(CLASSES)) == 2
    assert {sample.answer.correct for sample in choices} == {0, 1}


def test_geo_54_lists_decide_the_split(folders, tmp_path):
    lists = {
        "train_list": "Forest_1.jpg\nForest/Forest_2.jpg\n\n",
        "val_list": "Highway_3\n",
        "test_list": "./River\\River_4.jpg\nRiver_5.tif\n",  # torchgeo's lists of EuroSAT serve .jpg and .tif alike
    }
    for name, text in lists.items():
        (tmp_path / f"{name}.txt").write_text(text)
    settings = {name: tmp_path / f"{name}.txt" for name in lists}
    done = Converted("class-folders", folders, tmp_path / "out", **settings)
    uris = {split: [sample.group for sample in samples] for split, samples in done.of_split.items()}
    assert uris == {
        Split.TRAIN: ["Forest/Forest_1.jpg", "Forest/Forest_2.jpg"],
        Split.VAL: ["Highway/Highway_3.jpg"],
        Split.TEST: ["River/River_4.jpg", "River/River_5.jpg"],
    }
    assert Counter(reason for _, reason in done.reasons()) == {"in-no-list": 55}
    assert done.summary.exit_code is ExitCode.DONE
    assert done.manifest["settings"]["val_list"] == "val_list.txt"
    assert str(tmp_path) not in json.dumps(done.manifest)


def test_geo_54_a_byte_order_mark_is_no_part_of_the_first_name(folders, tmp_path):
    (tmp_path / "test.txt").write_text("River_1.jpg\n", encoding="utf-8-sig")
    done = Converted("class-folders", folders, tmp_path / "out", test_list=tmp_path / "test.txt")
    assert [sample.group for sample in done.of_split[Split.TEST]] == ["River/River_1.jpg"]
    assert not done.rejects


def test_geo_54_without_a_training_list_the_rest_is_drawn(folders, tmp_path):
    (tmp_path / "test.txt").write_text("".join(f"River_{number}.jpg\n" for number in range(1, 11)))
    done = Converted("class-folders", folders, tmp_path / "out", test_list=tmp_path / "test.txt", val_fraction=0.2)
    counts = {split: Counter(label_of(sample) for sample in samples) for split, samples in done.of_split.items()}
    assert counts == {
        Split.TEST: {"River": 10},
        Split.VAL: {"Forest": 2, "Highway": 4, "River": 4},
        Split.TRAIN: {"Forest": 8, "Highway": 16, "River": 16},
    }
    assert not done.rejects


def test_geo_54_a_bad_line_of_a_list_is_rejected(folders, tmp_path):
    write_image(folders / "Forest" / "twin.jpg", 100)
    write_image(folders / "River" / "twin.png", 101)
    (tmp_path / "val.txt").write_text("Lake_1.jpg\ntwin.jpg\nRiver_1.jpg\nRiver_1.jpg\nForest/twin.jpg\n")
    (tmp_path / "test.txt").write_text("River/River_1.jpg\n")
    done = Converted(
        "class-folders", folders, tmp_path / "out", val_list=tmp_path / "val.txt", test_list=tmp_path / "test.txt"
    )
    assert [(item["input"], item["reason"]) for item in done.rejects] == [
        ("val.txt line 1", "list-entry"),
        ("val.txt line 2", "list-entry"),
        ("val.txt line 4", "list-entry"),
        ("test.txt line 1", "list-entry"),
    ]
    messages = [item["message"] for item in done.rejects]
    assert "it names 0" in messages[0]
    assert "it names 2" in messages[1]
    assert "in the list of val already" in messages[3]
    assert [sample.group for sample in done.of_split[Split.VAL]] == ["Forest/twin.jpg", "River/River_1.jpg"]


def test_geo_54_jpeg_and_png_are_copied_and_tiff_keeps_its_pixels(folders, tmp_path):
    pixels = np.arange(24 * 3, dtype=np.uint8).reshape(4, 6, 3)
    PillowImage.fromarray(pixels).save(folders / "River" / "agricultural00.TIF", format="TIFF")
    PillowImage.fromarray(pixels[:, :, 0]).save(folders / "River" / "grey.tif")
    PillowImage.fromarray(pixels).save(folders / "River" / "same.png")
    done = Converted("class-folders", folders, tmp_path / "out")

    def stored(name):
        return done.out / done.samples[f"class-folders/River/{name}/class"].images[0].path

    assert np.array_equal(np.asarray(PillowImage.open(stored("agricultural00.TIF"))), pixels)
    assert np.array_equal(np.asarray(PillowImage.open(stored("grey.tif"))), pixels[:, :, 0])
    for name in ("same.png", "River_3.jpg"):
        assert stored(name).read_bytes() == (folders / "River" / name).read_bytes()


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_geo_54_thirteen_bands_are_refused_with_a_way_out(folders, tmp_path):
    path = folders / "River" / "ms.tif"
    with rasterio.open(path, "w", driver="GTiff", width=4, height=4, count=13, dtype="uint16") as dataset:
        dataset.write(np.ones((13, 4, 4), dtype=np.uint16))
    done = Converted("class-folders", folders, tmp_path / "out")
    (item,) = done.rejects
    assert (item["input"], item["reason"]) == ("River/ms.tif", "image-bands")
    assert "got 13 of uint16" in item["message"]
    assert "domainvl convert geotiff" in item["action"]
    assert "Sentinel-2" in item["action"]
    assert len(done.samples) == 60


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_a_palette_is_not_taken_for_grey(folders, tmp_path):
    path = folders / "River" / "palette.tif"
    with rasterio.open(path, "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8") as dataset:
        dataset.write(np.ones((1, 4, 4), dtype=np.uint8))
        dataset.write_colormap(1, {1: (255, 0, 0, 255)})
    (item,) = Converted("class-folders", folders, tmp_path / "out").rejects
    assert "with a palette" in item["message"]


def test_geo_54_what_is_no_image_or_broken_is_listed_and_the_others_go_on(folders, tmp_path):
    (folders / "classes.txt").write_text("Forest")
    (folders / "River" / "Thumbs.db").write_text("x")
    (folders / "River" / "more").mkdir()
    (folders / "empty").mkdir()
    (folders / "Forest" / "Forest_1.jpg").write_bytes(b"no jpeg")
    done = Converted("class-folders", folders, tmp_path / "out")
    assert done.reasons() == [
        ("River/Thumbs.db", "no-image"),
        ("River/more", "no-image"),
        ("classes.txt", "no-image"),
        ("Forest/Forest_1.jpg", "image-decode"),
    ]
    assert len(done.samples) == 59
    assert done.summary.exit_code is ExitCode.PARTIAL


def test_geo_54_a_folder_without_classes_is_refused(folders, tmp_path):
    with pytest.raises(UsageError, match=r"at least two folders must hold images .* got 0 of 0"):
        Converted("class-folders", folders / "River", tmp_path / "out")
    outer = tmp_path / "outer"
    outer.mkdir()
    folders.rename(outer / "EuroSAT")
    with pytest.raises(UsageError, match=r"got 0 of 1.*one folder for each class directly in it"):
        Converted("class-folders", outer, tmp_path / "out")


def test_a_list_that_is_not_there_or_names_nothing_is_refused(folders, tmp_path):
    with pytest.raises(InputNotFoundError, match="Cannot read a list of images"):
        Converted("class-folders", folders, tmp_path / "out", val_list=tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(NothingToDoError, match="no image is in a class folder and a list"):
        Converted("class-folders", folders, tmp_path / "out", train_list=tmp_path / "empty.txt")


@pytest.mark.parametrize("options", [1, 5])
def test_a_choice_has_two_to_four_options(options):
    with pytest.raises(ValidationError, match="options"):
        load_converter("class-folders").settings_type(options=options)


def test_units_hold_many_small_images(folders):
    converter = load_converter("class-folders")
    plan = converter.plan(folders, converter.settings_type())
    assert [len(unit.images) for unit in plan.units] == [10, 20, 30]
    assert converter.unit_name(plan.units[0]) == "Forest/Forest_1.jpg to Forest_9.jpg"
