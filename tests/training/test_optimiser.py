"""Groups of the optimizer and the course of the learning rate."""

from __future__ import annotations

import pytest
import torch
from architectures import small_model

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
