"""Recipes as files: where values come from, what is refused, how two recipes differ."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from domainvl.errors import RecipeError
from domainvl.training.recipe_files import (
    DEFAULT,
    NOT_READ,
    compare_recipes,
    load_recipe,
    recipe_header,
    recipe_names,
    trace_recipe,
    values_of,
)


@pytest.fixture
def family(tmp_path: Path) -> Path:
    """Three files, each extending the one before; paths are relative to the file that names them."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "base.yaml").write_text(
        "name: the-base\nmodel: tiny\nmethod: lora\nlora: {rank: 4, dropout: 0.1}\nseed: 1\n"
    )
    (tmp_path / "shared" / "middle.yaml").write_text("extends: base.yaml\nlora: {rank: 8}\nseed: 2\n")
    (tmp_path / "mine.yaml").write_text("extends: shared/middle.yaml\nseed: 3\n")
    return tmp_path


def test_each_value_says_which_file_set_it_last(family: Path) -> None:
    mine, middle, base = (str(family / name) for name in ("mine.yaml", "shared/middle.yaml", "shared/base.yaml"))

    traced = trace_recipe(mine, overrides=["lora.ranks.vision=2", "lora.rslora=true"], model="other")

    assert traced.chain == (base, middle, mine)
    assert traced.recipe == load_recipe(mine, overrides=["lora.ranks.vision=2", "lora.rslora=true"], model="other")
    assert {key: traced.origins[key] for key in traced.origins if traced.origins[key] != DEFAULT} == {
        "method": base,
        "lora.dropout": base,
        "lora.rank": middle,
        "seed": mine,
        "model": "--model",
        "lora.ranks.vision": "--set",
        "lora.rslora": "--set",
    }
    assert set(traced.origins) == set(values_of(traced.recipe))


def test_a_value_that_a_section_replaces_comes_from_the_section(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("model: tiny\nmethod: lora\ncompute: {gradient_checkpointing: true}\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\ncompute: {gradient_checkpointing: {vision: true}}\n")

    traced = trace_recipe(str(tmp_path / "b.yaml"))

    assert traced.origins["compute.gradient_checkpointing.vision"] == str(tmp_path / "b.yaml")
    assert traced.origins["compute.gradient_checkpointing.language_model"] == DEFAULT
    assert traced.recipe.compute.checkpointed_parts() == {"vision"}


def test_a_name_is_not_inherited(family: Path) -> None:
    assert load_recipe(str(family / "mine.yaml")).name == "mine"
    assert load_recipe(str(family / "shared" / "base.yaml")).name == "the-base"
    assert load_recipe("medical").name == "medical/lora"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"a": "extends: b.yaml", "b": "extends: sub/../a.yaml"},
            r"in a\.yaml: .* circle: a\.yaml > b\.yaml > .*a\.yaml",
        ),
        ({"a": "extends: b.yaml"}, r"in a\.yaml: there is no file b\.yaml"),
        ({"a": "extends: medical/lroa"}, r"'medical/lroa', which is extended in a\.yaml: did you mean medical/lora\?"),
        ({"a": "extends: [medical/lora, medical/full]"}, "extends must name one recipe or file, got .'medical/lora'"),
        (
            {"a": "seed: 1\nmodel: tiny\nseed: 2"},
            r"in a\.yaml: the key 'seed' stands twice in one section, again in line 3",
        ),
        ({"a": "lora:\n  rank: 1\n  rank: 2"}, "the key 'rank' stands twice"),
        ({"a": "extends: b.yaml", "b": "model: tiny\nmodel: tiny"}, r"in b\.yaml: the key 'model' stands twice"),
        ({"a": "extends: medical/lora\nseed: 1\noptimisation: {epohcs: 1}"}, r"unknown key optimisation.epohcs \(did"),
        (
            {"a": "extends: b.yaml", "b": "extends: medical/lora\nlora: {rnk: 1}"},
            r"in a\.yaml: unknown key lora\.rnk \(did you mean rank\?\), set by b\.yaml",
        ),
        (
            {"a": "extends: b.yaml", "b": "extends: medical/lora\nlora: {rank: 0}"},
            r"lora\.rank: .* greater than or equal to 1, got 0, set by b\.yaml",
        ),
        (
            {"a": "extends: medical/lora\ncompute: {gradient_checkpointing: {visoin: true}}"},
            r"in a\.yaml: unknown key compute\.gradient_checkpointing\.visoin \(did you mean vision\?\)\. Correct",
        ),
        ({"a": "extends: medical/lora\ntracking: [wandbox]"}, r"tracking\.0: .*'wandb', got 'wandbox'"),
        ({"a": "extends: medical/lora\nlora: 3"}, "lora: .*got 3"),
        ({"a": "extends: medical/lora\n1: 3"}, r"in a\.yaml: .*should be strings"),
        ({"a": "extends: medical/lora\nmedical: [1"}, r"in a\.yaml: it is not YAML"),
        ({"a": ""}, "must be a mapping"),
    ],
)
def test_wrong_files_name_file_key_rule_and_nearest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    for name, text in files.items():
        Path(f"{name}.yaml").write_text(text)

    with pytest.raises(RecipeError, match=said):
        load_recipe("a.yaml")


