import math

import pytest
import torch

from domainvl.enhance.network.attention import PackAttention


def attention(block: int, gamma: float) -> PackAttention:
    layer = PackAttention(block)
    with torch.no_grad():
        layer.gamma.fill_(gamma)
    return layer.double()


def test_it_has_one_parameter_and_begins_as_the_identity():
    layer = PackAttention(2)
    x = torch.randn(2, 3, 4, 6)

    assert sum(parameter.numel() for parameter in layer.parameters()) == 1
    assert torch.equal(layer(x), x)


def test_a_small_case_by_hand():
    # Two channels of two pixels, not packed: F = [[1, 0], [0, 2]], E = [[1, 0], [0, 4]], so that the rows of
    # max - E are [0, 1] and [4, 0].
    x = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]], dtype=torch.float64)
    to_other = math.e / (1 + math.e)
    to_first = math.exp(4) / (1 + math.exp(4))

    expected = torch.tensor([[1 + 3 * (1 - to_other), 3 * 2 * to_other], [3 * to_first, 2 + 3 * 2 * (1 - to_first)]])
    torch.testing.assert_close(attention(1, 3.0)(x)[0, :, 0], expected.double())


def test_pixels_of_a_block_are_channels_of_their_own():
    # One channel, one block of 2 x 2: packing makes four channels of one pixel of it.
    x = torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]]], dtype=torch.float64)
    flat = torch.tensor([1.0, 2.0, 3.0, 5.0], dtype=torch.float64)
    attended = torch.stack([torch.softmax(-value * flat, dim=0) @ flat for value in flat])

    torch.testing.assert_close(attention(2, 0.5)(x).flatten(), flat + 0.5 * attended)


def test_channels_may_stand_in_any_order():
    x = torch.randn(1, 5, 4, 4, dtype=torch.float64)
    order = torch.tensor([3, 0, 4, 1, 2])
    layer = attention(2, 0.7)

    torch.testing.assert_close(layer(x[:, order]), layer(x)[:, order])
    assert not torch.allclose(layer(x), x)


def test_samples_of_a_batch_do_not_see_each_other():
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    layer = attention(2, 0.7)

    torch.testing.assert_close(layer(x)[1:2], layer(x[1:2]))


def test_a_block_of_no_pixel_is_refused():
    with pytest.raises(ValueError, match="side of 0"):
        PackAttention(0)
