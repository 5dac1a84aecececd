import pytest
import torch

from domainvl.enhance.network.sampling import convolve, sample, sample_by_grid, sample_by_rows

PICTURE = torch.tensor([[[[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]]]])


@pytest.mark.parametrize("way", [sample, sample_by_grid, sample_by_rows])
def test_a_place_between_pixels_is_weighted_by_how_near_they_are(way):
    row, column = torch.tensor([[[0.0, 0.25, 1.0, -0.5]]]), torch.tensor([[[1.0, 0.5, 2.75, 0.0]]])

    # 0.75 of the mean of 1 and 2 with 0.25 of that of 8 and 16; a quarter of 32 with nothing; half of 1 with nothing.
    expected = torch.tensor([2.0, 0.75 * 1.5 + 0.25 * 12, 0.25 * 32, 0.5])
    torch.testing.assert_close(way(PICTURE, row, column).flatten(), expected)


@pytest.mark.parametrize("way", [sample_by_grid, sample_by_rows])
def test_places_far_outside_are_zero(way):
    far = torch.tensor([[[-1e9, 3.0, 1e9, -1.0]]])

    assert torch.equal(way(PICTURE, far, far).flatten(), torch.zeros(4))


def test_a_place_that_is_no_number_gives_none():
    row = torch.tensor([[[float("nan"), 0.0, float("inf")]]])

    found = sample_by_rows(PICTURE, row, torch.zeros(1, 1, 3)).flatten()
    assert found.isnan().tolist() == [True, False, True]


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (6, 7)])
def test_both_ways_agree_with_all_gradients_for_a_batch(size):
    picture = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    row = (4 * torch.randn(2, 5, 4, dtype=torch.float64)).requires_grad_()
    column = (4 * torch.randn(2, 5, 4, dtype=torch.float64)).requires_grad_()
    found = []
    for way in (sample_by_grid, sample_by_rows):
        output = way(picture, row, column)
        found.append([output, *torch.autograd.grad(output.square().sum(), (picture, row, column))])

    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("padding", [0, 2])
def test_a_convolution_and_its_gradients_are_torchs(padding):
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    ours, theirs = convolve(x, weight, padding), torch.nn.functional.conv2d(x, weight, padding=padding)
    along = torch.randn_like(theirs)

    torch.testing.assert_close(ours, theirs)
    for one, other in zip(*(torch.autograd.grad(y, (x, weight), along) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other)
