"""VGG16 and ResNet18 as torchvision has them, as narrow as you like: each layer's channels times a width factor."""

from __future__ import annotations

from numbers import Real

import torch
import torchvision
from torch import nn

from coursekit import arguments

_LAYERS = (nn.Conv2d, nn.BatchNorm2d)


def vgg16(
    width: float = 1.0,
    classes: int = 1000,
    *,
    batch_norm: bool = False,
    pooled: int = 7,
    hidden: int | None = None,
) -> nn.Module:
    """Return an untrained VGG16 with torchvision's names: ``features``, ``avgpool`` and ``classifier``.

    With the defaults it is `torchvision.models.vgg16`, and takes its weights: 138,357,544 parameters.
    Source: Simonyan and Zisserman (2014).

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

    Returns
    -------
    torchvision.models.VGG
        From images ``[N, 3, H, W]``, at least 32 x 32, to logits ``[N, classes]``.

    Raises
    ------
    TypeError, ValueError
        If a number is not one of the above.
    """
    _check_width(width)
    _check_whole(classes=classes, pooled=pooled, hidden=1 if hidden is None else hidden)
    make = torchvision.models.vgg16_bn if batch_norm else torchvision.models.vgg16
    with torch.device("meta"):  # no memory for the 138 million weights that are thrown away
        model = make(weights=None, init_weights=False)
    model.avgpool = nn.AdaptiveAvgPool2d(pooled)
    features = _channels(512, width)
    hidden = _channels(4096, width) if hidden is None else hidden
    sizes = {"0": (features * pooled**2, hidden), "3": (hidden, hidden), "6": (hidden, classes)}
    for name, (inputs, outputs) in sizes.items():
        model.classifier[int(name)] = nn.Linear(inputs, outputs)
    _narrow(model.features, width)
    return model


def resnet18(width: float = 1.0, classes: int = 1000) -> nn.Module:
    """Return an untrained ResNet18 with torchvision's names: ``conv1``, ``bn1``, ``layer1`` to ``layer4``, ``fc``.

    With the defaults it is `torchvision.models.resnet18`, and takes its weights: 11,689,512 parameters.
    Source: He, Zhang, Ren and Sun (2015).

    Parameters
    ----------
    width : float, default 1.0
        Factor for the channels of every layer, 0 < width <= 4. The three input channels stay.
    classes : int, default 1000
        Outputs of the last layer.

    Returns
    -------
    torchvision.models.ResNet
        From images ``[N, 3, H, W]`` to logits ``[N, classes]``.

    Raises
    ------
    TypeError, ValueError
        If a number is not one of the above.
    """
    _check_width(width)
    _check_whole(classes=classes)
    with torch.device("meta"):
        model = torchvision.models.resnet18(weights=None)
    model.fc = nn.Linear(_channels(512, width), classes)
    _narrow(model, width)
    return model


def _channels(count: int, width: float) -> int:
    return max(1, round(count * width))


def _narrow(model: nn.Module, width: float) -> None:
    """Put layers of the scaled number of channels in place of those on the device "meta"; initialize them."""
    for path, layer in list(model.named_modules()):
        if not isinstance(layer, _LAYERS) or layer.weight.device.type != "meta":
            continue
        if isinstance(layer, nn.BatchNorm2d):
            new = nn.BatchNorm2d(_channels(layer.num_features, width), layer.eps, layer.momentum)
        else:
            inputs = 3 if layer.in_channels == 3 else _channels(layer.in_channels, width)
            new = nn.Conv2d(
                inputs,
                _channels(layer.out_channels, width),
                layer.kernel_size,
                layer.stride,
                layer.padding,
                bias=layer.bias is not None,
            )
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
            if new.bias is not None:
                nn.init.zeros_(new.bias)
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, new)


def _check_width(width: float) -> None:
    if isinstance(width, bool) or not isinstance(width, Real):
        raise TypeError(f"width must be a number, the factor for the channels, not {width!r}.")
    if not 0 < width <= 4:
        raise ValueError(f"width must be above 0 and at most 4, not {width!r}.")


def _check_whole(**numbers: int) -> None:
    for name, value in numbers.items():
        arguments.whole(name, value)
