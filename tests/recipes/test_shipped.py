"""The shipped recipes: the published ones say what was published, all say what they are, all run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from squares import write_squares

from domainvl.training.mixture import mixture_of
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import HEADER_ITEMS, load_recipe, recipe_header, recipe_names, values_of
from domainvl.training.run import finetune

NAMES = recipe_names()

DOMAIN_ADAPTATION = {
    "method": "full",
    "full.vision": True,
    "full.projector": True,
    "full.language_model": True,
    "quantisation": "none",
    "preprocessing.max_tiles": 12,
    "preprocessing.use_thumbnail": True,
    "packing.arrangement": "packed",
    "packing.max_tokens": 16_384,
    "packing.max_tiles": 48,
    "packing.max_sample_tokens": 8192,
    "optimisation.loss_weighting": "square",
    "optimisation.learning_rate": 1e-5,
    "optimisation.weight_decay": 0.01,
    "optimisation.warmup_ratio": 0.03,
    "optimisation.drop_path_rate": 0.1,
    "optimisation.betas": [0.9, 0.999],
    "optimisation.max_grad_norm": 1.0,
    "optimisation.questions_per_pass": 1,
    "compute.precision": "bf16",
    "compute.gradient_checkpointing": True,
}
"""Common to the twelve scripts of the domain adaptation (OpenGVLab/InternVL, shell/mini_internvl/domain_adaptation)."""

DIFFERING = {
    # name: max_steps, packs a step on 8 GPUs (gradient accumulation 8 or 1), save_steps, save_total_limit
    "bdd-x-1b": (240, 64, 700, 3),
    "bdd-x-2b": (240, 64, 72, 3),
    "bdd-x-4b": (240, 64, 700, 3),
    "drivelm-1b": (15_100, 8, 700, 3),
    "drivelm-2b": (15_100, 8, 700, 3),
    "drivelm-4b": (15_100, 8, 700, 3),
    "medical-1b": (2200, 64, 700, 3),
    "medical-2b": (2200, 64, 700, 3),
    "medical-4b": (2200, 64, 700, 3),
    "remote-sensing-1b": (2500, 64, 500, 3),
    "remote-sensing-2b": (2500, 64, 500, 7),
    "remote-sensing-4b": (2500, 64, 700, 3),
}

GENERAL = {"drivelm": (0.25, None), "bdd-x": (1.0, None), "medical": (1.0, None), "remote-sensing": (None, 0.2)}
"""General samples for each of the domain's (arXiv 2410.16261), or how often the general data are seen (the meta)."""

SECOND_FINETUNE = {
    "preprocessing.max_tiles": 6,
    "packing.arrangement": "grouped",
    "packing.max_sample_tokens": 4096,
    "optimisation.epochs": 1,
    "optimisation.max_steps": None,
    "optimisation.packs_per_step": None,
    "optimisation.micro_batch_size": 4,
    "optimisation.learning_rate": 4e-5,
    "optimisation.weight_decay": 0.01,
    "optimisation.warmup_ratio": 0.03,
    "optimisation.loss_weighting": "token",
    "optimisation.questions_per_pass": 1,
    "compute.gradient_checkpointing": True,
    "saving.every_steps": 200,
    "saving.keep": 1,
}
"""Common to the scripts of the second fine-tuning (shell/internvl2.0/2nd_finetune)."""

SECOND_LORA = {
    **SECOND_FINETUNE,
    "method": "lora",
    "lora.rank": 16,
    "lora.alpha": 32,
    "lora.dropout": 0.05,
    "lora.vision": "frozen",
    "lora.projector": "frozen",
    "lora.language_model": "lora",
    "optimisation.batch_size": 16,
    "optimisation.drop_path_rate": 0.0,
}

SECOND_FULL = {
    **SECOND_FINETUNE,
    "method": "full",
    "full.vision": False,
    "full.projector": True,
    "full.language_model": True,
    "optimisation.batch_size": 128,
    "optimisation.drop_path_rate": 0.1,
}

CARDS = ("lora-12gb", "lora-16gb", "lora-24gb", "qlora-12gb", "qlora-16gb", "qlora-24gb")


def assert_says(name: str, expected: dict[str, Any]) -> None:
    values = values_of(load_recipe(name))
    assert {key: values[key] for key in expected} == expected


@pytest.mark.parametrize("name", DIFFERING)
def test_domain_adaptation_is_as_published(name: str) -> None:
    max_steps, packs, save_steps, save_limit = DIFFERING[name]
    domain, _, size = name.rpartition("-")
    ratio, repeat = GENERAL[domain]
    assert_says(
        f"published/{name}",
        {
            **DOMAIN_ADAPTATION,
            "model": f"mini-internvl-{size}",
            "optimisation.max_steps": max_steps,
            "optimisation.epochs": None,  # max_steps overrides num_train_epochs in the scripts
            "optimisation.packs_per_step": packs,
            "saving.every_steps": save_steps,
            "saving.keep": save_limit,
            "mixture.general_ratio": ratio,
            "mixture.general_repeat": repeat,
        },
    )


