"""The networks that colour: layers of a ResNet18, made gray, and a decoder, without and with skip connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit import arguments
from coursekit.resnet import layers_of, stages

GRAY_MEAN, GRAY_STD = 0.449, 0.226  # of ImageNet's pixels, over the colours: what pretrained encoders expect
_UP = 96, 64, 48, 48  # channels of the U-Net's decoder


def gray_encoder(resnet: nn.Module) -> nn.Sequential:
    """Return the first six children of a ResNet, for one channel: ``[N, 1, H, W]`` to ``[N, C, H / 8, W / 8]``.

    Sizes are rounded up; C is 128 at width 1. The kernels of the first layer are summed over colour. The given network
    stays as it is; it must be in torchvision's layout, as of `pretrained.resnet18`, and another one is a ValueError.
    """
    return nn.Sequential(*_gray_layers(resnet, 6))


def upsampling_decoder(width: float = 1.0, outputs: int = 2) -> nn.Sequential:
    """Return the lecture's decoder: five convolutions 3x3, and three times doubling the size by repeating pixels.

    From ``[N, 128 width, h, w]`` to ``[N, outputs, 8 h, 8 w]``: ``width`` is that of the encoder, ``outputs`` 2 for ab,
    or the number of bins. At width 1 the channels are 128, 128, 64, 64, 32, and for ab there are 277,922 parameters.
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
    """Return a decoder like `upsampling_decoder` with three transposed convolutions of stride 2.

    Kernels of 4 and 2, multiples of the stride, cover every pixel equally often; 3 makes checkerboards.
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

    Where the stride does not divide the kernel, the numbers differ also away from the border: a pattern before any
    training (Odena, Dumoulin and Olah, 2016). Input and kernel are squares; the others are as of `ConvTranspose2d`.
    """
    ones = torch.ones(1, 1, size, size), torch.ones(1, 1, kernel, kernel)
    return F.conv_transpose2d(*ones, stride=stride, padding=padding, output_padding=output_padding)[0, 0]


class Colorizer(nn.Module):
    """Encoder and decoder together: from lightness to colour, for images of any size.

    L / 100, nearly a gray pixel's value in sRGB, is normalized by mean and standard deviation of RGB images. Encoder
    and decoder are as `gray_encoder` and `upsampling_decoder` make them; rows and columns beyond the image are cut off.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = arguments.module(encoder, "encoder"), arguments.module(decoder, "decoder")

    def forward(self, light: Tensor) -> Tensor:
        """Return ab / 100, or logits of bins, ``[N, outputs, H, W]`` for L / 100 ``[N, 1, H, W]``."""
        height, width = light.shape[-2:]
        return self.decoder(self.encoder((light - GRAY_MEAN) / GRAY_STD))[..., :height, :width]


class UNet(nn.Module):
    """Encoder and decoder with skip connections (Ronneberger, Fischer and Brox, 2015), for images of any size.

    The encoder is a whole ResNet18 up to ``layer4``, made gray as by `gray_encoder`; it halves the size five times, and
    each block of the decoder enlarges the maps to the size of the encoder's before, and gets both. Colours need less
    detail than lightness: the outputs are at half the size.

    Parameters
    ----------
    resnet : nn.Module
        In torchvision's layout, as of `pretrained.resnet18`, of any width; it stays as it is.
    outputs : int
        Number of bins, or 2 for ab.
    """

    def __init__(self, resnet: nn.Module, outputs: int) -> None:
        super().__init__()
        self.down, (*skips, inputs) = stages(_gray_layers(resnet))
        self.up = nn.ModuleList()
        for skip, channels in zip(reversed(skips), _UP, strict=True):
            self.up.append(nn.Sequential(*_conv(inputs + skip, channels), *_conv(channels, channels)))
            inputs = channels
        self.head = nn.Conv2d(inputs, arguments.whole("outputs", outputs), 1)

    def forward(self, light: Tensor) -> Tensor:
        """Return ab / 100, or logits of bins, ``[N, outputs, H / 2, W / 2]`` for L / 100 ``[N, 1, H, W]``."""
        x, maps = (light - GRAY_MEAN) / GRAY_STD, []
        for block in self.down:
            x = block(x)
            maps.append(x)
        x = maps.pop()
        for block in self.up:
            skip = maps.pop()
            x = block(torch.cat([F.interpolate(x, size=skip.shape[-2:]), skip], dim=1))
        return self.head(x)


def _gray_layers(resnet: nn.Module, count: int = 8) -> list[Any]:
    """Copy the first layers of a ResNet, the first convolution's kernels summed over colour."""
    conv, *others = layers_of(resnet, count)
    conv.in_channels = 1
    conv.weight = nn.Parameter(conv.weight.detach().sum(dim=1, keepdim=True))
    return [conv, *others]


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]


def _channels(width: float) -> Callable[[int], int]:
    return lambda count: max(1, round(count * width))
