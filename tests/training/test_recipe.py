"""Recipes: inheritance, changes, and messages that help."""

from pathlib import Path

import pytest

from domainvl.errors import RecipeError
from domainvl.training.recipe import load_recipe, recipe_names, save_recipe


def test_every_shipped_recipe_loads_and_says_what_it_is() -> None:
    names = recipe_names()
    assert {
        f"{family}/{method}" for family in ("remote-sensing", "medical", "driving") for method in ("lora", "full")
    } < set(names)
    for name in names:
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.description


@pytest.mark.parametrize("family", ["remote-sensing", "medical", "driving"])
def test_a_family_is_lora_unless_asked_otherwise(family: str) -> None:
    assert load_recipe(family).name == f"{family}/lora"
    assert load_recipe(family).method == "lora"
    assert load_recipe(family, method="full").name == f"{family}/full"


def test_published_values() -> None:
    """Of the second fine-tune (LoRA) and the domain adaptation (full) scripts of InternVL2."""
    lora = load_recipe("medical")
    assert (lora.lora.rank, lora.lora.alpha, lora.lora.dropout) == (16, 32, 0.05)
    assert (lora.optimisation.learning_rate, lora.optimisation.batch_size) == (4e-5, 16)
    assert lora.preprocessing.max_tiles == 6
    full = load_recipe("medical", method="full")
    assert (full.optimisation.learning_rate, full.optimisation.weight_decay) == (1e-5, 0.01)
    assert (full.optimisation.warmup_ratio, full.preprocessing.max_tiles) == (0.03, 12)


def test_child_wins_over_parent_and_changes_win_over_both(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: medical/lora\noptimisation:\n  epochs: 7\nlora:\n  rank: 2\n")
    recipe = load_recipe(str(path), overrides=["lora.rank=3", "optimisation.max_steps=null"])
    assert recipe.optimisation.epochs == 7
    assert recipe.lora.rank == 3
    assert recipe.lora.alpha == 32  # of the parent's section, which is merged, not replaced


def test_resolved_recipe_loads_as_the_same(tmp_path: Path) -> None:
    recipe = load_recipe("driving", overrides=["seed=9"])
    save_recipe(recipe, tmp_path / "recipe.yaml")
    assert load_recipe(str(tmp_path / "recipe.yaml")) == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimisation.lerning_rate=1", "unknown key optimisation.lerning_rate .did you mean learning_rate?"),
        ("sead=1", "did you mean seed?"),
        ("lora.rank=0", "lora.rank: .* greater than or equal to 1, got 0"),
        ("preprocessing.max_tiles=41", "max_tiles: .* less than or equal to 40, got 41"),
        ("seed", "key=value"),
        ("seed.x=1", "seed is a value, not a section"),
    ],
)
def test_wrong_changes_are_explained(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("medical", overrides=["seed=0", change])


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(RecipeError, match=r"(?s)lora\.rnk.*optimisation\.epochs"):
        load_recipe("medical", overrides=["lora.rnk=1", "optimisation.epochs=-1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not YAML"),
        ("- 1", "mapping of keys"),
        ("extends: medical/lorra", "did you mean medical/lora?"),
        ("extends: loop.yaml", "round in a circle"),
        ("method: lora", "model is missing"),
    ],
)
def test_wrong_files_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop.yaml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_recipe("loop.yaml")


def test_unknown_recipe_suggests_one() -> None:
    with pytest.raises(RecipeError, match="did you mean medical?"):
        load_recipe("medicel")
