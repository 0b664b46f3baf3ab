"""The network that colours: the first layers of a ResNet18, made gray, and a decoder that brings the size back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit import arguments

GRAY_MEAN, GRAY_STD = 0.449, 0.226  # of ImageNet's pixels, over the colours: what pretrained encoders expect
_KEPT = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2"]  # children of the ResNet


def gray_encoder(resnet: nn.Module) -> nn.Sequential:
    """Return the first six children of a ResNet, for one channel: ``[N, 1, H, W]`` to ``[N, C, H / 8, W / 8]``.

    Sizes are rounded up; C is 128 at width 1. The kernels of the first layer are summed over colour: a gray image,
    given once, gets the response that it got as red, green and blue. The given network stays as it is; it must be in
    torchvision's layout, as `pretrained.resnet18` makes it, and another one is a ValueError.
    """
    children = copy.deepcopy(dict(list(arguments.module(resnet, "resnet").named_children())[: len(_KEPT)]))
    conv = children.get("conv1")
    if list(children) != _KEPT or not isinstance(conv, nn.Conv2d):
        raise ValueError(
            f"gray_encoder needs a network in the layout of torchvision's ResNet; this one begins with "
            f"{list(children)}. Take pretrained.resnet18() or torchvision.models.resnet18()."
        )
    conv.in_channels = 1
    conv.weight = nn.Parameter(conv.weight.detach().sum(dim=1, keepdim=True))
    return nn.Sequential(*children.values())


def upsampling_decoder(width: float = 1.0, outputs: int = 2) -> nn.Sequential:
    """Return the lecture's decoder: five convolutions 3x3, and three times doubling the size by repeating pixels.

    From ``[N, 128 width, h, w]`` to ``[N, outputs, 8 h, 8 w]``. At width 1, with two outputs, 277,922 parameters.

    Parameters
    ----------
    width : float
        Factor for the channels, that of the encoder. At width 1 they are 128, 128, 64, 64, 32.
    outputs : int
        Channels that come out: 2 for ab, or the number of bins.
    """
    c = _channels(width)
    return nn.Sequential(
        *_conv(c(128), c(128)),
        nn.Upsample(scale_factor=2),
        *_conv(c(128), c(64)),
        *_conv(c(64), c(64)),
        nn.Upsample(scale_factor=2),
        *_conv(c(64), c(32)),
        nn.Conv2d(c(32), outputs, 3, padding=1),
        nn.Upsample(scale_factor=2),
    )


def transposed_decoder(width: float = 1.0, outputs: int = 2, kernel: int = 4) -> nn.Sequential:
    """Return a decoder that doubles the size by three transposed convolutions of stride 2.

    Parameters
    ----------
    width, outputs
        As for `upsampling_decoder`.
    kernel : {4, 3, 2}
        4 and 2 are multiples of the stride, and cover every pixel equally often; 3 makes checkerboards.
    """
    c = _channels(width)
    if kernel not in (2, 3, 4):
        raise ValueError(f"kernel must be 2, 3 or 4 to double the size with stride 2, not {kernel!r}.")
    double: dict[str, Any] = {"stride": 2, "padding": (kernel - 1) // 2, "output_padding": kernel % 2}
    return nn.Sequential(
        *(nn.ConvTranspose2d(c(128), c(128), kernel, **double), nn.BatchNorm2d(c(128)), nn.ReLU()),
        *(nn.ConvTranspose2d(c(128), c(64), kernel, **double), nn.BatchNorm2d(c(64)), nn.ReLU()),
        *_conv(c(64), c(32)),
        nn.ConvTranspose2d(c(32), outputs, kernel, **double),
    )


def coverage(size: int, kernel: int, *, stride: int = 1, padding: int = 0, output_padding: int = 0) -> Tensor:
    """Count how many inputs reach each output ``[H, W]`` of a transposed convolution, as float32.

    Where the stride divides the kernel, all outputs away from the border get the same number. Elsewhere they do not,
    and a pattern is there before any training (Odena, Dumoulin and Olah, 2016). Input and kernel are squares of `size`
    and `kernel` pixels; the others are those of `torch.nn.ConvTranspose2d`.
    """
    ones = torch.ones(1, 1, size, size), torch.ones(1, 1, kernel, kernel)
    return F.conv_transpose2d(*ones, stride=stride, padding=padding, output_padding=output_padding)[0, 0]


class Colorizer(nn.Module):
    """Encoder and decoder together: from lightness to colour, for images of any size.

    The lightness of a gray pixel is nearly its value in sRGB. So L / 100 is brought to the form that the encoder
    expects by the mean and standard deviation of RGB images.

    Parameters
    ----------
    encoder, decoder : nn.Module
        As `gray_encoder` and `upsampling_decoder` make them. The decoder may return more rows and columns than the
        image has (the next multiple of 8); they are cut off.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = arguments.module(encoder, "encoder"), arguments.module(decoder, "decoder")

    def forward(self, light: Tensor) -> Tensor:
        """Return ab / 100, or logits of bins, ``[N, outputs, H, W]`` for L / 100 ``[N, 1, H, W]``."""
        height, width = light.shape[-2:]
        return self.decoder(self.encoder((light - GRAY_MEAN) / GRAY_STD))[..., :height, :width]


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]


def _channels(width: float) -> Callable[[int], int]:
    return lambda count: max(1, round(count * width))
