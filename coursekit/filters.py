"""What notebook 02 builds: kernels in a layer, the layer as a matrix, receptive fields, the backward pass by hand.

Batches are torch tensors ``[B,C,H,W]``, weights ``[out,in,kH,kW]``. Numbers that may differ for rows and columns
(kernel size, stride, padding, dilation) are given as one number or as a pair, and returned as pairs.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from scipy import sparse
from torch import Tensor, nn

from coursekit import arguments
from coursekit.receptive import Field, Pair, pair, receptive_field, receptive_field_by_gradient

__all__ = [
    "Field",
    "conv2d_backward",
    "conv2d_from_kernels",
    "conv_matrix",
    "orientation_strength",
    "receptive_field",
    "receptive_field_by_gradient",
    "to_batch",
    "windows",
]


def to_batch(image: ArrayLike, dtype: torch.dtype = torch.float32) -> Tensor:
    """Turn an image into a batch of one. The values stay as they are: divide bytes by 255 yourself.

    Parameters
    ----------
    image : array [H,W] or [H,W,C]
    dtype : torch.dtype

    Returns
    -------
    Tensor [1,1,H,W] or [1,C,H,W]
        With memory of its own.

    Raises
    ------
    ValueError
        If the image has neither two nor three dimensions, or no pixel.
    """
    array = np.asarray(image)
    if array.dtype.kind == "c":
        raise TypeError(f"image must hold real numbers, not {array.dtype}.")
    if array.ndim not in (2, 3) or array.size == 0:
        raise ValueError(f"image must be [H,W] or [H,W,C] with at least one pixel; its shape is {array.shape}.")
    array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return torch.tensor(array[None].copy(), dtype=dtype)  # numpy's copy, since torch takes no negative strides


def conv2d_from_kernels(
    kernels: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    padding_mode: str = "zeros",
    dtype: torch.dtype = torch.float32,
) -> nn.Conv2d:
    """Make a convolutional layer that holds the given kernels. It correlates: the kernels are not turned.

    Parameters
    ----------
    kernels : array [kH,kW], [out,kH,kW] or [out,in,kH,kW]
        Without ``in``, the layer takes one channel.
    bias : array [out], optional
        Without it, the layer has none.
    stride, padding, dilation, padding_mode
        As in `torch.nn.Conv2d`.
    dtype : torch.dtype

    Raises
    ------
    ValueError
        If the shapes do not fit, or a number is NaN or infinite.
    """
    weight = _tensor("kernels", kernels, dtype)
    if not 2 <= weight.ndim <= 4 or weight.numel() == 0:
        raise ValueError(f"kernels must be [kH,kW], [out,kH,kW] or [out,in,kH,kW]; the shape is {_shape(weight)}.")
    weight = weight[None, None] if weight.ndim == 2 else weight[:, None] if weight.ndim == 3 else weight
    state = {"weight": weight}
    if bias is not None:
        state["bias"] = _tensor("bias", bias, dtype)
        if state["bias"].shape != weight.shape[:1]:
            raise ValueError(f"{len(weight)} kernels need as many biases; bias has shape {_shape(state['bias'])}.")
    if not all(values.isfinite().all() for values in state.values()):
        raise ValueError("kernels or bias hold NaN or infinite values.")
    _check_options(tuple(weight.shape[2:]), stride, 0 if isinstance(padding, str) else padding, dilation)
    layer = nn.Conv2d(
        weight.shape[1],
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride,
        padding,
        dilation,
        bias=bias is not None,
        padding_mode=padding_mode,
        dtype=dtype,
    )
    layer.load_state_dict(state)
    return layer


def windows(x: Tensor, size: Pair, *, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1) -> Tensor:
    """Return everything that a kernel sees at each of its positions.

    Parameters
    ----------
    x : Tensor [B,C,H,W]
    size : int or pair
        Of the kernel.
    stride, padding, dilation : int or pair
        As in `torch.nn.Conv2d`.

    Returns
    -------
    Tensor [B,C,H',W',kH,kW]
        A view: without padding, no number is copied. Multiplied with a weight and summed by
        ``einsum("bnijkl,mnkl->bmij", ...)`` it is the convolutional layer.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is no tensor of four dimensions, an option is out of range, or the kernel does not fit.
    """
    if arguments.tensor("x", x, "[B,C,H,W]").ndim != 4:
        raise ValueError(f"x must be [B,C,H,W]; its shape is {_shape(x)}.")
    sizes, leaps, pads, steps = _check_options(size, stride, padding, dilation)
    x = F.pad(x, (pads[1], pads[1], pads[0], pads[0])) if any(pads) else x
    for axis, kernel, step, leap in zip((2, 3), sizes, steps, leaps, strict=True):
        reach = step * (kernel - 1) + 1
        if reach > x.shape[axis]:
            raise ValueError(
                f"a kernel that reaches over {reach} pixels does not fit into {x.shape[axis]} (padding included)."
            )
        x = x.unfold(axis, reach, leap)[..., ::step]
    return x


def conv_matrix(
    weight: Tensor | ArrayLike, shape: tuple[int, ...], *, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1
) -> sparse.csr_array:
    """Write a convolutional layer as a sparse matrix: ``conv(x).flatten() == matrix @ x.flatten()``.

    Parameters
    ----------
    weight : Tensor or array [kH,kW] or [out,in,kH,kW]
    shape : (H, W) or (C, H, W)
        Of one input.
    stride, padding, dilation : int or pair
        As in `torch.nn.Conv2d`.

    Returns
    -------
    csr_array [out H' W', C H W]
        float64. Its transpose takes the gradient of the output to the gradient of the input.

    Raises
    ------
    ValueError
        If weight and shape do not fit together, or the kernel does not fit.
    """
    weight = _tensor("weight", weight, torch.double)
    weight = weight[None, None] if weight.ndim == 2 else weight
    shape = (1, *shape) if len(shape) == 2 else tuple(shape)
    if weight.ndim != 4 or len(shape) != 3 or shape[0] != weight.shape[1]:
        raise ValueError(
            f"weight must be [kH,kW] or [out,in,kH,kW], and shape (H,W) or (C,H,W) with C = in; "
            f"got {_shape(weight)} and {shape}."
        )
    if math.prod(shape) >= 1 << 31:
        raise ValueError(f"an input of shape {shape} is too large for a matrix: it has a column for each number.")
    numbers = torch.arange(1, math.prod(shape) + 1).view(1, *shape)  # 0 is left for the padding
    touched = windows(numbers, tuple(weight.shape[2:]), stride=stride, padding=padding, dilation=dilation)
    touched = touched[0].permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1)  # [H' W', in kH kW]
    columns = touched.repeat(len(weight), 1)
    values = weight.flatten(1).repeat_interleave(len(touched), 0)
    starts = np.arange(len(columns) + 1) * columns.shape[1]
    size = (len(columns), math.prod(shape) + 1)
    matrix = sparse.csr_array((values.flatten().numpy(), columns.flatten().numpy(), starts), shape=size)
    return matrix[:, 1:]


def conv2d_backward(
    x: Tensor, weight: Tensor, upstream: Tensor, *, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Carry a gradient back through a convolutional layer, without autograd.

    Parameters
    ----------
    x : Tensor [B,in,H,W]
        The layer's input.
    weight : Tensor [out,in,kH,kW]
    upstream : Tensor [B,out,H',W']
        The gradient of the loss with respect to the layer's output.
    stride, padding, dilation : int or pair
        As in `torch.nn.Conv2d`.

    Returns
    -------
    x, weight, bias : Tensors [B,in,H,W], [out,in,kH,kW], [out]
        The gradients of the loss with respect to the three: a full convolution, a correlation, a sum.

    Raises
    ------
    TypeError, ValueError
        If the three are no tensors, or their shapes do not fit together.
    """
    for name, value, shape in (("x", x, "[B,in,H,W]"), ("weight", weight, "[out,in,kH,kW]")):
        if arguments.tensor(name, value, shape).ndim != 4:
            raise ValueError(f"{name} must be {shape}; its shape is {_shape(value)}.")
    arguments.tensor("upstream", upstream, "[B,out,H',W']")
    size = tuple(weight.shape[2:])
    _, leaps, (top, left), steps = _check_options(size, stride, padding, dilation)
    seen = windows(x, size, stride=stride, padding=padding, dilation=dilation)
    if weight.shape[1] != x.shape[1] or upstream.shape != (len(x), len(weight), *seen.shape[2:4]):
        raise ValueError(
            f"the layer takes {_shape(x)} with weight {_shape(weight)} to "
            f"{[len(x), len(weight), *seen.shape[2:4]]}; upstream has shape {_shape(upstream)}."
        )
    grad_weight = torch.einsum("bmij,bnijkl->mnkl", upstream, seen)
    reach = [step * (k - 1) + 1 for step, k in zip(steps, size, strict=True)]
    rows, columns = (n + 2 * p - r + 1 for n, p, r in zip(x.shape[2:], (top, left), reach, strict=True))
    spread = upstream.new_zeros(*upstream.shape[:2], rows, columns)
    spread[:, :, :: leaps[0], :: leaps[1]] = upstream  # zeros where the kernel did not stop
    around = windows(spread, size, padding=(reach[0] - 1, reach[1] - 1), dilation=dilation)
    grad_padded = torch.einsum("bmijkl,mnkl->bnij", around, weight.flip(2, 3))
    return grad_padded[:, :, top : top + x.shape[2], left : left + x.shape[3]], grad_weight, upstream.sum((0, 2, 3))


