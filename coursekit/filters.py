"""Kernels in a layer, the layer as a matrix, and receptive fields, as notebook 02 builds them.

Batches are torch tensors ``[N,C,H,W]``, weights ``[out,in,kH,kW]``. Numbers that may differ for rows and columns
(kernel size, stride, padding, dilation) are given as one number or as a pair.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from scipy import sparse
from torch import Tensor, nn

from coursekit import arguments
from coursekit.convolution import output_size

Pair = int | tuple[int, int]

# Layers whose output at one position depends on the input at this position only (batch norm: in evaluation mode).
_POINTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus),
    *(nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid),
    *(nn.BatchNorm2d, nn.Dropout, nn.Dropout2d, nn.Identity),
)


def to_batch(image: ArrayLike) -> Tensor:
    """Turn an image [H,W] or [H,W,C] into a batch of one: a float32 tensor [1,1,H,W] or [1,C,H,W].

    The values stay as they are: divide bytes by 255 yourself. Another shape, or no pixel, is a ValueError.
    """
    array = np.asarray(image)
    if array.ndim not in (2, 3) or array.size == 0:
        raise ValueError(f"image must be [H,W] or [H,W,C] with at least one pixel; its shape is {array.shape}.")
    array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return torch.tensor(array[None].copy(), dtype=torch.float32)  # numpy's copy, since torch takes no negative strides


def conv2d_from_kernels(kernels: Tensor | ArrayLike, **options: Any) -> nn.Conv2d:
    """Make a convolutional layer, without bias, that holds the given kernels. It correlates: they are not flipped.

    Parameters
    ----------
    kernels : Tensor or array [kH,kW], [out,kH,kW] or [out,in,kH,kW]
        Without ``in``, the layer takes one channel. Another shape, NaN and infinity are a ValueError.
    **options
        Stride, padding and so on, for `torch.nn.Conv2d`.
    """
    weight = _tensor(kernels).float()
    if not 2 <= weight.ndim <= 4 or weight.numel() == 0:
        raise ValueError(f"kernels must be [kH,kW], [out,kH,kW] or [out,in,kH,kW]; the shape is {list(weight.shape)}.")
    weight = weight[None, None] if weight.ndim == 2 else weight[:, None] if weight.ndim == 3 else weight
    if not weight.isfinite().all():
        raise ValueError("kernels hold NaN or infinite values.")
    outputs, inputs, height, width = weight.shape
    layer = nn.Conv2d(inputs, outputs, (height, width), bias=False, **options)
    layer.load_state_dict({"weight": weight})
    return layer


def conv_matrix(
    weight: Tensor | ArrayLike, shape: tuple[int, ...], *, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1
) -> sparse.csr_array:
    """Write a convolutional layer as a sparse matrix: ``conv(x).flatten() == matrix @ x.flatten()``.

    A ValueError says what of weight, shape and options does not fit together.

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
    """
    weight = _tensor(weight).double()
    weight = weight[None, None] if weight.ndim == 2 else weight
    shape = (1, *shape) if len(shape) == 2 else tuple(shape)
    if weight.ndim != 4 or len(shape) != 3 or shape[0] != weight.shape[1]:
        raise ValueError(
            f"weight must be [kH,kW] or [out,in,kH,kW], and shape (H,W) or (C,H,W) with C = in; "
            f"got {list(weight.shape)} and {shape}."
        )
    kernel = tuple(weight.shape[2:])
    options = {"stride": _pair(stride), "padding": _pair(padding), "dilation": _pair(dilation)}
    for axis, size in enumerate(shape[1:]):
        output_size(size, kernel[axis], **{name: values[axis] for name, values in options.items()})
    numbers = torch.arange(1.0, math.prod(shape) + 1, dtype=torch.double).view(1, *shape)  # 0 is left for the padding
    seen = F.unfold(numbers, kernel, **options)[0].T.long()  # [H' W', in kH kW]: which inputs each output sees
    columns = seen.repeat(len(weight), 1)
    values = weight.flatten(1).repeat_interleave(len(seen), 0)
    starts = np.arange(len(columns) + 1) * columns.shape[1]
    size = (len(columns), math.prod(shape) + 1)
    matrix = sparse.csr_array((values.flatten().numpy(), columns.flatten().numpy(), starts), shape=size)
    return matrix[:, 1:]


class Field(NamedTuple):
    """What one output of a layer sees of the input; pairs are (rows, columns), in input pixels.

    Attributes
    ----------
    layer : str
        The layer's name within the model; "input" for the first.
    size : (int, int)
        The receptive field.
    stride : (int, int)
        How far the fields of neighbouring outputs lie apart.
    start : (int, int)
        Where the field of output (0, 0) begins; below 0 it begins in the padding.
    """

    layer: str
    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]


def receptive_field(model: nn.Module) -> list[Field]:
    """Compute receptive fields by formula: a layer adds ``dilation (kernel - 1)`` times the stride so far.

    Source: Araujo, Norris and Sim (2019), "Computing receptive fields of convolutional neural networks".

    Parameters
    ----------
    model : nn.Module
        A layer or an `nn.Sequential`, nested as deep as you like, of convolutions, pooling and layers that treat each
        position by itself; a ValueError names a layer of another kind.

    Returns
    -------
    list of Field
        For the input, then for each layer; the last one is the model's.
    """
    fields = [Field("input", (1, 1), (1, 1), (0, 0))]
    for name, layer in _layers(arguments.module(model)):
        kernel, strides, padding, dilation = _geometry(name, layer)
        _, size, stride, start = fields[-1]
        grown = tuple(r + d * (k - 1) * j for r, d, k, j in zip(size, dilation, kernel, stride, strict=True))
        begun = tuple(b - p * j for b, p, j in zip(start, padding, stride, strict=True))
        fields.append(Field(name, grown, tuple(j * s for j, s in zip(stride, strides, strict=True)), begun))
    return fields


def _layers(model: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Walk through nested Sequentials in order; unlike `named_modules`, give a layer that is used twice two times."""
    if not isinstance(model, nn.Sequential):
        yield name or "model", model
        return
    for child, module in model._modules.items():
        yield from _layers(module, f"{name}.{child}" if name else child)


def _geometry(name: str, layer: nn.Module) -> tuple:
    """Return kernel, stride, padding and dilation of a layer, each as a pair."""
    if isinstance(layer, _POINTWISE):
        return (1, 1), (1, 1), (0, 0), (1, 1)
    if not isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        raise ValueError(
            f"layer {name!r} is a {type(layer).__name__}, and receptive_field knows convolutions, max and average "
            "pooling, and layers that treat each position by itself. Where a layer sees the whole image (flatten, "
            "linear, adaptive pooling), give the part of the model before it, such as model[:4]."
        )
    kernel, dilation = _pair(layer.kernel_size), _pair(getattr(layer, "dilation", 1))
    padding = layer.padding
    if isinstance(padding, str):
        same = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
        padding = same if padding == "same" else 0
    return kernel, _pair(layer.stride), _pair(padding), dilation


def _pair(value: Any) -> tuple[int, int]:
    rows, columns = value if isinstance(value, tuple | list) else (value, value)
    return rows, columns


def _tensor(values: Tensor | ArrayLike) -> Tensor:
    return values.detach().cpu() if isinstance(values, Tensor) else torch.tensor(np.array(values))
