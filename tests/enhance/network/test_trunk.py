import pytest
import torch
from torch.nn import functional

from domainvl.enhance.network.trunk import PixelShuffleTail, ResidualBlock, ResidualTrunk


def test_a_block_adds_two_convolutions_to_its_input():
    block, x = ResidualBlock(4), torch.randn(1, 4, 5, 6)

    inner = functional.conv2d(
        functional.conv2d(x, block.first.weight, padding=1).relu(), block.second.weight, padding=1
    )
    torch.testing.assert_close(block(x), x + inner)


def test_the_trunk_has_a_skip_around_all_of_it():
    trunk, x = ResidualTrunk(4, 2), torch.randn(1, 4, 5, 6)
    inner = functional.conv2d(trunk.blocks[1](trunk.blocks[0](x)), trunk.last.weight, padding=1)

    torch.testing.assert_close(trunk(x), x + inner)


def test_the_trunk_has_no_bias():
    assert not [name for name, _ in ResidualTrunk(4, 2).named_parameters() if name.endswith("bias")]


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_tail_multiplies_rows_and_columns(scale):
    assert PixelShuffleTail(4, 5, scale)(torch.randn(2, 4, 3, 2)).shape == (2, 5, 3 * scale, 2 * scale)


def test_every_doubling_ends_with_a_relu_and_the_last_layer_does_not():
    tail = PixelShuffleTail(4, 1, 4)
    with torch.no_grad():
        tail.doubling[3].bias.fill_(-100.0)
        tail.last.bias.fill_(-3.0)

    assert torch.equal(tail(torch.randn(1, 4, 3, 3)), torch.full((1, 1, 12, 12), -3.0))
