"""QLoRA: what is held in 4 bits, what is trained, and that adapters fit the base that is not quantised."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from domainvl.errors import UsageError
from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.quantisation import quantisation_config

bitsandbytes = pytest.importorskip("bitsandbytes")


def quantised(loaded: LoadedModel) -> list[str]:
    return [name for name, module in loaded.internvl.named_modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]


def logits(loaded: LoadedModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    ids = torch.tensor([[40, 41, *[loaded.internvl.config.image_token_id] * 16, 42, 43]])
    with torch.inference_mode():
        return loaded.internvl(input_ids=ids, pixel_values=torch.randn(1, 3, 64, 64, generator=generator)).logits


@pytest.mark.parametrize("kind", ["nf4", "nf4-double"])
def test_linear_layers_of_the_language_model_and_nothing_else(untrained: Path, kind: str) -> None:
    loaded = load_model(str(untrained), quantisation=kind)
    names = quantised(loaded)
    assert len(names) == 3 * 7  # three layers of seven linear maps
    assert all(name.startswith("model.language_model.layers.") for name in names)
    for module in (loaded.internvl.model.vision_tower, loaded.internvl.model.multi_modal_projector):
        assert {value.dtype for value in module.parameters()} == {torch.float32}
    state = loaded.internvl.model.language_model.layers[0].mlp.up_proj.weight.quant_state
    assert state.quant_type == "nf4"
    assert state.nested is (kind == "nf4-double")


def test_quantised_model_is_near_the_whole_one(untrained: Path) -> None:
    whole, small = load_model(str(untrained)), load_model(str(untrained), quantisation="nf4")
    expected, found = logits(whole).flatten(), logits(small).flatten()
    assert torch.corrcoef(torch.stack([expected, found]))[0, 1] > 0.95
    assert not torch.equal(expected, found)


def test_nothing_is_quantised_unless_asked(untrained: Path) -> None:
    assert quantised(load_model(str(untrained))) == []


def test_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "domainvl.model.quantisation.find_spec", lambda name: None if name == "bitsandbytes" else found(name)
    )
    with pytest.raises(UsageError, match=r"nf4 needs the package bitsandbytes.*domainvl\[quant\]"):
        quantisation_config("nf4", torch.float32)
