"""Training parts in full: exactly which weights move."""

from __future__ import annotations

import pytest
import torch
from architectures import VISION_LAYERS, small_loss, small_model
from pydantic import ValidationError

from domainvl.errors import UsageError
from domainvl.model.adapters import LoraSettings, add_lora
from domainvl.model.parts import TrainedParts, part_of, train_in_full

NOTHING = {"vision": False, "projector": False, "language_model": False}
VISION = "model.vision_tower."
PROJECTOR = "model.multi_modal_projector."
WORDS = "model.language_model.embed_tokens."
HEAD = "lm_head."
LANGUAGE_MODEL = ("model.language_model.layers.", "model.language_model.norm.")


def changed_by_one_step(settings: TrainedParts) -> set[str]:
    model = small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_in_full(model, settings)
    optimizer = torch.optim.SGD([value for value in model.parameters() if value.requires_grad], lr=1.0)
    small_loss(model).backward()
    optimizer.step()
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def named(*beginnings: str) -> set[str]:
    """All weights whose name begins so, but the bias of the keys.

    A bias of the keys adds the same to every score of a query, which the softmax takes out, so it has no gradient
    and moves only by rounding.
    """
    return {
        name for name in small_model().state_dict() if name.startswith(beginnings) and not name.endswith("k_proj.bias")
    }


@pytest.mark.parametrize(
    ("given", "beginnings"),
    [
        ({}, ("model.", HEAD)),
        ({**NOTHING, "vision": True}, (VISION,)),
        ({**NOTHING, "projector": True}, (PROJECTOR,)),
        ({**NOTHING, "language_model": True}, (*LANGUAGE_MODEL, WORDS, HEAD)),
        ({**NOTHING, "language_model": True, "embeddings": False}, (*LANGUAGE_MODEL, HEAD)),
        ({**NOTHING, "language_model": True, "lm_head": False}, (*LANGUAGE_MODEL, WORDS)),
        ({**NOTHING, "lm_head": True}, (HEAD,)),
        ({**NOTHING, "embeddings": True}, (WORDS,)),
        (
            {
                "vision": True,
                "projector": False,
                "language_model": True,
                "last_layers": {"vision": 2, "language_model": 1},
            },
            (f"{VISION}encoder.layer.2.", f"{VISION}encoder.layer.3.", "model.language_model.layers.2."),
        ),
        (
            {**NOTHING, "language_model": True, "lm_head": True, "last_layers": {"language_model": 2}},
            ("model.language_model.layers.1.", "model.language_model.layers.2.", HEAD),
        ),
    ],
)
def test_exactly_these_weights_move(given: dict, beginnings: tuple[str, ...]) -> None:
    changed = {name for name in changed_by_one_step(TrainedParts(**given)) if not name.endswith("k_proj.bias")}
    assert changed == named(*beginnings)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (NOTHING, "at least one part"),
        ({"vision": False, "last_layers": {"vision": 2}}, "full.last_layers.vision is set, but full.vision is false"),
        ({"language_model": False, "last_layers": {"language_model": 2}}, "full.last_layers.language_model is set"),
        ({"last_layers": {"vision": 0}}, "greater than or equal to 1"),
        ({"last_layers": {"projector": 1}}, "projector"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainedParts(**given)


def test_more_layers_than_there_are_are_refused() -> None:
    with pytest.raises(UsageError, match=r"full.last_layers.vision must be at most 4.*got 5"):
        train_in_full(small_model(), TrainedParts(last_layers={"vision": VISION_LAYERS + 1}))


@pytest.mark.parametrize("wrapped", [False, True])
def test_every_weight_belongs_to_the_part_that_holds_it(wrapped: bool) -> None:
    model = small_model()
    modules = {
        "vision": [model.model.vision_tower],
        "projector": [model.model.multi_modal_projector],
        "language_model": [model.model.language_model, model.lm_head],
    }
    whole = add_lora(model, LoraSettings(lm_head="full", embeddings="full", projector="lora")) if wrapped else model
    if wrapped:
        modules["language_model"][1] = model.lm_head
    owner = {id(value): part for part, several in modules.items() for one in several for value in one.parameters()}
    assert {part_of(name) for name, _ in whole.named_parameters()} == set(modules)
    assert all(part_of(name) == owner[id(value)] for name, value in whole.named_parameters())


def test_parts_of_which_anything_is_trained() -> None:
    assert TrainedParts(**{**NOTHING, "lm_head": True}).parts() == {"language_model"}
    assert TrainedParts(vision=False).parts() == {"projector", "language_model"}
    assert LoraSettings(language_model="frozen", projector="frozen").parts() == {"vision"}
    assert LoraSettings(language_model="frozen", projector="frozen", embeddings="full").parts() == {
        "vision",
        "language_model",
    }


def test_one_matrix_cannot_be_trained_in_half() -> None:
    """Where the output layer is the embeddings, training one and freezing the other is no choice."""
    model = small_model()
    model.lm_head.weight = model.get_input_embeddings().weight
    with pytest.raises(UsageError, match=r"one matrix; full.embeddings is False and full.lm_head True"):
        train_in_full(model, TrainedParts(embeddings=False))
    train_in_full(model, TrainedParts(embeddings=False, lm_head=False))
    assert not model.lm_head.weight.requires_grad
