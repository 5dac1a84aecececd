"""Gradient checkpointing by part: which layers are computed again, and that gradients do not change."""

from __future__ import annotations

import pytest
import torch
from architectures import TEXT, VISION_LAYERS, small_loss, small_model

from domainvl.model.adapters import LoraSettings, add_lora
from domainvl.model.checkpointing import checkpoint_layers
from domainvl.model.parts import LastLayers, TrainedParts, layers_of, train_in_full

TEXT_LAYERS = TEXT["num_hidden_layers"]


def count_calls(model: torch.nn.Module) -> dict[str, int]:
    """Count from now on how often the attention of each part's layers is computed."""
    counts = {"vision": 0, "language_model": 0}

    def counted(part: str):
        def count(*_: object) -> None:
            counts[part] += 1

        return count

    for layer in layers_of(model, "vision"):
        layer.attention.register_forward_pre_hook(counted("vision"))
    for layer in layers_of(model, "language_model"):
        layer.self_attn.register_forward_pre_hook(counted("language_model"))
    return counts


def gradients(wrapped: torch.nn.Module, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    wrapped.train()
    torch.manual_seed(0)  # of dropout
    small_loss(model).backward()
    return {name: value.grad for name, value in wrapped.named_parameters() if value.requires_grad}


FULL, LORA = TrainedParts(), LoraSettings(rank=2, dropout=0.3)


def prepared(kind: str, settings: TrainedParts | LoraSettings) -> tuple[torch.nn.Module, torch.nn.Module]:
    model = small_model(kind)
    if isinstance(settings, LoraSettings):
        torch.manual_seed(2)
        wrapped = add_lora(model, settings)
        for name, value in wrapped.named_parameters():
            if "lora_B" in name:  # zero at first, which would hide what reaches A
                torch.nn.init.normal_(value, std=0.1)
        return wrapped, model
    train_in_full(model, settings)
    return model, model


@pytest.mark.parametrize("kind", ["qwen2", "llama", "phi3"])
@pytest.mark.parametrize("settings", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("parts", [(), ("vision",), ("language_model",), ("vision", "language_model")])
def test_the_chosen_layers_are_computed_twice_for_the_same_gradients(
    kind: str, settings: TrainedParts | LoraSettings, parts: tuple
) -> None:
    expected = gradients(*prepared(kind, settings))
    wrapped, model = prepared(kind, settings)
    checkpoint_layers(model, parts)
    counts = count_calls(model)
    found = gradients(wrapped, model)
    assert counts == {
        "vision": VISION_LAYERS * (1 + ("vision" in parts)),
        "language_model": TEXT_LAYERS * (1 + ("language_model" in parts)),
    }
    for name, gradient in expected.items():
        assert gradient.any(), name
        assert torch.allclose(found[name], gradient, rtol=1e-6, atol=1e-6 * float(gradient.abs().max())), name


def test_nothing_is_computed_again_for_what_is_frozen() -> None:
    """In a frozen vision encoder, and in frozen layers of a language model with nothing to train before them."""
    settings = LoraSettings(
        rank=2, dropout=0.0, vision="frozen", projector="frozen", last_layers=LastLayers(language_model=1)
    )
    wrapped, model = prepared("qwen2", settings)
    checkpoint_layers(model, ("vision", "language_model"))
    counts = count_calls(model)
    found = gradients(wrapped, model)
    assert counts == {"vision": VISION_LAYERS, "language_model": TEXT_LAYERS + 1}
    assert all(gradient.any() for gradient in found.values())


def test_gradients_reach_the_projector_before_a_checkpointed_language_model_behind_a_frozen_encoder() -> None:
    settings = LoraSettings(rank=2, dropout=0.0, vision="frozen", projector="full")
    expected = gradients(*prepared("qwen2", settings))
    wrapped, model = prepared("qwen2", settings)
    checkpoint_layers(model, ("vision", "language_model"))
    found = gradients(wrapped, model)
    projector = [name for name in found if "projector" in name]
    assert projector
    for name in projector:
        assert found[name].any()
        assert torch.allclose(found[name], expected[name], rtol=1e-6, atol=1e-7)


def test_layers_that_an_adapter_trains_in_full_are_checkpointed_too() -> None:
    wrapped, model = prepared("qwen2", LoraSettings(rank=2, dropout=0.0, vision="full"))
    checkpoint_layers(model, ("vision",))
    counts = count_calls(model)
    gradients(wrapped, model)
    assert counts == {"vision": 2 * VISION_LAYERS, "language_model": TEXT_LAYERS}
