"""MedMNIST: official splits, what labels mean, pixels as they are, volumes as montage or planes, damaged files."""

from __future__ import annotations

import hashlib
import zipfile

import numpy as np
import pytest
from PIL import Image as PillowImage

from domainvl.conversion import convert
from domainvl.converters.benchmarks import med_mnist
from domainvl.converters.benchmarks.generate_medical_images import generate_med_mnist
from domainvl.converters.benchmarks.med_mnist import CONVERTER, slices_side_by_side
from domainvl.converters.benchmarks.med_mnist_classes import SETS, LabelKind
from domainvl.errors import DatasetError, InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema import Split, Task
from domainvl.schema.reader import read_samples


def run(tmp_path, name, **settings):
    generate_med_mnist(tmp_path / "in", [name], image_count=6)
    return run_again(tmp_path, name, **settings)


def run_again(tmp_path, name, **settings):
    convert(CONVERTER, tmp_path / "in" / f"{name}.npz", tmp_path / "out", CONVERTER.settings_type(**settings))
    arrays = np.load(tmp_path / "in" / f"{name}.npz", allow_pickle=False)
    return arrays, {split: list(read_samples(tmp_path / "out", split)) for split in Split}


def pixels_of(tmp_path, sample, place=0):
    with PillowImage.open(tmp_path / "out" / sample.images[place].path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("name", ["pathmnist", "octmnist_64"])
def test_official_splits_classes_and_pixels_are_kept(tmp_path, name):
    arrays, samples = run(tmp_path, name)

    classes = SETS[name.partition("_")[0]].classes
    for split in Split:
        images, labels = arrays[f"{split.value}_images"], arrays[f"{split.value}_labels"]
        assert len(samples[split]) == len(images)
        for number, (sample, image, label) in enumerate(zip(samples[split], images, labels, strict=True)):
            assert sample.id == f"med-mnist/{name}/{split.value}/{number}/class"
            assert (sample.task, sample.fixed_split) == (Task.CLASSIFICATION, split)
            assert sample.answer.text == classes[int(label[0])]
            assert ", ".join(classes) in sample.question
            assert np.array_equal(pixels_of(tmp_path, sample), image)


def test_letters_are_asked_for_too(tmp_path):
    _, samples = run(tmp_path, "dermamnist", options=3)

    by_task = {task: [one for one in samples[Split.TRAIN] if one.task is task] for task in Task}
    assert len(by_task[Task.MULTIPLE_CHOICE]) == len(by_task[Task.CLASSIFICATION]) == 6
    for choice, named in zip(by_task[Task.MULTIPLE_CHOICE], by_task[Task.CLASSIFICATION], strict=True):
        assert choice.answer.options[choice.answer.correct] == named.answer.text


def test_each_label_of_chest_mnist_is_a_question_of_its_own(tmp_path):
    arrays, samples = run(tmp_path, "chestmnist", ask="all")

    asked = {sample.id: sample.answer.text for sample in samples[Split.TEST]}
    for number, labels in enumerate(arrays["test_labels"]):
        for label, there in zip(SETS["chestmnist"].classes, labels, strict=True):
            key = f"med-mnist/chestmnist/test/{number}/presence-{label.replace(' ', '-')}"
            assert asked.pop(key) == ("yes" if there else "no")
    assert asked == {}


def test_retina_mnist_asks_for_a_grade(tmp_path):
    arrays, samples = run(tmp_path, "retinamnist")

    grades = [sample.answer.text for sample in samples[Split.TRAIN]]
    assert grades == [str(int(label[0])) for label in arrays["train_labels"]]
    assert {sample.question for sample in samples[Split.TRAIN]} == {
        "What is the grade of diabetic retinopathy, from 0 (none) to 4 (proliferative)?"
    }


def test_a_montage_shows_slices_in_order(tmp_path):
    arrays, samples = run(tmp_path, "nodulemnist3d", montage_slices=4)

    volume = arrays["test_images"][0]
    # Of 28 slices in four equal parts the middles are 3, 10, 17 and 24.
    expected = np.block([[volume[3], volume[10]], [volume[17], volume[24]]])
    sample = samples[Split.TEST][0]
    assert np.array_equal(pixels_of(tmp_path, sample), expected)
    assert sample.images[0].source.details["montage_slices"] == [3, 10, 17, 24]
    assert sample.preface == "The image shows 4 slices of one volume, in order from left to right and top to bottom."
    assert sample.preface in sample.turns[0].text


def test_planes_are_three_images(tmp_path):
    arrays, samples = run(tmp_path, "organmnist3d", volume="planes")

    volume, sample = arrays["val_images"][1], samples[Split.VAL][1]
    planes = [volume[14], volume[:, 14], volume[:, :, 14]]
    assert all(np.array_equal(pixels_of(tmp_path, sample, place), plane) for place, plane in enumerate(planes))
    assert sample.turns[0].text.count("<image>") == 3


def test_empty_cells_of_a_montage_are_black():
    montage, places = slices_side_by_side(np.full((5, 2, 3), 9, np.uint8), 7)
    assert places == [0, 1, 2, 3, 4]
    assert montage.shape == (4, 9)
    assert (montage == 9).sum() == 5 * 6
    assert (montage[2:, 6:] == 0).all()


def test_the_published_table_is_whole():
    """MedMNIST v2 has 12 sets of images and 6 of volumes; numbers of classes are those of its paper, tables 2 and 3."""
    numbers = {name: len(published.classes) for name, published in SETS.items()}
    assert numbers == {
        "pathmnist": 9, "chestmnist": 14, "dermamnist": 7, "octmnist": 4, "pneumoniamnist": 2, "retinamnist": 5,
        "breastmnist": 2, "bloodmnist": 8, "tissuemnist": 8, "organamnist": 11, "organcmnist": 11, "organsmnist": 11,
        "organmnist3d": 11, "nodulemnist3d": 2, "adrenalmnist3d": 2, "fracturemnist3d": 3, "vesselmnist3d": 2,
        "synapsemnist3d": 2,
    }  # fmt: skip
    assert [name for name, one in SETS.items() if one.kind is LabelKind.LABELS] == ["chestmnist"]
    # Questions list classes with commas between.
    assert not any("," in label for published in SETS.values() for label in published.classes)
    assert set(SETS["organmnist3d"].classes) == set(SETS["organamnist"].classes)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_units_give_the_same_bytes_however_many(tmp_path, monkeypatch, save):
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 7), ("val", 2), ("test", 3)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, 2, (count, 1), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "pneumoniamnist.npz", **arrays)
    convert(CONVERTER, tmp_path / "in", tmp_path / "a" / "out")
    monkeypatch.setattr(med_mnist, "_FEWEST_IMAGES_A_UNIT", 2)
    plan = CONVERTER.plan(tmp_path / "in", CONVERTER.settings_type())
    assert [CONVERTER.unit_name(unit) for unit in plan.units][:2] == [
        "pneumoniamnist.npz train images 0 to 1",
        "pneumoniamnist.npz train images 2 to 3",
    ]
    assert len(plan.units) == 4 + 1 + 2
    convert(CONVERTER, tmp_path / "in", tmp_path / "b" / "out")

    for path in (path for path in (tmp_path / "a").rglob("*") if path.is_file()):
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest(), path.name


