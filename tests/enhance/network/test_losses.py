import math

import pytest
import torch
from torch import Tensor

from domainvl.enhance.network.losses import charbonnier, pair_losses
from domainvl.enhance.network.sdan import Output


def output(picture: Tensor, aligned: Tensor, inside: Tensor) -> Output:
    return Output(picture, aligned, torch.zeros(1, 2, *inside.shape[-2:]), inside)


def everywhere(size: int = 4) -> Tensor:
    return torch.ones(1, 1, size, size, dtype=torch.bool)


def test_charbonnier_is_the_root_of_the_square_and_epsilon():
    found = charbonnier(torch.tensor([3.0, 0.0]), epsilon=16.0)

    assert found.tolist() == [5.0, 4.0]
    assert charbonnier(torch.zeros(1)).item() == pytest.approx(1e-6)


def test_each_loss_is_the_mean_over_its_places_and_bands():
    made = output(torch.full((1, 2, 4, 4), 0.5), torch.full((1, 2, 2, 2), 3.0), torch.ones(1, 1, 2, 2))
    losses = pair_losses(made, torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 2, 2), everywhere(), border_px=0)

    assert losses["picture"].item() == pytest.approx(0.5)
    assert losses["alignment"].item() == pytest.approx(2.0)


def test_places_whose_flow_leaves_the_picture_do_not_count():
    picture, aligned = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)
    picture[..., :2, :2] = 9.0  # the four high pixels of the low one that is outside
    aligned[..., 0, 0] = 9.0
    picture[..., 2:, 2:] = 1.0
    inside = torch.tensor([[[[0.0, 1.0], [1.0, 1.0]]]])
    losses = pair_losses(
        output(picture, aligned, inside), torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2), everywhere(), border_px=0
    )

    assert losses["picture"].item() == pytest.approx(4 / 12, abs=1e-5)
    assert losses["alignment"].item() == pytest.approx(0.0, abs=1e-5)


def test_pixels_that_are_not_valid_reach_neither_loss_nor_gradient():
    picture = torch.ones(1, 1, 4, 4, requires_grad=True)
    high, valid = torch.zeros(1, 1, 4, 4), everywhere()
    high[..., 0, 0], valid[..., 0, 0] = math.nan, False
    reference = torch.zeros(1, 1, 2, 2)
    reference[..., 0, 0] = math.nan
    losses = pair_losses(
        output(picture, torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)), high, reference, valid[:, 0], border_px=0
    )
    losses["picture"].backward()

    assert losses["picture"].item() == pytest.approx(1.0)
    assert losses["alignment"].item() == pytest.approx(1.0)
    assert picture.grad[0, 0, 0, 0].item() == 0.0
    assert picture.grad.flatten()[1:].tolist() == pytest.approx([1 / 15] * 15)


def test_the_border_is_left_out_of_both():
    picture, aligned = torch.ones(1, 1, 8, 8), torch.ones(1, 1, 4, 4)
    picture[..., 2:6, 2:6] = 0.25
    aligned[..., 1:3, 1:3] = 0.5
    losses = pair_losses(
        output(picture, aligned, torch.ones(1, 1, 4, 4)),
        torch.zeros(1, 1, 8, 8),
        torch.zeros(1, 1, 4, 4),
        everywhere(8),
        border_px=2,
    )

    assert losses["picture"].item() == pytest.approx(0.25)
    assert losses["alignment"].item() == pytest.approx(0.5)


@pytest.mark.parametrize("border_px", [0, 2, 5])
def test_nothing_to_count_is_a_loss_of_zero_with_a_gradient_of_zero(border_px):
    picture = torch.ones(1, 1, 4, 4, requires_grad=True)
    made = output(picture, torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    valid = everywhere() if border_px else ~everywhere()
    losses = pair_losses(made, torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2), valid, border_px=border_px)
    sum(losses.values()).backward()

    assert {name: loss.item() for name, loss in losses.items()} == {"picture": 0.0, "alignment": 0.0}
    assert not picture.grad.any()


def test_a_network_without_alignment_has_the_picture_alone():
    losses = pair_losses(
        Output(torch.ones(1, 1, 4, 4), None, None, None),
        torch.zeros(1, 1, 4, 4),
        torch.zeros(1, 1, 2, 2),
        everywhere(),
        border_px=1,
    )

    assert list(losses) == ["picture"]
    assert losses["picture"].item() == pytest.approx(1.0)
