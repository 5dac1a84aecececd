"""Stochastic depth: what is dropped, how often, for what, and that nothing else changes."""

from __future__ import annotations

import pytest
import torch
from architectures import VISION_LAYERS, small_input, small_loss, small_model

from domainvl.model.adapters import LoraSettings, add_lora
from domainvl.model.drop_path import add_drop_path, layer_rates

RATE = 0.3


def last_layer(model: torch.nn.Module) -> torch.nn.Module:
    return model.model.vision_tower.encoder.layer[-1]


def test_rates_rise_linearly_with_depth() -> None:
    """As torch.linspace(0, rate, layers) of the official code."""
    assert layer_rates(0.1, 24) == pytest.approx(torch.linspace(0, 0.1, 24).tolist())
    assert layer_rates(0.1, 1) == [0.0]


def test_each_layer_has_its_rate() -> None:
    model = small_model()
    add_drop_path(model, RATE)
    model.train()
    tiles = torch.ones(4000, 2, 24)
    found = []
    for layer in model.model.vision_tower.encoder.layer:
        with torch.inference_mode():
            found.append((layer.mlp(tiles).abs().amax(dim=(1, 2)) == 0).double().mean().item())
    # Five standard deviations of a share of 4000 draws are at most 0.04.
    assert found == pytest.approx([0.0, RATE / 3, 2 * RATE / 3, RATE], abs=0.04)


def test_whole_tiles_lose_either_residual_and_the_rest_is_scaled() -> None:
    """Each tile is one of four sums, written out here from the layer's definition."""
    model = small_model()
    layer = last_layer(model)
    tile = torch.randn(1, 5, 24, generator=torch.Generator().manual_seed(0))
    sums = {}
    with torch.inference_mode():
        for attention_kept in (False, True):
            middle = tile
            if attention_kept:
                middle = tile + layer.lambda_1 * layer.attention(layer.layernorm_before(tile))[0] / (1 - RATE)
            sums[attention_kept, False] = middle
            sums[attention_kept, True] = middle + layer.lambda_2 * layer.mlp(layer.layernorm_after(middle)) / (1 - RATE)
        add_drop_path(model, RATE)
        layer.train()
        torch.manual_seed(0)
        outputs = layer(tile.expand(4000, -1, -1))
    shares = {}
    for kept, expected in sums.items():
        shares[kept] = (outputs - expected).abs().amax(dim=(1, 2)).lt(1e-4).double().mean().item()
    assert sum(shares.values()) == 1.0
    for (attention_kept, mlp_kept), share in shares.items():
        chance = ((1 - RATE) if attention_kept else RATE) * ((1 - RATE) if mlp_kept else RATE)
        assert share == pytest.approx(chance, abs=0.04)


def test_expectation_is_that_of_the_whole() -> None:
    model = small_model()
    attention = last_layer(model).attention
    tile = torch.randn(1, 5, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = attention(tile)[0]
        add_drop_path(model, RATE)
        attention.train()
        mean = attention(tile.expand(20_000, -1, -1))[0].mean(dim=0, keepdim=True)
    # One draw spreads by sqrt(rate / (1 - rate)) = 0.65 of the value: five deviations of the mean are 2.3 %.
    assert torch.allclose(mean, whole, rtol=0.025)


def test_nothing_changes_in_evaluation_and_no_weight_is_renamed() -> None:
    plain, dropping = small_model(), small_model()
    add_drop_path(dropping, 0.9)
    assert list(dropping.state_dict()) == list(plain.state_dict())
    with torch.inference_mode():
        assert torch.equal(dropping.eval()(**small_input()).logits, plain(**small_input()).logits)
        dropping.train()
        assert not torch.allclose(dropping(**small_input()).logits, plain(**small_input()).logits, atol=1e-3)


def test_rate_of_zero_draws_no_random_number() -> None:
    model = small_model()
    add_drop_path(model, 0.0)
    model.train()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    model(**small_input())
    assert torch.equal(torch.get_rng_state(), before)


def test_checkpointing_computes_the_same_layers_again() -> None:
    gradients = []
    for checkpointing in (False, True):
        model = small_model().train()
        add_drop_path(model, 0.5)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        torch.manual_seed(3)
        small_loss(model, **small_input(tiles=6)).backward()
        gradients.append({name: value.grad for name, value in model.named_parameters() if value.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.allclose(value, gradients[1][name], atol=1e-6) for name, value in gradients[0].items())


@pytest.mark.parametrize("settings", [LoraSettings(), LoraSettings(vision="full")], ids=["lora", "full"])
def test_reaches_the_layers_that_peft_has_wrapped(settings: LoraSettings) -> None:
    model = small_model()
    wrapped = add_lora(model, settings)
    add_drop_path(model, 0.999_999)
    wrapped.train()
    seen = []
    layer = model.model.vision_tower.encoder.layer[VISION_LAYERS - 1]
    layer.mlp.register_forward_hook(lambda module, args, output: seen.append(output.abs().max().item()))
    model(**small_input())
    assert seen == [0.0]
