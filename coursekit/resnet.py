"""Residual networks to study, as notebook 05 builds them: the block, towers, ResNet9; and ResNets taken apart.

torchvision has the five ResNets, and `coursekit.pretrained` trained ones. `without` takes blocks out of any of them;
`layers_of` and `stages` make encoders of them, for notebooks 06 and 08.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops import StochasticDepth

from coursekit import arguments

_CHILDREN = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]


class ResidualBlock(nn.Module):
    """Two convolutions of 3 x 3 with batch norm that learn a correction to their input: ``relu(x + branch(x))``.

    Height, width and channels stay. Source: He, Zhang, Ren and Sun (2015).

    Parameters
    ----------
    channels : int
    residual : bool, default True
        False leaves ``x`` out: ``relu(branch(x))``, the plain block to compare with. Its parameters are the same.
    drop : float, default 0.0
        Stochastic depth: in train mode, the probability that the block does not add its branch, 0 <= drop < 1, drawn
        anew for each mini-batch, as Huang et al. (2016) do. Needs `residual`.

    Raises
    ------
    ValueError
        If there are no channels, or ``drop`` is none of the above.
    """

    def __init__(self, channels: int, *, residual: bool = True, drop: float = 0.0) -> None:
        super().__init__()
        arguments.whole("channels", channels)
        if not 0 <= drop < 1:
            raise ValueError(f"drop must be at least 0 and below 1, not {drop!r}.")
        if drop and not residual:
            raise ValueError("drop needs residual=True: a plain block without its branch would pass on nothing.")
        self.branch = nn.Sequential(*_conv(channels, channels), nn.ReLU(), *_conv(channels, channels))
        self.shortcut = nn.Identity() if residual else None
        self.drop = StochasticDepth(drop, "batch")

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to the same shape."""
        correction = self.drop(self.branch(x))
        return F.relu(correction if self.shortcut is None else self.shortcut(x) + correction)


def tower(
    blocks: int, classes: int, channels: int = 3, width: int = 16, *, residual: bool = True, drop: float = 0.0
) -> nn.Sequential:
    """Return a network of equal blocks, one after the other, to study what depth does.

    A first convolution and a pooling divide height and width by 4; then come the blocks, then the mean of each map and
    one linear layer: ``2 blocks + 2`` layers with weights. Child 0 is the start, children 1 to ``blocks`` are the
    blocks, the last child is the head.

    Parameters
    ----------
    blocks, classes, channels, width : int
        How many blocks, outputs, channels of the images, and channels of each block.
    residual : bool, default True
        False makes the plain network with the same parameters.
    drop : float, default 0.0
        Stochastic depth: the last block's probability of being left out; it grows linearly from 0 before the first.
    """
    arguments.whole("blocks", blocks)
    _check_sizes(classes, channels, width)
    start = nn.Sequential(*_conv(channels, width, stride=2), nn.ReLU(), nn.MaxPool2d(2))
    middle = [ResidualBlock(width, residual=residual, drop=drop * (i + 1) / blocks) for i in range(blocks)]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
    return nn.Sequential(start, *middle, head)


def resnet9(classes: int, channels: int = 3, width: int = 32) -> nn.Sequential:
    """Return a small residual network for small images, of nine layers with weights: eight convolutions, one linear.

    A convolution, then three residual blocks; between them height and width are halved twice, and the channels doubled
    once. Any image of at least 8 x 8 pixels will do. ``width`` is the number of channels of the first layers.
    """
    _check_sizes(classes, channels, width)
    return nn.Sequential(
        *_conv(channels, width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        ResidualBlock(width),
        *_conv(width, 2 * width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        ResidualBlock(2 * width),
        nn.MaxPool2d(2),
        ResidualBlock(2 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, classes),
    )


@contextmanager
def without(model: nn.Module, *names: str) -> Iterator[nn.Module]:
    """Take blocks out of a network for a while: only their shortcuts remain (Veit, Wilber and Belongie, 2016).

    Use it as ``with resnet.without(model, "layer3.1") as damaged:``. The network itself is changed, and afterwards
    as before, also when an error interrupts.

    Parameters
    ----------
    model : nn.Module
    *names : str
        Blocks of this module or of torchvision's ResNets, by their names in ``model.named_modules()``: ``"layer3.1"``
        of a ResNet, ``"4"`` of a `tower`. A plain block is replaced by nothing: what comes in goes out.

    Raises
    ------
    ValueError
        If there is no block of that name.
    """
    kinds = (ResidualBlock, BasicBlock, Bottleneck)
    blocks = {name: block for name, block in arguments.module(model).named_modules() if isinstance(block, kinds)}
    for name in names:
        if name not in blocks:
            known = ", ".join(blocks) or "none"
            raise ValueError(f"the network has no block {name!r}. It has: {known}.")
    try:
        for name in names:
            model.set_submodule(name, _rest(blocks[name]))
        yield model
    finally:
        for name in names:
            model.set_submodule(name, blocks[name])


def _rest(block: nn.Module) -> nn.Module:
    downsample = getattr(block, "downsample", None)
    return nn.Identity() if downsample is None else nn.Sequential(downsample, nn.ReLU())


def layers_of(resnet: nn.Module, count: int = 8) -> list[Any]:
    """Return copies of a ResNet's first children: at most ``conv1`` to ``layer4``; of another layout: ValueError."""
    children = copy.deepcopy(dict(list(arguments.module(resnet, "resnet").named_children())[:count]))
    if list(children) != _CHILDREN[:count] or not isinstance(children["conv1"], nn.Conv2d):
        raise ValueError(
            "this needs a network in the layout of torchvision's ResNet; this one begins with "
            f"{list(children)}. In torchvision's layout are pretrained.resnet18() and torchvision.models.resnet18()."
        )
    return list(children.values())


def stages(layers: Sequence[Any]) -> tuple[nn.ModuleList, list[int]]:
    """Return the five stages that the eight layers of a ResNet make, and their channels; each halves the size."""
    conv, norm, relu, pool, *blocks = layers
    found = nn.ModuleList([nn.Sequential(conv, norm, relu), nn.Sequential(pool, blocks[0]), *blocks[1:]])
    return found, [conv.out_channels, *map(width_of, blocks)]


def width_of(layer: Any) -> int:
    """Return the channels that a layer of a ResNet gives: those of its last block, which is of one of two kinds."""
    return getattr(layer[-1], "conv3", layer[-1].conv2).out_channels


def _conv(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Return a convolution of 3 x 3 and the batch norm behind it, whose shift makes a bias superfluous."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs)


def _check_sizes(classes: int, channels: int, width: int) -> None:
    for name, value in (("classes", classes), ("channels", channels), ("width", width)):
        arguments.whole(name, value)
