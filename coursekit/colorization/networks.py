"""The network that colours: the first layers of a ResNet18, made gray, and a decoder that brings the size back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from numbers import Real

from torch import Tensor, nn

from coursekit import arguments

GRAY_MEAN, GRAY_STD = 0.449, 0.226  # of ImageNet's pixels, over the colours: what pretrained encoders expect
_CUT = 6  # children of the ResNet that are kept: conv1, bn1, relu, maxpool, layer1, layer2


def gray_encoder(resnet: nn.Module) -> nn.Sequential:
    """Return the first six children of a ResNet, for one channel in place of three.

    The kernels of the first layer are summed over colour: a gray image, given once, gets the response that it got as
    red, green and blue. The weights are copied; the given network stays as it is.

    Parameters
    ----------
    resnet : nn.Module
        In torchvision's layout, as `pretrained.resnet18` makes it: ``conv1``, ``bn1``, ``relu``, ``maxpool``,
        ``layer1``, ``layer2``, and what follows, which is not used.

    Returns
    -------
    nn.Sequential
        From ``[N, 1, H, W]`` to ``[N, C, h, w]``, h and w an eighth of H and W, rounded up; C is 128 at width 1.

    Raises
    ------
    TypeError, ValueError
        If it is no network, or one of another layout.
    """
    arguments.module(resnet, "resnet")
    names = [name for name, _ in resnet.named_children()][:_CUT]
    first = getattr(resnet, "conv1", None)
    if names != ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2"] or not isinstance(first, nn.Conv2d):
        raise ValueError(
            f"gray_encoder needs a network in the layout of torchvision's ResNet; this one begins with {names}. "
            "Take pretrained.resnet18() or torchvision.models.resnet18()."
        )
    encoder = copy.deepcopy(nn.Sequential(*list(resnet.children())[:_CUT]))
    conv = encoder[0]
    conv.in_channels = 1
    conv.weight = nn.Parameter(conv.weight.detach().sum(dim=1, keepdim=True))
    return encoder


def upsampling_decoder(width: float = 1.0, outputs: int = 2) -> nn.Sequential:
    """Return the lecture's decoder: five convolutions 3x3, and three times doubling the size by repeating pixels.

    At width 1, with two outputs, it has 277,922 parameters.

    Parameters
    ----------
    width : float
        Factor for the channels, that of the encoder. At width 1 they are 128, 128, 64, 64, 32.
    outputs : int
        Channels that come out: 2 for ab, or the number of bins.

    Returns
    -------
    nn.Sequential
        From ``[N, 128 width, h, w]`` to ``[N, outputs, 8 h, 8 w]``.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    c = _channels(width, outputs)
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

    Returns
    -------
    nn.Sequential
        From ``[N, 128 width, h, w]`` to ``[N, outputs, 8 h, 8 w]``.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    c = _channels(width, outputs)
    if kernel not in (2, 3, 4):
        raise ValueError(f"kernel must be 2, 3 or 4 to double the size with stride 2, not {kernel!r}.")
    size = {"kernel_size": kernel, "stride": 2, "padding": (kernel - 1) // 2, "output_padding": kernel % 2}
    layers: list[nn.Module] = []
    for inputs, outs in ((c(128), c(128)), (c(128), c(64))):
        layers += [nn.ConvTranspose2d(inputs, outs, **size), nn.BatchNorm2d(outs), nn.ReLU()]
    layers += [*_conv(c(64), c(32)), nn.ConvTranspose2d(c(32), outputs, **size)]
    return nn.Sequential(*layers)


class Colorizer(nn.Module):
    """Encoder and decoder together: from lightness to colour, for images of any size.

    Parameters
    ----------
    encoder, decoder : nn.Module
        As `gray_encoder` and `upsampling_decoder` make them. The decoder may return more rows and columns than the
        image has (the next multiple of 8); they are cut off.
    mean, std : float
        L / 100 is brought to the form that the encoder expects: minus mean, over std. The lightness of a gray pixel is
        nearly its value in sRGB, so that the numbers of RGB images serve.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, mean: float = GRAY_MEAN, std: float = GRAY_STD) -> None:
        super().__init__()
        arguments.module(encoder, "encoder"), arguments.module(decoder, "decoder")
        self.encoder, self.decoder = encoder, decoder
        self.mean, self.std = arguments.finite("mean", mean), arguments.finite("std", std)
        if self.std <= 0:
            raise ValueError(f"std must be above 0, since the lightness is divided by it, not {std!r}.")

    def forward(self, light: Tensor) -> Tensor:
        """Return ab / 100, or logits of bins, ``[N, outputs, H, W]`` for L / 100 ``[N, 1, H, W]``."""
        if arguments.tensor("light", light, "[N, 1, H, W]").ndim != 4:
            raise ValueError(f"light must be [N, 1, H, W], not {list(light.shape)}.")
        height, width = light.shape[-2:]
        return self.decoder(self.encoder((light - self.mean) / self.std))[..., :height, :width]


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]


def _channels(width: float, outputs: int) -> Callable[[int], int]:
    if isinstance(width, bool) or not isinstance(width, Real) or not 0 < width <= 4:
        raise ValueError(f"width must be a number above 0 and at most 4, not {width!r}.")
    if not arguments.is_whole(outputs, 1):
        raise ValueError(f"outputs must be a whole number from 1, not {outputs!r}.")
    return lambda count: max(1, round(count * width))
