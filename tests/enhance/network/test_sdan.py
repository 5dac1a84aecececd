import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.network.settings import NetworkSettings

TINY = NetworkSettings(features=8, blocks=1, pack_block=2, in_bands=3)


def network(seed: int = 0, **changes: object) -> MisalignedSR:
    made = MisalignedSR(NetworkSettings(**{**TINY.model_dump(), **changes}))
    made.initialise(seed)
    return made.eval()


def counted(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("scale", "total", "tail"), [(4, 1_671_818, 297_155), (8, 1_819_530, 444_867)])
def test_the_published_configuration_has_the_published_parameters(scale, total, tail):
    with torch.device("meta"):
        made = MisalignedSR(NetworkSettings(scale=scale))

    parts = (made.head, made.alignment, made.trunk, made.tail)
    assert [counted(part) for part in parts] == [640, 157_511, 1_216_512, tail]
    assert counted(made) == total


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize(("in_bands", "out_bands"), [(1, 3), (3, 3), (13, 4)])
def test_bands_and_scales_are_free(scale, in_bands, out_bands):
    made = network(scale=scale, in_bands=in_bands, out_bands=out_bands)
    output = made(torch.rand(2, in_bands, 5, 3), torch.rand(2, out_bands, 5, 3))

    assert output.picture.shape == (2, out_bands, 5 * scale, 3 * scale)
    assert output.aligned.shape == (2, out_bands, 5, 3)


def test_one_pixel_is_enlarged_with_and_without_a_reference():
    made = network()
    for reference in (None, torch.rand(1, 3, 1, 1)):
        assert made(torch.rand(1, 3, 1, 1), reference).picture.shape == (1, 3, 4, 4)


def test_a_network_without_alignment_has_head_trunk_and_tail_alone():
    plain, aligned = network(alignment="none"), network()
    output = plain(torch.rand(1, 3, 4, 4))

    assert output[1:] == (None, None, None)
    assert counted(plain) == counted(aligned) - counted(aligned.alignment)
    with pytest.raises(ValueError, match="takes no reference"):
        plain(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4))


def test_a_reference_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"\(4, 5\) does not fit \(4, 4\)"):
        network()(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 5))


def test_the_reference_decides_the_output():
    made, low = network(), torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        made.alignment.offsets.last.weight.mul_(20)

    assert not torch.allclose(made(low, torch.rand(1, 3, 8, 8)).picture, made(low, torch.rand(1, 3, 8, 8)).picture)


@pytest.mark.parametrize("alignment", ["shared", "per-tap", "none"])
@pytest.mark.parametrize("skip", [False, True])
def test_a_tile_with_its_overlap_equals_the_whole(alignment, skip):
    made = network(alignment=alignment, bicubic_skip=skip)
    nn.init.normal_(made.tail.last.weight)
    around, low = made.overlap_px, torch.rand(1, 3, 40, 40)
    with torch.no_grad():
        whole = made(low).picture
        tile = made(low[..., 20 - around : 22 + around, 20 - around : 22 + around]).picture

    inner = slice(4 * around, 4 * around + 8)
    torch.testing.assert_close(tile[..., inner, inner], whole[..., 80:88, 80:88], rtol=0, atol=1e-5)


@pytest.mark.parametrize("alignment", ["shared", "none"])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_output_reaches_as_far_as_its_overlap_and_no_further(alignment, scale):
    made = network(alignment=alignment, scale=scale).double()
    for parameter in made.parameters():
        nn.init.uniform_(parameter, 0.1, 0.5)  # positive all along, so that no ReLU hides a dependence
    low = torch.rand(1, 3, 33, 33, dtype=torch.float64, requires_grad=True)
    middle = made(low).picture[..., 16 * scale : 17 * scale, 16 * scale : 17 * scale].sum()
    seen = torch.autograd.grad(middle, low)[0].abs().sum(dim=1)[0].nonzero()

    assert int((seen - 16).abs().max()) == made.overlap_px


def test_a_bicubic_skip_begins_as_bicubic_and_needs_as_many_bands():
    low = torch.rand(1, 3, 5, 6)
    bicubic = functional.interpolate(low, scale_factor=4, mode="bicubic", antialias=True)

    torch.testing.assert_close(network(bicubic_skip=True)(low).picture, bicubic)
    with pytest.raises(ValidationError, match="1 in and 3 out"):
        NetworkSettings(bicubic_skip=True)


def test_the_seed_decides_the_weights_and_the_global_generator_is_left_alone():
    state = torch.random.get_rng_state()
    one, same, other = network(1), MisalignedSR(TINY), MisalignedSR(TINY)
    torch.random.set_rng_state(state)
    expected = torch.rand(3)
    torch.random.set_rng_state(state)
    same.initialise(1)
    other.initialise(2)

    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), same.state_dict().values(), strict=True))
    assert not torch.equal(one.head.weight, other.head.weight)
    assert not torch.equal(one.alignment.deformable.weight, other.alignment.deformable.weight)


@pytest.mark.parametrize("alignment", ["shared", "per-tap"])
def test_every_parameter_learns(alignment):
    made = network(alignment=alignment).train()
    output = made(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8))
    (output.picture.square().mean() + output.aligned.square().mean()).backward()

    assert [name for name, parameter in made.named_parameters() if not parameter.grad.any()] == []


def test_the_same_input_gives_the_same_output_and_gradients():
    low, reference = torch.rand(2, 3, 9, 7), torch.rand(2, 3, 9, 7)
    made = network().train()
    found = []
    for _ in range(2):
        output = made(low, reference).picture
        found.append([output, *torch.autograd.grad(output.square().sum(), list(made.alignment.offsets.parameters()))])

    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
