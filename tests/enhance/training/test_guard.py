"""A run ends before a number that is not finite reaches its weights, and names the first one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from domainvl.enhance.training.guard import Guard, gradient_norm
from domainvl.errors import ExitCode
from domainvl.training.stopping import DivergedError


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.second = nn.Linear(2, 1)

    def forward(self, low: torch.Tensor) -> torch.Tensor:
        second: torch.Tensor = self.second(self.first(low))
        return second


def a_guard(model: nn.Module, asked: list[str] | None = None) -> Guard:
    def kept() -> str:
        if asked is not None:
            asked.append("kept")
        return "the state of step 4 is kept"

    return Guard(model, 5, ("a", "b"), Path("run"), kept)


def test_finite_numbers_pass_without_a_question_to_the_disk() -> None:
    model, asked = TwoLayers(), list[str]()
    low = torch.ones(1, 2)
    model(low).sum().backward()
    guard = a_guard(model, asked)
    guard.check_losses({"picture_loss": 0.5}, {"low": low})
    guard.check_gradients(gradient_norm(model))
    guard.check_weights()
    assert asked == []


def test_the_first_layer_that_is_not_finite_is_named_with_step_and_pairs() -> None:
    model = TwoLayers()
    with torch.no_grad():
        model.first.weight.fill_(3e38)  # finite, but twice it is not
    with pytest.raises(DivergedError) as caught:
        a_guard(model).check_losses({"picture_loss": math.nan}, {"low": torch.ones(1, 2)})
    message = str(caught.value)
    assert "The run diverged at step 5 in run: " in message
    assert "the first that is not is the output of first; pairs of the step: a, b;" in message
    assert "the state of step 4 is kept" in message
    assert caught.value.exit_code == ExitCode.STOPPED


@pytest.mark.parametrize(
    ("low", "spoilt", "named"),
    [
        (math.inf, None, "the input low"),
        (1.0, "second.bias", "the weight second.bias"),
        (1.0, None, "alignment_loss itself, inf"),
    ],
)
def test_inputs_weights_and_the_loss_itself_are_named_too(low: float, spoilt: str | None, named: str) -> None:
    model = TwoLayers()
    if spoilt is not None:
        with torch.no_grad():
            model.get_parameter(spoilt).fill_(math.nan)
    with pytest.raises(DivergedError, match=f"the first that is not is {named};"):
        a_guard(model).check_losses({"picture_loss": 1.0, "alignment_loss": math.inf}, {"low": torch.full((1, 2), low)})


def test_the_gradient_nearest_to_the_output_is_named() -> None:
    model = TwoLayers()
    model(torch.ones(1, 2)).sum().backward()
    for name in ("first.bias", "second.weight"):
        gradient = model.get_parameter(name).grad
        assert gradient is not None
        gradient.view(-1)[0] = math.nan
    with pytest.raises(DivergedError, match="the gradient of second.weight;"):
        a_guard(model).check_gradients(gradient_norm(model))


def test_a_spoilt_weight_is_found_after_the_step() -> None:
    model = TwoLayers()
    with torch.no_grad():
        model.second.weight[0, 1] = -math.inf
    with pytest.raises(DivergedError, match="the weight second.weight;"):
        a_guard(model).check_weights()


def test_the_norm_of_the_gradients_is_that_of_all_together() -> None:
    model = TwoLayers()
    for value in model.parameters():
        value.grad = torch.full_like(value, 2.0)
    assert gradient_norm(model) == pytest.approx(2 * math.sqrt(2 * 2 + 2 + 2 + 1))
