"""Groups of the optimizer and the course of the learning rate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from architectures import small_loss, small_model

from domainvl.errors import UsageError
from domainvl.model.adapters import LoraSettings, add_lora
from domainvl.model.parts import TrainedParts, train_in_full
from domainvl.training.optimiser import build_optimizer, learning_rate, rates_by_part, set_learning_rates
from domainvl.training.recipe import Optimisation

SETTINGS = Optimisation(
    learning_rate=1e-3, learning_rates={"vision": 1e-5, "projector": 2e-3}, weight_decay=0.2, betas=(0.5, 0.6)
)


def test_each_weight_is_in_the_group_of_its_part_once() -> None:
    model = small_model()
    train_in_full(model, TrainedParts())
    optimizer = build_optimizer(model, SETTINGS)
    groups = {id(value): group for group in optimizer.param_groups for value in group["params"]}
    assert len(groups) == sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))

    def of(value: torch.nn.Parameter) -> tuple[float, float, tuple[float, float]]:
        group = groups[id(value)]
        return group["lr"], group["weight_decay"], group["betas"]

    betas = (0.5, 0.6)
    layer = model.model.vision_tower.encoder.layer[0]
    assert of(layer.mlp.fc1.weight) == (1e-5, 0.2, betas)
    assert of(layer.lambda_1) == (1e-5, 0.0, betas)
    assert of(model.model.multi_modal_projector.linear_1.weight) == (2e-3, 0.2, betas)
    assert of(model.model.multi_modal_projector.linear_1.bias) == (2e-3, 0.0, betas)
    assert of(model.model.language_model.embed_tokens.weight) == (1e-3, 0.2, betas)
    assert of(model.model.language_model.norm.weight) == (1e-3, 0.0, betas)
    assert of(model.lm_head.weight) == (1e-3, 0.2, betas)


def test_frozen_weights_are_in_no_group_and_shared_ones_in_one() -> None:
    model = small_model("llama")
    wrapped = add_lora(model, LoraSettings(rank=2, projector="frozen"))
    optimizer = build_optimizer(wrapped, Optimisation())
    values = [id(value) for group in optimizer.param_groups for value in group["params"]]
    assert len(values) == len(set(values))
    assert set(values) == {id(value) for value in wrapped.parameters() if value.requires_grad}
    assert {group["part"] for group in optimizer.param_groups} == {"vision", "language_model"}


def test_schedule_scales_the_rate_of_each_part() -> None:
    model = small_model()
    train_in_full(model, TrainedParts())
    optimizer = build_optimizer(model, SETTINGS)
    set_learning_rates(optimizer, step=1, step_count=100, warmup_ratio=0.04)
    assert rates_by_part(optimizer) == pytest.approx({"vision": 2.5e-6, "projector": 5e-4, "language_model": 2.5e-4})
    set_learning_rates(optimizer, step=53, step_count=100, warmup_ratio=0.04)  # half of the way down
    assert rates_by_part(optimizer) == pytest.approx({"vision": 5e-6, "projector": 1e-3, "language_model": 5e-4})


def test_course_of_the_rate_by_hand() -> None:
    rates = [learning_rate(2.0, step, 10, 0.2) for step in range(1, 11)]
    assert rates[:3] == pytest.approx([1.0, 2.0, 2.0])  # rises over two steps, and falls from its peak
    assert rates[6] == pytest.approx(1.0)  # cosine of a right angle
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert 0 < rates[-1] < 0.1


EIGHT_BITS = SETTINGS.model_copy(update={"optimizer": "adamw-8bit", "learning_rate": 1e-3})
WIDE = {"hidden_size": 64, "intermediate_size": 128}
"""Of a model with matrices of 4096 values and more, from which on the state is held in 8 bits."""


def trainable(**changes: int) -> torch.nn.Module:
    model = small_model(**changes)
    train_in_full(model, TrainedParts())
    return model.train()


def take_steps(model: torch.nn.Module, optimizer: torch.optim.Optimizer, count: int) -> list[float]:
    losses = []
    for _ in range(count):
        loss = small_loss(model)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def test_the_state_of_large_matrices_is_in_8_bits() -> None:
    pytest.importorskip("bitsandbytes")
    model = trainable(**WIDE)
    optimizer = build_optimizer(model, EIGHT_BITS)
    take_steps(model, optimizer, 1)
    types = {
        (value.numel() >= 4096, state[moment].dtype)
        for value, state in optimizer.state.items()
        for moment in ("state1", "state2")
    }
    assert types == {(True, torch.uint8), (False, torch.float32)}
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert {group["part"] for group in optimizer.param_groups} == {"vision", "projector", "language_model"}
    set_learning_rates(optimizer, step=1, step_count=100, warmup_ratio=0.04)
    assert rates_by_part(optimizer) == pytest.approx({"vision": 2.5e-6, "projector": 5e-4, "language_model": 2.5e-4})


def test_8_bits_learn_as_32_do() -> None:
    pytest.importorskip("bitsandbytes")
    courses = []
    for settings in (SETTINGS, EIGHT_BITS):
        model = trainable(**WIDE)
        courses.append(take_steps(model, build_optimizer(model, settings), 20))
    exact, rounded = courses
    assert rounded[0] == exact[0]
    assert rounded[-1] < 0.5 * rounded[0]
    assert rounded[-1] == pytest.approx(exact[-1], rel=0.1)


def test_weights_decay_by_the_rate_and_not_by_the_gradient() -> None:
    """With no gradient at all AdamW multiplies by 1 - rate * decay (arXiv 1711.05101, algorithm 2)."""
    pytest.importorskip("bitsandbytes")
    for settings in (SETTINGS, EIGHT_BITS):
        model = trainable(**WIDE)
        weight, norm = model.lm_head.weight, model.model.language_model.norm.weight
        before = weight.detach().clone(), norm.detach().clone()
        for value in model.parameters():
            value.grad = torch.zeros_like(value)
        build_optimizer(model, settings).step()
        assert torch.allclose(weight, before[0] * (1 - 1e-3 * 0.2), rtol=1e-6, atol=0)
        assert torch.equal(norm, before[1])


@pytest.mark.parametrize("settings", [SETTINGS, EIGHT_BITS], ids=["32 bits", "8 bits"])
def test_a_state_that_was_saved_goes_on_bit_for_bit(settings: Optimisation, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    whole = trainable(**WIDE)
    losses = take_steps(whole, build_optimizer(whole, settings), 6)

    first = trainable(**WIDE)
    optimizer = build_optimizer(first, settings)
    assert take_steps(first, optimizer, 3) == losses[:3]
    torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")

    state = torch.load(tmp_path / "state.pt", weights_only=True)
    second = trainable(**WIDE)
    second.load_state_dict(state["model"])
    optimizer = build_optimizer(second, settings)
    optimizer.load_state_dict(state["optimizer"])
    assert take_steps(second, optimizer, 3) == losses[3:]
    values = zip(whole.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(expected, found) for expected, found in values)
    assert {group["part"] for group in optimizer.param_groups} == {"vision", "projector", "language_model"}


def test_8_bits_need_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domainvl.training.optimiser.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs the package bitsandbytes.*domainvl\[quant\]"):
        build_optimizer(trainable(), EIGHT_BITS)
    build_optimizer(trainable(), SETTINGS)
