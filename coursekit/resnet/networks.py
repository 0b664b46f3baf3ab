"""The networks: ResNet-18 to ResNet-152 with torchvision's parameter names, ResNet9, and towers to study depth."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from coursekit.resnet.blocks import BasicBlock, Bottleneck, ResidualBlock, check_drop, check_whole, conv


class ResNet(nn.Module):
    """A ResNet with torchvision's parameter names (He et al., 2015): ``conv1``, ``layer1`` to ``layer4``, ``fc``.

    Parameters
    ----------
    block : type
        `BasicBlock` or `Bottleneck`.
    blocks : sequence of int
        Blocks in each of the stages. The second and each later stage doubles the channels and halves height and width.
    classes, channels, width : int
        Outputs, channels of the images, channels of the first stage.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of the above.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: Sequence[int],
        classes: int = 1000,
        *,
        channels: int = 3,
        width: int = 64,
    ) -> None:
        super().__init__()
        if block not in (BasicBlock, Bottleneck):
            raise TypeError(f"block must be resnet.BasicBlock or resnet.Bottleneck, not {block!r}.")
        if isinstance(blocks, str) or not isinstance(blocks, Sequence) or not blocks:
            raise TypeError(f"blocks must be the number of blocks in each stage, such as (2, 2, 2, 2), not {blocks!r}.")
        check_whole(
            classes=classes, channels=channels, width=width, **{f"blocks[{i}]": n for i, n in enumerate(blocks)}
        )
        self.conv1, self.bn1 = conv(channels, width, 7, stride=2)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = [f"layer{stage}" for stage in range(1, len(blocks) + 1)]
        inputs = width
        for stage, name in enumerate(self.stages):
            layers = []
            for i in range(blocks[stage]):
                layers.append(block(inputs, width * 2**stage, stride=2 if stage > 0 and i == 0 else 1))
                inputs = width * 2**stage * block.expansion
            setattr(self, name, nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``[N, channels, H, W]`` to logits ``[N, classes]``."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in self.stages:
            x = getattr(self, name)(x)
        return self.fc(self.avgpool(x).flatten(1))


def resnet18(classes: int = 1000) -> ResNet:
    """Return an untrained ResNet-18: 11,689,512 parameters for 1000 classes."""
    return ResNet(BasicBlock, (2, 2, 2, 2), classes)


def resnet34(classes: int = 1000) -> ResNet:
    """Return an untrained ResNet-34: 21,797,672 parameters for 1000 classes."""
    return ResNet(BasicBlock, (3, 4, 6, 3), classes)


def resnet50(classes: int = 1000) -> ResNet:
    """Return an untrained ResNet-50: 25,557,032 parameters for 1000 classes."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes)


def resnet101(classes: int = 1000) -> ResNet:
    """Return an untrained ResNet-101: 44,549,160 parameters for 1000 classes."""
    return ResNet(Bottleneck, (3, 4, 23, 3), classes)


def resnet152(classes: int = 1000) -> ResNet:
    """Return an untrained ResNet-152: 60,192,808 parameters for 1000 classes."""
    return ResNet(Bottleneck, (3, 8, 36, 3), classes)


def tower(
    blocks: int,
    classes: int,
    channels: int = 3,
    width: int = 16,
    *,
    residual: bool = True,
    drop: float = 0.0,
) -> nn.Sequential:
    """Return a network of equal blocks, one after the other, to study what depth does.

    A first convolution and a pooling divide height and width by 4; then come the blocks, then the mean of each map and
    one linear layer: ``2 blocks + 2`` layers with weights.

    Parameters
    ----------
    blocks : int
        How many. Child 0 is the start, children 1 to ``blocks`` are the blocks, the last child is the head.
    classes, channels, width : int
        Outputs, channels of the images, channels of each block.
    residual : bool, default True
        False makes the plain network with the same parameters.
    drop : float, default 0.0
        Stochastic depth: the last block's probability of being left out; it grows linearly from 0 before the first.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of the above.
    """
    check_whole(blocks=blocks, classes=classes, channels=channels, width=width)
    check_drop(drop)
    start = nn.Sequential(*conv(channels, width, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2))
    middle = [ResidualBlock(width, residual=residual, drop=drop * (i + 1) / blocks) for i in range(blocks)]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
    return nn.Sequential(start, *middle, head)


def resnet9(classes: int, channels: int = 3, width: int = 32) -> nn.Sequential:
    """Return a small residual network for small images, of nine layers with weights: eight convolutions, one linear.

    A convolution, then three residual blocks; between them height and width are halved twice, and the channels doubled
    once. Any image of at least 8 x 8 pixels will do.

    Parameters
    ----------
    classes, channels, width : int
        Outputs, channels of the images, channels of the first layers.

    Raises
    ------
    TypeError, ValueError
        If a number is not a whole one from 1.
    """
    check_whole(classes=classes, channels=channels, width=width)
    return nn.Sequential(
        *conv(channels, width, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        ResidualBlock(width),
        *conv(width, 2 * width, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        ResidualBlock(2 * width),
        nn.MaxPool2d(2),
        ResidualBlock(2 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, classes),
    )
