"""LPIPS with random weights under the published names, against the definition layer by layer."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from domainvl.enhance.evaluating.lpips import Lpips
from domainvl.enhance.evaluating.measuring import Scene
from domainvl.enhance.pairs.records import PairIndex, View
from domainvl.enhance.rasters import Raster
from domainvl.errors import CheckpointError, InputNotFoundError

SIDE = 48


def alexnet():
    """torchvision's ``alexnet().features``."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
    )  # fmt: skip


def lines():
    torch.manual_seed(1)
    return {f"lin{n}.model.1.weight": torch.rand(1, c, 1, 1) for n, c in enumerate((64, 192, 384, 256, 256))}


@pytest.fixture(scope="module")
def network():
    return alexnet().eval()


@pytest.fixture(scope="module")
def published(network, tmp_path_factory):
    """The state of the package's ``LPIPS`` module: AlexNet in slices, lines, and the colours it expects."""
    slices = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
    state = {f"net.slice{slices[int(k.split('.')[0])]}.{k}": v for k, v in network.state_dict().items()}
    file = tmp_path_factory.mktemp("lpips") / "lpips.safetensors"
    save_file(state | lines(), file)
    return file


def pictures():
    rng = np.random.default_rng(0)
    return rng.random((3, SIDE, SIDE), dtype=np.float32), rng.random((3, SIDE, SIDE), dtype=np.float32)


@torch.inference_mode()
def by_definition(network, a, b):
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    seen = [((torch.tensor(x)[None] * 2 - 1) - shift[:, None, None]) / scale[:, None, None] for x in (a, b)]
    total, line = 0.0, iter(lines().values())
    for place, layer in enumerate(network):
        seen = [layer(x) for x in seen]
        if place in (1, 4, 7, 9, 11):
            unit = [x / x.pow(2).sum(1, keepdim=True).sqrt() for x in seen]
            total += float(((unit[0] - unit[1]) ** 2 * next(line)).sum(1).mean())
    return total


def test_the_distance_is_that_of_the_definition(network, published):
    a, b = pictures()
    valid = np.ones((SIDE, SIDE), dtype=bool)
    assert Lpips([published]).of(a, b, valid) == pytest.approx(by_definition(network, a, b), rel=1e-4)
    assert Lpips([published]).of(a, a, valid) == 0.0


def test_weights_may_come_as_torchvision_and_the_package_publish_them(network, published, tmp_path):
    torch.save({f"features.{k}": v for k, v in network.state_dict().items()}, tmp_path / "alexnet.pth")
    torch.save(lines(), tmp_path / "alex.pth")
    a, b = pictures()
    valid = np.ones((SIDE, SIDE), dtype=bool)
    both = Lpips([tmp_path / "alexnet.pth", tmp_path / "alex.pth"])
    assert both.of(a, b, valid) == Lpips([published]).of(a, b, valid)


def test_pixels_that_are_not_valid_make_no_difference(published):
    a, _ = pictures()
    b, valid = a.copy(), np.ones((SIDE, SIDE), dtype=bool)
    b[:, 20:30], valid[20:30] = 1 - b[:, 20:30], False
    lpips = Lpips([published])
    assert lpips.of(a, b, valid) == 0.0
    assert lpips.of(a, b, np.zeros_like(valid)) is None
    assert lpips.of(a[:, :16], b[:, :16], valid[:16]) is None


def test_pixels_that_are_not_valid_do_not_dilute_the_distance(published):
    a, b = pictures()
    valid = np.ones((SIDE, SIDE), dtype=bool)
    half = valid.copy()
    half[SIDE // 2 :] = False
    lpips = Lpips([published])
    assert lpips.of(a, b, half) > 0.8 * lpips.of(a, b, valid)


def test_a_grey_picture_is_seen_in_three_equal_colours(published):
    a, b = (view[:1] for view in pictures())
    valid = np.ones((SIDE, SIDE), dtype=bool)
    lpips = Lpips([published])
    assert lpips.of(a, b, valid) == lpips.of(a.repeat(3, axis=0), b.repeat(3, axis=0), valid)


def test_weights_that_are_missing_broken_or_not_there_are_named(tmp_path):
    with pytest.raises(InputNotFoundError, match=r"none\.pth"):
        Lpips([tmp_path / "none.pth"])
    torch.save(lines(), tmp_path / "alex.pth")
    with pytest.raises(CheckpointError, match=r"net\.slice1\.0\.weight or features\.0\.weight is missing"):
        Lpips([tmp_path / "alex.pth"])
    torch.save({"features.0.weight": torch.zeros(64, 1, 11, 11)}, tmp_path / "grey.pth")
    with pytest.raises(CheckpointError, match=r"of shape \(64, 1, 11, 11\), not \(64, 3, 11, 11\)"):
        Lpips([tmp_path / "grey.pth"])
    (tmp_path / "text.pth").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="Cannot read LPIPS weights"):
        Lpips([tmp_path / "text.pth"])
    (tmp_path / "text.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="Cannot read LPIPS weights"):
        Lpips([tmp_path / "text.safetensors"])
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="no dictionary of tensors"):
        Lpips([tmp_path / "list.pth"])


def test_a_pair_is_measured_without_its_border(published):
    view = View(bands=3, dtype="uint8", low=(0.0,) * 3, high=(255.0,) * 3)
    index = PairIndex(
        scale=2, layout="folders", low_view=view, high_view=view, settings={}, counts={}, rejected={}
    )  # fmt: skip
    rng = np.random.default_rng(0)
    low, high, picture = (
        Raster(np.rint(rng.uniform(0, 255, (3, side, side))).astype(np.float32), np.ones((side, side), bool), np.uint8)
        for side in (33, 66, 66)
    )
    lpips = Lpips([published])
    found = Scene(low, high, index, lpips=lpips).measure(picture.pixels).values["lpips"]
    a, b = (raster.pixels[:, 16:-16, 16:-16] / np.float32(255) for raster in (picture, high))
    assert found == pytest.approx(lpips.of(a, b, np.ones(a.shape[1:], dtype=bool)), rel=1e-5)
