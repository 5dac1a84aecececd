"""The stand-in for 4-bit layers: its bytes are those of bitsandbytes, and nothing expanded is kept."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from domainvl.planning.four_bit import FourBitLinear, four_bit_bytes, hold_in_four_bits
from domainvl.planning.tracking import MemoryTracker


def test_bytes_a_weight_are_those_of_the_paper():
    weights = 1 << 20

    assert four_bit_bytes(weights, "nf4") / weights == 0.5 + 4 / 64
    assert four_bit_bytes(weights, "nf4-double") / weights == 0.5 + 1 / 64 + 4 / (64 * 256)


@pytest.mark.parametrize("quantisation", ["nf4", "nf4-double"])
def test_bytes_are_those_of_bitsandbytes(quantisation):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    weights = torch.randn(512, 320)
    double = quantisation == "nf4-double"
    packed, state = bitsandbytes.functional.quantize_4bit(weights, quant_type="nf4", compress_statistics=double)
    real = packed.nbytes + state.absmax.nbytes + (state.state2.absmax.nbytes if double else 0)

    assert four_bit_bytes(weights.numel(), quantisation) == real


def test_odd_numbers_of_weights_are_rounded_up():
    assert four_bit_bytes(65, "nf4") == 33 + 2 * 4


def test_it_multiplies_in_the_type_of_the_arithmetic_and_keeps_nothing():
    linear = nn.Linear(64, 256)
    layer = FourBitLinear(linear, "nf4", torch.bfloat16)
    inputs = torch.ones(10, 64, requires_grad=True)
    with MemoryTracker() as tracker:
        product = layer(inputs)
        # The product as float32 is all that is left.
        assert tracker.live.total_bytes == 10 * 256 * 4
        product.sum().backward()

    assert product.dtype == torch.float32
    assert inputs.grad.shape == inputs.shape
    assert tracker.peak.total_bytes >= 64 * 256 * 2  # expanded for the time of a multiplication


def test_the_expanded_weights_are_there_for_dora():
    layer = FourBitLinear(nn.Linear(64, 256), "nf4", torch.bfloat16)

    assert layer.weight.shape == (256, 64)
    assert layer.weight.dtype == torch.bfloat16


def test_only_frozen_layers_are_replaced():
    frozen, trained = nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 8)
    model = nn.ModuleDict({"inner": nn.Sequential(frozen, trained), "norm": nn.LayerNorm(8)})
    hold_in_four_bits(model, "nf4", torch.float32)

    assert isinstance(model["inner"][0], FourBitLinear)
    assert model["inner"][1] is trained
    assert model["inner"][0].packed.requires_grad is False
