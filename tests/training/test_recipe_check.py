"""A recipe against a data set: what contradicts, what is worth knowing."""

from __future__ import annotations

from pathlib import Path

import pytest
from squares import write_squares

from domainvl.errors import InputNotFoundError
from domainvl.training.recipe_check import check_against_dataset
from domainvl.training.recipe_files import load_recipe


def found(dataset: Path, *changes: str, model: str = "tiny") -> dict[str, tuple[str, str]]:
    recipe = load_recipe("medical", overrides=changes, model=model)
    return {one.key: (one.severity, one.said) for one in check_against_dataset(recipe, dataset)}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of 320 px, five tiles of tiny in each direction, one or two in a sample."""
    folder = tmp_path_factory.mktemp("large") / "large"
    write_squares(folder, groups=4, side_px=320)
    return folder


def test_nothing_is_found_where_all_fits(squares: Path) -> None:
    assert found(squares, "preprocessing.max_tiles=2") == {}


def test_empty_splits(squares: Path, tmp_path: Path) -> None:
    for name in ("train.jsonl", "val.jsonl"):
        (tmp_path / name).write_bytes(b"")
    assert found(tmp_path) == {
        "data": ("contradiction", "train.jsonl is empty"),
        "validation.max_samples": ("note", "val.jsonl is empty or missing: nothing is looked at during training"),
    }
    assert found(tmp_path, "validation.keep_best=true")["validation.keep_best"][0] == "contradiction"
    assert "validation.max_samples" not in found(tmp_path, "validation.max_samples=0")


def test_what_does_not_fit_follows_the_rule_for_it(large: Path) -> None:
    """Four tiles a sample: one image is 4 and a thumbnail, of 16 tokens each, which leave no room for text in 80."""
    changes = ["preprocessing.max_tiles=4", "packing.max_sample_tokens=80"]
    key = "packing.over_long"
    severity, said = found(large, *changes, "packing.over_long=refuse")[key]
    assert severity == "contradiction"
    assert said.startswith("4 of 6 samples")
    assert found(large, *changes)[key] == ("note", said)
    assert key not in found(large, "preprocessing.max_tiles=4")


def test_what_never_fits_contradicts_unless_it_is_left_out(large: Path) -> None:
    """Two images are at least two tiles."""
    changes = ["preprocessing.max_tiles=1", "packing.max_tiles=1"]
    severity, said = found(large, *changes)["packing.over_long"]
    assert severity == "contradiction"
    assert said.startswith("2 of 6 samples")
    assert said.endswith("02/count even with one tile an image")
    assert found(large, *changes, "packing.over_long=leave-out")["packing.over_long"][0] == "note"


def test_tokens_limit_tiles_too(large: Path) -> None:
    """Sixteen tokens a tile of tiny: five tiles leave no room for text in 80 tokens."""
    key = "packing.over_long"
    for limit in ("packing.max_sample_tokens", "packing.max_tokens"):
        assert key in found(large, "preprocessing.max_tiles=4", f"{limit}=80")
        assert key not in found(large, "preprocessing.max_tiles=4", f"{limit}=81")


def test_images_that_are_shrunk_much_are_told(large: Path) -> None:
    """A side of 320 px is more than twice one of 64 or 128 and less than twice one of 192."""
    severity, said = found(large, "preprocessing.max_tiles=1")["preprocessing.max_tiles"]
    assert severity == "note"
    assert "8 of 8 images are shrunk" in said
    assert "the largest, 320x320 px, would fill 25 tiles" in said
    assert "preprocessing.max_tiles" not in found(large, "preprocessing.max_tiles=18")


def test_more_images_than_tiles_are_told(squares: Path) -> None:
    recipe = load_recipe("medical", overrides=["preprocessing.max_tiles=1"], model="tiny")
    said = [one.said for one in check_against_dataset(recipe, squares)]
    assert said == ["12 samples have more images than preprocessing.max_tiles (1): each image gets one tile"]


def test_general_data_are_asked_for(squares: Path) -> None:
    few_tiles = "preprocessing.max_tiles=2"
    assert "0.25" in found(squares, few_tiles, "mixture.general_ratio=0.25")["mixture.general_ratio"][1]
    assert "0.2" in found(squares, few_tiles, "mixture.general_repeat=0.2")["mixture.general_repeat"][1]
    assert found(squares, few_tiles, "mixture.general_ratio=0") == {}


def test_a_model_that_is_not_here_is_taken_to_be_published(large: Path) -> None:
    """Its tiles are 448 px, which no image here is."""
    assert set(found(large, "preprocessing.max_tiles=2", model="mini-internvl-2b")) == {"model"}


def test_wording_and_coordinates_of_the_model_must_be_the_datas(squares: Path, untrained: Path, tmp_path: Path) -> None:
    import json
    import shutil

    other = tmp_path / "other"
    shutil.copytree(untrained, other)
    spec = json.loads((other / "domainvl.json").read_text())
    spec["preprocessing"]["coordinate_space"] = "0-1"
    (other / "domainvl.json").write_text(json.dumps(spec))
    severity, said = found(squares, "preprocessing.max_tiles=2", model=str(other))["model"]
    assert (severity, said) == (
        "contradiction",
        "the model reads and writes boxes in 0-1, the data set's conversations have them in 0-1000",
    )
    spec["preprocessing"].update(coordinate_space="0-1000", wording="another")
    (other / "domainvl.json").write_text(json.dumps(spec))
    severity, said = found(squares, "preprocessing.max_tiles=2", model=str(other))["model"]
    assert severity == "contradiction"
    assert said.startswith("the model was trained with wording another, the data set has ")


def test_no_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        found(tmp_path / "nowhere")