def test_no_published_recipe_is_left_untested() -> None:
    assert {f"published/{name}" for name in DIFFERING} == {name for name in NAMES if name.startswith("published/")}


@pytest.mark.parametrize("size", ["1b", "2b", "4b"])
def test_second_finetune_is_as_published(size: str) -> None:
    assert_says(f"second-finetune/lora-{size}", {**SECOND_LORA, "model": f"mini-internvl-{size}"})
    assert_says(f"second-finetune/full-{size}", {**SECOND_FULL, "model": f"mini-internvl-{size}"})


@pytest.mark.parametrize(("size", "weight_decay"), [("2b", 0.01), ("4b", 0.05)])
def test_second_finetune_of_v1_5_is_as_published(size: str, weight_decay: float) -> None:
    changed = {"preprocessing.max_tiles": 12, "optimisation.weight_decay": weight_decay}
    assert_says(f"second-finetune/lora-v1-5-{size}", SECOND_LORA | changed)
    assert_says(f"second-finetune/full-v1-5-{size}", SECOND_FULL | changed)


def test_second_finetune_for_coco_is_as_published() -> None:
    changed = {"lora.rank": 128, "lora.alpha": 256, "optimisation.batch_size": 512}
    assert_says("second-finetune/lora-coco-2b", SECOND_LORA | changed)


def test_continued_learning_trains_what_the_pretraining_of_v1_5_does() -> None:
    assert_says(
        "vision/continued",
        {
            "method": "full",
            "full.vision": True,
            "full.projector": True,
            "full.language_model": False,
            "optimisation.epochs": 1,
            "optimisation.learning_rate": 2e-5,
            "optimisation.weight_decay": 0.01,
            "optimisation.drop_path_rate": 0.1,
            "packing.max_sample_tokens": 4096,
        },
    )


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("domain", ["medical", "remote-sensing", "driving"])
def test_one_card_adapts_more_than_the_language_model(domain: str, card: str) -> None:
    recipe = load_recipe(f"{domain}/{card}")
    assert recipe.lora.projector == "full"
    assert recipe.quantisation == ("nf4-double" if card.startswith("qlora") else "none")
    assert recipe.compute.gradient_checkpointing is True
    assert recipe.packing.max_sample_tokens <= recipe.packing.max_tokens
    frozen = domain == "medical" and card.endswith("12gb")
    assert recipe.lora.vision == ("frozen" if frozen else "lora")
    assert recipe.compute.cache_vision == frozen
    assert recipe.mixture.general_ratio is None


@pytest.mark.parametrize("card", CARDS)
def test_six_views_fit_into_a_pack_of_any_card(card: str) -> None:
    """A driving frame is 6 x (2 tiles and a thumbnail) of 256 tokens, and it needs room for text."""
    packing = load_recipe(f"driving/{card}").packing
    assert packing.max_tiles >= 18
    assert min(packing.max_tokens, packing.max_sample_tokens) >= 18 * 256 + 512


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_says_what_it_is(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description.endswith(".")
    assert len(recipe.description) <= 100
    header = recipe_header(name)
    assert tuple(header) == HEADER_ITEMS
    assert all(header.values())
    assert "@" not in "".join(header.values())


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("quickstart/")])
def test_every_launch_names_the_recipe_on_one_gpu_and_on_many(name: str) -> None:
    launch = recipe_header(name)["launch"]
    family = name.removesuffix("/lora") if name.endswith("/lora") else name
    wanted = (
        f"--recipe {family.removesuffix('/full')} --method full" if name.endswith("/full") else f"--recipe {family} "
    )
    assert launch.count(wanted) == 2
    assert "one GPU: domainvl finetune" in launch
    assert "GPUs: torchrun --standalone --nproc-per-node" in launch
    assert ("--general" in launch) == wants_general(load_recipe(name))


@pytest.fixture(scope="module")
def general(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("general") / "general"
    write_squares(folder, groups=4)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_runs_two_steps(name: str, squares: Path, general: Path, untrained: Path, tmp_path: Path) -> None:
    recipe = load_recipe(name, overrides=small_changes(load_recipe(name)), model=str(untrained))

    mixture = mixture_of([squares], [general] if wants_general(recipe) else [])
    summary = finetune(recipe, mixture, tmp_path / "run")

    assert summary.steps == 2
    assert (tmp_path / "run" / "checkpoint").is_dir()


def wants_general(recipe: Recipe) -> bool:
    return recipe.mixture.general_ratio is not None or recipe.mixture.general_repeat is not None


def small_changes(recipe: Recipe) -> list[str]:
    """Make a recipe small enough for a test; nothing that decides what is trained or how it is put together."""
    changes = ["optimisation.max_steps=2", "optimisation.epochs=2", "validation.max_samples=2", "validation.answers=1"]
    changes += ["validation.max_new_tokens=2"]
    if recipe.optimisation.packs_per_step is not None:
        return [*changes, "optimisation.packs_per_step=1", "packing.max_tokens=512"]
    return [*changes, "optimisation.batch_size=4"]
