"""Fused kernels: refused where they cannot run; put into one model, with its own parameters under their own names.

The package needs a GPU, so its modules are stood in for by plain ones of the same constructors;
tests/gpu/levers.py compares the real ones.
"""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from architectures import TEXT, VISION_LAYERS, small_loss, small_model
from torch import nn
from torch.nn import functional

from domainvl.errors import UsageError
from domainvl.model import liger
from domainvl.model.adapters import LoraSettings, add_lora
from domainvl.model.liger import require_liger, use_liger

CALLS: list[str] = []


class StandInLayerNorm(nn.Module):
    def __init__(self, hidden_size: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.bias = (nn.Parameter(torch.zeros(hidden_size)) for _ in range(2))
        self.variance_epsilon = eps

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        CALLS.append("layer norm")
        return functional.layer_norm(hidden_states, self.weight.shape, self.weight, self.bias, self.variance_epsilon)


class StandInRMSNorm(nn.Module):
    def __init__(self, hidden_size: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(hidden_size))
        self.variance_epsilon = eps

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        CALLS.append("rms norm")
        return functional.rms_norm(hidden_states, self.weight.shape, self.weight, self.variance_epsilon)


class StandInSwiGLU(nn.Module):
    def __init__(self, config: object) -> None:
        super().__init__()
        self.gate_proj = self.up_proj = self.down_proj = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        CALLS.append("mlp")
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class StandInPhi3SwiGLU(nn.Module):
    def __init__(self, config: object) -> None:
        super().__init__()
        self.gate_up_proj = self.down_proj = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        CALLS.append("mlp")
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        return self.down_proj(functional.silu(gate) * up)


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {
        "layer_norm": {"LigerLayerNorm": StandInLayerNorm},
        "rms_norm": {"LigerRMSNorm": StandInRMSNorm},
        "swiglu": {"LigerSwiGLUMLP": StandInSwiGLU, "LigerPhi3SwiGLUMLP": StandInPhi3SwiGLU},
    }
    for name in ("liger_kernel", "liger_kernel.transformers"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name, members in contents.items():
        module = ModuleType(f"liger_kernel.transformers.{name}")
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    CALLS.clear()


def loss_and_gradients(model: nn.Module, inner: nn.Module) -> tuple[float, dict[str, torch.Tensor]]:
    loss = small_loss(inner)
    loss.backward()
    return loss.item(), {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("kind", ["qwen2", "llama", "phi3"])
@pytest.mark.parametrize("adapted", [False, True])
def test_the_model_computes_the_same_with_its_own_parameters_under_their_names(kind: str, adapted: bool) -> None:
    def prepare(fused: bool) -> tuple[nn.Module, nn.Module]:
        model = small_model(kind)
        generator = torch.Generator().manual_seed(5)
        for name, value in model.named_parameters():
            if "norm" in name:  # norms begin as all alike, which would hide an exchange
                value.data += torch.randn(value.shape, generator=generator) * 0.3
        names, values = zip(*model.named_parameters(), strict=True)
        if fused:
            use_liger(model)
        assert tuple(name for name, _ in model.named_parameters()) == names
        assert all(new is old for new, old in zip(model.parameters(), values, strict=True))
        torch.manual_seed(2)
        return (add_lora(model, LoraSettings(rank=2, vision="full")) if adapted else model), model

    expected_loss, expected = loss_and_gradients(*prepare(fused=False))
    assert not CALLS
    loss, gradients = loss_and_gradients(*prepare(fused=True))
    layers = TEXT["num_hidden_layers"]
    assert {name: CALLS.count(name) for name in set(CALLS)} == {
        "layer norm": 2 * VISION_LAYERS + 1,
        "rms norm": 2 * layers + 1,
        "mlp": layers,
    }
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, expected[name], rtol=1e-4, atol=1e-6), name


def test_a_model_beside_it_stays_as_it_was() -> None:
    use_liger(small_model())
    small_loss(small_model())
    assert not CALLS


def test_refused_without_a_gpu_or_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"kernels need a GPU, the device is cpu.*compute\.liger to false"):
        require_liger(torch.device("cpu"))
    monkeypatch.setattr(liger, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"package liger-kernel, which is missing.*domainvl\[liger\]"):
        require_liger(torch.device("cuda"))
    monkeypatch.setattr(liger, "find_spec", lambda name: object())
    require_liger(torch.device("cuda"))
