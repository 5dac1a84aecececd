"""Reading what is varied, and making valid trials of it."""

from __future__ import annotations

import pytest

from domainvl.errors import RecipeError
from domainvl.experiments.grid import Dimension, make_trials, parse_dimensions
from domainvl.training.recipe import Recipe


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(name="medical/lora", model="tiny", method="lora", seed=41)


def test_dimensions_are_divided_by_spaces_and_values_by_commas() -> None:
    expected = [Dimension("optimisation.learning_rate", ("1e-5", "4e-5")), Dimension("lora.rank", ("8", "16"))]
    assert parse_dimensions(["optimisation.learning_rate=1e-5,4e-5", "lora.rank=8,16"]) == expected
    assert parse_dimensions(["optimisation.learning_rate=1e-5,4e-5  lora.rank=8,16 "]) == expected


def test_what_stands_in_brackets_stays_together() -> None:
    assert parse_dimensions(["optimisation.betas=[0.9, 0.95],[0.9,0.999] a={b: [1,2]},3"]) == [
        Dimension("optimisation.betas", ("[0.9, 0.95]", "[0.9,0.999]")),
        Dimension("a", ("{b: [1,2]}", "3")),
    ]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("lora.rank", "has the form key=value,value"),
        ("=8,16", "has the form key=value,value"),
        ("lora.rank=8,,16", "has the form key=value,value"),
        ("lora.rank=", "has the form key=value,value"),
        ("lora.rank=8,8", "a value is named twice"),
        ("lora.rank=8 lora.rank=16", "lora.rank is named twice"),
        ("a=[1,2", "] is missing"),
        ("a=1],2", "] closes no bracket"),
        ("a=[1},2", "} closes no bracket"),
        (" ", "nothing is varied"),
    ],
)
def test_another_form_is_refused(text: str, rule: str) -> None:
    with pytest.raises(RecipeError) as raised:
        parse_dimensions([text])
    assert rule in str(raised.value)


def test_trials_are_all_combinations(recipe: Recipe) -> None:
    trials = make_trials(recipe, parse_dimensions(["optimisation.learning_rate=1e-5,4e-5 lora.rank=8,16"]))
    assert [trial.name for trial in trials] == [
        "learning_rate=1e-5_rank=8",
        "learning_rate=1e-5_rank=16",
        "learning_rate=4e-5_rank=8",
        "learning_rate=4e-5_rank=16",
    ]
    assert [(trial.recipe.optimisation.learning_rate, trial.recipe.lora.rank) for trial in trials] == [
        (1e-5, 8),
        (1e-5, 16),
        (4e-5, 8),
        (4e-5, 16),
    ]
    assert {trial.recipe.seed for trial in trials} == {41}
    assert trials[1].values == {"optimisation.learning_rate": "1e-5", "lora.rank": "16"}


def test_names_are_unique_and_fit_a_file_system(recipe: Recipe) -> None:
    betas = make_trials(recipe, parse_dimensions(["optimisation.betas=[0.9,0.95],[0.9,0.999]"]))
    assert [trial.name for trial in betas] == ["betas=0.9-0.95", "betas=0.9-0.999"]
    described = make_trials(recipe, parse_dimensions(["description=a/b,a:b," + "x" * 300]))
    names = [trial.name for trial in described]
    assert names[0] == "description=a-b"
    assert len(set(names)) == 3
    assert max(map(len, names)) <= 100
    same_end = make_trials(recipe, parse_dimensions(["validation.every_steps=5 saving.every_steps=7"]))
    assert same_end[0].name == "validation.every_steps=5_saving.every_steps=7"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lora.rnk=8", "unknown key lora.rnk .did you mean rank"),
        ("lora.rank=8,-1", "lora.rank: .*got -1"),
        ("full.vision=true,false", "does nothing with method: lora"),
        ("optimisation.learning_rate=1e-5,0.00001", "it is the same as optimisation.learning_rate=1e-5"),
    ],
)
def test_what_cannot_be_run_is_refused(recipe: Recipe, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as raised:
        make_trials(recipe, parse_dimensions([text]))
    assert "/tmp" not in str(raised.value)
