"""Packed or grouped: as the recipe says, or as costs less with the attention there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from training.inputs import model_input, sources_of

from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.sizes import size_config
from domainvl.training.arrangement import ChosenPlan, choose_plan, flops
from domainvl.training.mixture import mixture_of
from domainvl.training.recipe_files import load_recipe


@pytest.fixture(scope="module")
def loaded(untrained: Path) -> LoadedModel:
    return load_model(str(untrained))


def choose(loaded: LoadedModel, squares: Path, implementation: str, *changes: str) -> ChosenPlan:
    base = ["optimisation.epochs=1", "optimisation.max_steps=null", "optimisation.batch_size=36"]
    recipe = load_recipe("quickstart/medical", overrides=[*base, *changes])
    spec = mixture_of([squares])
    config = loaded.internvl.config
    return choose_plan(recipe, spec, sources_of(loaded, spec), model_input(loaded), config, implementation)


def test_what_the_recipe_says_is_done(loaded: LoadedModel, squares: Path) -> None:
    for wanted in ("packed", "grouped"):
        chosen = choose(loaded, squares, "eager", f"packing.arrangement={wanted}")
        assert chosen.plan.arrangement == wanted
        assert chosen.said.startswith(f"{wanted}, as the recipe says: ")


def test_attention_of_each_sample_alone_is_packed(loaded: LoadedModel, squares: Path) -> None:
    for implementation in ("packed_sdpa", "flex_attention", "flash_attention_2"):
        assert choose(loaded, squares, implementation).plan.arrangement == "packed"


def test_a_dense_mask_on_long_packs_is_avoided(loaded: LoadedModel, squares: Path) -> None:
    """All 36 samples in one row of 2,000 tokens against themselves cost more than the padding of rows of 70."""
    chosen = choose(loaded, squares, "sdpa")
    assert chosen.plan.arrangement == "grouped"
    assert "with sdpa attention packed would take" in chosen.said
    short = choose(loaded, squares, "sdpa", "packing.max_tokens=90", "optimisation.micro_batch_size=36")
    assert short.plan.arrangement == "packed"


def test_operations_by_hand(loaded: LoadedModel, squares: Path) -> None:
    """Of one layer of the 1B: q and o are 896 x 896, k and v 896 x 128, three matrices 896 x 4,864."""
    config = size_config("1b")
    plan = choose(loaded, squares, "packed_sdpa", "optimisation.questions_per_pass=1").plan
    tokens = sum(unit.tokens for unit in plan.units)
    pairs = sum(unit.tokens**2 for unit in plan.units)
    weights = 2 * 896 * 896 + 2 * 896 * 128 + 3 * 896 * 4864
    assert flops(plan, config, "packed_sdpa") == pytest.approx(24 * (2 * weights * tokens + 4 * 896 * pairs))
