"""What makes a run the same run."""

from __future__ import annotations

from pathlib import Path

import pytest

from domainvl.errors import UsageError
from domainvl.training.identity import check_same_everywhere, check_same_recipe
from domainvl.training.recipe_files import load_recipe, save_recipe


class Others:
    """Stands for processes that said something of their own."""

    def __init__(self, **differing: str) -> None:
        self.differing = differing

    def gather_objects(self, own: dict[str, str]) -> list[dict[str, str]]:
        return [own, {**own, **self.differing}]


def test_processes_must_agree() -> None:
    identity, recipe = {"recipe": "a", "data": "b", "plan": "c", "model": "d"}, load_recipe("medical")
    check_same_everywhere(identity, recipe, Others())
    with pytest.raises(UsageError, match="the processes do not agree in: data, plan"):
        check_same_everywhere(identity, recipe, Others(data="x", plan="y"))
    other = load_recipe("medical", overrides=["validation.every_steps=7"])
    with pytest.raises(UsageError, match="do not agree in: whole recipe"):
        check_same_everywhere(identity, recipe, Others(**{"whole recipe": other.model_dump_json()}))


@pytest.mark.parametrize(
    "change",
    ["compute.parts_per_pack=2", "validation.answers=9", "saving.keep=3", "optimisation.micro_batch_size=1", "model=x"],
)
def test_what_is_not_learned_may_change(tmp_path: Path, change: str) -> None:
    save_recipe(load_recipe("medical"), tmp_path / "recipe.yaml")
    check_same_recipe(load_recipe("medical", overrides=[change]), tmp_path / "recipe.yaml")


def test_what_changed_is_named_with_both_values(tmp_path: Path) -> None:
    save_recipe(load_recipe("medical"), tmp_path / "recipe.yaml")
    changed = load_recipe("medical", overrides=["optimisation.learning_rate=0.5", "lora.ranks.vision=4"])
    with pytest.raises(UsageError) as caught:
        check_same_recipe(changed, tmp_path / "recipe.yaml")
    assert "optimisation.learning_rate was 4e-05 and is 0.5" in str(caught.value)
    assert "lora.ranks.vision was None and is 4" in str(caught.value)
    check_same_recipe(changed, tmp_path / "none.yaml")
