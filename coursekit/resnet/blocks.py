"""The blocks: padding that keeps the size, the residual block of any kernel, and the two blocks of the ResNets."""

from __future__ import annotations

from numbers import Real

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from coursekit import arguments


def same_padding(kernel_size: int, dilation: int = 1) -> tuple[int, int]:
    """Return how many pixels to pad before and after, so that a convolution of stride 1 keeps the size.

    A kernel reaches over ``dilation (kernel_size - 1) + 1`` pixels and so takes away ``dilation (kernel_size - 1)``.
    Where this number is odd, as for an even kernel, the side after gets the pixel more.

    Raises
    ------
    TypeError, ValueError
        If a number is not a whole one from 1.
    """
    check_whole(kernel_size=kernel_size, dilation=dilation)
    lost = dilation * (kernel_size - 1)
    return lost // 2, lost - lost // 2


class ResidualBlock(nn.Module):
    """Two convolutions with batch norm that learn a correction to their input: ``relu(x + branch(x))``.

    Height, width and channels stay, whatever the kernel. Source: He, Zhang, Ren and Sun (2015).

    Parameters
    ----------
    channels : int
    kernel_size : int, default 3
        Even ones too. The pixel that one side gets more is at the end for the first convolution and at the start for
        the second, so that together they do not shift the picture against ``x``.
    dilation : int, default 1
    residual : bool, default True
        False leaves ``x`` out: ``relu(branch(x))``, the plain block to compare with. Its parameters are the same.
    drop : float, default 0.0
        Stochastic depth (Huang et al., 2016): in train mode, the probability for each image that the block does not
        add its branch, 0 <= drop < 1. Needs `residual`.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of the above.
    """

    def __init__(
        self, channels: int, kernel_size: int = 3, dilation: int = 1, *, residual: bool = True, drop: float = 0.0
    ) -> None:
        super().__init__()
        check_whole(channels=channels)
        check_drop(drop)
        if drop and not residual:
            raise ValueError("drop needs residual=True: a plain block without its branch would pass on nothing.")
        before, after = same_padding(kernel_size, dilation)
        more = after - before  # 0 or 1
        options = {"padding": before, "dilation": dilation, "bias": False}
        self.branch = nn.Sequential(
            nn.ZeroPad2d((0, more, 0, more)) if more else nn.Identity(),
            nn.Conv2d(channels, channels, kernel_size, **options),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.ZeroPad2d((more, 0, more, 0)) if more else nn.Identity(),
            nn.Conv2d(channels, channels, kernel_size, **options),
            nn.BatchNorm2d(channels),
        )
        self.shortcut = nn.Identity() if residual else None
        self.drop = StochasticDepth(drop, "row")

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to the same shape."""
        correction = self.drop(self.branch(x))
        return F.relu(correction if self.shortcut is None else self.shortcut(x) + correction)


class _Block(nn.Module):
    expansion = 1  # output channels per channel inside
    downsample: nn.Module | None  # the shortcut, where the branch changes the shape

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        check_whole(inputs=inputs, channels=channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, inputs, H, W]`` to ``[N, channels * expansion, H / stride, W / stride]``, sizes rounded up."""
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(shortcut + self.branch(x))


class BasicBlock(_Block):
    """Two convolutions of 3 x 3 and a shortcut: the block of ResNet-18 and ResNet-34 (He et al., 2015)."""

    def __init__(self, inputs: int, channels: int, stride: int = 1) -> None:
        super().__init__(inputs, channels, stride)
        self.conv1, self.bn1 = conv(inputs, channels, 3, stride)
        self.conv2, self.bn2 = conv(channels, channels, 3)
        self.downsample = _downsample(inputs, channels, stride)

    def branch(self, x: Tensor) -> Tensor:
        """Return what the block adds to its shortcut."""
        x = F.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(x))


class Bottleneck(_Block):
    """1 x 1 to fewer channels, 3 x 3, 1 x 1 to four times as many, and a shortcut: the block of the deeper ResNets.

    The stride is in the middle, as in torchvision, where He et al. (2015) have it in the first convolution.
    """

    expansion = 4

    def __init__(self, inputs: int, channels: int, stride: int = 1) -> None:
        super().__init__(inputs, channels, stride)
        self.conv1, self.bn1 = conv(inputs, channels, 1)
        self.conv2, self.bn2 = conv(channels, channels, 3, stride)
        self.conv3, self.bn3 = conv(channels, 4 * channels, 1)
        self.downsample = _downsample(inputs, 4 * channels, stride)

    def branch(self, x: Tensor) -> Tensor:
        """Return what the block adds to its shortcut."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


def conv(inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Return a convolution and the batch norm behind it, whose shift makes a bias superfluous."""
    padding = kernel_size // 2
    return nn.Conv2d(inputs, outputs, kernel_size, stride, padding, bias=False), nn.BatchNorm2d(outputs)


def _downsample(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    return nn.Sequential(*conv(inputs, outputs, 1, stride)) if stride != 1 or inputs != outputs else None


def check_whole(**numbers: int) -> None:
    """Refuse what is not a whole number from 1, by its name."""
    for name, value in numbers.items():
        arguments.whole(name, value)


def check_drop(drop: float) -> None:
    """Refuse what is no probability below 1."""
    if isinstance(drop, bool) or not isinstance(drop, Real):
        raise TypeError(f"drop must be a number, the probability of leaving a block out, not {drop!r}.")
    if not 0 <= drop < 1:
        raise ValueError(f"drop must be at least 0 and below 1, not {drop!r}.")
