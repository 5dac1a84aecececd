"""Which attention is taken, on machines that are pretended."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from domainvl.errors import UsageError
from domainvl.model import attention
from domainvl.model.attention import choose_attention
from domainvl.model.checkpoint import load_model

CPU, GPU = torch.device("cpu"), torch.device("cuda")
BF16, FP32 = torch.bfloat16, torch.float32


@pytest.fixture(params=[True, False], ids=["flash-attn", "no-flash-attn"])
def installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    pretend(monkeypatch, request.param)
    return request.param


def pretend(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    spec = importlib.util.find_spec("json") if installed else None
    monkeypatch.setattr(attention, "find_spec", lambda name: spec if name == "flash_attn" else None)


def both(name: str) -> dict[str, str]:
    return {"vision_config": name, "text_config": name}


@pytest.mark.parametrize("packs", [True, False])
def test_flash_where_package_gpu_and_half_precision_meet(installed: bool, packs: bool) -> None:
    found = choose_attention(GPU, BF16, packs=packs)
    flash = "flash_attention_2" if installed else "sdpa"
    assert found == {"vision_config": flash, "text_config": "packed_sdpa" if packs else flash}


@pytest.mark.parametrize(("device", "dtype"), [(CPU, FP32), (CPU, BF16), (GPU, FP32)])
def test_torchs_own_elsewhere(installed: bool, device: torch.device, dtype: torch.dtype) -> None:
    assert choose_attention(device, dtype, packs=False) == both("sdpa")
    packs = {"vision_config": "sdpa", "text_config": "packed_sdpa"}
    assert choose_attention(device, dtype, packs=True) == packs


@pytest.mark.parametrize("requested", ["packed_sdpa", "flex_attention"])
def test_attention_over_packs_is_for_the_language_model(installed: bool, requested: str) -> None:
    for packs in (True, False):
        found = choose_attention(GPU, BF16, packs=packs, requested=requested)
        assert found == {"vision_config": "sdpa", "text_config": requested}


def test_plain_where_torch_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.nn.functional, "scaled_dot_product_attention")
    assert choose_attention(CPU, FP32, packs=True) == both("eager")


@pytest.mark.parametrize("requested", ["eager", "sdpa"])
def test_what_is_asked_for_is_taken(installed: bool, requested: str) -> None:
    assert choose_attention(GPU, BF16, packs=True, requested=requested) == both(requested)


@pytest.mark.parametrize(
    ("device", "dtype", "installed", "message"),
    [
        (CPU, BF16, True, "needs a GPU, the device is cpu"),
        (GPU, FP32, True, "needs half precision, the arithmetic is in float32"),
        (GPU, BF16, False, "flash_attn is not installed"),
    ],
)
def test_flash_that_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, device: torch.device, dtype: torch.dtype, installed: bool, message: str
) -> None:
    pretend(monkeypatch, installed)
    with pytest.raises(UsageError, match=message):
        choose_attention(device, dtype, packs=True, requested="flash_attention_2")


def test_flash_that_is_asked_for_leaves_packs_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, True)
    found = choose_attention(GPU, BF16, packs=True, requested="flash_attention_2")
    assert found == {"vision_config": "flash_attention_2", "text_config": "packed_sdpa"}


def test_loaded_model_has_what_was_chosen(untrained) -> None:
    chosen = {"vision_config": "eager", "text_config": choose_attention(CPU, FP32, packs=True)["text_config"]}
    config = load_model(str(untrained), attention=chosen).internvl.config
    found = (config.vision_config._attn_implementation, config.text_config._attn_implementation)
    assert found == ("eager", "packed_sdpa")
    config = load_model(str(untrained)).internvl.config
    assert (config.vision_config._attn_implementation, config.text_config._attn_implementation) == ("sdpa", "sdpa")
