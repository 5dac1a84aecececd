"""torch.compile of the layers changes nothing but time."""

from __future__ import annotations

import shutil

import pytest
import torch
from architectures import small_input, small_loss, small_model

from domainvl.model.adapters import LoraSettings, add_lora
from domainvl.model.compilation import compile_layers
from domainvl.model.drop_path import add_drop_path

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None, reason="torch.compile needs a C++ compiler"
)


@pytest.mark.slow
@needs_compiler
def test_same_loss_and_gradients_and_nothing_is_left_out() -> None:
    """Where torch cannot trace something it says nothing and compiles less; its counters tell."""
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    found = []
    for compiling in (False, True):
        model = small_model("qwen2")
        wrapped = add_lora(model, LoraSettings(rank=2, dropout=0.0)).train()
        model.gradient_checkpointing_enable({"use_reentrant": False})
        if compiling:
            compile_layers(model)
        loss = small_loss(wrapped, **small_input(tiles=3))
        loss.backward()
        found.append((loss.item(), {name: value.grad for name, value in wrapped.named_parameters()}))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for name, gradient in found[0][1].items():
        if gradient is not None:
            assert torch.allclose(gradient, found[1][1][name], rtol=1e-3, atol=1e-5), name
    assert counters["stats"]["unique_graphs"] > 0
    assert not counters["graph_break"]


@pytest.mark.parametrize("wrapped", [False, True])
def test_layers_are_compiled_for_training_only(monkeypatch: pytest.MonkeyPatch, wrapped: bool) -> None:
    calls = []

    def pretend_to_compile(function, **_):
        def compiled(*args, **kwargs):
            calls.append(function)
            return function(*args, **kwargs)

        return compiled

    monkeypatch.setattr(torch, "compile", pretend_to_compile)
    model = small_model()
    if wrapped:
        add_lora(model, LoraSettings(vision="full"))
    keys = list(model.state_dict())
    add_drop_path(model, 0.1)
    compile_layers(model)
    model.eval()(**small_input())
    assert calls == []
    model.train()(**small_input())
    # Attention, MLP and two norms of each layer of the vision encoder and of the language model.
    assert len(calls) == 4 * (4 + 3)
    assert list(model.state_dict()) == keys