def test_one_base_may_be_reached_twice_but_not_by_itself(tmp_path: Path) -> None:
    """The same key in two sections, and a file extended by two others, are neither doubles nor circles."""
    (tmp_path / "a.yaml").write_text(
        "extends: medical/lora\nlora: {ranks: {vision: 2}}\noptimisation: {learning_rates: {vision: 1.0e-5}}\n"
    )
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    (tmp_path / "c.yaml").write_text("extends: a.yaml\n")

    assert compare_recipes(*(load_recipe(str(tmp_path / name)) for name in ("b.yaml", "c.yaml"))) == []


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"seed: \xff\n")
    with pytest.raises(RecipeError, match=r"a\.yaml: it is not UTF-8"):
        load_recipe(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["tracking.0=wandb"], "tracking is a list, not a section. Set all of tracking at once"),
        (["optimisation.betas.1=0.98"], "betas is a list, not a section"),
        (["compute.gradient_checkpointing.vision=false"], "gradient_checkpointing is a value, not a section"),
        (["lora.rank.vision=3"], "rank is a value, not a section"),
        (["seed=[1"], "in --set seed=.1: it is not YAML"),
        (["lora.rnk=1"], r"unknown key lora\.rnk \(did you mean rank\?\), set by --set"),
        (["lroa.rank=1"], r"unknown key lroa \(did you mean lora\?\)"),
        (["=1"], "form key=value"),
    ],
)
def test_wrong_changes_say_which(changes: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe("medical", overrides=changes)


def test_lists_and_sections_are_set_at_once() -> None:
    recipe = load_recipe(
        "medical",
        overrides=[
            "tracking=[wandb, tensorboard]",
            "optimisation.betas=[0.9, 0.98]",
            "compute.gradient_checkpointing={language_model: true}",
            "lora={rank: 3}",
        ],
    )
    assert recipe.tracking == ("wandb", "tensorboard")
    assert recipe.optimisation.betas == (0.9, 0.98)
    assert recipe.compute.checkpointed_parts() == {"language_model"}
    assert (recipe.lora.rank, recipe.lora.dropout) == (3, 0.05)  # merged, as a file's section is


def test_a_family_without_the_method_names_what_it_has() -> None:
    with pytest.raises(
        RecipeError, match=r"'published/lora': of published there are published/bdd-x-1b, .*4b\. Name one"
    ):
        load_recipe("published")


def test_shared_files_are_not_listed() -> None:
    assert not [name for name in recipe_names() if name.startswith("_")]
    assert load_recipe("_shared/lora").name == "_shared/lora"


def test_differences_are_all_and_only_what_differs() -> None:
    first = load_recipe("medical", overrides=["lora.ranks.vision=4"])
    second = load_recipe("medical", overrides=["seed=5", "tracking=[wandb]"])

    found = {one.key: (one.first, one.second) for one in compare_recipes(first, second)}

    assert found == {"lora.ranks.vision": (4, None), "seed": (0, 5), "tracking": ([], ["wandb"])}
    assert compare_recipes(first, first) == []


def test_what_a_method_does_not_read_is_no_value() -> None:
    found = {
        one.key: (one.first, one.second)
        for one in compare_recipes(load_recipe("medical"), load_recipe("medical", method="full"))
    }
    assert found["lora.rank"] == (16, NOT_READ)
    assert found["full.vision"] == (NOT_READ, True)
    assert "lora.alpha" not in found  # None in the one, not read in the other
    assert found["optimisation.learning_rate"] == (4e-5, 1e-5)


def test_values_are_those_of_the_recipe() -> None:
    recipe = load_recipe("medical")
    values = values_of(recipe)
    assert values["lora.ranks.vision"] is None
    assert values["optimisation.betas"] == [0.9, 0.999]
    nested: dict = {}
    for key, value in values.items():
        held = nested
        *sections, last = key.split(".")
        for section in sections:
            held = held.setdefault(section, {})
        held[last] = value
    assert nested == yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json")))


def test_the_header_is_of_the_own_file_with_continued_lines(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "# For: my slices,\n#   all of them.\n# Something else: no item,\n#   nor this.\n"
        "# Data: mine.\n#   More: of it.\n"
        "extends: medical/lora\n# Memory: not at the head.\n"
    )
    assert recipe_header(str(path)) == {"for": "my slices, all of them.", "data": "mine. More: of it."}