def orientation_strength(kernels: Tensor | ArrayLike) -> Tensor:
    """Measure how far a kernel prefers one direction: 0 for none (a blob), 1 for stripes of one direction.

    The kernel's power spectrum says how strongly it answers to a wave of each direction. Every wave becomes an arrow as
    long as its power, at twice its angle since a wave has no front; the arrows' sum is divided by their total length.

    Parameters
    ----------
    kernels : Tensor or array [...,C,kH,kW]
        The means of the channels do not count.

    Returns
    -------
    Tensor [...]
        NaN for a kernel that is constant.
    """
    kernels = arguments.tensor("kernels", arguments.as_tensor(kernels), "[...,C,kH,kW]").detach().float()
    if kernels.ndim < 3 or kernels.numel() == 0:
        raise ValueError(f"kernels must be [...,C,kH,kW]; the shape is {_shape(kernels)}.")
    kernels = kernels - kernels.mean((-2, -1), keepdim=True)
    power = torch.fft.fft2(kernels, s=(64, 64)).abs().square().sum(-3)
    frequency = torch.fft.fftfreq(64)
    angle = torch.atan2(frequency[:, None], frequency[None, :])
    return (power * torch.exp(2j * angle)).sum((-2, -1)).abs() / power.sum((-2, -1))


def _check_options(size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> list[tuple[int, int]]:
    named = [("size", size, 1), ("stride", stride, 1), ("padding", padding, 0), ("dilation", dilation, 1)]
    return [pair(name, value, least) for name, value, least in named]


def _tensor(name: str, values: Tensor | ArrayLike, dtype: torch.dtype) -> Tensor:
    values = values.detach().cpu() if isinstance(values, Tensor) else torch.tensor(np.array(values))
    return arguments.tensor(name, values, "").to(dtype)


def _shape(tensor: Tensor) -> list[int]:
    return list(tensor.shape)
