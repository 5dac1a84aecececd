"""Recipes: inheritance, changes, and messages that help."""

from pathlib import Path

import pytest

from domainvl.errors import RecipeError
from domainvl.training.recipe_files import load_recipe, recipe_names, save_recipe


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
    assert (lora.lora.rank, lora.lora.alpha_of("vision"), lora.lora.dropout) == (16, 32, 0.05)
    assert (lora.lora.qkv, lora.lora.alpha_of("language_model")) == ("fused", 32)
    assert lora.optimisation.drop_path_rate == 0.0
    assert (lora.optimisation.learning_rate, lora.optimisation.batch_size) == (4e-5, 16)
    assert lora.preprocessing.max_tiles == 6
    full = load_recipe("medical", method="full")
    assert (full.optimisation.learning_rate, full.optimisation.weight_decay) == (1e-5, 0.01)
    assert (full.optimisation.warmup_ratio, full.preprocessing.max_tiles) == (0.03, 12)
    assert full.optimisation.drop_path_rate == 0.1
    assert full.full.parts() == {"vision", "projector", "language_model"}


def test_child_wins_over_parent_and_changes_win_over_both(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: medical/lora\noptimisation:\n  epochs: 7\nlora:\n  rank: 2\n")
    recipe = load_recipe(str(path), overrides=["lora.rank=3", "optimisation.max_steps=null"])
    assert recipe.optimisation.epochs == 7
    assert recipe.lora.rank == 3
    assert recipe.lora.dropout == 0.05  # of the parent's section, which is merged, not replaced
    assert recipe.lora.alpha_of("vision") == 6  # of no one: it follows the rank


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
        (
            "optimisation.learning_rates.visoin=1",
            "unknown key optimisation.learning_rates.visoin .did you mean vision?",
        ),
        ("optimisation.learning_rates.vision=0", "optimisation.learning_rates.vision: .* greater than 0, got 0"),
        ("lora.ranks.vision=0", "lora.ranks.vision: .* greater than or equal to 1, got 0"),
        ("lora.ranks.projector=2", "lora.ranks.projector is set, but lora.projector is 'full'"),
        ("lora.last_layers.projector=2", "unknown key lora.last_layers.projector"),
        ("optimisation.drop_path_rate=1", "optimisation.drop_path_rate: .* less than 1, got 1"),
        ("quantisation=int8", "quantisation: .*got 'int8'"),
        ("compute.attention=slow", "compute.attention: .*got 'slow'"),
        ("seed.x=1", "seed is a value, not a section"),
    ],
)
def test_wrong_changes_are_explained(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("medical", overrides=["seed=0", change])


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        (
            "lora",
            ["lora.projector=frozen", "optimisation.learning_rates.projector=1e-5"],
            r"in medical: optimisation.learning_rates.projector is set, but projector is not trained",
        ),
        (
            "full",
            ["full.vision=false", "optimisation.learning_rates.vision=1e-5"],
            "optimisation.learning_rates.vision is set, but vision is not trained",
        ),
        ("full", ["quantisation=nf4"], "quantisation must be 'none' with method: full, got 'nf4'"),
        ("full", ["full.vision=false", "full.last_layers.vision=4"], "full.last_layers.vision is set"),
        ("lora", ["compute.weights=bf16", "compute.precision=fp32"], "compute.weights must not be 'bf16'"),
        ("lora", ["lora.vision=frozen", "lora.language_model=frozen"], "lora: at least one of"),
        ("lora", ["validation.max_samples=0", "validation.patience=3"], "validation.patience is set, but .* no looks"),
        ("lora", ["validation.max_samples=0", "validation.keep_best=true"], "validation.keep_best is set, but .*is 0"),
        ("lora", ["validation.max_samples=0", "validation.best_by=answers"], "validation.best_by is set, but .*is 0"),
    ],
)
def test_settings_that_contradict_each_other_are_explained(method: str, changes: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("medical", method=method, overrides=changes)


def test_quickstart_adapts_as_its_claims_were_measured() -> None:
    for family in ("medical", "driving", "remote-sensing"):
        recipe = load_recipe(f"quickstart/{family}")
        assert recipe.lora.model_dump(include={"rank", "dropout", "qkv", "vision", "projector", "embeddings"}) == {
            "rank": 16,
            "dropout": 0.0,
            "qkv": "separate",
            "vision": "lora",
            "projector": "full",
            "embeddings": "full",
        }


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


@pytest.mark.parametrize(("method", "change"), [("lora", "full.vision=false"), ("full", "lora.rank=3")])
def test_a_change_of_what_the_method_does_not_read_is_refused(method: str, change: str) -> None:
    with pytest.raises(RecipeError, match=rf"does nothing with method: {method}"):
        load_recipe("medical", method=method, overrides=[change])


def test_what_needs_looks_is_taken_where_there_are_some() -> None:
    changes = ["validation.max_samples=1", "validation.patience=3", "validation.keep_best=true"]
    assert load_recipe("medical", overrides=[*changes, "validation.best_by=answers"]).validation.patience == 3


def test_what_the_method_reads_is_judged_by_the_method_in_the_end() -> None:
    with pytest.raises(RecipeError, match=r"Cannot set lora\.rank: lora\.\* does nothing with method: full"):
        load_recipe("medical", overrides=["lora.rank=3", "method=full"])


def test_a_changed_recipe_is_as_the_same_changes_of_its_file_make_it() -> None:
    changes = {
        "optimisation.learning_rate": "1e-5",
        "optimisation.betas": "[0.9, 0.98]",
        "optimisation.epochs": "null",
        "optimisation.max_steps": "7",
        "lora": "{rank: 3, ranks: {vision: 2}}",
        "compute.gradient_checkpointing": "{vision: true}",
        "tracking": "[wandb]",
    }
    recipe = load_recipe("medical", overrides=["compute.gradient_checkpointing=false"])

    changed = recipe.changed(changes)

    texts = [f"{key}={value}" for key, value in changes.items()]
    assert changed == load_recipe("medical", overrides=["compute.gradient_checkpointing=false", *texts])
    assert (changed.lora.rank, changed.lora.dropout) == (3, recipe.lora.dropout)
    assert recipe == load_recipe("medical", overrides=["compute.gradient_checkpointing=false"])
    values = {"optimisation.epochs": None, "optimisation.max_steps": 7, "optimisation.betas": (0.9, 0.98)}
    assert recipe.changed(values) == recipe.changed({key: changes[key] for key in values})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"lora.rnk": 1},
            r"Cannot change the recipe medical/lora: unknown key lora\.rnk \(did you mean rank\?\)\.",
        ),
        ({"lroa.rank": 1}, r"unknown key lroa \(did you mean lora\?\)"),
        ({"lora.rank": 0, "seed": "x"}, r"lora\.rank: .*got 0; seed: .*got 'x'\. Correct"),
        ({"full.vision": False}, "does nothing with method: lora"),
        ({"seed.x": 1}, "seed is a value, not a section"),
        ({"tracking.0": "wandb"}, "tracking is a list, not a section"),
        ({"seed": "[1"}, r"Cannot change the recipe medical/lora in seed=\[1: it is not YAML"),
        ({"lora": "{rank: 1, rank: 2}"}, "the key 'rank' stands twice"),
    ],
)
def test_a_recipe_is_changed_by_the_rules_of_its_file(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("medical").changed(changes)
