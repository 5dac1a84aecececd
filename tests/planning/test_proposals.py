"""What is proposed, and in which order."""

from __future__ import annotations

import pytest

from domainvl.planning.proposals import Choice, free_changes, harmful_steps
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe


def recipe(method: str, *changes: str) -> Recipe:
    return load_recipe(f"_shared/{method}", overrides=list(changes))


def applied(choice: Choice, start: Recipe) -> list[Choice]:
    made = []
    for step in harmful_steps(choice, start):
        choice = step.apply(choice)
        made.append(choice)
    return made


def test_of_full_fine_tuning_the_least_harmful_goes_first():
    choices = applied(Choice("4b", "full"), recipe("full", "preprocessing.max_tiles=12"))

    assert [choice.said for choice in choices] == [
        "hold the optimizer's state in 8 bits",
        "freeze the vision encoder",
        "LoRA instead of all weights",
        "hold the language model in 4 bits (QLoRA)",
        "at most 6 tiles",
        "at most 3 tiles",
        "at most 1 tile",
        "leave the vision encoder as it is",
        "the smaller model 2b",
        "the smaller model 1b",
    ]


def test_changes_add_up_and_those_of_full_go_with_it():
    choices = applied(Choice("2b", "full", (("full.projector", "false"),)), recipe("full"))

    eight_bits, frozen, lora = choices[:3]
    assert dict(eight_bits.changes) == {"full.projector": "false", "optimisation.optimizer": "adamw-8bit"}
    assert dict(frozen.changes) == {**dict(eight_bits.changes), "full.vision": "false"}
    assert lora.method == "lora"
    assert not any(key.startswith("full.") for key, _ in lora.changes)
    assert dict(choices[-1].changes)["quantisation"] == "nf4-double"
    assert dict(choices[-1].changes)["preprocessing.max_tiles"] == "1"
    assert choices[-1].size == "1b"


def test_lora_keeps_tiles_and_batch_of_the_full_recipe():
    choices = applied(Choice("2b", "full"), recipe("full", "optimisation.batch_size=32"))
    lora = next(choice for choice in choices if choice.method == "lora")
    resolved = recipe("lora", *(f"{key}={value}" for key, value in lora.changes))

    # The full recipe's; the LoRA recipe has 6 tiles, 16 samples a step and 4 at a time.
    assert resolved.preprocessing.max_tiles == 12
    assert resolved.optimisation.batch_size == 32
    assert resolved.optimisation.micro_batch_size == 1


def test_what_is_done_already_is_not_proposed():
    said = [
        choice.said
        for choice in applied(
            Choice(None, "lora"),
            recipe(
                "lora",
                "quantisation=nf4",
                "lora.vision=frozen",
                "preprocessing.max_tiles=1",
                "optimisation.optimizer=adamw-8bit",
            ),
        )
    ]

    assert said == []


def test_tiles_alone_do_not_make_weights_smaller():
    steps = harmful_steps(Choice("1b", "lora"), recipe("lora", "preprocessing.max_tiles=4"))

    assert [step.spares_what_stays for step in steps] == [True, True, False, False, True]


def test_every_proposal_is_a_recipe():
    for method in ("lora", "full"):
        for choice in applied(Choice("4b", method), recipe(method)):
            recipe(choice.method, *(f"{key}={value}" for key, value in choice.changes))


def test_free_changes_of_rows_that_are_padded():
    start = recipe(
        "lora",
        "packing.arrangement=grouped",
        "compute.gradient_checkpointing=false",
        "optimisation.micro_batch_size=4",
    )
    choices = list(free_changes(Choice("1b", "lora"), start, on_gpu=True))

    assert [choice.said for choice in choices] == [
        "as given",
        "compute activations again",
        "2 samples at a time",
        "1 sample at a time",
    ]
    assert dict(choices[-1].changes) == {
        "compute.gradient_checkpointing": "true",
        "optimisation.micro_batch_size": "1",
    }


@pytest.mark.parametrize("arrangement", ["packed", "auto"])
def test_packs_are_computed_in_more_and_more_parts(arrangement):
    start = recipe("lora", f"packing.arrangement={arrangement}", "compute.parts_per_pack=2")
    choices = list(free_changes(Choice("1b", "lora"), start, on_gpu=True))

    assert [choice.said for choice in choices] == [
        "as given",
        "each pack in 4 parts",
        "each pack in 8 parts",
        "each pack in 16 parts",
    ]
    assert dict(choices[-1].changes) == {"compute.parts_per_pack": "16"}


@pytest.mark.parametrize(
    ("setting", "proposed"),
    [("false", True), ("{vision: true}", True), ("{vision: true, language_model: true}", False), ("true", False)],
)
def test_checkpointing_is_proposed_unless_both_parts_have_it(setting, proposed):
    start = recipe("lora", f"compute.gradient_checkpointing={setting}")
    said = [choice.said for choice in free_changes(Choice("1b", "lora"), start, on_gpu=True)]

    assert ("compute activations again" in said) is proposed


@pytest.mark.parametrize(
    ("changes", "on_gpu", "said"),
    [
        (("compute.precision=fp32",), True, ["arithmetic in bf16"]),
        (("compute.precision=fp32",), False, []),
        (("compute.weights=fp32",), True, ["frozen weights in bf16"]),
        (("compute.precision=fp32", "compute.weights=fp32"), True, ["arithmetic in bf16", "frozen weights in bf16"]),
        (("compute.precision=bf16", "compute.weights=fp32"), False, ["frozen weights in bf16"]),
        ((), True, []),
    ],
)
def test_types_are_proposed_where_they_are_wider_than_need_be(changes, on_gpu, said):
    start = recipe("lora", "compute.parts_per_pack=16", *changes)

    assert [choice.said for choice in free_changes(Choice("1b", "lora"), start, on_gpu=on_gpu)][1:] == said
