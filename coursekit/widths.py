"""VGG16 and ResNet18 of any width, untrained, with the names of torchvision's layers."""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from torch import nn

from coursekit import arguments


def vgg16(
    width: float = 1.0, classes: int = 1000, *, batch_norm: bool = False, pooled: int = 7, hidden: int | None = None
) -> nn.Module:
    """Return an untrained VGG16 (Simonyan and Zisserman, 2014), from ``[N, 3, H, W]`` to logits ``[N, classes]``.

    It has the names of `torchvision.models.vgg16`: ``features``, ``avgpool`` and ``classifier``. With the defaults it
    takes its weights: 138,357,544 parameters. Images are at least 32 x 32.

    Parameters
    ----------
    width : float, default 1.0
        Factor for the channels of every layer, 0 < width <= 4. The three input channels stay.
    classes : int, default 1000
        Outputs of the last layer.
    batch_norm : bool, default False
        Put a batch norm after each convolution, as `torchvision.models.vgg16_bn` does.
    pooled : int, default 7
        ``avgpool`` makes maps of this height and width, whatever the image's size.
    hidden : int, optional
        Units of the two hidden layers of ``classifier``; 4096 times the width if not given.
    """
    features = _channels(512, width)
    hidden = _channels(4096, width) if hidden is None else arguments.whole("hidden", hidden)
    arguments.whole("classes", classes)
    arguments.whole("pooled", pooled)
    make = torchvision.models.vgg16_bn if batch_norm else torchvision.models.vgg16
    with torch.device("meta"):  # no memory for the 138 million weights that are thrown away
        model = make(weights=None, init_weights=False)
    model.avgpool = nn.AdaptiveAvgPool2d(pooled)
    model.classifier[0] = nn.Linear(features * pooled**2, hidden)
    model.classifier[3] = nn.Linear(hidden, hidden)
    model.classifier[6] = nn.Linear(hidden, classes)
    _narrow(model.features, width)
    return model


def resnet18(width: float = 1.0, classes: int = 1000) -> nn.Module:
    """Return an untrained ResNet18 (He, Zhang, Ren and Sun, 2015), from ``[N, 3, H, W]`` to logits ``[N, classes]``.

    It has the names of `torchvision.models.resnet18`: ``conv1``, ``bn1``, ``layer1`` to ``layer4``, ``fc``. With the
    defaults it takes its weights: 11,689,512 parameters. `vgg16` explains width and classes.
    """
    with torch.device("meta"):
        model = torchvision.models.resnet18(weights=None)
    model.fc = nn.Linear(_channels(512, width), arguments.whole("classes", classes))
    _narrow(model, width)
    return model


def _channels(count: int, width: float) -> int:
    if not 0 < width <= 4:
        raise ValueError(f"width must be above 0 and at most 4, not {width!r}.")
    return max(1, round(count * width))


def _narrow(model: nn.Module, width: float) -> None:
    """Put layers of the scaled number of channels in place of those on the device "meta"; initialize them."""
    for path, layer in list(model.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            new = nn.BatchNorm2d(_channels(layer.num_features, width), layer.eps, layer.momentum)
        elif isinstance(layer, nn.Conv2d):
            inputs = 3 if layer.in_channels == 3 else _channels(layer.in_channels, width)
            outputs = _channels(layer.out_channels, width)
            how: dict[str, Any] = {name: getattr(layer, name) for name in ("kernel_size", "stride", "padding")}
            new = nn.Conv2d(inputs, outputs, bias=layer.bias is not None, **how)
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
            if new.bias is not None:
                nn.init.zeros_(new.bias)
        else:
            continue
        model.set_submodule(path, new)
