"""The two halves of the way of an image into the model are the native class's whole, to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import small_input, small_loss, small_model

from domainvl.model.adapters import LoraSettings, add_lora
from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.visual import VisualInput, blank_contribution, embed, encode_tiles, image_outputs, project


def loaded_small(model: torch.nn.Module) -> LoadedModel:
    return LoadedModel(model, None, None)


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("layer", [-1, -2, 1, 3])
@pytest.mark.parametrize("adapted", [False, True])
def test_halves_are_the_native_whole(layer: int, adapted: bool) -> None:
    model = small_model()
    model.config.vision_feature_layer = layer
    loaded = loaded_small(add_lora(model, LoraSettings(rank=2, vision="full")) if adapted else model)
    pixels = small_input(tiles=3)["pixel_values"]
    features = encode_tiles(loaded, pixels)
    assert features.shape == (3, 4, 4 * 24)
    native = model.get_image_features(pixel_values=pixels).pooler_output
    assert torch.equal(project(loaded, features), native)


@pytest.mark.parametrize("kind", ["qwen2", "llama", "phi3"])
def test_loss_and_gradients_are_those_of_pixels(kind: str) -> None:
    model = small_model(kind)
    loss = small_loss(model)
    loss.backward()
    expected = gradients(model)
    model.zero_grad()
    embeddings = project(loaded_small(model), encode_tiles(loaded_small(model), small_input()["pixel_values"]))
    again = small_loss(model, pixel_values=None, **image_outputs(embeddings))
    again.backward()
    assert again.item() == loss.item()
    found = gradients(model)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


def test_images_stand_in_their_order(untrained: Path) -> None:
    loaded = load_model(str(untrained))
    generator = np.random.default_rng(0)
    parts = [generator.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8) for count in (1, 3, 2)]
    with torch.inference_mode():
        together = embed(loaded, [VisualInput(tiles=tiles) for tiles in parts])
        apart = [embed(loaded, [VisualInput(tiles=tiles)]) for tiles in parts]
    assert [len(one) for one in apart] == [1, 3, 2]
    assert torch.allclose(together, torch.cat(apart), atol=1e-6)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_a_blank_tile_gives_zero_with_gradients_of_zero_and_draws_no_random_number() -> None:
    model = small_model()
    wrapped = add_lora(model, LoraSettings(rank=2, dropout=0.5, language_model="frozen"))
    wrapped.train()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    zero = blank_contribution(loaded_small(wrapped))
    zero.backward()
    assert torch.equal(torch.get_rng_state(), before)
    assert zero.item() == 0.0
    trained = [value for value in wrapped.parameters() if value.requires_grad]
    assert all(value.grad is not None and not value.grad.any() for value in trained)
