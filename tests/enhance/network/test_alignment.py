import math

import pytest
import torch
from torch import nn

from domainvl.enhance.network.alignment import Alignment, OffsetNet, inside
from domainvl.enhance.network.settings import NetworkSettings

TINY = NetworkSettings(features=8, blocks=1, pack_block=2)


def counted(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_a_place_is_inside_up_to_the_middle_of_the_last_pixel():
    flow_px = torch.zeros(1, 2, 2, 3)
    flow_px[0, 0, 0, 0] = -0.01
    flow_px[0, 0, 0, 1] = 1.0
    flow_px[0, 1, 1, 1] = 1.01
    flow_px[0, 1, 1, 0] = 2.0

    assert inside(flow_px).tolist() == [[[[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]]]


def test_offsets_per_tap_cost_what_was_published():
    shared, per_tap = (NetworkSettings(alignment=kind) for kind in ("shared", "per-tap"))

    assert counted(Alignment(per_tap)) - counted(Alignment(shared)) == 16 * (64 * 9 + 1)


def test_flips_quadruple_what_the_reference_is_seen_by():
    assert OffsetNet(TINY, 2).reference.in_channels == 12
    assert OffsetNet(TINY.model_copy(update={"flips": False}), 2).reference.in_channels == 3


def test_the_reference_is_seen_upside_down_mirrored_and_both():
    net = OffsetNet(NetworkSettings(features=8, out_bands=1, pack_block=0), 2)
    seen = []
    net.reference.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net(torch.zeros(1, 8, 2, 2), torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))

    expected = [[[1, 2], [3, 4]], [[3, 4], [1, 2]], [[2, 1], [4, 3]], [[4, 3], [2, 1]]]
    assert seen[0][0].tolist() == expected


def test_a_block_of_zero_leaves_attention_out():
    assert len(OffsetNet(TINY, 2).attentions) == 2
    assert len(OffsetNet(TINY.model_copy(update={"pack_block": 0}), 2).attentions) == 0


@pytest.mark.parametrize("limit_px", [0.5, 3.0])
def test_bounded_offsets_stay_within_the_bound(limit_px):
    net = OffsetNet(TINY.model_copy(update={"largest_offset_px": limit_px}), 2)
    with torch.no_grad():
        net.last.weight.zero_()
        net.last.bias.copy_(torch.tensor([1e6, 0.1]))
    offset_px = net(torch.randn(1, 8, 4, 4), torch.randn(1, 3, 4, 4))

    assert torch.equal(offset_px[:, 0], torch.full((1, 4, 4), limit_px))
    torch.testing.assert_close(offset_px[:, 1], torch.full((1, 4, 4), limit_px * math.tanh(0.1 / limit_px)))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 6)])
@pytest.mark.parametrize("kind", ["shared", "per-tap"])
def test_any_size_is_aligned(kind, size):
    alignment = Alignment(TINY.model_copy(update={"alignment": kind, "pack_block": 4}))
    found = alignment(torch.randn(2, 8, *size), torch.randn(2, 3, *size))

    assert found.features.shape == (2, 8, *size)
    assert found.colours.shape == (2, 3, *size)
    assert found.flow_px.shape == (2, 2, *size)
    assert found.inside.shape == (2, 1, *size)
    assert bool(found.flow_px.abs().max() > 0)


def test_without_a_reference_the_offset_network_is_not_run():
    alignment = Alignment(TINY)
    alignment.offsets.register_forward_pre_hook(lambda *_: pytest.fail("it was run"))
    features = torch.randn(1, 8, 4, 4)
    found = alignment(features, None)
    deformable = alignment.deformable

    plain = torch.relu(nn.functional.conv2d(features, deformable.weight, deformable.bias, padding=1))
    torch.testing.assert_close(found.features, plain)
    assert not found.flow_px.any()
    assert bool(found.inside.all())


def test_the_flow_of_offsets_per_tap_is_their_mean():
    alignment = Alignment(TINY.model_copy(update={"alignment": "per-tap"}))
    with torch.no_grad():
        alignment.offsets.last.weight.zero_()
        alignment.offsets.last.bias.copy_(torch.arange(18.0))
    flow_px = alignment(torch.randn(1, 8, 4, 4), torch.randn(1, 3, 4, 4)).flow_px

    torch.testing.assert_close(flow_px[0, :, 0, 0], torch.tensor([8.0, 9.0]))


def test_offsets_begin_kaiming_normal_without_bias_or_at_zero():
    net = OffsetNet(NetworkSettings(features=64), 2)
    net.initialise(torch.Generator().manual_seed(0), zero_first_offsets=False)
    for layer in (net.first, net.second):
        expected = math.sqrt(2 / (1 + 0.02**2) / (layer.in_channels * 9))
        assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=0.02)
        assert not layer.bias.any()
    assert bool(net.last.weight.any())

    net.initialise(torch.Generator().manual_seed(0), zero_first_offsets=True)
    assert not net(torch.randn(1, 64, 8, 8), torch.randn(1, 3, 8, 8)).any()
