"""The stand-in for a state in 8 bits: its bytes are those of bitsandbytes."""

from __future__ import annotations

import pytest
import torch

from domainvl.planning.eight_bit import hold_state_in_eight_bits
from domainvl.training.optimiser import build_optimizer
from domainvl.training.recipe import Optimisation


def held_bytes(state: dict) -> int:
    return sum(part.nbytes for part in state.values() if isinstance(part, torch.Tensor) and part.numel() > 1)


def stand_in(values: int) -> dict:
    state = {"step": torch.tensor(1.0), "exp_avg": torch.zeros(values), "exp_avg_sq": torch.zeros(values)}
    hold_state_in_eight_bits(state)
    return state


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (1 << 20, 2 * ((1 << 20) + 4 * (1 << 12))),  # a byte each, and 4 for each 256
        (4097, 2 * (4097 + 4 * 17)),
        (4096, 2 * (4096 + 4 * 16)),
        (4095, 2 * 4 * 4095),  # too small
    ],
)
def test_bytes_are_a_byte_a_value_and_scales(values, expected):
    assert held_bytes(stand_in(values)) == expected


@pytest.mark.parametrize("values", [4095, 4096, 4097, 100_000])
def test_bytes_are_those_of_bitsandbytes(values):
    pytest.importorskip("bitsandbytes")
    module = torch.nn.Module()
    module.register_parameter("lm_head", torch.nn.Parameter(torch.ones(values)))
    optimizer = build_optimizer(module, Optimisation(optimizer="adamw-8bit"))
    module.lm_head.grad = torch.ones(values)
    optimizer.step()
    (state,) = optimizer.state.values()
    own = {name: part for name, part in state.items() if not name.startswith("qmap")}  # those are shared by all

    assert held_bytes(stand_in(values)) == held_bytes(own)
