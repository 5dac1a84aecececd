"""Distillation recipes: the shipped ones, changes, refusals."""

from pathlib import Path

import pytest

from domainvl.errors import RecipeError
from domainvl.training.distillation.recipe import (
    StudentSettings,
    distillation_recipe_names,
    load_distillation_recipe,
    save_distillation_recipe,
)
from domainvl.training.recipe_files import recipe_names


def test_shipped_recipes_load_and_are_none_of_finetune() -> None:
    assert distillation_recipe_names() == ["half", "internvit-300m", "tiny"]
    for name in distillation_recipe_names():
        assert load_distillation_recipe(name).name == name
    assert not [name for name in recipe_names() if "distil" in name]


def test_shipped_recipes_say_what_they_need() -> None:
    from importlib import resources

    for name in distillation_recipe_names():
        text = resources.files("domainvl.recipes").joinpath("_distillation", f"{name}.yaml").read_text("utf-8")
        for item in ("For", "Data", "Memory", "Time", "Launch"):
            assert f"\n# {item}: " in f"\n{text}", (name, item)


def test_saved_is_loaded_again(tmp_path: Path) -> None:
    recipe = load_distillation_recipe("tiny", overrides=["seed=7", "optimisation.learning_rate=1e-5"])
    save_distillation_recipe(recipe, tmp_path / "own.yaml")
    again = load_distillation_recipe(str(tmp_path / "own.yaml"))
    assert again == recipe
    assert (again.seed, again.optimisation.learning_rate) == (7, 1e-5)


def test_a_student_given_replaces_the_whole_section() -> None:
    """Else the recipe's width would shape a student of which only the layers were asked for."""
    recipe = load_distillation_recipe("tiny", student=StudentSettings(layers=3))
    assert recipe.student == StudentSettings(layers=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("matching.last_layrs=2", r"unknown key matching.last_layrs \(did you mean last_layers\?\)"),
        ("optimisation.learning_rate=0", "optimisation.learning_rate: .*greater than 0, got 0"),
        ("student.size=9b", "student.size must be one of internvit-300m, 1b, 2b, 4b, got '9b'"),
        ("student.start=teacher-layers", "student.width is set, but layers of the teacher have the teacher's widths"),
        ("student.start=other", "student.layers is set, but the shape of 'other' is that of its checkpoint"),
        ("student.size=1b", "student.layers is set, but student.size, '1b', is a whole shape"),
        ("seed", "a change has the form key=value"),
        ("seed.x=1", "seed is a value, not a section"),
        ("optimisation.betas.0=1", "betas is a list, not a section. Set all of betas at once"),
        ("seed=x", "seed: .*got 'x', set by --set"),
        ("student={width: 1, width: 2}", "the key 'width' stands twice"),
    ],
)
def test_what_is_refused(change: str, message: str, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("seed: 0\nstudent: {layers: 2, width: 32}\n")
    with pytest.raises(RecipeError, match=message):
        load_distillation_recipe(str(own), overrides=[change])


def test_an_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="Recipes are: half, internvit-300m, tiny"):
        load_distillation_recipe("tinny")
    (tmp_path / "bad.yaml").write_text("- a list\n")
    with pytest.raises(RecipeError, match="must be a mapping"):
        load_distillation_recipe(str(tmp_path / "bad.yaml"))
    (tmp_path / "bad.yaml").write_text("a: [1\n")
    with pytest.raises(RecipeError, match="it is not YAML"):
        load_distillation_recipe(str(tmp_path / "bad.yaml"))
    (tmp_path / "bad.yaml").write_text("seed: 1\nseed: 2\n")
    with pytest.raises(RecipeError, match="the key 'seed' stands twice"):
        load_distillation_recipe(str(tmp_path / "bad.yaml"))
    (tmp_path / "bad.yaml").write_bytes(b"seed: \xff\n")
    with pytest.raises(RecipeError, match="it is not UTF-8"):
        load_distillation_recipe(str(tmp_path / "bad.yaml"))
