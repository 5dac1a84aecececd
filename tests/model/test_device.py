"""Types of number, on machines that are pretended."""

from __future__ import annotations

import pytest
import torch

from domainvl.errors import UsageError
from domainvl.model.device import choose_device, choose_frozen_weights, choose_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")
BF16, FP32 = torch.bfloat16, torch.float32


@pytest.mark.parametrize(
    ("precision", "device", "supported", "expected"),
    [
        ("auto", CPU, True, FP32),
        ("auto", GPU, True, BF16),
        ("auto", GPU, False, FP32),  # a GPU before Ampere computes bf16 only by emulation
        ("bf16", CPU, False, BF16),
        ("fp32", GPU, True, FP32),
    ],
)
def test_bf16_where_the_gpu_has_it(
    monkeypatch: pytest.MonkeyPatch, precision: str, device: torch.device, supported: bool, expected: torch.dtype
) -> None:
    def is_supported(including_emulation: bool = True) -> bool:
        return supported or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert choose_precision(precision, device) == expected


@pytest.mark.parametrize(
    ("weights", "arithmetic", "adapters", "expected"),
    [
        ("auto", BF16, True, BF16),
        ("auto", BF16, False, FP32),
        ("auto", FP32, True, FP32),
        ("fp32", BF16, True, FP32),
        ("bf16", BF16, False, BF16),
    ],
)
def test_frozen_weights(weights: str, arithmetic: torch.dtype, adapters: bool, expected: torch.dtype) -> None:
    assert choose_frozen_weights(weights, arithmetic, adapters=adapters) == expected


def test_half_weights_in_whole_arithmetic_are_refused() -> None:
    with pytest.raises(UsageError, match="compute.weights is bf16, but the arithmetic is fp32"):
        choose_frozen_weights("bf16", FP32, adapters=True)


def test_unknown_device_is_refused() -> None:
    with pytest.raises(UsageError, match="Cannot use the device 'abacus'"):
        choose_device("abacus")
