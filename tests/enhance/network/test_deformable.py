import pytest
import torch
from torch import Tensor
from torch.nn import functional

from domainvl.enhance.network.deformable import PerTapOffsetConv2d, SharedOffsetConv2d, warp

GRADIENT_NAMES = ("x", "weight", "bias", "offset")


def bilinear(picture: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """(channels, places): the value between the four pixels around each place, 0 beyond the edge."""
    rows, columns = picture.shape[-2:]
    top, left = row.floor(), column.floor()
    found = torch.zeros(picture.shape[0], *row.shape, dtype=picture.dtype)
    for near_row in (top, top + 1):
        for near_column in (left, left + 1):
            weight = (1 - (row - near_row).abs()) * (1 - (column - near_column).abs())
            inside = (near_row >= 0) & (near_row < rows) & (near_column >= 0) & (near_column < columns)
            value = picture[:, near_row.long().clamp(0, rows - 1), near_column.long().clamp(0, columns - 1)]
            found = found + value * weight * inside
    return found


def defined(x: Tensor, weight: Tensor, bias: Tensor, offset_px: Tensor) -> Tensor:
    """y(p) = b + sum over taps of w_k x(p + p_k + offset_k(p)), as written; offsets are (n, taps, 2, rows, columns)."""
    side, (rows, columns) = weight.shape[-1], x.shape[-2:]
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    pictures = []
    for picture, offsets in zip(x, offset_px, strict=True):
        total = bias[:, None, None].expand(-1, rows, columns)
        for tap in range(side * side):
            down, right = tap // side - side // 2, tap % side - side // 2
            moved = offsets[tap if len(offsets) > 1 else 0]
            seen = bilinear(picture, row + down + moved[0], column + right + moved[1])
            total = total + torch.einsum("oc,chw->ohw", weight[:, :, tap // side, tap % side], seen)
        pictures.append(total)
    return torch.stack(pictures)


def drawn(layer: torch.nn.Module, sigma_px: float, seed: int) -> tuple[Tensor, Tensor]:
    """An input and offsets of two different sides; the layer's parameters are drawn too, in float64."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.double().parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    x = torch.randn(2, 3, 9, 12, generator=generator, dtype=torch.float64, requires_grad=True)
    offset_px = sigma_px * torch.randn(2, layer.offset_channels, 9, 12, generator=generator, dtype=torch.float64)
    return x, offset_px.requires_grad_()


def with_gradients(output: Tensor, *inputs: Tensor) -> list[Tensor]:
    weights = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).reshape(output.shape)
    return [output, *torch.autograd.grad((output * weights).sum(), inputs)]


def assert_equal(found: list[Tensor], expected: list[Tensor]) -> None:
    for name, ours, theirs in zip(("output", *GRADIENT_NAMES), found, expected, strict=True):
        scale = max(1.0, theirs.abs().max().item())
        assert (ours - theirs).abs().max().item() <= 1e-10 * scale, name


@pytest.mark.parametrize("sigma_px", [0.3, 2.0, 10.0, 60.0])
@pytest.mark.parametrize("kernel", [3, 5])
def test_a_shared_offset_is_the_definition_with_all_its_gradients(kernel, sigma_px):
    layer = SharedOffsetConv2d(3, 4, kernel)
    x, offset_px = drawn(layer, sigma_px, seed=kernel)

    inputs = (x, layer.weight, layer.bias, offset_px)
    assert_equal(
        with_gradients(layer(x, offset_px), *inputs),
        with_gradients(defined(x, layer.weight, layer.bias, offset_px[:, None]), *inputs),
    )


@pytest.mark.parametrize("kernel", [3, 5])
def test_offsets_per_tap_are_the_definition_with_all_its_gradients(kernel):
    layer = PerTapOffsetConv2d(3, 4, kernel)
    x, offset_px = drawn(layer, 3.0, seed=kernel)

    inputs = (x, layer.weight, layer.bias, offset_px)
    assert_equal(
        with_gradients(layer(x, offset_px), *inputs),
        with_gradients(defined(x, layer.weight, layer.bias, offset_px.reshape(2, -1, 2, 9, 12)), *inputs),
    )


@pytest.mark.parametrize("make", [SharedOffsetConv2d, PerTapOffsetConv2d])
@pytest.mark.parametrize("kernel", [3, 5])
def test_torchvision_agrees(make, kernel):
    ops = pytest.importorskip("torchvision.ops")
    layer = make(3, 4, kernel)
    for sigma_px in (0.3, 3.0, 60.0):
        x, offset_px = drawn(layer, sigma_px, seed=kernel)
        repeated = offset_px.repeat(1, 2 * kernel * kernel // offset_px.shape[1], 1, 1)

        inputs = (x, layer.weight, layer.bias, offset_px)
        theirs = ops.deform_conv2d(x, repeated, layer.weight, layer.bias, padding=kernel // 2)
        assert_equal(with_gradients(layer(x, offset_px), *inputs), with_gradients(theirs, *inputs))


@pytest.mark.parametrize("make", [SharedOffsetConv2d, PerTapOffsetConv2d])
@pytest.mark.parametrize("size", [(9, 12), (1, 1), (1, 7)])
def test_zero_offsets_are_an_ordinary_convolution(make, size):
    layer = make(3, 4, 3).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    zero = torch.zeros(2, layer.offset_channels, *size, dtype=torch.float64)

    expected = functional.conv2d(x, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(x, zero), expected, rtol=0, atol=1e-12)
    assert torch.equal(layer(x, None), expected)


def test_a_warp_by_whole_pixels_moves_rows_by_the_first_channel_and_columns_by_the_second():
    picture = torch.arange(12.0).reshape(1, 1, 3, 4)
    offset_px = torch.stack((torch.ones(3, 4), torch.full((3, 4), -1.0)))[None]

    expected = torch.tensor([[0.0, 4, 5, 6], [0, 8, 9, 10], [0, 0, 0, 0]])
    torch.testing.assert_close(warp(picture, offset_px)[0, 0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", [SharedOffsetConv2d, PerTapOffsetConv2d])
def test_float32_stays_float32_and_near_float64(make):
    layer = make(3, 4, 3)
    x, offset_px = drawn(layer, 2.0, seed=1)
    exact = layer(x, offset_px)

    found = layer.float()(x.float(), offset_px.float())

    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-3)


@pytest.mark.parametrize("make", [SharedOffsetConv2d, PerTapOffsetConv2d])
def test_a_window_without_a_middle_is_refused(make):
    with pytest.raises(ValueError, match="side 4 has no middle"):
        make(3, 4, 4)