def replaced(folder, name, **arrays):
    """Write the file again with other arrays."""
    path = folder / f"{name}.npz"
    kept = dict(np.load(path))
    np.savez(path, **kept | arrays)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"test_labels": np.array([[9], [0]], np.uint8)}, "test_labels must be 0 to 8, got 0 to 9"),
        ({"test_labels": np.zeros((3, 1), np.uint8)}, r"shape \(2, 1\), got \(3, 1\)"),
        ({"test_labels": np.zeros((2, 2), np.uint8)}, r"shape \(2, 1\), got \(2, 2\)"),
        ({"test_labels": np.zeros((2, 1), np.float32)}, "must be whole numbers"),
        ({"test_images": np.zeros((2, 28, 28, 3), np.uint16)}, "must be uint8"),
        ({"test_images": np.zeros((2, 28, 28, 2), np.uint8)}, "must be uint8 of shape"),
        ({"test_images": np.asfortranarray(np.zeros((2, 28, 28, 3), np.uint8))}, "plain arrays"),
        ({"test_images": np.array([None, {}], object)}, "plain arrays"),
    ],
)
def test_a_file_that_is_not_in_the_layout_is_refused(tmp_path, arrays, message):
    generate_med_mnist(tmp_path / "in", image_count=6)
    replaced(tmp_path / "in", "pathmnist", **arrays)
    with pytest.raises(DatasetError, match=message):
        run_again(tmp_path, "pathmnist")


def test_a_file_that_is_none_or_has_a_part_is_refused(tmp_path):
    generate_med_mnist(tmp_path / "in", image_count=6)
    path = tmp_path / "in" / "pathmnist.npz"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "part.npz", "w") as part:
        for name in archive.namelist()[:3]:
            part.writestr(name, archive.read(name))
    path.write_bytes((tmp_path / "part.npz").read_bytes())
    with pytest.raises(DatasetError, match="val_images and val_labels must be in it"):
        run_again(tmp_path, "pathmnist")
    path.write_bytes(b"no archive")
    with pytest.raises(DatasetError, match="plain arrays"):
        run_again(tmp_path, "pathmnist")
    path.unlink()
    with pytest.raises(InputNotFoundError, match=r"no \.npz file"):
        convert(CONVERTER, tmp_path / "in", tmp_path / "out")


def test_damaged_pixels_cost_their_unit_alone(tmp_path):
    rng = np.random.default_rng(1)
    generate_med_mnist(tmp_path / "in", image_count=6)
    replaced(tmp_path / "in", "pathmnist", train_images=rng.integers(0, 256, (6, 28, 28, 3), dtype=np.uint8))
    path = tmp_path / "in" / "pathmnist.npz"
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("train_images.npy").header_offset
    content = bytearray(path.read_bytes())
    content[start + 5000] ^= 255  # the check sum of the member tells
    path.write_bytes(content)

    convert(CONVERTER, path, tmp_path / "out")

    assert list(read_samples(tmp_path / "out", Split.TRAIN)) == []
    assert len(list(read_samples(tmp_path / "out", Split.TEST))) == 2
    (reject,) = (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()
    assert "train_images is damaged" in reject


def test_a_name_that_is_not_published_is_refused(tmp_path):
    generate_med_mnist(tmp_path / "in", image_count=6)
    (tmp_path / "in" / "pathmnist.npz").rename(tmp_path / "in" / "mine.npz")
    with pytest.raises(UsageError, match="that of a published one"):
        convert(CONVERTER, tmp_path / "in", tmp_path / "out")


def test_a_file_without_images_is_nothing_to_do(tmp_path):
    empty = {f"{split.value}_images": np.zeros((0, 28, 28), np.uint8) for split in Split}
    empty |= {f"{split.value}_labels": np.zeros((0, 1), np.uint8) for split in Split}
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / "octmnist.npz", **empty)
    with pytest.raises(NothingToDoError, match="no file has images"):
        convert(CONVERTER, tmp_path / "in", tmp_path / "out")
