"""Which images are trained on, which are held out, and which are left alone."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domainvl.errors import DatasetError, InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema import Split, read_samples
from domainvl.training.distillation.images import read_inventory, take_inventory, write_inventory
from domainvl.training.distillation.recipe import ImageSettings

TENTH = ImageSettings(held_out_share=0.1)


def names(inventory, use: str) -> set[str]:
    return {Path(image.path).name for image in inventory.of(use)}


def test_a_share_of_plain_files_is_held_out_by_seed(photos: Path) -> None:
    inventory = take_inventory([photos], TENTH, seed=0)
    assert inventory.counts() == {"held-out": 6, "train": 54}
    assert take_inventory([photos], TENTH, seed=0, readers=4) == inventory
    assert names(take_inventory([photos], TENTH, seed=1), "held-out") != names(inventory, "held-out")
    at_most = take_inventory([photos], ImageSettings(held_out_share=0.1, max_held_out=2), seed=0)
    assert at_most.counts() == {"held-out": 2, "train": 58}
    first = inventory.images[0]
    with Image.open(first.path) as opened:
        assert opened.size == (first.width_px, first.height_px)


def test_names_and_folders_do_not_decide_what_is_held_out(photos: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for number, path in enumerate(sorted(photos.rglob("*.png"), reverse=True)):
        shutil.copy(path, renamed / f"{number}.PNG")
    hashes = [
        {image.sha256 for image in take_inventory([folder], TENTH, seed=0).of("held-out")}
        for folder in (photos, renamed)
    ]
    assert hashes[0] == hashes[1]


def test_a_data_set_keeps_its_splits(squares: Path) -> None:
    """Some images of the data set show the same in two splits: testing goes before validation before training."""
    train, val, test = (
        {Path(image.path).name for sample in read_samples(squares, split) for image in sample.images}
        for split in (Split.TRAIN, Split.VAL, Split.TEST)
    )
    inventory = take_inventory([squares], ImageSettings(), seed=0)
    assert train & test
    assert names(inventory, "left-out") == test
    assert names(inventory, "held-out") == val - test
    assert names(inventory, "train") == train - val - test


def test_copies_of_test_images_are_not_trained_on(squares: Path, tmp_path: Path) -> None:
    for path in (squares / "images").rglob("*.png"):
        shutil.copy(path, tmp_path / path.name)
    alone = take_inventory([squares], ImageSettings(), seed=0)
    both = take_inventory([tmp_path, squares], ImageSettings(), seed=0)
    for use in ("train", "held-out"):
        assert names(both, use) == names(alone, use)
    assert len(both.of("left-out")) == 2 * len(alone.of("left-out"))
    assert len(both.of("repeated")) == len(alone.of("train")) + len(alone.of("held-out"))


def test_what_cannot_be_used_is_counted_and_limited(photos: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(photos, tmp_path / "photos")
    (folder / "text.jpg").write_text("no image")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(folder / "deep.png")
    (folder / "notes.txt").write_text("not looked at")
    with pytest.raises(DatasetError, match=r"error_budget allows 1.00% of 62, got 2, such as .*deep.png: .*8 bits"):
        take_inventory([folder], ImageSettings(), seed=0)
    inventory = take_inventory([folder], ImageSettings(error_budget=0.05), seed=0)
    assert names(inventory, "unusable") == {"text.jpg", "deep.png"}
    assert inventory.sha256() == take_inventory([photos], ImageSettings(), seed=0).sha256()


def test_refusals(squares: Path, tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="no such folder"):
        take_inventory([tmp_path / "nowhere"], ImageSettings(), seed=0)
    with pytest.raises(NothingToDoError, match="no image to train on"):
        take_inventory([tmp_path], ImageSettings(), seed=0)
    without = shutil.copytree(squares, tmp_path / "without")
    (without / "val.jsonl").write_text("")
    with pytest.raises(NothingToDoError, match="no image to hold out"):
        take_inventory([without], ImageSettings(), seed=0)
    with pytest.raises(UsageError, match="list of images is missing"):
        read_inventory(tmp_path / "images.jsonl")


def test_the_list_is_read_back(photos: Path, tmp_path: Path) -> None:
    inventory = take_inventory([photos], TENTH, seed=0)
    write_inventory(inventory, tmp_path / "images.jsonl")
    assert read_inventory(tmp_path / "images.jsonl") == inventory
