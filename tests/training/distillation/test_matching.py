"""What is compared: hidden states as transformers gives them, cosines as they are defined."""

import numpy as np
import pytest
import torch
from transformers import InternVLVisionConfig
from transformers.models.internvl.modeling_internvl import InternVLVisionModel

from domainvl.training.distillation.matching import cosines, last_states, with_maps


def tower(width: int = 16, layers: int = 3, *, final_norm: bool = False) -> InternVLVisionModel:
    torch.manual_seed(width)
    config = InternVLVisionConfig(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=24, image_size=[16, 16],
        patch_size=[8, 8], use_mean_pooling=not final_norm, initializer_range=0.3,
    )  # fmt: skip
    model = InternVLVisionModel(config).eval()
    if final_norm:
        torch.nn.init.normal_(model.layernorm.weight)
    return model


@pytest.mark.parametrize("final_norm", [False, True])
def test_states_are_those_of_transformers(final_norm: bool) -> None:
    model, pixels = tower(final_norm=final_norm), torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        found = last_states(model, pixels, 2)
        theirs = model(pixels, output_hidden_states=True)
    assert [state.shape for state in found] == [(2, 5, 16)] * 2
    torch.testing.assert_close(found[0], theirs.hidden_states[-2], rtol=0, atol=0)
    torch.testing.assert_close(found[1], theirs.last_hidden_state, rtol=0, atol=0)


def test_cosines_by_definition() -> None:
    generator = np.random.default_rng(0)
    one, other = (generator.normal(size=(2, 2, 5, 7)).astype(np.float32) for _ in range(2))
    products = (one * other).sum(-1)
    expected = (products / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)).mean((1, 2))
    found = cosines(list(torch.from_numpy(one)), list(torch.from_numpy(other)))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    same = torch.from_numpy(one[0])
    torch.testing.assert_close(cosines([same, same], [same * 3, -same]), torch.tensor([1.0, -1.0]))
    assert cosines([same.bfloat16()], [same.bfloat16()]).dtype == torch.float32


def test_widths_are_bridged_only_where_they_differ() -> None:
    pixels = torch.randn(2, 3, 16, 16)
    narrow = with_maps(tower(16), 2, 32)
    assert [state.shape for state in narrow(pixels)] == [(2, 5, 32)] * 2
    assert {name for name, _ in narrow.named_parameters() if not name.startswith("tower.")} == {
        "maps.0.weight", "maps.0.bias", "maps.1.weight", "maps.1.bias",
    }  # fmt: skip
    equal = with_maps(tower(16), 2, 16)
    assert all(name.startswith("tower.") for name, _ in equal.named_parameters())
    torch.testing.assert_close(equal(pixels), last_states(equal.tower, pixels, 2), rtol=0, atol=0)
