"""Residual networks, as notebook 05 builds them: the block, ResNet-18 to ResNet-152, ResNet9, and towers to study.

The five ResNets have torchvision's parameter names and take its weights. `without` takes blocks out of a network for
a while, to see how much it misses them.
"""

from coursekit.resnet.blocks import BasicBlock, Bottleneck, ResidualBlock, same_padding
from coursekit.resnet.dropping import without
from coursekit.resnet.networks import ResNet, resnet9, resnet18, resnet34, resnet50, resnet101, resnet152, tower

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ResNet",
    "ResidualBlock",
    "resnet9",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "same_padding",
    "tower",
    "without",
]
