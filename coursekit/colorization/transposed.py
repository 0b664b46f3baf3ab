"""Transposed convolution, three ways, each equal to `torch.nn.ConvTranspose2d`; and the checkerboards it can make.

All take a batch ``[N, in, h, w]`` and a weight ``[in, out, kH, kW]``, torch's order for this layer. Stride, padding,
output padding and dilation are one number, or a pair for rows and columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit import arguments
from coursekit.filters import conv_matrix
from coursekit.receptive import Pair, pair


def transposed_size(
    size: int, kernel: int, *, stride: int = 1, padding: int = 0, output_padding: int = 0, dilation: int = 1
) -> int:
    """Return the number of rows (or columns) that a transposed convolution gives.

    It is the size from which a convolution with the same options comes to ``size``. With a stride s, s sizes do;
    ``output_padding``, 0 to s - 1, says which.

    Parameters
    ----------
    size, kernel : int
        Pixels that go in, and of the kernel, along one axis; at least 1.
    stride, padding, output_padding, dilation : int
        As in `torch.nn.ConvTranspose2d`.

    Returns
    -------
    int
        ``(size - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1``.

    Raises
    ------
    ValueError
        If a number is out of range, or nothing would be left.

    Notes
    -----
    Worked out in Dumoulin and Visin (2016), "A guide to convolution arithmetic for deep learning".
    """
    for name, value, least in (("size", size, 1), ("kernel", kernel, 1), ("stride", stride, 1), ("padding", padding, 0),
                               ("output_padding", output_padding, 0), ("dilation", dilation, 1)):  # fmt: skip
        pair(name, (value, value), least)
    if output_padding >= stride:
        raise ValueError(f"output_padding must be less than the stride {stride}, not {output_padding}.")
    result = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1
    if result < 1:
        raise ValueError(f"nothing is left: the output would have {result} pixels. Take less padding.")
    return result


def by_matrix(
    x: Tensor, weight: Tensor, *, stride: Pair = 1, padding: Pair = 0, output_padding: Pair = 0, dilation: Pair = 1
) -> Tensor:
    """Write the convolution as a matrix (`filters.conv_matrix`) and multiply with its transpose.

    Returns
    -------
    Tensor [N, out, H, W]
        H and W as `transposed_size` has them.

    Raises
    ------
    ValueError
        If shapes or options do not fit; so, too, for `by_zeros` and `by_gradient`.
    """
    (rows, columns), (s, p, _, d) = _geometry(x, weight, stride, padding, output_padding, dilation)
    matrix = conv_matrix(weight, (weight.shape[1], rows, columns), stride=s, padding=p, dilation=d)
    flat = matrix.T @ x.detach().cpu().double().flatten(1).numpy().T
    return torch.from_numpy(flat.T.copy()).view(len(x), weight.shape[1], rows, columns).to(x)


def by_zeros(
    x: Tensor, weight: Tensor, *, stride: Pair = 1, padding: Pair = 0, output_padding: Pair = 0, dilation: Pair = 1
) -> Tensor:
    """Put stride - 1 zeros between the pixels and some around them, then convolve: a fractionally strided convolution.

    Parameters, result and errors are those of `by_matrix`.
    """
    (rows, columns), (s, p, _, d) = _geometry(x, weight, stride, padding, output_padding, dilation)
    spread = x.new_zeros(*x.shape[:2], (x.shape[2] - 1) * s[0] + 1, (x.shape[3] - 1) * s[1] + 1)
    spread[:, :, :: s[0], :: s[1]] = x
    reach = [step * (k - 1) for step, k in zip(d, weight.shape[2:], strict=True)]
    top, left = reach[0] - p[0], reach[1] - p[1]  # below zero where more is padded than the kernel reaches: cut off
    bottom = rows + reach[0] - top - spread.shape[2]  # so that the output has its rows; output_padding is in here
    right = columns + reach[1] - left - spread.shape[3]
    turned = weight.flip(2, 3).transpose(0, 1)
    return F.conv2d(F.pad(spread, (left, right, top, bottom)), turned, dilation=d)


def by_gradient(
    x: Tensor, weight: Tensor, *, stride: Pair = 1, padding: Pair = 0, output_padding: Pair = 0, dilation: Pair = 1
) -> Tensor:
    """Send x backwards through the convolution, as if it were the gradient of its output.

    Parameters, result and errors are those of `by_matrix`.
    """
    (rows, columns), (s, p, _, d) = _geometry(x, weight, stride, padding, output_padding, dilation)
    image = x.new_zeros(len(x), weight.shape[1], rows, columns, requires_grad=True)  # its values do not matter
    output = F.conv2d(image, weight.detach(), stride=s, padding=p, dilation=d)
    return torch.autograd.grad(output, image, x.detach())[0]


def coverage(size: int, kernel: int, *, stride: int = 1, padding: int = 0, output_padding: int = 0) -> Tensor:
    """Count how many inputs reach each output of a transposed convolution.

    Where the stride divides the kernel, all outputs away from the border get the same number. Elsewhere they do not,
    and a pattern is there before any training (Odena, Dumoulin and Olah, 2016).

    Returns
    -------
    Tensor [H, W]
        float32, whole numbers.
    """
    size, kernel = arguments.whole("size", size), arguments.whole("kernel", kernel)
    ones = torch.ones(1, 1, size, size), torch.ones(1, 1, kernel, kernel)
    return by_zeros(*ones, stride=stride, padding=padding, output_padding=output_padding)[0, 0]


def checkerboard(maps: Tensor, period: int = 2, margin: int = 2) -> Tensor:
    """Measure how much of the variation of a map is a pattern that repeats every ``period`` pixels.

    Parameters
    ----------
    maps : Tensor [..., H, W]
    period : int
        That of the pattern: the product of the strides.
    margin : int
        Periods at each border that are left out, where padding has its own effects.

    Returns
    -------
    Tensor [...]
        Standard deviation of the means over the period x period positions, divided by the root mean square of the map:
        0 for none; a constant map has none.

    Raises
    ------
    TypeError, ValueError
        If the maps are no tensor of that form, or less than two periods would be left.
    """
    period, margin = arguments.whole("period", period, 2), arguments.whole("margin", margin, 0)
    if (
        arguments.tensor("maps", maps, "[..., H, W]").ndim < 2
        or not maps.numel()
        or min(maps.shape[-2:]) // period < 2 * margin + 2
    ):
        raise ValueError(
            f"maps must be [..., H, W] with at least {2 * margin + 2} periods of {period} >= 2 pixels along each side; "
            f"the shape is {list(maps.shape)}."
        )
    rows, columns = (length // period for length in maps.shape[-2:])
    cells = (
        maps[..., : rows * period, : columns * period].unflatten(-1, (columns, period)).unflatten(-3, (rows, period))
    )
    cells = cells[..., margin : rows - margin, :, margin : columns - margin, :]
    phases = cells.mean(dim=(-4, -2)).flatten(-2)
    energy = cells.square().mean(dim=(-4, -3, -2, -1)).sqrt()
    return phases.std(dim=-1, unbiased=False) / energy.clamp_min(1e-12)


def _geometry(x: Tensor, weight: Tensor, stride: Pair, padding: Pair, output_padding: Pair, dilation: Pair) -> tuple:
    """Return the output's rows and columns, and the options as pairs."""
    arguments.tensor("x", x, "[N, in, h, w]", floats=True)
    arguments.tensor("weight", weight, "[in, out, kH, kW]", floats=True)
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != weight.shape[0] or 0 in x.shape:
        raise ValueError(
            f"x must be [N, in, h, w] and weight [in, out, kH, kW]; they are {list(x.shape)} and {list(weight.shape)}."
        )
    s, d = pair("stride", stride, 1), pair("dilation", dilation, 1)
    p, o = pair("padding", padding, 0), pair("output_padding", output_padding, 0)
    size = [
        transposed_size(n, k, stride=s[i], padding=p[i], output_padding=o[i], dilation=d[i])
        for i, (n, k) in enumerate(zip(x.shape[2:], weight.shape[2:], strict=True))
    ]
    return size, (s, p, o, d)
